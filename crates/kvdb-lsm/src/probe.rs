//! Doors for fuzz targets and benchmarks. No part of the interface.

use std::path::Path;
use std::sync::Arc;

use crate::batch::{Seq, WriteBatch};
use crate::cache::BlockCache;
use crate::entry::{NEWEST, key_hash};
use crate::error::Error;
use crate::memtable::{Memtable, Partitioning};
pub use crate::table::TableParts;
use crate::table::{Fill, Table, TableIter, forge};
use crate::version::{forge_manifest, parse_manifest};
use crate::vfs::{SimVfs, Vfs, VfsFileExt};

/// Reads the bytes of manifest `number`; `Err` is what is wrong with them.
pub fn manifest(bytes: &[u8], number: u64) -> Result<(), String> {
    parse_manifest(bytes, number).map(drop).map_err(|(offset, what)| format!("{offset}: {what}"))
}

/// The bytes of manifest `number` with these edits, and with checksums that match.
#[must_use]
pub fn manifest_of(edits: &[&[u8]], number: u64) -> Vec<u8> {
    forge_manifest(number, edits)
}

/// The bytes of table `number` with these parts, and with checksums that match.
#[must_use]
pub fn table_of(parts: &TableParts<'_>, number: u64) -> Vec<u8> {
    forge(number, parts)
}

/// Opens the bytes of table `number`, walks it both ways, and looks every key up again. Returns the
/// number of entries.
pub fn table(bytes: &[u8], number: u64) -> Result<u64, Error> {
    let (vfs, path) = (SimVfs::new(), Path::new("/table"));
    vfs.create_dir_all(Path::new("/")).map_err(Error::io("create", path))?;
    let file = vfs.create(path).map_err(Error::io("create", path))?;
    file.write_all_at(bytes, 0).map_err(Error::io("write", path))?;
    let cache = Arc::new(BlockCache::new(1 << 20, 4096));
    let table = Arc::new(Table::open(&vfs, path, number, bytes.len() as u64, cache)?);
    let mut walk = TableIter::new(Arc::clone(&table), Fill::Cache);
    let mut back = TableIter::new(Arc::clone(&table), Fill::Cache);
    walk.seek(&[])?;
    let mut entries = 0;
    while let Some(entry) = walk.entry() {
        entries += 1;
        table.get(key_hash(entry.key), entry.key)?;
        back.seek_back(entry.key, entries % 2 == 0)?;
        walk.advance()?;
    }
    back.seek_to_last()?;
    while back.entry().is_some() {
        back.retreat()?;
    }
    Ok(entries)
}

/// A memtable by itself.
#[derive(Debug)]
pub struct MemtableProbe(Memtable);

impl MemtableProbe {
    /// An empty one.
    #[must_use]
    pub fn new(partitioning: Partitioning) -> Self {
        Self(Memtable::new(partitioning))
    }

    /// Applies a batch whose first sequence is `first`.
    pub fn insert(&self, first: Seq, batch: &WriteBatch) {
        self.0.insert(first, batch.iter(), 0);
    }

    /// Whether the newest version of a key is a value.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.0.get(key_hash(key), key, NEWEST).is_some_and(|found| found.into_value().is_some())
    }

    /// The memory taken, in bytes.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.0.allocated()
    }
}
