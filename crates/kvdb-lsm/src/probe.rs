//! Doors for fuzz targets and benchmarks. No part of the interface.

use std::path::Path;
use std::sync::Arc;

use crate::backup::{forge_description, parse_description};
use crate::batch::{Seq, WriteBatch};
pub use crate::blob::BlobParts;
use crate::blob::{self, BlobFile, BlobRef, BlobScan, ScannedRecord};
use crate::cache::BlockCache;
use crate::compression::Compression;
use crate::entry::{Content, Entry, Found, NEWEST, key_hash};
use crate::error::Error;
use crate::memtable::{Memtable, Partitioning};
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

/// Reads the bytes of the description of a backup; returns how many files it has. `Err` is what is wrong
/// with them.
pub fn backup(bytes: &[u8]) -> Result<usize, String> {
    parse_description(bytes)
}

/// The bytes of a description of a backup with these fields, and with a checksum that matches.
#[must_use]
pub fn backup_of(fields: &[(u64, &[u8])]) -> Vec<u8> {
    forge_description(fields)
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

/// The bytes of blob file `number` with these parts, and with checksums that match.
#[must_use]
pub fn blob_of(parts: &BlobParts<'_>, number: u64) -> Vec<u8> {
    blob::forge(number, parts).0
}

/// Walks the bytes of blob file `number`, opens them as such and reads every record that the walk
/// found by its reference. Returns the number of values read.
pub fn blob(bytes: &[u8], number: u64, value_len: u32) -> Result<u64, Error> {
    let (vfs, path) = (SimVfs::new(), Path::new("/blob"));
    vfs.create_dir_all(Path::new("/")).map_err(Error::io("create", path))?;
    let file = vfs.create(path).map_err(Error::io("create", path))?;
    file.write_all_at(bytes, 0).map_err(Error::io("write", path))?;
    let mut references = Vec::new();
    let (mut scan, mut end) = (BlobScan::new(&vfs, path, number)?, 0);
    while let Some(scanned) = scan.next().map_err(Error::io("read", path))? {
        match scanned {
            ScannedRecord::Record(offset, record) => {
                assert!(offset >= end, "a walk goes forward");
                let len = record.len();
                end = offset + u64::from(len);
                let reference = BlobRef { file: number, offset, len, value_len, crc: record.crc() };
                references.push((record.key().to_vec(), reference));
            }
            ScannedRecord::Unreadable { offset, len, .. } => {
                assert!(offset >= end && len > 0, "a walk goes forward");
                end = offset + len;
            }
        }
    }
    let meta = BlobFile::describe(&vfs, path, number)?;
    let file = BlobFile::open(&vfs, path, &meta, Arc::new(BlockCache::new(1 << 20, 4096)))?;
    let read = |(key, to): &(Vec<u8>, BlobRef)| file.value(key, to, Fill::Cache).is_ok();
    Ok(references.iter().filter(|reference| read(reference)).count() as u64)
}

/// Reads a reference of a table; whether it makes sense. What does, reads the same again.
#[must_use]
pub fn blob_reference(bytes: &[u8]) -> bool {
    let Some(reference) = BlobRef::decode(bytes) else {
        return false;
    };
    let mut stored = [0; BlobRef::MAX_LEN];
    let len = reference.encode(&mut stored);
    assert_eq!(BlobRef::decode(&stored[..len]), Some(reference));
    true
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
        builder.add(Entry { key, seq, content: Content::Value(value) })?;
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
        Ok(match self.0.get(key_hash(key), key)? {
            Some(Found::Value(value)) => Some(value),
            // There are no blob files beside it.
            Some(Found::Blob(_) | Found::Deleted) | None => None,
        })
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
        self.0.get(key_hash(key), key, NEWEST).is_some_and(|found| found != Found::Deleted)
    }

    /// The memory taken, in bytes.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.0.allocated()
    }
}
