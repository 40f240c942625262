//! The pause of clients (CLIENT PAUSE): until when, and of what.

use std::sync::atomic::{AtomicU64, Ordering};

/// A pause; over where none has begun.
#[derive(Debug, Default)]
pub struct Pause {
    /// When it ends, in Unix milliseconds, above a bit that is set where it is of writes alone: both change at once.
    state: AtomicU64,
}

const WRITES: u64 = 1;

impl Pause {
    /// When it ends or has ended, in Unix milliseconds.
    #[inline]
    pub fn until(&self) -> u64 {
        self.state.load(Ordering::Relaxed) >> 1
    }

    /// Whether it is in force at a moment.
    #[inline]
    pub fn is_on(&self, now: u64) -> bool {
        self.until() > now
    }

    /// Whether it is of writes alone.
    pub fn is_of_writes(&self) -> bool {
        self.state.load(Ordering::Relaxed) & WRITES != 0
    }

    /// Begins one. One that is in force goes on: this may prolong it, and make it one of everything, and never the reverse.
    pub fn begin(&self, until: u64, writes_only: bool, now: u64) {
        let until = until.min(u64::MAX >> 1);
        let widened = |state: u64| {
            let (before, was_of_writes) = (state >> 1, state & WRITES != 0);
            let is_on = before > now;
            let until = if is_on { until.max(before) } else { until };
            let of_writes = writes_only && (!is_on || was_of_writes);
            Some((until << 1) | u64::from(of_writes))
        };
        // The closure always has a value.
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, widened);
    }

    /// Ends it.
    pub fn end(&self) {
        self.state.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(pause: &Pause) -> (u64, bool) {
        (pause.until(), pause.is_of_writes())
    }

    #[test]
    fn a_pause_in_force_is_neither_shortened_nor_weakened() {
        let pause = Pause::default();
        assert!(!pause.is_on(0));
        pause.begin(100, true, 10);
        assert_eq!(state(&pause), (100, true));
        pause.begin(50, true, 10);
        assert_eq!(state(&pause), (100, true));
        pause.begin(50, false, 10);
        assert_eq!(state(&pause), (100, false));
        pause.begin(200, true, 20);
        assert_eq!(state(&pause), (200, false));
        assert!(pause.is_on(199) && !pause.is_on(200));
    }

    #[test]
    fn a_pause_that_is_over_has_no_say() {
        let pause = Pause::default();
        pause.begin(100, false, 10);
        pause.begin(300, true, 100);
        assert_eq!(state(&pause), (300, true));
        pause.end();
        pause.begin(200, true, 150);
        assert_eq!(state(&pause), (200, true));
    }

    #[test]
    fn a_pause_may_last_for_ever() {
        let pause = Pause::default();
        pause.begin(u64::MAX, true, 10);
        assert!(pause.is_on(i64::MAX as u64 - 1) && pause.is_of_writes());
    }
}
