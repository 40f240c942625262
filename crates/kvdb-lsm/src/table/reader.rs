//! Reading a table.
//!
//! Opening reads footer, properties, index and filter, checks them, and keeps the last two in
//! memory: a point lookup reads at most one block, and none for most keys that are not there. Of a
//! large table only the top of the index is kept; its partitions, and those of the filter, come
//! through the block cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Block, Malformed};
use super::bloom::Bloom;
use super::footer::{Footer, FooterError};
use super::index::Index;
use super::no_file::NoFile;
use super::properties::Properties;
use super::reach::{CacheOnly, Fill, Looked, Reach};
use super::top::Top;
use super::{DATA_START, Format, Handle, envelope};
use crate::cache::{BlockCache, PartitionBlock, Pinned};
use crate::entry::{Content, Found};
use crate::error::Error;
use crate::file_copy;
use crate::file_header::{FILE_HEADER_LEN, FileKind, check_file_header};
use crate::vfs::{Vfs, VfsFile, VfsFileExt};

/// The index of a table.
enum TableIndex {
    /// In memory as a whole, and the filter with it.
    Whole { index: Arc<Index>, bloom: Bloom },
    /// In partitions.
    Partitioned(Top),
    /// None: nothing of the table may be read, and this is why.
    Quarantined(Box<str>),
}

impl TableIndex {
    /// The memory that it takes, in bytes.
    fn memory(&self) -> usize {
        match self {
            Self::Whole { index, bloom } => index.memory() + bloom.memory(),
            Self::Partitioned(top) => top.memory(),
            Self::Quarantined(_) => 0,
        }
    }
}

