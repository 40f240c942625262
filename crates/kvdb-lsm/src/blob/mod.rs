//! Blob files: immutable files of large values, which tables refer to.
//!
//! ```text
//! file   := header 16 | record* | footer 72
//! record := "blob" | crc u32 | key length u32 | stored length u32 | codec u8 | key | stored value
//! ```
//!
//! The checksum of a record covers everything behind it in the record, *the number of the file and
//! the offset of the record*, and whoever refers to a record repeats it, as [`BlobRef`]. The record
//! has the key, so that a reference is proved to lead to the value of its own entry, and so that a
//! damaged file tells what it has lost.
//!
//! A blob file knows nothing of the tables that refer to it: which of its records are alive is what
//! the manifest says about the tables. `docs/format/blob.md` describes every byte.

mod builder;
mod footer;
mod forge;
mod reader;
mod record;
mod reference;
mod scan;
mod set;

pub(crate) use self::builder::BlobBuilder;
pub use self::forge::BlobParts;
pub(crate) use self::forge::forge;
pub(crate) use self::reader::{Blob, BlobFile};
pub(crate) use self::record::Record;
pub(crate) use self::reference::BlobRef;
pub(crate) use self::scan::{BlobScan, ScannedRecord};
pub(crate) use self::set::BlobSet;
use crate::file_header::FILE_HEADER_LEN;

/// Where the records begin.
const DATA_START: u64 = FILE_HEADER_LEN as u64;

/// The bytes of a blob file that are no record.
pub(crate) const OVERHEAD: u64 = DATA_START + footer::LEN as u64;

/// What the manifest says about a blob file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobMeta {
    /// The number of the file.
    pub(crate) number: u64,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// The checksum of the whole file.
    pub(crate) crc: u32,
    /// The records in it.
    pub(crate) records: u64,
}

impl BlobMeta {
    /// The bytes of the records.
    pub(crate) const fn bytes(&self) -> u64 {
        self.size.saturating_sub(OVERHEAD)
    }
}

/// What a table refers to in one blob file, or all tables together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BlobUse {
    /// Records.
    pub(crate) records: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl BlobUse {
    /// Counts a reference.
    pub(crate) fn add(&mut self, reference: &BlobRef) {
        self.records += 1;
        self.bytes += u64::from(reference.len);
    }
}

#[cfg(test)]
mod tests;
