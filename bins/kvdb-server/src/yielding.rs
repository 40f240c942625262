//! When a worker that has run out of work yields its core before it sleeps.
//!
//! Whoever else wants the core then runs first, often a client on the same machine, and the worker finds several requests
//! afterwards instead of one: one request at a time, that takes a fifth off the processor time of a GET. Where nobody wants
//! the core, the call is in vain, and one in each pass is a twentieth of that time. So a worker whose calls have been in
//! vain makes them less and less often.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A call that returns sooner than this has given the core to nobody.
const IN_VAIN: Duration = Duration::from_micros(3);
/// The most occasions that are passed over between two calls.
const MOST: u32 = 31;

/// Yields the core of the thread that calls it, unless that has lately been in vain.
pub(crate) fn before_sleep() {
    thread_local! {
        static OCCASIONS: Cell<Occasions> = const { Cell::new(Occasions { passed: 0, between: 0 }) };
    }
    let mut occasions = OCCASIONS.get();
    if occasions.take() {
        let start = Instant::now();
        std::thread::yield_now();
        occasions.learn(start.elapsed());
    }
    OCCASIONS.set(occasions);
}

/// What a thread has learnt.
#[derive(Debug, Default, Clone, Copy)]
struct Occasions {
    /// Passed over since the last call.
    passed: u32,
    /// To be passed over between two calls.
    between: u32,
}

impl Occasions {
    /// Whether to use this one.
    fn take(&mut self) -> bool {
        let is_due = self.passed >= self.between;
        self.passed = if is_due { 0 } else { self.passed + 1 };
        is_due
    }

    /// Takes into account how long the call took.
    fn learn(&mut self, took: Duration) {
        self.between = if took < IN_VAIN { (2 * self.between + 1).min(MOST) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of so many occasions are used when each call takes so long.
    fn used(occasions: &mut Occasions, count: u32, took: Duration) -> Vec<u32> {
        let use_one = |n: &u32| {
            let is_used = occasions.take();
            if is_used {
                occasions.learn(took);
            }
            is_used.then_some(*n)
        };
        (0..count).collect::<Vec<_>>().iter().filter_map(use_one).collect()
    }

    #[test]
    fn calls_in_vain_become_rare() {
        let used = used(&mut Occasions::default(), 200, Duration::from_nanos(300));
        assert_eq!(used, [0, 2, 6, 14, 30, 62, 94, 126, 158, 190]);
    }

    #[test]
    fn where_others_want_the_core_every_occasion_is_used() {
        let mut occasions = Occasions::default();
        used(&mut occasions, 31, Duration::from_nanos(300));
        let used = used(&mut occasions, 100, Duration::from_micros(20));
        assert_eq!(used, (31..100).collect::<Vec<_>>(), "after those that were still to be passed over");
    }
}
