//! The block cache: decompressed, checked data blocks, shared by all tables of all databases.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::table::Block;

/// A block by its database, the number of its table and its offset. Numbers are never reused, so an
/// entry never goes stale; those of removed tables age out.
type Key = (u64, u64, u64);

#[derive(Debug, Clone)]
struct ByMemory;

impl Weighter<Key, Arc<Block>> for ByMemory {
    fn weight(&self, _: &Key, block: &Arc<Block>) -> u64 {
        block.memory() as u64
    }
}

/// A bounded cache that keeps what is used often, and resists scans; as one database sees it.
#[derive(Debug)]
pub(crate) struct BlockCache {
    blocks: Arc<Cache<Key, Arc<Block>, ByMemory>>,
    database: u64,
}

impl BlockCache {
    /// A cache of `capacity` bytes for blocks of about `block_bytes` each.
    pub(crate) fn new(capacity: u64, block_bytes: usize) -> Self {
        let blocks = capacity / block_bytes.max(64) as u64;
        let blocks = usize::try_from(blocks).unwrap_or(usize::MAX >> 1);
        Self { blocks: Arc::new(Cache::with_weighter(blocks, capacity, ByMemory)), database: 0 }
    }

    /// The same cache, as the database with this number sees it.
    pub(crate) fn for_database(&self, database: u64) -> Self {
        Self { blocks: Arc::clone(&self.blocks), database }
    }

    pub(crate) fn get(&self, file_number: u64, offset: u64) -> Option<Arc<Block>> {
        self.blocks.get(&(self.database, file_number, offset))
    }

    pub(crate) fn insert(&self, file_number: u64, offset: u64, block: Arc<Block>) {
        self.blocks.insert((self.database, file_number, offset), block);
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
