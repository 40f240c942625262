//! Deleting keys on disk whose time has come.
//!
//! The expiry index has the keys in memory. A key that has left it, or has not been read since the start, would stay on
//! disk for as long as nobody asks for it. So where there are such keys, their rows are walked through, a few at a time on
//! a thread that may wait, and the dead ones are deleted. So are the dead elements of keys that live on: the meta row says
//! when the first of them dies, and what is left of the key stays in memory, where the index has it. A walk also learns when the next of those that it has seen will
//! die, and the store when the next of those that have left memory since, so it is not repeated before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kvdb_ttl::is_dead;

use crate::context::{Env, Scratch};
use crate::key::Place;
use crate::pins::Pins;
use crate::store::Store;

/// Milliseconds between two walks at the least …
const REST_MIN: u64 = 1_000;
/// … and so many times what the last one took, so that walks of much data are not all that the disk does.
const REST_FACTOR: u64 = 4;
/// Milliseconds between two walks at the most, for keys that leave memory otherwise: those of a change that was refused.
const REST_MAX: u64 = 60_000;
/// Dead keys that are deleted in one step, or relieved of dead elements.
const PER_STEP: usize = 256;

/// Where the walk stands.
///
/// # Invariants
///
/// * Between walks `db` is 0 and `at` the first place.
#[derive(Debug, Default)]
pub struct ColdWalk {
    db: u16,
    at: Place,
    is_under_way: bool,
    began: u64,
    /// The earliest deadline seen that has not passed.
    earliest: Option<u64>,
    /// Not before this moment is there another walk …
    rested: u64,
    /// … nor before this one, unless a key that has left memory meanwhile dies sooner.
    next: u64,
}

impl ColdWalk {
    /// Whether a walk has been begun and not ended.
    pub fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// Whether there is something to do now. Looks at every shard, so it is not to be asked too often between walks.
    pub fn is_due(&self, store: &Store, now: u64) -> bool {
        self.is_under_way
            || (now >= self.rested
                && now >= self.next.min(store.cold_deadline.load(Ordering::Relaxed))
                && (0..store.databases()).any(|db| store.cold_expiring(db) > 0))
    }

    /// Looks at about `rows` rows and deletes the dead keys among them that are not in memory, and the dead elements of
    /// others; tells of how many keys. Waits for the disk.
    ///
    /// # Errors
    /// When rows cannot be read or the log refuses writes; the walk goes on from the same place.
    pub fn step(
        &mut self,
        store: &Arc<Store>,
        now: u64,
        rows: usize,
        scratch: &mut Scratch,
    ) -> Result<usize, String> {
        if !self.is_under_way {
            // Those that have left memory so far are on the disk, and will be seen.
            store.cold_deadline.store(u64::MAX, Ordering::Relaxed);
            *self = Self { is_under_way: true, began: now, ..Self::default() };
        }
        while self.db < store.databases() && store.cold_expiring(self.db) == 0 {
            (self.db, self.at) = (self.db + 1, Place::default());
        }
        if self.db == store.databases() {
            self.end(now);
            return Ok(0);
        }
        let (mut dead, mut earliest) = (Vec::new(), self.earliest);
        let (space, view) = store.space_and_view(self.db, self.at);
        let next = store.walk_rows((space, &view), self.at, rows, |_, key, meta| {
            let first = meta.deadline.into_iter().chain(meta.body.next_deadline()).min();
            match first {
                Some(deadline) if is_dead(deadline, now) => dead.push(key.to_vec()),
                Some(deadline) => earliest = Some(earliest.map_or(deadline, |e| e.min(deadline))),
                None => {}
            }
            dead.len() < PER_STEP
        })?;
        for key in &dead {
            let place = store.place(key);
            let mut pins = Pins::new(store);
            pins.add(&mut store.latch(place), self.db, key);
            store.load_now(self.db, place, key, now)?;
            let env = Env { touch: false, ..Env::at(now) };
            store
                .expire_key(self.db, key, env, scratch, false)
                .and_then(|()| store.expire_elements(self.db, key, env, scratch))
                .map_err(|refusal| refusal.to_string())?;
        }
        // One of them may have been with another thread that was loading it: whether all are gone, another walk tells.
        self.earliest = if dead.is_empty() { earliest } else { Some(now) };
        (self.db, self.at) = match next {
            Some(next) => (self.db, next),
            None => (self.db + 1, Place::default()),
        };
        Ok(dead.len())
    }

    fn end(&mut self, now: u64) {
        let rest = REST_MIN.max(now.saturating_sub(self.began).saturating_mul(REST_FACTOR));
        let next = self.earliest.unwrap_or(u64::MAX).min(now.saturating_add(REST_MAX));
        *self = Self { next, rested: now.saturating_add(rest), ..Self::default() };
    }
}
