//! The database: log, memtables, tables, and the work in between.

mod background;
mod blob_moves;
mod blob_outputs;
mod compact;
pub(crate) mod core;
mod damage;
pub(crate) mod files;
mod gate;
mod iter;
mod journal;
mod multi_get;
pub(crate) mod open;
mod operate;
mod options;
pub(crate) mod outputs;
mod pressure;
mod read_only;
mod reads;
mod retired;
pub(crate) mod state;
mod stats;
mod views;
mod work;

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use self::core::{Core, LEVEL0_HARD};
pub use self::iter::{Descending, Iter, Keys, Row};
use self::open::Lock;
pub use self::options::{LevelOptions, Options};
pub use self::pressure::Pressure;
use self::pressure::Shares;
pub use self::read_only::ReadOnlyDb;
pub use self::reads::{Cached, Pending};
pub use self::stats::{DbStats, LevelStats};
pub use self::views::ReadView;
use crate::batch::{MAX_KEY_LEN, Seq, WriteBatch};
use crate::entry::{KeyRange, NEWEST};
use crate::error::Error;
use crate::log::{FullReason, Log, LogError, LogState, Recovered};
use crate::runtime::{Runtime, RuntimeOptions};
use crate::sabotage::{self, Bug};
use crate::sync::atomic::Ordering;
use crate::version::{BlobState, LEVELS};

/// A refused append. Nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// The log takes nothing at the moment; it will again by itself.
    Full(FullReason),
    /// Flushes have fallen too far behind; they will catch up.
    Backlog,
    /// The database takes no writes any more; the text is the cause.
    Stopped(Arc<str>),
    /// The batch is larger than the log takes, or has a key longer than [`MAX_KEY_LEN`].
    TooLarge,
    /// The call does not fit how the database was opened, or what was applied before.
    Invalid(&'static str),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(reason) => LogError::Full(*reason).fmt(f),
            Self::Backlog => f.write_str("writes come faster than they can be flushed to disk"),
            Self::Stopped(cause) => {
                write!(f, "the database stopped after a failed write to the disk: {cause}")
            }
            Self::TooLarge => {
                f.write_str("the batch is larger than the log takes, or a key in it longer than 4 MiB")
            }
            Self::Invalid(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for AppendError {}

impl From<LogError> for AppendError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Full(reason) => Self::Full(reason),
            LogError::Poisoned(cause) => Self::Stopped(cause),
            LogError::TooLarge => Self::TooLarge,
        }
    }
}

/// A database. See the [crate documentation](crate).
///
/// All methods may be called from many threads at once.
pub struct Db {
    core: Option<Arc<Core>>,
    recovered: Recovered,
    _lock: Lock,
    /// Its threads end with it, so it comes last.
    runtime: Runtime,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("options", &self.core().options).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the database in `options.dir`, or creates it, and replays its log.
    ///
    /// # Errors
    /// [`Error::Corruption`] if something that must be there is damaged or missing: no part of the
    /// database is opened then. [`Error::Io`] if the file system fails or another process has the
    /// database open. [`Error::Invalid`] for impossible options.
    pub fn open(options: Options) -> Result<Self, Error> {
        let background = options.background;
        let runtime = options.runtime.clone().unwrap_or_else(|| {
            Runtime::new(RuntimeOptions {
                block_cache_bytes: options.block_cache_bytes,
                block_bytes: options.block_bytes,
                index_bytes: usize::try_from(options.block_cache_bytes).unwrap_or(usize::MAX).max(1 << 20),
                ..RuntimeOptions::default()
            })
        });
        let (core, recovered, lock) = open::open(options, &runtime)?;
        let core = Arc::new(core);
        core.report_memory();
        let db = Self { core: Some(core), recovered, _lock: lock, runtime };
        if background {
            db.runtime.start_threads()?;
            background::attach(db.core(), db.runtime.pool());
        }
        Ok(db)
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        self.core.as_ref().expect("the core is taken out only when the database is closed")
    }

    /// What replaying the log found at the opening.
    #[must_use]
    pub const fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The log: whether an append is written or durable, and listeners for that.
    ///
    /// Batches are appended through [`Db::append`] only.
    ///
    /// # Panics
    /// If the database was opened without ([`Options::log`]).
    #[must_use]
    pub fn log(&self) -> &Log {
        self.core().journal.log().expect("the log of a database that was opened without is not asked for")
    }

    /// The last sequence given out.
    #[must_use]
    pub fn appended(&self) -> Seq {
        self.core().journal.appended()
    }

