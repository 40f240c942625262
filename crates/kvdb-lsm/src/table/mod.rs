//! Sorted tables: immutable files of keys in order, one version per key.
//!
//! ```text
//! file   := header 16 | data block* | filter block | index block | properties block | footer
//! block  := payload | codec u8 | crc u32
//! ```
//!
//! The checksum of a block covers its payload, its codec, *the number of the file and the offset
//! of the block*, so that a block that was read from the wrong place does not pass. Whatever names
//! a block repeats its checksum: the index those of the data blocks, the footer that of the index,
//! the manifest that of the whole file.
//!
//! In a large table, index and filter are cut into *partitions*, which lie between the data and
//! the filter block (which is empty then); the index block is the *top* and names the partitions.
//!
//! A table has one version per key because a view pins the memtables and tables it was made over:
//! nobody ever looks for an old version in a newer file.
//!
//! This is format 2. Tables of format 1 are read, and disappear with the next compaction.
//! `docs/format/sst.md` describes every byte of both.

mod block;
mod bloom;
mod builder;
mod envelope;
mod footer;
mod forge;
mod index;
mod index_builder;
mod iter;
mod lookups;
mod lows;
mod no_file;
mod properties;
mod reach;
mod reader;
mod salvage;
mod top;

pub(crate) use self::block::Block;
pub(crate) use self::bloom::Bloom;
pub(crate) use self::builder::{Built, TableBuilder, TableOptions};
pub use self::forge::TableParts;
pub(crate) use self::forge::forge;
pub(crate) use self::index::Index;
pub(crate) use self::index_builder::PartitionLimits;
pub(crate) use self::iter::TableIter;
pub(crate) use self::lookups::Lookups;
pub(crate) use self::properties::Properties;
pub(crate) use self::reach::{CacheOnly, Fill};
pub(crate) use self::reader::Table;
pub(crate) use self::salvage::LostRange;
use crate::file_header::FILE_HEADER_LEN;

/// Where the data blocks begin.
const DATA_START: u64 = FILE_HEADER_LEN as u64;

/// A format of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// The first: no kinds of entries but value and tombstone, no hash index, no partitions.
    V1,
    /// The one that is written.
    V2,
}

/// Where a block is, and what it must hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle {
    /// The offset of the block in the file.
    pub(crate) offset: u64,
    /// The length of the block with its envelope.
    pub(crate) len: u32,
    /// The checksum in the envelope, repeated.
    pub(crate) crc: u32,
}

#[cfg(test)]
mod tests;
