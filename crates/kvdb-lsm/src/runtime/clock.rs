//! The only clocks of background work. They pace it, measure syncs for the statistics, and do nothing else: no
//! result depends on them, and a database without threads never asks them.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

fn read(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// The time since some fixed moment.
pub(super) fn now() -> Duration {
    read(ClockId::Monotonic)
}

/// The processor time that the calling thread has used.
pub(crate) fn thread_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_forward() {
        let (before, thread) = (now(), thread_time());
        let work: u64 = (0..100_000u64).map(std::hint::black_box).sum();
        assert!(work > 0 && now() > before && thread_time() > thread);
    }
}
