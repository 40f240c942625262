//! The shared heart of a database, and the one place where its state changes.
//!
//! Two things replace the state: *freezing* the active memtable, and *installing* an edit (a flush
//! or a compaction). An edit becomes durable in the manifest first, then visible; what it made
//! obsolete is removed when the last reader has let go of it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::background::{Failures, Signals};
use super::damage::Damage;
use super::files::TABLE_DIR;
use super::gate::Gate;
use super::journal::Journal;
use super::options::Options;
use super::retired::{Retired, RetiredFile};
use super::state::{Frozen, State};
use super::stats::{Activity, LevelStats};
use super::views::Views;
use crate::batch::Seq;
use crate::cache::BlockCache;
use crate::compaction;
use crate::compression::Compression;
use crate::error::Error;
use crate::memtable::Memtable;
use crate::runtime::{Limiter, Member, Memory, MemtableBytes, Runtime, Syncs};
use crate::sabotage::{self, Bug};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex, MutexGuard};
use crate::table::{PartitionLimits, TableOptions};
use crate::version::{
    Features, FileMeta, LAST_LEVEL, LEVELS, Manifest, ManifestError, NewFiles, Snapshot, Version,
    VersionEdit, manifest_name, write_current,
};

/// Writes have to be held back when level 0 is so many times deeper than where it is due.
pub(super) const LEVEL0_HARD: f32 = 5.0;

/// A manifest is replaced when it is larger than this and than twice its snapshot.
const MANIFEST_ROLL_BYTES: u64 = 4 << 20;

/// The manifest and the state it describes.
#[derive(Debug)]
pub(crate) struct Installer {
    pub(super) manifest: Manifest,
    pub(super) snapshot: Snapshot,
    /// The length of the manifest when it was new.
    pub(super) fresh_len: u64,
    /// Rows may have been dropped for reasons that were appended up to this sequence.
    pub(super) dropped_for: Seq,
}

/// # Invariants
/// `state` changes only while `swap` is held; its version only while `installer` is held too, and
/// then it is what `installer.snapshot` describes. The active memtable changes only while the gate
/// is closed. Lock order: `flushing` or `compacting`, gate, `installer`, `swap`.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) journal: Journal,
    pub(super) gate: Gate,
    pub(super) views: Arc<Views>,
    pub(crate) state: ArcSwap<State>,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) activity: Activity,
    pub(super) flush_failures: Failures,
    pub(super) compaction_failures: Failures,
    pub(crate) memory: Arc<Memory>,
    pub(super) member: Arc<Member>,
    pub(super) limiter: Arc<Limiter>,
    /// The share of a core that a compaction may take while nothing presses.
    pub(super) cpu_share: f32,
    /// Held by the one flush at a time.
    pub(super) flushing: Mutex<()>,
    /// Held by the one compaction at a time.
    pub(super) compacting: Mutex<()>,
    /// Tables and blob files that are known to be damaged. Noted for as long as the database is open: what
    /// was wrong may be gone at the next opening.
    pub(super) damage: Arc<Damage>,
    pub(super) installer: Mutex<Installer>,
    /// The free bytes of the disk, as last measured.
    pub(super) free_bytes: AtomicU64,
    swap: Mutex<()>,
    next_file: AtomicU64,
    stopped: OnceLock<Arc<str>>,
    retired: Retired,
}

impl Core {
    pub(super) fn new(
        options: Options,
        journal: Journal,
        runtime: &Runtime,
        cache: Arc<BlockCache>,
        installer: Installer,
        state: State,
    ) -> Self {
        let memory = Arc::clone(runtime.memory());
        let (signals, damage) = (Arc::clone(&state.signals), Arc::clone(&state.damage));
        let member = memory.join(move || signals.request_flush());
        Self {
            next_file: AtomicU64::new(installer.snapshot.next_file),
            options,
            journal,
            gate: Gate::default(),
            views: Arc::default(),
            signals: Arc::clone(&state.signals),
            state: ArcSwap::from_pointee(state),
            cache,
            activity: Activity::default(),
            flush_failures: Failures::default(),
            compaction_failures: Failures::default(),
            memory,
            member,
            limiter: Arc::clone(runtime.limiter()),
            cpu_share: runtime.compaction_cpu_share(),
            flushing: Mutex::new(()),
            compacting: Mutex::new(()),
            damage,
            installer: Mutex::new(installer),
            free_bytes: AtomicU64::new(u64::MAX),
            swap: Mutex::new(()),
            stopped: OnceLock::new(),
            retired: Retired::default(),
        }
    }

