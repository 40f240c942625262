//! Blob files from arbitrary parts, with checksums that match: what a decoder must survive when the
//! checksums do not protect it.

use super::footer::Footer;
use super::{BlobRef, record};
use crate::file_header::{FileKind, file_header};

/// The parts of a forged blob file.
#[derive(Debug, Clone, Copy)]
pub struct BlobParts<'a> {
    /// The records: key, stored value, codec.
    pub records: &'a [(&'a [u8], &'a [u8], u8)],
    /// The number of records that the footer states, and further feature bits.
    pub stated: (u64, u64),
    /// The length of the value that the references state; `None` for that of the stored value.
    pub value_len: Option<u32>,
}

/// The bytes of blob file `number` with these parts, and references to its records.
pub(crate) fn forge(number: u64, parts: &BlobParts<'_>) -> (Vec<u8>, Vec<BlobRef>) {
    let mut out = file_header(FileKind::Blob).to_vec();
    let mut references = Vec::new();
    for (key, stored, codec) in parts.records {
        let offset = out.len() as u64;
        let store = |out: &mut Vec<u8>| {
            out.extend_from_slice(stored);
            *codec
        };
        let (len, crc) = record::seal(key, store, number, offset, &mut out);
        let value_len = parts.value_len.unwrap_or(stored.len() as u32);
        references.push(BlobRef { file: number, offset, len, value_len, crc });
    }
    let (records, incompat) = parts.stated;
    let content = xxhash_rust::xxh3::xxh3_128(&out);
    let footer = Footer { records, data_end: out.len() as u64, file_number: number, incompat, content };
    out.extend_from_slice(&footer.encode());
    (out, references)
}
