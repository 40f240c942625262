//! Verification: reads every table and every blob file completely.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::blob::{BlobSet, BlobUse};
use crate::compaction::Damaged;
use crate::entry::Content;
use crate::error::Error;
use crate::progress::{OnProgress, Watch};
use crate::table::{Fill, TableIter};
use crate::version::{Version, VersionFile};

/// What a verification found.
#[derive(Debug, Default)]
pub struct Report {
    /// Tables read.
    pub tables: u64,
    /// Blob files read.
    pub blobs: u64,
    /// Entries read.
    pub entries: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// What is wrong: at most one finding per file.
    pub problems: Vec<Error>,
}

/// Checks every blob file and every table of a version. The levels themselves were checked when the
/// version was made.
pub(crate) fn verify(version: &Version, progress: OnProgress<'_>) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut watch = Watch::begin(version.data_files().map(|file| file.size).sum(), progress)?;
    let mut damaged = Damaged::new();
    for (file, state) in version.blobs().files().zip(version.blob_states().values()) {
        report.blobs += 1;
        report.bytes += state.meta.size;
        let checked = file.checksum_file().and_then(|crc| {
            let what = "the checksum of the file is not that of the manifest";
            if crc == state.meta.crc { Ok(()) } else { Err(Error::corruption(file.path(), 0, what)) }
        });
        if let Err(problem) = checked {
            damaged.insert(file.number());
            report.problems.push(problem);
        }
        watch.add(state.meta.size)?;
    }
    for (_, file) in version.files() {
        report.tables += 1;
        report.bytes += file.meta.size;
        match table(file, version.blobs(), &damaged) {
            Ok(entries) => report.entries += entries,
            Err(problem) => report.problems.push(problem),
        }
        watch.add(file.meta.size)?;
    }
    watch.end();
    Ok(report)
}

/// Checks one table, and what it refers to in `blobs` unless that is known to be damaged; returns its
/// entries.
pub(crate) fn table(file: &VersionFile, blobs: &BlobSet, damaged: &Damaged) -> Result<u64, Error> {
    let bad = |what: &str| Error::corruption(file.table.path(), 0, what);
    if file.table.checksum_file()? != file.meta.crc {
        return Err(bad("the checksum of the file is not that of the manifest"));
    }
    let mut walk = TableIter::new(Arc::clone(&file.table), Fill::Bypass);
    walk.seek(&[])?;
    let (mut entries, mut tombstones) = (0, 0);
    let mut uses: BTreeMap<u64, BlobUse> = BTreeMap::new();
    let mut last: Option<Vec<u8>> = None;
    while let Some(entry) = walk.entry() {
        entries += 1;
        tombstones += u64::from(entry.content.is_tombstone());
        if last.as_deref().is_some_and(|last| last >= entry.key) {
            return Err(bad("the keys do not ascend"));
        }
        if !file.meta.overlaps(entry.key, entry.key) || entry.seq > file.meta.max_seq {
            return Err(bad("an entry lies outside the bounds of its table"));
        }
        if !walk.is_found_by_point_read()? {
            return Err(bad("the filter or the hash index of the table hides an entry"));
        }
        if let Content::Blob(reference) = entry.content {
            uses.entry(reference.file).or_default().add(&reference);
            if !damaged.contains(&reference.file) {
                blobs.value(entry.key, &reference, Fill::Bypass)?;
            }
        }
        last = Some(entry.key.to_vec());
        walk.advance()?;
    }
    if (entries, tombstones) == (file.meta.entries, file.meta.tombstones) && uses == file.meta.blobs {
        Ok(entries)
    } else {
        Err(bad("the table does not hold what the manifest says"))
    }
}
