//! The properties of a table: what is known about it as a whole.
//!
//! ```text
//! payload  := property*        property := tag varint | length varint | body
//! ```
//! A reader skips tags it does not know. A number is a body of 8 bytes; one that is missing is 0.

use std::collections::BTreeMap;

use crate::batch::Seq;
use crate::blob::BlobUse;
use crate::entry::{Content, Entry};
use crate::varint;

/// What the owner's properties may take in a table, names and values together, in bytes.
pub(crate) const MAX_USER_BYTES: usize = 64 << 10;

/// # Invariants
/// `smallest <= largest`, `min_seq <= max_seq`, `tombstones <= entries`, `entries > 0`, and
/// `min_deadline <= max_deadline` if `with_deadline > 0`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    /// Entries, tombstones included.
    pub(crate) entries: u64,
    /// Tombstones.
    pub(crate) tombstones: u64,
    /// The bytes of all keys and of the values that are in the table.
    pub(crate) raw_bytes: u64,
    /// The bytes of all keys; 0 if not counted, as in format 1.
    pub(crate) raw_key_bytes: u64,
    /// The smallest sequence of the writes in the table, as far as they are known: they count also
    /// if the table does not store them, or was made from tables that did not. 0 if none is known.
    pub(crate) min_seq: Seq,
    /// The largest one.
    pub(crate) max_seq: Seq,
    /// The first key.
    pub(crate) smallest: Vec<u8>,
    /// The last key.
    pub(crate) largest: Vec<u8>,
    /// Data blocks.
    pub(crate) data_blocks: u64,
    /// Data blocks of which at least half of the entries are tombstones.
    pub(crate) dense_blocks: u64,
    /// The stored bytes of the data blocks, with envelopes.
    pub(crate) data_bytes: u64,
    /// The stored bytes of the index, all partitions and the top together.
    pub(crate) index_bytes: u64,
    /// The stored bytes of the filter, all partitions together.
    pub(crate) filter_bytes: u64,
    /// Entries with a deadline.
    pub(crate) with_deadline: u64,
    /// The smallest deadline, if any entry has one.
    pub(crate) min_deadline: u64,
    /// The largest deadline, if any entry has one.
    pub(crate) max_deadline: u64,
    /// The version of the engine that wrote the table.
    pub(crate) writer: String,
    /// What the entries refer to, by blob file.
    pub(crate) blobs: BTreeMap<u64, BlobUse>,
    /// What the owner says about the table, by name.
    pub(crate) user: BTreeMap<Vec<u8>, Vec<u8>>,
}

const SMALLEST: u64 = 6;
const LARGEST: u64 = 7;
const WRITER: u64 = 17;
const USER: u64 = 18;
const BLOBS: u64 = 19;

impl Properties {
    /// Counts an entry in.
    pub(super) fn count(&mut self, entry: Entry<'_>, deadline: Option<u64>) {
        let Entry { key, seq, content } = entry;
        if self.entries == 0 {
            self.smallest = key.to_vec();
        }
        self.entries += 1;
        self.tombstones += u64::from(content.is_tombstone());
        self.raw_key_bytes += key.len() as u64;
        self.raw_bytes += key.len() as u64;
        match content {
            Content::Value(value) => self.raw_bytes += value.len() as u64,
            Content::Blob(reference) => self.blobs.entry(reference.file).or_default().add(&reference),
            Content::Tombstone => {}
        }
        self.cover_seqs(seq, seq);
        if let Some(deadline) = deadline {
            let is_first = self.with_deadline == 0;
            self.min_deadline = if is_first { deadline } else { self.min_deadline.min(deadline) };
            self.max_deadline = self.max_deadline.max(deadline);
            self.with_deadline += 1;
        }
    }

    /// Counts in that the table holds writes with sequences from `min` to `max`. 0 is no sequence:
    /// who has only that has nothing to add.
    pub(super) fn cover_seqs(&mut self, min: Seq, max: Seq) {
        if max == 0 {
            return;
        }
        self.min_seq = if self.max_seq == 0 { min } else { self.min_seq.min(min) };
        self.max_seq = self.max_seq.max(max);
    }

    /// The deadline after which no entry of the table is alive; `None` if some entry has none.
    #[allow(dead_code, reason = "for picking tables that are dead as a whole, which nobody does yet")]
    pub(crate) const fn dead_after(&self) -> Option<u64> {
        if self.with_deadline == self.entries { Some(self.max_deadline) } else { None }
    }

