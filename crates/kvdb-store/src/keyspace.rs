//! What concerns whole databases: counting, walking, flushing and exchanging them.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::ops::Bound;
use std::sync::atomic::Ordering;

use kvdb_lsm::batch::WriteBatch;
use kvdb_ttl::is_dead;

use crate::commit_log::Refusal;
use crate::identity::put_spaces;
use crate::key::{Place, SHARDS, SLOTS_PER_SHARD};
use crate::object::Object;
use crate::row::{self, Meta, Type};
use crate::shard::DbShard;
use crate::slot::SLOT_COUNT;
use crate::store::{Store, expires_counter, keys_counter};

/// How many keys a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DbCounts {
    /// Keys, the ones past their deadline that have not been deleted yet included, as in Redis.
    pub keys: u64,
    /// Keys with a deadline.
    pub expires: u64,
}

/// A step of a walk.
#[derive(Debug)]
pub enum Walk {
    /// The keys found and where to go on; 0 when the walk is over.
    Keys(Keys, u64),
    /// Keys of this part are not resident: ask again where waiting for the disk is allowed.
    NeedIo,
}

/// What a draw of a random key came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Draw {
    /// This key.
    Key(Vec<u8>),
    /// No key is alive.
    Empty,
    /// None was found in memory: draw again where waiting for the disk is allowed.
    NeedIo,
}

type Keys = Vec<(Vec<u8>, Type)>;

/// Rows, or resident keys that are dead, that a walk looks at for each key that it was asked for, so that neither the dead
/// nor other databases hold it up.
const ROWS_PER_KEY: usize = 10;
/// Rows that a walk may look at however few keys it was asked for.
const MIN_ROWS: usize = 4096;
/// Keys that a walk takes under one hold of a latch, so that nobody waits long for it.
const KEYS_PER_LATCH: usize = 1024;
/// What placing an iterator costs, in rows.
const ROWS_PER_SEEK: usize = 16;

/// What a database leaves behind when it is flushed: to be dropped where it holds nobody up.
pub struct Flushed(Vec<DbShard>);

impl Flushed {
    /// Whether nothing is left behind, so that nobody need be bothered with dropping it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Store {
    /// Counts the keys of a database, exactly, as they are at one moment: a key that is renamed from one shard into
    /// another is counted once.
    pub fn counts(&self, db: u16) -> DbCounts {
        let at = usize::from(db);
        let (mut keys, mut expires) = (self.keys_at_open[at], self.expires_at_open[at]);
        for shard in self.latch_all().iter_mut() {
            keys += shard.keys_delta[at];
            expires += shard.expires_delta[at];
        }
        DbCounts { keys: keys.max(0) as u64, expires: expires.max(0) as u64 }
    }

    /// Walks a database: the keys from a cursor on, about `count` of them. The cursor is a position in the order of slot
    /// and hash, so it stays good across writes, resizes and restarts, and a key that is there throughout is returned.
    /// `may_wait` allows reading the disk.
    ///
    /// # Errors
    /// When rows cannot be read; the message is for the client.
    pub fn walk(&self, db: u16, cursor: u64, count: usize, now: u64, may_wait: bool) -> Result<Walk, String> {
        let mut keys = Vec::new();
        let mut next = Place::from_position(cursor);
        let mut dead_budget = count.saturating_mul(ROWS_PER_KEY).max(MIN_ROWS);
        while let Some(place) = next {
            if keys.len() >= count || dead_budget == 0 {
                return Ok(Walk::Keys(keys, place.position()));
            }
            let enough = count.min(keys.len() + KEYS_PER_LATCH);
            next = match self.walk_resident(db, place, enough, now, &mut keys, &mut dead_budget) {
                Some(next) => next,
                None if may_wait => match self.collect_rows(db, place, count, now, &mut keys)? {
                    // Enough rows for one call, even if few of them were keys of this database and alive.
                    Some(next) => return Ok(Walk::Keys(keys, next.position())),
                    None => None,
                },
                None if keys.is_empty() => return Ok(Walk::NeedIo),
                None => return Ok(Walk::Keys(keys, place.position())),
            };
        }
        Ok(Walk::Keys(keys, 0))
    }

