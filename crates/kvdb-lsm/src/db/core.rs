//! The shared heart of a database, and the one place where its state changes.
//!
//! Two things replace the state: *freezing* the active memtable, and *installing* an edit (a flush
//! or a compaction). An edit becomes durable in the manifest first, then visible; what it made
//! obsolete is removed when the last reader has let go of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::background::Signals;
use super::gate::Gate;
use super::options::Options;
use super::state::{Frozen, State};
use super::stats::Activity;
use super::views::Views;
use crate::cache::BlockCache;
use crate::compaction;
use crate::error::Error;
use crate::log::Log;
use crate::memtable::Memtable;
use crate::sabotage::{self, Bug};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex, MutexGuard};
use crate::table::{Compression, PartitionLimits, Table, TableOptions};
use crate::version::{
    LEVELS, Manifest, ManifestError, NUMBER_LIMIT, Snapshot, VersionEdit, manifest_name, write_current,
};

/// A manifest is replaced when it is larger than this and than twice its snapshot.
const MANIFEST_ROLL_BYTES: u64 = 4 << 20;

/// The manifest and the state it describes.
#[derive(Debug)]
pub(crate) struct Installer {
    pub(super) manifest: Manifest,
    pub(super) snapshot: Snapshot,
    /// The length of the manifest when it was new.
    pub(super) fresh_len: u64,
}

/// Something that no new reader can see, kept until the old readers are gone.
#[derive(Debug)]
enum Retired {
    Memtable(Arc<Memtable>),
    Table(Arc<Table>),
}

impl Retired {
    fn is_unused(&self) -> bool {
        match self {
            Self::Memtable(memtable) => Arc::strong_count(memtable) == 1,
            Self::Table(table) => Arc::strong_count(table) == 1,
        }
    }
}

/// # Invariants
/// `state` changes only while `swap` is held; its version only while `installer` is held too, and
/// then it is what `installer.snapshot` describes. The active memtable changes only while the gate
/// is closed. Lock order: `flushing` or `compacting`, gate, `installer`, `swap`.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) log: Log,
    pub(super) gate: Gate,
    pub(super) views: Arc<Views>,
    pub(crate) state: ArcSwap<State>,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) signals: Signals,
    pub(crate) activity: Activity,
    /// Held by the one flush at a time.
    pub(super) flushing: Mutex<()>,
    /// Held by the one compaction at a time.
    pub(super) compacting: Mutex<()>,
    /// Tables that a compaction could not read. Noted for as long as the database is open: what
    /// was wrong may be gone at the next opening.
    pub(super) damaged: Mutex<compaction::Damaged>,
    pub(super) installer: Mutex<Installer>,
    swap: Mutex<()>,
    next_file: AtomicU64,
    stopped: OnceLock<Arc<str>>,
    retired: Mutex<Vec<Retired>>,
}

impl Core {
    pub(super) fn new(
        options: Options,
        log: Log,
        cache: Arc<BlockCache>,
        installer: Installer,
        state: State,
    ) -> Self {
        Self {
            next_file: AtomicU64::new(installer.snapshot.next_file),
            options,
            log,
            gate: Gate::default(),
            views: Arc::default(),
            state: ArcSwap::from_pointee(state),
            cache,
            signals: Signals::default(),
            activity: Activity::default(),
            flushing: Mutex::new(()),
            compacting: Mutex::new(()),
            damaged: Mutex::default(),
            installer: Mutex::new(installer),
            swap: Mutex::new(()),
            stopped: OnceLock::new(),
            retired: Mutex::default(),
        }
    }

    /// Why nothing can be written any more, if so.
    #[inline]
    pub(crate) fn stop_reason(&self) -> Option<&Arc<str>> {
        self.stopped.get()
    }

    /// Ends all writing: the state on disk is unknown, or keeps failing.
    pub(crate) fn stop(&self, reason: &str) {
        self.stopped.get_or_init(|| reason.into());
    }

    pub(crate) fn check_running(&self) -> Result<(), Error> {
        match self.stopped.get() {
            Some(reason) => Err(Error::Poisoned(reason.as_ref().to_owned())),
            None => Ok(()),
        }
    }

    pub(crate) fn table_dir(&self) -> PathBuf {
        self.options.dir.join(TABLE_DIR)
    }

