//! Collections in a run: editing, taking out, and putting whole ones.

use std::fmt;
use std::ops::Bound;

use kvdb_lsm::batch::{MAX_BATCH_BYTES, WriteBatch};

use crate::carried::{Carried, CarriedValue};
use crate::context::Before;
use crate::dead_rows::DeadRows;
use crate::edit::{Edit, RowSink};
use crate::effect::{Effect, StringValue};
use crate::entry::{Entry, NewValue};
use crate::events::Event;
use crate::key::Place;
use crate::row::{self, Meta};
use crate::store::Store;
use crate::types::{Collection, Elements, Hash, Held};
use crate::write::WriteCx;

/// The key holds a value of another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongType;

impl fmt::Display for WrongType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key holds a value of another type")
    }
}

impl std::error::Error for WrongType {}

/// A value that goes with at most so many parts has their rows deleted one by one; the rows of a larger one are left to
/// compactions.
const PARTS_DELETED_AT_ONCE: usize = 64;
/// A collection of more elements than this is dropped from memory by a thread that nobody waits for.
const ELEMENTS_DROPPED_AT_ONCE: usize = 1024;

impl WriteCx<'_> {
    /// Changes the collection of a key, which is made when it is not there and something is added, and goes when nothing
    /// is left in it. A key that is there keeps its deadline.
    ///
    /// # Errors
    /// When the key holds a value of another type; `change` is not called then.
    pub fn edit<T: Elements, R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut Edit<'_, T>) -> R,
    ) -> Result<R, WrongType> {
        let (place, at) = self.find(key);
        let (db, space, layout) = (self.db, self.store.space(self.db), self.store.layout());
        let Some(at) = at else { return Ok(self.create(place, key, change)) };
        let entry = self.guards.shard_mut(place).table_mut(db, place).at_mut(at);
        let (held_bytes, was) = (entry.memory_bytes(), Before::of(entry));
        let held = entry.held_mut().ok_or(WrongType)?;
        let (generation, before) = (held.generation, held.collection.next_deadline());
        let value = T::of_mut(&mut held.collection).ok_or(WrongType)?;
        self.scratch.row_key.clear();
        row::write_element_prefix(&mut self.scratch.row_key, place, space, key, generation);
        let rows = RowSink::new(&mut self.scratch.batch, &self.scratch.row_key);
        let mut edit = Edit { value, layout, rows };
        let result = change(&mut edit);
        let (changed, meta_changed) = (edit.rows.changed, edit.rows.meta_changed);
        if !changed && !meta_changed {
            return Ok(result);
        }
        let is_empty = edit.value.is_empty() && !T::STAYS_EMPTY;
        let shard = self.guards.shard_mut(place);
        let entry = shard.table(db, place).at(at);
        let now_bytes = entry.memory_bytes();
        shard.resized(db, held_bytes, now_bytes);
        if is_empty {
            self.remove(place, at, key);
            return Ok(result);
        }
        let deadline = was.deadline;
        if shard.tell_deadline(db, place, at) || meta_changed {
            let held = shard.table(db, place).at(at).held().expect("it has just been edited");
            let (extra, batch) = (held.collection.extra(), &mut self.scratch.batch);
            row::put_meta(batch, place, space, key, &Meta { deadline, body: held.body(&extra) });
        }
        self.changed(place, at, Some(was), deadline);
        self.schedule_elements(place, at, before);
        Ok(result)
    }

    /// Has the expiry index look at a collection when the first of its elements dies, where that has come nearer.
    fn schedule_elements(&mut self, place: Place, at: usize, before: Option<u64>) {
        let (db, now) = (self.db, self.now());
        let shard = self.guards.shard_mut(place);
        let next = shard.table(db, place).at(at).held().and_then(|held| held.collection.next_deadline());
        if let Some(next) = next
            && before.is_none_or(|before| next < before)
        {
            shard.look_again(db, place.table(), place.tag(), next, now);
        }
    }

    /// As [`Self::edit`], of a key that is not there.
    fn create<T: Elements, R>(
        &mut self,
        place: Place,
        key: &[u8],
        change: impl FnOnce(&mut Edit<'_, T>) -> R,
    ) -> R {
        let (db, space, layout) = (self.db, self.store.space(self.db), self.store.layout());
        let (generation, mut value) = (self.new_generation(), T::default());
        self.scratch.row_key.clear();
        row::write_element_prefix(&mut self.scratch.row_key, place, space, key, generation);
        let rows = RowSink::new(&mut self.scratch.batch, &self.scratch.row_key);
        let mut edit = Edit { value: &mut value, layout, rows };
        let result = change(&mut edit);
        let changed = edit.rows.changed || edit.rows.meta_changed;
        if changed && (T::STAYS_EMPTY || !value.is_empty()) {
            let mut held = Held::new(generation, value.into_collection());
            let extra = held.collection.extra();
            let meta = Meta { deadline: None, body: held.body(&extra) };
            row::put_meta(&mut self.scratch.batch, place, space, key, &meta);
            let value = NewValue::Collection(&mut held);
            let at = self.guards.shard_mut(place).put(db, place, None, key, value, None);
            self.changed(place, at, None, None);
            self.schedule_elements(place, at, None);
        }
        result
    }

    /// A generation that no part of a value of a key whose latch is held has ever had, but for those of this very run.
    /// Others may give the same one to keys that they hold meanwhile, so with another latch the run begins anew.
    pub(crate) fn new_generation(&mut self) -> u64 {
        let generation = *self.generation.get_or_insert_with(|| self.store.log.appended() + 1);
        self.first_generation.get_or_insert(generation);
        generation
    }

    /// Gives a key a whole value, whatever it was.
    pub fn put(&mut self, key: &[u8], carried: Carried) {
        let deadline = carried.deadline;
        let collection = match carried.value {
            CarriedValue::Bytes(bytes) => {
                self.apply(key, Effect::PutString { value: StringValue::Raw(&bytes), deadline });
                return;
            }
            CarriedValue::Int(int) => {
                self.apply(key, Effect::PutString { value: StringValue::Int(int), deadline });
                return;
            }
            CarriedValue::Collection(collection) => collection,
        };
        let (place, at) = self.find(key);
        let (db, space) = (self.db, self.store.space(self.db));
        if let Some(at) = at {
            self.delete_parts(place, at, key);
            self.retire(place, at);
        }
        let mut held = Held::new(self.new_generation(), collection);
        let extra = held.collection.extra();
        row::put_meta(
            &mut self.scratch.batch,
            place,
            space,
            key,
            &Meta { deadline, body: held.body(&extra) },
        );
        let row_key = &mut self.scratch.row_key;
        row_key.clear();
        row::write_element_prefix(row_key, place, space, key, held.generation);
        let prefix_len = row_key.len();
        held.collection.rows(&mut |element, value| {
            row_key.truncate(prefix_len);
            row_key.extend_from_slice(element);
            self.scratch.batch.put(row_key, value);
        });
        let before = self.before(place, at);
        let value = NewValue::Collection(&mut held);
        let at = self.guards.shard_mut(place).put(db, place, at, key, value, deadline);
        self.changed(place, at, before, deadline);
        self.schedule_elements(place, at, None);
    }

    /// Removes elements of a key that are past their deadline, `limit` at the most; returns how many.
    pub(crate) fn remove_dead_elements(&mut self, key: &[u8], limit: usize) -> usize {
        let now = self.now();
        let removed = self.edit(key, |hash: &mut Edit<'_, Hash>| hash.remove_dead(now, limit)).unwrap_or(0);
        if removed > 0 {
            self.notify_edit(Event::FIELDS_EXPIRED, key);
        }
        removed
    }

    /// Takes a key with its value out.
    pub fn take(&mut self, key: &[u8]) -> Option<Carried> {
        let (place, at) = self.find(key);
        let at = at?;
        self.delete_parts(place, at, key);
        let entry = self.guards.shard_mut(place).table_mut(self.db, place).at_mut(at);
        let carried = match entry.held_mut() {
            None => Carried::of_entry(entry),
            Some(_) => {
                let deadline = entry.deadline();
                let collection = self.empty_out(place, at)?;
                Carried { value: CarriedValue::Collection(collection), deadline }
            }
        };
        self.remove_entry(place, at, key);
        Some(carried)
    }

    /// Takes the elements of an entry out and leaves none; `None` when it is no collection.
    fn empty_out(&mut self, place: Place, at: usize) -> Option<Collection> {
        let shard = self.guards.shard_mut(place);
        let entry = shard.table_mut(self.db, place).at_mut(at);
        let before = entry.memory_bytes();
        let held = entry.held_mut()?;
        let taken = held.collection.take();
        let after = entry.memory_bytes();
        shard.resized(self.db, before, after);
        Some(taken)
    }

    /// Has the elements of an entry that is about to go dropped elsewhere, when they are many.
    pub(crate) fn retire(&mut self, place: Place, at: usize) {
        let entry = self.guards.shard(place).table(self.db, place).at(at);
        if is_slow_to_drop(entry)
            && let Some(taken) = self.empty_out(place, at)
        {
            self.store.io.submit(move || drop(taken));
        }
    }

    /// Adds the removal of the rows of all parts of a value to the batch, or a note that they are dead.
    #[inline]
    pub(crate) fn delete_parts(&mut self, place: Place, at: usize, key: &[u8]) {
        let entry = self.guards.shard(place).table(self.db, place).at(at);
        if let Some(big) = entry.big() {
            let (generation, len) = (big.generation, big.bytes.len());
            self.delete_chunks(place, key, generation, len);
        } else if entry.held().is_some() {
            self.delete_elements(place, at, key);
        }
    }

    fn delete_elements(&mut self, place: Place, at: usize, key: &[u8]) {
        let space = self.store.space(self.db);
        let Some(held) = self.guards.shard(place).table(self.db, place).at(at).held() else { return };
        let row_key = &mut self.scratch.row_key;
        row_key.clear();
        row::write_element_prefix(row_key, place, space, key, held.generation);
        // A generation of this run has no rows yet that are older than the ones in its batch, and may be given again. (Where
        // the key was latched later its generation may only look so: to delete its rows one by one is right all the same.)
        let is_new = self.first_generation.is_some_and(|first| held.generation >= first);
        if is_new || held.collection.len() <= PARTS_DELETED_AT_ONCE {
            let prefix_len = row_key.len();
            let batch = &mut self.scratch.batch;
            held.collection.rows(&mut |element, _| {
                row_key.truncate(prefix_len);
                row_key.extend_from_slice(element);
                batch.delete(row_key);
            });
        } else {
            self.scratch.batch.put(&row::dead_key(row_key), &[]);
            self.scratch.dead_parts.push(row_key.clone());
        }
    }
}

impl Collection {
    /// Whether a key can be given this whole value in one change. Meant to be asked before one is built: a value that turns
    /// out to be too large for the log leaves memory with the change. The log has the last word, since the rows of a stream
    /// may be many times what is in memory.
    pub fn fits_a_change(&self, key: &[u8]) -> bool {
        let row_bytes = key.len() + row::ELEMENT_OVERHEAD;
        let about = self.len().saturating_mul(row_bytes).saturating_add(self.memory_bytes());
        if about < MAX_BATCH_BYTES / 4 {
            return true;
        }
        let mut bytes = 0_usize;
        self.rows(&mut |element, value| {
            bytes = bytes.saturating_add(row_bytes + element.len() + value.len());
        });
        bytes <= MAX_BATCH_BYTES
    }
}

/// Whether dropping the entry takes so long that no latch should be held meanwhile.
pub(crate) fn is_slow_to_drop(entry: &Entry) -> bool {
    entry.held().is_some_and(|held| held.collection.len() > ELEMENTS_DROPPED_AT_ONCE)
}

impl Store {
    /// Forgets the generations of which compactions have left no row, looking at `limit` of those that are dead. Returns
    /// how many it forgot. Meant for a background thread.
    ///
    /// # Errors
    /// When rows cannot be read or written; the message is for an operator.
    pub fn bury(&self, limit: usize) -> Result<usize, String> {
        let Some(dead) = self.dead_rows() else { return Ok(0) };
        let mut batch = WriteBatch::new();
        let mut gone = Vec::new();
        for prefix in dead.generations().iter().take(limit) {
            let (end, view) = (row::behind_elements(prefix), self.rows.view());
            let mut rows =
                self.rows.iter((Bound::Included(&prefix[..]), Bound::Excluded(&end[..])), &view).keys();
            if rows.next_key().map_err(|e| e.to_string())?.is_none() {
                batch.delete(&row::dead_key(prefix));
                gone.push(prefix.clone());
            }
        }
        if !gone.is_empty() {
            self.log.append(&batch).map_err(|refusal| refusal.to_string())?;
            gone.iter().for_each(|prefix| dead.forget_generation(prefix));
        }
        Ok(gone.len())
    }

    /// Finds out from the rows which generations are dead.
    pub(crate) fn load_dead_generations(&self, filter: &DeadRows) -> Result<(), String> {
        let (end, view) = (row::behind_elements(row::DEAD_PREFIX), self.rows.view());
        let mut rows = self.rows.iter((Bound::Included(row::DEAD_PREFIX), Bound::Excluded(&end[..])), &view);
        while let Some((key, _)) = rows.next_entry().map_err(|e| e.to_string())? {
            filter.add_generation(&key[row::DEAD_PREFIX.len()..]);
        }
        Ok(())
    }
}
