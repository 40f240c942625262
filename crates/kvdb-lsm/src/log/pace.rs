//! When the log's thread begins a sync.
//!
//! Clients that wait for the disk come in cohorts: those whose writes were synced get their replies, and soon write again,
//! while those that came during the sync wait for the next. A thread that syncs whatever is there splits them into two
//! groups that take turns, and every write waits for half of somebody else's sync and then for its own. It is better to
//! let the first group come back and to sync once for both. How long that may take is bounded by a part of what a sync
//! takes, so that nobody waits longer than without it by more than that; and who comes to a log at rest waits for nobody.
//!
//! PostgreSQL's `commit_delay` and MySQL's `binlog_group_commit_sync_delay` do the same with a fixed time.

use super::options::SyncPolicy;
use super::shared::Shared;
use std::time::Duration;

/// The part of the last sync's time that the next one may wait for more to come.
const PATIENCE: u32 = 2;
/// It waits no longer, however slow the disk.
const PATIENCE_AT_MOST: Duration = Duration::from_millis(2);

/// What the last sync was like.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When it ended, by the clock of the log.
    ended: Duration,
    took: Duration,
    /// Sequence numbers that it made durable, and those that had come meanwhile: what may be there before the next.
    expected: u64,
}

impl Pace {
    /// Waits for more to be appended, if more is to be expected at once.
    pub(super) fn gather(&self, shared: &Shared) {
        if shared.policy() != SyncPolicy::Always {
            return;
        }
        shared.wake.gather(shared.marks.durable.seq() + self.expected);
        // Whoever appends the last of them wakes this thread. What those before ask for is what is done then.
        while let Some(patience) = self.patience(pending(shared), shared.clock.now()) {
            // Under shuttle time stands still, so once must do.
            if !shared.wake.wait(Some(patience)) || cfg!(kvdb_shuttle) {
                break;
            }
        }
        shared.wake.gather(0);
    }

    /// How long to wait at `now` for more than the `pending` sequence numbers; `None` to begin.
    fn patience(&self, pending: u64, now: Duration) -> Option<Duration> {
        let deadline = self.ended + (self.took / PATIENCE).min(PATIENCE_AT_MOST);
        let left = deadline.saturating_sub(now);
        (pending > 0 && pending < self.expected && !left.is_zero()).then_some(left)
    }

    /// Runs a sync and notes what it was like.
    pub(super) fn observe(&mut self, shared: &Shared, sync: impl FnOnce()) {
        let (began, before) = (shared.clock.now(), shared.marks.durable.seq());
        sync();
        let synced = shared.marks.durable.seq().saturating_sub(before);
        if synced > 0 {
            self.ended = shared.clock.now();
            let instant = if cfg!(kvdb_shuttle) { PATIENCE_AT_MOST } else { Duration::ZERO };
            self.took = self.ended.saturating_sub(began).max(instant);
            self.expected = synced + pending(shared);
        }
    }
}

/// How many sequence numbers wait for a sync.
fn pending(shared: &Shared) -> u64 {
    shared.marks.appended.seq().saturating_sub(shared.marks.durable.seq())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::WriteBatch;
    use crate::log::{Log, LogOptions};
    use crate::vfs::SimVfs;
    use std::sync::Arc;

    #[test]
    fn a_sync_waits_for_as_many_as_the_last_one_had_and_not_for_long() {
        let (ms, us) = (Duration::from_millis, Duration::from_micros);
        let pace = Pace { ended: ms(100), took: ms(1), expected: 5 };
        assert_eq!(pace.patience(2, ms(100)), Some(us(500)));
        assert_eq!(pace.patience(4, us(100_400)), Some(us(100)));
        assert_eq!(pace.patience(4, us(100_500)), None);
        assert_eq!(pace.patience(5, ms(100)), None, "all are here");
        assert_eq!(pace.patience(0, ms(100)), None, "there is nothing to sync");
        let slow = Pace { took: ms(900), ..pace };
        assert_eq!(slow.patience(1, ms(100)), Some(PATIENCE_AT_MOST));
        assert_eq!(Pace::default().patience(1, ms(0)), None, "nobody waits on a log at rest");
    }

    #[test]
    fn a_request_is_kept_over_the_wait() {
        let mut options = LogOptions::new(Arc::new(SimVfs::new()), "/log");
        (options.policy, options.manual) = (SyncPolicy::Always, true);
        let (log, _) = Log::open(options, |_, _| Ok(())).expect("open");
        let mut batch = WriteBatch::new();
        batch.put(b"key", b"value");
        log.append(&batch, |_| ()).expect("append");
        log.request_sync();
        let pace = Pace { ended: Duration::ZERO, took: Duration::from_secs(1), expected: 2 };
        std::thread::scope(|scope| {
            // It waits until the clock, which stands, is moved on.
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(5));
                log.shared.clock.set(Duration::from_secs(1));
            });
            pace.gather(&log.shared);
        });
        assert!(log.shared.wake.take_sync(), "under another policy nobody would sync now");
    }
}
