//! Walking a table in key order, either way.

use std::sync::Arc;

use super::block::{Block, BlockCursor, Malformed};
use super::index::Index;
use super::reach::Fill;
use super::reader::Table;
use crate::entry::{Entry, key_hash};
use crate::error::Error;

/// A position in a table. Unplaced until the first seek. The direction may change at any entry;
/// who has gone over either end has to seek again.
///
/// # Invariants
/// If `block` is there, `index` is that of partition `partition`, `block` is block `number` of it,
/// and `cursor` belongs to the block. No block means that there is no entry: the walk has gone over
/// an end.
#[derive(Debug)]
pub(crate) struct TableIter {
    table: Arc<Table>,
    fill: Fill,
    partition: usize,
    index: Option<Arc<Index>>,
    number: usize,
    block: Option<Arc<Block>>,
    cursor: BlockCursor,
}

impl TableIter {
    pub(crate) fn new(table: Arc<Table>, fill: Fill) -> Self {
        let cursor = BlockCursor::default();
        Self { table, fill, partition: 0, index: None, number: 0, block: None, cursor }
    }

    /// Goes to the first entry with a key not below `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        self.enter(self.table.partition_of(key), |index| index.find(key))?;
        self.place(|block, cursor| block.seek(key, cursor))?;
        self.skip_exhausted()
    }

    /// Goes to the last entry.
    pub(crate) fn seek_to_last(&mut self) -> Result<(), Error> {
        self.enter(self.table.partitions() - 1, |index| index.len() - 1)?;
        self.place(Block::seek_last)?;
        self.skip_exhausted_back()
    }

    /// Goes to the last entry with a key below `key`, or not above it if `inclusive`.
    pub(crate) fn seek_back(&mut self, key: &[u8], inclusive: bool) -> Result<(), Error> {
        self.enter(self.table.partition_of(key), |index| index.find(key))?;
        self.place(|block, cursor| block.seek_back(key, inclusive, cursor))?;
        self.skip_exhausted_back()
    }

    /// Goes to the next entry.
    pub(crate) fn advance(&mut self) -> Result<(), Error> {
        self.place(Block::advance)?;
        self.skip_exhausted()
    }

    /// Goes to the entry before.
    pub(crate) fn retreat(&mut self) -> Result<(), Error> {
        self.place(Block::retreat)?;
        self.skip_exhausted_back()
    }

    /// The current entry, if any is left.
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        self.block.as_ref()?.entry(&self.cursor)
    }

    /// Whether a point read finds the current entry as well: filter and hash index do not hide it.
    pub(crate) fn is_found_by_point_read(&self) -> Result<bool, Error> {
        let (Some(block), Some(entry)) = (&self.block, self.entry()) else {
            return Ok(true);
        };
        let hash = key_hash(entry.key);
        if !self.table.filter_of_partition_allows(self.partition, hash)? {
            return Ok(false);
        }
        let found = block.get(hash, entry.key).map_err(|bad| self.malformed(bad))?;
        Ok(found == Some(entry.content))
    }

    /// Goes to a block of a partition, to no entry of it yet.
    fn enter(&mut self, partition: usize, number: impl FnOnce(&Index) -> usize) -> Result<(), Error> {
        // Whatever fails, the walk has no entry.
        self.block = None;
        let index = match self.index.take() {
            Some(index) if self.partition == partition => index,
            _ => self.table.index_of(partition, self.fill)?,
        };
        self.partition = partition;
        self.number = number(&index);
        let block = self.table.block(&index.handle(self.number), self.fill)?;
        self.index = Some(index);
        self.block = Some(block);
        Ok(())
    }

    /// Moves within the block, if there is one.
    fn place(
        &mut self,
        go: impl FnOnce(&Block, &mut BlockCursor) -> Result<(), Malformed>,
    ) -> Result<(), Error> {
        let Some(block) = &self.block else {
            return Ok(());
        };
        let placed = go(block, &mut self.cursor);
        placed.map_err(|bad| self.malformed(bad))
    }

    /// The error for the block the walk stands in.
    fn malformed(&self, bad: Malformed) -> Error {
        let offset = self.index.as_ref().map_or(0, |index| index.handle(self.number).offset);
        self.table.malformed(offset, bad)
    }

    fn has_no_entry(&self) -> bool {
        self.block.as_ref().is_some_and(|block| block.entry(&self.cursor).is_none())
    }

    fn skip_exhausted(&mut self) -> Result<(), Error> {
        while self.has_no_entry() {
            let blocks = self.index.as_ref().map_or(0, |index| index.len());
            let (number, partition) = (self.number + 1, self.partition + 1);
            if number < blocks {
                self.enter(self.partition, |_| number)?;
            } else if partition < self.table.partitions() {
                self.enter(partition, |_| 0)?;
            } else {
                self.block = None;
                return Ok(());
            }
            self.place(Block::seek_first)?;
        }
        Ok(())
    }

    fn skip_exhausted_back(&mut self) -> Result<(), Error> {
        while self.has_no_entry() {
            if let Some(number) = self.number.checked_sub(1) {
                self.enter(self.partition, |_| number)?;
            } else if let Some(partition) = self.partition.checked_sub(1) {
                self.enter(partition, |index| index.len() - 1)?;
            } else {
                self.block = None;
                return Ok(());
            }
            self.place(Block::seek_last)?;
        }
        Ok(())
    }
}
