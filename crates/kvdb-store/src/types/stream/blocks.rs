//! The blocks of a stream by the ids they begin with: in one row while they are few, as in most streams, else in a tree.

use std::collections::BTreeMap;

use super::block::Block;
use super::id::StreamId;

/// The most blocks that stand in a row: a node of a tree has room for about as many, even if it holds one.
const FEW: usize = 8;
/// What a block of a tree costs in memory beside its bytes: its place in a node that is little more than half full.
const BYTES_IN_TREE: usize = size_of::<(StreamId, Block)>() * 17 / 10;

/// # Invariants
///
/// * Those in a row ascend.
#[derive(Debug, Clone)]
pub(super) enum Blocks {
    Few(Vec<(StreamId, Block)>),
    Many(BTreeMap<StreamId, Block>),
}

impl Default for Blocks {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

fn split((base, block): &(StreamId, Block)) -> (StreamId, &Block) {
    (*base, block)
}

fn split_mut((base, block): &mut (StreamId, Block)) -> (StreamId, &mut Block) {
    (*base, block)
}

/// The place of a block in a row, or where it belongs.
fn place(blocks: &[(StreamId, Block)], base: StreamId) -> Result<usize, usize> {
    blocks.binary_search_by_key(&base, |(base, _)| *base)
}

impl Blocks {
    /// The number of blocks.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(blocks) => blocks.len(),
            Self::Many(blocks) => blocks.len(),
        }
    }

    /// Bytes of memory beside those of the blocks.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Few(blocks) => blocks.capacity() * size_of::<(StreamId, Block)>(),
            Self::Many(blocks) => blocks.len() * BYTES_IN_TREE,
        }
    }

    /// The first block with its base.
    pub(super) fn first(&self) -> Option<(StreamId, &Block)> {
        match self {
            Self::Few(blocks) => blocks.first().map(split),
            Self::Many(blocks) => blocks.first_key_value().map(|(base, block)| (*base, block)),
        }
    }

    /// The last block with its base.
    pub(super) fn last(&self) -> Option<(StreamId, &Block)> {
        match self {
            Self::Few(blocks) => blocks.last().map(split),
            Self::Many(blocks) => blocks.last_key_value().map(|(base, block)| (*base, block)),
        }
    }

    /// The first block with its base, for change.
    pub(super) fn first_mut(&mut self) -> Option<(StreamId, &mut Block)> {
        match self {
            Self::Few(blocks) => blocks.first_mut().map(split_mut),
            Self::Many(blocks) => blocks.iter_mut().next().map(|(base, block)| (*base, block)),
        }
    }

    /// The last block with its base, for change.
    pub(super) fn last_mut(&mut self) -> Option<(StreamId, &mut Block)> {
        match self {
            Self::Few(blocks) => blocks.last_mut().map(split_mut),
            Self::Many(blocks) => blocks.iter_mut().next_back().map(|(base, block)| (*base, block)),
        }
    }

    /// The block of a base, for change.
    pub(super) fn get_mut(&mut self, base: StreamId) -> Option<&mut Block> {
        match self {
            Self::Few(blocks) => place(blocks, base).ok().map(|at| &mut blocks[at].1),
            Self::Many(blocks) => blocks.get_mut(&base),
        }
    }

    /// Adds a block whose base is not there.
    pub(super) fn insert(&mut self, base: StreamId, block: Block) {
        if let Self::Few(blocks) = self {
            if blocks.len() < FEW {
                let at = place(blocks, base).unwrap_or_else(|at| at);
                blocks.reserve_exact(1);
                blocks.insert(at, (base, block));
                return;
            }
            *self = Self::Many(std::mem::take(blocks).into_iter().collect());
        }
        if let Self::Many(blocks) = self {
            blocks.insert(base, block);
        }
    }

    /// Takes a block out.
    pub(super) fn remove(&mut self, base: StreamId) {
        match self {
            Self::Few(blocks) => {
                if let Ok(at) = place(blocks, base) {
                    blocks.remove(at);
                    blocks.shrink_to_fit();
                }
            }
            Self::Many(blocks) => {
                blocks.remove(&base);
                // Not at once where the tree began, or a stream that is trimmed there would go to and fro.
                if blocks.len() <= FEW / 2 {
                    *self = Self::Few(std::mem::take(blocks).into_iter().collect());
                }
            }
        }
    }

    /// The blocks with bases from one id to another, both included.
    pub(super) fn range(
        &self,
        from: StreamId,
        to: StreamId,
    ) -> impl DoubleEndedIterator<Item = (StreamId, &Block)> {
        let (few, many) = match self {
            Self::Few(blocks) => {
                let start = blocks.partition_point(|(base, _)| *base < from);
                let end = blocks.partition_point(|(base, _)| *base <= to).max(start);
                (Some(blocks[start..end].iter().map(split)), None)
            }
            Self::Many(blocks) => {
                let blocks = blocks.range(from..=to.max(from));
                (None, Some(blocks.map(|(base, block)| (*base, block))))
            }
        };
        few.into_iter().flatten().chain(many.into_iter().flatten()).filter(move |_| from <= to)
    }

    /// All blocks.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (StreamId, &Block)> {
        self.range(StreamId::MIN, StreamId::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> StreamId {
        StreamId { ms, seq: 0 }
    }

    fn with(bases: impl Iterator<Item = u64>) -> Blocks {
        let mut blocks = Blocks::default();
        bases.for_each(|ms| blocks.insert(id(ms), Block::of(id(ms), &[(b"f", b"v")], 0)));
        blocks
    }

    #[test]
    fn many_blocks_stand_in_a_tree_until_they_are_few_again() {
        let is_tree = |blocks: &Blocks| matches!(blocks, Blocks::Many(_));
        let mut blocks = with((0..8).rev());
        assert!(!is_tree(&blocks));
        blocks.insert(id(8), Block::of(id(8), &[(b"f", b"v")], 0));
        for left in (1..=8).rev() {
            assert_eq!(is_tree(&blocks), left >= 4, "{left} after the next removal");
            blocks.remove(id(8 - left));
            let bases: Vec<_> = blocks.iter().map(|(base, _)| base.ms).collect();
            assert_eq!(bases, (9 - left..=8).collect::<Vec<_>>());
            assert_eq!(blocks.range(id(7), id(100)).count() as u64, left.min(2));
        }
        assert_eq!(blocks.memory_bytes(), with(8..9).memory_bytes());
    }
}
