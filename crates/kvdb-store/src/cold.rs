//! Cold keys: from rows to objects and back out of memory.
//!
//! Before a run, [`Store::ensure_resident`] looks whether a declared key is resident or known to be absent. Where it is
//! neither, the row is taken from the caches of the LSM, and where that would touch a file, the caller parks the command
//! and asks for a load. A key that is being loaded is not resident, and every command that wants to change it must wait
//! for the load: so nothing can change between reading the rows and installing the object, without any latch being held
//! while the disk is read.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kvdb_lsm::Cached;

use crate::context::Env;
use crate::entry::{BigString, Entry, INLINE_MAX, NewValue, TAG_BITS};
use crate::io::Waiter;
use crate::key::{Place, SHARDS, SLOTS_PER_SHARD};
use crate::latches::Guards;
use crate::row::{self, Body, CHUNK_BYTES, Meta};
use crate::shard::Shard;
use crate::store::Store;
use crate::types::{Collection, Held};
use crate::usage::Usage;

/// Whether a run may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residency {
    /// The key is resident or does not exist.
    Ready,
    /// The disk has to be read first.
    NeedIo,
}

/// Rows read at a time by a warm-up.
const WARM_UP_BATCH: usize = 256;
/// Keys that are loaded between two looks whether there is room for more.
const ROOM_EVERY: usize = 16;

impl Store {
    /// Sees to it that a key is resident or known to be absent, from memory alone, for a run of these manners.
    ///
    /// # Errors
    /// When a row that is in memory does not decode or its block is damaged; the message is for the client.
    #[inline]
    pub fn ensure_resident(
        &self,
        guards: &mut Guards<'_>,
        db: u16,
        key: &[u8],
        env: &Env,
    ) -> Result<Residency, String> {
        self.ensure_resident_at(guards, db, key, env.place(self, key), env.now)
    }

