//! The small shared pieces of a log: marks, flags, counters, the alarm clock of its thread.

use super::progress::LogStats;
use crate::batch::Seq;
use crate::sabotage::{self, Bug};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// A write with no room left on the disk: it will be taken up again.
pub(super) const STALLED: u32 = 1;
/// A sync has been running for too long.
pub(super) const SLOW: u32 = 1 << 1;
/// There is no space to preallocate the next segment.
pub(super) const NO_SPARE: u32 = 1 << 2;
/// An append was refused because of [`NO_SPARE`].
pub(super) const REFUSED: u32 = 1 << 3;
/// A write or sync failed for good.
pub(super) const POISONED: u32 = 1 << 4;
/// The log's thread is writing, or is about to: who may not wait leaves it to that, and hears of it.
pub(super) const AWAY: u32 = 1 << 5;

/// Why writing stopped.
#[derive(Debug, Clone)]
pub(super) enum Halt {
    /// The disk is full; everything is kept for another attempt.
    NoSpace,
    /// For good.
    Poisoned(Arc<str>),
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// The last sequence number before it.
    pub(super) seq: Seq,
    /// The bytes of batches before it since the log was opened. Unlike the sequence number it also
    /// moves with batches that take none.
    pub(super) bytes: u64,
}

/// A position that only moves forward.
#[derive(Debug)]
pub(super) struct Mark {
    seq: AtomicU64,
    bytes: AtomicU64,
}

impl Mark {
    pub(super) const fn new(seq: Seq) -> Self {
        Self { seq: AtomicU64::new(seq), bytes: AtomicU64::new(0) }
    }

    /// Moves the mark without a read-modify-write; the caller excludes other writers.
    #[inline]
    pub(super) fn set(&self, to: Position) {
        self.bytes.store(to.bytes, Ordering::Release);
        self.seq.store(to.seq, Ordering::Release);
    }

    pub(super) fn raise(&self, to: Position) {
        // In this order, so that who finds the bytes finds the sequence number too.
        self.seq.fetch_max(to.seq, Ordering::AcqRel);
        self.bytes.fetch_max(to.bytes, Ordering::AcqRel);
    }

    pub(super) fn get(&self) -> Position {
        Position { seq: self.seq(), bytes: self.bytes() }
    }

    pub(super) fn seq(&self) -> Seq {
        self.seq.load(Ordering::Acquire)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }
}

/// # Invariants
/// durable ≤ written ≤ appended.
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) appended: Mark,
    pub(super) written: Mark,
    pub(super) durable: Mark,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) syncs: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) written_bytes: AtomicU64,
    pub(super) groups: AtomicU64,
    pub(super) delayed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) rotations: AtomicU64,
    /// The length of the segment that is being written. It changes to that of the next one together with the list of
    /// the finished ones.
    pub(super) segment_bytes: AtomicU64,
}

impl Counters {
    pub(super) fn stats(&self) -> LogStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogStats {
            syncs: load(&self.syncs),
            writes: load(&self.writes),
            written_bytes: load(&self.written_bytes),
            groups: load(&self.groups),
            delayed: load(&self.delayed),
            refused: load(&self.refused),
            rotations: load(&self.rotations),
            ..LogStats::default()
        }
    }
}

/// Wakes the thread of the log.
#[derive(Debug, Default)]
pub(super) struct Wake {
    poked: AtomicBool,
    sync: AtomicBool,
    /// The sequence number before which a request need not wake the thread, which is about to sync anyway; 0 for none.
    gathers: AtomicU64,
    stop: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    /// Wakes the thread to look after everything. Cheap when it was woken already.
    pub(super) fn poke(&self) {
        if !self.poked.swap(true, Ordering::AcqRel) {
            // The lock orders this after the thread's last look at the flag, or before its wait.
            let _stop = (!sabotage::has(Bug::LostWake)).then(|| self.stop.lock());
            self.changed.notify_one();
        }
    }

    /// Asks for a sync of what has been appended, up to this number.
    pub(super) fn request_sync(&self, appended: Seq) {
        // Not a mere load: the thread, which exchanges this when it has gathered enough, then sees what was appended before.
        let enough = self.gathers.fetch_or(0, Ordering::AcqRel);
        if appended < enough {
            return;
        }
        if !self.sync.swap(true, Ordering::AcqRel) || enough > 0 {
            self.poke();
        }
    }

    /// From the thread itself: it is going to sync what is there by the time that it has been appended up to this number, or
    /// has waited for long enough. With 0 it begins.
    pub(super) fn gather(&self, enough: Seq) {
        self.gathers.swap(enough, Ordering::AcqRel);
    }

    /// Whether a sync was asked for since the last call.
    pub(super) fn take_sync(&self) -> bool {
        self.sync.swap(false, Ordering::AcqRel)
    }

    /// Tells the thread to end.
    pub(super) fn stop(&self) {
        *self.stop.lock() = true;
        self.changed.notify_one();
    }

    /// Waits until woken or until `timeout` has passed; false when the thread is to end.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> bool {
        let mut stop = self.stop.lock();
        if !*stop && !self.poked.load(Ordering::Acquire) {
            match timeout {
                Some(timeout) => {
                    self.changed.wait_for(&mut stop, timeout);
                }
                None => self.changed.wait(&mut stop),
            }
        }
        // Not a mere store: what came before a poke that found the flag set must be seen after this.
        self.poked.swap(false, Ordering::AcqRel);
        !*stop
    }
}

#[cfg(all(test, not(kvdb_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_gathers_is_woken_by_the_last_and_not_by_each() {
        let wake = Wake::default();
        wake.gather(10);
        wake.request_sync(5);
        wake.request_sync(9);
        assert!(!wake.poked.load(Ordering::Acquire) && !wake.take_sync());
        wake.request_sync(10);
        assert!(wake.poked.load(Ordering::Acquire) && wake.take_sync());
        assert!(wake.wait(None), "it does not wait");
        wake.gather(0);
        wake.request_sync(1);
        assert!(wake.poked.load(Ordering::Acquire) && wake.take_sync());
    }

    #[test]
    fn one_that_gathers_is_woken_though_an_earlier_request_is_not_taken() {
        let wake = Wake::default();
        wake.request_sync(1);
        assert!(wake.wait(None));
        wake.gather(2);
        wake.request_sync(2);
        assert!(wake.wait(None), "it does not wait");
        assert!(wake.take_sync());
    }
}
