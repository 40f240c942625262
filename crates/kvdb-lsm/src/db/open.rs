//! Opening a database: what is on disk becomes a core.
//!
//! Nothing is changed until manifest, tables and log have been read and found sound. Then the log
//! goes on in a new segment, the state goes into a new manifest, and files that belong to nothing
//! are removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::core::{Core, Installer};
use super::damage::Damage;
use super::files::{BLOB_DIR, DataKind, LOG_DIR, TABLE_DIR, blob_path, table_path};
use super::journal::Journal;
use super::options::Options;
use super::state::State;
use crate::batch::{BatchView, Seq};
use crate::blob::BlobFile;
use crate::cache::BlockCache;
use crate::compaction::Damaged;
use crate::error::Error;
use crate::log::{Log, LogOptions, Recovered};
use crate::memtable::Memtable;
use crate::runtime::Runtime;
use crate::table::{Properties, Table};
use crate::version::{
    CURRENT, Features, FileMeta, Manifest, ManifestError, NewFiles, Snapshot, Version, VersionEdit,
    parse_manifest_name, read_current, read_manifest, write_current,
};
use crate::vfs::{Vfs, create_dir_durably};

/// The bounds of what may wait to be written to the log, in bytes, which otherwise goes by the size of
/// a memtable. Less would refuse what a single write takes, more only waits longer.
const LEAST_BUFFERED: usize = 1 << 20;
const MOST_BUFFERED: usize = 64 << 20;

/// Keeps other processes out for as long as it lives.
pub(super) type Lock = Box<dyn Send + Sync>;

/// Opens the database, or makes a new one.
pub(super) fn open(options: Options, runtime: &Runtime) -> Result<(Core, Recovered, Lock), Error> {
    check_options(&options)?;
    let vfs = Arc::clone(&options.vfs);
    let (vfs, dir) = (&*vfs, options.dir.clone());
    for dir in [dir.clone(), dir.join(BLOB_DIR), dir.join(TABLE_DIR), dir.join(LOG_DIR)] {
        create_dir_durably(vfs, &dir).map_err(Error::io("create", &dir))?;
    }
    let lock_path = dir.join("LOCK");
    let lock = vfs.lock(&lock_path).map_err(Error::io("lock", &lock_path))?;

    let mut snapshot = match read_current(vfs, &dir)? {
        Some(number) => read_manifest(vfs, &dir, number)?,
        None => create(vfs, &dir)?,
    };
    snapshot.features.check_writable().map_err(|why| Error::Invalid(format!("{}: {why}", dir.display())))?;
    snapshot.features.insert(Features::WRITTEN);
    let cache = Arc::new(runtime.cache_for_database());
    let (version, damaged) = open_tables(&options, &snapshot, &cache)?;
    let memtable = Memtable::new(options.partitioning);
    let (journal, recovered, min_segment) = if options.log {
        let (log, recovered, min_segment) = open_log(&options, &snapshot, &memtable)?;
        (Journal::Log(log), recovered, min_segment)
    } else {
        refuse_log(vfs, &dir)?;
        (Journal::of_owner(snapshot.flushed_seq, snapshot.applied_index), Recovered::default(), 0)
    };

    snapshot.min_segment = min_segment;
    snapshot.next_file = snapshot.next_file.max(highest_number(vfs, &dir)? + 1);
    let manifest = match begin_manifest(vfs, &dir, &mut snapshot) {
        Ok(manifest) => manifest,
        Err(_) => {
            // What failed may have been space, and there may be some to free.
            remove_strangers(vfs, &dir, &snapshot, None);
            begin_manifest(vfs, &dir, &mut snapshot)?
        }
    };
    remove_strangers(vfs, &dir, &snapshot, Some(manifest.number()));
    journal.remove_before(min_segment);

    let state = State {
        active: Arc::new(memtable),
        frozen: Vec::new(),
        version: Arc::new(version),
        totals: Arc::new(snapshot.counters.clone()),
        signals: Arc::default(),
        damage: Arc::new(Damage::new(damaged)),
    };
    let installer = Installer { fresh_len: manifest.len(), manifest, snapshot, dropped_for: 0 };
    let core = Core::new(options, journal, runtime, cache, installer, state);
    Ok((core, recovered, lock))
}