    /// The keys of a slot from a place on, and where to go on: whole groups of one tag, so that a cursor never stands
    /// inside a group. Passes over slots of the same shard without a key; nothing when the slot is not complete.
    fn walk_resident(
        &self,
        db: u16,
        place: Place,
        count: usize,
        now: u64,
        keys: &mut Keys,
        dead_budget: &mut usize,
    ) -> Option<Option<Place>> {
        let shard = self.shard(place.shard());
        if !shard.db(db).is_complete(place.table()) {
            return None;
        }
        let mut place = place;
        let before = keys.len();
        while keys.len() == before && *dead_budget > 0 && shard.db(db).is_complete(place.table()) {
            let table = shard.table(db, place);
            let mut last = None;
            for (_, entry) in table.iter_from(table.lower_bound(place.tag())) {
                let enough = keys.len() >= count || *dead_budget == 0;
                if enough && last.is_some_and(|tag| tag != entry.tag()) {
                    return Some(Some(Place::at_tag(place.slot, entry.tag())));
                }
                last = Some(entry.tag());
                if entry.deadline().is_some_and(|d| is_dead(d, now)) {
                    *dead_budget = dead_budget.saturating_sub(1);
                } else {
                    keys.push((entry.key().to_vec(), Object(entry).kind()));
                }
            }
            let Some(next) = next_slot(place.slot) else { return Some(None) };
            if next.shard() != place.shard() {
                return Some(Some(next));
            }
            place = next;
        }
        Some(Some(place))
    }

    /// Adds the keys that are alive from a place on, up to `count`, from the rows. Returns where to go on.
    fn collect_rows(
        &self,
        db: u16,
        place: Place,
        count: usize,
        now: u64,
        keys: &mut Keys,
    ) -> Result<Option<Place>, String> {
        let budget = count.saturating_mul(ROWS_PER_KEY).max(MIN_ROWS);
        self.walk_rows(db, place, budget, |key, meta| {
            if !meta.deadline.is_some_and(|d| is_dead(d, now)) {
                keys.push((key.to_vec(), meta.body.kind()));
            }
            keys.len() < count
        })
    }

