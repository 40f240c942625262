//! Repair: makes a database that can be opened again out of what can be read of a damaged one.
//!
//! An ordinary opening never repairs, because a repair decides to lose something. What comes out is
//! the best that can be had, not the state of one moment: where a table is lost, older versions of
//! its keys come to light, deleted keys among them, and where a record of the log is lost, later
//! ones are there nevertheless. The report says what was lost.
//!
//! # What is done
//!
//! * If a sound manifest is found, by `CURRENT` or among those in the directory, its tables are the
//!   database and keep their levels. A damaged one is replaced by a table of what can be read of
//!   it, in the same place. On level 0 the place is the number, so all of level 0 is merged then.
//! * Without a manifest, every table in `sst/` counts, also those that were obsolete. Which one is
//!   newer than another cannot be told from the outside: a table of a deep level can have a larger
//!   sequence than one above it. So tables whose keys overlap are merged, and of each key the
//!   version with the largest sequence is kept. All tables come to the deepest level.
//!
//!   Tables of the last level do not store the sequences of their entries. These count as older than
//!   any entry with a sequence, and among each other by the numbers of their tables. For tables that
//!   belonged to the database that is right: nothing is below the last level, no other level has
//!   entries without a sequence, and compactions of the same keys follow each other. It is not right
//!   for one obsolete table: one of a higher level that was merged into the last one long ago and
//!   could not be removed, because a reader held it. What it has wins over what has been merged into
//!   the last level since, so overwritten values and deleted keys can be back. The properties of a
//!   table tell the span of its sequences also where the entries have none: from them the repair
//!   learns where the log goes on.
//! * A sound log stays as it is. Of a damaged one, every batch that can be read and is not in tables
//!   is applied, in order, and the result is written as the newest table. The counters are as exact
//!   as that. Without a manifest it is not known what of the log is in tables: a flush that was not
//!   completed has left some of its tables and not others. So all of the log is read, and what comes
//!   of it is merged with the tables like one of them.
//! * A blob file that does not agree with the manifest, or without one with its own footer, is given up:
//!   tables that refer to it are written anew, with every value in themselves that can be read from it.
//!   A key whose value is lost goes, and so an older version of it can come to light.
//! * The new manifest and `CURRENT` are written last. Until then nothing that was there is changed,
//!   so an interrupted repair can be begun anew. Only then the damaged files are moved to
//!   `quarantine/`. Nothing is deleted; tables that were merged go at the next opening.

mod blobs;
mod builder;
mod log;
mod sources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::blobs::{Blobs, LostValues, is_damage};
use self::builder::Builder;
use self::sources::{Source, Sources};
use crate::batch::Seq;
use crate::cache::BlockCache;
use crate::db::Options;
use crate::db::files::{LOG_DIR, TABLE_DIR, parse_table_name, table_path};
use crate::db::open::{highest_number, open_table};
use crate::dump::Readable;
use crate::error::Error;
use crate::progress::{OnProgress, Watch};
use crate::table::{LostRange, Table};
use crate::verify;
use crate::version::{
    CURRENT, Features, LEVELS, Manifest, ManifestError, Snapshot, VersionFile, parse_manifest_name,
    read_current, read_manifest, write_current,
};
use crate::vfs::Vfs;

/// The directory to which damaged files are moved, below that of the database.
pub const QUARANTINE_DIR: &str = "quarantine";

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// The manifest that the repair relied on.
    pub manifest: Option<PathBuf>,
    /// The tables of the repaired database.
    pub tables: u64,
    /// Those of them that were written anew.
    pub rewritten: u64,
    /// Batches that were taken from a damaged log into a table.
    pub log_batches: u64,
    /// The last sequence of the tables; a log that was sound goes on behind it.
    pub flushed_seq: Seq,
    /// Damaged files, where they are now.
    pub quarantined: Vec<PathBuf>,
    /// What was lost, as far as it is known, in sentences. Empty if nothing was.
    pub losses: Vec<String>,
}

