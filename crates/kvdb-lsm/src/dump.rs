//! Looking into the files of a database, for an operator or a test: what is in them, record by
//! record, also when they are damaged. Nothing is changed, and no lock is taken.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::batch::{BatchView, Seq, WriteBatch};
use crate::blob::{BlobMeta, BlobScan, BlobUse, ScannedRecord};
use crate::cache::BlockCache;
use crate::db::files::{parse_blob_name, parse_table_name};
use crate::entry::Content;
use crate::error::Error;
use crate::sst_writer::EXTERNAL_NUMBER;
use crate::table::{Fill, Table, TableIter};
use crate::version::{
    Features, FileMeta, ManifestRecord, VersionEdit, manifest_name, parse_manifest_name, read_current,
    read_manifest_records,
};
use crate::vfs::Vfs;
use crate::wal::format::parse_segment_name;
use crate::wal::scan::{Scanned, SegmentScan};

/// Bytes for a reader: printable ASCII as it is, anything else as `\xNN`.
#[derive(Debug, Clone, Copy)]
pub struct Readable<'a>(pub &'a [u8]);

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            match byte {
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => write!(f, "{}", byte as char)?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The name of the manifest that `CURRENT` names.
pub fn current(vfs: &dyn Vfs, dir: &Path) -> Result<String, Error> {
    let number = read_current(vfs, dir)?;
    let number = number.ok_or_else(|| Error::Invalid(format!("{} has no CURRENT", dir.display())))?;
    Ok(manifest_name(number))
}

/// What a manifest says about a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDescription {
    /// The number of the file.
    pub number: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The checksum of the whole file.
    pub crc: u32,
    /// Entries, tombstones included.
    pub entries: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// The largest sequence in it.
    pub max_seq: Seq,
    /// The first key.
    pub smallest: Vec<u8>,
    /// The last key.
    pub largest: Vec<u8>,
    /// The blob files it refers to: number, records, bytes.
    pub blobs: Vec<(u64, u64, u64)>,
}

/// What a manifest says about a blob file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobDescription {
    /// The number of the file.
    pub number: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The checksum of the whole file.
    pub crc: u32,
    /// The records in it.
    pub records: u64,
}

impl From<&BlobMeta> for BlobDescription {
    fn from(meta: &BlobMeta) -> Self {
        Self { number: meta.number, size: meta.size, crc: meta.crc, records: meta.records }
    }
}

/// What a table refers to, as a list.
fn uses(blobs: &BTreeMap<u64, BlobUse>) -> Vec<(u64, u64, u64)> {
    blobs.iter().map(|(&number, used)| (number, used.records, used.bytes)).collect()
}

impl From<&FileMeta> for TableDescription {
    fn from(meta: &FileMeta) -> Self {
        Self {
            number: meta.number,
            size: meta.size,
            crc: meta.crc,
            entries: meta.entries,
            tombstones: meta.tombstones,
            max_seq: meta.max_seq,
            smallest: meta.smallest.clone(),
            largest: meta.largest.clone(),
            blobs: uses(&meta.blobs),
        }
    }
}

/// An edit of a manifest. What is `None` stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EditDescription {
    /// Blob files that come. One goes when no table refers to it any more.
    pub blobs: Vec<BlobDescription>,
    /// Tables that come, with their levels.
    pub added: Vec<(usize, TableDescription)>,
    /// Tables that go, by level and number.
    pub removed: Vec<(usize, u64)>,
    /// The first log segment that is still needed.
    pub min_segment: Option<u64>,
    /// A number above that of every file.
    pub next_file: Option<u64>,
    /// The last sequence that is in tables.
    pub flushed_seq: Option<Seq>,
    /// The index of the owner's log up to which it is in tables, if the database has no log.
    pub applied_index: Option<u64>,
    /// The counters, all of them.
    pub counters: Option<BTreeMap<u16, i64>>,
    /// What a reader or writer must know, as bits: compatible, compatible for reading, incompatible.
    pub features: Option<[u64; 3]>,
}

