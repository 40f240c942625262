//! The entries of a stream, in blocks by the ids they begin with.

use super::block::{Block, Entry, Field};
use super::blocks::Blocks;
use super::id::StreamId;
use crate::types::Layout;

/// The bytes of a block when there is no limit to them; more cannot be counted.
const BLOCK_MAX: usize = 1 << 30;
/// A stream of so many full blocks will most likely fill the next one too, which is given room for that at once.
const BLOCKS_OF_A_LONG_STREAM: usize = 8;

/// # Invariants
///
/// * No block is empty; a block is filed under an id that no entry of it is before, and no entry of another behind.
/// * `len` and `bytes` are the sums of entries and of the memory of the blocks.
#[derive(Debug, Default)]
pub(super) struct Entries {
    blocks: Blocks,
    len: usize,
    bytes: usize,
}

impl Clone for Entries {
    fn clone(&self) -> Self {
        let blocks = self.blocks.clone();
        // A copy has no room to grow.
        let bytes = blocks.iter().map(|(_, block)| block.memory_bytes()).sum();
        Self { blocks, len: self.len, bytes }
    }
}

impl Entries {
    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes of memory beside the structure itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes + self.blocks.memory_bytes()
    }

    /// The id of the first entry.
    pub(super) fn first(&self) -> Option<StreamId> {
        let (base, block) = self.blocks.first()?;
        block.entries(base).next().map(|entry| entry.id)
    }

    /// The id of the last entry.
    pub(super) fn last(&self) -> Option<StreamId> {
        self.blocks.last().map(|(_, block)| block.last())
    }

    /// Adds an entry behind all others.
    pub(super) fn append(&mut self, id: StreamId, fields: &[Field<'_>], layout: &Layout) {
        self.len += 1;
        let fields_len = fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let max_bytes = if layout.stream_bytes == 0 { BLOCK_MAX } else { layout.stream_bytes.min(BLOCK_MAX) };
        let (blocks, mut room) = (self.blocks.len(), 0);
        if let Some((base, block)) = self.blocks.last_mut() {
            let before = block.memory_bytes();
            let is_full = block.len_bytes() + fields_len >= max_bytes
                || (layout.stream_entries > 0 && block.len() >= layout.stream_entries);
            if is_full {
                block.fit();
                if blocks >= BLOCKS_OF_A_LONG_STREAM {
                    room = max_bytes.min(block.len_bytes() / 8 * 9);
                }
            } else {
                block.append(base, id, fields);
            }
            self.bytes = self.bytes - before + block.memory_bytes();
            if !is_full {
                return;
            }
        }
        let block = Block::of(id, fields, room);
        self.bytes += block.memory_bytes();
        self.blocks.insert(id, block);
    }

    /// The base of the block that an id is in, if any is.
    fn base_of(&self, id: StreamId) -> Option<StreamId> {
        self.blocks.range(StreamId::MIN, id).next_back().map(|(base, _)| base)
    }

    /// Takes an entry out; tells whether it was there.
    pub(super) fn remove(&mut self, id: StreamId) -> bool {
        let Some(base) = self.base_of(id) else { return false };
        let block = self.blocks.get_mut(base).expect("it was just found");
        let (before, is_only) = (block.memory_bytes(), block.len() == 1);
        let found = if is_only { block.last() == id } else { block.remove(base, id) };
        if found {
            self.len -= 1;
            self.bytes -= before;
            if is_only {
                self.blocks.remove(base);
            } else {
                self.bytes += block.memory_bytes();
            }
        }
        found
    }

    /// The ids of the entries of the first block.
    pub(super) fn first_block(&self) -> impl Iterator<Item = StreamId> {
        self.blocks.first().into_iter().flat_map(|(base, block)| block.entries(base)).map(|entry| entry.id)
    }

    /// How many entries the first block has, and the id of the last of them.
    pub(super) fn first_block_end(&self) -> Option<(usize, StreamId)> {
        self.blocks.first().map(|(_, block)| (block.len(), block.last()))
    }

    /// Takes the first entries out, at most a block of them.
    pub(super) fn remove_first(&mut self, count: usize) {
        let Some((base, first)) = self.blocks.first_mut() else { return };
        self.bytes -= first.memory_bytes();
        self.len -= count;
        if count == first.len() {
            self.blocks.remove(base);
        } else {
            first.remove_first(base, count);
            self.bytes += first.memory_bytes();
        }
    }

    /// The entry of an id.
    pub(super) fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        let (base, block) = self.blocks.range(StreamId::MIN, id).next_back()?;
        block.entries(base).find(|entry| entry.id >= id).filter(|entry| entry.id == id)
    }

    /// The entries from one id to another, both included.
    pub(super) fn range(&self, from: StreamId, to: StreamId) -> impl Iterator<Item = Entry<'_>> {
        self.blocks_of(from, to)
            .flat_map(|(base, block)| block.entries(base))
            .skip_while(move |entry| entry.id < from)
            .take_while(move |entry| entry.id <= to)
    }

    /// Likewise, from the last to the first.
    pub(super) fn range_back(&self, from: StreamId, to: StreamId) -> impl Iterator<Item = Entry<'_>> {
        self.blocks_of(from, to)
            .rev()
            .flat_map(|(base, block)| block.entries(base).collect::<Vec<_>>().into_iter().rev())
            .skip_while(move |entry| entry.id > to)
            .take_while(move |entry| entry.id >= from)
    }

    fn blocks_of(&self, from: StreamId, to: StreamId) -> impl DoubleEndedIterator<Item = (StreamId, &Block)> {
        let start = self.base_of(from).unwrap_or(from);
        self.blocks.range(start, to.max(start)).filter(move |_| from <= to)
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.bytes, self.blocks.iter().map(|(_, block)| block.memory_bytes()).sum::<usize>());
        assert_eq!(self.len, self.blocks.iter().map(|(_, block)| block.len()).sum::<usize>());
        for (base, block) in self.blocks.iter() {
            let ids: Vec<StreamId> = block.entries(base).map(|entry| entry.id).collect();
            assert_eq!(ids.len(), block.len());
            assert!(!ids.is_empty() && ids[0] >= base && ids.last() == Some(&block.last()));
            assert!(ids.is_sorted());
        }
    }
}
