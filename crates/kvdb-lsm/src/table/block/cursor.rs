//! A position in a data block.

use super::Stored;
use crate::batch::Seq;

/// A position in a block, kept apart from it so that it can be reused for the next block.
///
/// # Invariants
/// If `passed` is not empty, its last is the entry right before the current one, the others are
/// those before it without a gap, and `tails` holds what their keys have that the key behind each
/// does not share: together no more than a part of the block.
#[derive(Debug, Default)]
pub(in crate::table) struct BlockCursor {
    pub(super) key: Vec<u8>,
    pub(super) seq: Seq,
    pub(super) stored: Stored,
    pub(super) value: (usize, usize),
    pub(super) at: usize,
    pub(super) next: usize,
    pub(super) valid: bool,
    /// The entries of the restart interval before the current one, on the way back: a key is whole
    /// only after a walk from its restart, and one walk is enough for all keys of the interval.
    passed: Vec<Passed>,
    tails: Vec<u8>,
}

/// An entry that the cursor can go back to without decoding it again.
#[derive(Debug)]
struct Passed {
    /// How much of its key the next one shares.
    shared: usize,
    /// Where the rest of its key begins in `tails`; it ends where that of the next one begins.
    tail: usize,
    seq: Seq,
    stored: Stored,
    value: (usize, usize),
    at: usize,
}

impl BlockCursor {
    /// Makes the entry at `next`, a restart, the one to read.
    pub(super) fn rewind(&mut self, next: usize) {
        self.forget();
        self.key.clear();
        self.next = next;
    }

    pub(super) fn forget(&mut self) {
        self.passed.clear();
        self.tails.clear();
    }

    /// Remembers the current entry, to come back to it from the next one, which shares this much
    /// of its key.
    pub(super) fn remember(&mut self, shared: usize) {
        let tail = self.tails.len();
        self.tails.extend_from_slice(&self.key[shared..]);
        let Self { seq, stored, value, at, .. } = *self;
        self.passed.push(Passed { shared, tail, seq, stored, value, at });
    }

    /// Goes back to the entry remembered last, if there is one.
    pub(super) fn recall(&mut self) -> bool {
        let Some(passed) = self.passed.pop() else {
            return false;
        };
        self.key.truncate(passed.shared);
        self.key.extend_from_slice(&self.tails[passed.tail..]);
        self.tails.truncate(passed.tail);
        (self.seq, self.stored, self.value) = (passed.seq, passed.stored, passed.value);
        self.next = self.value.1;
        self.at = passed.at;
        self.valid = true;
        true
    }
}
