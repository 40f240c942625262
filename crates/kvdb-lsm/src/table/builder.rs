//! Writing a table: entries in, one durable file out.

use std::io;

use super::block::{BlockBuilder, common_prefix};
use super::bloom::Bloom;
use super::envelope::{self, Compression};
use super::footer::Footer;
use super::index::Index;
use super::properties::Properties;
use crate::entry::{Entry, key_hash};
use crate::file_header::{FileKind, file_header};
use crate::vfs::{VfsFile, VfsFileExt};

/// Bytes collected before they are written.
const WRITE_UNIT: usize = 256 << 10;

/// What a table is built like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableOptions {
    /// A data block is cut when it reaches this many bytes.
    pub(crate) block_bytes: usize,
    /// Bits of filter per key; 0 for no filter.
    pub(crate) bloom_bits_per_key: usize,
    /// How data blocks are compressed.
    pub(crate) compression: Compression,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Built {
    /// The length of the file in bytes.
    pub(crate) size: u64,
    /// The checksum of the whole file.
    pub(crate) crc: u32,
    /// What it holds.
    pub(crate) properties: Properties,
}

/// Builds one table in a new, empty file.
///
/// # Invariants
/// `written + pending.len()` is the offset of the next block; `crc` covers the written bytes.
pub(crate) struct TableBuilder {
    file: Box<dyn VfsFile>,
    file_number: u64,
    options: TableOptions,
    pending: Vec<u8>,
    written: u64,
    crc: crc32fast::Hasher,
    block: BlockBuilder,
    /// The low key of the block under construction.
    low: Vec<u8>,
    index: Index,
    hashes: Vec<u64>,
    properties: Properties,
}

impl TableBuilder {
    pub(crate) fn new(file: Box<dyn VfsFile>, file_number: u64, options: TableOptions) -> Self {
        Self {
            file,
            file_number,
            options,
            pending: file_header(FileKind::Table).to_vec(),
            written: 0,
            crc: crc32fast::Hasher::new(),
            block: BlockBuilder::default(),
            low: Vec::new(),
            index: Index::default(),
            hashes: Vec::new(),
            properties: Properties::default(),
        }
    }

    /// Adds an entry. Keys ascend strictly.
    pub(crate) fn add(&mut self, entry: Entry<'_>) -> io::Result<()> {
        let properties = &mut self.properties;
        if properties.entries == 0 {
            properties.smallest = entry.key.to_vec();
            properties.min_seq = entry.seq;
        } else {
            debug_assert!(properties.largest.as_slice() < entry.key);
        }
        if self.block.is_empty() && properties.entries > 0 {
            // The shortest key above the block before and not above this entry.
            let shared = common_prefix(&properties.largest, entry.key);
            self.low = entry.key[..shared + 1].to_vec();
        }
        properties.entries += 1;
        properties.tombstones += u64::from(entry.value.is_none());
        properties.raw_bytes += (entry.key.len() + entry.value.map_or(0, <[u8]>::len)) as u64;
        properties.min_seq = properties.min_seq.min(entry.seq);
        properties.max_seq = properties.max_seq.max(entry.seq);
        properties.largest.clear();
        properties.largest.extend_from_slice(entry.key);
        self.hashes.push(key_hash(entry.key));
        self.block.add(entry);
        if self.block.len() >= self.options.block_bytes {
            self.cut_block()?;
        }
        Ok(())
    }

    /// The bytes of the file so far, roughly.
    pub(crate) const fn size(&self) -> u64 {
        self.written + self.pending.len() as u64 + self.block.len() as u64
    }

    fn offset(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    fn cut_block(&mut self) -> io::Result<()> {
        let offset = self.offset();
        let (compression, number) = (self.options.compression, self.file_number);
        let pending = &mut self.pending;
        let handle =
            self.block.finish(|payload| envelope::seal(payload, compression, number, offset, pending));
        self.index.push(&self.low, handle);
        if self.pending.len() >= WRITE_UNIT {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.pending, self.written)?;
        // Only a hint: what it cannot do now, the sync does.
        let _ = self.file.start_writeback(self.written, self.pending.len() as u64);
        self.crc.update(&self.pending);
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn section(&mut self, payload: &[u8]) -> (u64, u32) {
        let offset = self.offset();
        let handle = envelope::seal(payload, Compression::None, self.file_number, offset, &mut self.pending);
        (handle.offset, handle.len)
    }

    /// Completes the file and makes its data durable; the name in the directory is the caller's
    /// business. At least one entry was added.
    pub(crate) fn finish(mut self) -> io::Result<Built> {
        if !self.block.is_empty() {
            self.cut_block()?;
        }
        let bloom = Bloom::build(&self.hashes, self.options.bloom_bits_per_key);
        let filter = self.section(bloom.encode());
        let index = self.index.encode();
        let index = self.section(&index);
        let properties = self.properties.encode();
        let properties = self.section(&properties);
        let footer = Footer { filter, index, properties, file_number: self.file_number };
        self.pending.extend_from_slice(&footer.encode());
        self.write()?;
        self.file.sync_all()?;
        Ok(Built { size: self.written, crc: self.crc.finalize(), properties: self.properties })
    }
}
