//! Tables from arbitrary parts, with checksums that match: what a decoder must survive when the
//! checksums do not protect it.

use super::footer::{self, Footer};
use super::index::Index;
use super::properties::Properties;
use super::top::{Partition, Top};
use super::{Format, Handle, envelope};
use crate::compression::{Compression, Compressor};
use crate::file_header::{FileKind, header_of};

/// The parts of a forged table.
#[derive(Debug, Clone, Copy)]
pub struct TableParts<'a> {
    /// The format is 1, not 2.
    pub is_format_1: bool,
    /// The payloads of the data blocks.
    pub blocks: &'a [&'a [u8]],
    /// The payload of the filter block, or of the filter of every partition.
    pub filter: &'a [u8],
    /// The payload of the index block, or of the index of the last partition; `None` for one that
    /// fits the blocks.
    pub index: Option<&'a [u8]>,
    /// A partition is cut behind every block (not in format 1). The payload is that of the top, if
    /// there is one; else the top fits the partitions.
    pub top: Option<Option<&'a [u8]>>,
    /// The payload of the properties block; `None` for sound ones.
    pub properties: Option<&'a [u8]>,
    /// Further feature bits for the footer (not in format 1).
    pub features: u64,
}

/// The low key of a forged block.
fn low(n: usize) -> Vec<u8> {
    if n == 0 { Vec::new() } else { (n as u64).to_be_bytes().to_vec() }
}

/// The bytes of table `number` with these parts.
pub(crate) fn forge(number: u64, parts: &TableParts<'_>) -> Vec<u8> {
    let format = if parts.is_format_1 { Format::V1 } else { Format::V2 };
    let mut out = header_of(FileKind::Table, if parts.is_format_1 { 1 } else { 2 }).to_vec();
    let mut compressor = Compressor::new(Compression::Lz4);
    let blocks: Vec<Handle> = parts
        .blocks
        .iter()
        .map(|payload| {
            let offset = out.len() as u64;
            envelope::seal(payload, &mut compressor, number, offset, &mut out)
        })
        .collect();
    let data_end = out.len() as u64;
    let mut seal = |payload: &[u8]| {
        let offset = out.len() as u64;
        envelope::seal_raw(payload, number, offset, &mut out)
    };
    let is_partitioned = parts.top.is_some() && format == Format::V2 && !blocks.is_empty();
    let (filter, index) = if is_partitioned {
        let mut top = Top::default();
        for (n, &handle) in blocks.iter().enumerate() {
            let filter = seal(parts.filter);
            let mut index = Index::default();
            index.push(&low(n), handle);
            let forged = parts.index.filter(|_| n + 1 == blocks.len());
            let index = seal(&forged.map_or_else(|| index.encode(format), <[u8]>::to_vec));
            let data_end = handle.offset + u64::from(handle.len);
            top.push(&low(n), Partition { data_start: handle.offset, data_end, filter, index });
        }
        let payload = parts.top.flatten().map_or_else(|| top.encode(), <[u8]>::to_vec);
        (seal(&[]), seal(&payload))
    } else {
        let mut index = Index::default();
        blocks.iter().enumerate().for_each(|(n, &handle)| index.push(&low(n), handle));
        let payload = parts.index.map_or_else(|| index.encode(format), <[u8]>::to_vec);
        (seal(parts.filter), seal(&payload))
    };
    let sound = Properties { entries: 1, largest: vec![0xff; 9], ..Properties::default() };
    let properties = seal(&parts.properties.map_or_else(|| sound.encode(), <[u8]>::to_vec));
    let partitioned = if is_partitioned { footer::PARTITIONED } else { 0 };
    let incompat = partitioned | parts.features;
    let footer = Footer { format, filter, index, properties, file_number: number, data_end, incompat };
    out.extend_from_slice(&footer.encode());
    out
}
