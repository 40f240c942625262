//! The manifest: the log of version edits.
//!
//! ```text
//! file   := header 16 | record*
//! record := magic u32 | length u32 | durable u64 | crc u32 | payload
//! ```
//!
//! The checksum covers the number of the manifest, the offset of the record, the length, `durable`
//! and the payload. The first record is the whole state; each later one is an edit. `durable` says
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
use super::{Features, FileMeta, LEVELS, NUMBER_LIMIT, VersionEdit, manifest_name};
use crate::batch::Seq;
use crate::db::files::DataFile;
use crate::error::Error;
use crate::file_header::{FILE_HEADER_LEN, FileKind, check_file_header, file_header};
use crate::vfs::{Vfs, VfsFile, VfsFileExt};

const RECORD_MAGIC: [u8; 4] = *b"edit";
const RECORD_HEADER: usize = 20;

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

fn checksum(number: u64, offset: u64, durable: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&(payload.len() as u64).to_le_bytes());
    hasher.update(&durable.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

fn record(number: u64, offset: u64, durable: u64, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("an edit is far smaller than 4 GiB");
    let mut out = Vec::with_capacity(RECORD_HEADER + payload.len());
    out.extend_from_slice(&RECORD_MAGIC);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    out.extend_from_slice(&checksum(number, offset, durable, payload).to_le_bytes());
    out.extend_from_slice(payload);
    out
}

impl Manifest {
    /// Writes a new manifest with one record, the whole state. It is durable afterwards, and so is
    /// its name; it is in use only once `CURRENT` says so. After an error nothing is left over.
    pub(crate) fn create(vfs: &dyn Vfs, dir: &Path, number: u64, state: &Snapshot) -> Result<Self, Error> {
        let path = dir.join(manifest_name(number));
        let file = vfs.create(&path).map_err(Error::io("create", &path))?;
        let mut bytes = file_header(FileKind::Manifest).to_vec();
        let payload = state.to_edit().encode();
        bytes.extend_from_slice(&record(number, FILE_HEADER_LEN as u64, 0, &payload));
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
        let bytes = record(self.number, self.end, self.durable, &edit.encode());
        self.file.write_all_at(&bytes, self.end).map_err(|source| {
            // Without space the record is incomplete, and the next one is written over it. After
            // any other failure there is no telling what the file holds.
            let kind = source.kind();
            let error = Error::io("write", &self.path)(source);
            match kind {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ManifestError::NotWritten(error),
                _ => ManifestError::Unknown(error),
            }
        })?;
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
        let mark = record(self.number, self.end, self.durable, &[]);
        if self.file.write_all_at(&mark, self.end).is_ok() {
            self.end += mark.len() as u64;
        }
    }
}

/// Reads the state from a manifest. Nothing is changed on disk.
pub(crate) fn read_manifest(vfs: &dyn Vfs, dir: &Path, number: u64) -> Result<Snapshot, Error> {
    let path = dir.join(manifest_name(number));
    if !vfs.exists(&path).map_err(Error::io("look for", &path))? {
        return Err(Error::corruption(&path, 0, "CURRENT names it, but it is missing"));
    }
    // What a bad read returned may have been a fault of the transfer: read once more. A torn tail
    // may have been one as well; the reading that gets further is right, as checksums do not match
    // by accident.
    match read_once(vfs, &path, number) {
        Ok((state, false)) => Ok(state),
        Ok((state, true)) => {
            let (again, _) = read_once(vfs, &path, number)?;
            Ok(if again.next_file >= state.next_file { again } else { state })
        }
        Err(_) => read_once(vfs, &path, number).map(|(state, _)| state),
    }
}

/// The state, and whether the manifest has a tail that was not read.
fn read_once(vfs: &dyn Vfs, path: &Path, number: u64) -> Result<(Snapshot, bool), Error> {
    let bytes = read_bytes(vfs, path)?;
    let (state, end) =
        parse_to_end(&bytes, number).map_err(|(offset, what)| Error::corruption(path, offset, what))?;
    Ok((state, end < bytes.len()))
}

/// The bytes of a manifest.
pub(crate) fn read_bytes(vfs: &dyn Vfs, path: &Path) -> Result<Vec<u8>, Error> {
    let file = vfs.open_read(path).map_err(Error::io("open", path))?;
    let len = file.len().map_err(Error::io("measure", path))?;
    let len = usize::try_from(len)
        .ok()
        .filter(|&len| len <= 1 << 30)
        .ok_or_else(|| Error::corruption(path, 0, "the manifest is impossibly long"))?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0).map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// The record at `at`, if there is an intact one: what it promises to be durable, and its payload.
fn record_at(bytes: &[u8], at: usize, number: u64) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.get(at..)?.split_first_chunk::<RECORD_HEADER>()?;
    let (magic, head) = head.split_first_chunk::<4>()?;
    let (len, head) = head.split_first_chunk::<4>()?;
    let (durable, crc) = head.split_first_chunk::<8>()?;
    if *magic != RECORD_MAGIC {
        return None;
    }
    let payload = rest.get(..usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    let durable = u64::from_le_bytes(*durable);
    (checksum(number, at as u64, durable, payload).to_le_bytes() == *crc).then_some((durable, payload))
}

/// A record of a manifest, or bytes that are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManifestRecord {
    /// An edit.
    Edit { offset: u64, durable: u64, edit: Box<VersionEdit> },
    /// A promise that everything before it is durable.
    Mark { offset: u64, durable: u64 },
    /// Something that cannot be read, up to the next record or the end.
    Unreadable { offset: u64, len: u64, why: &'static str },
}

/// Everything that can be read of manifest `number`, whatever is damaged between.
pub(crate) fn records(bytes: &[u8], number: u64) -> Vec<ManifestRecord> {
    let mut records = Vec::new();
    if let Err(why) = check_file_header(bytes, FileKind::Manifest) {
        records.push(ManifestRecord::Unreadable { offset: 0, len: FILE_HEADER_LEN as u64, why });
    }
    let mut at = FILE_HEADER_LEN;
    while at < bytes.len() {
        let offset = at as u64;
        if let Some((durable, payload)) = record_at(bytes, at, number) {
            let len = RECORD_HEADER + payload.len();
            records.push(match VersionEdit::decode(payload) {
                Ok(_) if payload.is_empty() => ManifestRecord::Mark { offset, durable },
                Ok(edit) => ManifestRecord::Edit { offset, durable, edit: Box::new(edit) },
                Err(why) => ManifestRecord::Unreadable { offset, len: len as u64, why },
            });
            at += len;
        } else {
            let next = (at + 1..bytes.len()).find(|&next| record_at(bytes, next, number).is_some());
            at = next.unwrap_or(bytes.len());
            let why = "there is no intact record";
            records.push(ManifestRecord::Unreadable { offset, len: at as u64 - offset, why });
        }
    }
    records
}

/// The state that the bytes of manifest `number` describe, or the offset and the kind of the
/// damage.
pub(crate) fn parse(bytes: &[u8], number: u64) -> Result<Snapshot, (u64, String)> {
    parse_to_end(bytes, number).map(|(state, _)| state)
}

/// As [`parse`], with the offset of the first byte that was not read.
fn parse_to_end(bytes: &[u8], number: u64) -> Result<(Snapshot, usize), (u64, String)> {
    check_file_header(bytes, FileKind::Manifest).map_err(|what| (0, what.to_owned()))?;
    let mut state = Snapshot::default();
    let mut at = FILE_HEADER_LEN;
    while let Some((_, payload)) = record_at(bytes, at, number) {
        let bad = |what: String| (at as u64, what);
        if !payload.is_empty() {
            let edit = VersionEdit::decode(payload).map_err(|what| bad(what.to_owned()))?;
            state.apply(&edit).map_err(bad)?;
        }
        at += RECORD_HEADER + payload.len();
    }
    if at == FILE_HEADER_LEN {
        return Err((at as u64, "the first record is damaged".to_owned()));
    }
    for behind in at + 1..bytes.len() {
        if record_at(bytes, behind, number).is_some_and(|(durable, _)| durable > at as u64) {
            let what = format!("a record is damaged that was durable, as the one at {behind} says");
            return Err((at as u64, what));
        }
    }
    state.check().map_err(|what| (at as u64, what))?;
    Ok((state, at))
}

/// The bytes of manifest `number` with these edits, checksums included: what a reader must survive
/// when the checksums do not protect it. An edit of no bytes is a mark.
pub(crate) fn forge(number: u64, edits: &[&[u8]]) -> Vec<u8> {
    let mut bytes = file_header(FileKind::Manifest).to_vec();
    let mut durable = 0;
    for edit in edits {
        let at = bytes.len() as u64;
        bytes.extend_from_slice(&record(number, at, durable, edit));
        durable = bytes.len() as u64;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{BlobMeta, BlobUse};
    use crate::version::{Traits, Weight};

    fn weight(entries: u64) -> Weight {
        Weight { entries, bytes: entries * 1000 }
    }

    fn meta(number: u64) -> FileMeta {
        FileMeta {
            number,
            size: 1000,
            crc: 0xdead_beef,
            entries: 10,
            tombstones: 3,
            max_seq: number,
            smallest: format!("{number:03}a").into_bytes(),
            largest: format!("{number:03}b").into_bytes(),
            traits: number.is_multiple_of(3).then(|| Traits {
                classes: BTreeMap::from([(number as u32, weight(4)), (u32::MAX, weight(5))]),
                unclassed: weight(1),
                deadlines: number.is_multiple_of(2).then_some((number, u64::MAX)),
                undying: 7,
            }),
            blobs: uses(number),
        }
    }

    /// Table `n` refers to blob file 100 + n, and every second one to that of the table before.
    fn uses(number: u64) -> BTreeMap<u64, BlobUse> {
        let one = |of| (100 + of, BlobUse { records: 1, bytes: 500 });
        let before = number.is_multiple_of(2).then(|| one(number - 1));
        [one(number)].into_iter().chain(before).collect()
    }

    fn manifest() -> (Vec<u8>, Snapshot) {
        let mut state = Snapshot { next_file: 2, ..Snapshot::default() };
        let mut bytes = file_header(FileKind::Manifest).to_vec();
        let mut durable = 0;
        let mut push = |payload: &[u8]| {
            let at = bytes.len() as u64;
            bytes.extend_from_slice(&record(7, at, durable, payload));
            if !payload.is_empty() {
                durable = bytes.len() as u64;
            }
        };
        push(&state.to_edit().encode());
        push(&[]);
        for number in 3..9 {
            let edit = VersionEdit {
                blobs: vec![BlobMeta { number: 100 + number, size: 1100, crc: 9, records: 2 }],
                added: vec![(1, meta(number))],
                removed: (number % 2 == 0).then(|| (1, number - 1)).into_iter().collect(),
                min_segment: Some(number),
                next_file: Some(number + 101),
                flushed_seq: Some(number),
                applied_index: (number > 5).then_some(number * 7),
                counters: Some(BTreeMap::from([(1, -5), (900, i64::MAX)])),
                features: Some(Features::WITH_BLOBS),
            };
            state.apply(&edit).expect("the edit fits");
            push(&edit.encode());
            push(&[]);
        }
        (bytes, state)
    }

    #[test]
    fn what_was_written_is_read_back_and_nowhere_else() {
        let (bytes, state) = manifest();
        assert_eq!(parse(&bytes, 7), Ok(state.clone()));
        assert!(parse(&bytes, 8).is_err());
        assert_eq!(VersionEdit::decode(&state.to_edit().encode()), Ok(state.to_edit()));
    }

    #[test]
    fn a_blob_file_is_there_as_long_as_a_table_refers_to_it() {
        let (_, mut state) = manifest();
        // Tables 4, 6 and 8 are left.
        assert!(state.blobs.keys().eq(&[103, 104, 105, 106, 107, 108]));
        assert_eq!(state.blobs[&104].garbage(), 1100 - crate::blob::OVERHEAD - 500);
        let go = |number| VersionEdit { removed: vec![(1, number)], ..VersionEdit::default() };
        state.apply(&go(6)).expect("it is there");
        assert!(state.blobs.keys().eq(&[103, 104, 107, 108]));
        let moves = VersionEdit { added: vec![(2, meta(4))], ..go(4) };
        state.apply(&moves).expect("it is there");
        assert!(state.blobs.keys().eq(&[103, 104, 107, 108]));
        assert_eq!(state.check(), Ok(()));
        let stranger = VersionEdit { added: vec![(3, meta(9))], ..VersionEdit::default() };
        assert!(state.clone().apply(&stranger).is_err_and(|why| why.contains("blob file 109")));
        let mut greedy = meta(9);
        greedy.blobs = BTreeMap::from([(104, BlobUse { records: 2, bytes: 10 })]);
        let greedy = VersionEdit { added: vec![(3, greedy)], ..VersionEdit::default() };
        assert!(state.clone().apply(&greedy).is_err_and(|why| why.contains("more of blob file 104")));
        state.blobs.remove(&103);
        assert!(state.check().is_err());
    }

    #[test]
    fn a_cut_loses_only_the_last_edit_and_a_flip_is_refused() {
        let (bytes, state) = manifest();
        let last_mark = bytes.len() - RECORD_HEADER;
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            match parse(&flipped, 7) {
                // A mark is no promise for itself: after the last edit it says nothing more.
                Ok(found) => assert!(at >= last_mark && found == state),
                Err(_) => assert!(at < last_mark),
            }
            if at >= last_mark {
                assert_eq!(parse(&bytes[..at], 7).as_ref(), Ok(&state));
            } else {
                assert_ne!(parse(&bytes[..at], 7).as_ref(), Ok(&state));
            }
        }
    }
}