/// Repairs the database in `options.dir`, which nobody may have open.
///
/// # Errors
/// Nothing that was there has changed then, except after an error of the last steps, which say
/// "rename" or "sync": then the repair is to be run again.
pub fn repair(options: &Options, progress: OnProgress<'_>) -> Result<RepairReport, Error> {
    let (vfs, dir) = (&*options.vfs, options.dir.as_path());
    let tables = dir.join(TABLE_DIR);
    if !vfs.exists(&tables).map_err(Error::io("look for", &tables))? {
        return Err(Error::Invalid(format!("there is no database in {}", dir.display())));
    }
    let log_dir = dir.join(LOG_DIR);
    vfs.create_dir_all(&log_dir).map_err(Error::io("create", &log_dir))?;
    let lock_path = dir.join("LOCK");
    let _lock = vfs.lock(&lock_path).map_err(Error::io("lock", &lock_path))?;

    let mut report = RepairReport::default();
    let mut damaged = Vec::new();
    let known = find_manifest(vfs, dir, &mut report, &mut damaged)?;
    if known.is_none() && !options.log {
        let what = "how much of its owner's log the database has is not known any more: 0 is noted";
        report.losses.push(what.to_owned());
    }
    if let Some(state) = &known {
        let writable = state.features.check_writable();
        writable.map_err(|why| Error::Invalid(format!("{}: {why}", dir.display())))?;
    }
    let mut builder = Builder::new(options, first_free_number(vfs, dir, known.as_ref())?);
    let (mut state, blobs) = match &known {
        Some(state) => {
            let mut watch = Watch::begin(state.data_files().map(|file| file.size).sum(), progress)?;
            let blobs = Blobs::known(&builder, state, &mut damaged, &mut watch)?;
            let state = known_tables(&mut builder, state, &blobs, &mut report, &mut damaged, &mut watch)?;
            watch.end();
            (state, blobs)
        }
        None => unknown_tables(&mut builder, &mut report, &mut damaged, progress)?,
    };
    if known.is_some() {
        damaged.extend(log::repair(&mut builder, &mut state, &mut report)?);
    }
    state.blobs = blobs.of_tables(state.files.values().map(|(_, meta)| meta))?;

    report.rewritten = builder.made();
    report.tables = state.files.len() as u64;
    report.flushed_seq = state.flushed_seq;
    finish(vfs, dir, builder, &mut state)?;
    quarantine(vfs, dir, &damaged, &mut report)?;
    Ok(report)
}

/// The state of the best manifest there is. What names it and is damaged is noted.
fn find_manifest(
    vfs: &dyn Vfs,
    dir: &Path,
    report: &mut RepairReport,
    damaged: &mut Vec<PathBuf>,
) -> Result<Option<Snapshot>, Error> {
    let named = match read_current(vfs, dir) {
        Ok(number) => number,
        Err(Error::Corruption { file, .. }) => {
            damaged.push(file);
            None
        }
        Err(error) => return Err(error),
    };
    let names = vfs.list(dir).map_err(Error::io("list", dir))?;
    let mut best: Option<(u64, Snapshot)> = None;
    for number in names.iter().filter_map(|name| parse_manifest_name(name)) {
        match read_manifest(vfs, dir, number) {
            Ok(state) if named == Some(number) => {
                report.manifest = Some(dir.join(crate::version::manifest_name(number)));
                return Ok(Some(state));
            }
            // The number alone does not tell: a manifest that was prepared and never used has a
            // higher one than that in use.
            Ok(state) => {
                let rank = |state: &Snapshot| (state.flushed_seq, state.next_file);
                if best.as_ref().is_none_or(|(_, best)| rank(best) <= rank(&state)) {
                    best = Some((number, state));
                }
            }
            Err(Error::Corruption { file, .. }) => damaged.push(file),
            Err(error) => return Err(error),
        }
    }
    if let Some((number, _)) = &best {
        let path = dir.join(crate::version::manifest_name(*number));
        if named.is_some() {
            report.losses.push(format!(
                "the manifest in use is damaged or missing; {} is taken instead, which may be older",
                path.display()
            ));
        }
        report.manifest = Some(path);
    } else {
        report.losses.push(
            "there is no sound manifest: deleted keys can be back, and the counters are lost".to_owned(),
        );
    }
    Ok(best.map(|(_, state)| state))
}

/// A number above that of every file, whoever knows of it.
fn first_free_number(vfs: &dyn Vfs, dir: &Path, known: Option<&Snapshot>) -> Result<u64, Error> {
    let highest = highest_number(vfs, dir)?;
    Ok((highest + 1).max(known.map_or(0, |state| state.next_file)))
}

/// A file with its length.
fn with_len(vfs: &dyn Vfs, path: PathBuf) -> Result<(PathBuf, u64), Error> {
    let file = vfs.open_read(&path).map_err(Error::io("open", &path))?;
    let len = file.len().map_err(Error::io("measure", &path))?;
    Ok((path, len))
}

