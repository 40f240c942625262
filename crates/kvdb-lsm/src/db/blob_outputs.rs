//! The blob files that a flush or a compaction writes, beside its tables.

use std::sync::Arc;

use super::core::Core;
use super::files::{BLOB_DIR, MadeFiles, blob_path};
use super::outputs::paced;
use crate::blob::{BlobBuilder, BlobFile, BlobMeta, BlobRef, Record};
use crate::error::Error;
use crate::runtime::Purpose;
use crate::sabotage::{self, Bug};

/// # Invariants
/// Until the result was installed and [`BlobOutputs::keep`] called, dropping it removes every file it
/// made. `is_dirty` says whether something was added since the last sync, `is_unnamed` whether a name
/// is not durable.
pub(super) struct BlobOutputs<'a> {
    core: &'a Core,
    purpose: Purpose,
    building: Option<(u64, BlobBuilder)>,
    finished: Vec<(BlobMeta, Arc<BlobFile>)>,
    made: MadeFiles<'a>,
    is_dirty: bool,
    is_unnamed: bool,
}

impl<'a> BlobOutputs<'a> {
    pub(super) fn new(core: &'a Core, purpose: Purpose) -> Self {
        let made = MadeFiles::new(&*core.options.vfs);
        Self { core, purpose, building: None, finished: Vec::new(), made, is_dirty: false, is_unnamed: false }
    }

    /// Whether a value of this length goes to a blob file.
    pub(super) const fn takes(&self, len: u64) -> bool {
        let threshold = self.core.options.blob_threshold as u64;
        threshold > 0 && len >= threshold
    }

    /// Adds the value of a key.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<BlobRef, Error> {
        self.write(|builder| builder.add(key, value))
    }

    /// Adds a value as another blob file has it.
    pub(super) fn copy(&mut self, from: &Record, value_len: u32) -> Result<BlobRef, Error> {
        self.write(|builder| builder.copy(from, value_len))
    }

    fn write(
        &mut self,
        add: impl FnOnce(&mut BlobBuilder) -> std::io::Result<BlobRef>,
    ) -> Result<BlobRef, Error> {
        let full = self.core.options.blob_file_bytes;
        if self.building.as_ref().is_some_and(|(_, builder)| builder.size() >= full) {
            self.seal()?;
        }
        let dir = &self.core.options.dir;
        let (number, builder) = match &mut self.building {
            Some(building) => building,
            None => {
                let number = self.core.next_file();
                let path = blob_path(dir, number);
                let file = self.core.options.vfs.create(&path).map_err(Error::io("create", &path))?;
                self.made.add(path);
                self.is_unnamed = true;
                let builder = BlobBuilder::new(
                    paced(self.core, self.purpose, file),
                    number,
                    self.core.options.compression,
                );
                self.building.insert((number, builder))
            }
        };
        self.is_dirty = true;
        add(builder).map_err(|source| Error::io("write", &blob_path(dir, *number))(source))
    }

    /// Makes everything added so far durable, names included: from here on a table may refer to it.
    pub(super) fn persist(&mut self) -> Result<(), Error> {
        if sabotage::has(Bug::UnsyncedBlob) {
            return Ok(());
        }
        if let Some((number, builder)) = self.building.as_mut().filter(|_| self.is_dirty) {
            let path = blob_path(&self.core.options.dir, *number);
            builder.sync().map_err(Error::io("sync", &path))?;
        }
        self.is_dirty = false;
        if self.is_unnamed {
            let dir = self.core.options.dir.join(BLOB_DIR);
            let synced =
                self.core.time_sync(&self.core.activity.table_syncs, || self.core.options.vfs.sync_dir(&dir));
            synced.map_err(Error::io("sync", &dir))?;
            self.is_unnamed = false;
        }
        Ok(())
    }

    /// Completes the file under construction and opens it.
    fn seal(&mut self) -> Result<(), Error> {
        let Some((number, builder)) = self.building.take() else {
            return Ok(());
        };
        let path = blob_path(&self.core.options.dir, number);
        let meta = builder.finish(!sabotage::has(Bug::UnsyncedBlob)).map_err(Error::io("write", &path))?;
        let file = BlobFile::open(&*self.core.options.vfs, &path, &meta, Arc::clone(&self.core.cache))?;
        self.finished.push((meta, Arc::new(file)));
        self.is_dirty = false;
        Ok(())
    }

    /// Completes all files, durably.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.seal()?;
        self.persist()
    }

    /// The files as an edit adds them.
    pub(super) fn metas(&self) -> Vec<BlobMeta> {
        self.finished.iter().map(|(meta, _)| *meta).collect()
    }

    /// The files, open.
    pub(super) fn files(&self) -> Vec<Arc<BlobFile>> {
        self.finished.iter().map(|(_, file)| Arc::clone(file)).collect()
    }

    /// The bytes of the finished files.
    pub(super) fn bytes(&self) -> u64 {
        self.finished.iter().map(|(meta, _)| meta.size).sum()
    }

    /// The files belong to the database now, or it is unknown whether they do.
    pub(super) fn keep(&mut self) {
        self.made.keep();
    }
}
