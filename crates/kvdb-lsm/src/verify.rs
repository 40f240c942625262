//! Verification: reads every table completely.

use std::sync::Arc;

use crate::error::Error;
use crate::progress::{OnProgress, Watch};
use crate::table::{Fill, TableIter};
use crate::version::{Version, VersionFile};

/// What a verification found.
#[derive(Debug, Default)]
pub struct Report {
    /// Tables read.
    pub tables: u64,
    /// Entries read.
    pub entries: u64,
    /// Bytes of the tables.
    pub bytes: u64,
    /// What is wrong: at most one finding per table.
    pub problems: Vec<Error>,
}

/// Checks every table of a version. The levels themselves were checked when the version was made.
pub(crate) fn verify(version: &Version, progress: OnProgress<'_>) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut watch = Watch::begin(version.files().map(|(_, file)| file.meta.size).sum(), progress)?;
    for (_, file) in version.files() {
        report.tables += 1;
        report.bytes += file.meta.size;
        match table(file) {
            Ok(entries) => report.entries += entries,
            Err(problem) => report.problems.push(problem),
        }
        watch.add(file.meta.size)?;
    }
    watch.end();
    Ok(report)
}

/// Checks one table; returns its entries.
pub(crate) fn table(file: &VersionFile) -> Result<u64, Error> {
    let bad = |what: &str| Error::corruption(file.table.path(), 0, what);
    if file.table.checksum_file()? != file.meta.crc {
        return Err(bad("the checksum of the file is not that of the manifest"));
    }
    let mut walk = TableIter::new(Arc::clone(&file.table), Fill::Bypass);
    walk.seek(&[])?;
    let (mut entries, mut tombstones) = (0, 0);
    let mut last: Option<Vec<u8>> = None;
    while let Some(entry) = walk.entry() {
        entries += 1;
        tombstones += u64::from(entry.value.is_none());
        if last.as_deref().is_some_and(|last| last >= entry.key) {
            return Err(bad("the keys do not ascend"));
        }
        if !file.meta.overlaps(entry.key, entry.key) || entry.seq > file.meta.max_seq {
            return Err(bad("an entry lies outside the bounds of its table"));
        }
        if !walk.is_found_by_point_read()? {
            return Err(bad("the filter or the hash index of the table hides an entry"));
        }
        last = Some(entry.key.to_vec());
        walk.advance()?;
    }
    if (entries, tombstones) == (file.meta.entries, file.meta.tombstones) {
        Ok(entries)
    } else {
        Err(bad("the table does not hold what the manifest says"))
    }
}
