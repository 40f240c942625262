//! The manifest: the log of version edits.
//!
//! ```text
//! file   := header 16 | record*
//! record := magic u32 | length u32 | durable u64 | crc u32 | payload
//! ```
//!
//! The checksum covers the number of the manifest, the offset of the record, the length, `durable`
//! and the payload. The first edit is the whole state. A long edit has [several records](records);
//! one of which the last cannot be read is no edit. `durable` says
//! how much of the manifest was durable when the record was written. Behind every durable edit
//! comes a *mark*, an empty record that promises just that and is not synced by itself. A record
//! that cannot be read is a torn tail, unless a readable record behind it promises that it was
//! durable: then the manifest is damaged, and refused.
//!
//! A manifest is never continued after a restart: opening a database writes a new one.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::blobs::{self, BlobStates};
use super::records;
use super::{Features, FileMeta, LEVELS, NUMBER_LIMIT, VersionEdit, manifest_name};
use crate::batch::Seq;
use crate::db::files::DataFile;
use crate::error::Error;
use crate::file_header::{FILE_HEADER_LEN, FileKind, file_header};
use crate::vfs::{Vfs, VfsFile, VfsFileExt};

/// The state that a manifest describes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The tables by number, with their levels.
    pub(crate) files: BTreeMap<u64, (usize, FileMeta)>,
    /// The blob files to which they refer.
    pub(crate) blobs: BlobStates,
    /// The first log segment that is needed; 0 if there may be none.
    pub(crate) min_segment: u64,
    /// A number above that of every file.
    pub(crate) next_file: u64,
    /// The last sequence that is in tables.
    pub(crate) flushed_seq: Seq,
    /// The index of the owner's log up to which it is in tables; 0 for none.
    pub(crate) applied_index: u64,
    /// The counters as of `flushed_seq`.
    pub(crate) counters: BTreeMap<u16, i64>,
    /// The features of the database.
    pub(crate) features: Features,
}

impl Snapshot {
    /// Changes the state. `Err` says why the edit does not fit it.
    pub(crate) fn apply(&mut self, edit: &VersionEdit) -> Result<(), String> {
        for meta in &edit.blobs {
            blobs::add(&mut self.blobs, *meta)?;
        }
        for (level, number) in &edit.removed {
            match self.files.remove(number) {
                Some((found, meta)) if found == *level => blobs::release(&mut self.blobs, &meta),
                _ => return Err(format!("table {number} is not on level {level}")),
            }
        }
        for (level, meta) in &edit.added {
            blobs::refer(&mut self.blobs, meta)?;
            let before = self.files.insert(meta.number, (*level, meta.clone()));
            if before.is_some() {
                return Err(format!("table {} is there twice", meta.number));
            }
        }
        blobs::settle(&mut self.blobs)?;
        self.min_segment = edit.min_segment.unwrap_or(self.min_segment);
        self.next_file = edit.next_file.unwrap_or(self.next_file);
        self.flushed_seq = edit.flushed_seq.unwrap_or(self.flushed_seq);
        self.applied_index = edit.applied_index.unwrap_or(self.applied_index);
        if let Some(counters) = &edit.counters {
            self.counters.clone_from(counters);
        }
        self.features = edit.features.unwrap_or(self.features);
        Ok(())
    }

    /// The edit that makes this state from nothing.
    pub(crate) fn to_edit(&self) -> VersionEdit {
        VersionEdit {
            blobs: self.blobs.values().map(|state| state.meta).collect(),
            added: self.files.values().cloned().collect(),
            removed: Vec::new(),
            min_segment: Some(self.min_segment),
            next_file: Some(self.next_file),
            flushed_seq: Some(self.flushed_seq),
            applied_index: (self.applied_index > 0).then_some(self.applied_index),
            counters: Some(self.counters.clone()),
            features: Some(self.features),
        }
    }

    /// The files that hold the rows, blob files first.
    pub(crate) fn data_files(&self) -> impl Iterator<Item = DataFile> {
        let blobs = self.blobs.values().map(|state| DataFile::from(&state.meta));
        blobs.chain(self.files.values().map(|(_, meta)| DataFile::from(meta)))
    }

