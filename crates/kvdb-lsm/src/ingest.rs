//! Ingestion: tables that were built elsewhere become part of a database, all at once.
//!
//! # The place in the order
//!
//! An ingestion takes its place at its beginning: the memtables are flushed, and everything up to
//! the last sequence of that flush is older than the ingested entries, which all get that sequence.
//! Nothing is visible before the end, when one edit of the manifest adds all tables. What was
//! appended meanwhile is newer. So at the moment it becomes visible, an ingestion sets every key of
//! its files except those that were written since the call began; a view sees all of it or nothing.
//!
//! # How
//!
//! The files are read once. That validates checksums and order, and the same pass writes them as
//! tables of the database: the checksums of a table bind its number, and a reader of the manifest
//! finds nothing out of the ordinary afterwards. Large values stay in these tables until a compaction
//! meets them. The numbers are taken in the beginning, after the
//! flush and before any later one, because the numbers order level 0. Compactions wait while an
//! ingestion runs, so what is newer can only be on level 0 at its end; flushes and appends go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::{MAX_KEY_LEN, Seq};
use crate::cache::BlockCache;
use crate::db::core::Core;
use crate::db::files::{MadeFiles, table_path};
use crate::entry::{Content, Entry};
use crate::error::Error;
use crate::progress::{OnProgress, Watch};
use crate::sst_writer::EXTERNAL_NUMBER;
use crate::table::{Fill, Table, TableBuilder, TableIter, TableOptions};
use crate::version::{FileMeta, LAST_LEVEL, LEVELS, LevelMetas, NewFiles, Traits, VersionEdit};
use crate::vfs::Vfs;

/// Makes the tables `paths` of `vfs` part of the database; returns the sequence of their entries.
pub(crate) fn ingest(
    core: &Core,
    vfs: &dyn Vfs,
    paths: &[PathBuf],
    progress: OnProgress<'_>,
) -> Result<Seq, Error> {
    let _compacting = core.compacting();
    let (seq, first_number) = begin(core, paths.len() as u64)?;
    if paths.is_empty() {
        return Ok(seq);
    }
    let sources = open_sources(vfs, paths)?;
    let mut watch = Watch::begin(sources.iter().map(|source| source.size).sum(), progress)?;
    let mut made = Made { core, tables: Vec::new(), files: MadeFiles::new(&*core.options.vfs) };
    for (number, source) in (first_number..).zip(&sources) {
        made.convert(source, number, seq, &mut watch)?;
    }
    let dir = core.table_dir();
    core.options.vfs.sync_dir(&dir).map_err(Error::io("sync", &dir))?;

    let levels = core.state.load().version.metas();
    let level = |meta: &FileMeta| choose_level(&levels, meta, first_number);
    let edit = VersionEdit {
        added: made.tables.iter().map(|(meta, _)| (level(meta), meta.clone())).collect(),
        ..VersionEdit::default()
    };
    let tables = made.tables.iter().map(|(_, table)| Arc::clone(table)).collect();
    let installed = core.install(edit, &NewFiles { tables, ..NewFiles::default() }, None);
    if installed.is_ok() || core.stop_reason().is_some() {
        // The tables belong to the database now, or it is unknown whether they do.
        made.files.keep();
    }
    installed?;
    watch.end();
    Ok(seq)
}

/// Flushes everything and takes numbers for `count` tables that are newer. Returns the last
/// sequence flushed, and the first number.
fn begin(core: &Core, count: u64) -> Result<(Seq, u64), Error> {
    // Without the lock a later flush could get a number among these.
    let _flushing = core.flush_all_locked()?;
    let first = core.next_files(count);
    Ok((core.flushed_seq(), first))
}

/// A file to be ingested: open, its frame checked.
struct External {
    path: PathBuf,
    size: u64,
    table: Arc<Table>,
}

/// Opens the files and checks that they do not overlap.
fn open_sources(vfs: &dyn Vfs, paths: &[PathBuf]) -> Result<Vec<External>, Error> {
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        let file = vfs.open_read(path).map_err(Error::io("open", path))?;
        let size = file.len().map_err(Error::io("measure", path))?;
        // All external tables have the same number, so none may share a cache with another.
        let cache = Arc::new(BlockCache::new(1 << 20, 16 << 10));
        let table = Table::open(vfs, path, EXTERNAL_NUMBER, size, cache)?;
        sources.push(External { path: path.clone(), size, table: Arc::new(table) });
    }
    sources.sort_by(|a, b| a.table.properties().smallest.cmp(&b.table.properties().smallest));
    for pair in sources.windows(2) {
        if pair[0].table.properties().largest >= pair[1].table.properties().smallest {
            return Err(Error::Invalid(format!(
                "{} and {} cannot be ingested together: their keys overlap",
                pair[0].path.display(),
                pair[1].path.display()
            )));
        }
    }
    Ok(sources)
}

