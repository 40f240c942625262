//! Looking at whole databases: counting keys, walking them, drawing one.
//!
//! Who does that from without takes one latch after the other, and may see what comes and goes meanwhile. Within a run,
//! which holds all latches, it is as of one moment, and what the run itself has changed counts (`Walker`).

use std::cmp::Ordering::{Equal, Greater, Less};
use std::ops::Bound;

use kvdb_lsm::ReadView;
use kvdb_ttl::is_dead;

use crate::key::{Place, SHARDS, SLOTS_PER_SHARD};
use crate::latches::Guards;
use crate::object::Object;
use crate::pending::Pending;
use crate::row::{self, Meta, Type};
use crate::shard::Shard;
use crate::slot::SLOT_COUNT;
use crate::store::Store;
use crate::write::WriteCx;

/// How many keys a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DbCounts {
    /// Keys, the ones past their deadline that have not been deleted yet included, as in Redis.
    pub keys: u64,
    /// Keys with a deadline.
    pub expires: u64,
}

/// What the durable counters of a database say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Totals {
    /// Keys.
    pub(crate) keys: i64,
    /// Keys with a deadline.
    pub(crate) expires: i64,
    /// Keys with elements that die before them.
    pub(crate) fading: i64,
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

/// Who looks at a database.
#[derive(Clone, Copy)]
struct Walker<'w, 's> {
    store: &'w Store,
    /// The latches of the run that looks, all of them, and what it has changed; nothing where it is no run.
    run: Option<(&'w Guards<'s>, &'w Pending)>,
    db: u16,
    now: u64,
    /// Whether it may read the disk.
    may_wait: bool,
}

impl Store {
    /// Counts the keys of a database, exactly, as they are at one moment: a key that is renamed from one shard into
    /// another is counted once.
    pub fn counts(&self, db: u16) -> DbCounts {
        self.counts_under(&self.latch_all(), db)
    }

    /// As [`Self::counts`], under these latches, which are all there are.
    pub(crate) fn counts_under(&self, guards: &Guards<'_>, db: u16) -> DbCounts {
        let Totals { keys, expires, .. } = self.totals_under(guards, db);
        DbCounts { keys: keys.max(0) as u64, expires: expires.max(0) as u64 }
    }

    /// The numbers of keys as the durable counters have them.
    pub(crate) fn totals_under(&self, guards: &Guards<'_>, db: u16) -> Totals {
        let at = usize::from(db);
        let start = Totals {
            keys: self.keys_at_open[at],
            expires: self.expires_at_open[at],
            fading: self.fading_at_open[at],
        };
        guards.iter().fold(start, |total, shard| Totals {
            keys: total.keys + shard.keys_delta[at],
            expires: total.expires + shard.expires_delta[at],
            fading: total.fading + shard.fading_delta[at],
        })
    }

    /// Walks a database: the keys from a cursor on, about `count` of them. The cursor is a position in the order of slot
    /// and hash, so it stays good across writes, resizes and restarts, and a key that is there throughout is returned.
    /// `may_wait` allows reading the disk.
    ///
    /// # Errors
    /// When rows cannot be read; the message is for the client.
    pub fn walk(&self, db: u16, cursor: u64, count: usize, now: u64, may_wait: bool) -> Result<Walk, String> {
        Walker { store: self, run: None, db, now, may_wait }.walk(cursor, count)
    }

    /// A key of a database that is alive, about evenly among the resident ones; where none is resident, the first on disk
    /// behind a random place (only with `may_wait`).
    ///
    /// # Errors
    /// When rows cannot be read; the message is for the client.
    pub fn random_key(&self, db: u16, now: u64, random: u64, may_wait: bool) -> Result<Draw, String> {
        Walker { store: self, run: None, db, now, may_wait }.draw(random)
    }

    /// The space of a database, and the rows that it has at the same moment, as far as the shard of a place is concerned.
    pub(crate) fn space_and_view(&self, db: u16, place: Place) -> (u32, ReadView) {
        let _latch = self.shard(place.shard());
        (self.space(db), self.rows.view())
    }