    /// Why nothing can be written any more, if so. A log that failed ends everything, at once.
    #[inline]
    pub(crate) fn stop_reason(&self) -> Option<&Arc<str>> {
        self.stopped.get().or_else(|| self.journal.failure())
    }

    /// Ends all writing: the state on disk is unknown, or keeps failing.
    pub(crate) fn stop(&self, reason: &str) {
        self.stopped.get_or_init(|| reason.into());
    }

    pub(crate) fn check_running(&self) -> Result<(), Error> {
        match self.stop_reason() {
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

    /// The size of the data blocks of a level.
    fn block_bytes(&self, level: usize) -> usize {
        self.options.levels[level].block_bytes.unwrap_or(self.options.block_bytes)
    }

    /// How the tables of a level are built, given the level that level 0 is compacted into.
    pub(crate) fn table_options(&self, level: usize, base: usize) -> TableOptions {
        let own = self.options.levels[level];
        let compression = match (own.compression, compaction::is_compressed(level, base)) {
            (Some(own), _) => own,
            (None, true) => self.options.compression,
            // What is soon rewritten is not worth the work.
            (None, false) => Compression::None,
        };
        let limits = PartitionLimits::whole_up_to(self.options.whole_index_bytes);
        TableOptions {
            block_bytes: self.block_bytes(level),
            restart_interval: self.options.restart_interval,
            // The filters of the last level pay as well: they spare the read for keys that are not
            // there.
            bloom_bits_per_key: own.bloom_bits_per_key.unwrap_or(self.options.bloom_bits_per_key),
            compression,
            drop_seqs: level == LAST_LEVEL,
            partitions: if self.cache.is_pinned_out() { limits.without_room() } else { limits },
        }
    }

    /// The size at which tables of a level of `version` end, given the level that level 0 is compacted into.
    pub(crate) fn table_bytes(&self, version: &Version, level: usize, base: usize) -> u64 {
        let largest = self.options.table_bytes;
        let least = largest.min(16 * self.block_bytes(level) as u64);
        compaction::table_bytes(level.saturating_sub(base), version.sizes()[level], largest).max(least)
    }

    pub(crate) fn compaction_config(&self) -> compaction::Config {
        compaction::Config {
            level0_depth: self.options.level0_depth,
            base_bytes: self.options.base_level_bytes,
            fan_out: self.options.fan_out,
            min_tombstones: self.options.min_tombstones,
            blob_garbage_ratio: f64::from(self.options.blob_garbage_ratio),
            blob_age_cutoff: f64::from(self.options.blob_age_cutoff),
            compressed: self.options.compression != Compression::None,
            levels: self.options.levels,
        }
    }

    /// The sizes that the levels should have.
    pub(crate) fn targets(&self, version: &Version) -> compaction::Targets {
        compaction::Targets::new(version.sizes(), &self.compaction_config())
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
        let cut = self.journal.cut()?;
        self.update_state(|state| {
            let frozen = Arc::new(Frozen { memtable: Arc::clone(&state.active), cut });
            State {
                active: Arc::new(Memtable::new(self.options.partitioning)),
                frozen: std::iter::once(frozen).chain(state.frozen.iter().cloned()).collect(),
                version: Arc::clone(&state.version),
                totals: Arc::clone(&state.totals),
                signals: Arc::clone(&state.signals),
                damage: Arc::clone(&state.damage),
            }
        });
        self.report_memory();
        Ok(())
    }

    /// What the memtables take.
    pub(super) fn memtable_bytes(&self, state: &State) -> MemtableBytes {
        MemtableBytes {
            active: state.active.allocated(),
            frozen: state.frozen_bytes(),
            retired: self.retired.memtable_bytes(state),
        }
    }

    /// Tells the runtime what the memtables take.
    pub(super) fn report_memory(&self) {
        self.memory.report(&self.member, self.memtable_bytes(&self.state.load()));
    }

    /// The bytes that compactions have to rewrite before the levels are in order and no blob file is
    /// due, as an estimate.
    pub(super) fn pending_bytes(&self, version: &Version) -> u64 {
        let config = self.compaction_config();
        let score = compaction::level0_score(version.runs().len(), version.sizes()[0], &config);
        let tables = self.targets(version).pending(version.sizes(), score >= 1.0);
        let blobs = version.blob_states();
        if blobs.is_empty() {
            return tables;
        }
        tables.saturating_add(compaction::pending_blob_bytes(blobs, &config, &self.damage.marked()))
    }

    /// What each level holds.
    pub(super) fn level_stats(&self, version: &Version) -> [LevelStats; LEVELS] {
        let targets = self.targets(version);
        std::array::from_fn(|level| {
            let sum = |of: fn(&FileMeta) -> u64| version.level(level).iter().map(|file| of(&file.meta)).sum();
            LevelStats {
                entries: sum(|meta| meta.entries),
                tombstones: sum(|meta| meta.tombstones),
                target_bytes: if level == LAST_LEVEL { 0 } else { targets.bytes[level] },
                ..LevelStats::default()
            }
        })
    }

    /// Measures what is free on the disk.
    pub(crate) fn measure_disk(&self) -> Result<u64, Error> {
        let dir = self.table_dir();
        let free = self.options.vfs.free_bytes(&dir).map_err(Error::io("measure", &dir))?;
        self.free_bytes.store(free, Ordering::Relaxed);
        Ok(free)
    }

    /// How near level 0 is to the depth at which writes have to be held back: 0 up to where it is
    /// due for a compaction, 1 at that depth.
    pub(super) fn urgency(&self) -> f32 {
        let due = self.options.level0_depth.max(1) as f32;
        let depth = self.state.load().version.runs().len() as f32;
        ((depth - due) / (due * (LEVEL0_HARD - 1.0))).clamp(0.0, 1.0)
    }

    /// Does what makes something durable, and measures it unless the database is without threads.
    pub(super) fn time_sync<R>(&self, syncs: &Syncs, sync: impl FnOnce() -> R) -> R {
        if self.signals.has_threads() { syncs.time(sync) } else { sync() }
    }

    /// Makes an edit durable, and then visible. `new` are the files it adds, open; `flushed` is the
    /// memtable they came from.
    pub(crate) fn install(
        &self,
        mut edit: VersionEdit,
        new: &NewFiles,
        flushed: Option<&Arc<Frozen>>,
    ) -> Result<(), Error> {
        let mut installer = self.installer.lock();
        self.check_running()?;
        edit.next_file = Some(self.next_file.load(Ordering::Relaxed));
        if !edit.blobs.is_empty() {
            let mut features = installer.snapshot.features;
            features.insert(Features::WITH_BLOBS);
            edit.features = (features != installer.snapshot.features).then_some(features);
        }
        let before = sabotage::has(Bug::LostFreeze).then(|| self.state.load_full());
        let current = Arc::clone(&self.state.load().version);
        let mut snapshot = installer.snapshot.clone();
        let applied = snapshot.apply(&edit).and_then(|()| current.apply(&edit, new, &snapshot.blobs));
        let version =
            applied.map_err(|why| Error::Invalid(format!("the edit does not fit the database: {why}")))?;
        let appended = self.time_sync(&self.activity.manifest_syncs, || installer.manifest.append(&edit));
        appended.map_err(|error| {
            if let ManifestError::Unknown(error) = &error {
                self.stop(&error.to_string());
            }
            error.into_error()
        })?;
        installer.snapshot = snapshot;

        // What leaves the state is retired first: then no reader is ever the last to hold it.
        self.retire(&edit, &current, &version, flushed);
        self.damage.forget_strangers(&version);
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
                signals: Arc::clone(&state.signals),
                damage: Arc::clone(&state.damage),
            }
        });
        if flushed.is_some() {
            self.report_memory();
        }
        self.roll_manifest(&mut installer);
        Ok(())
    }

    fn retire(&self, edit: &VersionEdit, current: &Version, next: &Version, flushed: Option<&Arc<Frozen>>) {
        if let Some(frozen) = flushed {
            self.retired.add_memtable(&frozen.memtable);
        }
        let stays = |number| edit.added.iter().any(|(_, meta)| meta.number == number);
        let tables = current.files().filter(|(level, file)| {
            let number = file.meta.number;
            !stays(number) && edit.removed.contains(&(*level, number))
        });
        self.retired.add_files(tables.map(|(_, file)| RetiredFile::Table(Arc::clone(&file.table))));
        let blobs = current.blobs().files().filter(|file| next.blobs().get(file.number()).is_none());
        self.retired.add_files(blobs.map(|file| RetiredFile::Blob(Arc::clone(file))));
    }

    /// Frees the flushed memtables that no reader uses any more.
    pub(crate) fn free_memtables(&self) {
        if self.retired.free_memtables() {
            self.report_memory();
        }
    }

    /// Lets go of everything that no reader uses any more.
    pub(crate) fn sweep(&self) {
        self.free_memtables();
        // A disk that failed may have told us of other things that they are durable.
        if self.stop_reason().is_none() {
            self.retired.remove_files(&*self.options.vfs);
        }
    }

    /// Whether something waits for [`Core::sweep`].
    pub(crate) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
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

    /// Notes that rows are about to be dropped, for reasons that were appended up to `seq`.
    pub(super) fn note_dropped(&self, seq: Seq) {
        let mut installer = self.installer.lock();
        installer.dropped_for = installer.dropped_for.max(seq);
    }

    /// The state with the snapshot that describes its tables. These have the reasons for all that was
    /// dropped from them: without, they would be a state that never was.
    pub(crate) fn installed(&self) -> Result<(Arc<State>, Snapshot), Error> {
        loop {
            {
                let installer = self.installer.lock();
                if installer.dropped_for <= installer.snapshot.flushed_seq {
                    return Ok((self.state.load_full(), installer.snapshot.clone()));
                }
            }
            // A compaction has just dropped rows for a reason that is only in memory.
            self.flush_all()?;
        }
    }

    /// Leaves a damaged table or blob file out of compactions from now on.
    pub(crate) fn quarantine(&self, number: u64) {
        self.damage.marked().insert(number);
    }

    /// Lets a table or blob file take part in compactions again: all of it is as it should be.
    pub(crate) fn lift_quarantine(&self, number: u64) {
        if self.damage.marked().remove(&number) {
            self.signals.request_compaction();
        }
    }

    /// The tables and blob files that are known to be damaged.
    pub(crate) fn quarantined(&self) -> Vec<u64> {
        self.damage.marked().iter().copied().collect()
    }

    /// The number of tables and blob files that are known to be damaged.
    pub(crate) fn damaged_tables(&self) -> usize {
        self.damage.marked().len()
    }

    /// The last sequence that is in tables.
    pub(crate) fn flushed_seq(&self) -> Seq {
        self.installer.lock().snapshot.flushed_seq
    }

    /// The memory that the memtables which are not in tables yet may take together, in bytes. At or
    /// below it every thread may append one more batch.
    pub(crate) const fn memory_limit(&self) -> usize {
        self.options.write_buffer_bytes.saturating_mul(self.options.max_frozen.saturating_add(2))
    }

    /// The index up to which the owner's log is in tables.
    pub(crate) fn flushed_index(&self) -> u64 {
        self.installer.lock().snapshot.applied_index
    }

    /// The journal, taken out of a core that nobody else uses.
    pub(super) fn into_journal(self) -> Journal {
        self.journal
    }
}