    /// The index of the last batch that was [applied](Db::apply). After opening, the owner goes on
    /// behind it. 0 for a database with a log, or to which nothing was applied.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.core().journal.applied().unwrap_or_default()
    }

    /// The index up to which everything applied is in tables: what comes back after a crash. The
    /// owner may cut its log here.
    #[must_use]
    pub fn flushed_index(&self) -> u64 {
        self.core().flushed_index()
    }

    /// Appends a batch to the log and applies it: readers see it as soon as this returns. Returns
    /// the sequence of its last operation, for waiting until that is durable.
    ///
    /// Does no I/O and waits for none.
    ///
    /// # Errors
    /// Nothing was taken.
    #[inline]
    pub fn append(&self, batch: &WriteBatch) -> Result<Seq, AppendError> {
        self.insert(batch, None)
    }

    /// Applies a batch from the owner's log, to a database that has none itself
    /// ([`Options::log`]): readers see it as soon as this returns, and it is durable when
    /// [`Db::flushed_index`] has reached `index`. An empty batch only moves the index.
    ///
    /// Does no I/O and waits for none.
    ///
    /// # Errors
    /// Nothing was taken. [`AppendError::Invalid`] if `index` is not above that of the batch before.
    #[inline]
    pub fn apply(&self, batch: &WriteBatch, index: u64) -> Result<Seq, AppendError> {
        self.insert(batch, Some(index))
    }

    #[inline]
    fn insert(&self, batch: &WriteBatch, index: Option<u64>) -> Result<Seq, AppendError> {
        let core = &**self.core();
        if let Some(reason) = core.stop_reason() {
            return Err(AppendError::Stopped(Arc::clone(reason)));
        }
        let ops = batch.ops_bytes().len();
        if ops > MAX_KEY_LEN && batch.iter().any(|op| op.key().is_some_and(|key| key.len() > MAX_KEY_LEN)) {
            return Err(AppendError::TooLarge);
        }
        let pass = core.gate.enter();
        // The active memtable cannot change while an append is inside the gate.
        let state = core.state.load();
        let buffer = core.options.write_buffer_bytes;
        let before = state.active.allocated();
        let is_behind = before + state.frozen_bytes() > core.memory_limit();
        if is_behind || core.memory.is_exhausted() {
            core.signals.request_flush();
            core.activity.refused();
            return Err(AppendError::Backlog);
        }
        let (last, first) = core.journal.append(batch, index).inspect_err(|error| {
            if *error == AppendError::Full(FullReason::NoSpace) {
                // A flush lets go of log segments, which may make the space.
                core.signals.request_flush();
            }
        })?;
        state.active.insert(first, batch.iter(), core.views.newest());
        let after = state.active.allocated();
        let grown = before < buffer && after >= buffer;
        let logged = batch.ops_bytes().len() as u64;
        if grown || pass.count(logged, core.options.wal_limit_bytes / 64) {
            core.signals.request_flush();
        }
        if core.member.is_news(after) {
            core.report_memory();
        }
        Ok(last)
    }

    /// The database as it is now, for reads that must fit together.
    #[must_use]
    pub fn view(&self) -> ReadView {
        let core = self.core();
        let _closed = core.gate.close();
        let seq = if sabotage::has(Bug::LeakyView) { NEWEST } else { core.journal.appended() };
        core.views.pin(seq, core.state.load_full())
    }

    /// The rows of a range in key order, as a view sees them. Does no I/O; the iterator may.
    #[must_use]
    pub fn iter(&self, range: impl RangeBounds<[u8]>, view: &ReadView) -> Iter {
        Iter::new(Arc::clone(&view.pin), KeyRange::new(&range))
    }

    /// As [`Db::iter`], over the keys that begin with `prefix`.
    #[must_use]
    pub fn iter_prefix(&self, prefix: &[u8], view: &ReadView) -> Iter {
        Iter::new(Arc::clone(&view.pin), KeyRange::prefix(prefix))
    }

    /// As [`Db::iter`], over all keys.
    #[must_use]
    pub fn iter_all(&self, view: &ReadView) -> Iter {
        Iter::new(Arc::clone(&view.pin), KeyRange::all())
    }

    /// The value of a durable counter: the sum of all that batches added to it.
    #[must_use]
    pub fn counter(&self, id: u16) -> i64 {
        self.core().state.load().counter(id)
    }

    /// Writes everything appended before the call into tables.
    ///
    /// # Errors
    /// What could not be flushed stays in memory and in the log.
    pub fn flush(&self) -> Result<(), Error> {
        let core = self.core();
        core.flush_all()?;
        core.sweep();
        core.signals.request_compaction();
        Ok(())
    }

    /// Flushes if the memtable or the log has grown past its limit, as the background thread
    /// would; returns whether it did.
    pub fn flush_if_due(&self) -> Result<bool, Error> {
        let flushed = self.core().flush_if_due()?;
        self.core().sweep();
        Ok(flushed)
    }

    /// Does the most urgent compaction, as the background thread would; returns whether one was
    /// due.
    pub fn compact_step(&self) -> Result<bool, Error> {
        let worked = self.core().compact_once()?;
        self.core().sweep();
        Ok(worked)
    }

    /// How far writes are ahead of flushes and compactions.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        let core = self.core();
        if let Some(reason) = core.stop_reason() {
            return Pressure::Hard(reason.as_ref().to_owned());
        }
        match core.journal.state() {
            LogState::Open => {}
            LogState::Full(reason) => return Pressure::Hard(LogError::Full(reason).to_string()),
            LogState::Poisoned(cause) => return Pressure::Hard(cause.as_ref().to_owned()),
        }
        let state = core.state.load();
        let memory = state.active.allocated() + state.frozen_bytes();
        let memory = memory as f32 / core.memory_limit().max(1) as f32;
        let depth = state.version.runs().len() as f32 / core.options.level0_depth.max(1) as f32;
        let pending = core.pending_bytes(&state.version) as f32;
        let free = core.free_bytes.load(Ordering::Relaxed);
        let shares = Shares {
            memory: memory.max(core.memory.share()),
            level0: depth / LEVEL0_HARD,
            pending: pending / core.options.pending_compaction_limit.max(1) as f32,
            disk: Shares::of_disk(free, core.options.write_buffer_bytes as u64),
        };
        shares.pressure(|| AppendError::Backlog.to_string())
    }

    /// Statistics.
    #[must_use]
    pub fn stats(&self) -> DbStats {
        let core = self.core();
        let state = core.state.load_full();
        let level = |level: usize| state.version.level(level);
        let (hits, misses) = core.cache.hits_and_misses();
        let (views, oldest_view) = core.views.count_and_oldest();
        let memtables = core.memtable_bytes(&state);
        let mut stats = DbStats {
            log: core.journal.stats(),
            active_bytes: memtables.active,
            active_keys: state.active.keys(),
            frozen: state.frozen.len(),
            frozen_bytes: memtables.frozen,
            retired_bytes: memtables.retired,
            tables: std::array::from_fn::<_, LEVELS, _>(|n| level(n).len()),
            table_bytes: std::array::from_fn::<_, LEVELS, _>(|n| {
                level(n).iter().map(|file| file.meta.size).sum()
            }),
            levels: core.level_stats(&state.version),
            level0_depth: state.version.runs().len(),
            pending_compaction_bytes: core.pending_bytes(&state.version),
            table_entries: state.version.files().map(|(_, file)| file.meta.entries).sum(),
            pinned_bytes: state.version.files().map(|(_, file)| file.table.pinned_memory()).sum(),
            block_cache_bytes: core.cache.weight(),
            block_cache_hits: hits,
            block_cache_misses: misses,
            flushed_seq: core.flushed_seq(),
            views,
            oldest_view,
            damaged_tables: core.damaged_tables(),
            damaged_reads: core.damage.reads(),
            blob_files: state.version.blob_states().len(),
            blob_bytes: state.version.blob_states().values().map(|state| state.meta.bytes()).sum(),
            blob_garbage_bytes: state.version.blob_states().values().map(BlobState::garbage).sum(),
            ..DbStats::default()
        };
        core.activity.add_to(&mut stats);
        stats
    }

    /// Ends the background work and makes everything appended durable. The memtable stays in the
    /// log; without a log, what is not flushed has to be applied again.
    ///
    /// # Errors
    /// What was not durable before may be lost.
    pub fn close(mut self) -> Result<(), Error> {
        self.leave_runtime();
        let core = self.core.take().expect("the core is taken out only when the database is closed");
        core.sweep();
        let core = Arc::into_inner(core).expect("only the runtime shared the core, and has let go of it");
        core.into_journal().close()
    }

    fn leave_runtime(&self) {
        if let Some(core) = &self.core {
            background::detach(core);
            core.memory.leave(&core.member);
        }
    }
}

impl Drop for Db {
    /// Without [`Db::close`], what was not written to the log yet is lost.
    fn drop(&mut self) {
        self.leave_runtime();
    }
}
