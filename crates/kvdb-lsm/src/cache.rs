//! The block cache: decompressed, checked blocks, shared by all tables of all databases. Values of
//! blob files share its memory, unless they are so large that one would push out many blocks.
//!
//! Partitions of indexes and filters have a pool of their own, so that data blocks never push them
//! out: without them, a data block cannot even be asked for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::blob::Blob;
use crate::table::{Block, Bloom, Index};

/// A block or a value by its database, the number of its file and its offset. Numbers are never
/// reused, neither for another kind of file, so an entry never goes stale; those of removed files age
/// out.
type Key = (u64, u64, u64);

/// The share of the capacity that partitions get, if there are any.
const PARTITION_SHARE: u64 = 4;
/// A value of a blob file stays out if it takes more than this share of the capacity.
const BLOB_SHARE: u64 = 64;
/// A partition takes about this much memory.
const PARTITION_BYTES: u64 = 8 << 10;

/// A partition of the index of a table, or of its filter.
#[derive(Debug, Clone)]
pub(crate) enum PartitionBlock {
    /// Of the index.
    Index(Arc<Index>),
    /// Of the filter.
    Filter(Arc<Bloom>),
}

/// What tables and blob files hold.
#[derive(Debug, Clone)]
enum Payload {
    /// A data block.
    Block(Arc<Block>),
    /// A value.
    Blob(Arc<Blob>),
}

#[derive(Debug, Clone)]
struct ByMemory;

impl Weighter<Key, Payload> for ByMemory {
    fn weight(&self, _: &Key, payload: &Payload) -> u64 {
        match payload {
            Payload::Block(block) => block.memory() as u64,
            Payload::Blob(blob) => blob.memory() as u64,
        }
    }
}

impl Weighter<Key, PartitionBlock> for ByMemory {
    fn weight(&self, _: &Key, partition: &PartitionBlock) -> u64 {
        // The weight must not be 0.
        1 + match partition {
            PartitionBlock::Index(index) => index.memory() as u64,
            PartitionBlock::Filter(bloom) => bloom.memory() as u64,
        }
    }
}

/// What all databases share.
///
/// # Invariants
/// The capacities of both pools are `capacity` together, once there is a partition; until then
/// `blocks` has all of it. `pinned` is the sum of all [`Pinned`] there are.
#[derive(Debug)]
struct Pools {
    capacity: u64,
    /// What may be pinned before new tables leave their indexes and filters to the cache, in bytes.
    pin_limit: usize,
    pinned: AtomicUsize,
    blocks: Cache<Key, Payload, ByMemory>,
    partitions: Cache<Key, PartitionBlock, ByMemory>,
    split: Once,
}

/// Memory that a table takes for as long as it is open, beside the cache: its index and its filter, or
/// the top of both.
#[derive(Debug)]
pub(crate) struct Pinned {
    pools: Arc<Pools>,
    bytes: usize,
}

impl Pinned {
    /// How much it is.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.pools.pinned.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A bounded cache that keeps what is used often, and resists scans; as one database sees it.
#[derive(Debug)]
pub(crate) struct BlockCache {
    pools: Arc<Pools>,
    database: u64,
}

impl BlockCache {
    /// A cache of `capacity` bytes for blocks of about `block_bytes` each.
    pub(crate) fn new(capacity: u64, block_bytes: usize) -> Self {
        Self::with_pin_limit(capacity, block_bytes, usize::MAX)
    }

    /// As [`BlockCache::new`], for tables that may pin so many bytes together.
    pub(crate) fn with_pin_limit(capacity: u64, block_bytes: usize, pin_limit: usize) -> Self {
        let items = |bytes: u64, each: u64| usize::try_from(bytes / each).unwrap_or(usize::MAX >> 1);
        let share = capacity / PARTITION_SHARE;
        let pools = Pools {
            capacity,
            pin_limit,
            pinned: AtomicUsize::new(0),
            blocks: Cache::with_weighter(items(capacity, block_bytes.max(64) as u64), capacity, ByMemory),
            partitions: Cache::with_weighter(items(share, PARTITION_BYTES), share, ByMemory),
            split: Once::new(),
        };
        Self { pools: Arc::new(pools), database: 0 }
    }

    /// The same cache, as the database with this number sees it.
    pub(crate) fn for_database(&self, database: u64) -> Self {
        Self { pools: Arc::clone(&self.pools), database }
    }

    const fn key(&self, file_number: u64, offset: u64) -> Key {
        (self.database, file_number, offset)
    }

    #[inline]
    pub(crate) fn get(&self, file_number: u64, offset: u64) -> Option<Arc<Block>> {
        match self.pools.blocks.get(&self.key(file_number, offset))? {
            Payload::Block(block) => Some(block),
            Payload::Blob(_) => None,
        }
    }

    pub(crate) fn insert(&self, file_number: u64, offset: u64, block: Arc<Block>) {
        self.pools.blocks.insert(self.key(file_number, offset), Payload::Block(block));
    }

    pub(crate) fn get_blob(&self, file_number: u64, offset: u64) -> Option<Arc<Blob>> {
        match self.pools.blocks.get(&self.key(file_number, offset))? {
            Payload::Blob(blob) => Some(blob),
            Payload::Block(_) => None,
        }
    }

    /// Keeps a value, if it is not too large.
    pub(crate) fn insert_blob(&self, file_number: u64, offset: u64, blob: &Arc<Blob>) {
        if blob.memory() as u64 <= self.pools.capacity / BLOB_SHARE {
            self.pools.blocks.insert(self.key(file_number, offset), Payload::Blob(Arc::clone(blob)));
        }
    }

    pub(crate) fn get_partition(&self, file_number: u64, offset: u64) -> Option<PartitionBlock> {
        self.pools.partitions.get(&self.key(file_number, offset))
    }

    pub(crate) fn insert_partition(&self, file_number: u64, offset: u64, partition: PartitionBlock) {
        let Pools { capacity, blocks, partitions, split, .. } = &*self.pools;
        split.call_once(|| blocks.set_capacity(capacity - capacity / PARTITION_SHARE));
        partitions.insert(self.key(file_number, offset), partition);
    }

    /// Counts what a table pins.
    pub(crate) fn pin(&self, bytes: usize) -> Pinned {
        self.pools.pinned.fetch_add(bytes, Ordering::Relaxed);
        Pinned { pools: Arc::clone(&self.pools), bytes }
    }

    /// What the tables of all databases pin, in bytes.
    pub(crate) fn pinned(&self) -> usize {
        self.pools.pinned.load(Ordering::Relaxed)
    }

    /// Whether new tables should leave their indexes and filters to the cache.
    pub(crate) fn is_pinned_out(&self) -> bool {
        self.pinned() >= self.pools.pin_limit
    }

    /// The bytes in the cache.
    pub(crate) fn weight(&self) -> u64 {
        self.pools.blocks.weight() + self.pools.partitions.weight()
    }

    /// Lookups of data blocks and values that found theirs, and those that did not.
    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        (self.pools.blocks.hits(), self.pools.blocks.misses())
    }
}