pub(super) fn check_options(options: &Options) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::Invalid(why.to_owned()));
    let of_levels = options.levels.iter().filter_map(|level| level.block_bytes);
    if of_levels.chain([options.block_bytes]).any(|bytes| !(64..=16 << 20).contains(&bytes)) {
        return refuse("a data block must have between 64 bytes and 16 MiB");
    }
    if options.restart_interval == 0 || options.restart_interval > 1 << 10 {
        return refuse("a key must be stored whole at every entry to every 1024th");
    }
    if options.table_bytes > 2 << 30 {
        return refuse("a table must not have more than 2 GiB");
    }
    if options.partitioning.count == 0 || options.partitioning.count > 1 << 12 {
        return refuse("a memtable must have between 1 and 4096 partitions");
    }
    if !(options.blob_garbage_ratio > 0.0 && options.blob_garbage_ratio <= 1.0) {
        return refuse("the share of garbage at which a blob file is due must be above 0 and at most 1");
    }
    if !(0.0..=1.0).contains(&options.blob_age_cutoff) {
        return refuse("the share of blob files that count as old must be between 0 and 1");
    }
    Ok(())
}

/// Begins a new database in a directory without `CURRENT`.
fn create(vfs: &dyn Vfs, dir: &Path) -> Result<Snapshot, Error> {
    // CURRENT is the first thing a new database gets: without it, there must be nothing to lose.
    for sub in [BLOB_DIR, TABLE_DIR, LOG_DIR] {
        let path = dir.join(sub);
        let names = vfs.list(&path).map_err(Error::io("list", &path))?;
        if let Some(name) = names.first() {
            let what = format!("the file is missing, but {sub}/{name} is there");
            return Err(Error::corruption(&dir.join(CURRENT), 0, what));
        }
    }
    let mut snapshot = Snapshot { next_file: highest_number(vfs, dir)? + 1, ..Snapshot::default() };
    match begin_manifest(vfs, dir, &mut snapshot) {
        Ok(_) => Ok(snapshot),
        Err(error) => {
            // Perhaps it has its name in the cache only, and must not be taken for durable.
            let _ = vfs.remove(&dir.join(CURRENT));
            Err(error)
        }
    }
}

/// Writes the state into a new manifest and makes that the one in use.
fn begin_manifest(vfs: &dyn Vfs, dir: &Path, snapshot: &mut Snapshot) -> Result<Manifest, Error> {
    let number = snapshot.next_file;
    snapshot.next_file = number + 1;
    let manifest = Manifest::create(vfs, dir, number, snapshot)?;
    write_current(vfs, dir, number).map_err(ManifestError::into_error)?;
    Ok(manifest)
}

/// The highest number that any file in the directory has.
pub(crate) fn highest_number(vfs: &dyn Vfs, dir: &Path) -> Result<u64, Error> {
    let names = vfs.list(dir).map_err(Error::io("list", dir))?;
    let mut highest = names.iter().filter_map(|name| parse_manifest_name(name)).max().unwrap_or_default();
    for kind in DataKind::ALL {
        let path = dir.join(kind.dir());
        // A database of an earlier version has no blob files, and a damaged one may have lost them.
        if !vfs.exists(&path).map_err(Error::io("look for", &path))? {
            continue;
        }
        let names = vfs.list(&path).map_err(Error::io("list", &path))?;
        highest = names.iter().filter_map(|name| kind.parse_name(name)).fold(highest, u64::max);
    }
    Ok(highest)
}

/// Opens the blob files of a database; for damaged ones see [`open_tables`].
fn open_blobs(
    options: &Options,
    snapshot: &Snapshot,
    cache: &Arc<BlockCache>,
    damaged: &mut Damaged,
) -> Result<Vec<Arc<BlobFile>>, Error> {
    let (vfs, dir) = (&*options.vfs, options.dir.as_path());
    let mut files = Vec::with_capacity(snapshot.blobs.len());
    for state in snapshot.blobs.values() {
        let (meta, path) = (&state.meta, blob_path(dir, state.meta.number));
        let open = || BlobFile::open(vfs, &path, meta, Arc::clone(cache));
        // What a bad read returned may have been a fault of the transfer: read once more.
        let file = match open().or_else(|_| open()) {
            Err(error @ Error::Corruption { .. }) if options.quarantine => {
                damaged.insert(meta.number);
                BlobFile::quarantined(&path, meta.number, &error.to_string(), Arc::clone(cache))
            }
            other => other?,
        };
        files.push(Arc::new(file));
    }
    Ok(files)
}

