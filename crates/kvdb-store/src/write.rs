//! A run that changes: effects on objects, and the rows they write.

use std::ops::Range;
use std::sync::atomic::Ordering;

use kvdb_lsm::batch::WriteBatch;

use crate::cold::Residency;
use crate::commit_log::Refusal;
use crate::context::{Env, Scratch, ValueLimits, text_of};
use crate::effect::{Effect, StringValue};
use crate::entry::{BigString, INLINE_MAX, NewValue, ValueRef};
use crate::key::Place;
use crate::object::{Object, canonical_int};
use crate::row::{self, Body, CHUNK_BYTES, CHUNK_THRESHOLD, Meta};
use crate::store::{Guards, Store, expires_counter, keys_counter};
use crate::usage::scatter;

/// A run that may change.
pub struct WriteCx<'r> {
    store: &'r Store,
    guards: Guards<'r>,
    scratch: &'r mut Scratch,
    env: Env,
    db: u16,
    depends_on: u64,
    needs: Option<(u16, Vec<u8>)>,
    /// The key whose use was noted last: looking at a key and changing it is one use.
    used: Option<(u16, Place)>,
}

impl<'r> WriteCx<'r> {
    /// A run over keys whose latches are held and which are resident.
    pub fn new(store: &'r Store, guards: Guards<'r>, scratch: &'r mut Scratch, env: Env, db: u16) -> Self {
        debug_assert!(scratch.batch.is_empty() && scratch.changed.is_empty(), "the last run was committed");
        Self { store, guards, scratch, env, db, depends_on: 0, needs: None, used: None }
    }

    /// Now, in Unix milliseconds.
    pub fn now(&self) -> u64 {
        self.env.now
    }

    /// The highest sequence that the reply depends on so far, what the run itself has changed aside.
    pub fn depends_on(&self) -> u64 {
        self.depends_on
    }

    /// Limits on values.
    pub fn limits(&self) -> &ValueLimits {
        &self.env.limits
    }

    /// Random bits, different for every run.
    pub fn random(&self) -> u64 {
        self.env.random
    }

    /// The database that keys are meant in.
    pub fn db(&self) -> u16 {
        self.db
    }

    /// How many databases there are.
    pub fn databases(&self) -> u16 {
        self.store.databases()
    }

    /// Means keys in another database from now on; a key has the same latch in all of them.
    pub fn select(&mut self, db: u16) {
        assert!(db < self.store.databases(), "the caller has checked the database's number");
        self.db = db;
    }

    /// Whether a declared key may be looked up in another database than the selected one: only those of the selected one
    /// are made resident beforehand. When it says no, the handler fails with [`Self::needs`] set, before any change, and
    /// the command runs again when the key has been loaded.
    pub fn require(&mut self, db: u16, key: &[u8]) -> bool {
        let ready =
            self.store.ensure_resident(&mut self.guards, db, key, self.env.now) == Ok(Residency::Ready);
        if !ready {
            self.needs = Some((db, key.to_vec()));
        }
        ready
    }

    /// The key that has to be loaded before the command can run, after [`Self::require`] said no.
    pub fn needs(&mut self) -> Option<(u16, Vec<u8>)> {
        self.needs.take()
    }

    /// Where a living key stands; deletes it when its deadline has passed.
    #[inline]
    fn find(&mut self, key: &[u8]) -> (Place, Option<usize>) {
        let place = self.env.place(self.store, key);
        let shard = self.guards.shard(place);
        let table = shard.table(self.db, place);
        let Some(at) = table.find(place.tag(), key) else {
            self.depends_on = self.depends_on.max(shard.missed());
            return (place, None);
        };
        let entry = table.at(at);
        self.depends_on = self.depends_on.max(shard.seen(entry));
        if entry.deadline().is_some_and(|d| kvdb_ttl::is_dead(d, self.env.now)) {
            self.remove(place, at, key);
            self.store.stats.expired.fetch_add(1, Ordering::Relaxed);
            return (place, None);
        }
        (place, Some(at))
    }

