//! The blob files in a repair: those that are sound stay, and of the others every value that can be read
//! is put into the table that refers to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::builder::Builder;
use crate::blob::{BlobFile, BlobMeta, BlobSet};
use crate::cache::BlockCache;
use crate::compaction::Damaged;
use crate::db::files::{BLOB_DIR, blob_path, parse_blob_name};
use crate::dump::Readable;
use crate::entry::{Content, Entry};
use crate::error::Error;
use crate::progress::Watch;
use crate::table::Fill;
use crate::version::{BlobStates, FileMeta, Snapshot, blobs_of_tables};

/// # Invariants
/// `files` has the sound files and those of the damaged ones that can be opened.
#[derive(Default)]
pub(super) struct Blobs {
    files: BlobSet,
    sound: BTreeMap<u64, BlobMeta>,
    damaged: Damaged,
}

/// Whether a repair goes on after this error, without what could not be read.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Corruption { .. } | Error::Io { action: "read", .. })
}

impl Blobs {
    /// The blob files of a manifest, each read completely.
    pub(super) fn known(
        builder: &Builder<'_>,
        known: &Snapshot,
        damaged: &mut Vec<PathBuf>,
        watch: &mut Watch<'_>,
    ) -> Result<Self, Error> {
        let mut all = Collected::new(builder);
        for state in known.blobs.values() {
            let (meta, path) = (state.meta, blob_path(builder.dir(), state.meta.number));
            let checked = BlobFile::open(builder.vfs(), &path, &meta, all.cache()).and_then(|file| {
                let what = "the checksum of the file is not that of the manifest";
                let sound = file.checksum_file()? == meta.crc;
                if sound { Ok(meta) } else { Err(Error::corruption(&path, 0, what)) }
            });
            all.add(&path, meta.number, checked, damaged)?;
            watch.add(meta.size)?;
        }
        Ok(all.finish())
    }

    /// All blob files in the directory, when no manifest tells which of them count.
    pub(super) fn unknown(
        builder: &Builder<'_>,
        damaged: &mut Vec<PathBuf>,
        watch: &mut Watch<'_>,
    ) -> Result<Self, Error> {
        let mut all = Collected::new(builder);
        for (path, len) in all_files(builder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(number) = parse_blob_name(name) {
                let described = BlobFile::describe(builder.vfs(), &path, number);
                all.add(&path, number, described, damaged)?;
            }
            watch.add(len)?;
        }
        Ok(all.finish())
    }

    /// All of them, for whoever checks a table.
    pub(super) const fn files(&self) -> &BlobSet {
        &self.files
    }

    /// Those that are not sound.
    pub(super) const fn damaged(&self) -> &Damaged {
        &self.damaged
    }

    /// Whether everything that a table refers to is in sound files.
    pub(super) fn carry(&self, table: &FileMeta) -> bool {
        table.blobs.keys().all(|number| self.sound.contains_key(number))
    }

    /// Those of a state with these tables.
    pub(super) fn of_tables<'a>(
        &self,
        tables: impl Iterator<Item = &'a FileMeta>,
    ) -> Result<BlobStates, Error> {
        let states = blobs_of_tables(self.sound.values().copied(), tables);
        states.map_err(|why| Error::Invalid(format!("the repair contradicts itself: {why}")))
    }

    /// Adds an entry of a table that is written anew: as it is, or with its value from a damaged blob
    /// file, or not at all if that cannot be read.
    pub(super) fn put(
        &self,
        builder: &mut Builder<'_>,
        entry: Entry<'_>,
        lost: &mut LostValues,
    ) -> Result<(), Error> {
        let Content::Blob(reference) = entry.content else {
            return builder.add(entry);
        };
        match self.files.value(entry.key, &reference, Fill::Bypass) {
            Ok(_) if self.sound.contains_key(&reference.file) => builder.add(entry),
            Ok(blob) => builder.add(Entry { content: Content::Value(blob.value()), ..entry }),
            Err(why) => {
                lost.note(entry.key, why);
                Ok(())
            }
        }
    }
}

/// The blob files in the directory, with their lengths.
pub(super) fn all_files(builder: &Builder<'_>) -> Result<Vec<(PathBuf, u64)>, Error> {
    let dir = builder.dir().join(BLOB_DIR);
    if !builder.vfs().exists(&dir).map_err(Error::io("look for", &dir))? {
        return Ok(Vec::new());
    }
    let names = builder.vfs().list(&dir).map_err(Error::io("list", &dir))?;
    let paths = names.iter().filter(|name| parse_blob_name(name).is_some()).map(|name| dir.join(name));
    paths.map(|path| super::with_len(builder.vfs(), path)).collect()
}

/// Collects blob files.
struct Collected<'a> {
    builder: &'a Builder<'a>,
    cache: Arc<BlockCache>,
    files: Vec<Arc<BlobFile>>,
    sound: BTreeMap<u64, BlobMeta>,
    damaged: Damaged,
}

impl<'a> Collected<'a> {
    fn new(builder: &'a Builder<'_>) -> Self {
        let cache = Arc::new(BlockCache::new(0, 4 << 10));
        Self { builder, cache, files: Vec::new(), sound: BTreeMap::new(), damaged: Damaged::new() }
    }

    fn cache(&self) -> Arc<BlockCache> {
        Arc::clone(&self.cache)
    }

    /// Adds a file as it was found.
    fn add(
        &mut self,
        path: &Path,
        number: u64,
        found: Result<BlobMeta, Error>,
        damaged: &mut Vec<PathBuf>,
    ) -> Result<(), Error> {
        let vfs = self.builder.vfs();
        match found {
            Ok(meta) => {
                self.sound.insert(number, meta);
                self.files.push(Arc::new(BlobFile::open(vfs, path, &meta, self.cache())?));
            }
            Err(error) if is_damage(&error) => {
                self.damaged.insert(number);
                if vfs.exists(path).map_err(Error::io("look for", path))? {
                    damaged.push(path.to_owned());
                    self.files.push(Arc::new(BlobFile::open_unsealed(vfs, path, number, self.cache())?));
                }
            }
            // It is sound, but of a newer version: that is no reason to do without it.
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn finish(self) -> Blobs {
        Blobs { files: self.files.into_iter().collect(), sound: self.sound, damaged: self.damaged }
    }
}

/// Values of one table that cannot be read.
#[derive(Default)]
pub(super) struct LostValues {
    count: u64,
    first: Vec<u8>,
    last: Vec<u8>,
    why: Option<Error>,
}

impl LostValues {
    fn note(&mut self, key: &[u8], why: Error) {
        if self.count == 0 {
            self.first = key.to_vec();
        }
        self.count += 1;
        self.last = key.to_vec();
        self.why.get_or_insert(why);
    }

    /// What is lost of the table `path`, in a sentence.
    pub(super) fn describe(&self, path: &Path) -> Option<String> {
        let why = self.why.as_ref()?;
        let (first, last) = (Readable(&self.first), Readable(&self.last));
        let (count, path) = (self.count, path.display());
        Some(format!(
            "of table {path}, the values of {count} keys from \"{first}\" to \"{last}\" are lost: {why}"
        ))
    }
}