    /// The numbers with their tags.
    fn numbers(&mut self) -> [(u64, &mut u64); 14] {
        [
            (1, &mut self.entries),
            (2, &mut self.tombstones),
            (3, &mut self.raw_bytes),
            (4, &mut self.min_seq),
            (5, &mut self.max_seq),
            (8, &mut self.raw_key_bytes),
            (9, &mut self.data_blocks),
            (10, &mut self.dense_blocks),
            (11, &mut self.data_bytes),
            (12, &mut self.index_bytes),
            (13, &mut self.filter_bytes),
            (14, &mut self.with_deadline),
            (15, &mut self.min_deadline),
            (16, &mut self.max_deadline),
        ]
    }

    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut field = |tag: u64, body: &[u8]| {
            varint::write(&mut out, tag);
            varint::write(&mut out, body.len() as u64);
            out.extend_from_slice(body);
        };
        for (tag, value) in self.clone().numbers() {
            field(tag, &value.to_le_bytes());
        }
        field(SMALLEST, &self.smallest);
        field(LARGEST, &self.largest);
        field(WRITER, self.writer.as_bytes());
        for (&number, used) in &self.blobs {
            let mut body = Vec::new();
            [number, used.records, used.bytes].iter().for_each(|&n| varint::write(&mut body, n));
            field(BLOBS, &body);
        }
        for (name, value) in &self.user {
            let mut body = Vec::with_capacity(varint::MAX_LEN + name.len() + value.len());
            varint::write(&mut body, name.len() as u64);
            body.extend_from_slice(name);
            body.extend_from_slice(value);
            field(USER, &body);
        }
        out
    }

    /// Reads stored properties.
    pub(crate) fn decode(mut rest: &[u8]) -> Result<Self, &'static str> {
        const CUT: &str = "a property is cut";
        let mut properties = Self::default();
        while !rest.is_empty() {
            let (tag, used) = varint::read(rest).ok_or(CUT)?;
            rest = &rest[used..];
            let (len, used) = varint::read(rest).ok_or(CUT)?;
            rest = &rest[used..];
            let len = usize::try_from(len).map_err(|_| CUT)?;
            let body = rest.split_off(..len).ok_or(CUT)?;
            match tag {
                SMALLEST => properties.smallest = body.to_vec(),
                LARGEST => properties.largest = body.to_vec(),
                WRITER => properties.writer = String::from_utf8_lossy(body).into_owned(),
                USER => {
                    let (len, used) = varint::read(body).ok_or(CUT)?;
                    let len = usize::try_from(len).map_err(|_| CUT)?;
                    let (name, value) = body[used..].split_at_checked(len).ok_or(CUT)?;
                    properties.user.insert(name.to_vec(), value.to_vec());
                }
                BLOBS => {
                    let mut rest = body;
                    let mut number = || {
                        let (number, used) = varint::read(rest).ok_or(CUT)?;
                        rest = &rest[used..];
                        Ok::<u64, &str>(number)
                    };
                    let (number, used) = (number()?, BlobUse { records: number()?, bytes: number()? });
                    properties.blobs.insert(number, used);
                }
                tag => {
                    if let Some((_, number)) = properties.numbers().into_iter().find(|(n, _)| *n == tag) {
                        let bytes: [u8; 8] = body.try_into().map_err(|_| "a property has a wrong length")?;
                        *number = u64::from_le_bytes(bytes);
                    }
                }
            }
        }
        let sound = properties.entries > 0
            && properties.tombstones <= properties.entries
            && properties.with_deadline <= properties.entries
            && properties.min_deadline <= properties.max_deadline
            && properties.min_seq <= properties.max_seq
            && properties.smallest <= properties.largest;
        if sound { Ok(properties) } else { Err("the properties contradict each other") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(to: &mut Properties, key: &[u8], seq: Seq, value: Option<&[u8]>, deadline: Option<u64>) {
        to.count(Entry { key, seq, content: Content::of(value) }, deadline);
    }

    #[test]
    fn properties_come_back_and_unknown_ones_are_skipped() {
        let mut properties = Properties { writer: "1.2.3".to_owned(), ..Properties::default() };
        count(&mut properties, b"a", 7, Some(b"value"), Some(90));
        count(&mut properties, b"bc", 3, None, None);
        count(&mut properties, b"d", 5, Some(b""), Some(20));
        properties.blobs = BTreeMap::from([3, 700].map(|n| (n, BlobUse { records: n, bytes: n << 40 })));
        properties.largest = b"d".to_vec();
        properties.dense_blocks = 1;
        properties.user.insert(b"name".to_vec(), b"content".to_vec());
        properties.user.insert(b"".to_vec(), b"".to_vec());
        assert_eq!((properties.min_seq, properties.max_seq), (3, 7));
        assert_eq!((properties.raw_key_bytes, properties.raw_bytes), (4, 9));
        assert_eq!((properties.min_deadline, properties.max_deadline), (20, 90));
        assert_eq!(properties.dead_after(), None);
        let mut stored = properties.encode();
        assert_eq!(Properties::decode(&stored), Ok(properties));
        let known = Properties::decode(&stored);
        stored.extend_from_slice(&[0x80, 0x10, 3, 1, 2, 3]);
        assert_eq!(Properties::decode(&stored), known);
        for at in 1..stored.len() {
            // Cut within a property, it is refused; between two, what is missing is 0.
            if let Ok(cut) = Properties::decode(&stored[..at]) {
                assert_eq!(cut.entries, 3);
            }
        }
    }

    #[test]
    fn entries_without_a_sequence_leave_the_span_to_what_covers_them() {
        let mut properties = Properties::default();
        count(&mut properties, b"a", 0, None, None);
        assert_eq!((properties.min_seq, properties.max_seq), (0, 0));
        count(&mut properties, b"b", 7, None, None);
        count(&mut properties, b"c", 0, None, None);
        assert_eq!((properties.min_seq, properties.max_seq), (7, 7));
        properties.cover_seqs(0, 0);
        properties.cover_seqs(3, 5);
        assert_eq!((properties.min_seq, properties.max_seq), (3, 7));
    }

    #[test]
    fn a_table_is_dead_after_its_last_deadline_if_every_entry_has_one() {
        let mut properties = Properties::default();
        count(&mut properties, b"a", 1, Some(b"x"), Some(5));
        count(&mut properties, b"b", 2, Some(b"x"), Some(4));
        assert_eq!(properties.dead_after(), Some(5));
        count(&mut properties, b"c", 3, None, None);
        assert_eq!(properties.dead_after(), None);
    }
}
