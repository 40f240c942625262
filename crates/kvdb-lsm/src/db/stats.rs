//! What a database tells about itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::Seq;
use crate::log::LogStats;
use crate::version::LEVELS;

/// Work done since the database was opened.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    flushes: AtomicU64,
    flushed_bytes: AtomicU64,
    compactions: AtomicU64,
    compaction_read_bytes: AtomicU64,
    compaction_written_bytes: AtomicU64,
    background_errors: AtomicU64,
}

impl Activity {
    pub(crate) fn flushed(&self, bytes: u64) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn compacted(&self, read: u64, written: u64) {
        self.compactions.fetch_add(1, Ordering::Relaxed);
        self.compaction_read_bytes.fetch_add(read, Ordering::Relaxed);
        self.compaction_written_bytes.fetch_add(written, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.background_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, stats: &mut DbStats) {
        stats.flushes = self.flushes.load(Ordering::Relaxed);
        stats.flushed_bytes = self.flushed_bytes.load(Ordering::Relaxed);
        stats.compactions = self.compactions.load(Ordering::Relaxed);
        stats.compaction_read_bytes = self.compaction_read_bytes.load(Ordering::Relaxed);
        stats.compaction_written_bytes = self.compaction_written_bytes.load(Ordering::Relaxed);
        stats.background_errors = self.background_errors.load(Ordering::Relaxed);
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
    /// Tables by level.
    pub tables: [usize; LEVELS],
    /// Bytes of tables by level.
    pub table_bytes: [u64; LEVELS],
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
    /// Bytes written by flushes.
    pub flushed_bytes: u64,
    /// Compactions done.
    pub compactions: u64,
    /// Bytes read by compactions.
    pub compaction_read_bytes: u64,
    /// Bytes written by compactions.
    pub compaction_written_bytes: u64,
    /// Flushes and compactions of the background threads that failed; they are tried again.
    pub background_errors: u64,
    /// Tables that a compaction could not read. They stay as they are, and readers of what is
    /// damaged are told; the other tables are compacted without them.
    pub damaged_tables: usize,
}

/// How far writes are ahead of flushes and compactions.
#[derive(Debug, Clone, PartialEq)]
pub enum Pressure {
    /// Not at all.
    None,
    /// Writes should slow down; the number rises from 0 to 1 on the way to [`Pressure::Hard`].
    Soft(f32),
    /// Writes are refused, or soon will be. The text says why.
    Hard(String),
}
