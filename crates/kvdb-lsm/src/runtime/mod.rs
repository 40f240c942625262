//! What the databases of one process share: the block cache, the memory for memtables, the
//! background threads, and how much of the disk and of the processor these may take.
//!
//! A process that holds many small databases would otherwise have threads, caches and buffers for
//! each, and nothing would keep their sum within bounds. The parts do not know each other:
//!
//! * [`Pool`] has the threads and decides what they do next: flushes before compactions always,
//!   because a late flush stops writes and a late compaction only hurts reads; databases in turn; a
//!   database that fails waits by itself and holds up nobody.
//! * [`Memory`] adds up the memtables. When they take half of what is allowed, the largest is
//!   flushed, whichever database it belongs to.
//! * The [cache](BlockCache) also adds up what open tables hold beside it. When that has used up its room,
//!   new tables leave their indexes to the cache.
//! * [`Limiter`] paces background writes, [`pace`] the processor time of compactions.
//!
//! A database that was given no runtime makes one for itself.

mod clock;
mod limiter;
mod memory;
pub(crate) mod pace;
mod paced;
mod pool;
mod schedule;
mod syncs;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;

pub(crate) use self::clock::thread_time;
pub(crate) use self::limiter::{Limiter, Purpose};
pub(crate) use self::memory::{Member, Memory, MemtableBytes};
pub(crate) use self::paced::PacedFile;
pub(crate) use self::pool::{Background, Outcome, Pool};
pub use self::syncs::SyncStats;
pub(crate) use self::syncs::Syncs;
use crate::cache::BlockCache;
use crate::error::Error;

/// How a [`Runtime`] is set up.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// The memory for data blocks that are in use, in bytes.
    pub block_cache_bytes: u64,
    /// The size of a data block, roughly, in bytes.
    pub block_bytes: usize,
    /// The memory that the indexes and filters which are held whole may take, of all databases
    /// together, in bytes. When it is used up, new tables get theirs in partitions, which come through
    /// the block cache; only the top of these, some ten-thousandth of the data, stays in memory.
    pub index_bytes: usize,
    /// The memory that the memtables of all databases may take, in bytes. At half of it the largest
    /// is flushed; beyond it appends are refused. Each database has limits of its own besides.
    pub memtable_bytes: usize,
    /// Threads that only flush.
    pub flush_threads: usize,
    /// Further threads, which flush or compact.
    pub compaction_threads: usize,
    /// What flushes and compactions may write to the disk, in bytes per second; 0 for any amount.
    pub write_bytes_per_second: u64,
    /// The share of a core that each compaction may take while nothing presses: above 0, up to 1.
    pub compaction_cpu_share: f32,
}

impl Default for RuntimeOptions {
    /// For the cores that the process may use.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (flush_threads, compaction_threads) = threads_for(cores);
        Self {
            block_cache_bytes: 64 << 20,
            block_bytes: 4 << 10,
            index_bytes: 64 << 20,
            memtable_bytes: usize::MAX,
            flush_threads,
            compaction_threads,
            write_bytes_per_second: 0,
            // With more cores, those who wait for replies have others.
            compaction_cpu_share: if cores <= 2 { 0.5 } else { 1.0 },
        }
    }
}

/// Threads that flush, and that compact, on so many cores.
const fn threads_for(cores: usize) -> (usize, usize) {
    match cores {
        0..=3 => (1, 1),
        4..=7 => (1, 2),
        _ if cores < 32 => (2, cores / 4),
        _ => (2, 8),
    }
}

/// Shared resources of databases. Clones are the same runtime; its threads end with the last of
/// them, and with the last database that uses it.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

struct Shared {
    options: RuntimeOptions,
    cache: BlockCache,
    memory: Arc<Memory>,
    limiter: Arc<Limiter>,
    pool: Arc<Pool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    databases: AtomicU64,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Makes a runtime. Its threads start with the first database that needs them.
    #[must_use]
    pub fn new(options: RuntimeOptions) -> Self {
        let shared = Shared {
            cache: BlockCache::with_pin_limit(
                options.block_cache_bytes,
                options.block_bytes,
                options.index_bytes,
            ),
            memory: Arc::new(Memory::new(options.memtable_bytes)),
            limiter: Arc::new(Limiter::new(options.write_bytes_per_second)),
            pool: Arc::new(Pool::new(options.compaction_threads.max(1))),
            threads: Mutex::default(),
            databases: AtomicU64::new(0),
            options,
        };
        Self { shared: Arc::new(shared) }
    }

    /// What flushes and compactions may write from now on, in bytes per second; 0 for any amount.
    pub fn set_write_bytes_per_second(&self, rate: u64) {
        self.shared.limiter.set_rate(rate);
    }

    /// The memory that the memtables of all databases take, in bytes; with the flushed ones that
    /// readers hold on to, which no limit counts.
    #[must_use]
    pub fn memtable_bytes(&self) -> usize {
        self.shared.memory.used() + self.shared.memory.retired()
    }

    /// The memory that the indexes and filters of all databases take which are held whole, and the tops
    /// of the others, in bytes.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        self.shared.cache.pinned()
    }

    /// A view of the block cache in which a database meets only its own blocks.
    pub(crate) fn cache_for_database(&self) -> BlockCache {
        self.shared.cache.for_database(self.shared.databases.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.shared.memory
    }

    pub(crate) fn limiter(&self) -> &Arc<Limiter> {
        &self.shared.limiter
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.shared.pool
    }

    pub(crate) fn compaction_cpu_share(&self) -> f32 {
        self.shared.options.compaction_cpu_share
    }

    /// Starts the threads, unless they run.
    pub(crate) fn start_threads(&self) -> Result<(), Error> {
        let mut threads = self.shared.threads.lock();
        let options = &self.shared.options;
        let count = options.flush_threads.max(1) + options.compaction_threads.max(1);
        while threads.len() < count {
            let pool = Arc::clone(&self.shared.pool);
            let builder = std::thread::Builder::new().name(format!("kvdb-lsm-{}", threads.len()));
            let thread = builder.spawn(move || pool.run());
            threads.push(thread.map_err(|error| {
                Error::Invalid(format!("cannot start a thread for flushes and compactions: {error}"))
            })?);
        }
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.stop();
        for thread in self.threads.get_mut().drain(..) {
            // A panic of the thread was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_grow_with_the_cores_and_one_always_flushes() {
        assert_eq!([1, 2, 4, 8, 16, 64].map(threads_for), [(1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (2, 8)]);
    }
}
