//! Tables from arbitrary parts, with checksums that match: what a decoder must survive when the
//! checksums do not protect it.

use super::envelope::{self, Compression};
use super::footer::Footer;
use super::index::Index;
use super::properties::Properties;
use crate::file_header::{FileKind, file_header};

/// The parts of a forged table.
#[derive(Debug, Clone, Copy)]
pub struct TableParts<'a> {
    /// The payloads of the data blocks.
    pub blocks: &'a [&'a [u8]],
    /// The payload of the filter block.
    pub filter: &'a [u8],
    /// The payload of the index block; `None` for one that fits the blocks.
    pub index: Option<&'a [u8]>,
    /// The payload of the properties block; `None` for sound ones.
    pub properties: Option<&'a [u8]>,
}

/// The bytes of table `number` with these parts.
pub(crate) fn forge(number: u64, parts: &TableParts<'_>) -> Vec<u8> {
    let mut out = file_header(FileKind::Table).to_vec();
    let mut index = Index::default();
    for (n, payload) in parts.blocks.iter().enumerate() {
        let offset = out.len() as u64;
        let handle = envelope::seal(payload, Compression::Lz4, number, offset, &mut out);
        let low = if n == 0 { Vec::new() } else { (n as u64).to_be_bytes().to_vec() };
        index.push(&low, handle);
    }
    let sound = Properties { entries: 1, largest: vec![0xff; 9], ..Properties::default() };
    let index = parts.index.map_or_else(|| index.encode(), <[u8]>::to_vec);
    let properties = parts.properties.map_or_else(|| sound.encode(), <[u8]>::to_vec);
    let mut section = |payload: &[u8]| {
        let offset = out.len() as u64;
        let handle = envelope::seal(payload, Compression::None, number, offset, &mut out);
        (handle.offset, handle.len)
    };
    let footer = Footer {
        filter: section(parts.filter),
        index: section(&index),
        properties: section(&properties),
        file_number: number,
    };
    out.extend_from_slice(&footer.encode());
    out
}
