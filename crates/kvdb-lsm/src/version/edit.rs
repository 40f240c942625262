//! A change of the version, and its stored form.
//!
//! ```text
//! edit  := field*                field := tag varint | length varint | body
//! ```
//! A reader refuses a tag it does not know, unless [`OPTIONAL`] is set in it.

use std::collections::BTreeMap;

use super::{Features, LEVELS, MAX_CLASSES, Traits, Weight};
use crate::batch::Seq;
use crate::blob::{BlobMeta, BlobUse, OVERHEAD};
use crate::table::Built;
use crate::varint;

/// A tag with this bit may be skipped by a reader that does not know it.
const OPTIONAL: u64 = 1 << 13;

const ADD_FILE: u64 = 1;
const REMOVE_FILE: u64 = 2;
const MIN_SEGMENT: u64 = 3;
const NEXT_FILE: u64 = 4;
const FLUSHED_SEQ: u64 = 5;
const COUNTERS: u64 = 6;
const FEATURES: u64 = 7;
const TRAITS: u64 = OPTIONAL | 7;
const APPLIED_INDEX: u64 = 8;
// Optional, so that a reader that does not know them comes to the features, which forbid it to go on.
const ADD_BLOB: u64 = OPTIONAL | 9;
const BLOB_USES: u64 = OPTIONAL | 10;

/// What the manifest says about a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileMeta {
    /// The number of the file.
    pub(crate) number: u64,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// The checksum of the whole file.
    pub(crate) crc: u32,
    /// Entries, tombstones included.
    pub(crate) entries: u64,
    /// Tombstones.
    pub(crate) tombstones: u64,
    /// The largest sequence in it.
    pub(crate) max_seq: Seq,
    /// The first key.
    pub(crate) smallest: Vec<u8>,
    /// The last key.
    pub(crate) largest: Vec<u8>,
    /// What the filter said about its rows, if there was one.
    pub(crate) traits: Option<Traits>,
    /// What it refers to, by blob file.
    pub(crate) blobs: BTreeMap<u64, BlobUse>,
}

impl FileMeta {
    /// The description of a table that was just built.
    pub(crate) fn of(number: u64, built: Built) -> Self {
        Self {
            number,
            size: built.size,
            crc: built.crc,
            entries: built.properties.entries,
            tombstones: built.properties.tombstones,
            max_seq: built.properties.max_seq,
            smallest: built.properties.smallest,
            largest: built.properties.largest,
            traits: None,
            blobs: built.properties.blobs,
        }
    }

    /// Whether the table's key range meets another.
    pub(crate) fn overlaps(&self, smallest: &[u8], largest: &[u8]) -> bool {
        self.smallest.as_slice() <= largest && smallest <= self.largest.as_slice()
    }

    /// Whether the key ranges of two tables meet.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.overlaps(&other.smallest, &other.largest)
    }
}

/// A table for tests that only look at numbers, sizes and key ranges.
#[cfg(test)]
pub(crate) fn test_meta(number: u64, size: u64, smallest: &str, largest: &str) -> std::sync::Arc<FileMeta> {
    std::sync::Arc::new(FileMeta {
        number,
        size,
        crc: 0,
        entries: 100,
        tombstones: 0,
        max_seq: 1,
        smallest: smallest.into(),
        largest: largest.into(),
        traits: None,
        blobs: BTreeMap::new(),
    })
}

