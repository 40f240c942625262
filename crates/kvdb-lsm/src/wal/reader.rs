//! Reads the chunks of one segment, one after the other, judging each by itself.

use super::SegmentNumber;
use super::format::{
    BLOCK_LEN, CHUNK_HEADER_LEN, ChunkHeader, ChunkType, FILE_HEADER_LEN, MIN_CHUNK_ROOM, TRAILER_LEN,
    file_header, lognum, room_in_block,
};
use crate::vfs::VfsFile;
use std::io;

/// The bytes read from the file at once.
const WINDOW_LEN: usize = 8 * BLOCK_LEN as usize;

/// What stands at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChunkRead<'a> {
    /// A chunk of this segment with the right checksum.
    Valid {
        /// Where it starts.
        offset: u64,
        header: ChunkHeader,
        payload: &'a [u8],
    },
    /// Something else, or nothing.
    Bad {
        /// Where a chunk was expected.
        offset: u64,
        /// What is wrong.
        why: &'static str,
    },
}

/// Reads a segment.
///
/// # Invariants
/// `window` holds the file's bytes from `window_start`, a block boundary, and is either empty,
/// full, or reaches the end of the file.
pub(crate) struct ChunkReader<'f> {
    file: &'f dyn VfsFile,
    lognum: u32,
    len: u64,
    offset: u64,
    window: Vec<u8>,
    window_start: u64,
    /// The offset that was read a second time.
    reread: Option<u64>,
}

impl<'f> ChunkReader<'f> {
    /// Reads the segment from its first chunk.
    pub(crate) fn new(file: &'f dyn VfsFile, segment: SegmentNumber) -> io::Result<Self> {
        Ok(Self {
            file,
            lognum: lognum(segment),
            len: file.len()?,
            offset: FILE_HEADER_LEN,
            window: Vec::new(),
            window_start: 0,
            reread: None,
        })
    }

    /// Whether the file header is the expected one.
    pub(crate) fn header_is_valid(&mut self) -> io::Result<bool> {
        let expected = file_header();
        if self.bytes(0, expected.len())? != Some(&expected[..]) {
            // What a bad read returned may have been a fault of the transfer: read once more.
            self.window.clear();
        }
        Ok(self.bytes(0, expected.len())? == Some(&expected[..]))
    }

    /// Where the next chunk is expected, short of padding.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The length of the file when it was opened.
    pub(crate) const fn file_len(&self) -> u64 {
        self.len
    }

    /// Forgets what was read, so that the next read asks the disk again. What a bad read returned
    /// may have been a fault of the transfer. Returns false if that was done for `offset` before.
    pub(crate) fn read_again(&mut self, offset: u64) -> bool {
        let again = self.reread != Some(offset);
        if again {
            self.window.clear();
            self.reread = Some(offset);
            self.offset = offset;
        }
        again
    }

    /// Looks behind `from`, at every offset, for a chunk that states itself where it stands: a TRAILER does, and so does
    /// a chunk that promises everything in front of it. Returns what it promises to be durable. Unlike any other chunk
    /// such a one can be believed wherever it is found: nobody knows the exact offset that a forgery within a value
    /// would have to state. Promises that do not reach beyond `from` are passed over.
    pub(crate) fn find_placed(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut block = from / BLOCK_LEN * BLOCK_LEN;
        while block < self.len {
            let lognum = self.lognum;
            let len = (self.len - block).min(BLOCK_LEN) as usize;
            let bytes = self.bytes(block, len)?.unwrap_or_default();
            for (start, at) in (block..block + len as u64).enumerate().filter(|(_, at)| *at > from) {
                let Some((header, payload)) = bytes[start..].split_first_chunk::<CHUNK_HEADER_LEN>() else {
                    break;
                };
                let is_ours = |header: &ChunkHeader| header.lognum == lognum && header.synced_off > from;
                let Some(header) = ChunkHeader::decode(header).filter(is_ours) else { continue };
                let Some(payload) = payload.get(..usize::from(header.len)) else { continue };
                let is_placed = header.synced_off == at
                    || header.kind == ChunkType::Trailer
                        && payload.len() == TRAILER_LEN
                        && payload[..8] == at.to_le_bytes();
                if is_placed && has_checksum(&bytes[start..start + CHUNK_HEADER_LEN + payload.len()]) {
                    return Ok(Some(header.synced_off));
                }
            }
            block += BLOCK_LEN;
        }
        Ok(None)
    }