/// The tables of a manifest: those that are sound keep their place, the others are replaced by what
/// can be read of them.
fn known_tables(
    builder: &mut Builder<'_>,
    known: &Snapshot,
    blobs: &Blobs,
    report: &mut RepairReport,
    damaged: &mut Vec<PathBuf>,
    watch: &mut Watch<'_>,
) -> Result<Snapshot, Error> {
    let mut state = known.clone();
    let mut level0 = Vec::new();
    let mut level0_is_damaged = false;
    for (level, meta) in known.files.values() {
        let path = table_path(builder.dir(), meta.number);
        let cache = Arc::new(BlockCache::new(1 << 20, 4 << 10));
        let opened = open_table(builder.vfs(), &path, meta, &cache);
        let checked = opened.and_then(|table| {
            let file =
                VersionFile { meta: Arc::new(meta.clone()), table: Arc::new(table), wear: Arc::default() };
            verify::table(&file, blobs.files(), blobs.damaged()).map(|_| file)
        });
        watch.add(meta.size)?;
        let source = match checked {
            Ok(file) if blobs.carry(meta) => Some(Source::sound(file)),
            Ok(file) => {
                state.files.remove(&meta.number);
                level0_is_damaged |= *level == 0;
                rewrite(builder, &path, &file.table, blobs, report)?
            }
            Err(error) if is_damage(&error) => {
                state.files.remove(&meta.number);
                level0_is_damaged |= *level == 0;
                let whole = (&meta.smallest[..], &meta.largest[..]);
                salvage(builder, &path, Some(whole), &error, blobs, report, damaged)?
            }
            Err(error) => return Err(error),
        };
        match source {
            Some(source) if *level == 0 => level0.push(source),
            Some(source) if source.is_new => {
                state.files.insert(source.meta.number, (*level, source.meta.clone()));
            }
            _ => {}
        }
    }
    if level0_is_damaged {
        for source in &level0 {
            state.files.remove(&source.meta.number);
        }
        for meta in Sources::merge(level0, builder)? {
            state.files.insert(meta.number, (0, meta));
        }
    }
    Ok(state)
}

/// All tables in the directory, when no manifest tells which of them count.
fn unknown_tables(
    builder: &mut Builder<'_>,
    report: &mut RepairReport,
    damaged: &mut Vec<PathBuf>,
    progress: OnProgress<'_>,
) -> Result<(Snapshot, Blobs), Error> {
    let dir = builder.dir().join(TABLE_DIR);
    let names = builder.vfs().list(&dir).map_err(Error::io("list", &dir))?;
    let tables = names.iter().filter(|name| parse_table_name(name).is_some()).map(|name| dir.join(name));
    let paths = tables.map(|path| with_len(builder.vfs(), path)).collect::<Result<Vec<_>, _>>()?;
    let lens = paths.iter().chain(&blobs::all_files(builder)?).map(|(_, len)| len).sum();
    let mut watch = Watch::begin(lens, progress)?;
    let blobs = Blobs::unknown(builder, damaged, &mut watch)?;
    let mut sources = Vec::new();
    for (path, len) in paths {
        match Source::open(builder.vfs(), &path, &blobs) {
            Ok(source) if blobs.carry(&source.meta) => sources.push(source),
            Ok(source) => sources.extend(rewrite(builder, &path, &source.table, &blobs, report)?),
            Err(error) if is_damage(&error) => {
                sources.extend(salvage(builder, &path, None, &error, &blobs, report, damaged)?);
            }
            Err(error) => return Err(error),
        }
        watch.add(len)?;
    }
    let in_tables = sources.iter().map(|source| source.meta.max_seq).max().unwrap_or_default();
    let mut replayed = log::replay(builder, Err(in_tables), report)?;
    sources.extend(replayed.table.take().map(Source::made));
    let mut state = Snapshot { flushed_seq: in_tables.max(replayed.last_seq), ..Snapshot::default() };
    replayed.add_counters_to(&mut state.counters);
    damaged.append(&mut replayed.segments);
    for cluster in Sources::overlapping(sources) {
        for meta in Sources::merge(cluster, builder)? {
            state.files.insert(meta.number, (LEVELS - 1, meta));
        }
    }
    watch.end();
    Ok((state, blobs))
}

