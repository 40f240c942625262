//! Writing a table: entries in, one durable file out.

use std::io;

use super::block::{BlockBuilder, common_prefix};
use super::footer::{self, Footer};
use super::index_builder::{IndexBuilder, PartitionLimits};
use super::properties::Properties;
use super::{DATA_START, Format, envelope};
use crate::batch::Seq;
use crate::compression::{Compression, Compressor};
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
    /// Every so many entries of a block, a key is stored whole.
    pub(crate) restart_interval: usize,
    /// Bits of filter per key; 0 for no filter.
    pub(crate) bloom_bits_per_key: usize,
    /// How data blocks are compressed.
    pub(crate) compression: Compression,
    /// Entries are stored with sequence 0. For tables below which there is nothing: whoever reads
    /// a table takes what it has, whatever its sequence, and 0 takes a byte where others take
    /// three.
    pub(crate) drop_seqs: bool,
    /// When the index is cut.
    pub(crate) partitions: PartitionLimits,
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
    compressor: Compressor,
    pending: Vec<u8>,
    written: u64,
    crc: crc32fast::Hasher,
    block: BlockBuilder,
    /// The low key of the block under construction.
    low: Vec<u8>,
    index: IndexBuilder,
    properties: Properties,
}

impl TableBuilder {
    pub(crate) fn new(file: Box<dyn VfsFile>, file_number: u64, options: TableOptions) -> Self {
        let mut pending = Vec::with_capacity(WRITE_UNIT + 2 * options.block_bytes);
        pending.extend_from_slice(&file_header(FileKind::Table));
        Self {
            file,
            file_number,
            options,
            compressor: Compressor::new(options.compression),
            pending,
            written: 0,
            crc: crc32fast::Hasher::new(),
            block: BlockBuilder::new(options.restart_interval),
            low: Vec::new(),
            index: IndexBuilder::new(options.partitions, options.bloom_bits_per_key),
            properties: Properties { writer: env!("CARGO_PKG_VERSION").to_owned(), ..Properties::default() },
        }
    }

    /// Adds an entry. Keys ascend strictly: one that does not is refused, since this is the last
    /// look at it before it is durable, and a table out of order would lose keys silently.
    pub(crate) fn add(&mut self, entry: Entry<'_>) -> io::Result<()> {
        if self.properties.entries > 0 && self.block.last_key() >= entry.key {
            let why = "the keys of the table do not ascend, which is a fault of this program";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        if self.block.is_empty() && self.properties.entries > 0 {
            // The shortest key above the block before and not above this entry.
            let shared = common_prefix(self.block.last_key(), entry.key);
            self.low.clear();
            self.low.extend_from_slice(&entry.key[..shared + 1]);
        }
        self.properties.count(entry);
        let hash = key_hash(entry.key);
        self.index.add_key(hash);
        let seq = if self.options.drop_seqs { 0 } else { entry.seq };
        self.block.add(entry.key, hash, seq, entry.content);
        if self.block.len() >= self.options.block_bytes {
            self.cut_block()?;
        }
        Ok(())
    }

    /// Notes that entries without a sequence come from writes with sequences from `min` to `max`.
    pub(crate) fn cover_seqs(&mut self, min: Seq, max: Seq) {
        self.properties.cover_seqs(min, max);
    }

    /// The bytes of the file so far, roughly, filter and index included: with long keys they can
    /// outgrow compressed data.
    pub(crate) const fn size(&self) -> u64 {
        self.written + self.pending.len() as u64 + self.block.len() as u64 + self.index.size()
    }

    /// The bytes of the records in blob files that the entries refer to.
    pub(crate) fn blob_bytes(&self) -> u64 {
        self.properties.blobs.values().map(|used| used.bytes).sum()
    }

    fn offset(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    fn cut_block(&mut self) -> io::Result<()> {
        let (offset, number) = (self.offset(), self.file_number);
        self.properties.data_blocks += 1;
        let (compressor, pending) = (&mut self.compressor, &mut self.pending);
        let handle =
            self.block.finish(|payload| envelope::seal(payload, compressor, number, offset, pending));
        self.index.add_block(&self.low, handle);
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

    /// Completes the file and makes its data durable; the name in the directory is the caller's
    /// business. At least one entry was added.
    pub(crate) fn finish(mut self) -> io::Result<Built> {
        if !self.block.is_empty() {
            self.cut_block()?;
        }
        let (number, data_end) = (self.file_number, self.offset());
        let (written, pending) = (self.written, &mut self.pending);
        let mut seal = |payload: &[u8]| {
            let offset = written + pending.len() as u64;
            envelope::seal_raw(payload, number, offset, pending)
        };
        let sections = self.index.finish(&mut seal);
        let properties = &mut self.properties;
        properties.largest = self.block.last_key().to_vec();
        properties.data_bytes = data_end - DATA_START;
        properties.index_bytes = sections.index_bytes;
        properties.filter_bytes = sections.filter_bytes;
        let properties = seal(&properties.encode());
        let mut incompat = 0;
        if sections.is_partitioned {
            incompat |= footer::PARTITIONED;
        }
        if self.compressor.used_zstd() {
            incompat |= footer::ZSTD;
        }
        if !self.properties.blobs.is_empty() {
            incompat |= footer::BLOBS;
        }
        let footer = Footer {
            format: Format::V2,
            filter: sections.filter,
            index: sections.index,
            properties,
            file_number: number,
            data_end,
            incompat,
        };
        self.pending.extend_from_slice(&footer.encode());
        self.file.write_all_at(&self.pending, self.written)?;
        self.crc.update(&self.pending);
        self.file.sync_all()?;
        let size = self.written + self.pending.len() as u64;
        Ok(Built { size, crc: self.crc.finalize(), properties: self.properties })
    }
}
