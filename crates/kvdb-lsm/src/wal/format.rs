//! The bytes of a segment: headers, chunk types, file names.

use super::SegmentNumber;
use std::path::{Path, PathBuf};

/// Chunks never cross a multiple of this offset.
pub(crate) const BLOCK_LEN: u64 = 32 * 1024;
/// The header in front of a chunk's payload.
pub(crate) const CHUNK_HEADER_LEN: usize = 19;
/// A chunk starts only where its header and this much payload fit into the block.
pub(crate) const MIN_PAYLOAD_ROOM: usize = 16;
/// The least room in a block for a further chunk.
pub(crate) const MIN_CHUNK_ROOM: u64 = (CHUNK_HEADER_LEN + MIN_PAYLOAD_ROOM) as u64;
/// The payload of a TRAILER.
pub(crate) const TRAILER_LEN: usize = 16;
/// The header of the file.
pub(crate) const FILE_HEADER_LEN: u64 = 16;
/// The offset of the first record: behind the file header and the HEAD chunk.
pub(crate) const FIRST_RECORD: u64 = FILE_HEADER_LEN + CHUNK_HEADER_LEN as u64 + 8;

const MAGIC: &[u8; 8] = b"KVDBFILE";
const KIND_WAL: u8 = 1;
const FORMAT: u8 = 1;

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ChunkType {
    /// A whole record.
    Full = 1,
    /// The first part of a record.
    First = 2,
    /// A further part, neither first nor last.
    Middle = 3,
    /// The last part.
    Last = 4,
    /// The end of a finished segment: `total length u64 | last seq u64`.
    Trailer = 5,
    /// The start of a segment: `next seq u64`.
    Head = 6,
}

impl ChunkType {
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Full,
            2 => Self::First,
            3 => Self::Middle,
            4 => Self::Last,
            5 => Self::Trailer,
            6 => Self::Head,
            _ => return None,
        })
    }
}

/// A chunk header without its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkHeader {
    pub(crate) len: u16,
    pub(crate) kind: ChunkType,
    pub(crate) lognum: u32,
    pub(crate) synced_off: u64,
}

impl ChunkHeader {
    /// Encodes the header with room for the checksum in front.
    pub(crate) fn encode(&self) -> [u8; CHUNK_HEADER_LEN] {
        let mut out = [0u8; CHUNK_HEADER_LEN];
        out[4..6].copy_from_slice(&self.len.to_le_bytes());
        out[6] = self.kind as u8;
        out[7..11].copy_from_slice(&self.lognum.to_le_bytes());
        out[11..].copy_from_slice(&self.synced_off.to_le_bytes());
        out
    }

    /// Decodes a header; `None` if its type is unknown.
    pub(crate) fn decode(bytes: &[u8; CHUNK_HEADER_LEN]) -> Option<Self> {
        let [_, _, _, _, l0, l1, kind, n0, n1, n2, n3, synced @ ..] = *bytes;
        Some(Self {
            len: u16::from_le_bytes([l0, l1]),
            kind: ChunkType::from_byte(kind)?,
            lognum: u32::from_le_bytes([n0, n1, n2, n3]),
            synced_off: u64::from_le_bytes(synced),
        })
    }
}

/// The number that ties a chunk to its segment: the low half of the segment's number.
pub(crate) const fn lognum(segment: SegmentNumber) -> u32 {
    (segment & 0xffff_ffff) as u32
}

/// The room for chunks between `offset` and the end of its block.
pub(crate) const fn room_in_block(offset: u64) -> u64 {
    BLOCK_LEN - offset % BLOCK_LEN
}

/// An upper bound of the bytes that `len` bytes of batches take in a segment when each group is
/// written as one record.
pub(crate) const fn framed_bound(len: u64) -> u64 {
    let per_block = BLOCK_LEN - 2 * MIN_CHUNK_ROOM;
    len + MIN_CHUNK_ROOM + len / per_block * (2 * MIN_CHUNK_ROOM)
}

/// The 16 bytes at the front of every segment.
pub(crate) fn file_header() -> [u8; FILE_HEADER_LEN as usize] {
    let mut out = [0u8; FILE_HEADER_LEN as usize];
    out[..8].copy_from_slice(MAGIC);
    out[8] = KIND_WAL;
    out[9] = FORMAT;
    let crc = crc32fast::hash(&out[..12]);
    out[12..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The path of a segment.
pub(crate) fn segment_path(dir: &Path, number: SegmentNumber) -> PathBuf {
    dir.join(format!("{number:06}.wal"))
}

/// The number of the segment with this file name.
pub(crate) fn parse_segment_name(name: &str) -> Option<SegmentNumber> {
    let digits = name.strip_suffix(".wal")?;
    if digits.len() < 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|&number| number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_headers_round_trip() {
        for number in [1, 45, 999_999, 1_000_000] {
            let path = segment_path(Path::new("wal"), number);
            let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
            assert_eq!(parse_segment_name(name), Some(number));
        }
        for name in ["000000.wal", "1.wal", "00000x.wal", "000001.sst", "+00001.wal"] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
        let header = ChunkHeader { len: 7, kind: ChunkType::Last, lognum: 9, synced_off: 1 << 40 };
        assert_eq!(ChunkHeader::decode(&header.encode()), Some(header));
    }
}
