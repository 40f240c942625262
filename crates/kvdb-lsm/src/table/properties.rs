//! The properties of a table: what is known about it as a whole.
//!
//! ```text
//! payload  := property*        property := tag varint | length varint | body
//! ```
//! A reader skips tags it does not know.

use crate::batch::Seq;
use crate::varint;

/// # Invariants
/// `smallest <= largest`, `min_seq <= max_seq`, `tombstones <= entries`, `entries > 0`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    /// Entries, tombstones included.
    pub(crate) entries: u64,
    /// Tombstones.
    pub(crate) tombstones: u64,
    /// The bytes of all keys and values.
    pub(crate) raw_bytes: u64,
    /// The smallest sequence.
    pub(crate) min_seq: Seq,
    /// The largest sequence.
    pub(crate) max_seq: Seq,
    /// The first key.
    pub(crate) smallest: Vec<u8>,
    /// The last key.
    pub(crate) largest: Vec<u8>,
}

const ENTRIES: u64 = 1;
const TOMBSTONES: u64 = 2;
const RAW_BYTES: u64 = 3;
const MIN_SEQ: u64 = 4;
const MAX_SEQ: u64 = 5;
const SMALLEST: u64 = 6;
const LARGEST: u64 = 7;

impl Properties {
    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut field = |tag: u64, body: &[u8]| {
            varint::write(&mut out, tag);
            varint::write(&mut out, body.len() as u64);
            out.extend_from_slice(body);
        };
        for (tag, value) in [
            (ENTRIES, self.entries),
            (TOMBSTONES, self.tombstones),
            (RAW_BYTES, self.raw_bytes),
            (MIN_SEQ, self.min_seq),
            (MAX_SEQ, self.max_seq),
        ] {
            field(tag, &value.to_le_bytes());
        }
        field(SMALLEST, &self.smallest);
        field(LARGEST, &self.largest);
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
            let number = || {
                let bytes: [u8; 8] = body.try_into().map_err(|_| "a property has a wrong length")?;
                Ok::<u64, &str>(u64::from_le_bytes(bytes))
            };
            match tag {
                ENTRIES => properties.entries = number()?,
                TOMBSTONES => properties.tombstones = number()?,
                RAW_BYTES => properties.raw_bytes = number()?,
                MIN_SEQ => properties.min_seq = number()?,
                MAX_SEQ => properties.max_seq = number()?,
                SMALLEST => properties.smallest = body.to_vec(),
                LARGEST => properties.largest = body.to_vec(),
                _ => {}
            }
        }
        let sound = properties.entries > 0
            && properties.tombstones <= properties.entries
            && properties.min_seq <= properties.max_seq
            && properties.smallest <= properties.largest;
        if sound { Ok(properties) } else { Err("the properties contradict each other") }
    }
}
