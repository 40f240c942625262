//! Sorted tables: immutable files of keys in order, one version per key.
//!
//! ```text
//! file   := header 16 | data block* | filter block | index block | properties block | footer 64
//! block  := payload | codec u8 | crc u32
//! ```
//!
//! The checksum of a block covers its payload, its codec, *the number of the file and the offset
//! of the block*, so that a block that was read from the wrong place does not pass. The index
//! repeats the checksums of the data blocks, the manifest repeats that of the whole file.
//!
//! A table has one version per key because a view pins the memtables and tables it was made over:
//! nobody ever looks for an old version in a newer file.
//!
//! `docs/format/sst.md` describes every byte.

mod block;
mod bloom;
mod builder;
mod envelope;
mod footer;
mod forge;
mod index;
mod iter;
mod no_file;
mod properties;
mod reader;
mod salvage;

pub(crate) use self::block::Block;
pub(crate) use self::builder::{Built, TableBuilder, TableOptions};
pub use self::envelope::Compression;
pub use self::forge::TableParts;
pub(crate) use self::forge::forge;
pub(crate) use self::iter::TableIter;
pub(crate) use self::properties::Properties;
pub(crate) use self::reader::{CacheOnly, Fill, Table};
pub(crate) use self::salvage::LostRange;
use crate::file_header::FILE_HEADER_LEN;

/// Where the data blocks begin.
const DATA_START: u64 = FILE_HEADER_LEN as u64;

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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cache::BlockCache;
    use crate::entry::{Entry, Found, key_hash};
    use crate::error::Error;
    use crate::vfs::{OsVfs, Vfs};

    const NUMBER: u64 = 12;

    fn value(n: u32) -> Option<Vec<u8>> {
        (!n.is_multiple_of(9)).then(|| vec![n as u8; (n % 50) as usize])
    }

    fn key(n: u32) -> Vec<u8> {
        format!("k{:06}", n * 2).into_bytes()
    }

    fn build(path: &std::path::Path, compression: Compression) -> Built {
        let options = TableOptions { block_bytes: 256, bloom_bits_per_key: 10, compression };
        let file = OsVfs.create(path).expect("create");
        let mut builder = TableBuilder::new(file, NUMBER, options);
        for n in 0..1000 {
            let (key, value) = (key(n), value(n));
            let entry = Entry { key: &key, seq: u64::from(n) + 1, value: value.as_deref() };
            builder.add(entry).expect("add");
        }
        builder.finish().expect("finish")
    }

    fn open(path: &std::path::Path, size: u64) -> Result<Arc<Table>, Error> {
        let cache = Arc::new(BlockCache::new(1 << 20, 256));
        Table::open(&OsVfs, path, NUMBER, size, cache).map(Arc::new)
    }

    #[test]
    fn what_was_built_is_found_by_point_seek_and_walk() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for compression in [Compression::None, Compression::Lz4] {
            let path = dir.path().join(format!("{compression:?}"));
            let built = build(&path, compression);
            let table = open(&path, built.size).expect("open");
            assert_eq!(table.properties(), &built.properties);
            assert_eq!(table.checksum_file().expect("read"), built.crc);
            let mut walk = TableIter::new(Arc::clone(&table), Fill::Bypass);
            walk.seek(b"").expect("seek");
            for n in 0..1000 {
                let (key, value) = (key(n), value(n));
                let found = table.get(key_hash(&key), &key).expect("get");
                assert_eq!(found, Some(Found::from_value(value.as_deref())));
                let cached = table.get_cached(key_hash(&key), &key).expect("get");
                assert!(matches!(cached, CacheOnly::Known(again) if again == found));
                let stranger = [&key[..], b"!"].concat();
                let found = table.get(key_hash(&stranger), &stranger).expect("get");
                assert_eq!(found, None);
                let mut seek = TableIter::new(Arc::clone(&table), Fill::Cache);
                seek.seek(&key).expect("seek");
                assert_eq!(seek.entry(), walk.entry());
                assert_eq!(walk.entry().map(|entry| entry.key), Some(&key[..]));
                walk.advance().expect("advance");
            }
            assert_eq!(walk.entry(), None);
        }
    }

    #[test]
    fn every_flipped_byte_is_found_by_opening_or_by_reading() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("table");
        let built = build(&path, Compression::Lz4);
        let sound = std::fs::read(&path).expect("read");
        for at in (0..sound.len()).step_by(7) {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x20;
            std::fs::write(&path, &bytes).expect("write");
            let caught = open(&path, built.size).and_then(|table| {
                let mut walk = TableIter::new(table, Fill::Bypass);
                walk.seek(b"")?;
                while walk.entry().is_some() {
                    walk.advance()?;
                }
                Ok(())
            });
            assert!(
                matches!(caught, Err(Error::Corruption { .. })),
                "the flip at {at} of {} went unnoticed: {caught:?}",
                sound.len()
            );
        }
    }
}