    /// The object of a key; counts as use, not as a hit or a miss.
    #[inline]
    pub fn get(&mut self, key: &[u8]) -> Option<Object<'_>> {
        let (place, at) = self.find(key);
        let at = at?;
        if self.env.touch {
            self.note_use(place, at);
        }
        Some(Object(self.guards.shard(place).table(self.db, place).at(at)))
    }

    /// The object of a key; counts as use and as a hit or a miss, for commands that read a value and change it.
    pub fn lookup(&mut self, key: &[u8]) -> Option<Object<'_>> {
        if self.find(key).1.is_some() {
            self.scratch.hits += 1
        } else {
            self.scratch.misses += 1
        }
        self.get(key)
    }

    /// Sets when the key was last used, in seconds before now; does nothing where moments are not remembered.
    pub fn set_idle(&mut self, key: &[u8], idle_seconds: u64) {
        let access = self.store.usage().idle_for(idle_seconds, self.env.now);
        self.set_access(key, access);
    }

    /// Sets the logarithmic counter of a key's uses; does nothing where uses are not counted.
    pub fn set_use_counter(&mut self, key: &[u8], counter: u8) {
        let access = self.store.usage().with_counter(counter, self.env.now);
        self.set_access(key, access);
    }

    fn set_access(&mut self, key: &[u8], access: Option<u32>) {
        let ((place, Some(at)), Some(access)) = (self.find(key), access) else { return };
        self.guards.shard_mut(place).table_mut(self.db, place).at_mut(at).set_access(access);
    }

    /// Notes that the entry at a place is used, once for however often that is said in a row.
    #[inline]
    fn note_use(&mut self, place: Place, at: usize) {
        let (db, now) = (self.db, self.env.now);
        if self.used.replace((db, place)) == Some((db, place)) {
            return;
        }
        let entry = self.guards.shard_mut(place).table_mut(db, place).at_mut(at);
        let random = scatter(self.env.random, entry.seq());
        entry.set_access(self.store.usage().used(entry.access(), now, random));
    }

    /// Changes a key. Returns whether there was one to change, which makes a difference for `SetDeadline` and `Delete`.
    #[inline]
    pub fn apply(&mut self, key: &[u8], effect: Effect<'_>) -> bool {
        let (place, at) = self.find(key);
        match effect {
            Effect::PutString { value, deadline } => self.put_string(place, at, key, value, deadline),
            Effect::WriteRange { offset, bytes } => self.write_range(place, at, key, offset, bytes),
            Effect::SetDeadline(deadline) => {
                let Some(at) = at else { return false };
                self.set_deadline(place, at, key, deadline);
            }
            Effect::Delete => {
                let Some(at) = at else { return false };
                self.remove(place, at, key);
            }
        }
        true
    }

    #[inline]
    fn put_string(
        &mut self,
        place: Place,
        at: Option<usize>,
        key: &[u8],
        value: StringValue<'_>,
        deadline: Option<u64>,
    ) {
        let (db, space) = (self.db, self.store.space(self.db));
        if let Some(at) = at {
            self.delete_chunks(place, at, key);
        }
        let (bytes, int) = match value {
            StringValue::Int(i) => (&[][..], Some(i)),
            StringValue::Bytes(b) => (b, canonical_int(b)),
            StringValue::Raw(b) => (b, None),
        };
        let batch = &mut self.scratch.batch;
        let value = match int {
            Some(i) => {
                row::put_meta(batch, place, space, key, &Meta { deadline, body: Body::Int(i) });
                NewValue::Int(i)
            }
            None if bytes.len() <= INLINE_MAX => {
                row::put_meta(batch, place, space, key, &Meta { deadline, body: Body::Bytes(bytes) });
                NewValue::Bytes(bytes)
            }
            None => {
                let mut big = Box::new(BigString { bytes: bytes.to_vec(), generation: 0 });
                if bytes.len() > CHUNK_THRESHOLD {
                    big.generation = self.store.log.appended() + 1;
                }
                put_big(batch, place, space, key, deadline, &big, Chunks::New);
                NewValue::Big(big)
            }
        };
        let before = self.deadline_at(place, at);
        let at = self.guards.shard_mut(place).put(db, place, at, key, value, deadline);
        self.changed(place, at, before, deadline);
    }

    /// The deadline of the entry at a place, with whether there is an entry.
    #[inline]
    fn deadline_at(&self, place: Place, at: Option<usize>) -> Option<Option<u64>> {
        at.map(|at| self.guards.shard(place).table(self.db, place).at(at).deadline())
    }

    fn write_range(&mut self, place: Place, at: Option<usize>, key: &[u8], offset: usize, bytes: &[u8]) {
        let (db, space) = (self.db, self.store.space(self.db));
        let end = offset + bytes.len();
        let before = self.deadline_at(place, at);
        let deadline = before.flatten();
        let shard = self.guards.shard_mut(place);
        let at = match at {
            Some(at) if shard.table(db, place).at(at).big().is_some() => at,
            _ => {
                let mut whole = at.map_or_else(Vec::new, |at| text_of(shard.table(db, place).at(at).value()));
                if whole.len().max(end) <= INLINE_MAX {
                    whole.resize(whole.len().max(end), 0);
                    whole[offset..end].copy_from_slice(bytes);
                    let body = Body::Bytes(&whole);
                    row::put_meta(&mut self.scratch.batch, place, space, key, &Meta { deadline, body });
                    let at = shard.put(db, place, at, key, NewValue::Bytes(&whole), deadline);
                    shard.table_mut(db, place).at_mut(at).set_piecewise();
                    self.changed(place, at, before, deadline);
                    return;
                }
                let big = Box::new(BigString { bytes: whole, generation: 0 });
                shard.put(db, place, at, key, NewValue::Big(big), deadline)
            }
        };
        let entry = shard.table_mut(db, place).at_mut(at);
        let held = entry.memory_bytes();
        entry.set_piecewise();
        let big = entry.big_mut().expect("the branches above made it big");
        if big.bytes.len() < end {
            big.bytes.resize(end, 0);
        }
        big.bytes[offset..end].copy_from_slice(bytes);
        let mut chunks = Chunks::Range(offset..end);
        if big.generation == 0 && big.bytes.len() > CHUNK_THRESHOLD {
            big.generation = self.store.log.appended() + 1;
            chunks = Chunks::New;
        }
        put_big(&mut self.scratch.batch, place, space, key, deadline, big, chunks);
        let holds = entry.memory_bytes();
        shard.resized(db, held, holds);
        self.changed(place, at, before, deadline);
    }

    fn set_deadline(&mut self, place: Place, at: usize, key: &[u8], deadline: Option<u64>) {
        let (db, space) = (self.db, self.store.space(self.db));
        let shard = self.guards.shard_mut(place);
        let entry = shard.table_mut(db, place).at_mut(at);
        let before = entry.deadline();
        match (before, deadline) {
            (None, None) => return,
            (Some(_), Some(new)) => {
                entry.replace_deadline(new);
            }
            _ => shard.reshape(db, place, at, deadline),
        }
        let entry = shard.table(db, place).at(at);
        let body = match (entry.big(), entry.value()) {
            (Some(big), _) if big.generation != 0 => {
                Body::Chunked { len: big.bytes.len() as u64, generation: big.generation }
            }
            (_, ValueRef::Bytes(b)) => Body::Bytes(b),
            (_, ValueRef::Int(i)) => Body::Int(i),
        };
        row::put_meta(&mut self.scratch.batch, place, space, key, &Meta { deadline, body });
        self.changed(place, at, Some(before), deadline);
    }

    /// Notes that the entry at a place was changed: for the sequence, the counts and the expiry index. `before` is the
    /// deadline it had, or `None` when there was no entry.
    #[inline]
    fn changed(&mut self, place: Place, at: usize, before: Option<Option<u64>>, deadline: Option<u64>) {
        let (db, now) = (self.db, self.env.now);
        let shard = self.guards.shard_mut(place);
        let entry = shard.table_mut(db, place).at_mut(at);
        entry.set_pending();
        if before.is_none() {
            entry.set_access(self.store.usage().fresh(now));
            self.used = Some((db, place));
        }
        self.scratch.changed.push((db, place));
        if before.is_none() {
            shard.keys_delta[usize::from(db)] += 1;
            self.scratch.batch.add_counter(keys_counter(db), 1);
        }
        let had = before.flatten();
        if had.is_some() != deadline.is_some() {
            let delta = if deadline.is_some() { 1 } else { -1 };
            shard.expires_delta[usize::from(db)] += delta;
            self.scratch.batch.add_counter(expires_counter(db), delta);
        }
        if deadline.is_some() {
            shard.schedule(db, place, at, had, now);
        }
        if self.env.touch && before.is_some() {
            self.note_use(place, at);
        }
    }

    fn remove(&mut self, place: Place, at: usize, key: &[u8]) {
        self.delete_chunks(place, at, key);
        let (db, space) = (self.db, self.store.space(self.db));
        let shard = self.guards.shard_mut(place);
        let entry = shard.remove(db, place, at);
        shard.removing = true;
        shard.keys_delta[usize::from(db)] -= 1;
        let batch = &mut self.scratch.batch;
        batch.add_counter(keys_counter(db), -1);
        if entry.deadline().is_some() {
            shard.expires_delta[usize::from(db)] -= 1;
            batch.add_counter(expires_counter(db), -1);
        }
        row::delete_meta(batch, place, space, key);
        self.scratch.changed.push((db, place));
    }

    /// Adds the removal of the chunk rows of a large string to the batch.
    #[inline]
    fn delete_chunks(&mut self, place: Place, at: usize, key: &[u8]) {
        let entry = self.guards.shard(place).table(self.db, place).at(at);
        let Some(big) = entry.big().filter(|big| big.generation != 0) else { return };
        let meta = row::meta_key(place, self.store.space(self.db), key);
        for number in 0..big.bytes.len().div_ceil(CHUNK_BYTES) {
            self.scratch.batch.delete(&row::chunk_key(&meta, big.generation, number as u32));
        }
    }

    /// Ends the run: appends what was changed and gives the latches back. Returns the highest sequence that the reply
    /// depends on.
    ///
    /// # Errors
    /// When the log refuses the changes; then none of them has happened.
    #[inline]
    pub fn commit(mut self) -> Result<u64, Refusal> {
        if self.scratch.batch.is_empty() {
            return Ok(self.depends_on);
        }
        let Scratch { batch, changed, .. } = self.scratch;
        let result = self.store.commit(&mut self.guards, batch, changed);
        changed.clear();
        batch.clear();
        result
    }
}

