//! Reading a blob file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3Default;

use super::footer::{self, Footer, FooterError};
use super::record::{HEAD, Record};
use super::{BlobMeta, BlobRef, DATA_START};
use crate::cache::BlockCache;
use crate::error::Error;
use crate::file_copy;
use crate::file_header::{FILE_HEADER_LEN, FileKind, check_file_header};
use crate::table::Fill;
use crate::vfs::{Vfs, VfsFile, VfsFileExt};

/// A value in memory, checked and decompressed.
#[derive(Debug)]
pub(crate) struct Blob {
    value: Vec<u8>,
    /// The checksum of its record.
    crc: u32,
}

impl Blob {
    /// The value.
    pub(crate) fn value(&self) -> &[u8] {
        &self.value
    }

    /// The memory the value takes, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        self.value.capacity() + size_of::<Self>()
    }
}

/// An open blob file.
///
/// # Invariants
/// Records are checked whenever they are read from the file, against the checksum that the reference
/// has, and so is their key.
pub(crate) struct BlobFile {
    path: PathBuf,
    file: Option<Arc<dyn VfsFile>>,
    /// Why nothing of the file may be read; empty if it may.
    refusal: Box<str>,
    number: u64,
    data_end: u64,
    cache: Arc<BlockCache>,
}

impl std::fmt::Debug for BlobFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl BlobFile {
    /// Opens the blob file that `meta` describes.
    pub(crate) fn open(
        vfs: &dyn Vfs,
        path: &Path,
        meta: &BlobMeta,
        cache: Arc<BlockCache>,
    ) -> Result<Self, Error> {
        if !vfs.exists(path).map_err(Error::io("look for", path))? {
            let what = "the manifest names the blob file, but it is missing";
            return Err(Error::corruption(path, 0, what));
        }
        let (file, len) = open_file(vfs, path)?;
        if len != meta.size {
            let what = format!("the file has {len} bytes, the manifest says {}", meta.size);
            return Err(Error::corruption(path, len.min(meta.size), what));
        }
        let footer = read_footer(&*file, path, len)?;
        if (footer.file_number, footer.records) != (meta.number, meta.records) {
            let what = "the blob file is not what the manifest describes";
            return Err(Error::corruption(path, footer.data_end, what));
        }
        let refusal = Box::default();
        let path = path.to_owned();
        Ok(Self { path, file: Some(file), refusal, number: meta.number, data_end: footer.data_end, cache })
    }

    /// Opens a blob file whose footer may be missing or damaged, for the records in it that can be
    /// read.
    pub(crate) fn open_unsealed(
        vfs: &dyn Vfs,
        path: &Path,
        number: u64,
        cache: Arc<BlockCache>,
    ) -> Result<Self, Error> {
        let (file, data_end) = open_file(vfs, path)?;
        Ok(Self { path: path.to_owned(), file: Some(file), refusal: Box::default(), number, data_end, cache })
    }

    /// A blob file that cannot be opened, in its place: whoever asks for a value in it is told why.
    pub(crate) fn quarantined(path: &Path, number: u64, why: &str, cache: Arc<BlockCache>) -> Self {
        Self { path: path.to_owned(), file: None, refusal: why.into(), number, data_end: 0, cache }
    }

