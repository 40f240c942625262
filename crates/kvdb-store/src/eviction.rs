//! Deleting keys because there is no room for them.
//!
//! That is what a cache does, and not what a tiered store does, whose objects go to the disk (see [`crate::cold`]). Which
//! key goes is found by samples: a few keys are drawn, the best of them to delete are kept in a small pool between
//! calls, and the best of the pool goes. Nobody waits: a shard whose latch somebody else has is passed over.
//!
//! Room is what objects take, and the tables that find them ([`Store::occupied`]). While keys may be deleted for it, every
//! run that changes something counts what it has changed; a census corrects what else came and went.

use std::sync::atomic::Ordering;

use kvdb_ttl::is_dead;

use crate::commit_log::Refusal;
use crate::context::{Env, Scratch};
use crate::effect::Effect;
use crate::entry::Entry;
use crate::events::Event;
use crate::key::{Place, SHARDS, SLOTS_PER_SHARD};
use crate::random::Random;
use crate::shard::Shard;
use crate::store::Store;
use crate::write::WriteCx;

/// Candidates that are kept from one call to the next.
const POOL: usize = 16;
/// Entries of a shard that are looked at for one with a deadline, where the expiry index knows of none.
const LOOK_AT: usize = 1024;
/// Tokens of the expiry index that are tried before that.
const TOKENS: usize = 16;

/// Which key goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The one of least use; see [`crate::usage`].
    Use,
    /// Any.
    Random,
    /// The one that would die first.
    Deadline,
}

/// Which keys go, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eviction {
    /// Whether only keys with a deadline go.
    pub expiring_only: bool,
    /// Which of them first.
    pub order: Order,
    /// How many keys are drawn for each that goes.
    pub samples: usize,
}

/// What an attempt to make room came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evicted {
    /// How many keys it deleted.
    pub keys: usize,
    /// Whether it passed over some whose latch somebody else had: that it deleted none is no sign that there are none.
    pub passed_over: bool,
}

/// A key that may go.
#[derive(Debug)]
pub(crate) struct Candidate {
    score: u64,
    db: u16,
    key: Box<[u8]>,
}

impl Store {
    /// Bytes that objects take, and the tables that find them: exact for objects while [changes are
    /// counted](Self::set_counting), as of the last census for the rest.
    #[inline]
    pub fn occupied(&self) -> usize {
        self.counted.load(Ordering::Relaxed).saturating_add(self.table_bytes.load(Ordering::Relaxed))
    }

    /// Has every run that changes something count what it has changed, or not any more. To be called too when keys are
    /// to go in another order.
    pub fn set_counting(&self, counting: bool) {
        self.candidates.lock().clear();
        if self.counting.swap(counting, Ordering::Relaxed) != counting {
            self.census();
        }
    }

    /// Counts what a shard whose latch is held has got or lost since it was last counted.
    #[inline]
    pub(crate) fn count(&self, shard: &mut Shard) {
        let (bytes, before) = (shard.bytes(), shard.counted);
        shard.counted = bytes;
        if bytes >= before {
            self.counted.fetch_add(bytes - before, Ordering::Relaxed);
        } else {
            self.counted.fetch_sub(before - bytes, Ordering::Relaxed);
        }
    }

