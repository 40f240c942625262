//! Reading a manifest: its state, or everything in it that can be read.

use std::io;
use std::path::Path;

use super::records::{self, Bytes};
use super::{Snapshot, VersionEdit, manifest_name};
use crate::error::Error;
use crate::file_header::{FILE_HEADER_LEN, FileKind, check_file_header, file_header};
use crate::vfs::Vfs;

/// Reads the state from a manifest. Nothing is changed on disk.
pub(crate) fn read_manifest(vfs: &dyn Vfs, dir: &Path, number: u64) -> Result<Snapshot, Error> {
    let path = dir.join(manifest_name(number));
    if !vfs.exists(&path).map_err(Error::io("look for", &path))? {
        return Err(Error::corruption(&path, 0, "CURRENT names it, but it is missing"));
    }
    best(|| read_once(vfs, &path, number))
}

/// The better of two readings. What a bad read returned may have been a fault of the transfer, and a
/// torn tail may have been one as well: the reading that gets further is right, as checksums do not match
/// by accident.
fn best(mut read: impl FnMut() -> Result<Read, Error>) -> Result<Snapshot, Error> {
    match read() {
        Ok(first) if first.is_torn => {
            let again = read()?;
            Ok(if again.end >= first.end { again.state } else { first.state })
        }
        Ok(first) => Ok(first.state),
        Err(_) => read().map(|read| read.state),
    }
}

/// What a reading found.
struct Read {
    state: Snapshot,
    /// The end of the last whole edit.
    end: u64,
    /// The manifest has a tail that was not read.
    is_torn: bool,
}

fn read_once(vfs: &dyn Vfs, path: &Path, number: u64) -> Result<Read, Error> {
    let mut bytes = open(vfs, path)?;
    let (state, end) = parse_to_end(&mut bytes, number).map_err(|bad| match bad {
        Bad::Unread(source) => Error::io("read", path)(source),
        Bad::Damaged(offset, what) => Error::corruption(path, offset, what),
    })?;
    Ok(Read { state, end, is_torn: end < bytes.len() })
}

fn open(vfs: &dyn Vfs, path: &Path) -> Result<Bytes<'static>, Error> {
    let file = vfs.open_read(path).map_err(Error::io("open", path))?;
    Bytes::of(file).map_err(Error::io("measure", path))
}

/// A part of a manifest, or bytes that are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManifestRecord {
    /// An edit.
    Edit { offset: u64, durable: u64, edit: Box<VersionEdit> },
    /// A promise that everything before it is durable.
    Mark { offset: u64, durable: u64 },
    /// Something that cannot be read, up to the next record or the end.
    Unreadable { offset: u64, len: u64, why: &'static str },
}

/// Everything that can be read of manifest `number` in the file `path`, whatever is damaged between.
pub(crate) fn read_records(vfs: &dyn Vfs, path: &Path, number: u64) -> Result<Vec<ManifestRecord>, Error> {
    find_records(&mut open(vfs, path)?, number).map_err(Error::io("read", path))
}

fn find_records(bytes: &mut Bytes<'_>, number: u64) -> io::Result<Vec<ManifestRecord>> {
    const UNREADABLE: &str = "there is no intact record";
    let mut found = Vec::new();
    if let Err(why) = header(bytes)? {
        found.push(ManifestRecord::Unreadable { offset: 0, len: FILE_HEADER_LEN as u64, why });
    }
    let mut at = FILE_HEADER_LEN as u64;
    // The parts of an edit so far, and where it begins.
    let (mut parts, mut offset) = (Vec::new(), at);
    while at < bytes.len() {
        if let Some(record) = bytes.record(at, number)? {
            parts.extend_from_slice(record.payload);
            at = record.end;
            if record.goes_on {
                continue;
            }
            let durable = record.durable;
            found.push(match VersionEdit::decode(&parts) {
                Ok(_) if parts.is_empty() => ManifestRecord::Mark { offset, durable },
                Ok(edit) => ManifestRecord::Edit { offset, durable, edit: Box::new(edit) },
                Err(why) => ManifestRecord::Unreadable { offset, len: at - offset, why },
            });
        } else {
            at += 1;
            while at < bytes.len() && bytes.record(at, number)?.is_none() {
                at += 1;
            }
            found.push(ManifestRecord::Unreadable { offset, len: at - offset, why: UNREADABLE });
        }
        parts.clear();
        offset = at;
    }
    if offset < at {
        found.push(ManifestRecord::Unreadable { offset, len: at - offset, why: "the edit is not complete" });
    }
    Ok(found)
}

/// The state that the bytes of manifest `number` describe, or the offset and the kind of the
/// damage.
pub(crate) fn parse(bytes: &[u8], number: u64) -> Result<Snapshot, (u64, String)> {
    parse_to_end(&mut Bytes::Memory(bytes), number).map(|(state, _)| state).map_err(|bad| match bad {
        Bad::Unread(error) => (0, error.to_string()),
        Bad::Damaged(offset, what) => (offset, what),
    })
}