/// An open table.
///
/// # Invariants
/// Footer, properties, and index and filter or the top of them were checked. All other blocks are
/// checked whenever they are read from the file, against the checksum that their parent has.
pub(crate) struct Table {
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    file_number: u64,
    format: Format,
    index: TableIndex,
    properties: Properties,
    cache: Arc<BlockCache>,
    /// Of `index`.
    pinned: Pinned,
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
        let footer = read_footer(&*file, path, size)?;
        if footer.file_number != file_number {
            let what =
                format!("the file says it is table {}, the manifest says {file_number}", footer.file_number);
            return Err(Error::corruption(path, size - Footer::len(footer.format) as u64, what));
        }
        let section = |mut handle: Handle| {
            // The footer checked that the sections lie inside the file.
            let mut stored = vec![0; handle.len as usize];
            file.read_exact_at(&mut stored, handle.offset).map_err(Error::io("read", path))?;
            if footer.format == Format::V1 {
                // That footer does not repeat the checksum: take it from the envelope.
                handle.crc = stored.last_chunk::<4>().map_or(0, |crc| u32::from_le_bytes(*crc));
            }
            envelope::open(stored, file_number, &handle)
                .map_err(|what| Error::corruption(path, handle.offset, what))
        };
        let bad = |handle: Handle| move |what: &str| Error::corruption(path, handle.offset, what);
        let bloom = Bloom::decode(&section(footer.filter)?).map_err(bad(footer.filter))?;
        let payload = section(footer.index)?;
        let index = if footer.is_partitioned() {
            let top = Top::decode(&payload, footer.data_end, footer.filter.offset);
            TableIndex::Partitioned(top.map_err(bad(footer.index))?)
        } else {
            let index = Index::decode(&payload, footer.format, DATA_START, footer.data_end);
            TableIndex::Whole { index: Arc::new(index.map_err(bad(footer.index))?), bloom }
        };
        let properties = Properties::decode(&section(footer.properties)?).map_err(bad(footer.properties))?;
        let (path, pinned) = (path.to_owned(), cache.pin(index.memory()));
        Ok(Self { path, file, file_number, format: footer.format, index, properties, cache, pinned })
    }

    /// A table that cannot be opened, in its place: whoever asks it for a key that may be in it is
    /// told why it cannot answer. Without it, an older version of the key would be taken for the
    /// newest.
    pub(crate) fn quarantined(
        path: &Path,
        file_number: u64,
        properties: Properties,
        why: &str,
        cache: Arc<BlockCache>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            file: Arc::new(NoFile),
            file_number,
            format: Format::V2,
            index: TableIndex::Quarantined(why.into()),
            properties,
            pinned: cache.pin(0),
            cache,
        }
    }

    /// Fails for a table in quarantine.
    pub(crate) fn check_readable(&self) -> Result<(), Error> {
        match &self.index {
            TableIndex::Quarantined(why) => Err(self.refuse(why)),
            TableIndex::Whole { .. } | TableIndex::Partitioned(_) => Ok(()),
        }
    }

    /// The error for whoever asks a table in quarantine.
    fn refuse(&self, why: &str) -> Error {
        Error::corruption(&self.path, 0, format!("the table is in quarantine: {why}"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The memory of the pinned index and filter, in bytes.
    pub(crate) const fn pinned_memory(&self) -> usize {
        self.pinned.bytes()
    }

    /// The number of partitions of the index: 1 if it is whole.
    pub(super) const fn partitions(&self) -> usize {
        match &self.index {
            TableIndex::Whole { .. } | TableIndex::Quarantined(_) => 1,
            TableIndex::Partitioned(top) => top.len(),
        }
    }

    /// The partition that can hold `key`.
    pub(super) fn partition_of(&self, key: &[u8]) -> usize {
        match &self.index {
            TableIndex::Whole { .. } | TableIndex::Quarantined(_) => 0,
            TableIndex::Partitioned(top) => top.find(key),
        }
    }

    /// The low key of a partition: that of the first may be below every key of the table. `None` if
    /// there is no partition of this number.
    pub(super) fn low_of(&self, partition: usize) -> Option<&[u8]> {
        match &self.index {
            TableIndex::Whole { .. } | TableIndex::Quarantined(_) => (partition == 0).then_some(&[]),
            TableIndex::Partitioned(top) => (partition < top.len()).then(|| top.low(partition)),
        }
    }

    /// The index of a partition, from memory, the cache or the file.
    pub(super) fn index_of(&self, partition: usize, fill: Fill) -> Result<Arc<Index>, Error> {
        match &self.index {
            TableIndex::Whole { index, .. } => Ok(Arc::clone(index)),
            TableIndex::Partitioned(top) => {
                let index = self.index_partition(top, partition, &mut Reach::file(fill))?;
                Ok(index.expect("what may be read from the file is there"))
            }
            TableIndex::Quarantined(why) => Err(self.refuse(why)),
        }
    }

    /// What the table knows about `key`.
    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Result<Option<Found>, Error> {
        self.get_with(hash, key, Found::from_content).map(|looked| looked.found)
    }

    /// As [`Table::get_with`], without ever touching the file.
    pub(crate) fn get_cached<R>(
        &self,
        hash: u64,
        key: &[u8],
        found: impl FnOnce(Content<'_>) -> R,
    ) -> Result<CacheOnly<R>, Error> {
        self.look_up(hash, key, &mut Reach::cache(), found)
    }

    /// Hands what the table knows about `key` to `found`, where it lies.
    pub(crate) fn get_with<R>(
        &self,
        hash: u64,
        key: &[u8],
        found: impl FnOnce(Content<'_>) -> R,
    ) -> Result<Looked<R>, Error> {
        let mut reach = Reach::file(Fill::Cache);
        match self.look_up(hash, key, &mut reach, found)? {
            CacheOnly::Known(found) => Ok(Looked { found, has_read: reach.has_read }),
            CacheOnly::NeedIo => unreachable!("what may be read from the file is there"),
        }
    }

    fn look_up<R>(
        &self,
        hash: u64,
        key: &[u8],
        reach: &mut Reach,
        found: impl FnOnce(Content<'_>) -> R,
    ) -> Result<CacheOnly<R>, Error> {
        let handle = match self.locate(hash, key, reach)? {
            CacheOnly::Known(Some(handle)) => handle,
            CacheOnly::Known(None) => return Ok(CacheOnly::Known(None)),
            CacheOnly::NeedIo => return Ok(CacheOnly::NeedIo),
        };
        let Some(block) = self.block_within(&handle, reach)? else {
            return Ok(CacheOnly::NeedIo);
        };
        Ok(CacheOnly::Known(self.search(&block, &handle, hash, key, found)?))
    }

    /// The only block that can hold `key`, if the filter lets it pass.
    fn locate(&self, hash: u64, key: &[u8], reach: &mut Reach) -> Result<CacheOnly<Handle>, Error> {
        let handle = match &self.index {
            TableIndex::Whole { index, bloom } => {
                if !bloom.may_contain(hash) {
                    return Ok(CacheOnly::Known(None));
                }
                index.handle(index.find(key))
            }
            TableIndex::Partitioned(top) => {
                let partition = top.find(key);
                let Some(may_contain) = self.filter_allows(top, partition, hash, reach)? else {
                    return Ok(CacheOnly::NeedIo);
                };
                if !may_contain {
                    return Ok(CacheOnly::Known(None));
                }
                let Some(index) = self.index_partition(top, partition, reach)? else {
                    return Ok(CacheOnly::NeedIo);
                };
                index.handle(index.find(key))
            }
            TableIndex::Quarantined(why) => return Err(self.refuse(why)),
        };
        Ok(CacheOnly::Known(Some(handle)))
    }

    /// As [`Table::locate`], with what has to be read for it.
    pub(super) fn block_of(&self, hash: u64, key: &[u8], reach: &mut Reach) -> Result<Option<Handle>, Error> {
        match self.locate(hash, key, reach)? {
            CacheOnly::Known(handle) => Ok(handle),
            CacheOnly::NeedIo => unreachable!("what may be read from the file is there"),
        }
    }

    /// Looks `key` up in the block of a handle.
    pub(super) fn search<R>(
        &self,
        block: &Block,
        handle: &Handle,
        hash: u64,
        key: &[u8],
        found: impl FnOnce(Content<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        let content = block.get(hash, key).map_err(|bad| self.malformed(handle.offset, bad))?;
        Ok(content.map(found))
    }

    /// Whether the table may have a key of this hash, as far as a filter in memory tells.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        match &self.index {
            TableIndex::Whole { bloom, .. } => bloom.may_contain(hash),
            TableIndex::Partitioned(_) | TableIndex::Quarantined(_) => true,
        }
    }

    /// Whether the filter lets a key of this hash through that is in `partition`.
    pub(super) fn filter_of_partition_allows(&self, partition: usize, hash: u64) -> Result<bool, Error> {
        match &self.index {
            TableIndex::Whole { bloom, .. } => Ok(bloom.may_contain(hash)),
            TableIndex::Partitioned(top) => {
                let allows = self.filter_allows(top, partition, hash, &mut Reach::file(Fill::Cache))?;
                Ok(allows.expect("what may be read from the file is there"))
            }
            TableIndex::Quarantined(why) => Err(self.refuse(why)),
        }
    }

    /// Whether the filter of a partition lets a key of this hash through; `None` if it is out of
    /// reach.
    fn filter_allows(
        &self,
        top: &Top,
        partition: usize,
        hash: u64,
        reach: &mut Reach,
    ) -> Result<Option<bool>, Error> {
        let handle = top.partition(partition).filter;
        if handle.len == 0 {
            return Ok(Some(true));
        }
        if let Some(PartitionBlock::Filter(bloom)) = self.cache.get_partition(self.file_number, handle.offset)
        {
            return Ok(Some(bloom.may_contain(hash)));
        }
        let Some(fill) = reach.read() else {
            return Ok(None);
        };
        let bloom = Arc::new(self.read(&handle, |payload| Bloom::decode(&payload).map_err(str::to_owned))?);
        if fill == Fill::Cache {
            let partition = PartitionBlock::Filter(Arc::clone(&bloom));
            self.cache.insert_partition(self.file_number, handle.offset, partition);
        }
        Ok(Some(bloom.may_contain(hash)))
    }

    /// The index of a partition; `None` if it is out of reach.
    fn index_partition(
        &self,
        top: &Top,
        number: usize,
        reach: &mut Reach,
    ) -> Result<Option<Arc<Index>>, Error> {
        let partition = top.partition(number);
        let handle = partition.index;
        if let Some(PartitionBlock::Index(index)) = self.cache.get_partition(self.file_number, handle.offset)
        {
            return Ok(Some(index));
        }
        let Some(fill) = reach.read() else {
            return Ok(None);
        };
        let index = self.read(&handle, |payload| {
            let (start, end) = (partition.data_start, partition.data_end);
            let index = Index::decode(&payload, self.format, start, end)?;
            if index.low(0) == top.low(number) {
                Ok(index)
            } else {
                Err("the partition begins with another key than the top of the index says".to_owned())
            }
        })?;
        let index = Arc::new(index);
        if fill == Fill::Cache {
            let partition = PartitionBlock::Index(Arc::clone(&index));
            self.cache.insert_partition(self.file_number, handle.offset, partition);
        }
        Ok(Some(index))
    }

    /// A data block, from the cache or from the file.
    pub(super) fn block(&self, handle: &Handle, fill: Fill) -> Result<Arc<Block>, Error> {
        let block = self.block_within(handle, &mut Reach::file(fill))?;
        Ok(block.expect("what may be read from the file is there"))
    }

    /// A data block; `None` if it is out of reach.
    pub(super) fn block_within(
        &self,
        handle: &Handle,
        reach: &mut Reach,
    ) -> Result<Option<Arc<Block>>, Error> {
        if let Some(block) = self.cache.get(self.file_number, handle.offset) {
            return Ok(Some(block));
        }
        let Some(fill) = reach.read() else {
            return Ok(None);
        };
        let block =
            self.read(handle, |payload| Block::new(payload, self.format).map_err(|bad| bad.to_string()))?;
        let block = Arc::new(block);
        if fill == Fill::Cache {
            self.cache.insert(self.file_number, handle.offset, Arc::clone(&block));
        }
        Ok(Some(block))
    }

    /// Reads and checks a block. What a bad read returned may have been a fault of the transfer, so
    /// it is read once more.
    fn read<T>(&self, handle: &Handle, decode: impl Fn(Vec<u8>) -> Result<T, String>) -> Result<T, Error> {
        let read = || {
            let mut stored = vec![0; handle.len as usize];
            self.file.read_exact_at(&mut stored, handle.offset).map_err(Error::io("read", &self.path))?;
            envelope::open(stored, self.file_number, handle)
                .map_err(str::to_owned)
                .and_then(&decode)
                .map_err(|what| Error::corruption(&self.path, handle.offset, what))
        };
        read().or_else(|_| read())
    }

    /// The error for the block at `offset`, whose checksum matches and whose content makes no
    /// sense.
    pub(super) fn malformed(&self, offset: u64, bad: Malformed) -> Error {
        Error::corruption(&self.path, offset, bad.to_string())
    }

    /// The checksum of the whole file, read from the disk.
    pub(crate) fn checksum_file(&self) -> Result<u32, Error> {
        self.check_readable()?;
        file_copy::checksum(&*self.file, &self.path)
    }
}

/// Reads header and footer of a table of `size` bytes.
fn read_footer(file: &dyn VfsFile, path: &Path, size: u64) -> Result<Footer, Error> {
    let short = || Error::corruption(path, 0, "the file is too short for a table");
    if size < FILE_HEADER_LEN as u64 {
        return Err(short());
    }
    let mut header = [0; FILE_HEADER_LEN];
    file.read_exact_at(&mut header, 0).map_err(Error::io("read", path))?;
    let format =
        check_file_header(&header, FileKind::Table).map_err(|what| Error::corruption(path, 0, what))?;
    let format = if format == 1 { Format::V1 } else { Format::V2 };
    let mut bytes = vec![0; Footer::len(format)];
    let at =
        size.checked_sub(bytes.len() as u64).filter(|&at| at >= FILE_HEADER_LEN as u64).ok_or_else(short)?;
    file.read_exact_at(&mut bytes, at).map_err(Error::io("read", path))?;
    Footer::decode(&bytes, format, size).map_err(|error| match error {
        FooterError::Damaged(what) => Error::corruption(path, at, what),
        FooterError::Unsupported(what) => {
            Error::Invalid(format!("{} cannot be read: {what}", path.display()))
        }
    })
}