/// Writes a sound table anew that refers to blob files which are not: with every value that can be read
/// from them, if there is anything.
fn rewrite(
    builder: &mut Builder<'_>,
    path: &Path,
    table: &Table,
    blobs: &Blobs,
    report: &mut RepairReport,
) -> Result<Option<Source>, Error> {
    let mut values = LostValues::default();
    let lost = table.salvage(&mut |entry| blobs.put(builder, entry, &mut values))?;
    report.losses.extend(lost.iter().map(|range| describe(path, range)));
    report.losses.extend(values.describe(path));
    builder.cover_seqs_of(table.properties());
    let made = builder.cut()?;
    Ok(made.map(Source::made))
}

/// Writes what can be read of a damaged table into a new one, if there is anything.
fn salvage(
    builder: &mut Builder<'_>,
    path: &Path,
    keys: Option<(&[u8], &[u8])>,
    error: &Error,
    blobs: &Blobs,
    report: &mut RepairReport,
    damaged: &mut Vec<PathBuf>,
) -> Result<Option<Source>, Error> {
    let file = path.display();
    if builder.vfs().exists(path).map_err(Error::io("look for", path))? {
        damaged.push(path.to_owned());
    }
    let table = match crate::dump::open_table(builder.vfs(), path) {
        Ok((table, _)) => Some(table),
        // It is sound, but of a newer version: that is no reason to do without it.
        Err(error @ Error::Invalid(_)) => return Err(error),
        Err(_) => None,
    };
    let Some(table) = table else {
        let range = keys.map_or_else(String::new, |(from, to)| {
            format!(", with keys between \"{}\" and \"{}\"", Readable(from), Readable(to))
        });
        report.losses.push(format!("all of table {file}{range} is lost: {error}"));
        return Ok(None);
    };
    let before = report.losses.len();
    let made = rewrite(builder, path, &table, blobs, report)?;
    if report.losses.len() == before {
        report.losses.push(format!("table {file} does not agree with the manifest: {error}"));
    }
    Ok(made)
}

fn describe(path: &Path, range: &LostRange) -> String {
    let from = Readable(&range.from);
    let to = range
        .to
        .as_deref()
        .map_or_else(|| "to the end of the table".to_owned(), |to| format!("to before \"{}\"", Readable(to)));
    format!("of table {}, the keys from \"{from}\" {to} are lost: {}", path.display(), range.why)
}

/// Makes the repaired state the database.
fn finish(vfs: &dyn Vfs, dir: &Path, mut builder: Builder<'_>, state: &mut Snapshot) -> Result<(), Error> {
    let tables = dir.join(TABLE_DIR);
    vfs.sync_dir(&tables).map_err(Error::io("sync", &tables))?;
    let number = builder.next_number();
    state.next_file = number + 1;
    state.features.insert(if state.blobs.is_empty() { Features::WRITTEN } else { Features::WITH_BLOBS });
    state.check().map_err(|why| Error::Invalid(format!("the repair contradicts itself: {why}")))?;
    // From here on it is unknown which state the next repair finds: nothing is taken away.
    builder.keep();
    Manifest::create(vfs, dir, number, state)?;
    write_current(vfs, dir, number).map_err(ManifestError::into_error)
}

/// Moves damaged files aside.
fn quarantine(
    vfs: &dyn Vfs,
    dir: &Path,
    damaged: &[PathBuf],
    report: &mut RepairReport,
) -> Result<(), Error> {
    if damaged.is_empty() {
        return Ok(());
    }
    let aside = dir.join(QUARANTINE_DIR);
    vfs.create_dir_all(&aside).map_err(Error::io("create", &aside))?;
    let mut synced: BTreeMap<PathBuf, ()> = BTreeMap::from([(aside.clone(), ()), (dir.to_owned(), ())]);
    // CURRENT was replaced already.
    for path in damaged.iter().filter(|path| !path.ends_with(CURRENT)) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file");
        let mut to = aside.join(name);
        let mut copy = 1;
        while vfs.exists(&to).map_err(Error::io("look for", &to))? {
            copy += 1;
            to = aside.join(format!("{name}.{copy}"));
        }
        vfs.rename(path, &to).map_err(Error::io("rename", path))?;
        report.quarantined.push(to);
        if let Some(parent) = path.parent() {
            synced.insert(parent.to_owned(), ());
        }
    }
    for dir in synced.keys() {
        vfs.sync_dir(dir).map_err(Error::io("sync", dir))?;
    }
    Ok(())
}
