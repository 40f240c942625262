//! Frames records into chunks. Pure: bytes in, bytes out; where they go is the caller's matter.

use super::SegmentNumber;
use super::format::{
    CHUNK_HEADER_LEN, ChunkHeader, ChunkType, FILE_HEADER_LEN, MIN_CHUNK_ROOM, file_header, lognum,
    room_in_block,
};

/// Turns records into the bytes of one segment.
///
/// # Invariants
/// `offset` is the file offset of the next byte framed; everything framed so far, put at its
/// offset, is a well-formed segment without trailer.
#[derive(Debug)]
pub(crate) struct Framer {
    segment: SegmentNumber,
    offset: u64,
}

impl Framer {
    /// Starts a segment: appends its file header and HEAD to `out`.
    pub(crate) fn start(segment: SegmentNumber, next_seq: u64, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&file_header());
        let mut framer = Self { segment, offset: FILE_HEADER_LEN };
        framer.chunk(ChunkType::Head, 0, &next_seq.to_le_bytes(), out);
        framer
    }

    /// Continues a segment at `offset`, the end of its last whole record.
    pub(crate) const fn resume(segment: SegmentNumber, offset: u64) -> Self {
        Self { segment, offset }
    }

    /// The file offset of the next byte framed.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of the segment.
    pub(crate) const fn segment(&self) -> SegmentNumber {
        self.segment
    }

    /// Appends one record to `out`. `synced_off` is the offset up to which the segment is durable.
    pub(crate) fn record(&mut self, mut record: &[u8], synced_off: u64, out: &mut Vec<u8>) {
        out.reserve(record.len() + record.len() / 1024 + 2 * MIN_CHUNK_ROOM as usize);
        let mut first = true;
        loop {
            self.pad(out);
            // At most BLOCK_LEN, which fits every integer type here.
            let room = room_in_block(self.offset) as usize - CHUNK_HEADER_LEN;
            let (part, rest) = record.split_at(record.len().min(room));
            let kind = match (first, rest.is_empty()) {
                (true, true) => ChunkType::Full,
                (true, false) => ChunkType::First,
                (false, false) => ChunkType::Middle,
                (false, true) => ChunkType::Last,
            };
            self.chunk(kind, synced_off, part, out);
            if rest.is_empty() {
                return;
            }
            record = rest;
            first = false;
        }
    }

    /// Appends the trailer to `out`; the segment is finished then.
    pub(crate) fn trailer(&mut self, last_seq: u64, synced_off: u64, out: &mut Vec<u8>) {
        self.pad(out);
        let mut payload = [0u8; 16];
        payload[..8].copy_from_slice(&self.offset.to_le_bytes());
        payload[8..].copy_from_slice(&last_seq.to_le_bytes());
        self.chunk(ChunkType::Trailer, synced_off, &payload, out);
    }

    /// Moves to the next block when this one has no room for a chunk.
    fn pad(&mut self, out: &mut Vec<u8>) {
        let room = room_in_block(self.offset);
        if room < MIN_CHUNK_ROOM {
            out.resize(out.len() + room as usize, 0);
            self.offset += room;
        }
    }

    fn chunk(&mut self, kind: ChunkType, synced_off: u64, payload: &[u8], out: &mut Vec<u8>) {
        let len = u16::try_from(payload.len()).expect("a chunk fits into a block");
        let lognum = lognum(self.segment);
        let start = out.len();
        out.extend_from_slice(&ChunkHeader { len, kind, lognum, synced_off }.encode());
        out.extend_from_slice(payload);
        let crc = crc32fast::hash(&out[start + 4..]);
        out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
        self.offset += (out.len() - start) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::{BLOCK_LEN, framed_bound};
    use super::*;

    #[test]
    fn no_chunk_crosses_a_block_and_the_bound_holds() {
        let mut out = Vec::new();
        let mut framer = Framer::start(1, 1, &mut out);
        for len in [0usize, 1, 32_600, 40, 100_000, 32_768, 32_749, 5, 32_700, 1] {
            let before = framer.offset();
            framer.record(&vec![7; len], before, &mut out);
            assert_eq!(framer.offset(), out.len() as u64);
            assert!(framer.offset() - before <= framed_bound(len as u64), "{len}");
        }
        framer.trailer(9, 0, &mut out);
        let mut at = FILE_HEADER_LEN as usize;
        let mut chunks = 0;
        while at < out.len() {
            if room_in_block(at as u64) < MIN_CHUNK_ROOM {
                at += room_in_block(at as u64) as usize;
                continue;
            }
            let len = usize::from(u16::from_le_bytes([out[at + 4], out[at + 5]]));
            let end = at + CHUNK_HEADER_LEN + len;
            assert!(end as u64 <= at as u64 / BLOCK_LEN * BLOCK_LEN + BLOCK_LEN);
            assert_eq!(crc32fast::hash(&out[at + 4..end]).to_le_bytes(), out[at..at + 4]);
            at = end;
            chunks += 1;
        }
        assert!(chunks > 12);
    }
}
