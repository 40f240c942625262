//! Latches: whoever looks at keys or changes them holds the latches of their shards, and nobody waits for two of them in a
//! circle.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use crate::key::{Place, SHARDS};
use crate::shard::Shard;
use crate::store::Store;

/// How often who waits for a latch looks whether it is a busy script that holds it.
const BUSY_LOOK: Duration = Duration::from_millis(10);

/// Each shard on cache lines of its own, so that two workers on neighbouring shards do not disturb each other.
#[repr(align(128))]
pub(crate) struct Latched(Mutex<Shard>);

impl Latched {
    pub(crate) fn new(shard: Shard) -> Self {
        Self(Mutex::new(shard))
    }
}

impl Store {
    #[inline]
    pub(crate) fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.try_shard(index).unwrap_or_else(|| self.wait_for_shard(index))
    }

    #[cold]
    fn wait_for_shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        loop {
            if let Some(shard) = self.shards[index].0.try_lock_for(BUSY_LOOK) {
                return shard;
            }
            if let (true, Some(pastime)) = (self.is_busy(), self.pastime.get()) {
                pastime();
            }
        }
    }

    /// Has whoever waits for a latch that a [busy](Self::begin_busy) script may hold do something meanwhile, again and again.
    /// It may be called where other latches are held, so it must not want any. Only the first one counts.
    pub fn set_pastime(&self, pastime: fn()) {
        // Whether it is the first is the caller's business.
        let _: Result<(), _> = self.pastime.set(pastime);
    }

    /// A shard, unless somebody else has its latch.
    #[inline]
    pub(crate) fn try_shard(&self, index: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards[index].0.try_lock()
    }

    /// As [`Self::latch`], unless somebody else has the latch.
    pub(crate) fn try_latch(&self, place: Place) -> Option<Guards<'_>> {
        self.try_shard(place.shard()).map(|shard| Guards::one(place.shard(), shard))
    }

    /// Asks the processor for the part of the table where a place belongs, unless somebody has the latch: this very thread
    /// may, where it hears clients from inside a script.
    #[inline]
    pub fn prefetch(&self, db: u16, place: Place) {
        if let Some(shard) = self.try_shard(place.shard()) {
            shard.table(db, place).prefetch(place.tag());
        }
    }

    /// Asks the processor for the entry of a place, some time after [`Self::prefetch`].
    #[inline]
    pub fn prefetch_entry(&self, db: u16, place: Place) {
        if let Some(shard) = self.try_shard(place.shard()) {
            shard.table(db, place).prefetch_entries(place.tag());
        }
    }

    /// Asks the processor for what the collection of a place is, some time after [`Self::prefetch_entry`]; tells whether
    /// there is a collection.
    #[inline]
    pub fn prefetch_held(&self, db: u16, place: Place) -> bool {
        self.try_shard(place.shard()).is_some_and(|shard| shard.table(db, place).prefetch_held(place.tag()))
    }

    /// Asks the processor for elements of the collection of a place, some time after [`Self::prefetch_held`].
    #[inline]
    pub fn prefetch_elements(&self, db: u16, place: Place) {
        if let Some(shard) = self.try_shard(place.shard()) {
            shard.table(db, place).prefetch_elements(place.tag());
        }
    }

    /// Latches the shard of one place.
    #[inline]
    pub fn latch(&self, place: Place) -> Guards<'_> {
        Guards::one(place.shard(), self.shard(place.shard()))
    }

    /// Latches the shards of several places, in shard order, so that two callers never wait for each other in a circle.
    pub fn latch_many(&self, places: &[Place]) -> Guards<'_> {
        let mut wanted: SmallVec<[u16; 16]> = places.iter().map(|p| p.shard() as u16).collect();
        wanted.sort_unstable();
        wanted.dedup();
        Guards::of(wanted.into_iter().map(|i| (i, self.shard(usize::from(i)))).collect())
    }

    /// As [`Self::latch_many`]; gives up where a script that is [busy](Self::begin_busy) holds one of them.
    #[inline]
    pub fn latch_unless_busy(&self, places: &[Place]) -> Option<Guards<'_>> {
        let mut wanted: SmallVec<[u16; 16]> = places.iter().map(|p| p.shard() as u16).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut held = SmallVec::new();
        for index in wanted {
            held.push((index, self.shard_unless_busy(usize::from(index))?));
        }
        Some(Guards::of(held))
    }

    #[inline]
    fn shard_unless_busy(&self, index: usize) -> Option<MutexGuard<'_, Shard>> {
        loop {
            if let Some(shard) = self.shards[index].0.try_lock_for(BUSY_LOOK) {
                return Some(shard);
            }
            if self.is_busy() {
                return None;
            }
        }
    }

    /// Notes that a script holds latches for longer than others should wait, until [`Self::end_busy`].
    pub fn begin_busy(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that such a script has ended. Another one may still be busy.
    pub fn end_busy(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether some script holds latches for longer than others should wait.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) != 0
    }

    /// Latches everything.
    pub fn latch_all(&self) -> Guards<'_> {
        Guards::of((0..SHARDS).map(|i| (i as u16, self.shard(i))).collect())
    }

    /// As [`Self::latch_all`]; gives up where a script that is [busy](Self::begin_busy) holds one of them.
    pub fn latch_all_unless_busy(&self) -> Option<Guards<'_>> {
        let mut held = SmallVec::new();
        for index in 0..SHARDS {
            held.push((index as u16, self.shard_unless_busy(index)?));
        }
        Some(Guards::of(held))
    }
}