/// Which chunks of a large string are written.
enum Chunks {
    /// All of a string that had none under its generation. Where there is nothing but zeros nothing is written: what is
    /// missing reads as zeros, so a bit far out in an empty bitmap costs one chunk.
    New,
    /// Those that a range of bytes touches, whatever is in them.
    Range(Range<usize>),
}

/// Adds the rows of a large string to a batch: the meta row, and the chunks where it has chunks.
fn put_big(
    batch: &mut WriteBatch,
    place: Place,
    space: u32,
    key: &[u8],
    deadline: Option<u64>,
    big: &BigString,
    chunks: Chunks,
) {
    if big.generation == 0 {
        row::put_meta(batch, place, space, key, &Meta { deadline, body: Body::Bytes(&big.bytes) });
        return;
    }
    let body = Body::Chunked { len: big.bytes.len() as u64, generation: big.generation };
    row::put_meta(batch, place, space, key, &Meta { deadline, body });
    let meta = row::meta_key(place, space, key);
    let (range, is_new) = match chunks {
        Chunks::New => (0..big.bytes.len(), true),
        Chunks::Range(range) => (range, false),
    };
    for number in range.start / CHUNK_BYTES..range.end.div_ceil(CHUNK_BYTES) {
        let start = number * CHUNK_BYTES;
        let chunk = &big.bytes[start..big.bytes.len().min(start + CHUNK_BYTES)];
        if !is_new || chunk.iter().any(|&b| b != 0) {
            batch.put(&row::chunk_key(&meta, big.generation, number as u32), chunk);
        }
    }
}
