//! Reading a table.
//!
//! Opening reads footer, properties, index and filter, checks them, and keeps the last two in
//! memory: a point lookup reads at most one block, and none for most keys that are not there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Block, BlockCursor, Malformed};
use super::bloom::Bloom;
use super::footer::{FOOTER_LEN, Footer, Section};
use super::index::Index;
use super::properties::Properties;
use super::{Handle, envelope};
use crate::cache::BlockCache;
use crate::entry::Found;
use crate::error::Error;
use crate::file_header::{FILE_HEADER_LEN, FileKind, check_file_header};
use crate::vfs::{Vfs, VfsFile, VfsFileExt};

/// The answer of a lookup that must not touch the file.
#[derive(Debug)]
pub(crate) enum CacheOnly {
    /// What the table knows about the key.
    Known(Option<Found>),
    /// The block that would tell is not in memory.
    NeedIo,
}

/// An open table.
///
/// # Invariants
/// Footer, properties, index and filter were checked. Data blocks are checked whenever they are
/// read from the file.
pub(crate) struct Table {
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    file_number: u64,
    index: Index,
    bloom: Bloom,
    properties: Properties,
    cache: Arc<BlockCache>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("path", &self.path)
            .field("properties", &self.properties)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// Opens a table that must have this number and length.
    pub(crate) fn open(
        vfs: &dyn Vfs,
        path: &Path,
        file_number: u64,
        size: u64,
        cache: Arc<BlockCache>,
    ) -> Result<Self, Error> {
        let file = vfs.open_read(path).map_err(Error::io("open", path))?;
        let found = file.len().map_err(Error::io("measure", path))?;
        if found != size {
            let what = format!("the file has {found} bytes, the manifest says {size}");
            return Err(Error::corruption(path, found.min(size), what));
        }
        let short = || Error::corruption(path, 0, "the file is too short for a table");
        let footer_at = size.checked_sub((FOOTER_LEN + FILE_HEADER_LEN) as u64).ok_or_else(short)?
            + FILE_HEADER_LEN as u64;
        let mut header = [0; FILE_HEADER_LEN];
        file.read_exact_at(&mut header, 0).map_err(Error::io("read", path))?;
        check_file_header(&header, FileKind::Table).map_err(|what| Error::corruption(path, 0, what))?;
        let mut bytes = [0; FOOTER_LEN];
        file.read_exact_at(&mut bytes, footer_at).map_err(Error::io("read", path))?;
        let footer = Footer::decode(&bytes, size).map_err(|what| Error::corruption(path, footer_at, what))?;
        if footer.file_number != file_number {
            let what =
                format!("the file says it is table {}, the manifest says {file_number}", footer.file_number);
            return Err(Error::corruption(path, footer_at, what));
        }
        let section = |(offset, len): Section| {
            // The footer checked that the sections lie inside the file.
            let mut stored = vec![0; len as usize];
            file.read_exact_at(&mut stored, offset).map_err(Error::io("read", path))?;
            // The footer does not repeat the checksum: take it from the envelope.
            let crc = stored.last_chunk::<4>().map_or(0, |crc| u32::from_le_bytes(*crc));
            envelope::open(stored, file_number, &Handle { offset, len, crc })
                .map_err(|what| Error::corruption(path, offset, what))
        };
        let bloom = Bloom::decode(&section(footer.filter)?)
            .map_err(|what| Error::corruption(path, footer.filter.0, what))?;
        let index = Index::decode(&section(footer.index)?, footer.filter.0)
            .map_err(|what| Error::corruption(path, footer.index.0, what))?;
        let properties = Properties::decode(&section(footer.properties)?)
            .map_err(|what| Error::corruption(path, footer.properties.0, what))?;
        Ok(Self { path: path.to_owned(), file, file_number, index, bloom, properties, cache })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The memory of the pinned index and filter, in bytes.
    pub(crate) const fn pinned_memory(&self) -> usize {
        self.index.memory() + self.bloom.memory()
    }

    pub(super) const fn index(&self) -> &Index {
        &self.index
    }

    /// Whether the filter lets a key with this hash pass.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        self.bloom.may_contain(hash)
    }

    /// What the table knows about `key`.
    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Result<Option<Found>, Error> {
        if !self.bloom.may_contain(hash) {
            return Ok(None);
        }
        let number = self.index.find(key);
        let block = self.block(number, Fill::Cache)?;
        self.search(&block, number, key)
    }

    /// As [`Table::get`], without ever touching the file.
    pub(crate) fn get_cached(&self, hash: u64, key: &[u8]) -> Result<CacheOnly, Error> {
        if !self.bloom.may_contain(hash) {
            return Ok(CacheOnly::Known(None));
        }
        let number = self.index.find(key);
        let cached =
            self.index.handle(number).and_then(|handle| self.cache.get(self.file_number, handle.offset));
        match cached {
            Some(block) => self.search(&block, number, key).map(CacheOnly::Known),
            None => Ok(CacheOnly::NeedIo),
        }
    }

    fn search(&self, block: &Block, number: usize, key: &[u8]) -> Result<Option<Found>, Error> {
        let mut cursor = BlockCursor::default();
        block.seek(key, &mut cursor).map_err(|bad| self.malformed(number, bad))?;
        Ok(block.entry(&cursor).filter(|entry| entry.key == key).map(|entry| Found::from_value(entry.value)))
    }

    /// Block `number`, from the cache or from the file.
    pub(super) fn block(&self, number: usize, fill: Fill) -> Result<Arc<Block>, Error> {
        let handle = self.index.handle(number).expect("blocks are asked for by their number in the index");
        if let Some(block) = self.cache.get(self.file_number, handle.offset) {
            return Ok(block);
        }
        // What a bad read returned may have been a fault of the transfer: read once more.
        let block = Arc::new(self.read(handle).or_else(|_| self.read(handle))?);
        if fill == Fill::Cache {
            self.cache.insert(self.file_number, handle.offset, Arc::clone(&block));
        }
        Ok(block)
    }

    fn read(&self, handle: &Handle) -> Result<Block, Error> {
        let mut stored = vec![0; handle.len as usize];
        self.file.read_exact_at(&mut stored, handle.offset).map_err(Error::io("read", &self.path))?;
        let payload = envelope::open(stored, self.file_number, handle)
            .map_err(|what| Error::corruption(&self.path, handle.offset, what))?;
        Block::new(payload)
            .map_err(|Malformed| Error::corruption(&self.path, handle.offset, "the block has no sound shape"))
    }

    /// The error for a block whose checksum matches and whose entries make no sense.
    pub(super) fn malformed(&self, number: usize, Malformed: Malformed) -> Error {
        let offset = self.index.handle(number).map_or(0, |handle| handle.offset);
        Error::corruption(&self.path, offset, "an entry of the block is malformed")
    }

    /// The checksum of the whole file, read from the disk.
    pub(crate) fn checksum_file(&self) -> Result<u32, Error> {
        let mut hasher = crc32fast::Hasher::new();
        let mut buf = vec![0; 256 << 10];
        let mut offset = 0;
        loop {
            let n = self.file.read_at(&mut buf, offset).map_err(Error::io("read", &self.path))?;
            if n == 0 {
                return Ok(hasher.finalize());
            }
            hasher.update(&buf[..n]);
            offset += n as u64;
        }
    }
}

/// Whether a block that had to be read stays in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    /// It does.
    Cache,
    /// It does not: compaction and verification would only push out what readers use.
    Bypass,
}