impl From<&VersionEdit> for EditDescription {
    fn from(edit: &VersionEdit) -> Self {
        Self {
            blobs: edit.blobs.iter().map(BlobDescription::from).collect(),
            added: edit.added.iter().map(|(level, meta)| (*level, meta.into())).collect(),
            removed: edit.removed.clone(),
            min_segment: edit.min_segment,
            next_file: edit.next_file,
            flushed_seq: edit.flushed_seq,
            applied_index: edit.applied_index,
            counters: edit.counters.clone(),
            features: edit.features.map(Features::bits),
        }
    }
}

/// A record of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestEntry {
    /// A change of the database; the first one is the whole state.
    Edit {
        /// Where the record begins.
        offset: u64,
        /// How much of the manifest was durable when it was written.
        durable: u64,
        /// The change.
        edit: EditDescription,
    },
    /// A promise that the manifest is durable up to a place.
    Mark {
        /// Where the record begins.
        offset: u64,
        /// The place.
        durable: u64,
    },
    /// Bytes that are no intact record.
    Unreadable {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        len: u64,
        /// What is wrong with them.
        why: &'static str,
    },
}

/// The records of the manifest `path`, in order.
pub fn manifest(vfs: &dyn Vfs, path: &Path) -> Result<impl Iterator<Item = ManifestEntry> + use<>, Error> {
    let number = parse_manifest_name(file_name(path))
        .ok_or_else(|| Error::Invalid(format!("{} is not the name of a manifest", path.display())))?;
    let records = read_manifest_records(vfs, path, number)?;
    Ok(records.into_iter().map(|record| match record {
        ManifestRecord::Edit { offset, durable, edit } => {
            ManifestEntry::Edit { offset, durable, edit: (&*edit).into() }
        }
        ManifestRecord::Mark { offset, durable } => ManifestEntry::Mark { offset, durable },
        ManifestRecord::Unreadable { offset, len, why } => ManifestEntry::Unreadable { offset, len, why },
    }))
}

/// What stands in a segment of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEntry {
    /// The start of the segment.
    Head {
        /// Where it is.
        offset: u64,
        /// The sequence that comes next.
        next_seq: Seq,
    },
    /// A batch.
    Batch {
        /// Where the record that it is in begins.
        offset: u64,
        /// How much of the segment was durable when the record was written.
        synced: u64,
        /// The sequence of its first operation.
        first_seq: Seq,
        /// The operations.
        batch: WriteBatch,
    },
    /// The end of a finished segment.
    Trailer {
        /// Where it is.
        offset: u64,
        /// The last sequence in the segment or before it.
        last_seq: Seq,
    },
    /// Something that cannot be read. Batches may be lost between here and the next entry.
    Unreadable {
        /// Where it is.
        offset: u64,
        /// What is wrong.
        why: &'static str,
    },
}

