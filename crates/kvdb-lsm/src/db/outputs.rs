//! The tables that a flush or a compaction writes: as many as the data needs, or none.

use std::path::PathBuf;
use std::sync::Arc;

use super::core::{Core, table_path};
use crate::batch::Seq;
use crate::compaction::Cuts;
use crate::entry::Entry;
use crate::error::Error;
use crate::runtime::{PacedFile, Purpose};
use crate::table::{Properties, Table, TableBuilder, TableOptions};
use crate::version::{FileMeta, Traits};
use crate::vfs::VfsFile;

/// # Invariants
/// Until [`Outputs::finish`] returned and its result was installed, dropping it removes every file
/// it made.
pub(crate) struct Outputs<'a> {
    core: &'a Core,
    level: usize,
    options: TableOptions,
    cuts: Cuts,
    /// What the filter says about the entries of the table under construction.
    traits: Traits,
    building: Option<(u64, TableBuilder)>,
    finished: Vec<(FileMeta, Arc<Table>)>,
    /// Files made; cleared when they are kept.
    paths: Vec<PathBuf>,
    /// The sequences of the writes that entries without a sequence come from.
    seqs: (Seq, Seq),
}

impl<'a> Outputs<'a> {
    /// Output for a level, built like this and cut where `cuts` says.
    pub(crate) fn new(core: &'a Core, level: usize, options: TableOptions, cuts: Cuts) -> Self {
        Self {
            core,
            level,
            options,
            cuts,
            traits: Traits::default(),
            building: None,
            finished: Vec::new(),
            paths: Vec::new(),
            seqs: (0, 0),
        }
    }

    /// Notes that entries without a sequence may come from this table, for the outputs to come.
    pub(crate) fn cover_seqs_of(&mut self, table: &Table) {
        let Properties { min_seq, max_seq, .. } = *table.properties();
        if max_seq > 0 {
            let (min, max) = self.seqs;
            self.seqs = (if max == 0 { min_seq } else { min.min(min_seq) }, max.max(max_seq));
        }
    }

    /// Adds an entry; keys ascend strictly.
    pub(crate) fn add(&mut self, entry: Entry<'_>) -> Result<(), Error> {
        let size = self.building.as_ref().map(|(_, builder)| builder.size());
        if self.cuts.before(entry.key, size) {
            self.cut()?;
        }
        if self.building.is_none() {
            let number = self.core.next_file();
            let path = table_path(&self.core.options.dir, number);
            let file = self.core.options.vfs.create(&path).map_err(Error::io("create", &path))?;
            self.paths.push(path);
            let file = self.paced(file);
            self.building = Some((number, TableBuilder::new(file, number, self.options)));
        }
        let Some((number, builder)) = &mut self.building else {
            return Ok(());
        };
        if let Some(filter) = &self.core.options.filter {
            self.traits.note(&**filter, entry);
        }
        let path = || table_path(&self.core.options.dir, *number);
        builder.add(entry).map_err(|source| Error::io("write", &path())(source))
    }

    /// The file as background work writes it: at the pace that the runtime allows.
    fn paced(&self, file: Box<dyn VfsFile>) -> Box<dyn VfsFile> {
        if !self.core.signals.has_threads() {
            return file;
        }
        let purpose = if self.level == 0 { Purpose::Flush } else { Purpose::Compaction };
        Box::new(PacedFile::new(file, Arc::clone(&self.core.limiter), purpose))
    }

    fn cut(&mut self) -> Result<(), Error> {
        let Some((number, mut builder)) = self.building.take() else {
            return Ok(());
        };
        let path = table_path(&self.core.options.dir, number);
        builder.cover_seqs(self.seqs.0, self.seqs.1);
        let built = builder.finish().map_err(Error::io("write", &path))?;
        let table =
            Table::open(&*self.core.options.vfs, &path, number, built.size, Arc::clone(&self.core.cache))?;
        let traits = self.core.options.filter.as_ref().map(|_| std::mem::take(&mut self.traits));
        let meta = FileMeta { traits, ..FileMeta::of(number, built) };
        self.finished.push((meta, Arc::new(table)));
        Ok(())
    }

    /// Completes the tables and makes their names durable.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.cut()?;
        if self.finished.is_empty() {
            return Ok(());
        }
        let dir = self.core.table_dir();
        self.core.options.vfs.sync_dir(&dir).map_err(Error::io("sync", &dir))
    }

    /// The tables as an edit adds them.
    pub(crate) fn added(&self) -> Vec<(usize, FileMeta)> {
        let metas = self.finished.iter();
        metas.map(|(meta, _)| (self.level, meta.clone())).collect()
    }

    /// The tables, open.
    pub(crate) fn tables(&self) -> Vec<Arc<Table>> {
        let tables = self.finished.iter();
        tables.map(|(_, table)| Arc::clone(table)).collect()
    }

    /// The bytes of the finished tables.
    pub(crate) fn bytes(&self) -> u64 {
        self.finished.iter().map(|(meta, _)| meta.size).sum()
    }

    /// The tables belong to the database now, or it is unknown whether they do.
    pub(crate) fn keep(&mut self) {
        self.paths.clear();
    }
}

impl Drop for Outputs<'_> {
    fn drop(&mut self) {
        for path in &self.paths {
            // What cannot be removed now is removed as a stranger at the next opening.
            let _ = self.core.options.vfs.remove(path);
        }
    }
}
