//! Deleting keys whose time has come.

use std::sync::atomic::Ordering;

use kvdb_ttl::{ExpiryIndex, is_dead};

use crate::commit_log::Refusal;
use crate::context::{Env, Scratch};
use crate::events::Event;
use crate::key::SHARDS;
use crate::latches::Guards;
use crate::shard::Shard;
use crate::store::Store;
use crate::write::WriteCx;

/// Keys deleted under one hold of a latch, so that nobody waits long for it.
const PER_LATCH: usize = 64;

/// Elements of collections removed under one hold of a latch.
const ELEMENTS_PER_LATCH: usize = 256;

/// A key that a reader found past its deadline.
#[derive(Debug, PartialEq, Eq)]
pub struct Dead {
    /// Its database.
    pub db: u16,
    /// The key.
    pub key: Box<[u8]>,
    /// Whether it is an event that the reader did not find it.
    pub(crate) tells_miss: bool,
}

/// What an expiry cycle came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cycle {
    /// Keys deleted, not counting those that went with their last element.
    pub expired: usize,
    /// Elements removed from keys.
    pub elements: usize,
    /// Whether it ended because `go_on` said no, with keys left.
    pub cut_short: bool,
}

impl Cycle {
    /// Whether anything was due.
    pub fn found_dead(&self) -> bool {
        self.expired + self.elements > 0
    }
}

