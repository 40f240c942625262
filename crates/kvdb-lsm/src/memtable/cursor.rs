//! Walking a memtable in key order, either way, while it is written to.

use std::ops::{Bound, Range};
use std::sync::Arc;

use super::Memtable;
use super::run::Run;
use crate::batch::Seq;
use crate::entry::{Bounds, Direction, Entry, KeyRange};

/// The versions of the keys of a range that one sequence sees, in key order. Unplaced until the
/// first seek; who has gone over either end has to seek again.
///
/// Entries are copied out run by run under a lock that is shared with other readers. What was written after the cursor's
/// sequence is never seen, provided that a live view protects that sequence (or that nobody writes
/// any more, as in a frozen memtable).
///
/// # Invariants
/// `run` has, without a gap, every entry between its first and its last. The entries of the range
/// that lie before it are in partitions below `before`, those behind it in partitions from `after`
/// on.
#[derive(Debug)]
pub(crate) struct MemCursor {
    memtable: Arc<Memtable>,
    at: Seq,
    range: KeyRange,
    run: Run,
    /// The run before the current one: what is in it is no longer used, its memory is.
    spare: Run,
    position: usize,
    before: usize,
    after: usize,
}

impl MemCursor {
    pub(super) fn new(memtable: Arc<Memtable>, range: KeyRange, at: Seq) -> Self {
        let (run, spare) = Default::default();
        Self { memtable, at, range, run, spare, position: 0, before: 0, after: 0 }
    }

    /// The current entry, if any is left.
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        self.run.get(self.position)
    }

    /// The key of the current entry.
    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.run.key(self.position)
    }

    /// Goes to the first entry.
    pub(crate) fn seek_first(&mut self) {
        self.start_forward(Bound::Unbounded);
    }

    /// Goes to the last entry.
    pub(crate) fn seek_last(&mut self) {
        self.start_backward(Bound::Unbounded);
    }

    /// Goes to the first entry with a key not below `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) {
        let clamped = self.range.bounds().is_before(key);
        self.start_forward(if clamped { Bound::Unbounded } else { Bound::Included(key) });
    }

    /// Goes to the last entry with a key below `key`, or not above it if `inclusive`.
    pub(crate) fn seek_back(&mut self, key: &[u8], inclusive: bool) {
        let bound = if inclusive { Bound::Included(key) } else { Bound::Excluded(key) };
        let clamped = self.range.bounds().is_after(key);
        self.start_backward(if clamped { Bound::Unbounded } else { bound });
    }

    /// Goes to the next entry.
    pub(crate) fn advance(&mut self) {
        self.position += 1;
        if self.position < self.run.len() {
            return;
        }
        std::mem::swap(&mut self.run, &mut self.spare);
        self.run.follow(&self.spare);
        if let Some(last) = self.spare.len().checked_sub(1).and_then(|last| self.spare.key(last)) {
            let mut rest = self.range.bounds();
            rest.lower = Bound::Excluded(last);
            let partitions = self.after..last_partition(&self.memtable, rest) + 1;
            (self.before, self.after) =
                fill_forward(&self.memtable, partitions, rest, self.at, &mut self.run);
        }
        self.position = 0;
    }

    /// Goes to the entry before.
    pub(crate) fn retreat(&mut self) {
        if self.position > 0 {
            self.position -= 1;
            return;
        }
        std::mem::swap(&mut self.run, &mut self.spare);
        self.run.follow(&self.spare);
        if let Some(first) = self.spare.key(0) {
            let mut rest = self.range.bounds();
            rest.upper = Bound::Excluded(first);
            let partitions = first_partition(&self.memtable, rest)..self.before;
            (self.before, self.after) =
                fill_backward(&self.memtable, partitions, rest, self.at, &mut self.run);
        }
        self.position = self.run.len().saturating_sub(1);
    }

    /// Goes to the first entry of the range that is not before `lower`.
    fn start_forward(&mut self, lower: Bound<&[u8]>) {
        let mut rest = self.range.bounds();
        if lower != Bound::Unbounded {
            rest.lower = lower;
        }
        let partitions = partitions(&self.memtable, rest);
        self.run.start();
        (self.before, self.after) = fill_forward(&self.memtable, partitions, rest, self.at, &mut self.run);
        self.position = 0;
    }

    /// Goes to the last entry of the range that is not behind `upper`.
    fn start_backward(&mut self, upper: Bound<&[u8]>) {
        let mut rest = self.range.bounds();
        if upper != Bound::Unbounded {
            rest.upper = upper;
        }
        let partitions = partitions(&self.memtable, rest);
        self.run.start();
        (self.before, self.after) = fill_backward(&self.memtable, partitions, rest, self.at, &mut self.run);
        self.position = self.run.len().saturating_sub(1);
    }
}

/// The partitions that may have keys of a range.
fn partitions(memtable: &Memtable, range: Bounds<'_>) -> Range<usize> {
    first_partition(memtable, range)..last_partition(memtable, range) + 1
}

fn first_partition(memtable: &Memtable, range: Bounds<'_>) -> usize {
    match range.lower {
        Bound::Included(key) | Bound::Excluded(key) => memtable.partition_of(key),
        Bound::Unbounded => 0,
    }
}

fn last_partition(memtable: &Memtable, range: Bounds<'_>) -> usize {
    match range.upper {
        Bound::Included(key) | Bound::Excluded(key) => memtable.partition_of(key),
        Bound::Unbounded => memtable.partitions.len() - 1,
    }
}

/// Copies the first entries of a range into the empty `run`. Returns below which partition the
/// entries before it are, and from which one on those behind it.
fn fill_forward(
    memtable: &Memtable,
    partitions: Range<usize>,
    range: Bounds<'_>,
    at: Seq,
    run: &mut Run,
) -> (usize, usize) {
    let mut rest = partitions;
    while let Some(partition) = memtable.first_occupied(rest.clone()) {
        let done = fill(memtable, partition, range, Direction::Forward, at, run);
        if run.len() > 0 {
            return (partition + 1, partition + usize::from(done));
        }
        rest.start = partition + 1;
    }
    (rest.end, rest.end)
}

/// As [`fill_forward`], for the last entries of the range.
fn fill_backward(
    memtable: &Memtable,
    partitions: Range<usize>,
    range: Bounds<'_>,
    at: Seq,
    run: &mut Run,
) -> (usize, usize) {
    let mut rest = partitions;
    while let Some(partition) = memtable.last_occupied(rest.clone()) {
        let done = fill(memtable, partition, range, Direction::Backward, at, run);
        if run.len() > 0 {
            run.reverse();
            return (partition + usize::from(!done), partition);
        }
        rest.end = partition;
    }
    (rest.start, rest.start)
}

fn fill(
    memtable: &Memtable,
    number: usize,
    range: Bounds<'_>,
    direction: Direction,
    at: Seq,
    run: &mut Run,
) -> bool {
    memtable.file_all(number);
    let (done, sorted) = memtable.partitions[number].read().fill(range, direction, at, run);
    if let Some(sorted) = sorted {
        memtable.change(number, |partition| partition.keep(sorted));
    }
    done
}
