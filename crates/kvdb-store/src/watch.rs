//! Watched keys: whether anybody has changed one since a client began to watch it (WATCH).
//!
//! A watch is registered in the shard of its key, and every run that is appended to the log marks the watches of the keys
//! it changed. Nothing is compared afterwards, so a key that was changed and changed back counts as changed, and one that
//! was dropped from memory and loaded again does not.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kvdb_ttl::is_dead;
use smallvec::SmallVec;

use crate::key::{Place, SHARDS};
use crate::latches::Guards;
use crate::store::Store;
use crate::write::WriteCx;

/// The watches of a shard, by database and place. Two keys of one place are not told apart: whoever watches one of them
/// may be told of the other.
#[derive(Debug, Default)]
pub(crate) struct ShardWatches(HashMap<(u16, Place), SmallVec<[Watch; 1]>>);

/// Somebody watches a key.
#[derive(Debug)]
struct Watch {
    touched: Arc<AtomicBool>,
    /// Whether the key that is there was past its deadline when it came there, in the place of none: the one watches as if
    /// there were none, and to delete it is no change.
    stale: bool,
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Nothing.
    Absent,
    /// A key past its deadline.
    Dead,
    /// A key, or one may be on disk.
    Living,
}

impl ShardWatches {
    /// Whether nobody watches anything.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Marks the watches of a key that was changed; `is_there` says whether there is one now.
    #[cold]
    pub(crate) fn touch(&mut self, db: u16, place: Place, is_there: bool) {
        for watch in self.0.get_mut(&(db, place)).into_iter().flatten() {
            if watch.stale && !is_there {
                watch.stale = false;
            } else {
                watch.touched.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Marks the watches of the keys of a database whose keys are about to give way to those that `after` tells of. What
    /// is there `before` and does not live, and does not live afterwards either, is no change.
    pub(crate) fn exchange(
        &mut self,
        db: u16,
        before: impl Fn(Place) -> Presence,
        after: impl Fn(Place) -> Presence,
    ) {
        let watched = self.0.iter_mut().filter(|((watched_db, _), _)| *watched_db == db);
        for (&(_, place), watches) in watched {
            let (before, after) = (before(place), after(place));
            for watch in watches {
                let nothing_before = watch.stale || before == Presence::Absent;
                if nothing_before && after != Presence::Living {
                    watch.stale = after == Presence::Dead;
                } else {
                    watch.touched.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn is_stale(&self, db: u16, place: Place, touched: &Arc<AtomicBool>) -> bool {
        let watches = self.0.get(&(db, place)).into_iter().flatten();
        watches.filter(|watch| Arc::ptr_eq(&watch.touched, touched)).any(|watch| watch.stale)
    }

    fn remove(&mut self, db: u16, place: Place, touched: &Arc<AtomicBool>) {
        let Some(watches) = self.0.get_mut(&(db, place)) else { return };
        watches.retain(|watch| !Arc::ptr_eq(&watch.touched, touched));
        if watches.is_empty() {
            self.0.remove(&(db, place));
        }
    }
}

impl Store {
    /// How many keys somebody watches. Two keys of one place are not told apart.
    pub fn watched_keys(&self) -> usize {
        (0..SHARDS).map(|index| self.shard(index).watches.0.len()).sum()
    }
}

impl WriteCx<'_> {
    /// Counts a key whose latch is held as changed for those who watch it, although nothing is: some commands do that.
    pub fn touch_watches(&mut self, key: &[u8]) {
        let place = self.env.place(self.store, key);
        self.guards.shard_mut(place).watches.touch(self.db, place, true);
    }
}

/// The keys that a client watches, for as long as this lives.
pub struct Watches {
    store: Arc<Store>,
    touched: Arc<AtomicBool>,
    keys: Vec<(u16, Place, Box<[u8]>)>,
    bytes: usize,
}

/// Bytes that a watched key takes here and in its shard, the key itself aside.
const KEY_BYTES: usize = 96;

impl Watches {
    /// None yet.
    pub fn new(store: &Arc<Store>) -> Self {
        Self { store: store.clone(), touched: Arc::default(), keys: Vec::new(), bytes: 0 }
    }

    /// Watches a key from now on. A key that is past its deadline has to be deleted first, or its deletion will count as
    /// a change.
    pub fn add(&mut self, guards: &mut Guards<'_>, db: u16, key: &[u8]) {
        let place = self.store.place(key);
        if self.keys.iter().any(|(d, _, k)| (*d, &**k) == (db, key)) {
            return;
        }
        let watch = Watch { touched: self.touched.clone(), stale: false };
        guards.shard_mut(place).watches.0.entry((db, place)).or_default().push(watch);
        self.keys.push((db, place, key.into()));
        self.bytes += key.len() + KEY_BYTES;
    }

    /// How many keys they are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Bytes of memory, about.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// The places of the keys: their latches have to be held for [`Self::are_touched`].
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.keys.iter().map(|&(_, place, _)| place)
    }

    /// Whether one of the keys has been changed, or has died.
    pub fn are_touched(&self, guards: &Guards<'_>, now: u64) -> bool {
        let has_died = |&(db, place, ref key): &(u16, Place, Box<[u8]>)| {
            let shard = guards.shard(place);
            let table = shard.table(db, place);
            let deadline = table.find(place.tag(), key).and_then(|at| table.at(at).deadline());
            deadline.is_some_and(|deadline| is_dead(deadline, now))
                && !shard.watches.is_stale(db, place, &self.touched)
        };
        self.touched.load(Ordering::Relaxed) || self.keys.iter().any(has_died)
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watches").field(&self.keys.len()).finish()
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for &(db, place, _) in &self.keys {
            self.store.shard(place.shard()).watches.remove(db, place, &self.touched);
        }
    }
}
