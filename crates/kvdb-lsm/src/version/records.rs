//! The records of a manifest: how edits are framed, and how they are found again.
//!
//! ```text
//! record := magic u32 | length u32 | durable u64 | crc u32 | payload
//! ```
//! An edit is one record, or several if it is long: all but the last have a magic of their own, and
//! together their payloads are the edit. So there is no limit to what an edit may hold, and no
//! reader needs more memory than the edit itself takes.

use std::io;
use std::sync::Arc;

use crate::vfs::{VfsFile, VfsFileExt};

const WHOLE: [u8; 4] = *b"edit";
const PART: [u8; 4] = *b"part";
/// The bytes in front of the payload of a record.
pub(super) const RECORD_HEADER: usize = 20;
/// The longest payload of a record that is written. Longer ones are read.
const PART_BYTES: usize = 64 << 20;
/// The bytes read from a file at once.
const WINDOW_BYTES: usize = 1 << 20;

fn checksum(number: u64, offset: u64, durable: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&(payload.len() as u64).to_le_bytes());
    hasher.update(&durable.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The records of an edit which stands at `offset` of manifest `number`, of which `durable` bytes
/// are durable.
pub(super) fn frame(number: u64, offset: u64, durable: u64, edit: &[u8]) -> Vec<u8> {
    frame_in_parts(number, offset, durable, edit, PART_BYTES)
}

/// As [`frame`], in parts of `part` bytes.
pub(super) fn frame_in_parts(
    number: u64,
    mut offset: u64,
    durable: u64,
    edit: &[u8],
    part: usize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(edit.len() + (edit.len() / part + 1) * RECORD_HEADER);
    let mut rest = edit;
    loop {
        let (payload, behind) = rest.split_at(rest.len().min(part));
        let len = u32::try_from(payload.len()).expect("a part is far smaller than 4 GiB");
        out.extend_from_slice(if behind.is_empty() { &WHOLE } else { &PART });
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&durable.to_le_bytes());
        out.extend_from_slice(&checksum(number, offset, durable, payload).to_le_bytes());
        out.extend_from_slice(payload);
        if behind.is_empty() {
            return out;
        }
        offset += (RECORD_HEADER + payload.len()) as u64;
        rest = behind;
    }
}

/// Whether an edit has several records.
pub(super) const fn has_parts(edit: &[u8]) -> bool {
    edit.len() > PART_BYTES
}

/// An intact record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'b> {
    /// The edit goes on in the next record.
    pub(super) goes_on: bool,
    /// What it promises to be durable.
    pub(super) durable: u64,
    pub(super) payload: &'b [u8],
    /// Where the next record is.
    pub(super) end: u64,
}

/// The bytes of a manifest, in memory or in a file.
pub(crate) enum Bytes<'b> {
    /// In memory.
    Memory(&'b [u8]),
    /// In a file, of which `window` holds the bytes from `start` on.
    File { file: Arc<dyn VfsFile>, len: u64, start: u64, window: Vec<u8> },
}

impl Bytes<'_> {
    /// Those of a file.
    pub(crate) fn of(file: Arc<dyn VfsFile>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self::File { file, len, start: 0, window: Vec::new() })
    }

    /// How many there are.
    pub(super) const fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// `wanted` bytes from `at` on; `None` if there are fewer.
    pub(super) fn get(&mut self, at: u64, wanted: usize) -> io::Result<Option<&[u8]>> {
        let left = self.len().saturating_sub(at);
        if left < wanted as u64 {
            return Ok(None);
        }
        match self {
            // What is in memory has a length that fits.
            Self::Memory(bytes) => Ok(bytes.get(at as usize..at as usize + wanted)),
            Self::File { file, start, window, .. } => {
                let is_there = at >= *start && at + wanted as u64 <= *start + window.len() as u64;
                if !is_there {
                    let len = left.min(wanted.max(WINDOW_BYTES) as u64) as usize;
                    window.clear();
                    window.shrink_to(WINDOW_BYTES.max(len));
                    window.resize(len, 0);
                    *start = at;
                    file.read_exact_at(window, at).inspect_err(|_| window.clear())?;
                }
                let from = (at - *start) as usize;
                Ok(window.get(from..from + wanted))
            }
        }
    }

    /// The record at `at` of manifest `number`, if there is an intact one.
    pub(super) fn record(&mut self, at: u64, number: u64) -> io::Result<Option<Record<'_>>> {
        let Some(magic) = self.get(at, WHOLE.len())? else { return Ok(None) };
        if *magic != WHOLE && *magic != PART {
            return Ok(None);
        }
        let goes_on = *magic == PART;
        let head = self.get(at, RECORD_HEADER)?.and_then(|head| head.first_chunk::<RECORD_HEADER>());
        let Some([_, _, _, _, len @ .., d0, d1, d2, d3, d4, d5, d6, d7, c0, c1, c2, c3]) = head else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*len) as usize;
        let durable = u64::from_le_bytes([*d0, *d1, *d2, *d3, *d4, *d5, *d6, *d7]);
        let crc = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
        let end = at + (RECORD_HEADER + len) as u64;
        let Some(payload) = self.get(at + RECORD_HEADER as u64, len)? else { return Ok(None) };
        let is_intact = checksum(number, at, durable, payload) == crc;
        Ok(is_intact.then_some(Record { goes_on, durable, payload, end }))
    }
}
