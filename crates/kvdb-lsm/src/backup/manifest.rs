//! The description of one backup: `backups/NNNNNN.backup`.
//!
//! ```text
//! file  := header 16 | field* | xxh3-128 of everything before u128
//! field := tag varint | length varint | body
//!          1 id varint | 2 time varint | 3 state (a version edit) | 4 table | 5 blob file
//! table := number varint | hash u128 | tail u128        (and so is blob file)
//! ```
//! The state is what a manifest of the database would say; the files add what the manifest does
//! not know. A reader refuses a tag it does not know. `docs/format/backup.md` describes every byte.

use std::collections::{BTreeMap, BTreeSet};

use crate::db::files::DataFile;
use crate::file_header::{FILE_HEADER_LEN, FileKind, check_file_header, file_header};
use crate::varint;
use crate::version::{Snapshot, VersionEdit};

const ID: u64 = 1;
const TIME: u64 = 2;
const STATE: u64 = 3;
const TABLE: u64 = 4;
const BLOB: u64 = 5;

const HASH_LEN: usize = 16;

/// What a backup knows of a table or blob file besides its description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    /// XXH3-128 of the whole file.
    pub(super) hash: u128,
    /// XXH3-128 of the end of the file, which is part of its name.
    pub(super) tail: u128,
}

/// One backup.
///
/// # Invariants
/// `contents` has exactly the tables and blob files of `state`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BackupManifest {
    pub(super) id: u64,
    pub(super) time: u64,
    pub(super) state: Snapshot,
    pub(super) contents: BTreeMap<u64, Content>,
}

impl BackupManifest {
    /// The tables and blob files, these first: description and content.
    pub(super) fn files(&self) -> impl Iterator<Item = (DataFile, Content)> {
        self.state.data_files().filter_map(|file| Some((file, *self.contents.get(&file.number)?)))
    }

    /// The stored form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = file_header(FileKind::Backup).to_vec();
        let mut field = |tag: u64, body: &[u8]| {
            varint::write(&mut out, tag);
            varint::write(&mut out, body.len() as u64);
            out.extend_from_slice(body);
        };
        let mut body = Vec::new();
        for (tag, value) in [(ID, self.id), (TIME, self.time)] {
            body.clear();
            varint::write(&mut body, value);
            field(tag, &body);
        }
        field(STATE, &self.state.to_edit().encode());
        for (&number, content) in &self.contents {
            body.clear();
            varint::write(&mut body, number);
            body.extend_from_slice(&content.hash.to_le_bytes());
            body.extend_from_slice(&content.tail.to_le_bytes());
            field(if self.state.blobs.contains_key(&number) { BLOB } else { TABLE }, &body);
        }
        let hash = xxhash_rust::xxh3::xxh3_128(&out);
        out.extend_from_slice(&hash.to_le_bytes());
        out
    }

    /// Reads a stored backup. `Err` says what is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        const CUT: &str = "a field of the backup is cut";
        check_file_header(bytes, FileKind::Backup)?;
        let (covered, hash) = bytes.split_last_chunk::<HASH_LEN>().ok_or(CUT)?;
        let mut rest = covered.get(FILE_HEADER_LEN..).ok_or(CUT)?;
        if xxhash_rust::xxh3::xxh3_128(covered).to_le_bytes() != *hash {
            return Err("the checksum of the backup's description does not match".to_owned());
        }
        let number = |body: &mut &[u8]| {
            let (value, used) = varint::read(body).ok_or(CUT)?;
            *body = &body[used..];
            Ok::<u64, &str>(value)
        };
        let mut backup = Self::default();
        while !rest.is_empty() {
            let tag = number(&mut rest)?;
            let len = usize::try_from(number(&mut rest)?).map_err(|_| CUT)?;
            let mut body = rest.split_off(..len).ok_or(CUT)?;
            match tag {
                ID => backup.id = number(&mut body)?,
                TIME => backup.time = number(&mut body)?,
                STATE => {
                    let edit = VersionEdit::decode(std::mem::take(&mut body))?;
                    backup.state = Snapshot::default();
                    backup.state.apply(&edit)?;
                }
                TABLE | BLOB => {
                    let file = number(&mut body)?;
                    let hashes = body.split_off(..2 * HASH_LEN).ok_or(CUT)?;
                    let (hash, tail) = hashes.split_first_chunk::<HASH_LEN>().ok_or(CUT)?;
                    let tail = tail.first_chunk::<HASH_LEN>().ok_or(CUT)?;
                    let content =
                        Content { hash: u128::from_le_bytes(*hash), tail: u128::from_le_bytes(*tail) };
                    backup.contents.insert(file, content);
                }
                _ => return Err("the backup has a field that this version does not know".to_owned()),
            }
            if !body.is_empty() {
                return Err("a field of the backup is longer than it should be".to_owned());
            }
        }
        backup.state.check()?;
        let described: BTreeSet<u64> = backup.state.data_files().map(|file| file.number).collect();
        if backup.id == 0 || !described.iter().eq(backup.contents.keys()) {
            return Err("the backup does not describe all of its files".to_owned());
        }
        Ok(backup)
    }
}