    /// Shows the keys from a place on, from the rows: the LSM has every change that was made, resident or not. Goes on
    /// while `visit` says so and `budget`, in rows, lasts, to the end of a group of one tag; returns where to go on.
    pub(crate) fn walk_rows(
        &self,
        (space, view): (u32, &ReadView),
        place: Place,
        mut budget: usize,
        mut visit: impl FnMut(&[u8], &[u8], &Meta<'_>) -> bool,
    ) -> Result<Option<Place>, String> {
        let (mut last, mut enough) = (None, false);
        let mut from = row::lower_bound(Place::at_tag(place.slot, place.tag()), space);
        let end = row::lower_bound(Place { slot: SLOT_COUNT, hash: 0 }, 0);
        loop {
            // Between the keys of a slot and those of the next one there may be other databases: then the iterator is
            // placed anew. So the cost follows the keys, not the slots.
            let mut rows =
                self.rows.iter((Bound::Included(&from[..]), Bound::Excluded(&end[..])), view).keys();
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
                enough |= !visit(row_key, split.key, &meta);
            };
        }
    }

    /// Keys of a database that are not resident and have a deadline, or elements that have one; about, while keys come and
    /// go. A key with both counts twice.
    pub(crate) fn cold_expiring(&self, db: u16) -> u64 {
        let here = |shard: &Shard| (shard.db(db).expiring(), shard.db(db).fading());
        let (expiring, fading) = (0..SHARDS).fold((0, 0), |(expiring, fading), i| {
            let here = here(&self.shard(i));
            (expiring + here.0, fading + here.1)
        });
        let total = self.totals_under(&self.latch_all(), db);
        let cold = |total: i64, resident: usize| (total.max(0) as u64).saturating_sub(resident as u64);
        cold(total.expires, expiring) + cold(total.fading, fading)
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

impl Walker<'_, '_> {
    /// Looks at a shard.
    fn look<R>(&self, index: usize, look: impl FnOnce(&Shard) -> R) -> R {
        match self.run {
            Some((guards, _)) => look(guards.shard(Place::first_of(index))),
            None => look(&self.store.shard(index)),
        }
    }

    fn counts(&self) -> DbCounts {
        match self.run {
            Some((guards, _)) => self.store.counts_under(guards, self.db),
            None => self.store.counts(self.db),
        }
    }

    fn is_alive(&self, deadline: Option<u64>) -> bool {
        !deadline.is_some_and(|deadline| is_dead(deadline, self.now))
    }

    /// See [`Store::walk`].
    fn walk(&self, cursor: u64, count: usize) -> Result<Walk, String> {
        let mut keys = Vec::new();
        let mut next = Place::from_position(cursor);
        let mut dead_budget = count.saturating_mul(ROWS_PER_KEY).max(MIN_ROWS);
        while let Some(place) = next {
            if keys.len() >= count || dead_budget == 0 {
                return Ok(Walk::Keys(keys, place.position()));
            }
            let enough = count.min(keys.len() + KEYS_PER_LATCH);
            let resident = self.look(place.shard(), |shard| {
                self.walk_resident(shard, place, enough, &mut keys, &mut dead_budget)
            });
            next = match resident {
                Some(next) => next,
                None if self.may_wait => match self.collect_rows(place, count, &mut keys)? {
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
        shard: &Shard,
        mut place: Place,
        count: usize,
        keys: &mut Keys,
        dead_budget: &mut usize,
    ) -> Option<Option<Place>> {
        if !shard.db(self.db).is_complete(place.table()) {
            return None;
        }
        let before = keys.len();
        while keys.len() == before && *dead_budget > 0 && shard.db(self.db).is_complete(place.table()) {
            let table = shard.table(self.db, place);
            let mut last = None;
            for (_, entry) in table.iter_from(table.lower_bound(place.tag())) {
                let enough = keys.len() >= count || *dead_budget == 0;
                if enough && last.is_some_and(|tag| tag != entry.tag()) {
                    return Some(Some(Place::at_tag(place.slot, entry.tag())));
                }
                last = Some(entry.tag());
                if self.is_alive(entry.deadline()) {
                    keys.push((entry.key().to_vec(), Object(entry).kind()));
                } else {
                    *dead_budget = dead_budget.saturating_sub(1);
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
    fn collect_rows(&self, place: Place, count: usize, keys: &mut Keys) -> Result<Option<Place>, String> {
        let budget = count.saturating_mul(ROWS_PER_KEY).max(MIN_ROWS);
        let (space, view) = match self.run {
            Some(_) => (self.store.space(self.db), self.store.rows.view()),
            None => self.store.space_and_view(self.db, place),
        };
        let pending = self.run.map(|(_, pending)| pending);
        let next = self.store.walk_rows((space, &view), place, budget, |row_key, key, meta| {
            // What the run has changed comes behind.
            if self.is_alive(meta.deadline) && !pending.is_some_and(|pending| pending.has(row_key)) {
                keys.push((key.to_vec(), meta.body.kind()));
            }
            keys.len() < count
        })?;
        for (key, deadline, kind) in
            pending.into_iter().flat_map(|pending| pending.between(place, next, space))
        {
            if self.is_alive(deadline) {
                keys.push((key.to_vec(), kind));
            }
        }
        Ok(next)
    }

    /// See [`Store::random_key`].
    fn draw(&self, random: u64) -> Result<Draw, String> {
        let lens: Vec<usize> = (0..SHARDS).map(|i| self.look(i, |shard| shard.db(self.db).keys())).collect();
        let total: usize = lens.iter().sum();
        if total > 0 {
            // A few tries: the key drawn may be dead, or gone by the time its shard is latched.
            for attempt in 0..16u64 {
                let draw =
                    random.rotate_left(attempt as u32 * 7) ^ attempt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                if let Some(key) = self.draw_resident(draw, &lens, total) {
                    return Ok(Draw::Key(key));
                }
            }
        }
        if self.counts().keys == 0 {
            return Ok(Draw::Empty);
        }
        for start in [random >> 2, 0] {
            let mut cursor = start;
            loop {
                match self.walk(cursor, 1)? {
                    Walk::NeedIo => return Ok(Draw::NeedIo),
                    Walk::Keys(keys, next) => {
                        if let Some((key, _)) = keys.into_iter().next() {
                            return Ok(Draw::Key(key));
                        }
                        if next == 0 {
                            break;
                        }
                        if !self.may_wait {
                            return Ok(Draw::NeedIo);
                        }
                        cursor = next;
                    }
                }
            }
        }
        Ok(Draw::Empty)
    }

    fn draw_resident(&self, random: u64, lens: &[usize], total: usize) -> Option<Vec<u8>> {
        let mut nth = (random % total as u64) as usize;
        let index = lens.iter().position(|&len| {
            let here = nth < len;
            nth -= if here { 0 } else { len };
            here
        })?;
        self.look(index, |shard| {
            for (_, table) in shard.db(self.db).tables() {
                if nth < table.len() {
                    let entry = table.iter().nth(nth)?;
                    return self.is_alive(entry.deadline()).then(|| entry.key().to_vec());
                }
                nth -= table.len();
            }
            None
        })
    }
}

/// Within a run that [has all latches](WriteCx::reach_everything).
impl<'r> WriteCx<'r> {
    /// As [`Store::counts`], of the selected database.
    pub fn counts(&mut self) -> DbCounts {
        self.walker().counts()
    }

    /// As [`Store::walk`], of the selected database; reads the disk where it has to.
    ///
    /// # Errors
    /// When rows cannot be read; the message is for the client.
    pub fn walk(&mut self, cursor: u64, count: usize) -> Result<Walk, String> {
        self.walker().walk(cursor, count)
    }

    /// As [`Store::random_key`], of the selected database; reads the disk where it has to.
    ///
    /// # Errors
    /// When rows cannot be read; the message is for the client.
    pub fn random_key(&mut self) -> Result<Draw, String> {
        let random = self.random();
        self.walker().draw(random)
    }

    fn walker(&mut self) -> Walker<'_, 'r> {
        // What it sees may be as new as the newest write.
        self.depends_on = self.depends_on.max(self.store.appended());
        let pending = self.pending.get_or_insert_default();
        if self.guards.iter().any(|shard| shard.incomplete) {
            pending.read(&self.scratch.batch);
        }
        let run = Some((&self.guards, &**pending));
        Walker { store: self.store, run, db: self.db, now: self.env.now, may_wait: true }
    }
}

fn next_slot(slot: u16) -> Option<Place> {
    (slot + 1 < SLOT_COUNT).then_some(Place { slot: slot + 1, hash: 0 })
}

const _: () = assert!(SLOTS_PER_SHARD <= 64, "completeness is a bit in a u64");