    /// Shows the keys from a place on, from the rows: the LSM has every change that was made, resident or not. Goes on
    /// while `visit` says so and `budget`, in rows, lasts, to the end of a group of one tag; returns where to go on.
    pub(crate) fn walk_rows(
        &self,
        db: u16,
        place: Place,
        mut budget: usize,
        mut visit: impl FnMut(&[u8], &Meta<'_>) -> bool,
    ) -> Result<Option<Place>, String> {
        let (space, view) = {
            let _latch = self.shard(place.shard());
            (self.space(db), self.rows.view())
        };
        let (mut last, mut enough) = (None, false);
        let mut from = row::lower_bound(Place::at_tag(place.slot, place.tag()), space);
        let end = row::lower_bound(Place { slot: SLOT_COUNT, hash: 0 }, 0);
        loop {
            // Between the keys of a slot and those of the next one there may be other databases: then the iterator is
            // placed anew. So the cost follows the keys, not the slots.
            let mut rows =
                self.rows.iter((Bound::Included(&from[..]), Bound::Excluded(&end[..])), &view).keys();
            from = loop {
                let Some(row_key) = rows.next_key().map_err(|e| e.to_string())? else {
                    return Ok(None);
                };
                let split =
                    row::split_key(row_key).ok_or("a row key does not decode: the data is damaged")?;
                // A slot has the rows of a smaller space before ours and those of a larger one behind.
                let here = match split.space.cmp(&space) {
                    Less => Some(Place { slot: split.place.slot, hash: 0 }),
                    Equal => Some(Place::at_tag(split.place.slot, split.place.tag())),
                    Greater => next_slot(split.place.slot),
                };
                let Some(here) = here else { return Ok(None) };
                budget = budget.saturating_sub(1);
                if last != Some(here) && (enough || budget == 0) {
                    return Ok(Some(here));
                }
                if split.space != space {
                    budget = budget.saturating_sub(ROWS_PER_SEEK);
                    break row::lower_bound(here, space);
                }
                last = Some(here);
                if !split.is_meta {
                    break row::behind_parts(split.place, space, split.key);
                }
                let (row_key, value) = rows.row().map_err(|e| e.to_string())?.unwrap_or_default();
                let row = row::split_key(row_key).zip(row::decode_meta(value));
                let (split, meta) = row.ok_or("a row does not decode: the data is damaged")?;
                enough |= !visit(split.key, &meta);
            };
        }
    }

    /// A key of a database that is alive, about evenly among the resident ones; where none is resident, the first on disk
    /// behind a random place (only with `may_wait`).
    ///
    /// # Errors
    /// When rows cannot be read; the message is for the client.
    pub fn random_key(&self, db: u16, now: u64, random: u64, may_wait: bool) -> Result<Draw, String> {
        let lens: Vec<usize> = (0..SHARDS).map(|i| self.shard(i).db(db).keys()).collect();
        let total: usize = lens.iter().sum();
        if total > 0 {
            // A few tries: the key drawn may be dead, or gone by the time its shard is latched.
            for attempt in 0..16u64 {
                let draw =
                    random.rotate_left(attempt as u32 * 7) ^ attempt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                if let Some(key) = self.draw_key(db, now, draw, &lens, total) {
                    return Ok(Draw::Key(key));
                }
            }
        }
        if self.counts(db).keys == 0 {
            return Ok(Draw::Empty);
        }
        for start in [random >> 2, 0] {
            let mut cursor = start;
            loop {
                match self.walk(db, cursor, 1, now, may_wait)? {
                    Walk::NeedIo => return Ok(Draw::NeedIo),
                    Walk::Keys(keys, next) => {
                        if let Some((key, _)) = keys.into_iter().next() {
                            return Ok(Draw::Key(key));
                        }
                        if next == 0 {
                            break;
                        }
                        if !may_wait {
                            return Ok(Draw::NeedIo);
                        }
                        cursor = next;
                    }
                }
            }
        }
        Ok(Draw::Empty)
    }

    fn draw_key(&self, db: u16, now: u64, random: u64, lens: &[usize], total: usize) -> Option<Vec<u8>> {
        let mut nth = (random % total as u64) as usize;
        let index = lens.iter().position(|&len| {
            let here = nth < len;
            nth -= if here { 0 } else { len };
            here
        })?;
        let shard = self.shard(index);
        for (_, table) in shard.db(db).tables() {
            if nth < table.len() {
                let entry = table.iter().nth(nth)?;
                return (!entry.deadline().is_some_and(|d| is_dead(d, now))).then(|| entry.key().to_vec());
            }
            nth -= table.len();
        }
        None
    }

    /// Empties databases in one step, whatever their size: they get new spaces. Returns the sequence of the change and
    /// what is to be dropped.
    ///
    /// # Errors
    /// When the log refuses writes.
    pub fn flush(&self, dbs: &[u16]) -> Result<(u64, Flushed), Refusal> {
        let mut guards = self.latch_all();
        let mut batch = WriteBatch::new();
        let mut spaces = self.all_spaces();
        let mut next = self.next_space.load(Ordering::Relaxed);
        for &db in dbs {
            spaces[usize::from(db)] = next;
            next = next.checked_add(1).ok_or_else(|| {
                Refusal::Unavailable("databases have been emptied as often as row keys can tell apart".into())
            })?;
            let at = usize::from(db);
            let keys: i64 = self.keys_at_open[at] + guards.iter_mut().map(|s| s.keys_delta[at]).sum::<i64>();
            let expires: i64 =
                self.expires_at_open[at] + guards.iter_mut().map(|s| s.expires_delta[at]).sum::<i64>();
            batch.add_counter(keys_counter(db), -keys);
            batch.add_counter(expires_counter(db), -expires);
        }
        put_spaces(&mut batch, next, &spaces);
        let seq = self.log.append(&batch)?;
        self.next_space.store(next, Ordering::Relaxed);
        self.next_epoch();
        self.tell_emptied(next, &spaces);
        let mut flushed = Vec::new();
        for &db in dbs {
            let at = usize::from(db);
            self.set_space(db, spaces[at]);
            for (i, shard) in guards.iter_mut().enumerate() {
                let old = shard.clear_db(db);
                if old.has_ever_held_keys() {
                    flushed.push(old);
                }
                shard.moved(seq);
                shard.keys_delta[at] = if i == 0 { -self.keys_at_open[at] } else { 0 };
                shard.expires_delta[at] = if i == 0 { -self.expires_at_open[at] } else { 0 };
            }
        }
        guards.iter_mut().for_each(|shard| self.count(shard));
        self.table_bytes.store(guards.iter_mut().map(|s| s.overhead_bytes()).sum(), Ordering::Relaxed);
        self.tell_emptied_to_readers(guards);
        Ok((seq, Flushed(flushed)))
    }

    /// Exchanges two databases in one step.
    ///
    /// # Errors
    /// When the log refuses writes.
    pub fn swap(&self, a: u16, b: u16, now: u64) -> Result<u64, Refusal> {
        let mut guards = self.latch_all();
        let mut spaces = self.all_spaces();
        let (ia, ib) = (usize::from(a), usize::from(b));
        spaces.swap(ia, ib);
        let mut batch = WriteBatch::new();
        let total = |at: usize, open: &[i64], delta: i64| open[at] + delta;
        let (mut keys, mut expires) = ([0i64; 2], [0i64; 2]);
        for shard in guards.iter_mut() {
            for (n, at) in [ia, ib].into_iter().enumerate() {
                keys[n] += shard.keys_delta[at];
                expires[n] += shard.expires_delta[at];
            }
        }
        let keys = [total(ia, &self.keys_at_open, keys[0]), total(ib, &self.keys_at_open, keys[1])];
        let expires =
            [total(ia, &self.expires_at_open, expires[0]), total(ib, &self.expires_at_open, expires[1])];
        batch.add_counter(keys_counter(a), keys[1] - keys[0]);
        batch.add_counter(keys_counter(b), keys[0] - keys[1]);
        batch.add_counter(expires_counter(a), expires[1] - expires[0]);
        batch.add_counter(expires_counter(b), expires[0] - expires[1]);
        put_spaces(&mut batch, self.next_space.load(Ordering::Relaxed), &spaces);
        let seq = self.log.append(&batch)?;
        self.set_space(a, spaces[ia]);
        self.set_space(b, spaces[ib]);
        self.next_epoch();
        for (i, shard) in guards.iter_mut().enumerate() {
            shard.swap_dbs(a, b, now);
            shard.moved(seq);
            if i == 0 {
                // The counts at opening stay where they were, so the difference goes into one shard's change.
                let (ka, kb) = (self.keys_at_open[ia], self.keys_at_open[ib]);
                shard.keys_delta[ia] += kb - ka;
                shard.keys_delta[ib] += ka - kb;
                let (ea, eb) = (self.expires_at_open[ia], self.expires_at_open[ib]);
                shard.expires_delta[ia] += eb - ea;
                shard.expires_delta[ib] += ea - eb;
            }
        }
        self.tell_emptied_to_readers(guards);
        Ok(seq)
    }

    /// Keys with a deadline that are not resident, by database; about, while keys come and go.
    pub(crate) fn cold_expiring(&self, db: u16) -> u64 {
        let resident: usize = (0..SHARDS).map(|i| self.shard(i).db(db).expiring()).sum();
        self.counts(db).expires.saturating_sub(resident as u64)
    }

    /// Resident keys of all databases: what memory holds now.
    pub fn resident_keys(&self) -> usize {
        (0..SHARDS)
            .map(|i| {
                let shard = self.shard(i);
                (0..self.databases()).map(|db| shard.db(db).keys()).sum::<usize>()
            })
            .sum()
    }
}

fn next_slot(slot: u16) -> Option<Place> {
    (slot + 1 < SLOT_COUNT).then_some(Place { slot: slot + 1, hash: 0 })
}

const _: () = assert!(SLOTS_PER_SHARD <= 64, "completeness is a bit in a u64");
