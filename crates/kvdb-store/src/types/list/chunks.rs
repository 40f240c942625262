//! The chunks of a large list, in blocks that know how many elements they have.
//!
//! A list of many millions of elements has many thousands of chunks. They stand in blocks of at most [`BLOCK_MAX`], so
//! that adding one moves few others, wherever it is added, and so that an element is found by its index by looking at
//! the blocks first.

use std::collections::VecDeque;

use super::chunk::Chunk;

/// Chunks of a block before it is split.
const BLOCK_MAX: usize = 128;

#[derive(Debug, Clone)]
struct Block {
    chunks: Vec<Chunk>,
    elements: usize,
}

/// Where an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) block: usize,
    /// The chunk within the block.
    pub(super) chunk: usize,
    /// The element within the chunk.
    pub(super) at: usize,
}

/// Chunks in order.
///
/// # Invariants
///
/// * No block is empty, and `elements` of each is the sum of the lengths of its chunks.
/// * `len`, `count` and `bytes` are the sums of elements, chunks, and memory of chunks and of the blocks' vectors.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    blocks: VecDeque<Block>,
    len: usize,
    count: usize,
    bytes: usize,
}

impl Clone for Chunks {
    fn clone(&self) -> Self {
        let mut new = Self { blocks: self.blocks.clone(), ..*self };
        // A copy has no room to grow.
        new.bytes = new.recount();
        new
    }
}

/// What a vector of chunks holds beside what its chunks do.
fn room(chunks: &Vec<Chunk>) -> usize {
    chunks.capacity() * size_of::<Chunk>()
}

impl Chunks {
    /// The number of elements.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of chunks.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of memory beside the structure itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes + self.blocks.capacity() * size_of::<Block>()
    }

    /// What `bytes` has to be.
    pub(super) fn recount(&self) -> usize {
        let chunks = self.blocks.iter().flat_map(|block| &block.chunks);
        chunks.map(Chunk::memory_bytes).sum::<usize>()
            + self.blocks.iter().map(|b| room(&b.chunks)).sum::<usize>()
    }

    /// A chunk, if there is one.
    #[inline]
    pub(super) fn get(&self, block: usize, chunk: usize) -> Option<&Chunk> {
        self.blocks.get(block)?.chunks.get(chunk)
    }

    /// The place of the last chunk of a block.
    pub(super) fn last_of(&self, block: usize) -> usize {
        self.blocks[block].chunks.len() - 1
    }

    /// Where the element with an index is.
    ///
    /// # Panics
    /// When there are not so many.
    pub(super) fn locate(&self, index: usize) -> Spot {
        assert!(index < self.len, "the caller knows how many there are");
        if index < self.len / 2 {
            let (mut block, mut at) = (0, index);
            while at >= self.blocks[block].elements {
                at -= self.blocks[block].elements;
                block += 1;
            }
            let (mut chunk, chunks) = (0, &self.blocks[block].chunks);
            while at >= chunks[chunk].len() {
                at -= chunks[chunk].len();
                chunk += 1;
            }
            Spot { block, chunk, at }
        } else {
            // Counted from the end, from 1 on.
            let (mut block, mut back) = (self.blocks.len() - 1, self.len - index);
            while back > self.blocks[block].elements {
                back -= self.blocks[block].elements;
                block -= 1;
            }
            let chunks = &self.blocks[block].chunks;
            let mut chunk = chunks.len() - 1;
            while back > chunks[chunk].len() {
                back -= chunks[chunk].len();
                chunk -= 1;
            }
            Spot { block, chunk, at: chunks[chunk].len() - back }
        }
    }

    /// Changes a chunk, which must keep an element.
    pub(super) fn change<R>(&mut self, spot: Spot, change: impl FnOnce(&mut Chunk) -> R) -> R {
        let block = &mut self.blocks[spot.block];
        let chunk = &mut block.chunks[spot.chunk];
        let (bytes, len) = (chunk.memory_bytes(), chunk.len());
        let result = change(chunk);
        self.bytes = self.bytes - bytes + chunk.memory_bytes();
        block.elements = block.elements - len + chunk.len();
        self.len = self.len - len + chunk.len();
        result
    }

    /// Adds a chunk before all others.
    pub(super) fn push_front(&mut self, chunk: Chunk) {
        if self.blocks.front().is_none_or(|block| block.chunks.len() >= BLOCK_MAX) {
            self.blocks.push_front(Block { chunks: Vec::new(), elements: 0 });
        }
        self.insert(0, 0, chunk);
    }

    /// Adds a chunk behind all others.
    pub(super) fn push_back(&mut self, chunk: Chunk) {
        if self.blocks.back().is_none_or(|block| block.chunks.len() >= BLOCK_MAX) {
            self.blocks.push_back(Block { chunks: Vec::new(), elements: 0 });
        }
        let block = self.blocks.len() - 1;
        self.insert(block, self.blocks[block].chunks.len(), chunk);
    }

    /// Adds a chunk behind another.
    pub(super) fn insert_behind(&mut self, spot: Spot, chunk: Chunk) {
        let (mut block, mut at) = (spot.block, spot.chunk + 1);
        if self.blocks[block].chunks.len() >= BLOCK_MAX {
            self.split(block);
            let first = self.blocks[block].chunks.len();
            if at > first {
                (block, at) = (block + 1, at - first);
            }
        }
        self.insert(block, at, chunk);
    }

    fn insert(&mut self, block: usize, at: usize, chunk: Chunk) {
        let block = &mut self.blocks[block];
        self.bytes -= room(&block.chunks);
        (self.len, self.count) = (self.len + chunk.len(), self.count + 1);
        self.bytes += chunk.memory_bytes();
        block.elements += chunk.len();
        block.chunks.insert(at, chunk);
        self.bytes += room(&block.chunks);
    }

    /// Cuts a block in two.
    fn split(&mut self, block: usize) {
        let first = &mut self.blocks[block];
        let chunks = first.chunks.split_off(BLOCK_MAX / 2);
        let elements = chunks.iter().map(Chunk::len).sum();
        first.elements -= elements;
        self.bytes += room(&chunks);
        self.blocks.insert(block + 1, Block { chunks, elements });
    }

    /// Takes a chunk out.
    pub(super) fn remove(&mut self, spot: Spot) -> Chunk {
        let block = &mut self.blocks[spot.block];
        let chunk = block.chunks.remove(spot.chunk);
        block.elements -= chunk.len();
        (self.len, self.count) = (self.len - chunk.len(), self.count - 1);
        self.bytes -= chunk.memory_bytes();
        if block.chunks.is_empty() {
            self.bytes -= room(&block.chunks);
            self.blocks.remove(spot.block);
        }
        chunk
    }

    /// Takes the only chunk out.
    pub(super) fn into_only(mut self) -> Chunk {
        debug_assert_eq!(self.count, 1);
        self.remove(Spot { block: 0, chunk: 0, at: 0 })
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let chunks = || self.blocks.iter().flat_map(|block| &block.chunks);
        assert_eq!(self.bytes, self.recount());
        assert_eq!(self.count, chunks().count());
        assert_eq!(self.len, chunks().map(Chunk::len).sum::<usize>());
        for block in &self.blocks {
            assert!(!block.chunks.is_empty() && block.chunks.len() <= BLOCK_MAX);
            assert_eq!(block.elements, block.chunks.iter().map(Chunk::len).sum::<usize>());
        }
        for chunk in chunks() {
            assert_eq!(chunk.pack.iter().count(), chunk.len());
        }
    }
}
