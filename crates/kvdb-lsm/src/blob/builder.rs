//! Writing a blob file: values in, one durable file out.

use std::io;

use xxhash_rust::xxh3::Xxh3Default;

use super::footer::{self, Footer};
use super::record::{self, Record};
use super::{BlobMeta, BlobRef};
use crate::compression::{Compression, Compressor};
use crate::file_header::{FileKind, file_header};
use crate::vfs::{VfsFile, VfsFileExt};

/// Bytes collected before they are written.
const WRITE_UNIT: usize = 256 << 10;

/// Builds one blob file in a new, empty file.
///
/// # Invariants
/// `written + pending.len()` is the offset of the next record; `crc` and `content` cover the written
/// bytes.
pub(crate) struct BlobBuilder {
    file: Box<dyn VfsFile>,
    number: u64,
    compressor: Compressor,
    pending: Vec<u8>,
    written: u64,
    crc: crc32fast::Hasher,
    content: Xxh3Default,
    records: u64,
    has_zstd: bool,
}

impl BlobBuilder {
    pub(crate) fn new(file: Box<dyn VfsFile>, number: u64, compression: Compression) -> Self {
        Self {
            file,
            number,
            compressor: Compressor::new(compression),
            pending: file_header(FileKind::Blob).to_vec(),
            written: 0,
            crc: crc32fast::Hasher::new(),
            content: Xxh3Default::new(),
            records: 0,
            has_zstd: false,
        }
    }

    /// Adds the value of a key.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> io::Result<BlobRef> {
        let offset = self.size();
        let Self { compressor, pending, number, .. } = self;
        let (len, crc) = record::seal(key, |out| compressor.append(value, out), *number, offset, pending);
        self.has_zstd |= self.compressor.used_zstd();
        self.added(offset, len, crc, value.len() as u32)
    }

    /// Adds a value of `value_len` bytes as it is stored in another blob file.
    pub(crate) fn copy(&mut self, from: &Record, value_len: u32) -> io::Result<BlobRef> {
        let offset = self.size();
        let store = |out: &mut Vec<u8>| {
            out.extend_from_slice(from.stored());
            from.codec()
        };
        let (len, crc) = record::seal(from.key(), store, self.number, offset, &mut self.pending);
        self.has_zstd |= footer::is_zstd(from.codec());
        self.added(offset, len, crc, value_len)
    }

    fn added(&mut self, offset: u64, len: u32, crc: u32, value_len: u32) -> io::Result<BlobRef> {
        self.records += 1;
        if self.pending.len() >= WRITE_UNIT {
            self.write()?;
        }
        Ok(BlobRef { file: self.number, offset, len, value_len, crc })
    }

    /// The bytes of the file so far.
    pub(crate) const fn size(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.pending, self.written)?;
        // Only a hint: what it cannot do now, the sync does.
        let _ = self.file.start_writeback(self.written, self.pending.len() as u64);
        self.crc.update(&self.pending);
        self.content.update(&self.pending);
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Makes the records so far durable, so that a table may refer to them.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.write()?;
        self.file.sync_data()
    }

    /// Completes the file and makes it durable; the name in the directory is the caller's business.
    pub(crate) fn finish(mut self, sync: bool) -> io::Result<BlobMeta> {
        self.write()?;
        let footer = Footer {
            records: self.records,
            data_end: self.written,
            file_number: self.number,
            incompat: Footer::features(self.has_zstd),
            content: self.content.digest128(),
        }
        .encode();
        self.file.write_all_at(&footer, self.written)?;
        self.crc.update(&footer);
        if sync {
            self.file.sync_all()?;
        }
        Ok(BlobMeta {
            number: self.number,
            size: self.written + footer.len() as u64,
            crc: self.crc.finalize(),
            records: self.records,
        })
    }
}