    /// As [`Self::ensure_resident`], of a key whose place is known.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn ensure_resident_at(
        &self,
        guards: &mut Guards<'_>,
        db: u16,
        key: &[u8],
        place: Place,
        now: u64,
    ) -> Result<Residency, String> {
        if !guards.shard(place).incomplete {
            return Ok(Residency::Ready);
        }
        self.ensure_resident_in(guards.shard_mut(place), db, place, key, now)
    }

    fn ensure_resident_in(
        &self,
        shard: &mut Shard,
        db: u16,
        place: Place,
        key: &[u8],
        now: u64,
    ) -> Result<Residency, String> {
        if shard.knows(db, place, key) {
            return Ok(Residency::Ready);
        }
        if shard.loading.contains_key(&(db, place)) {
            return Ok(Residency::NeedIo);
        }
        let row_key = row::meta_key(place, self.space(db), key);
        match self.rows.get_cached(&row_key).map_err(|e| e.to_string())? {
            Cached::Absent => Ok(Residency::Ready),
            Cached::NeedIo(_) => Ok(Residency::NeedIo),
            Cached::Found(value) => {
                let meta = row::decode_meta(&value).ok_or("a row does not decode: the data is damaged")?;
                let value = match meta.body {
                    Body::Chunked { .. } | Body::Elements { .. } => return Ok(Residency::NeedIo),
                    Body::Bytes(b) if b.len() <= INLINE_MAX => NewValue::Bytes(b),
                    Body::Bytes(b) => NewValue::Big(Box::new(BigString { bytes: b.to_vec(), generation: 0 })),
                    Body::Int(i) => NewValue::Int(i),
                };
                let fresh = Fresh { usage: self.usage(), now };
                install(shard, db, place, key, value, meta.deadline, fresh);
                Ok(Residency::Ready)
            }
        }
    }

    /// Has a cold key loaded by an I/O thread; `waiter` is woken when that is done. Several requests for one key share
    /// one read.
    pub fn request_load(self: &Arc<Self>, db: u16, key: &[u8], now: u64, waiter: Waiter) {
        let place = self.place(key);
        {
            let mut shard = self.shard(place.shard());
            if let Some(waiters) = shard.loading.get_mut(&(db, place)) {
                waiters.push(waiter);
                return;
            }
            // The latch was given back since the caller missed the key. Another load may have brought it by now, and
            // while it is resident commands change it without asking whether it is being loaded.
            if shard.knows(db, place, key) {
                drop(shard);
                waiter.wake(Ok(()));
                return;
            }
            shard.loading.insert((db, place), vec![waiter]);
        }
        let (store, key) = (self.clone(), key.to_vec());
        self.io.submit(move || {
            // Who waits has been told how it went.
            let _: Result<(), Arc<str>> = store.load(db, place, &key, now);
        });
    }

    /// Reads the rows of a key that is in `loading`, installs the object and wakes those who wait.
    fn load(&self, db: u16, place: Place, key: &[u8], now: u64) -> Result<(), Arc<str>> {
        let (epoch, space) = {
            let mut shard = self.shard(place.shard());
            // FLUSHDB or SWAPDB may have made the key known since the load was asked for, and a known key changes while
            // it is being loaded: what is read meanwhile could be gone when it is installed.
            if shard.knows(db, place, key) {
                let waiters = shard.loading.remove(&(db, place)).unwrap_or_default();
                drop(shard);
                waiters.into_iter().for_each(|waiter| waiter.wake(Ok(())));
                return Ok(());
            }
            (self.epoch(), self.space(db))
        };
        let result = self.read_object(place, space, key);
        self.stats.loads.fetch_add(1, Ordering::Relaxed);
        let (waiters, outcome) = {
            let mut shard = self.shard(place.shard());
            let waiters = shard.loading.remove(&(db, place)).unwrap_or_default();
            let outcome = match result {
                Ok(found) => {
                    // FLUSHDB and SWAPDB change which rows the database has; those that were read may be another's now,
                    // or have been changed under another number. Who waits asks again.
                    if self.epoch() == epoch && !shard.knows(db, place, key) {
                        if let Some((value, deadline)) = found {
                            let fresh = Fresh { usage: self.usage(), now };
                            value.install(&mut shard, db, place, key, deadline, fresh);
                        }
                        shard.pins.loaded(db, key);
                    }
                    Ok(())
                }
                Err(message) => {
                    // A warm-up that left the key to this load must not call the slot complete.
                    shard.evictions += 1;
                    Err(Arc::from(message))
                }
            };
            (waiters, outcome)
        };
        for waiter in waiters {
            waiter.wake(outcome.clone());
        }
        outcome
    }

    fn read_object(
        &self,
        place: Place,
        space: u32,
        key: &[u8],
    ) -> Result<Option<(Loaded, Option<u64>)>, String> {
        let row_key = row::meta_key(place, space, key);
        let Some(value) = self.rows.get(&row_key).map_err(|e| e.to_string())? else { return Ok(None) };
        let Meta { deadline, body } =
            row::decode_meta(&value).ok_or("a row does not decode: the data is damaged")?;
        let loaded = match body {
            Body::Bytes(b) => Loaded::Bytes(b.to_vec()),
            Body::Int(i) => Loaded::Int(i),
            Body::Chunked { len, generation } => {
                let len =
                    usize::try_from(len).map_err(|_| "a string is longer than this machine can hold")?;
                Loaded::Big(BigString { bytes: self.read_chunks(&row_key, len, generation)?, generation })
            }
            Body::Elements { kind, generation, extra } => {
                let mut collection = Collection::new(kind);
                collection.load_extra(extra).ok_or("a row does not decode: the data is damaged")?;
                let mut held = Held { generation, collection };
                self.read_elements(place, space, key, &mut held)?;
                Loaded::Collection(held)
            }
        };
        Ok(Some((loaded, deadline)))
    }

    fn read_chunks(&self, row_key: &[u8], len: usize, generation: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| "out of memory while loading a large string")?;
        bytes.resize(len, 0);
        let from = row::chunk_key(row_key, generation, 0);
        let to = row::chunk_key(row_key, generation, u32::MAX);
        let view = self.rows.view();
        for row in self.rows.iter((Bound::Included(&from[..]), Bound::Included(&to[..])), &view) {
            let (chunk_key, chunk) = row.map_err(|e| e.to_string())?;
            let number = chunk_key.last_chunk().map_or(0, |n: &[u8; 4]| u32::from_be_bytes(*n)) as usize;
            let start = number * CHUNK_BYTES;
            let target =
                bytes.get_mut(start..start + chunk.len()).ok_or("a chunk lies outside its string")?;
            target.copy_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn read_elements(&self, place: Place, space: u32, key: &[u8], held: &mut Held) -> Result<(), String> {
        let mut prefix = Vec::new();
        row::write_element_prefix(&mut prefix, place, space, key, held.generation);
        let (end, layout, view) = (row::behind_elements(&prefix), self.layout(), self.rows.view());
        let mut rows = self.rows.iter((Bound::Included(&prefix[..]), Bound::Excluded(&end[..])), &view);
        while let Some((row_key, value)) = rows.next_entry().map_err(|e| e.to_string())? {
            let loaded = held.collection.load(&row_key[prefix.len()..], value, &layout);
            loaded.ok_or("a row does not decode: the data is damaged")?;
        }
        held.collection.loaded();
        Ok(())
    }

    /// Loads what fits into `budget_bytes`, slot by slot, and marks the slots complete. Meant for a background thread
    /// after start; stops when the store is closing.
    ///
    /// # Errors
    /// When rows cannot be read; what was loaded stays.
    pub fn warm_up(self: &Arc<Self>, budget_bytes: usize, now: impl Fn() -> u64) -> Result<usize, String> {
        let mut loaded = 0;
        for db in 0..self.databases() {
            if self.counts(db).keys == 0 {
                continue;
            }
            for slot in 0..crate::slot::SLOT_COUNT {
                if self.closing.load(Ordering::Relaxed) || self.census_cheap(slot) >= budget_bytes {
                    return Ok(loaded);
                }
                let mut keys = 0;
                self.visit_slot(db, slot, |place, key| {
                    keys += 1;
                    self.load_now(db, place, key, now()).map(|()| true)
                })?;
                loaded += keys;
            }
        }
        Ok(loaded)
    }

    /// The bytes that resident objects hold, counted anew once for every shard that a warm-up comes to.
    fn census_cheap(&self, slot: u16) -> usize {
        if usize::from(slot).is_multiple_of(SLOTS_PER_SHARD) { self.census() } else { self.resident_bytes() }
    }

    /// Loads the keys of a slot as those of least use, as long as there is room for them; tells whether there was.
    pub(crate) fn load_slot(
        &self,
        db: u16,
        slot: u16,
        now: u64,
        mut has_room: impl FnMut() -> bool,
    ) -> Result<bool, String> {
        let mut n = 0;
        self.visit_slot(db, slot, |place, key| {
            if n % ROOM_EVERY == 0 && !has_room() {
                return Ok(false);
            }
            n += 1;
            let is_here = |shard: &Shard| shard.table(db, place).find(place.tag(), key);
            if is_here(&self.shard(place.shard())).is_some() {
                return Ok(true);
            }
            self.load_now(db, place, key, now)?;
            let mut shard = self.shard(place.shard());
            if let Some(at) = is_here(&shard) {
                shard.table_mut(db, place).at_mut(at).set_access(self.usage().least(now));
            }
            self.count(&mut shard);
            Ok(true)
        })
    }

    /// Shows the keys of a slot that is not complete to `visit`, which loads them, and marks it complete; not where `visit`
    /// wants no more. Tells whether it wanted all.
    fn visit_slot(
        &self,
        db: u16,
        slot: u16,
        mut visit: impl FnMut(Place, &[u8]) -> Result<bool, String>,
    ) -> Result<bool, String> {
        let first = Place { slot, hash: 0 };
        let (evictions, epoch, space) = {
            let shard = self.shard(first.shard());
            if shard.db(db).is_complete(first.table()) {
                return Ok(true);
            }
            (shard.evictions, self.epoch(), self.space(db))
        };
        let (mut from, to) = (row::lower_bound(first, space), row::slot_end(slot, space));
        loop {
            let keys = self.meta_keys(&from, &to, WARM_UP_BATCH)?;
            for key in &keys {
                if !visit(self.place(key), key)? {
                    return Ok(false);
                }
            }
            let Some(last) = keys.last() else { break };
            from = row::behind_parts(self.place(last), space, last);
        }
        let mut shard = self.shard(first.shard());
        // A key that somebody else is loading is not here yet.
        let is_loading = shard.loading.keys().any(|&(d, place)| d == db && place.slot == slot);
        if shard.evictions == evictions && self.epoch() == epoch && !is_loading {
            shard.set_complete(db, first.table(), true);
        }
        Ok(true)
    }

    /// Has a cold key loaded and waits for it: for threads that may wait, and for what cannot begin again.
    ///
    /// # Errors
    /// When its rows cannot be read; the message is for the client.
    pub fn load_and_wait(self: &Arc<Self>, db: u16, key: &[u8], now: u64) -> Result<(), Arc<str>> {
        let (done, loaded) = std::sync::mpsc::channel();
        let waiter = Waiter::new(move |result| {
            // Who waits is just below.
            let _: Result<_, _> = done.send(result);
        });
        self.request_load(db, key, now, waiter);
        loaded.recv().unwrap_or_else(|_| Err("the server is ending".into()))
    }

    /// Loads a key on this thread, unless it is resident or somebody else is at it.
    pub(crate) fn load_now(&self, db: u16, place: Place, key: &[u8], now: u64) -> Result<(), String> {
        {
            let mut shard = self.shard(place.shard());
            if shard.knows(db, place, key) || shard.loading.contains_key(&(db, place)) {
                return Ok(());
            }
            shard.loading.insert((db, place), Vec::new());
        }
        self.load(db, place, key, now).map_err(|message| message.to_string())
    }

    /// Loads a key on this thread while its latch is held, unless somebody else is at it; `alone` says that whatever
    /// others load is void. For a run that has begun again too often, or cannot: everybody else who wants the shard waits
    /// for the disk too.
    pub(crate) fn load_latched(
        &self,
        guards: &mut Guards<'_>,
        db: u16,
        key: &[u8],
        now: u64,
        alone: bool,
    ) -> Result<Residency, String> {
        let place = self.place(key);
        if !alone && guards.shard(place).loading.contains_key(&(db, place)) {
            return Ok(Residency::NeedIo);
        }
        let found = self.read_object(place, self.space(db), key)?;
        self.stats.loads.fetch_add(1, Ordering::Relaxed);
        let shard = guards.shard_mut(place);
        if let Some((value, deadline)) = found {
            value.install(shard, db, place, key, deadline, Fresh { usage: self.usage(), now });
        }
        shard.pins.loaded(db, key);
        Ok(Residency::Ready)
    }

    /// The user keys of the meta rows in a range, at most `limit`.
    fn meta_keys(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, String> {
        let view = self.rows.view();
        let mut keys = Vec::new();
        let mut rows = self.rows.iter((Bound::Included(from), Bound::Excluded(to)), &view).keys();
        while let Some(row_key) = rows.next_key().map_err(|e| e.to_string())? {
            match row::split_key(row_key) {
                Some(split) if split.is_meta => keys.push(split.key.to_vec()),
                Some(_) => {}
                None => return Err("a row key does not decode: the data is damaged".into()),
            }
            if keys.len() >= limit {
                break;
            }
        }
        Ok(keys)
    }

    /// Drops the objects that have gone unused the longest from memory until at most `target_bytes` are resident, as far
    /// as they are safely in the log (`settled`, a sequence). Looks at `SAMPLE` slots at a time, from a random place on.
    /// Returns how many it dropped.
    pub fn evict_to_disk(&self, target_bytes: usize, settled: u64, now: u64, mut random: u64) -> usize {
        const SAMPLE: usize = 16;
        const STRIDE: usize = SLOTS_PER_SHARD / SAMPLE;
        const ROUNDS: usize = 4 * PASS;
        // So many rounds come to every slot once: when none of them drops anything, nothing can be dropped.
        const PASS: usize = SHARDS * STRIDE;
        let (mut dropped, mut fruitless) = (0, 0);
        let mut resident = self.census();
        let start = (random >> 33) as usize % PASS;
        for round in 0..ROUNDS {
            if resident <= target_bytes || fruitless == PASS {
                break;
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (stride, index) = ((start + round) / SHARDS % STRIDE, (start + round) % SHARDS);
            let mut shard = self.shard(index);
            let before = shard.bytes();
            let tables = (0..SAMPLE).map(|i| i * STRIDE + stride);
            let evicted = evict_from(&mut shard, self.databases(), tables, random, settled, |access| {
                self.usage().coldness(access, now)
            });
            dropped += evicted.len();
            if let Some(deadline) = evicted.iter().filter_map(dies_at).min() {
                self.cold_deadline.fetch_min(deadline, Ordering::Relaxed);
            }
            let freed = before - shard.bytes();
            drop(shard);
            // Collections may take long to drop, and nobody waits for this thread.
            drop(evicted);
            resident -= freed.min(resident);
            fruitless = if freed == 0 { fruitless + 1 } else { 0 };
        }
        self.resident_bytes.store(resident, Ordering::Relaxed);
        self.stats.evicted_to_disk.fetch_add(dropped as u64, Ordering::Relaxed);
        dropped
    }
}

/// When a key, or the first of its elements, dies.
fn dies_at(entry: &Entry) -> Option<u64> {
    let elements = entry.held().and_then(|held| held.collection.told_deadline());
    entry.deadline().into_iter().chain(elements).min()
}

/// Drops the colder half of the entries of some slots of a shard, at least one. They are compared with each other: where
/// keys are few a slot has none or one. Of a slot with very many, as one hash tag makes it, it looks at a part, since the
/// latch is held meanwhile.
fn evict_from(
    shard: &mut Shard,
    databases: u16,
    tables: impl Iterator<Item = usize> + Clone,
    random: u64,
    settled: u64,
    coldness: impl Fn(u32) -> u32,
) -> Vec<Entry> {
    const LOOK_AT: usize = 1024;
    let mut dropped = Vec::new();
    for db in 0..databases {
        let mut found: Vec<(u32, Place, Vec<u8>)> = Vec::new();
        for table in tables.clone() {
            let entries = shard.db(db).table(table);
            let from = if entries.len() > LOOK_AT {
                entries.lower_bound((random >> 24) as u32 % (1 << TAG_BITS))
            } else {
                0
            };
            let evictable =
                entries.iter_from(from).map(|(_, entry)| entry).take(LOOK_AT).filter(|e| {
                    e.seq() <= settled && (shard.pins.is_empty() || !shard.pins.holds(db, e.key()))
                });
            found.extend(
                evictable
                    .map(|e| (coldness(e.access()), Place::at_tag(table as u16, e.tag()), e.key().to_vec())),
            );
        }
        if found.is_empty() {
            continue;
        }
        found.sort_unstable_by_key(|&(coldness, ..)| std::cmp::Reverse(coldness));
        found.truncate(found.len().div_ceil(2));
        for (_, place, key) in found {
            let table = shard.db(db).table(place.table());
            let at = table.find(place.tag(), &key).expect("it was there under the same latch");
            dropped.push(shard.remove(db, place, at));
            shard.set_complete(db, place.table(), false);
        }
        shard.evictions += 1;
    }
    dropped
}

/// What an object built from rows needs to count as just used.
#[derive(Clone, Copy)]
struct Fresh {
    usage: Usage,
    now: u64,
}

/// A value read from rows.
enum Loaded {
    Bytes(Vec<u8>),
    Int(i64),
    Big(BigString),
    Collection(Held),
}

impl Loaded {
    fn install(
        self,
        shard: &mut Shard,
        db: u16,
        place: Place,
        key: &[u8],
        deadline: Option<u64>,
        fresh: Fresh,
    ) {
        match self {
            Self::Bytes(b) if b.len() <= INLINE_MAX => {
                install(shard, db, place, key, NewValue::Bytes(&b), deadline, fresh)
            }
            Self::Bytes(bytes) => {
                Self::Big(BigString { bytes, generation: 0 }).install(shard, db, place, key, deadline, fresh)
            }
            Self::Int(i) => install(shard, db, place, key, NewValue::Int(i), deadline, fresh),
            Self::Big(big) => install(shard, db, place, key, NewValue::Big(Box::new(big)), deadline, fresh),
            Self::Collection(mut held) => {
                install(shard, db, place, key, NewValue::Collection(&mut held), deadline, fresh)
            }
        }
    }
}

/// Puts an object built from rows into memory. It depends on nothing: what is read from rows was settled before.
fn install(
    shard: &mut Shard,
    db: u16,
    place: Place,
    key: &[u8],
    value: NewValue<'_>,
    deadline: Option<u64>,
    fresh: Fresh,
) {
    let at = shard.put(db, place, None, key, value, deadline);
    shard.table_mut(db, place).at_mut(at).set_access(fresh.usage.fresh(fresh.now));
    shard.schedule(db, place, at, None, fresh.now);
    let elements = shard.table(db, place).at(at).held().and_then(|held| held.collection.next_deadline());
    if let Some(deadline) = elements {
        shard.look_again(db, place.table(), place.tag(), deadline, fresh.now);
    }
}