/// A change. What is `None` stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct VersionEdit {
    /// Blob files that come. A file goes when no table refers to it.
    pub(crate) blobs: Vec<BlobMeta>,
    /// Tables that come, with their levels.
    pub(crate) added: Vec<(usize, FileMeta)>,
    /// Tables that go, by level and number.
    pub(crate) removed: Vec<(usize, u64)>,
    /// The first log segment that is still needed.
    pub(crate) min_segment: Option<u64>,
    /// A number above that of every file so far.
    pub(crate) next_file: Option<u64>,
    /// The last sequence that is in tables.
    pub(crate) flushed_seq: Option<Seq>,
    /// The index of the owner's log up to which it is in tables, for a database without a log.
    pub(crate) applied_index: Option<u64>,
    /// The counters as of `flushed_seq`, all of them.
    pub(crate) counters: Option<BTreeMap<u16, i64>>,
    /// The features of the database.
    pub(crate) features: Option<Features>,
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::write(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_traits(out: &mut Vec<u8>, number: u64, traits: &Traits) {
    let (first, last) = traits.deadlines.unwrap_or_default();
    let dated = u64::from(traits.deadlines.is_some());
    let Weight { entries, bytes } = traits.unclassed;
    for number in [number, entries, bytes, traits.undying, dated, first, last] {
        varint::write(out, number);
    }
    for (class, Weight { entries, bytes }) in &traits.classes {
        for number in [u64::from(*class), *entries, *bytes] {
            varint::write(out, number);
        }
    }
}

impl VersionEdit {
    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut body = Vec::new();
        let mut field = |tag: u64, write: &dyn Fn(&mut Vec<u8>)| {
            body.clear();
            write(&mut body);
            varint::write(&mut out, tag);
            put_bytes(&mut out, &body);
        };
        // First, so that a reader that must not go on learns it before anything else.
        if let Some(features) = &self.features {
            field(FEATURES, &|body| features.encode(body));
        }
        for meta in &self.blobs {
            field(ADD_BLOB, &|body| {
                for number in [meta.number, meta.size, u64::from(meta.crc), meta.records] {
                    varint::write(body, number);
                }
            });
        }
        for (level, meta) in &self.added {
            field(ADD_FILE, &|body| {
                for number in [
                    *level as u64,
                    meta.number,
                    meta.size,
                    u64::from(meta.crc),
                    meta.entries,
                    meta.tombstones,
                    meta.max_seq,
                ] {
                    varint::write(body, number);
                }
                put_bytes(body, &meta.smallest);
                put_bytes(body, &meta.largest);
            });
            if let Some(traits) = &meta.traits {
                field(TRAITS, &|body| put_traits(body, meta.number, traits));
            }
            if !meta.blobs.is_empty() {
                field(BLOB_USES, &|body| {
                    varint::write(body, meta.number);
                    for (&number, used) in &meta.blobs {
                        for number in [number, used.records, used.bytes] {
                            varint::write(body, number);
                        }
                    }
                });
            }
        }
        for (level, number) in &self.removed {
            field(REMOVE_FILE, &|body| {
                varint::write(body, *level as u64);
                varint::write(body, *number);
            });
        }
        for (tag, value) in [
            (MIN_SEGMENT, self.min_segment),
            (NEXT_FILE, self.next_file),
            (FLUSHED_SEQ, self.flushed_seq),
            (APPLIED_INDEX, self.applied_index),
        ] {
            if let Some(value) = value {
                field(tag, &|body| varint::write(body, value));
            }
        }
        if let Some(counters) = &self.counters {
            field(COUNTERS, &|body| {
                for (&id, &total) in counters {
                    varint::write(body, u64::from(id));
                    varint::write(body, varint::zigzag(total));
                }
            });
        }
        out
    }

    /// Reads a stored edit. `Err` says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut edit = Self::default();
        let mut rest = Reader { rest: bytes };
        while !rest.is_empty() {
            let tag = rest.varint()?;
            let mut body = Reader { rest: rest.bytes()? };
            match tag {
                ADD_FILE => {
                    let level = body.level()?;
                    let meta = FileMeta {
                        number: body.varint()?,
                        size: body.varint()?,
                        crc: body.crc()?,
                        entries: body.varint()?,
                        tombstones: body.varint()?,
                        max_seq: body.varint()?,
                        smallest: body.bytes()?.to_vec(),
                        largest: body.bytes()?.to_vec(),
                        traits: None,
                        blobs: BTreeMap::new(),
                    };
                    if meta.smallest > meta.largest {
                        return Err("the keys of a table are the wrong way round");
                    }
                    edit.added.push((level, meta));
                }
                REMOVE_FILE => {
                    let level = body.level()?;
                    edit.removed.push((level, body.varint()?));
                }
                MIN_SEGMENT => edit.min_segment = Some(body.varint()?),
                NEXT_FILE => edit.next_file = Some(body.varint()?),
                FLUSHED_SEQ => edit.flushed_seq = Some(body.varint()?),
                APPLIED_INDEX => edit.applied_index = Some(body.varint()?),
                COUNTERS => {
                    let counters = edit.counters.insert(BTreeMap::new());
                    while !body.is_empty() {
                        let id = u16::try_from(body.varint()?)
                            .map_err(|_| "a counter has an impossible number")?;
                        counters.insert(id, varint::unzigzag(body.varint()?));
                    }
                }
                FEATURES => edit.features = Some(Features::decode(&mut body)?),
                TRAITS => {
                    let number = body.varint()?;
                    let traits = body.traits()?;
                    let meta = edit.last_added(number)?;
                    if traits.total().entries != meta.entries || traits.undying > meta.entries {
                        return Err("the description of a table contradicts itself");
                    }
                    meta.traits = Some(traits);
                }
                ADD_BLOB => {
                    let meta = BlobMeta {
                        number: body.varint()?,
                        size: body.varint()?,
                        crc: body.crc()?,
                        records: body.varint()?,
                    };
                    if meta.size <= OVERHEAD || meta.records == 0 {
                        return Err("a blob file has no records");
                    }
                    edit.blobs.push(meta);
                }
                BLOB_USES => {
                    let meta = edit.last_added(body.varint()?)?;
                    while !body.is_empty() {
                        let (number, used) = (body.varint()?, body.blob_use()?);
                        if meta.blobs.last_key_value().is_some_and(|(&last, _)| last >= number) {
                            return Err("the blob files of a table are not in order");
                        }
                        meta.blobs.insert(number, used);
                    }
                }
                tag if tag & OPTIONAL != 0 => continue,
                _ => return Err("the edit has a field that this version does not know"),
            }
            if !body.is_empty() {
                return Err("a field of the edit is longer than it should be");
            }
        }
        Ok(edit)
    }

    /// The table of this number, if it is the one added last.
    fn last_added(&mut self, number: u64) -> Result<&mut FileMeta, &'static str> {
        let last = self.added.last_mut().map(|(_, meta)| meta);
        last.filter(|meta| meta.number == number).ok_or("the edit describes a table that it does not add")
    }
}