/// The deepest level on which a table is above everything older that it overlaps, and below
/// everything newer. Tables with numbers from `first_number` on are newer; they are on level 0.
fn choose_level(levels: &LevelMetas, meta: &FileMeta, first_number: u64) -> usize {
    let overlaps = |level: usize| {
        let older = |other: &FileMeta| level > 0 || other.number < first_number;
        levels[level].iter().any(|other| older(other) && other.overlaps(&meta.smallest, &meta.largest))
    };
    if overlaps(0) {
        return 0;
    }
    (1..LEVELS).take_while(|&level| !overlaps(level)).last().unwrap_or_default()
}

/// The tables made for the database; removed again unless the list of paths is cleared.
struct Made<'a> {
    core: &'a Core,
    tables: Vec<(FileMeta, Arc<Table>)>,
    files: MadeFiles<'a>,
}

impl Made<'_> {
    /// Reads `source` wholly and writes it as table `number`.
    fn convert(
        &mut self,
        source: &External,
        number: u64,
        seq: Seq,
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        let core = self.core;
        let vfs = &*core.options.vfs;
        let path = table_path(&core.options.dir, number);
        let file = vfs.create(&path).map_err(Error::io("create", &path))?;
        self.files.add(path.clone());
        // Where it will be, is decided at the end; most often it is deep. If it is not, the entries
        // must be newer than those below.
        let options = TableOptions { drop_seqs: false, ..core.table_options(LAST_LEVEL, LAST_LEVEL) };
        let mut builder = TableBuilder::new(file, number, options);
        let expected = source.table.properties();
        let share = source.size / expected.entries.max(1);
        let bad = |what: &str| Error::corruption(&source.path, 0, what);
        let mut walk = TableIter::new(Arc::clone(&source.table), Fill::Bypass);
        let mut last: Option<Vec<u8>> = None;
        let mut traits = core.options.filter.as_deref().map(|filter| (filter, Traits::default()));
        walk.seek(&[])?;
        while let Some(entry) = walk.entry() {
            if last.as_deref().is_some_and(|last| last >= entry.key) {
                return Err(bad("the keys do not ascend"));
            }
            if last.is_none() && entry.key != expected.smallest {
                return Err(bad("the first key is not the one that the table states"));
            }
            let last = last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(entry.key);
            let refused = match entry.content {
                Content::Blob(_) => Some("it refers to the blob files of another database"),
                _ if entry.key.len() > MAX_KEY_LEN => Some("it has a key of more than 4 MiB"),
                _ => None,
            };
            if let Some(why) = refused {
                let path = source.path.display();
                return Err(Error::Invalid(format!("{path} cannot be ingested: {why}")));
            }
            let entry = Entry { seq, ..entry };
            if let Some((filter, traits)) = &mut traits {
                traits.note(*filter, entry);
            }
            builder.add(entry).map_err(Error::io("write", &path))?;
            watch.add(share)?;
            walk.advance()?;
        }
        if last.as_ref() != Some(&expected.largest) {
            return Err(bad("the last key is not the one that the table states"));
        }
        let built = builder.finish().map_err(Error::io("write", &path))?;
        if built.properties.entries != expected.entries {
            return Err(bad("the table does not hold as many entries as it states"));
        }
        let table = Table::open(vfs, &path, number, built.size, Arc::clone(&core.cache))?;
        let traits = traits.map(|(_, traits)| traits);
        self.tables.push((FileMeta { traits, ..FileMeta::of(number, built) }, Arc::new(table)));
        Ok(())
    }
}

/// The paths as the caller of [`Db::ingest`](crate::Db::ingest) gives them.
pub(crate) fn to_paths<P: AsRef<Path>>(paths: &[P]) -> Vec<PathBuf> {
    paths.iter().map(|path| path.as_ref().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(number: u64, smallest: &str, largest: &str) -> Arc<FileMeta> {
        Arc::new(FileMeta {
            number,
            size: 1,
            crc: 0,
            entries: 1,
            tombstones: 0,
            max_seq: 1,
            smallest: smallest.into(),
            largest: largest.into(),
            traits: None,
            blobs: Default::default(),
        })
    }

    #[test]
    fn a_table_sinks_until_something_older_is_in_its_way() {
        let mut levels: LevelMetas = Default::default();
        levels[0] = vec![meta(30, "a", "z"), meta(9, "a", "c")];
        levels[2] = vec![meta(5, "k", "m")];
        levels[6] = vec![meta(1, "k", "p")];
        let level = |smallest, largest| choose_level(&levels, &meta(20, smallest, largest), 20);
        // Table 30 is newer and does not count.
        assert_eq!(level("b", "d"), 0);
        assert_eq!(level("l", "n"), 1);
        assert_eq!(level("n", "o"), 5);
        assert_eq!(level("q", "y"), 6);
        levels[1] = vec![meta(6, "q", "r")];
        assert_eq!(choose_level(&levels, &meta(20, "q", "s"), 20), 0);
    }
}
