//! The index and the filter of a table under construction: whole for as long as they are small
//! enough to be held in memory by every reader, then cut into partitions.

use super::bloom::Bloom;
use super::index::Index;
use super::top::{Partition, Top};
use super::{DATA_START, Format, Handle};

/// When an index is cut, and into how large pieces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartitionLimits {
    /// A whole index and its filter have at most about this many bytes together,
    pub(crate) whole_index_bytes: usize,
    /// at most about this many bytes of data blocks,
    pub(crate) whole_data_bytes: u64,
    /// and at most this many keys, whose hashes wait in memory for the filter.
    pub(crate) whole_keys: usize,
    /// A partition of the index is cut when it reaches this many bytes.
    pub(crate) partition_bytes: usize,
}

impl PartitionLimits {
    /// Tables of the usual 64 MiB stay whole: some 250 KiB of index, and 700 KiB of filter for
    /// entries of 116 bytes. Larger ones are cut, and those of entries below some 40 bytes, whose
    /// filters are larger.
    pub(crate) const DEFAULT: Self = Self::whole_up_to(2 << 20);

    /// Indexes stay whole while they and their filters have at most so many bytes together.
    pub(crate) const fn whole_up_to(whole_index_bytes: usize) -> Self {
        Self { whole_index_bytes, whole_data_bytes: 80 << 20, whole_keys: 4 << 20, partition_bytes: 4 << 10 }
    }

    /// The limits for a table that is made while what is held whole has used up its room.
    pub(crate) const fn without_room(self) -> Self {
        Self { whole_index_bytes: 0, ..self }
    }
}

/// A finished partition: the stored form of its filter and of its index.
struct Cut {
    low: Vec<u8>,
    data: (u64, u64),
    filter: Vec<u8>,
    index: Vec<u8>,
}

/// # Invariants
/// `index` has the blocks that are in no partition yet, `index_bytes` their length in the stored
/// form, `hashes` the keys of these blocks and of the one under construction, and `ends` the end
/// of each of these blocks in `hashes`. `cuts` is not empty once the index is partitioned.
pub(super) struct IndexBuilder {
    limits: PartitionLimits,
    bits_per_key: usize,
    index: Index,
    index_bytes: usize,
    hashes: Vec<u64>,
    ends: Vec<usize>,
    cuts: Vec<Cut>,
    cut_bytes: usize,
}

/// What the finished index is stored as: sections in the order of the file.
pub(super) struct Sections {
    /// The filter; empty if it is partitioned.
    pub(super) filter: Handle,
    /// The index, or its top.
    pub(super) index: Handle,
    pub(super) filter_bytes: u64,
    pub(super) index_bytes: u64,
    pub(super) is_partitioned: bool,
}

impl IndexBuilder {
    pub(super) fn new(limits: PartitionLimits, bits_per_key: usize) -> Self {
        Self {
            limits,
            bits_per_key,
            index: Index::default(),
            index_bytes: 0,
            hashes: Vec::new(),
            ends: Vec::new(),
            cuts: Vec::new(),
            cut_bytes: 0,
        }
    }

    /// Adds a key to the block under construction.
    #[inline]
    pub(super) fn add_key(&mut self, hash: u64) {
        if self.bits_per_key > 0 {
            self.hashes.push(hash);
        }
    }

    /// Adds the block under construction.
    pub(super) fn add_block(&mut self, low: &[u8], handle: Handle) {
        self.index_bytes += Index::entry_len(low, &handle);
        self.index.push(low, handle);
        self.ends.push(self.hashes.len());
        let data_bytes = handle.offset + u64::from(handle.len) - DATA_START;
        if !self.cuts.is_empty() {
            if self.index_bytes >= self.limits.partition_bytes {
                self.cut();
            }
        } else if self.size() > self.limits.whole_index_bytes as u64
            || data_bytes > self.limits.whole_data_bytes
            || self.hashes.len() > self.limits.whole_keys
        {
            self.cut();
        }
    }

    /// The bytes that filter and index will take, roughly.
    pub(super) const fn size(&self) -> u64 {
        let filter = Bloom::stored_len(self.hashes.len(), self.bits_per_key);
        (self.index_bytes + filter + self.cut_bytes) as u64
    }

    /// Moves all blocks into partitions. The last partition may stay smaller than the others.
    fn cut(&mut self) {
        let blocks = std::mem::take(&mut self.index);
        let mut part = Index::default();
        let (mut part_bytes, mut first, mut keys) = (0, 0, 0);
        for n in 0..blocks.len() {
            let (low, handle) = (blocks.low(n), blocks.handle(n));
            part_bytes += Index::entry_len(low, &handle);
            part.push(low, handle);
            if part_bytes >= self.limits.partition_bytes || n + 1 == blocks.len() {
                let hashes = &self.hashes[keys..self.ends[n]];
                let (begin, last) = (blocks.handle(first), handle);
                let cut = Cut {
                    low: blocks.low(first).to_vec(),
                    data: (begin.offset, last.offset + u64::from(last.len)),
                    filter: Bloom::build(hashes, self.bits_per_key).encode(),
                    index: std::mem::take(&mut part).encode(Format::V2),
                };
                self.cut_bytes += cut.filter.len() + cut.index.len() + 2 * cut.low.len();
                self.cuts.push(cut);
                (part_bytes, first, keys) = (0, n + 1, self.ends[n]);
            }
        }
        self.hashes.drain(..keys);
        self.ends.clear();
        self.index_bytes = 0;
    }

    /// Stores what was collected, section by section through `seal`. No block is under
    /// construction any more.
    pub(super) fn finish(mut self, mut seal: impl FnMut(&[u8]) -> Handle) -> Sections {
        if self.cuts.is_empty() {
            let filter = Bloom::build(&self.hashes, self.bits_per_key);
            let (filter, index) = (seal(&filter.encode()), seal(&self.index.encode(Format::V2)));
            let (filter_bytes, index_bytes) = (u64::from(filter.len), u64::from(index.len));
            return Sections { filter, index, filter_bytes, index_bytes, is_partitioned: false };
        }
        if self.index.len() > 0 {
            self.cut();
        }
        let mut top = Top::default();
        let (mut filter_bytes, mut index_bytes) = (0, 0);
        for cut in &self.cuts {
            let filter =
                if cut.filter.is_empty() { Handle { offset: 0, len: 0, crc: 0 } } else { seal(&cut.filter) };
            let index = seal(&cut.index);
            filter_bytes += u64::from(filter.len);
            index_bytes += u64::from(index.len);
            top.push(&cut.low, Partition { data_start: cut.data.0, data_end: cut.data.1, filter, index });
        }
        let (filter, index) = (seal(&[]), seal(&top.encode()));
        index_bytes += u64::from(index.len);
        Sections { filter, index, filter_bytes, index_bytes, is_partitioned: true }
    }
}
