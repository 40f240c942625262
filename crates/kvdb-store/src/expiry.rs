//! Deleting keys whose time has come.

use std::sync::atomic::Ordering;

use kvdb_ttl::is_dead;

use crate::commit_log::Refusal;
use crate::context::{Env, Scratch};
use crate::events::Event;
use crate::key::SHARDS;
use crate::shard::Shard;
use crate::store::{Guards, Store};
use crate::write::WriteCx;

/// Keys deleted under one hold of a latch, so that nobody waits long for it.
const PER_LATCH: usize = 64;

/// Elements of a collection removed under one hold of a latch.
const ELEMENTS_PER_KEY: usize = 256;

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
    /// Keys deleted.
    pub expired: usize,
    /// Whether it ended because `go_on` said no, with keys left.
    pub cut_short: bool,
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
                let (deleted, more) = self.expire_in_shard((from + i) % SHARDS, now, scratch)?;
                cycle.expired += deleted;
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

    /// Deletes up to `PER_LATCH` dead keys of a shard; tells how many, and whether more may be due.
    fn expire_in_shard(
        &self,
        index: usize,
        now: u64,
        scratch: &mut Scratch,
    ) -> Result<(usize, bool), Refusal> {
        let mut shard = self.shard(index);
        let is_due = |shard: &Shard, db: u16| shard.db(db).next_due().is_some_and(|due| due <= now);
        let Some(db) = (0..self.databases()).find(|&db| is_due(&shard, db)) else { return Ok((0, false)) };
        let (mut dead, mut with_dead) = (Vec::new(), Vec::new());
        let mut tokens = Vec::new();
        while tokens.len() < 4 * PER_LATCH && dead.len() + with_dead.len() < PER_LATCH {
            let Some((table, tag)) = shard.db_mut(db).due(now) else { break };
            tokens.push((table, tag));
            look_at(&mut shard, db, table, tag, now, &mut dead, &mut with_dead);
        }
        let more = (db..self.databases()).any(|db| is_due(&shard, db));
        let env = Env { touch: false, ..Env::at(now) };
        let guards = Guards::one(index, shard);
        let mut cx = WriteCx::new(self, guards, scratch, env, db);
        for key in &dead {
            // Looking a dead key up is what deletes it.
            cx.get(key);
        }
        for key in &with_dead {
            cx.remove_dead_elements(key, ELEMENTS_PER_KEY);
        }
        if let Err(refusal) = cx.commit() {
            // The tokens are spent; the keys must not be forgotten with them.
            let mut shard = self.shard(index);
            for (table, tag) in tokens {
                shard.look_again(db, table, tag, now, now);
            }
            return Err(refusal);
        }
        Ok((dead.len(), more))
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
/// left, the token is put back for the first of them to die: one token for however many, so that tokens do not multiply.
fn look_at(
    shard: &mut Shard,
    db: u16,
    table: usize,
    tag: u32,
    now: u64,
    dead: &mut Vec<Vec<u8>>,
    with_dead: &mut Vec<Vec<u8>>,
) {
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
            if is_dead(deadline, now) {
                with_dead.push(entry.key().to_vec());
            }
            // More of them may be dead than are removed at a time.
            next = Some(next.map_or(deadline.max(now + 1), |next| next.min(deadline.max(now + 1))));
        }
    }
    if let Some(deadline) = next {
        shard.look_again(db, table, tag, deadline, now);
    }
}