/// Latched shards with their indexes.
type Held<'s> = SmallVec<[(u16, MutexGuard<'s, Shard>); 1]>;

/// The latches that a run holds.
///
/// # Invariants
///
/// * Shard indexes ascend.
pub struct Guards<'s> {
    held: Held<'s>,
    /// Which of them was asked for last: a command does several things with one key.
    last: Cell<usize>,
}

impl<'s> Guards<'s> {
    /// No latch.
    pub(crate) fn none() -> Self {
        Self::of(SmallVec::new())
    }

    fn of(held: Held<'s>) -> Self {
        Self { held, last: Cell::new(0) }
    }

    /// The latch of one shard.
    pub(crate) fn one(index: usize, shard: MutexGuard<'s, Shard>) -> Self {
        Self::of(smallvec::smallvec![(index as u16, shard)])
    }
}

impl Guards<'_> {
    #[inline]
    fn index(&self, place: Place) -> usize {
        if self.held.len() == 1 {
            debug_assert_eq!(
                usize::from(self.held[0].0),
                place.shard(),
                "a command touched a key that it did not declare"
            );
            return 0;
        }
        let wanted = place.shard() as u16;
        let last = self.last.get();
        if self.held.get(last).is_some_and(|(index, _)| *index == wanted) {
            return last;
        }
        let found = self.held.binary_search_by_key(&wanted, |(i, _)| *i);
        let found = found.expect("a run holds the latches of all keys it touches");
        self.last.set(found);
        found
    }

    /// Asks the processor for the entries of several places, all at once.
    pub fn prefetch(&self, db: u16, places: &[Place]) {
        for &place in places {
            self.shard(place).table(db, place).prefetch(place.tag());
        }
        for &place in places {
            self.shard(place).table(db, place).prefetch_entries(place.tag());
        }
    }

    /// The shard of a place whose latch is held.
    ///
    /// # Panics
    /// When it is not.
    #[inline]
    pub fn shard(&self, place: Place) -> &Shard {
        &self.held[self.index(place)].1
    }

    /// The shard of a place whose latch is held, for change.
    ///
    /// # Panics
    /// When it is not.
    #[inline]
    pub fn shard_mut(&mut self, place: Place) -> &mut Shard {
        let index = self.index(place);
        &mut self.held[index].1
    }

    /// Whether somebody waits for a key of a shard held.
    #[inline]
    pub fn has_sleepers(&self) -> bool {
        self.held.iter().any(|(_, shard)| !shard.sleepers.is_empty())
    }

    /// Whether somebody waits for a key at a place, and has not tried again since it was changed: another command that
    /// may take something from it has to let them try first.
    #[inline]
    pub fn unserved(&self, db: u16, place: Place) -> bool {
        self.shard(place).sleepers.is_unserved(db, place)
    }

    /// Whether they are all there are.
    pub(crate) fn are_all(&self) -> bool {
        self.held.len() == SHARDS
    }

    /// Every shard held.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.held.iter().map(|(_, shard)| &**shard)
    }

    /// Every shard held, for change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.held.iter_mut().map(|(_, shard)| &mut **shard)
    }
}

impl<'s> Guards<'s> {
    /// Latches the shard of another place too, if that can be had at once: who holds some must not wait for others. Tells
    /// whether it was not held before.
    pub(crate) fn try_add(&mut self, store: &'s Store, place: Place) -> Option<bool> {
        let wanted = place.shard() as u16;
        let Err(at) = self.held.binary_search_by_key(&wanted, |(i, _)| *i) else { return Some(false) };
        let shard = store.shards[place.shard()].0.try_lock()?;
        self.held.insert(at, (wanted, shard));
        Some(true)
    }
}
