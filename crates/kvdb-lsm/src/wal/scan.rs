//! Reads everything that can be read of a segment, whatever is damaged between: for looking at a
//! log and for repairing one. Recovery never uses it.

use std::collections::VecDeque;
use std::io;

use super::SegmentNumber;
use super::format::{BLOCK_LEN, ChunkType};
use super::reader::{ChunkRead, ChunkReader};
use super::recovery::last_nonzero;
use crate::vfs::VfsFile;

/// What stands in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// The start of the segment.
    Head { offset: u64, next_seq: u64 },
    /// A record: batches, not decoded.
    Record { offset: u64, synced: u64, bytes: Vec<u8> },
    /// The end of a finished segment.
    Trailer { offset: u64, last_seq: u64 },
    /// Something that is none of these. Records may be lost between here and what comes next.
    Unreadable { offset: u64, why: &'static str },
}

/// Walks a segment from its first chunk to its last byte that is not zero.
///
/// # Invariants
/// `open` is the start of the record whose parts so far are in `parts`.
pub(crate) struct SegmentScan<'f> {
    reader: ChunkReader<'f>,
    /// Behind it there are only zeros.
    end: u64,
    parts: Vec<u8>,
    open: Option<u64>,
    /// After damage, parts of a record whose first is missing mean nothing new.
    lost: bool,
    found: VecDeque<Scanned>,
}

impl<'f> SegmentScan<'f> {
    /// Scans `file`, which is segment `number`.
    pub(crate) fn new(file: &'f dyn VfsFile, number: SegmentNumber) -> io::Result<Self> {
        let mut reader = ChunkReader::new(file, number)?;
        let mut found = VecDeque::new();
        if !reader.header_is_valid()? {
            found.push_back(Scanned::Unreadable { offset: 0, why: "the file header is damaged" });
        }
        let end = last_nonzero(file, 0)?;
        Ok(Self { reader, end, parts: Vec::new(), open: None, lost: false, found })
    }

    /// What comes next; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Scanned>> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Ok(Some(found));
            }
            if self.reader.offset() >= self.end {
                self.abandon("the record is not complete");
                return Ok(self.found.pop_front());
            }
            self.step()?;
        }
    }

    /// Gives up the record that was begun.
    fn abandon(&mut self, why: &'static str) {
        if let Some(offset) = self.open.take() {
            self.found.push_back(Scanned::Unreadable { offset, why });
        }
        self.parts.clear();
    }

    fn step(&mut self) -> io::Result<()> {
        let (offset, header, payload) = match self.reader.next()? {
            ChunkRead::Valid { offset, header, payload } => (offset, header, payload),
            ChunkRead::Bad { offset, why } => return self.bad(offset, why),
        };
        let first_number = || payload.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
        let last_number = || payload.last_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
        let synced = header.synced_off;
        let next = match header.kind {
            ChunkType::Middle | ChunkType::Last => {
                let Some(start) = self.open else {
                    if !std::mem::replace(&mut self.lost, true) {
                        let why = "the chunk continues a record that is not there";
                        self.found.push_back(Scanned::Unreadable { offset, why });
                    }
                    return Ok(());
                };
                self.parts.extend_from_slice(payload);
                if header.kind == ChunkType::Middle {
                    return Ok(());
                }
                self.open = None;
                Scanned::Record { offset: start, synced, bytes: std::mem::take(&mut self.parts) }
            }
            ChunkType::First => {
                let parts = payload.to_vec();
                self.abandon("the record is not complete");
                (self.parts, self.open, self.lost) = (parts, Some(offset), false);
                return Ok(());
            }
            ChunkType::Full => Scanned::Record { offset, synced, bytes: payload.to_vec() },
            ChunkType::Head => Scanned::Head { offset, next_seq: first_number().unwrap_or_default() },
            ChunkType::Trailer => Scanned::Trailer { offset, last_seq: last_number().unwrap_or_default() },
        };
        self.lost = false;
        self.abandon("the record is not complete");
        self.found.push_back(next);
        Ok(())
    }

    /// Goes on behind a bad chunk: at the next one if its length can be found out or believed, else at
    /// the next block, where a chunk always begins.
    fn bad(&mut self, offset: u64, why: &'static str) -> io::Result<()> {
        if self.reader.read_again(offset) {
            return Ok(());
        }
        self.abandon("the record is not complete");
        if offset < self.end && !std::mem::replace(&mut self.lost, true) {
            self.found.push_back(Scanned::Unreadable { offset, why });
        }
        // What the length of a damaged header says may lead anywhere; what is found out is certain.
        if let Some(end) = self.reader.find_end(offset)? {
            self.reader.seek(end);
        } else if !self.reader.skip_bad()? {
            self.reader.seek(offset / BLOCK_LEN * BLOCK_LEN + BLOCK_LEN);
        }
        Ok(())
    }
}
