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

/// # Invariants
/// `smallest <= largest`, `min_seq <= max_seq`, `tombstones <= entries`, and `entries > 0`.
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
    /// The stored bytes of the data blocks, with envelopes.
    pub(crate) data_bytes: u64,
    /// The stored bytes of the index, all partitions and the top together.
    pub(crate) index_bytes: u64,
    /// The stored bytes of the filter, all partitions together.
    pub(crate) filter_bytes: u64,
    /// The version of the engine that wrote the table.
    pub(crate) writer: String,
    /// What the entries refer to, by blob file.
    pub(crate) blobs: BTreeMap<u64, BlobUse>,
}

const SMALLEST: u64 = 6;
const LARGEST: u64 = 7;
const WRITER: u64 = 17;
const BLOBS: u64 = 19;

impl Properties {
    /// Counts an entry in.
    pub(super) fn count(&mut self, entry: Entry<'_>) {
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

    /// The numbers with their tags.
    fn numbers(&mut self) -> [(u64, &mut u64); 10] {
        [
            (1, &mut self.entries),
            (2, &mut self.tombstones),
            (3, &mut self.raw_bytes),
            (4, &mut self.min_seq),
            (5, &mut self.max_seq),
            (8, &mut self.raw_key_bytes),
            (9, &mut self.data_blocks),
            (11, &mut self.data_bytes),
            (12, &mut self.index_bytes),
            (13, &mut self.filter_bytes),
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
            && properties.min_seq <= properties.max_seq
            && properties.smallest <= properties.largest;
        if sound { Ok(properties) } else { Err("the properties contradict each other") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(to: &mut Properties, key: &[u8], seq: Seq, value: Option<&[u8]>) {
        to.count(Entry { key, seq, content: Content::of(value) });
    }

    #[test]
    fn properties_come_back_and_unknown_ones_are_skipped() {
        let mut properties = Properties { writer: "1.2.3".to_owned(), ..Properties::default() };
        count(&mut properties, b"a", 7, Some(b"value"));
        count(&mut properties, b"bc", 3, None);
        count(&mut properties, b"d", 5, Some(b""));
        properties.blobs = BTreeMap::from([3, 700].map(|n| (n, BlobUse { records: n, bytes: n << 40 })));
        properties.largest = b"d".to_vec();
        assert_eq!((properties.min_seq, properties.max_seq), (3, 7));
        assert_eq!((properties.raw_key_bytes, properties.raw_bytes), (4, 9));
        let mut stored = properties.encode();
        assert_eq!(Properties::decode(&stored), Ok(properties));
        let known = Properties::decode(&stored);
        stored.extend_from_slice(&[0x80, 0x10, 3, 1, 2, 3]);
        // Those that earlier versions wrote and nobody read.
        stored.extend_from_slice(&[18, 5, 4, b'n', b'a', b'm', b'e', 10, 1, 7]);
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
        count(&mut properties, b"a", 0, None);
        assert_eq!((properties.min_seq, properties.max_seq), (0, 0));
        count(&mut properties, b"b", 7, None);
        count(&mut properties, b"c", 0, None);
        assert_eq!((properties.min_seq, properties.max_seq), (7, 7));
        properties.cover_seqs(0, 0);
        properties.cover_seqs(3, 5);
        assert_eq!((properties.min_seq, properties.max_seq), (3, 7));
    }
}
