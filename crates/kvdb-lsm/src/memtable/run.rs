//! A piece of a memtable, copied out in key order, that an iterator walks without holding a lock.

use std::ops::Range;

use crate::batch::Seq;
use crate::entry::Entry;

/// A run takes no further entry once it holds this much, so that the lock of a partition is never
/// held for long.
const FULL_BYTES: usize = 32 << 10;
const FULL_ENTRIES: usize = 256;

/// Entries in key order.
#[derive(Debug, Default)]
pub(super) struct Run {
    bytes: Vec<u8>,
    entries: Vec<RunEntry>,
}

#[derive(Debug)]
struct RunEntry {
    seq: Seq,
    key: Range<usize>,
    value: Option<Range<usize>>,
}

impl Run {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    pub(super) const fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES || self.entries.len() >= FULL_ENTRIES
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
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

    pub(super) fn get(&self, at: usize) -> Option<Entry<'_>> {
        let entry = self.entries.get(at)?;
        Some(Entry {
            key: &self.bytes[entry.key.clone()],
            seq: entry.seq,
            value: entry.value.clone().map(|range| &self.bytes[range]),
        })
    }
}
