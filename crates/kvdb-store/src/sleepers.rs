//! Sleepers: commands that wait for a change of a key (BLPOP and its like).
//!
//! A command that finds nothing registers itself in the shards of its keys, under the latches under which it found
//! nothing, so that no change can slip by. A run that changes such a key says so ([`Scratch::ready`](crate::Scratch)),
//! and whoever ran it lets the sleepers try again, the longest-waiting first. Until that has happened the place is
//! *unserved*: another command that comes to it meanwhile lets them try first ([`Guards::unserved`](crate::Guards)), so
//! that nobody who has just come gets what others have waited for.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::key::{Place, SHARDS};
use crate::store::Store;
use crate::write::WriteCx;

/// Something that waits for keys.
pub trait Sleeper: Any + Send + Sync {
    /// Whether its wait ends, too, when the key is gone.
    fn minds_absence(&self) -> bool {
        false
    }
}

/// Those who wait for a place.
#[derive(Default)]
struct Waiting {
    /// The longest-waiting first.
    sleepers: Vec<Arc<dyn Sleeper>>,
    /// How often the place was changed since somebody waits for it.
    changes: u64,
    /// After how many of the changes all sleepers have tried again.
    served: u64,
}

/// The sleepers of a shard, by database and place.
#[derive(Default)]
pub(crate) struct ShardSleepers(HashMap<(u16, Place), Waiting>);

impl ShardSleepers {
    /// Whether nobody waits for anything.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes that a key at a place was changed; tells whether somebody waits for it.
    #[inline]
    pub(crate) fn note_change(&mut self, db: u16, place: Place) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let waiting = self.0.get_mut(&(db, place));
        waiting.map(|waiting| waiting.changes += 1).is_some()
    }

    /// Notes that databases have other keys; adds the places in them for which somebody waits to `places`.
    pub(crate) fn note_changes(&mut self, dbs: &[u16], places: &mut Vec<(u16, Place)>) {
        let from = places.len();
        for (&(db, place), waiting) in &mut self.0 {
            if dbs.contains(&db) {
                waiting.changes += 1;
                places.push((db, place));
            }
        }
        // Who is served first must not depend on the order of the map.
        places[from..].sort_unstable();
    }

    /// Whether somebody waits for a key at a place, and has not tried again since it was changed.
    #[inline]
    pub(crate) fn is_unserved(&self, db: u16, place: Place) -> bool {
        !self.0.is_empty() && self.0.get(&(db, place)).is_some_and(|waiting| waiting.served < waiting.changes)
    }

    fn remove(&mut self, db: u16, place: Place, sleeper: &Arc<dyn Sleeper>) {
        let Some(waiting) = self.0.get_mut(&(db, place)) else { return };
        waiting.sleepers.retain(|other| !Arc::ptr_eq(other, sleeper));
        if waiting.sleepers.is_empty() {
            self.0.remove(&(db, place));
        }
    }
}

impl fmt::Debug for ShardSleepers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShardSleepers").field(&self.0.len()).finish()
    }
}

impl WriteCx<'_> {
    /// Has a sleeper wait for a declared key. Returns the place, for [`Store::forget_sleeper`].
    pub fn register(&mut self, key: &[u8], sleeper: &Arc<dyn Sleeper>) -> Place {
        let place = self.env.place(self.store, key);
        let sleepers =
            &mut self.guards.shard_mut(place).sleepers.0.entry((self.db, place)).or_default().sleepers;
        if !sleepers.iter().any(|other| Arc::ptr_eq(other, sleeper)) {
            sleepers.push(sleeper.clone());
        }
        place
    }
}

impl Store {
    /// Those who wait for a key at a place, the longest-waiting first, and a number for [`Self::sleepers_served`].
    pub fn sleepers(&self, db: u16, place: Place) -> (Vec<Arc<dyn Sleeper>>, u64) {
        let shard = self.shard(place.shard());
        let waiting = shard.sleepers.0.get(&(db, place));
        waiting.map_or_else(Default::default, |waiting| (waiting.sleepers.clone(), waiting.changes))
    }

    /// How many keys somebody waits for, and for how many of them one whose wait ends when the key is gone. Two keys of one
    /// place are not told apart.
    pub fn awaited_keys(&self) -> (usize, usize) {
        let minds = |waiting: &Waiting| waiting.sleepers.iter().any(|sleeper| sleeper.minds_absence());
        (0..SHARDS).fold((0, 0), |(all, minding), index| {
            let waiting = &self.shard(index).sleepers.0;
            (all + waiting.len(), minding + waiting.values().filter(|waiting| minds(waiting)).count())
        })
    }

    /// Notes that all who waited for a place have tried again.
    pub fn sleepers_served(&self, db: u16, place: Place, changes: u64) {
        if let Some(waiting) = self.shard(place.shard()).sleepers.0.get_mut(&(db, place)) {
            waiting.served = waiting.served.max(changes.min(waiting.changes));
        }
    }

    /// Ends a wait.
    pub fn forget_sleeper(&self, db: u16, place: Place, sleeper: &Arc<dyn Sleeper>) {
        self.shard(place.shard()).sleepers.remove(db, place, sleeper);
    }
}
