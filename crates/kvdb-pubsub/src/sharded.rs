//! State that many threads use, spread over many locks.

use parking_lot::RwLock;

/// How many locks names are spread over; a power of two.
const SHARDS: usize = 64;

/// One lock with what it guards, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard<T>(RwLock<T>);

/// Everything under locks that names choose by their hash.
#[derive(Debug)]
pub(crate) struct Sharded<T>(Box<[Shard<T>]>);

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Shard::default()).collect())
    }
}

impl<T> Sharded<T> {
    pub(crate) fn of(&self, hash: u64) -> &RwLock<T> {
        // A table places its entries by the lowest and the highest bits: these are others.
        &self.0[(hash >> 32) as usize % SHARDS].0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &RwLock<T>> {
        self.0.iter().map(|shard| &shard.0)
    }
}
