//! Pins: what a waiting command has had loaded stays until the command has run.
//!
//! A command of many cold keys runs once all of them are known. Where they are more than memory may hold, an eviction
//! would drop the first while the last are being loaded, and the command would load them again, without end. So a key
//! that a command waits for is pinned: evictions pass it over. The command needs all of its keys at one moment anyhow,
//! so pins hold no memory that it could do without, and they go when it has run or its client has gone.
//!
//! A pin also remembers that its key has been looked for. A key that is not there leaves nothing in memory, and the block
//! that says so may have left the cache when the command asks again.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::latches::Guards;
use crate::store::Store;

/// The pins of a shard.
///
/// # Invariants
///
/// * A key that is pinned and known is resident or does not exist: who makes it makes it resident, nobody evicts it, and
///   whatever changes rows otherwise calls [`Self::forget`].
#[derive(Debug, Default)]
pub(crate) struct ShardPins(HashMap<Box<[u8]>, SmallVec<[Pin; 1]>>);

#[derive(Debug)]
struct Pin {
    db: u16,
    holders: usize,
    /// Whether the key has been loaded, or found absent, since it was pinned.
    known: bool,
}

impl ShardPins {
    fn pin(&self, db: u16, key: &[u8]) -> Option<&Pin> {
        self.0.get(key)?.iter().find(|pin| pin.db == db)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether evictions have to pass the key over.
    pub(crate) fn holds(&self, db: u16, key: &[u8]) -> bool {
        self.pin(db, key).is_some()
    }

    /// Whether the key is resident or does not exist.
    #[inline]
    pub(crate) fn knows(&self, db: u16, key: &[u8]) -> bool {
        !self.0.is_empty() && self.pin(db, key).is_some_and(|pin| pin.known)
    }

    /// Notes that a key was loaded or found absent.
    pub(crate) fn loaded(&mut self, db: u16, key: &[u8]) {
        let pin = self.0.get_mut(key).and_then(|pins| pins.iter_mut().find(|pin| pin.db == db));
        if let Some(pin) = pin {
            pin.known = true;
        }
    }

    /// Rows have changed otherwise than by commands on resident keys: what was known is to be looked for again.
    pub(crate) fn forget(&mut self) {
        self.0.values_mut().flatten().for_each(|pin| pin.known = false);
    }

    fn add(&mut self, db: u16, key: &[u8]) {
        let pins = self.0.entry(key.into()).or_default();
        match pins.iter_mut().find(|pin| pin.db == db) {
            Some(pin) => pin.holders += 1,
            None => pins.push(Pin { db, holders: 1, known: false }),
        }
    }

    fn remove(&mut self, db: u16, key: &[u8]) {
        let Some(pins) = self.0.get_mut(key) else { return };
        pins.retain(|pin| {
            pin.holders -= usize::from(pin.db == db);
            pin.holders > 0
        });
        if pins.is_empty() {
            self.0.remove(key);
        }
        if self.0.is_empty() {
            // Thousands of keys may have been here, and shards are many.
            self.0 = HashMap::new();
        }
    }
}

/// Keys that stay in memory for as long as this lives; see the module's text.
pub struct Pins {
    store: Arc<Store>,
    keys: Vec<(u16, Box<[u8]>)>,
}

impl Pins {
    /// No pins yet.
    pub fn new(store: &Arc<Store>) -> Self {
        Self { store: store.clone(), keys: Vec::new() }
    }

    /// Pins a key whose latch is held, whether it is resident or not.
    pub fn add(&mut self, guards: &mut Guards<'_>, db: u16, key: &[u8]) {
        guards.shard_mut(self.store.place(key)).pins.add(db, key);
        self.keys.push((db, key.into()));
    }

    /// Takes over the pins of another.
    pub fn extend(&mut self, mut other: Self) {
        self.keys.append(&mut other.keys);
    }
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pins").field(&self.keys.len()).finish()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        for (db, key) in &self.keys {
            self.store.shard(self.store.place(key).shard()).pins.remove(*db, key);
        }
    }
}
