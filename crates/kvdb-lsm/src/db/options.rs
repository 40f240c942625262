//! How a database is set up.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::compression::Compression;
use crate::filter::CompactionFilter;
use crate::log::SyncPolicy;
use crate::memtable::Partitioning;
use crate::runtime::Runtime;
use crate::version::LEVELS;
use crate::vfs::{OsVfs, Vfs};

/// What the tables of one level have otherwise than the options of the database say. What is `None` is
/// as it is everywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelOptions {
    /// How they are compressed; said for level 0 and the level it is compacted into as well.
    pub compression: Option<Compression>,
    /// The size of a data block before compression, in bytes.
    pub block_bytes: Option<usize>,
    /// Bits of filter per key; 0 for none.
    pub bloom_bits_per_key: Option<usize>,
}

/// The options of a [`Db`](super::Db). All but the directory can change between two openings.
#[derive(Clone)]
pub struct Options {
    /// The directory, for this database alone. Created if missing.
    pub dir: PathBuf,
    /// The file system.
    pub vfs: Arc<dyn Vfs>,
    /// Log batches. Without, the owner has a log of its own and applies it with
    /// [`Db::apply`](super::Db::apply); what is not flushed it applies again after opening. A
    /// database that has a log with segments is not opened without.
    pub log: bool,
    /// When appended batches are made durable.
    pub sync: SyncPolicy,
    /// The size of a log segment, in bytes.
    pub segment_bytes: u64,
    /// The memtable is flushed when it takes this much memory, in bytes.
    pub write_buffer_bytes: usize,
    /// How many further memtables' worth of memory writes may take while flushes fall behind;
    /// beyond, appends are refused. One batch of each thread may reach beyond.
    pub max_frozen: usize,
    /// The memtable is flushed when the log takes this much space, in bytes: keys that are
    /// overwritten fill the log but not the memtable.
    pub wal_limit_bytes: u64,
    /// The size of a data block before compression, in bytes.
    pub block_bytes: usize,
    /// The memory for data blocks that are in use, in bytes.
    pub block_cache_bytes: u64,
    /// Bits of filter per key; 0 for none.
    pub bloom_bits_per_key: usize,
    /// While the index and the filter of a table have at most so many bytes together, both are held in
    /// memory for as long as the table is open. Beyond, they are cut into partitions, which come
    /// through the block cache.
    pub whole_index_bytes: usize,
    /// How tables and blob files are compressed. Tables of level 0 and of the level it is
    /// compacted into, which are soon rewritten, are not, unless that is the last level.
    pub compression: Compression,
    /// What the tables of a level have otherwise. On the last one there is nearly everything, and nothing
    /// is rewritten less often; on the first two nothing lasts. What is there already stays as it is
    /// until it is compacted.
    pub levels: [LevelOptions; LEVELS],
    /// After so many entries of a data block a key is stored whole, after a KiB of them in any case: a
    /// larger number makes blocks smaller and point reads slower.
    pub restart_interval: usize,
    /// The size after which a table is finished and the next one begun, in bytes. Where tables are
    /// soon merged again they are cut at down to an eighth of it, and on a level with few bytes at down
    /// to a 32nd.
    pub table_bytes: u64,
    /// The depth of level 0 that starts a compaction: how many tables lie over one key.
    pub level0_depth: usize,
    /// The most bytes that the level which level 0 is compacted into should have. While the database
    /// has no more than that, this is the last level; as it grows, levels are added above.
    pub base_level_bytes: u64,
    /// How many times larger each further level may be.
    pub fan_out: u64,
    /// When compactions have to rewrite more bytes than this before the levels are in order and no
    /// blob file is due, the pressure is highest.
    pub pending_compaction_limit: u64,
    /// A table with fewer tombstones than this is not compacted for their sake.
    pub min_tombstones: u64,
    /// Values of at least this many bytes go to blob files, and tables only refer to them: then
    /// compactions do not copy them. 0 for none; those in blob files already stay there until
    /// their file is due.
    pub blob_threshold: usize,
    /// The size after which a blob file is finished and the next one begun, in bytes.
    pub blob_file_bytes: u64,
    /// A blob file is due, and compactions move what is alive in it to a new one, when this share of
    /// its bytes is garbage. When no compaction is due, blob files take at most what tables refer
    /// to, divided by what remains of 1. Above 0, up to 1: only files without a live value go.
    pub blob_garbage_ratio: f32,
    /// Of the oldest blob files, this share of all, half as much garbage makes one due: values that have
    /// stayed for so long will hardly make more of it. Takes less space and writes more. From 0 to 1.
    pub blob_age_cutoff: f32,
    /// What tells compactions which rows nobody needs.
    pub filter: Option<Arc<dyn CompactionFilter>>,
    /// How keys are spread over the partitions of a memtable.
    pub partitioning: Partitioning,
    /// What the database shares with others of the process, which then has the say over the block
    /// cache and over what indexes may take; without one it has its own, whose indexes may take as
    /// much as `block_cache_bytes`, or a mebibyte.
    pub runtime: Option<Runtime>,
    /// Flush and compact on the threads of the runtime. Without, the owner calls
    /// [`Db::flush`](super::Db::flush), [`Db::compact_step`](super::Db::compact_step) and
    /// [`Log::tick`](crate::log::Log::tick): for simulation.
    pub background: bool,
    /// Open the database although tables or blob files are damaged or missing. Each of them is in *quarantine*:
    /// it stays part of the database, reads of keys in its range that nothing newer answers fail
    /// with [`Error::Corruption`](crate::error::Error::Corruption), and it takes part in no
    /// compaction, checkpoint or backup. Everything else goes on.
    pub quarantine: bool,
}

impl Options {
    /// The defaults for a database in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            vfs: Arc::new(OsVfs),
            log: true,
            sync: SyncPolicy::Always,
            segment_bytes: 64 << 20,
            write_buffer_bytes: 64 << 20,
            max_frozen: 3,
            wal_limit_bytes: 1 << 30,
            block_bytes: 4 << 10,
            block_cache_bytes: 64 << 20,
            bloom_bits_per_key: 10,
            whole_index_bytes: 2 << 20,
            compression: Compression::Lz4,
            levels: [LevelOptions::default(); LEVELS],
            restart_interval: 16,
            table_bytes: 64 << 20,
            level0_depth: 4,
            base_level_bytes: 256 << 20,
            fan_out: 10,
            pending_compaction_limit: 64 << 30,
            min_tombstones: 1000,
            blob_threshold: 4 << 10,
            blob_file_bytes: 256 << 20,
            blob_garbage_ratio: 0.5,
            blob_age_cutoff: 0.0,
            filter: None,
            partitioning: Partitioning::default(),
            runtime: None,
            background: true,
            quarantine: false,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("dir", &self.dir)
            .field("sync", &self.sync)
            .field("write_buffer_bytes", &self.write_buffer_bytes)
            .field("wal_limit_bytes", &self.wal_limit_bytes)
            .finish_non_exhaustive()
    }
}
