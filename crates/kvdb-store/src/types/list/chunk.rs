//! A chunk: neighbouring elements of a list in one pack, with their positions.

use std::ops::Range;

use super::positions::{Positions, Run};
use crate::entry::ValueRef;
use crate::types::pack::{Cursor, Needle, Pack};

/// Neighbouring elements; there is at least one.
///
/// # Invariants
///
/// * The pack has as many elements as there are positions.
#[derive(Debug, Clone)]
// In this order, as what tells the shapes of all types of collections apart fits into the end of a pack.
#[repr(C)]
pub(super) struct Chunk {
    pub(super) positions: Positions,
    pub(super) pack: Pack<1, true>,
}

impl Chunk {
    /// A chunk of one element.
    pub(super) fn of(element: &[u8], position: u64) -> Self {
        let mut pack = Pack::new();
        pack.push_back([element]);
        Self { positions: Positions::one(position), pack }
    }

    /// The number of elements.
    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    /// Bytes of memory beside the structure itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.pack.memory_bytes() + self.positions.memory_bytes()
    }

    /// The place before an element, reached from the nearer end.
    pub(super) fn cursor(&self, index: usize) -> Cursor<'_, 1, true> {
        let len = self.len();
        if index <= len / 2 {
            let mut cursor = self.pack.first();
            (0..index).for_each(|_| _ = cursor.pass());
            cursor
        } else {
            let mut cursor = self.pack.end();
            (index..len).for_each(|_| _ = cursor.pass_back());
            cursor
        }
    }

    /// Positions with elements.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, ValueRef<'_>)> {
        self.positions.iter().zip(self.pack.iter().map(|[value]| value))
    }

    /// Puts an element before the one at `index`, or behind the last.
    pub(super) fn insert(&mut self, index: usize, element: &[u8], position: u64) {
        if index == self.len() {
            self.pack.push_back([element]);
            self.positions.push_back(position);
        } else if index == 0 {
            self.pack.push_front([element]);
            self.positions.push_front(position);
        } else {
            self.pack.insert(self.cursor(index).offset(), [element]);
            self.renumber(index..index, Run::new(position, 0, 1));
        }
    }

    /// Takes out a part that is not the whole.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        self.pack.remove(self.cursor(range.start).offset(), range.len());
        self.renumber(range, None);
    }

    /// Puts other positions in the place of some.
    pub(super) fn renumber(&mut self, range: Range<usize>, new: Option<Run>) {
        self.positions = self.positions.splice(range, new).expect("a chunk is never empty");
    }

    /// Puts another element in the place of one.
    pub(super) fn replace(&mut self, index: usize, element: &[u8]) {
        self.pack.replace(self.cursor(index).offset(), [element]);
    }

    /// Cuts the chunk in two before an element that is not the first; returns the second part.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let pack = self.pack.split_off(self.cursor(index).offset());
        let positions = self.positions.slice(index..self.len()).expect("the second part is not empty");
        self.renumber(index..self.len(), None);
        Self { positions, pack }
    }

    /// Adds all elements of the next chunk.
    pub(super) fn append(&mut self, next: &Self) {
        self.pack.append(&next.pack);
        self.positions.append(&next.positions);
    }

    /// Takes out all elements that are equal, at most `limit` of them from the first or the last on. Returns their
    /// positions, and whether any element is left: when not, the chunk is as it was.
    pub(super) fn remove_equal(
        &mut self,
        needle: &Needle<'_>,
        limit: usize,
        from_end: bool,
    ) -> (Vec<u64>, bool) {
        let found = self.iter().enumerate().filter(|(_, (_, value))| needle.is(*value));
        let mut found: Vec<(usize, u64)> = found.map(|(index, (position, _))| (index, position)).collect();
        if from_end {
            found.drain(..found.len().saturating_sub(limit));
        } else {
            found.truncate(limit);
        }
        let positions: Vec<u64> = found.iter().map(|&(_, position)| position).collect();
        if found.is_empty() || found.len() == self.len() {
            return (positions, found.is_empty());
        }
        let (mut index, mut next) = (0, found.iter().map(|&(index, _)| index).peekable());
        self.pack.retain(|_| {
            let keep = next.next_if_eq(&index).is_none();
            index += 1;
            keep
        });
        let mut kept: Option<Positions> = None;
        let mut removed = positions.iter().peekable();
        for position in self.positions.iter() {
            if removed.next_if_eq(&&position).is_none() {
                match &mut kept {
                    Some(kept) => kept.push_back(position),
                    None => kept = Some(Positions::one(position)),
                }
            }
        }
        self.positions = kept.expect("some are left");
        (positions, true)
    }
}