    /// A number for a new file.
    pub(crate) fn next_file(&self) -> u64 {
        self.next_file.fetch_add(1, Ordering::Relaxed)
    }

    /// Numbers for `count` new files; returns the first.
    pub(crate) fn next_files(&self, count: u64) -> u64 {
        self.next_file.fetch_add(count, Ordering::Relaxed)
    }

    /// Keeps compactions out for as long as the guard lives.
    pub(crate) fn compacting(&self) -> MutexGuard<'_, ()> {
        self.compacting.lock()
    }

    /// How the tables of a level are built.
    pub(crate) const fn table_options(&self, level: usize) -> TableOptions {
        let is_last = level == LEVELS - 1;
        let compression = match self.options.last_level_compression {
            // What is soon rewritten is not worth the work.
            _ if level < 2 => Compression::None,
            Some(compression) if is_last => compression,
            _ => self.options.compression,
        };
        TableOptions {
            block_bytes: self.options.block_bytes,
            restart_interval: self.options.restart_interval,
            // The filters of the last level pay as well: they spare the read for keys that are not
            // there.
            bloom_bits_per_key: self.options.bloom_bits_per_key,
            compression,
            drop_seqs: is_last,
            partitions: PartitionLimits::DEFAULT,
        }
    }

    pub(crate) const fn compaction_config(&self) -> compaction::Config {
        compaction::Config {
            level0_tables: self.options.level0_tables,
            level1_bytes: self.options.level1_bytes,
            fan_out: 10,
        }
    }

    fn update_state(&self, update: impl FnOnce(&State) -> State) {
        let _swap = self.swap.lock();
        let next = update(&self.state.load());
        self.state.store(Arc::new(next));
    }

    /// Freezes the active memtable, if there is anything in it. Does no I/O.
    pub(crate) fn freeze(&self) -> Result<(), Error> {
        let _closed = self.gate.close();
        if self.state.load().active.is_untouched() {
            return Ok(());
        }
        // No append is under way: the cut of the log and that of the memtables are the same.
        let (next_segment, last_seq) = self.log.rotate(|last_seq| last_seq)?;
        self.update_state(|state| {
            let frozen = Arc::new(Frozen { memtable: Arc::clone(&state.active), last_seq, next_segment });
            State {
                active: Arc::new(Memtable::new(self.options.partitioning)),
                frozen: std::iter::once(frozen).chain(state.frozen.iter().cloned()).collect(),
                version: Arc::clone(&state.version),
                totals: Arc::clone(&state.totals),
            }
        });
        Ok(())
    }

    /// Makes an edit durable, and then visible. `tables` are the tables it adds, open; `flushed`
    /// is the memtable they came from.
    pub(crate) fn install(
        &self,
        mut edit: VersionEdit,
        tables: &[Arc<Table>],
        flushed: Option<&Arc<Frozen>>,
    ) -> Result<(), Error> {
        let mut installer = self.installer.lock();
        self.check_running()?;
        edit.next_file = Some(self.next_file.load(Ordering::Relaxed));
        let before = sabotage::has(Bug::LostFreeze).then(|| self.state.load_full());
        let current = Arc::clone(&self.state.load().version);
        let mut snapshot = installer.snapshot.clone();
        let applied = snapshot.apply(&edit).and_then(|()| current.apply(&edit, tables));
        let version =
            applied.map_err(|why| Error::Invalid(format!("the edit does not fit the database: {why}")))?;
        installer.manifest.append(&edit).map_err(|error| {
            if let ManifestError::Unknown(error) = &error {
                self.stop(&error.to_string());
            }
            error.into_error()
        })?;
        installer.snapshot = snapshot;

        // What leaves the state is retired first: then no reader is ever the last to hold it.
        self.retire(&edit, &current, flushed);
        let version = Arc::new(version);
        let totals = edit.counters.map(Arc::new);
        self.update_state(|now| {
            let state = before.as_deref().unwrap_or(now);
            State {
                active: Arc::clone(&state.active),
                frozen: state
                    .frozen
                    .iter()
                    .filter(|frozen| flushed.is_none_or(|flushed| !Arc::ptr_eq(frozen, flushed)))
                    .cloned()
                    .collect(),
                version,
                totals: totals.unwrap_or_else(|| Arc::clone(&state.totals)),
            }
        });
        self.roll_manifest(&mut installer);
        Ok(())
    }

    fn retire(&self, edit: &VersionEdit, current: &crate::version::Version, flushed: Option<&Arc<Frozen>>) {
        let mut retired = self.retired.lock();
        for (level, file) in current.files() {
            let stays = edit.added.iter().any(|(_, meta)| meta.number == file.meta.number);
            if !stays && edit.removed.contains(&(level, file.meta.number)) {
                retired.push(Retired::Table(Arc::clone(&file.table)));
            }
        }
        if let Some(frozen) = flushed {
            retired.push(Retired::Memtable(Arc::clone(&frozen.memtable)));
        }
    }

    /// Frees what no reader uses any more, and removes the files of tables among it.
    pub(crate) fn sweep(&self) {
        let unused: Vec<Retired> = {
            let mut retired = self.retired.lock();
            retired.extract_if(.., |thing| thing.is_unused()).collect()
        };
        for thing in unused {
            if let Retired::Table(table) = thing {
                // A table that cannot be removed now is removed as a stranger at the next opening.
                let _ = self.options.vfs.remove(table.path());
            }
        }
    }

    /// Whether something waits for [`Core::sweep`].
    pub(crate) fn has_retired(&self) -> bool {
        !self.retired.lock().is_empty()
    }

    /// Begins a new manifest when the current one has grown too long.
    fn roll_manifest(&self, installer: &mut Installer) {
        let len = installer.manifest.len();
        if len < MANIFEST_ROLL_BYTES || len < 2 * installer.fresh_len {
            return;
        }
        let (vfs, dir) = (&*self.options.vfs, self.options.dir.as_path());
        let number = self.next_file();
        installer.snapshot.next_file = number + 1;
        // The old manifest stays good until CURRENT names the new one: a failure so far is none.
        let Ok(next) = Manifest::create(vfs, dir, number, &installer.snapshot) else {
            return;
        };
        match write_current(vfs, dir, number) {
            Ok(()) => {}
            Err(ManifestError::NotWritten(_)) => {
                // It is tried again with the next edit. A leftover is removed at the next opening.
                let _ = vfs.remove(&dir.join(manifest_name(number)));
                return;
            }
            Err(ManifestError::Unknown(error)) => {
                self.stop(&error.to_string());
                return;
            }
        }
        let old = std::mem::replace(&mut installer.manifest, next);
        installer.fresh_len = installer.manifest.len();
        // A leftover is removed at the next opening.
        let _ = vfs.remove(&dir.join(manifest_name(old.number())));
    }

    /// The state with the snapshot that describes its tables.
    pub(crate) fn installed(&self) -> (Arc<State>, Snapshot) {
        let installer = self.installer.lock();
        (self.state.load_full(), installer.snapshot.clone())
    }

    /// Leaves a damaged table out of compactions from now on.
    pub(crate) fn quarantine(&self, number: u64) {
        self.damaged.lock().insert(number);
    }

    /// The tables that are known to be damaged.
    pub(crate) fn quarantined(&self) -> Vec<u64> {
        self.damaged.lock().iter().copied().collect()
    }

    /// The number of tables that a compaction could not read.
    pub(crate) fn damaged_tables(&self) -> usize {
        self.damaged.lock().len()
    }

    /// The last sequence that is in tables.
    pub(crate) fn flushed_seq(&self) -> crate::batch::Seq {
        self.installer.lock().snapshot.flushed_seq
    }

    /// The memory that all memtables may take together.
    pub(crate) const fn memory_limit(&self) -> usize {
        self.options.write_buffer_bytes.saturating_mul(self.options.max_frozen.saturating_add(2))
    }

    /// The log, taken out of a core that nobody else uses.
    pub(super) fn into_log(self) -> Log {
        self.log
    }
}

/// The directory of the tables, below that of the database.
pub(crate) const TABLE_DIR: &str = "sst";
/// The directory of the log, below that of the database.
pub(crate) const LOG_DIR: &str = "wal";

/// The name of a table.
pub(crate) fn table_name(number: u64) -> String {
    format!("{number:06}.sst")
}

/// The number of a table, if `name` is one.
pub(crate) fn parse_table_name(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".sst")?.parse().ok()?;
    (table_name(number) == name && number < NUMBER_LIMIT).then_some(number)
}

/// The path of a table of the database in `dir`.
pub(crate) fn table_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(TABLE_DIR).join(table_name(number))
}
