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
        let deadline = self.ended + (self.took / PATIENCE).min(PATIENCE_AT_MOST);
        loop {
            let pending = pending(shared);
            let left = deadline.saturating_sub(shared.clock.now());
            if pending == 0 || pending >= self.expected || left.is_zero() {
                return;
            }
            // Whoever appends next is to wake this thread again.
            shared.wake.take_sync();
            if !shared.wake.wait(Some(left)) {
                return;
            }
        }
    }

    /// Runs a sync and notes what it was like.
    pub(super) fn observe(&mut self, shared: &Shared, sync: impl FnOnce()) {
        let (began, before) = (shared.clock.now(), shared.marks.durable.seq());
        sync();
        let synced = shared.marks.durable.seq().saturating_sub(before);
        if synced > 0 {
            self.ended = shared.clock.now();
            self.took = self.ended.saturating_sub(began);
            self.expected = synced + pending(shared);
        }
    }
}

/// How many sequence numbers wait for a sync.
fn pending(shared: &Shared) -> u64 {
    shared.marks.appended.seq().saturating_sub(shared.marks.durable.seq())
}
