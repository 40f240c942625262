//! The tables that a repair writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cache::BlockCache;
use crate::db::Options;
use crate::db::files::{MadeFiles, table_path};
use crate::entry::Entry;
use crate::error::Error;
use crate::table::{PartitionLimits, Properties, Table, TableBuilder, TableOptions};
use crate::version::{FileMeta, VersionFile};
use crate::vfs::Vfs;

/// Writes tables one after the other.
///
/// # Invariants
/// Numbers rise. Until [`Builder::keep`], dropping it removes every file it made.
pub(super) struct Builder<'a> {
    options: &'a Options,
    next_number: u64,
    building: Option<(u64, PathBuf, TableBuilder)>,
    files: MadeFiles<'a>,
    made: u64,
}

impl<'a> Builder<'a> {
    pub(super) fn new(options: &'a Options, next_number: u64) -> Self {
        Self { options, next_number, building: None, files: MadeFiles::new(&*options.vfs), made: 0 }
    }

    pub(super) const fn options(&self) -> &'a Options {
        self.options
    }

    pub(super) fn vfs(&self) -> &'a dyn Vfs {
        &*self.options.vfs
    }

    pub(super) fn dir(&self) -> &'a Path {
        &self.options.dir
    }

    /// The tables that were completed.
    pub(super) const fn made(&self) -> u64 {
        self.made
    }

    pub(super) const fn next_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Adds an entry to the table under construction; keys ascend strictly within a table.
    pub(super) fn add(&mut self, entry: Entry<'_>) -> Result<(), Error> {
        if self.building.is_none() {
            let number = self.next_number();
            let path = table_path(self.dir(), number);
            let file = self.vfs().create(&path).map_err(Error::io("create", &path))?;
            self.files.add(path.clone());
            let options = TableOptions {
                block_bytes: self.options.block_bytes,
                restart_interval: self.options.restart_interval,
                bloom_bits_per_key: self.options.bloom_bits_per_key,
                compression: self.options.compression,
                // Whoever repairs once more may need them.
                drop_seqs: false,
                partitions: PartitionLimits::DEFAULT,
            };
            self.building = Some((number, path, TableBuilder::new(file, number, options)));
        }
        let Some((_, path, builder)) = &mut self.building else {
            return Ok(());
        };
        builder.add(entry).map_err(|source| Error::io("write", path)(source))
    }

    /// Notes that entries without a sequence in the table under construction may come from a table
    /// with these properties.
    pub(super) fn cover_seqs_of(&mut self, properties: &Properties) {
        if let Some((_, _, builder)) = &mut self.building {
            builder.cover_seqs(properties.min_seq, properties.max_seq);
        }
    }

    /// Whether the table under construction has the size of a table.
    pub(super) fn is_full(&self) -> bool {
        self.building.as_ref().is_some_and(|(_, _, builder)| builder.size() >= self.options.table_bytes)
    }

    /// Completes the table under construction, durably but for its name, and opens it; `None` if
    /// nothing was added.
    pub(super) fn cut(&mut self) -> Result<Option<VersionFile>, Error> {
        let Some((number, path, builder)) = self.building.take() else {
            return Ok(None);
        };
        let built = builder.finish().map_err(Error::io("write", &path))?;
        let cache = Arc::new(BlockCache::new(1 << 20, 4 << 10));
        let table = Table::open(self.vfs(), &path, number, built.size, cache)?;
        self.made += 1;
        let meta = Arc::new(FileMeta::of(number, built));
        Ok(Some(VersionFile { meta, table: Arc::new(table), wear: Arc::default() }))
    }

    /// The files belong to the database now.
    pub(super) fn keep(&mut self) {
        self.files.keep();
    }
}
