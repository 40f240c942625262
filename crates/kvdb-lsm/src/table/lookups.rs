//! Several lookups in one table, which share the blocks they read.

use std::sync::Arc;

use super::block::Block;
use super::reader::{Fill, Table};
use crate::error::Error;

/// Lookups by ascending keys: neighbours are often in one block, and it is fetched once.
#[derive(Debug)]
pub(crate) struct Lookups<'a> {
    table: &'a Table,
    block: Option<(usize, Arc<Block>)>,
}

impl<'a> Lookups<'a> {
    pub(crate) const fn new(table: &'a Table) -> Self {
        Self { table, block: None }
    }

    /// As [`Table::get_with`], for a key that the filter has let pass.
    pub(crate) fn get_with<R>(
        &mut self,
        key: &[u8],
        take: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<Option<R>, Error> {
        let number = self.table.index().find(key);
        let block = match self.block.take_if(|(held, _)| *held == number) {
            Some((_, block)) => block,
            None => self.table.block(number, Fill::Cache)?,
        };
        let found = self.table.search(&block, number, key, take);
        self.block = Some((number, block));
        found
    }
}
