//! Keys that a run did not declare: what a script touches, and what the patterns of SORT name.
//!
//! A run holds the latches of its declared keys, and those are resident. It learns of other keys only by looking, and then
//! it must not wait: others may wait for what it holds. So it *reaches*. It tries the latch of such a key, and looks
//! whether the key is in memory. Where one or the other fails it notes what it lacks and ends before it has changed
//! anything (or what it has changed is forgotten), gives all latches back, and its caller begins it again:
//!
//! * [`Lack::Latches`]: at once, with these latches beside those of the declared keys, all taken in shard order;
//! * [`Lack::Loads`]: when the keys have been loaded; they are pinned meanwhile.
//!
//! So a run that ends well has held every key that it looked at from its first look on: it is atomic, and it never waits
//! while it holds something, so there is no deadlock. What it looks at may be another thing every time, so it could go
//! round for ever; but the rounds are numbered. Whoever lacks latches some rounds in a row gets all there are, and a run
//! that has asked for loads [`PATIENCE`] times reads the disk itself, under its latches.

use crate::cold::Residency;
use crate::key::{Place, SHARDS};
use crate::row;
use crate::write::WriteCx;

/// Loads that a command asks for before it reads what is still missing itself.
pub const PATIENCE: u8 = 32;
/// Keys whose loads are asked for together …
const LOADS_AT_A_TIME: usize = 256;
/// … but of very many keys so large a part of them: each time, the run has to look at all of them again.
const PART_LOADED_AT_A_TIME: usize = 16;
/// Bytes of keys whose loads are asked for together.
const BYTES_AT_A_TIME: usize = 16 << 20;

/// What a run lacks that has to begin again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// The latches of these places.
    Latches(Vec<Place>),
    /// These keys of a database in memory; there is at least one.
    Loads(u16, Vec<Vec<u8>>),
}

impl WriteCx<'_> {
    /// Makes a key of a database one of the run: latches it, unless somebody else has it, and looks whether it is resident.
    /// Also for a key that was declared, where nobody has made it resident in this database. When this says no, the run
    /// ends, and the command fails before any change, with [`Self::lack`] set.
    ///
    /// # Errors
    /// When a row that is in memory does not decode; the message is for the client.
    pub fn reach(&mut self, db: u16, key: &[u8]) -> Result<bool, String> {
        let place = self.env.place(self.store, key);
        if !self.try_latch(place) {
            self.lack = Some(Lack::Latches(vec![place]));
            return Ok(false);
        }
        let ready = self.reside(db, key)? == Residency::Ready;
        if !ready {
            self.lack = Some(Lack::Loads(db, vec![key.to_vec()]));
        }
        Ok(ready)
    }

    /// Takes all latches, for what concerns whole databases, unless somebody else has one. When this says no, the run ends,
    /// with [`Self::lack`] set.
    pub fn reach_everything(&mut self) -> bool {
        let has_all =
            self.guards.are_all() || (0..SHARDS).all(|shard| self.try_latch(Place::first_of(shard)));
        if !has_all {
            self.lack = Some(Lack::Latches((0..SHARDS).map(Place::first_of).collect()));
        }
        has_all
    }

    /// As [`Self::reach`], for many keys, which `name` writes into an empty buffer by their numbers; where it says no,
    /// there is no such key. When this says no, the handler fails before any change, with [`Self::lack`] set.
    ///
    /// # Errors
    /// When rows do not decode; the message is for the client.
    pub fn reach_all(
        &mut self,
        count: usize,
        mut name: impl FnMut(usize, &mut Vec<u8>) -> bool,
    ) -> Result<bool, String> {
        let mut key = Vec::new();
        let mut named = |number, key: &mut Vec<u8>| {
            key.clear();
            name(number, key)
        };
        // Thousands of keys have no more shards than there are.
        let (mut seen, mut places) = ([false; SHARDS], Vec::new());
        for number in 0..count {
            if named(number, &mut key) {
                let place = self.env.place(self.store, &key);
                if !std::mem::replace(&mut seen[place.shard()], true) {
                    places.push(place);
                }
            }
        }
        if !places.iter().all(|&place| self.try_latch(place)) {
            self.lack = Some(Lack::Latches(places));
            return Ok(false);
        }
        let at_a_time = LOADS_AT_A_TIME.max(count / PART_LOADED_AT_A_TIME);
        let (mut cold, mut bytes) = (Vec::new(), 0);
        for number in 0..count {
            if named(number, &mut key) && self.reside(self.db, &key)? == Residency::NeedIo {
                bytes += key.len();
                cold.push(key.clone());
                if cold.len() == at_a_time || bytes > BYTES_AT_A_TIME {
                    break;
                }
            }
        }
        let ready = cold.is_empty();
        if !ready {
            self.lack = Some(Lack::Loads(self.db, cold));
        }
        Ok(ready)
    }

    /// What is lacking for the command to run, after [`Self::reach`] or another of these said no.
    pub fn lack(&mut self) -> Option<Lack> {
        self.lack.take()
    }

    /// Latches the shard of another place too, unless somebody else has its latch.
    fn try_latch(&mut self, place: Place) -> bool {
        let Some(is_new) = self.guards.try_add(self.store, place) else { return false };
        if is_new {
            self.generation = None;
        }
        true
    }

    /// Whether a key is not in memory since the run has deleted it: its rows say so only when they have been appended.
    fn has_deleted(&mut self, db: u16, key: &[u8]) -> bool {
        let place = self.env.place(self.store, key);
        let shard = self.guards.shard(place);
        if !shard.incomplete || self.scratch.batch.is_empty() || shard.knows(db, place, key) {
            return false;
        }
        let pending = self.pending.get_or_insert_default();
        pending.read(&self.scratch.batch);
        pending.has(&row::meta_key(place, self.store.space(db), key))
    }

    fn reside(&mut self, db: u16, key: &[u8]) -> Result<Residency, String> {
        if self.has_deleted(db, key) {
            return Ok(Residency::Ready);
        }
        let (now, alone) = (self.env.now, self.upheaval.is_some());
        match self.store.ensure_resident(&mut self.guards, db, key, &self.env)? {
            // A run that has emptied or exchanged databases does not begin again: the key is another one before that.
            Residency::NeedIo if alone || self.env.rounds >= PATIENCE => {
                self.store.load_latched(&mut self.guards, db, key, now, alone)
            }
            residency => Ok(residency),
        }
    }
}