/// Why there is no state.
#[derive(Debug)]
enum Bad {
    /// The file could not be read.
    Unread(io::Error),
    /// What was read is damaged at an offset.
    Damaged(u64, String),
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        Self::Unread(error)
    }
}

/// What is wrong with the header of the file, if anything is.
fn header(bytes: &mut Bytes<'_>) -> io::Result<Result<u8, &'static str>> {
    let header = bytes.get(0, FILE_HEADER_LEN)?.unwrap_or_default();
    Ok(check_file_header(header, FileKind::Manifest))
}

/// As [`parse`], with the offset of the first byte that was not read.
fn parse_to_end(bytes: &mut Bytes<'_>, number: u64) -> Result<(Snapshot, u64), Bad> {
    const START: u64 = FILE_HEADER_LEN as u64;
    header(bytes)?.map_err(|what| Bad::Damaged(0, what.to_owned()))?;
    let mut state = Snapshot::default();
    // Where the next record is, and the end of the last whole edit.
    let (mut at, mut end) = (START, START);
    let mut parts = Vec::new();
    while let Some(record) = bytes.record(at, number)? {
        let bad = |what: String| Bad::Damaged(end, what);
        at = record.end;
        if record.goes_on || !parts.is_empty() {
            parts.extend_from_slice(record.payload);
        }
        if record.goes_on {
            continue;
        }
        let payload = if parts.is_empty() { record.payload } else { &parts };
        if !payload.is_empty() {
            let edit = VersionEdit::decode(payload).map_err(|what| bad(what.to_owned()))?;
            state.apply(&edit).map_err(bad)?;
        }
        parts = Vec::new();
        end = at;
    }
    if end == START {
        return Err(Bad::Damaged(at, "the first edit is damaged".to_owned()));
    }
    for behind in at + 1..bytes.len() {
        if bytes.record(behind, number)?.is_some_and(|record| record.durable > at) {
            let what = format!("a record is damaged that was durable, as the one at {behind} says");
            return Err(Bad::Damaged(at, what));
        }
    }
    state.check().map_err(|what| Bad::Damaged(at, what))?;
    Ok((state, end))
}

/// The bytes of manifest `number` with these edits, checksums included: what a reader must survive
/// when the checksums do not protect it. An edit of no bytes is a mark.
pub(crate) fn forge(number: u64, edits: &[&[u8]]) -> Vec<u8> {
    let mut bytes = file_header(FileKind::Manifest).to_vec();
    let mut durable = 0;
    for edit in edits {
        let at = bytes.len() as u64;
        bytes.extend_from_slice(&records::frame(number, at, durable, edit));
        durable = bytes.len() as u64;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::ErrorKind;

    use super::super::records::RECORD_HEADER;
    use super::*;
    use crate::blob::{BlobMeta, BlobUse};
    use crate::version::{Features, FileMeta, Manifest, Traits, Weight};
    use crate::vfs::VfsFile;

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
        manifest_in_parts(usize::MAX)
    }

    /// A manifest whose edits are in parts of so many bytes.
    fn manifest_in_parts(part: usize) -> (Vec<u8>, Snapshot) {
        let mut state = Snapshot { next_file: 2, ..Snapshot::default() };
        let mut bytes = file_header(FileKind::Manifest).to_vec();
        let mut durable = 0;
        let mut push = |payload: &[u8]| {
            let at = bytes.len() as u64;
            bytes.extend_from_slice(&records::frame_in_parts(7, at, durable, payload, part));
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
        for part in [usize::MAX, 40, 7] {
            let (bytes, state) = manifest_in_parts(part);
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

    #[test]
    fn of_two_readings_the_one_that_gets_further_counts() {
        let state = Snapshot { next_file: 2, ..Snapshot::default() };
        // The last edit gives out no number, and its mark is not there.
        let edit = VersionEdit { flushed_seq: Some(9), ..VersionEdit::default() };
        let mut whole = forge(7, &[&state.to_edit().encode(), &edit.encode()]);
        let end = whole.len();
        whole.extend_from_slice(b"torn");
        let mut worse = whole.clone();
        worse[end - 1] ^= 1;
        for readings in [[&whole, &worse], [&worse, &whole]] {
            let mut readings = readings.into_iter();
            let read = || {
                let mut bytes = Bytes::Memory(readings.next().expect("it is read twice"));
                let (state, end) = parse_to_end(&mut bytes, 7).expect("a torn tail");
                Ok(Read { state, end, is_torn: end < bytes.len() })
            };
            assert_eq!(best(read).expect("one is good").flushed_seq, 9);
        }
    }

    #[test]
    fn the_records_of_a_manifest_are_its_edits_however_long_they_are() {
        let edits = |bytes: &[u8]| {
            let records = find_records(&mut Bytes::Memory(bytes), 7).expect("it is in memory").into_iter();
            let edit = |record| match record {
                ManifestRecord::Edit { edit, .. } => Some(edit),
                ManifestRecord::Mark { .. } => None,
                ManifestRecord::Unreadable { offset, .. } => panic!("at {offset}"),
            };
            records.filter_map(edit).collect::<Vec<_>>()
        };
        let whole = edits(&manifest().0);
        assert_eq!(whole.len(), 7);
        let (bytes, _) = manifest_in_parts(30);
        assert_eq!(edits(&bytes), whole);
        // The last edit is cut.
        let cut = find_records(&mut Bytes::Memory(&bytes[..bytes.len() - 60]), 7).expect("it is in memory");
        assert!(matches!(cut.last(), Some(ManifestRecord::Unreadable { .. })), "{:?}", cut.last());
    }

    /// A manifest whose edits are so long, a length that no part of an edit comes near.
    struct Long {
        first: Vec<u8>,
        /// The header of each further record.
        heads: Vec<Vec<u8>>,
        /// The payload of each of them: a field that may be skipped.
        payload: Vec<u8>,
    }

    impl Long {
        fn new(records: u64) -> Self {
            let first = forge(7, &[&Snapshot { next_file: 2, ..Snapshot::default() }.to_edit().encode()]);
            let mut payload = Vec::new();
            crate::varint::write(&mut payload, 9999);
            crate::varint::write(&mut payload, 8 << 20);
            payload.resize(payload.len() + (8 << 20), 0);
            let at = |n: u64| first.len() as u64 + n * (RECORD_HEADER + payload.len()) as u64;
            let head = |n| records::frame(7, at(n), 0, &payload)[..RECORD_HEADER].to_vec();
            Self { heads: (0..records).map(head).collect(), first, payload }
        }
    }

    impl VfsFile for Long {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            let offset = usize::try_from(offset).expect("it fits");
            let rest = match offset.checked_sub(self.first.len()) {
                None => &self.first[offset..],
                Some(behind) => {
                    let (n, at) = (
                        behind / (RECORD_HEADER + self.payload.len()),
                        behind % (RECORD_HEADER + self.payload.len()),
                    );
                    match at.checked_sub(RECORD_HEADER) {
                        _ if n == self.heads.len() => &[][..],
                        None => &self.heads[n][at..],
                        Some(at) => &self.payload[at..],
                    }
                }
            };
            let len = rest.len().min(buf.len());
            buf[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(ErrorKind::Unsupported.into())
        }

        fn allocate(&self, _: u64) -> io::Result<()> {
            Err(ErrorKind::Unsupported.into())
        }

        fn truncate(&self, _: u64) -> io::Result<()> {
            Err(ErrorKind::Unsupported.into())
        }

        fn sync_data(&self) -> io::Result<()> {
            Err(ErrorKind::Unsupported.into())
        }

        fn sync_all(&self) -> io::Result<()> {
            Err(ErrorKind::Unsupported.into())
        }

        fn len(&self) -> io::Result<u64> {
            Ok((self.first.len() + self.heads.len() * (RECORD_HEADER + self.payload.len())) as u64)
        }
    }

    #[test]
    fn a_manifest_of_more_than_a_gibibyte_is_read() {
        let file = Long::new(130);
        assert!(file.len().is_ok_and(|len| len > 1 << 30));
        let mut bytes = Bytes::of(std::sync::Arc::new(file)).expect("it has a length");
        let (state, end) = parse_to_end(&mut bytes, 7).expect("it is sound");
        assert_eq!((state.next_file, end), (2, bytes.len()));
    }

    #[test]
    fn a_state_of_many_long_keys_comes_back() {
        let vfs = crate::vfs::SimVfs::new();
        vfs.create_dir_all(Path::new("/db")).expect("created");
        let mut state = Snapshot { next_file: 100, flushed_seq: 100, ..Snapshot::default() };
        for number in 1..12u64 {
            let long = |end: u8| [vec![b'k'; 3 << 20], vec![number as u8, end]].concat();
            let meta =
                FileMeta { smallest: long(0), largest: long(1), blobs: BTreeMap::new(), ..meta(number) };
            state.files.insert(number, (0, meta));
        }
        let mut manifest = Manifest::create(&vfs, Path::new("/db"), 7, &state).expect("created");
        // One edit that is too long for a record.
        let edit = VersionEdit {
            added: state.files.values().map(|(_, meta)| (1, meta.clone())).collect(),
            removed: state.files.keys().map(|number| (0, *number)).collect(),
            ..VersionEdit::default()
        };
        assert!(records::has_parts(&edit.encode()));
        manifest.append(&edit).expect("appended");
        state.apply(&edit).expect("it fits");
        assert_eq!(read_manifest(&vfs, Path::new("/db"), 7).expect("it is sound"), state);
    }
}
