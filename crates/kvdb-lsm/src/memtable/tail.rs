//! Writes that a partition has taken and not filed yet.
//!
//! Filing a write in a partition of some size waits for memory twice: for the slot of the index and
//! for the record in it. Waiting for sixteen slots and then for sixteen records, each time all at
//! once, takes little longer than waiting for one. So writes line up here first, in bytes that are
//! used again and again and stay near the processor, and are filed together.

use super::index::Stored;
use crate::batch::Seq;

/// Writes that are filed together. More would wait no better, and crowd the cache.
const WRITES: usize = 16;
/// Bytes of keys and values after which they are filed, however few they are: copying long values
/// twice costs more than waiting.
const BYTES: usize = 4 << 10;
/// The bytes that the lines of all partitions of a memtable have together, at most, roughly: no account
/// is kept of them.
const BYTES_OF_ALL: usize = 4 << 20;

/// A write in the line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Write {
    pub(super) hash: Stored,
    pub(super) seq: Seq,
    /// Where its key begins in the bytes; its value follows.
    start: u32,
    key_len: u32,
    /// `None` for a deletion.
    value_len: Option<u32>,
}

/// # Invariants
/// The writes are in the order in which they came, which for one key may differ from that of their
/// sequences. Every live view that lies before one of them is at most `newest_view`.
#[derive(Debug)]
pub(super) struct Tail {
    writes: Vec<Write>,
    bytes: Vec<u8>,
    newest_view: Seq,
    /// Bytes after which the writes are filed.
    limit: usize,
}

impl Tail {
    /// The line of one of so many partitions.
    pub(super) fn of(partitions: usize) -> Self {
        let limit = BYTES.min(BYTES_OF_ALL / partitions.max(1));
        Self { writes: Vec::new(), bytes: Vec::new(), newest_view: 0, limit }
    }

    /// Lines a write up; returns whether it is time to file. `newest_view` is the newest view that
    /// lies before it, 0 for none.
    #[inline]
    pub(super) fn push(
        &mut self,
        hash: Stored,
        key: &[u8],
        seq: Seq,
        value: Option<&[u8]>,
        newest_view: Seq,
    ) -> bool {
        let small = |len: usize| u32::try_from(len).expect("a batch is shorter than 4 GiB");
        let (start, key_len) = (small(self.bytes.len()), small(key.len()));
        let value_len = value.map(|value| small(value.len()));
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.writes.push(Write { hash, seq, start, key_len, value_len });
        self.newest_view = self.newest_view.max(newest_view);
        self.writes.len() >= WRITES || self.bytes.len() >= self.limit
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The newest view that lies before one of the writes, 0 for none; it may be gone by now. Views
    /// that were made since see nothing but the newest versions.
    pub(super) const fn newest_view(&self) -> Seq {
        self.newest_view
    }

    /// The writes in the order in which they came.
    pub(super) fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The key of a write.
    pub(super) fn key(&self, write: &Write) -> &[u8] {
        &self.bytes[write.start as usize..][..write.key_len as usize]
    }

    /// The value of a write; `None` for a deletion.
    pub(super) fn value(&self, write: &Write) -> Option<&[u8]> {
        let start = write.start as usize + write.key_len as usize;
        write.value_len.map(|len| &self.bytes[start..][..len as usize])
    }

    /// The newest write of a key that `at` sees.
    pub(super) fn find(&self, hash: Stored, key: &[u8], at: Seq) -> Option<&Write> {
        let seen = |write: &&Write| write.hash == hash && write.seq <= at && self.key(write) == key;
        self.writes.iter().filter(seen).max_by_key(|write| write.seq)
    }

    /// Empties the line. Keeps its memory, unless a long value has left much of it.
    pub(super) fn clear(&mut self) {
        self.writes.clear();
        self.bytes.clear();
        self.bytes.shrink_to(2 * self.limit);
        self.newest_view = 0;
    }
}
