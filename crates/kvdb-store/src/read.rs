//! A run that looks.

use crate::context::{Env, Scratch, ValueLimits};
use crate::events::Event;
use crate::expiry::Dead;
use crate::key::Place;
use crate::latches::Guards;
use crate::news::Told;
use crate::object::Object;
use crate::row::Type;
use crate::several::look_up_all;
use crate::shard::Shard;
use crate::store::Store;
use crate::types::Layout;
use crate::usage::{Usage, scatter};
use crate::write::WriteCx;

/// The latches of a run: its own, or those of the run that may change, within which it only looks.
enum Latches<'r> {
    Own(Guards<'r>),
    Lent(&'r mut dyn Latched),
}

/// Latches of any lifetime.
trait Latched {
    fn held(&self, place: Place) -> &Shard;
    fn held_mut(&mut self, place: Place) -> &mut Shard;
}

impl Latched for Guards<'_> {
    fn held(&self, place: Place) -> &Shard {
        self.shard(place)
    }

    fn held_mut(&mut self, place: Place) -> &mut Shard {
        self.shard_mut(place)
    }
}

impl Latches<'_> {
    #[inline]
    fn shard(&self, place: Place) -> &Shard {
        match self {
            Self::Own(guards) => guards.shard(place),
            Self::Lent(guards) => guards.held(place),
        }
    }

    #[inline]
    fn shard_mut(&mut self, place: Place) -> &mut Shard {
        match self {
            Self::Own(guards) => guards.shard_mut(place),
            Self::Lent(guards) => guards.held_mut(place),
        }
    }
}

/// A run that may look.
pub struct ReadCx<'r> {
    pub(crate) store: &'r Store,
    guards: Latches<'r>,
    pub(crate) scratch: &'r mut Scratch,
    pub(crate) env: Env,
    db: u16,
    depends_on: u64,
}

impl<'r> ReadCx<'r> {
    /// A run over keys whose latches are held and which are resident.
    pub fn new(store: &'r Store, guards: Guards<'r>, scratch: &'r mut Scratch, env: Env, db: u16) -> Self {
        Self { store, guards: Latches::Own(guards), scratch, env, db, depends_on: 0 }
    }

    /// Now, in Unix milliseconds.
    pub fn now(&self) -> u64 {
        self.env.now
    }

    /// Limits on values.
    pub fn limits(&self) -> &ValueLimits {
        &self.env.limits
    }

    /// Where small collections end and large ones begin.
    pub fn layout(&self) -> Layout {
        self.store.layout()
    }

    /// How use is remembered.
    pub fn usage(&self) -> Usage {
        self.store.usage()
    }

    /// Random bits, different with every call.
    pub fn random(&mut self) -> u64 {
        self.scratch.draws = self.scratch.draws.wrapping_add(1);
        scatter(self.env.random, self.scratch.draws)
    }

    /// The highest sequence that the reply depends on so far.
    pub fn depends_on(&self) -> u64 {
        self.depends_on
    }

    /// Ends the run, whose latches are given back. Returns the highest sequence that the reply depends on.
    #[inline]
    pub fn finish(self) -> u64 {
        if !self.scratch.told.is_empty()
            && let Latches::Own(guards) = self.guards
        {
            self.store.announce(guards, self.scratch, &self.env, self.depends_on);
        }
        self.depends_on
    }

    /// The object of a key; counts as use and as a hit or a miss.
    #[inline]
    pub fn get(&mut self, key: &[u8]) -> Option<Object<'_>> {
        self.look_up(key, self.env.touch, true)
    }

    /// The object of a key; counts as a hit or a miss, but not as use, as the commands that ask about a key (EXISTS,
    /// TYPE, TTL) do.
    pub fn inspect(&mut self, key: &[u8]) -> Option<Object<'_>> {
        self.look_up(key, false, true)
    }

    /// As [`Self::inspect`], but a miss is no event: OBJECT does that.
    pub fn inspect_silently(&mut self, key: &[u8]) -> Option<Object<'_>> {
        self.look_up(key, false, false)
    }

    /// The objects of several keys at once, up to the first that is of none of these types; each counts as by
    /// [`Self::get`].
    pub fn get_all<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
        types: &[Type],
    ) -> Vec<Option<Object<'_>>> {
        let found = look_up_all(keys.clone(), types, |key| self.get(key).map(|object| object.kind()));
        keys.zip(found).map(|(key, found)| if found { self.again(key) } else { None }).collect()
    }

    /// The object of a key that was there a moment ago in this run.
    fn again(&self, key: &[u8]) -> Option<Object<'_>> {
        let place = self.env.place(self.store, key);
        self.guards.shard(place).object(self.db, place, key)
    }

    /// Uses a key now, even in a run whose lookups do not count as use; counts as a hit or a miss. Tells whether it is
    /// there.
    pub fn touch(&mut self, key: &[u8]) -> bool {
        self.look_up(key, true, true).is_some()
    }

    #[inline]
    fn look_up(&mut self, key: &[u8], touch: bool, tell: bool) -> Option<Object<'_>> {
        let place = self.env.place(self.store, key);
        let (db, now) = (self.db, self.env.now);
        let shard = self.guards.shard_mut(place);
        let Some(at) = shard.table(db, place).find(place.tag(), key) else {
            self.depends_on = self.depends_on.max(shard.missed());
            self.scratch.misses += 1;
            if tell && self.store.events().contains(Event::MISS.class) {
                self.scratch.told.push(Told::event(Event::MISS, db, key));
            }
            return None;
        };
        self.depends_on = self.depends_on.max(shard.seen(shard.table(db, place).at(at)));
        let entry = shard.table_mut(db, place).at_mut(at);
        if entry.deadline().is_some_and(|d| kvdb_ttl::is_dead(d, now)) {
            self.scratch.misses += 1;
            self.scratch.dead.push(Dead { db, key: key.into(), tells_miss: tell });
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
        let found = self.look_up(key, false, false).is_some();
        (self.scratch.hits, self.scratch.misses) = (hits, misses);
        if found { self.again(key) } else { None }
    }
}

impl WriteCx<'_> {
    /// Runs something that only looks, within this run: it sees what the run has changed so far, and what it depends on
    /// the run depends on.
    pub fn read<R>(&mut self, look: impl FnOnce(&mut ReadCx<'_>) -> R) -> R {
        let (env, db) = (self.env, self.db);
        let mut cx = ReadCx {
            store: self.store,
            guards: Latches::Lent(&mut self.guards),
            scratch: &mut *self.scratch,
            env,
            db,
            depends_on: 0,
        };
        let result = look(&mut cx);
        let seen = cx.depends_on;
        self.depends_on = self.depends_on.max(seen);
        result
    }
}
