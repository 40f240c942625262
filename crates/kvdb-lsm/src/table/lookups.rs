//! Several lookups in one table, which share the blocks they read.

use std::sync::Arc;

use super::block::Block;
use super::reach::{Fill, Looked, Reach};
use super::reader::Table;
use crate::entry::Content;
use crate::error::Error;

/// Lookups by ascending keys: neighbours are often in one block, and it is fetched once.
#[derive(Debug)]
pub(crate) struct Lookups<'a> {
    table: &'a Table,
    /// The block that was searched last, by its offset.
    block: Option<(u64, Arc<Block>)>,
}

impl<'a> Lookups<'a> {
    pub(crate) const fn new(table: &'a Table) -> Self {
        Self { table, block: None }
    }

    /// As [`Table::get_with`].
    pub(crate) fn get_with<R>(
        &mut self,
        hash: u64,
        key: &[u8],
        take: impl FnOnce(Content<'_>) -> R,
    ) -> Result<Looked<R>, Error> {
        let mut reach = Reach::file(Fill::Cache);
        let Some(handle) = self.table.block_of(hash, key, &mut reach)? else {
            return Ok(Looked { found: None, has_read: reach.has_read });
        };
        let block = match self.block.take_if(|(held, _)| *held == handle.offset) {
            Some((_, block)) => block,
            None => {
                let block = self.table.block_within(&handle, &mut reach)?;
                block.expect("what may be read from the file is there")
            }
        };
        let found = self.table.search(&block, &handle, hash, key, take);
        self.block = Some((handle.offset, block));
        Ok(Looked { found: found?, has_read: reach.has_read })
    }
}
