//! The block cache: decompressed, checked data blocks, shared by all tables of a database.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::table::Block;

/// A block by the number of its table and its offset. Numbers are never reused, so an entry never
/// goes stale; those of removed tables age out.
type Key = (u64, u64);

#[derive(Debug, Clone)]
struct ByMemory;

impl Weighter<Key, Arc<Block>> for ByMemory {
    fn weight(&self, _: &Key, block: &Arc<Block>) -> u64 {
        block.memory() as u64
    }
}

/// A bounded cache that keeps what is used often, and resists scans.
#[derive(Debug)]
pub(crate) struct BlockCache {
    blocks: Cache<Key, Arc<Block>, ByMemory>,
}

impl BlockCache {
    /// A cache of `capacity` bytes for blocks of about `block_bytes` each.
    pub(crate) fn new(capacity: u64, block_bytes: usize) -> Self {
        let blocks = capacity / block_bytes.max(64) as u64;
        Self {
            blocks: Cache::with_weighter(
                usize::try_from(blocks).unwrap_or(usize::MAX >> 1),
                capacity,
                ByMemory,
            ),
        }
    }

    pub(crate) fn get(&self, file_number: u64, offset: u64) -> Option<Arc<Block>> {
        self.blocks.get(&(file_number, offset))
    }

    pub(crate) fn insert(&self, file_number: u64, offset: u64, block: Arc<Block>) {
        self.blocks.insert((file_number, offset), block);
    }

    /// The bytes in the cache.
    pub(crate) fn weight(&self) -> u64 {
        self.blocks.weight()
    }

    /// Lookups that found their block, and those that did not.
    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        (self.blocks.hits(), self.blocks.misses())
    }
}