/// Opens the blob files and tables of a database. Those that are damaged end that, or get into
/// quarantine if the options say so.
pub(super) fn open_tables(
    options: &Options,
    snapshot: &Snapshot,
    cache: &Arc<BlockCache>,
) -> Result<(Version, Damaged), Error> {
    let (vfs, dir) = (&*options.vfs, options.dir.as_path());
    let mut damaged = Damaged::new();
    let blobs = open_blobs(options, snapshot, cache, &mut damaged)?;
    let mut tables = Vec::with_capacity(snapshot.files.len());
    for (_, meta) in snapshot.files.values() {
        let path = table_path(dir, meta.number);
        // What a bad read returned may have been a fault of the transfer: read once more.
        let opened = open_table(vfs, &path, meta, cache).or_else(|_| open_table(vfs, &path, meta, cache));
        let table = match opened {
            Err(error @ Error::Corruption { .. }) if options.quarantine => {
                damaged.insert(meta.number);
                let cache = Arc::clone(cache);
                Table::quarantined(&path, meta.number, properties(meta), &error.to_string(), cache)
            }
            other => other?,
        };
        tables.push(Arc::new(table));
    }
    let edit = VersionEdit { added: snapshot.files.values().cloned().collect(), ..VersionEdit::default() };
    let version = Version::default().apply(&edit, &NewFiles { tables, blobs }, &snapshot.blobs);
    let version = version.map_err(|what| Error::corruption(&dir.join(CURRENT), 0, what))?;
    Ok((version, damaged))
}

/// Opens a table and checks that it is the one that `meta` describes.
pub(crate) fn open_table(
    vfs: &dyn Vfs,
    path: &Path,
    meta: &FileMeta,
    cache: &Arc<BlockCache>,
) -> Result<Table, Error> {
    if !vfs.exists(path).map_err(Error::io("look for", path))? {
        let what = "the manifest names the table, but it is missing";
        return Err(Error::corruption(path, 0, what));
    }
    let table = Table::open(vfs, path, meta.number, meta.size, Arc::clone(cache))?;
    if !describes(meta, &table) {
        let what = "the table is not what the manifest describes";
        return Err(Error::corruption(path, 0, what));
    }
    Ok(table)
}

/// What the manifest knows of a table that cannot tell itself.
fn properties(meta: &FileMeta) -> Properties {
    Properties {
        entries: meta.entries,
        tombstones: meta.tombstones,
        max_seq: meta.max_seq,
        smallest: meta.smallest.clone(),
        largest: meta.largest.clone(),
        blobs: meta.blobs.clone(),
        ..Properties::default()
    }
}

fn describes(meta: &FileMeta, table: &Table) -> bool {
    let properties = table.properties();
    meta.entries == properties.entries
        && meta.tombstones == properties.tombstones
        && meta.max_seq == properties.max_seq
        && meta.smallest == properties.smallest
        && meta.largest == properties.largest
        && meta.blobs == properties.blobs
}

/// Makes sure that there is no log which would have to be replayed.
fn refuse_log(vfs: &dyn Vfs, dir: &Path) -> Result<(), Error> {
    let path = dir.join(LOG_DIR);
    let names = vfs.list(&path).map_err(Error::io("list", &path))?;
    match names.first() {
        None => Ok(()),
        Some(name) => Err(Error::Invalid(format!(
            "the database in {} cannot be opened without its log: {LOG_DIR}/{name} may have writes that \
             are nowhere else",
            dir.display()
        ))),
    }
}

