//! A run that looks.

use crate::context::{Env, Scratch, ValueLimits};
use crate::object::Object;
use crate::store::{Guards, Store};
use crate::usage::{Usage, scatter};

/// A run that may look.
pub struct ReadCx<'r> {
    store: &'r Store,
    guards: Guards<'r>,
    scratch: &'r mut Scratch,
    env: Env,
    db: u16,
    depends_on: u64,
}

impl<'r> ReadCx<'r> {
    /// A run over keys whose latches are held and which are resident.
    pub fn new(store: &'r Store, guards: Guards<'r>, scratch: &'r mut Scratch, env: Env, db: u16) -> Self {
        Self { store, guards, scratch, env, db, depends_on: 0 }
    }

    /// Now, in Unix milliseconds.
    pub fn now(&self) -> u64 {
        self.env.now
    }

    /// Limits on values.
    pub fn limits(&self) -> &ValueLimits {
        &self.env.limits
    }

    /// How use is remembered.
    pub fn usage(&self) -> Usage {
        self.store.usage()
    }

    /// The highest sequence that the reply depends on so far.
    pub fn depends_on(&self) -> u64 {
        self.depends_on
    }

    /// The object of a key; counts as use and as a hit or a miss.
    #[inline]
    pub fn get(&mut self, key: &[u8]) -> Option<Object<'_>> {
        self.look_up(key, self.env.touch)
    }

    /// The object of a key; counts as a hit or a miss, but not as use, as the commands that ask about a key (EXISTS,
    /// TYPE, TTL, OBJECT) do.
    pub fn inspect(&mut self, key: &[u8]) -> Option<Object<'_>> {
        self.look_up(key, false)
    }

    /// Uses a key now, even in a run whose lookups do not count as use; counts as a hit or a miss. Tells whether it is
    /// there.
    pub fn touch(&mut self, key: &[u8]) -> bool {
        self.look_up(key, true).is_some()
    }

    #[inline]
    fn look_up(&mut self, key: &[u8], touch: bool) -> Option<Object<'_>> {
        let place = self.env.place(self.store, key);
        let (db, now) = (self.db, self.env.now);
        let shard = self.guards.shard_mut(place);
        let Some(at) = shard.table(db, place).find(place.tag(), key) else {
            self.depends_on = self.depends_on.max(shard.missed());
            self.scratch.misses += 1;
            return None;
        };
        self.depends_on = self.depends_on.max(shard.seen(shard.table(db, place).at(at)));
        let entry = shard.table_mut(db, place).at_mut(at);
        if entry.deadline().is_some_and(|d| kvdb_ttl::is_dead(d, now)) {
            self.scratch.misses += 1;
            self.scratch.dead.push((db, key.to_vec()));
            return None;
        }
        self.scratch.hits += 1;
        if touch {
            let random = scatter(self.env.random, self.scratch.hits);
            entry.set_access(self.store.usage().used(entry.access(), now, random));
        }
        Some(Object(entry))
    }

    /// The object of a key, without counting at all.
    pub fn peek(&mut self, key: &[u8]) -> Option<Object<'_>> {
        let (hits, misses) = (self.scratch.hits, self.scratch.misses);
        let found = self.look_up(key, false).is_some();
        (self.scratch.hits, self.scratch.misses) = (hits, misses);
        if !found {
            return None;
        }
        let place = self.env.place(self.store, key);
        let table = self.guards.shard(place).table(self.db, place);
        table.find(place.tag(), key).map(|at| Object(table.at(at)))
    }
}
