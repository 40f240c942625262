//! What a database tells about itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::Seq;
use crate::log::LogStats;
use crate::runtime::{SyncStats, Syncs};
use crate::version::LEVELS;

/// Work done since the database was opened.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    flushes: AtomicU64,
    compactions: AtomicU64,
    read_bytes: [AtomicU64; LEVELS],
    written_bytes: [AtomicU64; LEVELS],
    flushed_bytes: AtomicU64,
    refused_appends: AtomicU64,
    moved_tables: AtomicU64,
    removed_tables: AtomicU64,
    filtered_entries: AtomicU64,
    moved_blob_bytes: AtomicU64,
    background_errors: AtomicU64,
    /// Of tables, blob files and their directories.
    pub(crate) table_syncs: Arc<Syncs>,
    /// Of the manifest, with the write before each.
    pub(crate) manifest_syncs: Syncs,
}

impl Activity {
    pub(crate) fn flushed(&self, bytes: u64) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A compaction read these bytes of each level and wrote to `level`.
    pub(crate) fn compacted(&self, read: &[u64; LEVELS], level: usize, written: u64, filtered: u64) {
        self.filtered_entries.fetch_add(filtered, Ordering::Relaxed);
        self.compactions.fetch_add(1, Ordering::Relaxed);
        for (sum, bytes) in self.read_bytes.iter().zip(read) {
            sum.fetch_add(*bytes, Ordering::Relaxed);
        }
        self.written_bytes[level].fetch_add(written, Ordering::Relaxed);
    }

    /// A compaction moved these bytes of values to new blob files.
    pub(crate) fn moved_blobs(&self, bytes: u64) {
        self.moved_blob_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn moved(&self, tables: u64) {
        self.moved_tables.fetch_add(tables, Ordering::Relaxed);
    }

    pub(crate) fn removed(&self, tables: u64) {
        self.removed_tables.fetch_add(tables, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused_appends.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.background_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, stats: &mut DbStats) {
        stats.flushes = self.flushes.load(Ordering::Relaxed);
        stats.flushed_bytes = self.flushed_bytes.load(Ordering::Relaxed);
        stats.compactions = self.compactions.load(Ordering::Relaxed);
        for (level, (read, written)) in self.read_bytes.iter().zip(&self.written_bytes).enumerate() {
            stats.levels[level].read_bytes = read.load(Ordering::Relaxed);
            stats.levels[level].written_bytes = written.load(Ordering::Relaxed);
        }
        stats.compaction_read_bytes = stats.levels.iter().map(|level| level.read_bytes).sum();
        stats.compaction_written_bytes = stats.levels.iter().map(|level| level.written_bytes).sum();
        stats.refused_appends = self.refused_appends.load(Ordering::Relaxed);
        stats.moved_tables = self.moved_tables.load(Ordering::Relaxed);
        stats.removed_tables = self.removed_tables.load(Ordering::Relaxed);
        stats.filtered_entries = self.filtered_entries.load(Ordering::Relaxed);
        stats.moved_blob_bytes = self.moved_blob_bytes.load(Ordering::Relaxed);
        stats.background_errors = self.background_errors.load(Ordering::Relaxed);
        stats.table_syncs = self.table_syncs.stats();
        stats.manifest_syncs = self.manifest_syncs.stats();
    }
}

/// What a level holds, and what compactions did to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelStats {
    /// Entries, tombstones included.
    pub entries: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// The bytes it should have at most; 0 where there is no such number.
    pub target_bytes: u64,
    /// Bytes that compactions read from it.
    pub read_bytes: u64,
    /// Bytes that compactions wrote to it, and to blob files for it.
    pub written_bytes: u64,
}

impl DbStats {
    /// The bytes written to tables and blob files for each byte flushed; 0 before the first flush.
    #[must_use]
    pub fn write_amplification(&self) -> f64 {
        if self.flushed_bytes == 0 {
            return 0.0;
        }
        (self.flushed_bytes + self.compaction_written_bytes) as f64 / self.flushed_bytes as f64
    }
}

/// Statistics of a database. Work is counted since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DbStats {
    /// The log.
    pub log: LogStats,
    /// The memory of the active memtable, in bytes.
    pub active_bytes: usize,
    /// The keys in the active memtable, tombstones included.
    pub active_keys: usize,
    /// Memtables that wait for their flush.
    pub frozen: usize,
    /// Their memory, in bytes.
    pub frozen_bytes: usize,
    /// The memory of flushed memtables that readers, views above all, hold on to, in bytes. It makes
    /// no append be refused.
    pub retired_bytes: usize,
    /// Tables by level.
    pub tables: [usize; LEVELS],
    /// Bytes of tables by level.
    pub table_bytes: [u64; LEVELS],
    /// More about each level.
    pub levels: [LevelStats; LEVELS],
    /// The most tables of level 0 that lie over one key.
    pub level0_depth: usize,
    /// The bytes that compactions have to rewrite before the levels are in order and no blob file is
    /// due, as an estimate.
    pub pending_compaction_bytes: u64,
    /// Appends refused because flushes were behind; those that the log refused it counts itself.
    pub refused_appends: u64,
    /// Entries in tables, superseded ones and tombstones included.
    pub table_entries: u64,
    /// The memory of indexes and filters, in bytes.
    pub pinned_bytes: usize,
    /// The memory of the block cache in use, in bytes.
    pub block_cache_bytes: u64,
    /// Lookups that found their block in the cache.
    pub block_cache_hits: u64,
    /// Lookups that did not.
    pub block_cache_misses: u64,
    /// The last sequence that is in tables.
    pub flushed_seq: Seq,
    /// Live read views.
    pub views: usize,
    /// The sequence of the oldest of them.
    pub oldest_view: Option<Seq>,
    /// Memtables flushed.
    pub flushes: u64,
    /// Bytes written by flushes, to tables and blob files.
    pub flushed_bytes: u64,
    /// Compactions done.
    pub compactions: u64,
    /// Bytes read by compactions.
    pub compaction_read_bytes: u64,
    /// Bytes written by compactions, to tables and blob files.
    pub compaction_written_bytes: u64,
    /// Tables that changed their level without being rewritten.
    pub moved_tables: u64,
    /// Tables that were removed without being read, because nobody needed what was in them.
    pub removed_tables: u64,
    /// Entries that compactions dropped or buried because the filter said so.
    pub filtered_entries: u64,
    /// Flushes and compactions of the background threads that failed; they are tried again.
    pub background_errors: u64,
    /// Syncs of tables, blob files and their directories, by flushes and compactions. Those of the log it counts
    /// itself.
    pub table_syncs: SyncStats,
    /// Edits of the manifest, which are written and synced.
    pub manifest_syncs: SyncStats,
    /// Blob files.
    pub blob_files: usize,
    /// The bytes of the records in them.
    pub blob_bytes: u64,
    /// Those of them that no table refers to.
    pub blob_garbage_bytes: u64,
    /// Bytes of values that compactions moved out of blob files that were due.
    pub moved_blob_bytes: u64,
    /// Tables and blob files that a compaction or a reader could not read, or a scrub. They stay as they are, and
    /// readers of what is damaged are told; the other tables are compacted without them.
    pub damaged_tables: usize,
    /// Reads that met damage.
    pub damaged_reads: u64,
}