    /// Deletes keys until at most `limit` bytes are [occupied](Self::occupied), none is left to delete, or `go_on` says
    /// no; at least one, if there is one that nobody else has.
    ///
    /// # Errors
    /// When the log refuses writes; the last key is still there.
    pub fn evict(
        &self,
        how: &Eviction,
        limit: usize,
        env: Env,
        scratch: &mut Scratch,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Evicted, Refusal> {
        let mut pool = self.candidates.lock();
        let mut random = Random::new(env.random);
        let (mut evicted, mut fruitless) = (Evicted::default(), 0);
        // A pool of candidates that have all gone meanwhile is no sign that there are none.
        while self.occupied() > limit && fruitless < 3 && (evicted.keys == 0 || go_on()) {
            evicted.passed_over |= self.draw_candidates(how, env.now, &mut random, &mut pool);
            if pool.is_empty() {
                break;
            }
            let mut gone = false;
            while let (false, Some(candidate)) = (gone, pool.pop()) {
                match self.evict_one(how, &candidate, env, scratch)? {
                    Some(went) => gone = went,
                    None => evicted.passed_over = true,
                }
            }
            evicted.keys += usize::from(gone);
            self.stats.evicted.fetch_add(u64::from(gone), Ordering::Relaxed);
            fruitless = if gone { 0 } else { fruitless + 1 };
        }
        Ok(evicted)
    }

    /// Adds keys of random shards to a pool, which has the best to delete at its end. Tells whether it passed over a shard
    /// whose latch somebody else has.
    fn draw_candidates(
        &self,
        how: &Eviction,
        now: u64,
        random: &mut Random,
        pool: &mut Vec<Candidate>,
    ) -> bool {
        let mut passed_over = false;
        let (start, usage) = (random.below(SHARDS), self.usage());
        let (mut drawn, mut visits) = (0, 0);
        while drawn < how.samples && visits < SHARDS {
            // Neighbours in the order of visits are no neighbours among the slots.
            let index = (start + visits * 97) % SHARDS;
            visits += 1;
            let Some(shard) = self.try_shard(index) else {
                passed_over = true;
                continue;
            };
            let first = random.below(usize::from(self.databases()));
            for db in (0..self.databases()).map(|db| (db + first as u16) % self.databases()) {
                let Some(entry) = draw(&shard, db, how.expiring_only, random) else { continue };
                drawn += 1;
                let score = match how.order {
                    Order::Use => u64::from(usage.coldness(entry.access(), now)),
                    Order::Random => random.bits(),
                    Order::Deadline => u64::MAX - entry.deadline().unwrap_or(u64::MAX),
                };
                let is_there = |c: &Candidate| c.db == db && *c.key == *entry.key();
                let at = pool.partition_point(|c| c.score < score);
                if !pool.iter().any(is_there) && (pool.len() < POOL || at > 0) {
                    pool.insert(at, Candidate { score, db, key: entry.key().into() });
                    if pool.len() > POOL {
                        pool.remove(0);
                    }
                }
                if drawn >= how.samples {
                    break;
                }
            }
        }
        passed_over
    }

    /// Deletes a candidate, if it still is one; tells whether it is gone, or nothing where somebody else has its latch.
    fn evict_one(
        &self,
        how: &Eviction,
        candidate: &Candidate,
        env: Env,
        scratch: &mut Scratch,
    ) -> Result<Option<bool>, Refusal> {
        let (db, key) = (candidate.db, &candidate.key);
        let place = self.place(key);
        let Some(guards) = self.try_latch(place) else { return Ok(None) };
        let table = guards.shard(place).table(db, place);
        let Some(at) = table.find(place.tag(), key) else { return Ok(Some(false)) };
        let entry = table.at(at);
        let still = match (how.order, entry.deadline()) {
            (_, None) if how.expiring_only => false,
            // It has been used, or got a later deadline, since it was drawn.
            (Order::Use, _) => u64::from(self.usage().coldness(entry.access(), env.now)) >= candidate.score,
            (Order::Deadline, Some(deadline)) => u64::MAX - deadline >= candidate.score,
            (Order::Deadline, None) => false,
            (Order::Random, _) => true,
        };
        if !still {
            return Ok(Some(false));
        }
        let is_dead = entry.deadline().is_some_and(|deadline| is_dead(deadline, env.now));
        let env = Env { touch: false, client: 0, keeps: false, located: None, ..env };
        let mut cx = WriteCx::new(self, guards, scratch, env, db);
        // One past its deadline goes as what it is.
        cx.apply(key, Effect::Delete);
        if !is_dead {
            cx.notify(Event::EVICTED, key);
        }
        cx.commit()?;
        Ok(Some(true))
    }

    /// Whether there may be keys on disk that are not in memory.
    pub fn has_cold_keys(&self) -> bool {
        (0..SHARDS).any(|index| self.shard(index).incomplete)
    }

    /// Loads the keys of slots that are not complete, as the ones of least use, and tells where to go on; nothing at the
    /// end of the last database. Before each few of them `has_room` is asked; where it says no, the slot stays as it is,
    /// and the walk ends. Looks at one slot that is not complete, or passes over many that are. Waits for the disk.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub fn load_cold(
        &self,
        (db, slot): (u16, u16),
        now: u64,
        has_room: impl FnMut() -> bool,
    ) -> Result<Option<(u16, u16)>, String> {
        let (mut db, mut slot) = (db, usize::from(slot));
        while db < self.databases() {
            while slot < SHARDS * SLOTS_PER_SHARD {
                let place = Place { slot: slot as u16, hash: 0 };
                let (skips, complete) = {
                    let shard = self.shard(place.shard());
                    (!shard.incomplete, shard.db(db).is_complete(place.table()))
                };
                let next = if skips { (place.shard() + 1) * SLOTS_PER_SHARD } else { slot + 1 };
                if !skips && !complete {
                    let whole = self.load_slot(db, place.slot, now, has_room)?;
                    return Ok(whole.then_some(match u16::try_from(next) {
                        Ok(next) if usize::from(next) < SHARDS * SLOTS_PER_SHARD => (db, next),
                        _ => (db + 1, 0),
                    }));
                }
                slot = next;
            }
            (db, slot) = (db + 1, 0);
        }
        Ok(None)
    }
}

/// A random key of a database in a shard.
fn draw<'s>(shard: &'s Shard, db: u16, expiring_only: bool, random: &mut Random) -> Option<&'s Entry> {
    let part = shard.db(db);
    if part.keys() == 0 || (expiring_only && part.expiring() == 0) {
        return None;
    }
    let first = random.below(SLOTS_PER_SHARD);
    let mut tables = (0..SLOTS_PER_SHARD).map(|i| part.table((first + i) % SLOTS_PER_SHARD));
    if !expiring_only {
        return tables.find(|table| !table.is_empty())?.near(random.bits());
    }
    let by_token = part.expiring_tokens(random.bits(), TOKENS).find_map(|(table, tag)| {
        let table = part.table(table);
        let tagged = table.iter_from(table.lower_bound(tag)).map(|(_, e)| e).take_while(|e| e.tag() == tag);
        tagged.into_iter().find(|entry| entry.deadline().is_some())
    });
    by_token.or_else(|| {
        tables.flat_map(|table| table.iter()).take(LOOK_AT).find(|entry| entry.deadline().is_some())
    })
}
