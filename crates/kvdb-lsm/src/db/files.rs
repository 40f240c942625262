//! The files of a database: their directories and names.

use std::path::{Path, PathBuf};

use crate::blob::BlobMeta;
use crate::version::{FileMeta, NUMBER_LIMIT};
use crate::vfs::Vfs;

/// The directory of the tables, below that of the database.
pub(crate) const TABLE_DIR: &str = "sst";
/// The directory of the blob files, below that of the database.
pub(crate) const BLOB_DIR: &str = "blob";
/// The directory of the log, below that of the database.
pub(crate) const LOG_DIR: &str = "wal";

/// The name of a table.
pub(crate) fn table_name(number: u64) -> String {
    DataKind::Table.name(number)
}

/// The number of a table, if `name` is one.
pub(crate) fn parse_table_name(name: &str) -> Option<u64> {
    DataKind::Table.parse_name(name)
}

/// The path of a table of the database in `dir`.
pub(crate) fn table_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(TABLE_DIR).join(table_name(number))
}

/// The name of a blob file.
pub(crate) fn blob_name(number: u64) -> String {
    DataKind::Blob.name(number)
}

/// The number of a blob file, if `name` is one.
pub(crate) fn parse_blob_name(name: &str) -> Option<u64> {
    DataKind::Blob.parse_name(name)
}

/// The path of a blob file of the database in `dir`.
pub(crate) fn blob_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(BLOB_DIR).join(blob_name(number))
}

/// Files that are removed again unless the work that makes them comes to its end and keeps them.
pub(crate) struct MadeFiles<'a> {
    vfs: &'a dyn Vfs,
    paths: Vec<PathBuf>,
}

impl<'a> MadeFiles<'a> {
    pub(crate) const fn new(vfs: &'a dyn Vfs) -> Self {
        Self { vfs, paths: Vec::new() }
    }

    /// Notes a file that was made.
    pub(crate) fn add(&mut self, path: PathBuf) {
        self.paths.push(path);
    }

    /// The files belong to the database now, or it is unknown whether they do.
    pub(crate) fn keep(&mut self) {
        self.paths.clear();
    }
}

impl Drop for MadeFiles<'_> {
    fn drop(&mut self) {
        for path in &self.paths {
            // What cannot be removed now is removed as a stranger at the next opening; in a copy without
            // CURRENT it is no part of a database, and the next attempt refuses it.
            let _ = self.vfs.remove(path);
        }
    }
}

/// What holds rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DataKind {
    /// Blob files come first wherever files are copied: a table is not there before what it refers to.
    Blob,
    Table,
}

impl DataKind {
    /// Both, in the order in which files of them are made durable.
    pub(crate) const ALL: [Self; 2] = [Self::Blob, Self::Table];

    /// The directory, below that of the database.
    pub(crate) const fn dir(self) -> &'static str {
        match self {
            Self::Blob => BLOB_DIR,
            Self::Table => TABLE_DIR,
        }
    }

    /// The end of the names.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Table => "sst",
        }
    }

    /// What a message calls such a file.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Blob => "blob file",
            Self::Table => "table",
        }
    }

    fn name(self, number: u64) -> String {
        format!("{number:06}.{}", self.extension())
    }

    pub(crate) fn parse_name(self, name: &str) -> Option<u64> {
        let (number, extension) = name.split_once('.')?;
        let number = number.parse().ok().filter(|_| extension == self.extension())?;
        (self.name(number) == name && number < NUMBER_LIMIT).then_some(number)
    }
}

/// A table or a blob file, as the manifest has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataFile {
    pub(crate) kind: DataKind,
    pub(crate) number: u64,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// The checksum of the whole file.
    pub(crate) crc: u32,
}

impl DataFile {
    /// The path in the database in `dir`.
    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.kind.dir()).join(self.kind.name(self.number))
    }
}

impl From<&FileMeta> for DataFile {
    fn from(meta: &FileMeta) -> Self {
        Self { kind: DataKind::Table, number: meta.number, size: meta.size, crc: meta.crc }
    }
}

impl From<&BlobMeta> for DataFile {
    fn from(meta: &BlobMeta) -> Self {
        Self { kind: DataKind::Blob, number: meta.number, size: meta.size, crc: meta.crc }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_as_they_are_written_are_read() {
        assert_eq!(parse_table_name("000012.sst"), Some(12));
        assert_eq!(parse_blob_name(&blob_name(1_234_567)), Some(1_234_567));
        for name in ["12.sst", "000012.blob", "000012.sst.tmp", "+00012.sst", "000012", ""] {
            assert_eq!(parse_table_name(name), None, "{name}");
        }
        assert_eq!(parse_blob_name("4611686018427387904.blob"), None, "no file gets such a number");
    }
}