    /// Checks what every state of a sound database has.
    pub(crate) fn check(&self) -> Result<(), String> {
        let highest = self.next_file.max(self.flushed_seq).max(self.min_segment);
        if highest >= NUMBER_LIMIT {
            return Err(format!("the number {highest} cannot have been given out"));
        }
        if let Some((number, _)) =
            self.blobs.last_key_value().filter(|(number, _)| **number >= self.next_file)
        {
            return Err(format!("blob file {number} has a number not yet given out"));
        }
        let tables = self.files.values().map(|(_, meta)| meta);
        if blobs::of_tables(self.blobs.values().map(|state| state.meta), tables)? != self.blobs {
            return Err("the tables refer to other blob files than the state has".to_owned());
        }
        let mut levels: super::LevelMetas = std::array::from_fn(|_| Vec::new());
        for (level, meta) in self.files.values() {
            if meta.number >= self.next_file {
                return Err(format!("table {} has a number not yet given out", meta.number));
            }
            if meta.max_seq > self.flushed_seq {
                return Err(format!(
                    "table {} reaches to sequence {}, but only {} is flushed",
                    meta.number, meta.max_seq, self.flushed_seq
                ));
            }
            levels[*level].push(std::sync::Arc::new(meta.clone()));
        }
        for files in &mut levels[1..LEVELS] {
            files.sort_by(|a, b| a.smallest.cmp(&b.smallest));
        }
        super::levels::check(&levels)
    }
}

/// Why an edit was not installed.
#[derive(Debug)]
pub(crate) enum ManifestError {
    /// It is not in the manifest: the edit can be tried again.
    NotWritten(Error),
    /// It may or may not be durable: nothing can be installed any more.
    Unknown(Error),
}

impl ManifestError {
    /// The error itself.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::NotWritten(error) | Self::Unknown(error) => error,
        }
    }
}

/// The manifest in use, open for appending.
///
/// # Invariants
/// Everything before `end` is written, everything before `durable` is durable, and what lies
/// between them is at most a mark.
pub(crate) struct Manifest {
    file: Box<dyn VfsFile>,
    path: PathBuf,
    number: u64,
    end: u64,
    durable: u64,
}

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manifest").field("path", &self.path).field("end", &self.end).finish_non_exhaustive()
    }
}

impl Manifest {
    /// Writes a new manifest with one record, the whole state. It is durable afterwards, and so is
    /// its name; it is in use only once `CURRENT` says so. After an error nothing is left over.
    pub(crate) fn create(vfs: &dyn Vfs, dir: &Path, number: u64, state: &Snapshot) -> Result<Self, Error> {
        let path = dir.join(manifest_name(number));
        let file = vfs.create(&path).map_err(Error::io("create", &path))?;
        let mut bytes = file_header(FileKind::Manifest).to_vec();
        let payload = state.to_edit().encode();
        bytes.extend_from_slice(&records::frame(number, FILE_HEADER_LEN as u64, 0, &payload));
        let write = || {
            file.write_all_at(&bytes, 0).map_err(Error::io("write", &path))?;
            file.sync_all().map_err(Error::io("sync", &path))?;
            vfs.sync_dir(dir).map_err(Error::io("sync", dir))
        };
        if let Err(error) = write() {
            // A leftover is removed at the next opening as well, but until then more would gather.
            let _ = vfs.remove(&path);
            return Err(error);
        }
        let end = bytes.len() as u64;
        let mut manifest = Self { file, path, number, end, durable: end };
        manifest.mark();
        Ok(manifest)
    }

    /// The number of the manifest.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Its length in bytes.
    pub(crate) const fn len(&self) -> u64 {
        self.end
    }

    /// Appends an edit and makes it durable.
    pub(crate) fn append(&mut self, edit: &VersionEdit) -> Result<(), ManifestError> {
        let payload = edit.encode();
        let bytes = records::frame(self.number, self.end, self.durable, &payload);
        if let Err(source) = self.file.write_all_at(&bytes, self.end) {
            // Without space the record is incomplete, and the next one is written over it. After
            // any other failure there is no telling what the file holds.
            let is_full = matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            let error = Error::io("write", &self.path)(source);
            // Of several records some are complete: no later edit may end where one of them begins.
            let is_gone = || !records::has_parts(&payload) || self.file.truncate(self.end).is_ok();
            return Err(if is_full && is_gone() {
                ManifestError::NotWritten(error)
            } else {
                ManifestError::Unknown(error)
            });
        }
        self.file
            .sync_data()
            .map_err(|source| ManifestError::Unknown(Error::io("sync", &self.path)(source)))?;
        self.end += bytes.len() as u64;
        self.durable = self.end;
        self.mark();
        Ok(())
    }

    /// Promises, for the next reader, that everything so far is durable. Without the mark nothing
    /// is lost but the power to tell damage of the last edit from a torn tail.
    fn mark(&mut self) {
        let mark = records::frame(self.number, self.end, self.durable, &[]);
        if self.file.write_all_at(&mark, self.end).is_ok() {
            self.end += mark.len() as u64;
        }
    }
}