/// Opens the log and replays it into `memtable`. Returns the first segment that is still needed.
fn open_log(
    options: &Options,
    snapshot: &Snapshot,
    memtable: &Memtable,
) -> Result<(Log, Recovered, u64), Error> {
    let dir: PathBuf = options.dir.join(LOG_DIR);
    let mut log_options = LogOptions::new(Arc::clone(&options.vfs), &dir);
    log_options.policy = options.sync;
    log_options.segment_bytes = options.segment_bytes;
    // What waits to be written takes memory as a memtable does.
    log_options.max_buffered_bytes = options.write_buffer_bytes.clamp(LEAST_BUFFERED, MOST_BUFFERED);
    // A flush writes at most about a memtable, and frees the segments it came from.
    log_options.reserve_bytes = options.write_buffer_bytes as u64;
    log_options.min_segment = snapshot.min_segment;
    log_options.first_seq = snapshot.flushed_seq + 1;
    log_options.manual = !options.background;
    let mut replay = Replay::new(&dir, snapshot.flushed_seq, memtable);
    let (log, recovered) = Log::open(log_options, |segment, batch| replay.apply(segment, batch))?;
    replay.check_end(log.appended())?;
    let min_segment = match replay.first_segment {
        Some(segment) => segment,
        // The segment just begun is empty, so this only tells its number.
        None => log.rotate(|_| ())?.0,
    };
    Ok((log, recovered, min_segment))
}

/// Puts the batches of a log into a memtable, which must go on where the tables end.
///
/// # Invariants
/// `expected` is the sequence behind the tables and the batches so far.
pub(super) struct Replay<'a> {
    dir: &'a Path,
    memtable: &'a Memtable,
    expected: Seq,
    /// The segment of the first batch.
    first_segment: Option<u64>,
}

impl<'a> Replay<'a> {
    /// Begins behind tables that end at `flushed_seq`.
    pub(super) const fn new(dir: &'a Path, flushed_seq: Seq, memtable: &'a Memtable) -> Self {
        Self { dir, memtable, expected: flushed_seq + 1, first_segment: None }
    }

    /// Applies a batch.
    pub(super) fn apply(&mut self, segment: u64, batch: BatchView<'_>) -> Result<(), Error> {
        if batch.first_seq() != self.expected {
            let (found, expected) = (batch.first_seq(), self.expected);
            let what = format!("the log goes on at sequence {found}, the tables end before {expected}");
            return Err(Error::corruption(self.dir, 0, what));
        }
        self.expected = batch.last_seq() + 1;
        self.first_segment.get_or_insert(segment);
        self.memtable.insert(batch.first_seq(), batch.iter(), 0);
        Ok(())
    }

    /// Checks that a log that ends at `last_seq` ends with the batches.
    pub(super) fn check_end(&self, last_seq: Seq) -> Result<(), Error> {
        if last_seq == self.expected - 1 {
            return Ok(());
        }
        let expected = self.expected - 1;
        let what = format!("the log ends at sequence {last_seq}, the tables and its batches at {expected}");
        Err(Error::corruption(self.dir, 0, what))
    }
}

/// Removes tables, blob files, manifests and temporary files that the state does not name. With no manifest
/// given, manifests stay.
fn remove_strangers(vfs: &dyn Vfs, dir: &Path, snapshot: &Snapshot, manifest: Option<u64>) {
    let strange_manifest = |name: &String| {
        let number = parse_manifest_name(name);
        manifest.is_some_and(|kept| number.is_some_and(|number| number != kept))
    };
    // A stranger does no harm: what cannot be removed now can be at the next opening.
    for kind in DataKind::ALL {
        let known = |number: u64| match kind {
            DataKind::Blob => snapshot.blobs.contains_key(&number),
            DataKind::Table => snapshot.files.contains_key(&number),
        };
        let is_strange = |name: &&String| kind.parse_name(name).is_some_and(|number| !known(number));
        let files = dir.join(kind.dir());
        for name in vfs.list(&files).unwrap_or_default().iter().filter(is_strange) {
            let _ = vfs.remove(&files.join(name));
        }
    }
    for name in vfs.list(dir).unwrap_or_default().iter().filter(|n| strange_manifest(n)) {
        let _ = vfs.remove(&dir.join(name));
    }
}
