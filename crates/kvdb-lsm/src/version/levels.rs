//! The levels: which tables there are, and in what order they are asked.

use std::sync::Arc;

use super::{BlobStates, FileMeta, VersionEdit, Wear, Worn, sublevels};
use crate::blob::{BlobFile, BlobSet};
use crate::db::files::{DataFile, DataKind};
use crate::error::Error;
use crate::table::Table;

/// The number of levels. Level 0 holds flushed memtables as they come, each deeper one is a single
/// sorted run. The last holds most of the data; the levels between are empty until it needs them.
pub(crate) const LEVELS: usize = 7;
/// The level that has nothing below.
pub(crate) const LAST_LEVEL: usize = LEVELS - 1;

/// A table of a version.
#[derive(Debug, Clone)]
pub(crate) struct VersionFile {
    /// What the manifest says about it.
    pub(crate) meta: Arc<FileMeta>,
    /// The open table.
    pub(crate) table: Arc<Table>,
    /// How often readers looked into it in vain, on this level.
    pub(crate) wear: Arc<Wear>,
}

/// The descriptions of the tables by level, without the tables.
pub(crate) type LevelMetas = [Vec<Arc<FileMeta>>; LEVELS];

/// The files that an edit adds, open, in the order of the edit.
#[derive(Debug, Default)]
pub(crate) struct NewFiles {
    /// The tables.
    pub(crate) tables: Vec<Arc<Table>>,
    /// The blob files.
    pub(crate) blobs: Vec<Arc<BlobFile>>,
}

/// An immutable picture of the levels.
///
/// # Invariants
/// Level 0 is ordered from new to old. A deeper level is ordered by key, and its tables do not
/// overlap. For every key, a table that is newer in this order has the newer version. `runs` has
/// the tables of level 0 by sublevel, the highest first, each ordered by key; `sizes` are the bytes
/// of the levels. `blobs` has the files of `blob_states` and no others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Version {
    levels: [Arc<Vec<VersionFile>>; LEVELS],
    runs: Vec<Arc<Vec<VersionFile>>>,
    sizes: [u64; LEVELS],
    blobs: Arc<BlobSet>,
    blob_states: Arc<BlobStates>,
}

impl Version {
    /// The tables of a level.
    pub(crate) const fn level(&self, level: usize) -> &Arc<Vec<VersionFile>> {
        &self.levels[level]
    }

    /// The tables of level 0 as sorted runs, newest first. Within a run they do not overlap.
    pub(crate) fn runs(&self) -> &[Arc<Vec<VersionFile>>] {
        &self.runs
    }

    /// The bytes of each level.
    pub(crate) const fn sizes(&self) -> &[u64; LEVELS] {
        &self.sizes
    }

    /// The blob files, open.
    pub(crate) fn blobs(&self) -> &BlobSet {
        &self.blobs
    }

    /// The blob files, as the manifest has them.
    pub(crate) fn blob_states(&self) -> &BlobStates {
        &self.blob_states
    }

    /// The files that hold the rows, blob files first.
    pub(crate) fn data_files(&self) -> impl Iterator<Item = DataFile> {
        let blobs = self.blob_states.values().map(|state| DataFile::from(&state.meta));
        blobs.chain(self.files().map(|(_, file)| DataFile::from(&*file.meta)))
    }

    /// Fails if a file is in quarantine.
    pub(crate) fn check_readable(&self) -> Result<(), Error> {
        self.blobs.files().try_for_each(|file| file.check_readable())?;
        self.files().try_for_each(|(_, file)| file.table.check_readable())
    }

    /// Fails if this file is in quarantine.
    pub(crate) fn check_file_readable(&self, file: DataFile) -> Result<(), Error> {
        match file.kind {
            DataKind::Blob => self.blobs.get(file.number).map_or(Ok(()), |blob| blob.check_readable()),
            DataKind::Table => {
                let mut tables = self.files().map(|(_, table)| table);
                let table = tables.find(|table| table.meta.number == file.number);
                table.map_or(Ok(()), |table| table.table.check_readable())
            }
        }
    }