impl Store {
    /// Deletes keys that are past their deadline, shard by shard, until none is due or `go_on` says no. `from` is the
    /// shard to begin with; a cycle that is cut short is continued by the next one with a later `from`.
    ///
    /// # Errors
    /// When the log refuses writes; the keys read as absent all the same.
    pub fn expire_due(
        &self,
        now: u64,
        from: usize,
        scratch: &mut Scratch,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Cycle, Refusal> {
        let mut cycle = Cycle::default();
        for i in 0..SHARDS {
            loop {
                let (step, more) = self.expire_in_shard((from + i) % SHARDS, now, scratch)?;
                cycle.expired += step.expired;
                cycle.elements += step.elements;
                if !more {
                    break;
                }
                if !go_on() {
                    cycle.cut_short = true;
                    self.stats.expiry_cut_short.fetch_add(1, Ordering::Relaxed);
                    return Ok(cycle);
                }
            }
        }
        Ok(cycle)
    }

    /// Deletes up to `PER_LATCH` dead keys of a shard, or up to `ELEMENTS_PER_LATCH` dead elements; tells how many, and
    /// whether more may be due.
    fn expire_in_shard(
        &self,
        index: usize,
        now: u64,
        scratch: &mut Scratch,
    ) -> Result<(Cycle, bool), Refusal> {
        let mut shard = self.shard(index);
        let is_due = |shard: &Shard, db: u16| shard.db(db).next_due().is_some_and(|due| due <= now);
        let Some(db) = (0..self.databases()).find(|&db| is_due(&shard, db)) else {
            return Ok((Cycle::default(), false));
        };
        let (mut dead, mut with_dead) = (Vec::new(), Vec::new());
        let (mut tokens, mut again) = (Vec::new(), Vec::new());
        while tokens.len() < 4 * PER_LATCH && dead.len() + with_dead.len() < PER_LATCH {
            let Some((table, tag)) = shard.db_mut(db).due(now) else { break };
            tokens.push((table, tag));
            if let Some(next) = look_at(&mut shard, db, table, tag, now, &mut dead, &mut with_dead) {
                again.push((table, tag, next));
            }
        }
        // Behind the loop, since some of them are due at once.
        for (table, tag, next) in again {
            shard.look_again(db, table, tag, next, now);
        }
        let more = (db..self.databases()).any(|db| is_due(&shard, db));
        let env = Env { touch: false, ..Env::at(now) };
        let guards = Guards::one(index, shard);
        let mut cx = WriteCx::new(self, guards, scratch, env, db);
        for key in &dead {
            // Looking a dead key up is what deletes it.
            cx.get(key);
        }
        let mut step = Cycle { expired: dead.len(), ..Cycle::default() };
        for key in &with_dead {
            // Where that is not enough, the token is due still.
            let left = ELEMENTS_PER_LATCH - step.elements;
            if left == 0 {
                break;
            }
            step.elements += cx.remove_dead_elements(key, left);
        }
        if let Err(refusal) = cx.commit() {
            // The tokens are spent; the keys must not be forgotten with them.
            let mut shard = self.shard(index);
            for (table, tag) in tokens {
                shard.look_again(db, table, tag, now, now);
            }
            return Err(refusal);
        }
        Ok((step, more))
    }

    /// Removes the dead elements of one key, a few under each hold of its latch.
    ///
    /// # Errors
    /// When the log refuses writes; the elements read as absent all the same.
    pub(crate) fn expire_elements(
        &self,
        db: u16,
        key: &[u8],
        env: Env,
        scratch: &mut Scratch,
    ) -> Result<(), Refusal> {
        loop {
            let mut cx = WriteCx::new(self, self.latch(self.place(key)), scratch, env, db);
            let removed = cx.remove_dead_elements(key, ELEMENTS_PER_LATCH);
            cx.commit()?;
            if removed < ELEMENTS_PER_LATCH {
                return Ok(());
            }
        }
    }

    /// How long the keys of a database with a deadline have left on average, in milliseconds, about: of those in memory.
    pub fn mean_left(&self, db: u16, now: u64) -> u64 {
        let of_shards = (0..SHARDS).map(|index| self.shard(index).db(db).left(now));
        let (keys, left) =
            of_shards.fold((0, 0), |(keys, left), (more, theirs)| (keys + more, left + theirs));
        left.checked_div(keys as u128).map_or(0, |mean| u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// Deletes the keys that readers found past their deadline, as far as they still are, when the latches under which
    /// they were found have been given back. With `keeps_dead` they stay, and only who wants to know of misses is told.
    ///
    /// # Errors
    /// When the log refuses writes; the keys read as absent all the same.
    pub fn expire_dead(&self, now: u64, scratch: &mut Scratch, keeps_dead: bool) -> Result<(), Refusal> {
        let env = Env { touch: false, keeps_dead, ..Env::at(now) };
        for dead in std::mem::take(&mut scratch.dead) {
            self.expire_key(dead.db, &dead.key, env, scratch, dead.tells_miss)?;
        }
        Ok(())
    }

    /// Deletes one key if it is past its deadline.
    pub(crate) fn expire_key(
        &self,
        db: u16,
        key: &[u8],
        env: Env,
        scratch: &mut Scratch,
        tells_miss: bool,
    ) -> Result<(), Refusal> {
        let guards = self.latch(self.place(key));
        let mut cx = WriteCx::new(self, guards, scratch, env, db);
        cx.get(key);
        if tells_miss {
            cx.notify(Event::MISS, key);
        }
        cx.commit().map(|_| ())
    }
}

/// Finds the entries that a token may mean and collects the dead ones, and those with dead elements. Where others are
/// left, tells when the first of them dies, for which the token is to be put back: one token for however many, so that
/// tokens do not multiply. Where elements are dead that is now: once they are removed, the entry tells when the next die.
fn look_at(
    shard: &mut Shard,
    db: u16,
    table: usize,
    tag: u32,
    now: u64,
    dead: &mut Vec<Vec<u8>>,
    with_dead: &mut Vec<Vec<u8>>,
) -> Option<u64> {
    let mut next: Option<u64> = None;
    let slots = shard.db_mut(db).table_mut(table);
    let from = slots.lower_bound(tag);
    for entry in slots.tagged_mut(from, tag) {
        match entry.deadline() {
            Some(deadline) if is_dead(deadline, now) => {
                dead.push(entry.key().to_vec());
                continue;
            }
            Some(deadline) => next = Some(next.map_or(deadline, |next| next.min(deadline))),
            None => entry.set_token(false),
        }
        let elements = entry.held().and_then(|held| held.collection.next_deadline());
        if let Some(deadline) = elements {
            let mut at = deadline;
            if is_dead(deadline, now) {
                with_dead.push(entry.key().to_vec());
                // The index is coarse, and this is meant to be due in the same cycle.
                at = now.saturating_sub(ExpiryIndex::slack());
            }
            next = Some(next.map_or(at, |next| next.min(at)));
        }
    }
    next
}