/// Gives everything that can be read of the log segment `path` to `each`, in order, until that
/// returns an error.
pub fn log(
    vfs: &dyn Vfs,
    path: &Path,
    each: &mut dyn FnMut(LogEntry) -> Result<(), Error>,
) -> Result<(), Error> {
    let number = parse_segment_name(file_name(path))
        .ok_or_else(|| Error::Invalid(format!("{} is not the name of a log segment", path.display())))?;
    let file = vfs.open_read(path).map_err(Error::io("open", path))?;
    let mut scan = SegmentScan::new(&*file, number).map_err(Error::io("read", path))?;
    while let Some(found) = scan.next().map_err(Error::io("read", path))? {
        match found {
            Scanned::Head { offset, next_seq } => each(LogEntry::Head { offset, next_seq })?,
            Scanned::Trailer { offset, last_seq } => each(LogEntry::Trailer { offset, last_seq })?,
            Scanned::Unreadable { offset, why } => each(LogEntry::Unreadable { offset, why })?,
            Scanned::Record { offset, synced, bytes } => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    match BatchView::decode(rest) {
                        Ok((view, used)) => {
                            let (first_seq, batch) = (view.first_seq(), view.to_batch());
                            each(LogEntry::Batch { offset, synced, first_seq, batch })?;
                            rest = &rest[used..];
                        }
                        Err(why) => {
                            each(LogEntry::Unreadable { offset, why })?;
                            break;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// An entry of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    /// The key.
    pub key: Vec<u8>,
    /// The sequence of the write.
    pub seq: Seq,
    /// What it says about the key.
    pub content: EntryContent,
}

/// What an entry of a table says about its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryContent {
    /// It has this value.
    Value(Vec<u8>),
    /// Its value lies in a blob file.
    Blob {
        /// The number of the file.
        file: u64,
        /// Where the record begins.
        offset: u64,
        /// The length of the record.
        len: u32,
        /// The length of the value.
        value_len: u32,
    },
    /// It was deleted.
    Deleted,
}

impl From<Content<'_>> for EntryContent {
    fn from(content: Content<'_>) -> Self {
        match content {
            Content::Value(value) => Self::Value(value.to_vec()),
            Content::Blob(to) => {
                Self::Blob { file: to.file, offset: to.offset, len: to.len, value_len: to.value_len }
            }
            Content::Tombstone => Self::Deleted,
        }
    }
}

/// An open table, to be walked.
#[derive(Debug)]
pub struct TableDump {
    /// What the table says about itself; the checksum is the one that the file has now.
    pub description: TableDescription,
    walk: TableIter,
    /// Given out next, and nothing after it.
    error: Option<Error>,
    failed: bool,
}

/// Opens the table `path`: one of a database, or one of [`SstWriter`](crate::SstWriter).
pub fn table(vfs: &dyn Vfs, path: &Path) -> Result<TableDump, Error> {
    let (table, size) = open_table(vfs, path)?;
    let properties = table.properties();
    let description = TableDescription {
        number: table_number(path),
        size,
        crc: table.checksum_file()?,
        entries: properties.entries,
        tombstones: properties.tombstones,
        max_seq: properties.max_seq,
        smallest: properties.smallest.clone(),
        largest: properties.largest.clone(),
        blobs: uses(&properties.blobs),
    };
    let mut walk = TableIter::new(Arc::new(table), Fill::Bypass);
    walk.seek(&[])?;
    Ok(TableDump { description, walk, error: None, failed: false })
}

/// The number that a table of this name has, unless it belongs to no database.
fn table_number(path: &Path) -> u64 {
    parse_table_name(file_name(path)).unwrap_or(EXTERNAL_NUMBER)
}

/// Opens a table by its name alone; returns it with its length.
pub(crate) fn open_table(vfs: &dyn Vfs, path: &Path) -> Result<(Table, u64), Error> {
    let size =
        vfs.open_read(path).map_err(Error::io("open", path))?.len().map_err(Error::io("measure", path))?;
    // A cache of its own: its owner looks for what the disk has.
    let cache = Arc::new(BlockCache::new(1 << 20, 4 << 10));
    Ok((Table::open(vfs, path, table_number(path), size, cache)?, size))
}

impl Iterator for TableDump {
    type Item = Result<TableEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return self.error.take().map(Err);
        }
        let entry = self.walk.entry()?;
        let (key, seq, content) = (entry.key.to_vec(), entry.seq, entry.content.into());
        if let Err(error) = self.walk.advance() {
            (self.failed, self.error) = (true, Some(error));
        }
        Some(Ok(TableEntry { key, seq, content }))
    }
}

/// What stands in a blob file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobEntry {
    /// The value of a key.
    Record {
        /// Where the record begins.
        offset: u64,
        /// Its length.
        len: u32,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// Something that is no intact record.
    Unreadable {
        /// Where it begins.
        offset: u64,
        /// Its length.
        len: u64,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Gives everything that can be read of the blob file `path` to `each`, in order, until that returns
/// an error.
pub fn blob(
    vfs: &dyn Vfs,
    path: &Path,
    each: &mut dyn FnMut(BlobEntry) -> Result<(), Error>,
) -> Result<(), Error> {
    let number = parse_blob_name(file_name(path))
        .ok_or_else(|| Error::Invalid(format!("{} is not the name of a blob file", path.display())))?;
    let mut scan = BlobScan::new(vfs, path, number)?;
    while let Some(found) = scan.next().map_err(Error::io("read", path))? {
        each(match found {
            ScannedRecord::Unreadable { offset, len, why } => BlobEntry::Unreadable { offset, len, why },
            ScannedRecord::Record(offset, record) => {
                let (len, key) = (record.len(), record.key().to_vec());
                match record.into_value() {
                    Ok(value) => BlobEntry::Record { offset, len, key, value },
                    Err(why) => BlobEntry::Unreadable { offset, len: u64::from(len), why },
                }
            }
        })?;
    }
    Ok(())
}
