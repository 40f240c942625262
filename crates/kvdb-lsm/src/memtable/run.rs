//! A piece of a memtable, copied out in key order, that an iterator walks without holding a lock.

use std::ops::Range;

use crate::batch::Seq;
use crate::entry::{Content, Entry};

/// A run takes no further entry once it holds this much, so that the lock of a partition is never
/// held for long.
const FULL_BYTES: usize = 32 << 10;
const FULL_ENTRIES: usize = 256;
/// The first run after a seek is short: many seeks want only a few entries.
const FIRST_ENTRIES: usize = 16;

/// Entries in key order, whichever way they were copied.
#[derive(Debug)]
pub(super) struct Run {
    bytes: Vec<u8>,
    entries: Vec<RunEntry>,
    limit: usize,
}

impl Default for Run {
    fn default() -> Self {
        Self { bytes: Vec::new(), entries: Vec::new(), limit: FIRST_ENTRIES }
    }
}

#[derive(Debug)]
struct RunEntry {
    seq: Seq,
    key: Range<usize>,
    value: Option<Range<usize>>,
}

impl Run {
    /// Empties the run, for the first entries after a seek.
    pub(super) fn start(&mut self) {
        self.clear(FIRST_ENTRIES);
    }

    /// Empties the run, for the entries next to those of `other`.
    pub(super) fn follow(&mut self, other: &Self) {
        self.clear((other.limit * 4).min(FULL_ENTRIES));
    }

    fn clear(&mut self, limit: usize) {
        self.bytes.clear();
        self.entries.clear();
        self.limit = limit;
    }

    pub(super) const fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES || self.entries.len() >= self.limit
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Turns entries that were copied from the last to the first.
    pub(super) fn reverse(&mut self) {
        self.entries.reverse();
    }

    pub(super) fn push(&mut self, key: &[u8], seq: Seq, value: Option<&[u8]>) {
        let key = self.copy(key);
        let value = value.map(|value| self.copy(value));
        self.entries.push(RunEntry { seq, key, value });
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    pub(super) fn key(&self, at: usize) -> Option<&[u8]> {
        self.entries.get(at).map(|entry| &self.bytes[entry.key.clone()])
    }

    pub(super) fn get(&self, at: usize) -> Option<Entry<'_>> {
        let entry = self.entries.get(at)?;
        Some(Entry {
            key: &self.bytes[entry.key.clone()],
            seq: entry.seq,
            content: Content::of(entry.value.clone().map(|range| &self.bytes[range])),
        })
    }
}