    /// Looks for the end of the chunk at `bad`, if nothing of that is damaged but its length, type and segment number:
    /// with the right ones it has the checksum that it states. It must end within its block, in front of a chunk that
    /// can be read. What a write has torn does not look like this, nor can it be forged from within a value.
    pub(crate) fn find_end(&mut self, bad: u64) -> io::Result<Option<u64>> {
        let lognum = self.lognum;
        let len = room_in_block(bad).min(self.len.saturating_sub(bad)) as usize;
        let bytes = self.bytes(bad, len)?.unwrap_or_default();
        let Some(header) = bytes.first_chunk::<CHUNK_HEADER_LEN>() else { return Ok(None) };
        let [c0, c1, c2, c3, _, _, _, _, _, _, _, synced @ ..] = *header;
        let stored = u32::from_le_bytes([c0, c1, c2, c3]);
        let synced_off = u64::from_le_bytes(synced);
        for end in CHUNK_HEADER_LEN..len {
            let Some(next) = bytes[end..].first_chunk::<CHUNK_HEADER_LEN>() else { break };
            let Some(next) = ChunkHeader::decode(next).filter(|next| next.lognum == lognum) else { continue };
            let next = bytes.get(end..end + CHUNK_HEADER_LEN + usize::from(next.len));
            if !next.is_some_and(has_checksum) {
                continue;
            }
            let payload = &bytes[CHUNK_HEADER_LEN..end];
            let is_whole = |kind| {
                let len = u16::try_from(payload.len()).expect("a chunk is shorter than its block");
                let mended = ChunkHeader { len, kind, lognum, synced_off }.encode();
                let mut hasher = crc32fast::Hasher::new();
                hasher.update(&mended[4..]);
                hasher.update(payload);
                hasher.finalize() == stored
            };
            if (1..=u8::MAX).map_while(ChunkType::from_byte).any(is_whole) {
                return Ok(Some(bad + end as u64));
            }
        }
        Ok(None)
    }

    /// Goes to `offset`.
    pub(crate) const fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Reads the next chunk and moves behind it; stays at a bad one.
    pub(crate) fn next(&mut self) -> io::Result<ChunkRead<'_>> {
        let room = room_in_block(self.offset);
        if room < MIN_CHUNK_ROOM {
            self.offset += room;
        }
        let offset = self.offset;
        let bad = |why| Ok(ChunkRead::Bad { offset, why });
        let lognum = self.lognum;
        let Some(header) = self.header()? else {
            return bad("there is no chunk header");
        };
        if header.lognum != lognum {
            return bad("the chunk belongs to another segment");
        }
        let total = CHUNK_HEADER_LEN + usize::from(header.len);
        if total as u64 > room_in_block(offset) {
            return bad("the chunk is longer than its block");
        }
        let Some(bytes) = self.bytes(offset, total)? else {
            return bad("the file ends within the chunk");
        };
        if !has_checksum(bytes) {
            return bad("the checksum of the chunk is wrong");
        }
        // Borrowed anew, so that the offset can be moved first.
        self.offset = offset + total as u64;
        let start = (offset - self.window_start) as usize;
        let payload = &self.window[start + CHUNK_HEADER_LEN..start + total];
        Ok(ChunkRead::Valid { offset, header, payload })
    }

    /// Moves behind a bad chunk if its header is plausible: of this segment, and within its block.
    pub(crate) fn skip_bad(&mut self) -> io::Result<bool> {
        let lognum = self.lognum;
        let Some(header) = self.header()? else { return Ok(false) };
        let total = CHUNK_HEADER_LEN as u64 + u64::from(header.len);
        let plausible = header.lognum == lognum && total <= room_in_block(self.offset);
        if plausible {
            self.offset += total;
        }
        Ok(plausible)
    }

    fn header(&mut self) -> io::Result<Option<ChunkHeader>> {
        let bytes = self.bytes(self.offset, CHUNK_HEADER_LEN)?;
        let bytes: Option<&[u8; CHUNK_HEADER_LEN]> = bytes.and_then(|b| b.try_into().ok());
        Ok(bytes.and_then(ChunkHeader::decode))
    }

    /// The bytes of a range within one block; `None` if the file ends before.
    fn bytes(&mut self, offset: u64, len: usize) -> io::Result<Option<&[u8]>> {
        if offset + len as u64 > self.len {
            return Ok(None);
        }
        let end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || offset + len as u64 > end {
            self.window_start = offset / BLOCK_LEN * BLOCK_LEN;
            let wanted = (self.len - self.window_start).min(WINDOW_LEN as u64) as usize;
            self.window.clear();
            self.window.resize(wanted, 0);
            self.fill()?;
        }
        let start = (offset - self.window_start) as usize;
        Ok(self.window.get(start..start + len))
    }

    fn fill(&mut self) -> io::Result<()> {
        use crate::vfs::VfsFileExt;
        let result = self.file.read_exact_at(&mut self.window, self.window_start);
        if result.is_err() {
            // A half-read window must not be taken for the file's bytes later.
            self.window.clear();
        }
        result
    }
}

/// Whether a chunk, from its header on, has the checksum that it states.
fn has_checksum(chunk: &[u8]) -> bool {
    let (stored, covered) = chunk.split_at(4);
    stored == crc32fast::hash(covered).to_le_bytes()
}
