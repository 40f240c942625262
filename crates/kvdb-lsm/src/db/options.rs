//! How a database is set up.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::log::SyncPolicy;
use crate::memtable::Partitioning;
use crate::table::Compression;
use crate::vfs::{OsVfs, Vfs};

/// The options of a [`Db`](super::Db). All but the directory can change between two openings.
#[derive(Clone)]
pub struct Options {
    /// The directory, for this database alone. Created if missing.
    pub dir: PathBuf,
    /// The file system.
    pub vfs: Arc<dyn Vfs>,
    /// When appended batches are made durable.
    pub sync: SyncPolicy,
    /// The size of a log segment, in bytes.
    pub segment_bytes: u64,
    /// The memtable is flushed when it takes this much memory, in bytes.
    pub write_buffer_bytes: usize,
    /// How many further memtables' worth of memory writes may take while flushes fall behind;
    /// beyond, appends are refused.
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
    /// How tables are compressed. Levels 0 and 1, which are soon rewritten, never are.
    pub compression: Compression,
    /// How tables of the last level are compressed, if not like the others: nearly everything is
    /// there, and nothing is rewritten less often.
    pub last_level_compression: Option<Compression>,
    /// Every so many entries of a data block, a key is stored whole: fewer make a block smaller and
    /// point reads slower.
    pub restart_interval: usize,
    /// The size after which a table is finished and the next one begun, in bytes.
    pub table_bytes: u64,
    /// The number of tables on level 0 that starts a compaction.
    pub level0_tables: usize,
    /// The bytes level 1 may have; each deeper level may have ten times more.
    pub level1_bytes: u64,
    /// How keys are spread over the partitions of a memtable.
    pub partitioning: Partitioning,
    /// Flush and compact on threads of the database. Without, the owner calls
    /// [`Db::flush`](super::Db::flush), [`Db::compact_step`](super::Db::compact_step) and
    /// [`Log::tick`](crate::log::Log::tick): for simulation.
    pub background: bool,
    /// Open the database although tables are damaged or missing. Each of them is in *quarantine*:
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
            sync: SyncPolicy::Always,
            segment_bytes: 64 << 20,
            write_buffer_bytes: 64 << 20,
            max_frozen: 3,
            wal_limit_bytes: 1 << 30,
            block_bytes: 4 << 10,
            block_cache_bytes: 64 << 20,
            bloom_bits_per_key: 10,
            compression: Compression::Lz4,
            last_level_compression: None,
            restart_interval: 16,
            table_bytes: 64 << 20,
            level0_tables: 4,
            level1_bytes: 256 << 20,
            partitioning: Partitioning::default(),
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
