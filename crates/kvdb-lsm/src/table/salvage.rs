//! Reading what can be read of a damaged table.

use std::sync::Arc;

use super::Handle;
use super::block::{Block, BlockCursor};
use super::index::Index;
use super::reach::Fill;
use super::reader::Table;
use crate::entry::Entry;
use crate::error::Error;

/// Keys of a table that cannot be read.
#[derive(Debug)]
pub(crate) struct LostRange {
    /// The first key that may be lost.
    pub(crate) from: Vec<u8>,
    /// The first key that is not; `None` if the rest of the table is lost.
    pub(crate) to: Option<Vec<u8>>,
    /// Why.
    pub(crate) why: Error,
}

impl Table {
    /// Gives every entry that can be read to `each`, in order, and returns what is lost between
    /// them. A block is read wholly or not at all; without its part of the index, a partition is
    /// lost as a whole. Filters do not matter. Only an error of `each` ends the walk.
    pub(crate) fn salvage(
        &self,
        each: &mut dyn FnMut(Entry<'_>) -> Result<(), Error>,
    ) -> Result<Vec<LostRange>, Error> {
        let mut lost: Vec<LostRange> = Vec::new();
        for partition in 0..self.partitions() {
            let end = self.low_of(partition + 1);
            match self.index_of(partition, Fill::Bypass) {
                Ok(index) => self.salvage_partition(&index, end, each, &mut lost)?,
                Err(why) => self.lose(&mut lost, self.low_of(partition).unwrap_or_default(), end, why),
            }
        }
        Ok(lost)
    }

    /// As [`Table::salvage`], for the blocks of one index; their keys lie below `end`.
    fn salvage_partition(
        &self,
        index: &Index,
        end: Option<&[u8]>,
        each: &mut dyn FnMut(Entry<'_>) -> Result<(), Error>,
        lost: &mut Vec<LostRange>,
    ) -> Result<(), Error> {
        for number in 0..index.len() {
            let low = index.low(number);
            let end = if number + 1 < index.len() { Some(index.low(number + 1)) } else { end };
            let block = match self.sound_block(&index.handle(number), low, end) {
                Ok(block) => block,
                Err(why) => {
                    self.lose(lost, low, end, why);
                    continue;
                }
            };
            self.walk(&index.handle(number), &block, each)?;
        }
        Ok(())
    }

    /// Notes that the keys from `low` to before `end` cannot be read.
    fn lose(&self, lost: &mut Vec<LostRange>, low: &[u8], end: Option<&[u8]>, why: Error) {
        let from = self.properties().smallest.as_slice().max(low);
        let to = end.map(<[u8]>::to_vec);
        match lost.last_mut().filter(|last| last.to.as_deref() == Some(from)) {
            Some(last) => last.to = to,
            None => lost.push(LostRange { from: from.to_vec(), to, why }),
        }
    }

    /// A block of which every entry can be read; their keys lie between `low` and `end`.
    fn sound_block(&self, handle: &Handle, low: &[u8], end: Option<&[u8]>) -> Result<Arc<Block>, Error> {
        let block = self.block(handle, Fill::Bypass)?;
        let mut last: Option<Vec<u8>> = None;
        self.walk(handle, &block, &mut |entry| {
            let ascends = last.as_deref().is_none_or(|last| last < entry.key);
            if !ascends || entry.key < low || end.is_some_and(|end| entry.key >= end) {
                let what = "the keys of the block do not ascend";
                return Err(Error::corruption(self.path(), handle.offset, what));
            }
            last = Some(entry.key.to_vec());
            Ok(())
        })?;
        Ok(block)
    }

    /// Gives every entry of a block to `each`.
    fn walk(
        &self,
        handle: &Handle,
        block: &Block,
        each: &mut dyn FnMut(Entry<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let malformed = |bad| self.malformed(handle.offset, bad);
        let mut cursor = BlockCursor::default();
        block.seek_first(&mut cursor).map_err(malformed)?;
        while let Some(entry) = block.entry(&cursor) {
            each(entry)?;
            block.advance(&mut cursor).map_err(malformed)?;
        }
        Ok(())
    }
}