/// Reads the body of a field.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    const CUT: &'static str = "a field of the edit is cut";

    const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn varint(&mut self) -> Result<u64, &'static str> {
        let (value, used) = varint::read(self.rest).ok_or(Self::CUT)?;
        self.rest = &self.rest[used..];
        Ok(value)
    }

    fn bytes(&mut self) -> Result<&'a [u8], &'static str> {
        let len = usize::try_from(self.varint()?).map_err(|_| Self::CUT)?;
        self.rest.split_off(..len).ok_or(Self::CUT)
    }

    fn crc(&mut self) -> Result<u32, &'static str> {
        u32::try_from(self.varint()?).map_err(|_| "a checksum does not fit")
    }

    fn blob_use(&mut self) -> Result<BlobUse, &'static str> {
        let used = BlobUse { records: self.varint()?, bytes: self.varint()? };
        if used.records > 0 {
            Ok(used)
        } else {
            Err("a table refers to no record of a blob file that it names")
        }
    }

    fn weight(&mut self) -> Result<Weight, &'static str> {
        Ok(Weight { entries: self.varint()?, bytes: self.varint()? })
    }

    fn traits(&mut self) -> Result<Traits, &'static str> {
        let unclassed = self.weight()?;
        let mut traits = Traits { unclassed, undying: self.varint()?, ..Traits::default() };
        let (dated, first, last) = (self.varint()?, self.varint()?, self.varint()?);
        if dated > 1 || first > last {
            return Err("the deadlines of a table are the wrong way round");
        }
        traits.deadlines = (dated == 1).then_some((first, last));
        while !self.is_empty() {
            let class = u32::try_from(self.varint()?).map_err(|_| "a class has an impossible number")?;
            traits.classes.insert(class, self.weight()?);
        }
        if traits.classes.len() > MAX_CLASSES {
            return Err("a table has more classes than are told apart");
        }
        Ok(traits)
    }

    fn level(&mut self) -> Result<usize, &'static str> {
        usize::try_from(self.varint()?)
            .ok()
            .filter(|&level| level < LEVELS)
            .ok_or("the edit names a level that does not exist")
    }
}
