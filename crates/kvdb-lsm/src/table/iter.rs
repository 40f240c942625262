//! Walking a table in key order, either way.

use std::sync::Arc;

use super::block::{Block, BlockCursor};
use super::reader::{Fill, Table};
use crate::entry::Entry;
use crate::error::Error;

/// A position in a table. Unplaced until the first seek. The direction may change at any entry;
/// who has gone over either end has to seek again.
///
/// # Invariants
/// If `block` is there, it is block `number` of the table and `cursor` belongs to it. No block
/// means that there is no entry: the walk has gone over an end.
#[derive(Debug)]
pub(crate) struct TableIter {
    table: Arc<Table>,
    fill: Fill,
    number: usize,
    block: Option<Arc<Block>>,
    cursor: BlockCursor,
}

impl TableIter {
    pub(crate) fn new(table: Arc<Table>, fill: Fill) -> Self {
        Self { table, fill, number: 0, block: None, cursor: BlockCursor::default() }
    }

    /// Goes to the first entry with a key not below `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        self.number = self.table.index().find(key);
        let block = self.table.block(self.number, self.fill)?;
        block.seek(key, &mut self.cursor).map_err(|bad| self.table.malformed(self.number, bad))?;
        self.block = Some(block);
        self.skip_exhausted()
    }

    /// Goes to the last entry.
    pub(crate) fn seek_to_last(&mut self) -> Result<(), Error> {
        self.number = self.table.index().len() - 1;
        self.enter_from_behind()?;
        self.skip_exhausted_back()
    }

    /// Goes to the last entry with a key below `key`, or not above it if `inclusive`.
    pub(crate) fn seek_back(&mut self, key: &[u8], inclusive: bool) -> Result<(), Error> {
        self.number = self.table.index().find(key);
        let block = self.table.block(self.number, self.fill)?;
        block
            .seek_back(key, inclusive, &mut self.cursor)
            .map_err(|bad| self.table.malformed(self.number, bad))?;
        self.block = Some(block);
        self.skip_exhausted_back()
    }

    /// Goes to the entry before.
    pub(crate) fn retreat(&mut self) -> Result<(), Error> {
        if let Some(block) = &self.block {
            block.retreat(&mut self.cursor).map_err(|bad| self.table.malformed(self.number, bad))?;
        }
        self.skip_exhausted_back()
    }

    /// Goes to the next entry.
    pub(crate) fn advance(&mut self) -> Result<(), Error> {
        if let Some(block) = &self.block {
            block.advance(&mut self.cursor).map_err(|bad| self.table.malformed(self.number, bad))?;
        }
        self.skip_exhausted()
    }

    /// The current entry, if any is left.
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        self.block.as_ref()?.entry(&self.cursor)
    }

    fn skip_exhausted(&mut self) -> Result<(), Error> {
        while let Some(block) = &self.block {
            if block.entry(&self.cursor).is_some() {
                return Ok(());
            }
            self.number += 1;
            if self.number >= self.table.index().len() {
                self.block = None;
                return Ok(());
            }
            let block = self.table.block(self.number, self.fill)?;
            block.seek_first(&mut self.cursor).map_err(|bad| self.table.malformed(self.number, bad))?;
            self.block = Some(block);
        }
        Ok(())
    }

    fn skip_exhausted_back(&mut self) -> Result<(), Error> {
        while let Some(block) = &self.block {
            if block.entry(&self.cursor).is_some() {
                return Ok(());
            }
            let Some(before) = self.number.checked_sub(1) else {
                self.block = None;
                return Ok(());
            };
            self.number = before;
            self.enter_from_behind()?;
        }
        Ok(())
    }

    /// Goes to the last entry of block `number`.
    fn enter_from_behind(&mut self) -> Result<(), Error> {
        let block = self.table.block(self.number, self.fill)?;
        block.seek_last(&mut self.cursor).map_err(|bad| self.table.malformed(self.number, bad))?;
        self.block = Some(block);
        Ok(())
    }
}
