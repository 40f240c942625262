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

    /// Looks behind `from` for a TRAILER that says itself where it stands; returns what it promises
    /// to be durable. Unlike any other chunk it can be believed wherever it is found: nobody knows
    /// the exact offset that a forgery within a value would have to state.
    pub(crate) fn find_trailer(&mut self, from: u64) -> io::Result<Option<u64>> {
        const LEN: usize = CHUNK_HEADER_LEN + TRAILER_LEN;
        let mut block = from / BLOCK_LEN * BLOCK_LEN;
        while block < self.len {
            let lognum = self.lognum;
            let len = (self.len - block).min(BLOCK_LEN) as usize;
            let bytes = self.bytes(block, len)?.unwrap_or_default();
            for (at, chunk) in (block..).zip(bytes.windows(LEN)) {
                let Some((header, payload)) = chunk.split_first_chunk::<CHUNK_HEADER_LEN>() else {
                    continue;
                };
                let is_trailer = ChunkHeader::decode(header).filter(|header| {
                    (header.kind, header.lognum, usize::from(header.len))
                        == (ChunkType::Trailer, lognum, TRAILER_LEN)
                });
                if let Some(header) = is_trailer
                    && at > from
                    && payload[..8] == at.to_le_bytes()
                    && crc32fast::hash(&chunk[4..]).to_le_bytes() == chunk[..4]
                {
                    return Ok(Some(header.synced_off));
                }
            }
            block += BLOCK_LEN;
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
        let (stored, covered) = bytes.split_at(4);
        if stored != crc32fast::hash(covered).to_le_bytes() {
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
