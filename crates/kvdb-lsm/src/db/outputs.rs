//! The tables that a flush or a compaction writes: as many as the data needs, or none. Large values
//! go to blob files on the way.
//!
//! Before a table is complete, the blob files to which it refers are durable, their names too: whoever
//! finds a table finds its values.

use std::sync::Arc;

use super::blob_outputs::BlobOutputs;
use super::core::Core;
use super::files::{MadeFiles, table_path};
use crate::batch::Seq;
use crate::blob::{BlobMeta, BlobRef, Record};
use crate::compaction::Cuts;
use crate::entry::{Content, Entry};
use crate::error::Error;
use crate::runtime::{PacedFile, Purpose};
use crate::sabotage::{self, Bug};
use crate::table::{Properties, Table, TableBuilder, TableOptions};
use crate::version::{FileMeta, NewFiles, Traits};
use crate::vfs::VfsFile;

/// A table ends when it refers to so many times what its own size may be, so that the rewriting of
/// one table never moves very many values.
const BLOB_WEIGHT: u64 = 16;

/// # Invariants
/// Until [`Outputs::finish`] returned and its result was installed, dropping it removes every file
/// it made.
pub(crate) struct Outputs<'a> {
    core: &'a Core,
    level: usize,
    options: TableOptions,
    cuts: Cuts,
    purpose: Purpose,
    blobs: BlobOutputs<'a>,
    /// What the filter says about the entries of the table under construction.
    traits: Traits,
    building: Option<(u64, TableBuilder)>,
    finished: Vec<(FileMeta, Arc<Table>)>,
    made: MadeFiles<'a>,
    /// The sequences of the writes that entries without a sequence come from.
    seqs: (Seq, Seq),
}

impl<'a> Outputs<'a> {
    /// Output for a level, built like this and cut where `cuts` says.
    pub(crate) fn new(core: &'a Core, level: usize, options: TableOptions, cuts: Cuts) -> Self {
        let purpose = if level == 0 { Purpose::Flush } else { Purpose::Compaction };
        Self {
            core,
            level,
            options,
            cuts,
            purpose,
            blobs: BlobOutputs::new(core, purpose),
            traits: Traits::default(),
            building: None,
            finished: Vec::new(),
            made: MadeFiles::new(&*core.options.vfs),
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

    /// Adds an entry; keys ascend strictly. A large value goes to a blob file.
    pub(crate) fn add(&mut self, entry: Entry<'_>) -> Result<(), Error> {
        self.add_as(entry, entry)
    }

    /// As [`Outputs::add`]; the filter is asked about the entry as `seen`, with its value at hand.
    pub(crate) fn add_as(&mut self, entry: Entry<'_>, seen: Entry<'_>) -> Result<(), Error> {
        let size =
            self.building.as_ref().map(|(_, builder)| builder.size().max(builder.blob_bytes() / BLOB_WEIGHT));
        if self.cuts.before(entry.key, size) {
            self.cut()?;
        }
        if self.building.is_none() {
            let number = self.core.next_file();
            let path = table_path(&self.core.options.dir, number);
            let file = self.core.options.vfs.create(&path).map_err(Error::io("create", &path))?;
            self.made.add(path);
            let file = paced(self.core, self.purpose, file);
            self.building = Some((number, TableBuilder::new(file, number, self.options)));
        }
        let Some((number, builder)) = &mut self.building else {
            return Ok(());
        };
        if let Some(filter) = &self.core.options.filter {
            self.traits.note(&**filter, seen);
        }
        let content = match entry.content {
            Content::Value(value) if self.blobs.takes(value.len() as u64) => {
                Content::Blob(self.blobs.add(entry.key, value)?)
            }
            content => content,
        };
        let path = || table_path(&self.core.options.dir, *number);
        builder.add(Entry { content, ..entry }).map_err(|source| Error::io("write", &path())(source))
    }

    /// Puts a value of another blob file into one of these, if it is large enough; the entry comes
    /// next.
    pub(crate) fn copy_blob(&mut self, record: &Record, value_len: u32) -> Result<Option<BlobRef>, Error> {
        if !self.blobs.takes(u64::from(value_len)) {
            return Ok(None);
        }
        self.blobs.copy(record, value_len).map(Some)
    }

    fn cut(&mut self) -> Result<(), Error> {
        let Some((number, mut builder)) = self.building.take() else {
            return Ok(());
        };
        let path = table_path(&self.core.options.dir, number);
        if builder.blob_bytes() > 0 {
            self.blobs.persist()?;
        }
        builder.cover_seqs(self.seqs.0, self.seqs.1);
        let built = builder.finish().map_err(Error::io("write", &path))?;
        let table =
            Table::open(&*self.core.options.vfs, &path, number, built.size, Arc::clone(&self.core.cache))?;
        let traits = self.core.options.filter.as_ref().map(|_| std::mem::take(&mut self.traits));
        let mut meta = FileMeta { traits, ..FileMeta::of(number, built) };
        if sabotage::has(Bug::LostReferences) {
            meta.blobs.clear();
        }
        self.finished.push((meta, Arc::new(table)));
        Ok(())
    }

    /// Completes the blob files and then the tables, and makes their names durable.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.blobs.finish()?;
        self.cut()?;
        if self.finished.is_empty() {
            return Ok(());
        }
        let dir = self.core.table_dir();
        let synced =
            self.core.time_sync(&self.core.activity.table_syncs, || self.core.options.vfs.sync_dir(&dir));
        synced.map_err(Error::io("sync", &dir))
    }

    /// The tables as an edit adds them.
    pub(crate) fn added(&self) -> Vec<(usize, FileMeta)> {
        let metas = self.finished.iter();
        metas.map(|(meta, _)| (self.level, meta.clone())).collect()
    }

    /// The blob files as an edit adds them.
    pub(crate) fn blobs(&self) -> Vec<BlobMeta> {
        self.blobs.metas()
    }

    /// The files, open.
    pub(crate) fn files(&self) -> NewFiles {
        let tables = self.finished.iter().map(|(_, table)| Arc::clone(table)).collect();
        NewFiles { tables, blobs: self.blobs.files() }
    }

    /// The bytes of the finished files.
    pub(crate) fn bytes(&self) -> u64 {
        self.finished.iter().map(|(meta, _)| meta.size).sum::<u64>() + self.blobs.bytes()
    }

    /// The files belong to the database now, or it is unknown whether they do.
    pub(crate) fn keep(&mut self) {
        self.made.keep();
        self.blobs.keep();
    }
}

/// A file as background work writes it: at the pace that the runtime allows.
pub(super) fn paced(core: &Core, purpose: Purpose, file: Box<dyn VfsFile>) -> Box<dyn VfsFile> {
    if !core.signals.has_threads() {
        return file;
    }
    let syncs = Arc::clone(&core.activity.table_syncs);
    Box::new(PacedFile::new(file, Arc::clone(&core.limiter), purpose, syncs))
}
