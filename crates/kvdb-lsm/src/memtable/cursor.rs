//! Walking a memtable in key order while it is written to.

use std::ops::Bound;
use std::sync::Arc;

use super::Memtable;
use super::run::Run;
use crate::batch::Seq;
use crate::entry::{Entry, KeyRange};

/// The versions of the keys of a range that one sequence sees, in key order.
///
/// Entries are copied out run by run under a lock that is shared with other readers. What was written after the cursor's
/// sequence is never seen, provided that a live view protects that sequence (or that nobody writes
/// any more, as in a frozen memtable).
///
/// # Invariants
/// The runs so far cover every key before `range.lower`.
#[derive(Debug)]
pub(crate) struct MemCursor {
    memtable: Arc<Memtable>,
    at: Seq,
    /// What is still to be read.
    range: KeyRange,
    partition: usize,
    last_partition: usize,
    run: Run,
    position: usize,
    exhausted: bool,
}

impl MemCursor {
    pub(super) fn new(memtable: Arc<Memtable>, range: KeyRange, at: Seq) -> Self {
        let partition = match &range.lower {
            Bound::Included(key) | Bound::Excluded(key) => memtable.partition_of(key),
            Bound::Unbounded => 0,
        };
        let last_partition = match &range.upper {
            Bound::Included(key) | Bound::Excluded(key) => memtable.partition_of(key),
            Bound::Unbounded => memtable.partitions.len() - 1,
        };
        let mut cursor = Self {
            memtable,
            at,
            range,
            partition,
            last_partition,
            run: Run::default(),
            position: 0,
            exhausted: false,
        };
        cursor.refill();
        cursor
    }

    /// The current entry, if any is left.
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        self.run.get(self.position)
    }

    /// Goes to the next entry.
    pub(crate) fn advance(&mut self) {
        self.position += 1;
        if self.position >= self.run.len() {
            self.refill();
        }
    }

    fn refill(&mut self) {
        if let Some(last) = self.run.len().checked_sub(1).and_then(|n| self.run.get(n)) {
            self.range.lower = Bound::Excluded(last.key.to_vec());
        }
        self.run.clear();
        self.position = 0;
        while !self.exhausted && self.run.len() == 0 {
            if self.partition > self.last_partition {
                self.exhausted = true;
                break;
            }
            self.memtable.file_all(self.partition);
            let partition = self.memtable.partitions[self.partition].read();
            let (done, sorted) = partition.fill(&self.range, self.at, &mut self.run);
            drop(partition);
            if let Some(sorted) = sorted {
                self.memtable.change(self.partition, |partition| partition.keep(sorted));
            }
            if done {
                self.partition += 1;
            }
        }
    }
}