/// The bytes of a description with these fields, and with a checksum that matches.
pub(crate) fn forge(fields: &[(u64, &[u8])]) -> Vec<u8> {
    let mut out = file_header(FileKind::Backup).to_vec();
    for (tag, body) in fields {
        varint::write(&mut out, *tag);
        varint::write(&mut out, body.len() as u64);
        out.extend_from_slice(body);
    }
    let hash = xxhash_rust::xxh3::xxh3_128(&out);
    out.extend_from_slice(&hash.to_le_bytes());
    out
}

/// Reads a description, and what it is written as once more: both say the same. `Err` says what is
/// wrong with it. Returns how many files it has.
pub(crate) fn parse(bytes: &[u8]) -> Result<usize, String> {
    let backup = BackupManifest::decode(bytes)?;
    let again = BackupManifest::decode(&backup.encode());
    assert_eq!(again.as_ref(), Ok(&backup), "a description that was read is not written as it is");
    Ok(backup.files().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{BlobMeta, BlobUse};
    use crate::version::{FileMeta, blobs_of_tables};

    fn sample() -> BackupManifest {
        let meta = |number: u64| FileMeta {
            number,
            size: 1000 + number,
            crc: 7,
            entries: 3,
            tombstones: 1,
            max_seq: 5,
            smallest: format!("{number}a").into_bytes(),
            largest: format!("{number}b").into_bytes(),
            traits: None,
            blobs: BTreeMap::from([(5, BlobUse { records: 1, bytes: 100 })]),
        };
        let blob = BlobMeta { number: 5, size: 1000, crc: 9, records: 2 };
        let files = [3, 4].map(|number| (number, (1, meta(number))));
        BackupManifest {
            id: 9,
            time: 1_700_000_000_000,
            state: Snapshot {
                blobs: blobs_of_tables([blob], files.iter().map(|(_, (_, meta))| meta)).expect("it fits"),
                files: files.into(),
                next_file: 7,
                flushed_seq: 5,
                counters: [(1, -4)].into(),
                ..Snapshot::default()
            },
            contents: [3, 4, 5].map(|n| (n, Content { hash: u128::MAX - 1, tail: u128::from(n) })).into(),
        }
    }

    #[test]
    fn what_was_encoded_comes_back_and_no_damage_passes() {
        let backup = sample();
        let bytes = backup.encode();
        assert_eq!(BackupManifest::decode(&bytes), Ok(backup));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x04;
            assert!(BackupManifest::decode(&bad).is_err(), "byte {at}");
            assert!(BackupManifest::decode(&bytes[..at]).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn a_file_without_its_content_is_refused() {
        let mut backup = sample();
        backup.contents.remove(&3);
        assert!(BackupManifest::decode(&backup.encode()).is_err());
        let mut backup = sample();
        backup.contents.remove(&5);
        assert!(BackupManifest::decode(&backup.encode()).is_err());
    }
}
