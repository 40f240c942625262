//! Doors for fuzz targets and benchmarks. No part of the interface.

use std::path::Path;
use std::sync::Arc;

use crate::batch::{Seq, WriteBatch};
use crate::cache::BlockCache;
use crate::entry::{Entry, NEWEST, key_hash};
use crate::error::Error;
use crate::memtable::{Memtable, Partitioning};
use crate::table::Compression;
pub use crate::table::TableParts;
use crate::table::{Fill, PartitionLimits, Table, TableBuilder, TableIter, TableOptions, forge};
use crate::version::{forge_manifest, parse_manifest};
use crate::vfs::{OsVfs, SimVfs, Vfs, VfsFile, VfsFileExt};

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

/// Writes a table of these entries to an empty file, as the level asks for it that has this
/// compression; returns its length in bytes.
pub fn build_table<'a>(
    file: Box<dyn VfsFile>,
    number: u64,
    compression: Compression,
    entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> std::io::Result<u64> {
    let options = TableOptions {
        block_bytes: 4 << 10,
        restart_interval: 16,
        bloom_bits_per_key: 10,
        compression,
        drop_seqs: false,
        partitions: PartitionLimits::DEFAULT,
    };
    let mut builder = TableBuilder::new(file, number, options);
    for (seq, (key, value)) in (1..).zip(entries) {
        builder.add(Entry { key, seq, value: Some(value) })?;
    }
    Ok(builder.finish()?.size)
}

/// A table by itself, with a cache that holds all of it.
#[derive(Debug)]
pub struct TableProbe(Arc<Table>);

impl TableProbe {
    /// Opens a table of the real file system.
    pub fn open(path: &Path, number: u64, size: u64) -> Result<Self, Error> {
        let cache = Arc::new(BlockCache::new(8 * size + (64 << 20), 4096));
        Table::open(&OsVfs, path, number, size, cache).map(|table| Self(Arc::new(table)))
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(key_hash(key), key)?.and_then(crate::entry::Found::into_value))
    }

    /// Walks the table forward, or else backward; returns the number of entries.
    pub fn walk(&self, is_forward: bool) -> Result<u64, Error> {
        let mut walk = TableIter::new(Arc::clone(&self.0), Fill::Cache);
        if is_forward {
            walk.seek(&[])?;
        } else {
            walk.seek_to_last()?;
        }
        let mut entries = 0;
        while walk.entry().is_some() {
            entries += 1;
            if is_forward {
                walk.advance()?;
            } else {
                walk.retreat()?;
            }
        }
        Ok(entries)
    }
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
