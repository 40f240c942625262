//! How long the disk takes to make files durable.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock;

/// A sync that takes longer is counted as delayed, as in the log.
const DELAYED: Duration = Duration::from_secs(2);

/// Syncs of one kind since the database was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncStats {
    /// How many there were. 0 in a database without threads of its own, which reads no clock.
    pub syncs: u64,
    /// What they took together, in microseconds.
    pub micros: u64,
    /// What the longest took.
    pub longest_micros: u64,
    /// Those that took more than two seconds.
    pub delayed: u64,
}

/// Measures syncs of one kind.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    syncs: AtomicU64,
    micros: AtomicU64,
    longest: AtomicU64,
    delayed: AtomicU64,
}

impl Syncs {
    /// Does and measures what makes something durable.
    pub(crate) fn time<R>(&self, sync: impl FnOnce() -> R) -> R {
        let began = clock::now();
        let result = sync();
        self.note(clock::now().saturating_sub(began));
        result
    }

    fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.longest.fetch_max(micros, Ordering::Relaxed);
        self.delayed.fetch_add(u64::from(took > DELAYED), Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> SyncStats {
        SyncStats {
            syncs: self.syncs.load(Ordering::Relaxed),
            micros: self.micros.load(Ordering::Relaxed),
            longest_micros: self.longest.load(Ordering::Relaxed),
            delayed: self.delayed.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_summed_and_the_long_ones_counted() {
        let syncs = Syncs::default();
        for millis in [3, 2001, 2000, 5] {
            syncs.note(Duration::from_millis(millis));
        }
        assert_eq!(syncs.time(|| 7), 7);
        let stats = syncs.stats();
        assert_eq!((stats.syncs, stats.longest_micros, stats.delayed), (5, 2_001_000, 1));
        assert!(stats.micros >= 4_009_000, "{stats:?}");
    }
}
