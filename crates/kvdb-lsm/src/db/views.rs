//! Read views: the database as it was at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::state::State;
use crate::batch::Seq;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The live views.
///
/// # Invariants
/// `newest` is the largest key of `live`, 0 if there is none. It rises only while the gate is
/// closed, so an append sees every view that is older than itself.
#[derive(Debug, Default)]
pub(super) struct Views {
    newest: AtomicU64,
    live: Mutex<BTreeMap<Seq, usize>>,
}

impl Views {
    /// The sequence of the newest live view, 0 for none.
    #[inline]
    pub(super) fn newest(&self) -> Seq {
        self.newest.load(Ordering::Acquire)
    }

    /// The number of live views, and the sequence of the oldest.
    pub(super) fn count_and_oldest(&self) -> (usize, Option<Seq>) {
        let live = self.live.lock();
        (live.values().sum(), live.keys().next().copied())
    }

    /// Makes a view; the gate is closed and `seq` is the last sequence appended.
    pub(super) fn pin(self: &Arc<Self>, seq: Seq, state: Arc<State>) -> ReadView {
        let mut live = self.live.lock();
        *live.entry(seq).or_default() += 1;
        self.newest.store(seq, Ordering::Release);
        ReadView { pin: Arc::new(Pin { seq, state, views: Arc::clone(self) }) }
    }

    fn unpin(&self, seq: Seq) {
        let mut live = self.live.lock();
        if let Some(count) = live.get_mut(&seq) {
            *count -= 1;
            if *count == 0 {
                live.remove(&seq);
            }
        }
        let newest = live.keys().next_back().copied().unwrap_or_default();
        self.newest.store(newest, Ordering::Release);
    }
}

#[derive(Debug)]
pub(super) struct Pin {
    pub(super) seq: Seq,
    pub(super) state: Arc<State>,
    views: Arc<Views>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.views.unpin(self.seq);
    }
}

/// The database as it was when the view was made: later writes are invisible through it.
///
/// A view keeps the memtables and tables it was made over, and so their memory and disk space, for
/// as long as it (or an iterator made from it) lives. Making one copies nothing, however large the
/// database is: it costs a short wait for the appends that are under way. Reading through it costs
/// no more than reading without, and any number may be alive; [`DbStats`](super::DbStats) tells how
/// many are, and where the oldest stands.
///
/// A view is always of now. One of a sequence in the past cannot be made, because overwritten
/// versions are kept only for views that were there at the time; to come back to a moment, keep a
/// view of it.
#[derive(Debug, Clone)]
pub struct ReadView {
    pub(super) pin: Arc<Pin>,
}

impl ReadView {
    /// The last sequence the view sees.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.pin.seq
    }
}