    /// All tables with their levels.
    pub(crate) fn files(&self) -> impl Iterator<Item = (usize, &VersionFile)> {
        let levels = self.levels.iter().enumerate();
        levels.flat_map(|(level, files)| files.iter().map(move |file| (level, file)))
    }

    /// The descriptions alone.
    pub(crate) fn metas(&self) -> LevelMetas {
        std::array::from_fn(|level| self.levels[level].iter().map(|file| Arc::clone(&file.meta)).collect())
    }

    /// The tables that can hold `key`, newest first.
    pub(crate) fn candidates(&self, key: &[u8]) -> impl Iterator<Item = &VersionFile> {
        let runs = self.runs.iter().chain(&self.levels[1..]);
        runs.filter_map(move |files| {
            let at = files.partition_point(|file| file.meta.largest.as_slice() < key);
            files.get(at).filter(|file| file.meta.smallest.as_slice() <= key)
        })
    }

    /// Tables that readers have looked into in vain more often than merging them alone costs.
    pub(crate) fn worn(&self) -> Vec<Worn> {
        let worn = self.files().filter_map(|(level, file)| {
            let worth = file.wear.worth(file.meta.size)?;
            Some(Worn { level, number: file.meta.number, worth })
        });
        worn.collect()
    }

    /// The version after `edit`, which adds `new`; `blobs` are the blob files after it. `Err` says
    /// why the edit does not fit.
    pub(crate) fn apply(
        &self,
        edit: &VersionEdit,
        new: &NewFiles,
        blobs: &BlobStates,
    ) -> Result<Self, String> {
        let mut next = self.clone();
        for &(level, number) in &edit.removed {
            let files = Arc::make_mut(&mut next.levels[level]);
            let at = files
                .iter()
                .position(|file| file.meta.number == number)
                .ok_or_else(|| format!("table {number} is not on level {level}"))?;
            files.remove(at);
        }
        for ((level, meta), table) in edit.added.iter().zip(&new.tables) {
            Arc::make_mut(&mut next.levels[*level]).push(VersionFile {
                meta: Arc::new(meta.clone()),
                table: Arc::clone(table),
                wear: Arc::default(),
            });
        }
        for (level, _) in &edit.added {
            let files = Arc::make_mut(&mut next.levels[*level]);
            if *level == 0 {
                // Numbers rise with every flush, and a flushed memtable is newer than the others.
                files.sort_by_key(|file| std::cmp::Reverse(file.meta.number));
            } else {
                files.sort_by(|a, b| a.meta.smallest.cmp(&b.meta.smallest));
            }
        }
        if *self.blob_states != *blobs {
            let files =
                self.blobs.files().chain(&new.blobs).filter(|file| blobs.contains_key(&file.number()));
            next.blobs = Arc::new(files.cloned().collect());
            next.blob_states = Arc::new(blobs.clone());
        }
        let metas = next.metas();
        check(&metas)?;
        next.runs = runs(&next.levels[0], &sublevels(&metas[0]));
        next.sizes = metas.each_ref().map(|files| files.iter().map(|meta| meta.size).sum());
        Ok(next)
    }
}

/// The tables of level 0 by sublevel, the highest first.
fn runs(level0: &[VersionFile], heights: &[usize]) -> Vec<Arc<Vec<VersionFile>>> {
    let depth = heights.iter().max().map_or(0, |highest| highest + 1);
    let mut runs = vec![Vec::new(); depth];
    for (file, height) in level0.iter().zip(heights) {
        runs[depth - 1 - height].push(file.clone());
    }
    for run in &mut runs {
        run.sort_by(|a, b| a.meta.smallest.cmp(&b.meta.smallest));
    }
    runs.into_iter().map(Arc::new).collect()
}

/// Checks that the tables of the deeper levels do not overlap. `Err` names two that do.
pub(crate) fn check(levels: &LevelMetas) -> Result<(), String> {
    for (level, files) in levels.iter().enumerate().skip(1) {
        for pair in files.windows(2) {
            if pair[0].largest >= pair[1].smallest {
                return Err(format!(
                    "tables {} and {} overlap on level {level}",
                    pair[0].number, pair[1].number
                ));
            }
        }
    }
    Ok(())
}