    /// Reads the blob file `number` completely and describes it, if it is sealed and sound.
    pub(crate) fn describe(vfs: &dyn Vfs, path: &Path, number: u64) -> Result<BlobMeta, Error> {
        let (file, size) = open_file(vfs, path)?;
        let footer = read_footer(&*file, path, size)?;
        let (mut crc, mut content) = (crc32fast::Hasher::new(), Xxh3Default::new());
        file_copy::read_through(&*file, path, |bytes, offset| {
            crc.update(bytes);
            let covered = footer.data_end.saturating_sub(offset).min(bytes.len() as u64) as usize;
            content.update(&bytes[..covered]);
            Ok(())
        })?;
        if footer.file_number != number || content.digest128() != footer.content {
            let what = "the records are not those that the footer states";
            return Err(Error::corruption(path, footer.data_end, what));
        }
        Ok(BlobMeta { number, size, crc: crc.finalize(), records: footer.records })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Fails for a blob file in quarantine.
    pub(crate) fn check_readable(&self) -> Result<(), Error> {
        self.file(0).map(drop)
    }

    fn file(&self, offset: u64) -> Result<&dyn VfsFile, Error> {
        self.file.as_deref().ok_or_else(|| {
            let what = format!("the blob file is in quarantine: {}", self.refusal);
            Error::corruption(&self.path, offset, what)
        })
    }

    /// The value of `key` that `reference` leads to, from the cache or from the file.
    pub(crate) fn value(&self, key: &[u8], reference: &BlobRef, fill: Fill) -> Result<Arc<Blob>, Error> {
        if let Some(blob) = self.cached(reference) {
            return Ok(blob);
        }
        let record = self.record(key, reference)?;
        let bad = |what: &str| Error::corruption(&self.path, reference.offset, what);
        let value = record.into_value().map_err(bad)?;
        if value.len() != reference.value_len as usize {
            return Err(bad("the value has another length than the reference states"));
        }
        let blob = Arc::new(Blob { value, crc: reference.crc });
        if fill == Fill::Cache {
            self.cache.insert_blob(self.number, reference.offset, &blob);
        }
        Ok(blob)
    }

    /// The value that `reference` leads to, if it is in the cache.
    pub(crate) fn cached(&self, reference: &BlobRef) -> Option<Arc<Blob>> {
        let blob = self.cache.get_blob(self.number, reference.offset)?;
        (blob.crc == reference.crc && blob.value.len() == reference.value_len as usize).then_some(blob)
    }

    /// The record of `key` that `reference` leads to. What a bad read returned may have been a fault
    /// of the transfer, so it is read once more.
    pub(crate) fn record(&self, key: &[u8], reference: &BlobRef) -> Result<Record, Error> {
        let BlobRef { offset, len, crc, .. } = *reference;
        let file = self.file(offset)?;
        let bad = |what: &str| Error::corruption(&self.path, offset, what);
        let end = offset.checked_add(u64::from(len));
        if (len as usize) < HEAD || end.is_none_or(|end| end > self.data_end) {
            return Err(bad("a table refers to a record that does not lie within the records of the file"));
        }
        let read = || {
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, offset).map_err(Error::io("read", &self.path))?;
            let record = Record::open(bytes, self.number, offset).map_err(bad)?;
            if record.crc() != crc || record.key() != key {
                return Err(bad("the record is not the one that the table refers to"));
            }
            Ok(record)
        };
        read().or_else(|_| read())
    }

    /// The checksum of the whole file, read from the disk.
    pub(crate) fn checksum_file(&self) -> Result<u32, Error> {
        file_copy::checksum(self.file(0)?, &self.path)
    }
}

fn open_file(vfs: &dyn Vfs, path: &Path) -> Result<(Arc<dyn VfsFile>, u64), Error> {
    let file = vfs.open_read(path).map_err(Error::io("open", path))?;
    let len = file.len().map_err(Error::io("measure", path))?;
    Ok((file, len))
}

/// Reads header and footer of a blob file of `size` bytes.
fn read_footer(file: &dyn VfsFile, path: &Path, size: u64) -> Result<Footer, Error> {
    let at = size
        .checked_sub(footer::LEN as u64)
        .filter(|&at| at >= DATA_START)
        .ok_or_else(|| Error::corruption(path, 0, "the file is too short for a blob file"))?;
    let mut header = [0; FILE_HEADER_LEN];
    file.read_exact_at(&mut header, 0).map_err(Error::io("read", path))?;
    check_file_header(&header, FileKind::Blob).map_err(|what| Error::corruption(path, 0, what))?;
    let mut bytes = [0; footer::LEN];
    file.read_exact_at(&mut bytes, at).map_err(Error::io("read", path))?;
    Footer::decode(&bytes, size).map_err(|error| match error {
        FooterError::Damaged(what) => Error::corruption(path, at, what),
        FooterError::Unsupported(what) => {
            Error::Invalid(format!("{} cannot be read: {what}", path.display()))
        }
    })
}
