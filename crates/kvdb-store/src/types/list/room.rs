//! Room between two elements whose positions are next to each other.
//!
//! The fewest neighbours are moved that make room for a while: those in the smallest range of positions, of a power of two
//! and aligned to it, that is not crowded. A range of 2^i positions is crowded by more than 2^(i/2) elements. They are
//! spread evenly over it. So an insertion moves O(log n) elements on average, wherever it goes (Bender, Cole, Demaine,
//! Farach-Colton and Zito, "Two simplified algorithms for maintaining order in a list", 2002). The ends of all positions
//! need no case of their own: a list that has reached one is crowded there.

use std::ops::Range;

use super::List;
use super::positions::{GAP, MIDDLE};
use crate::types::Elements;

/// Where neighbours are moved to, and a new element among them is put.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spread {
    /// The elements to be moved.
    pub(super) range: Range<usize>,
    /// How many of them stand before the new one.
    pub(super) before: usize,
    first: u64,
    stride: u64,
}

impl Spread {
    /// The new position of a moved element, counted within the range.
    pub(super) fn position(&self, nth: usize) -> u64 {
        let nth = if nth < self.before { nth } else { nth + 1 };
        self.first + self.stride * nth as u64
    }

    /// The position of the new element.
    pub(super) fn new_position(&self) -> u64 {
        self.first + self.stride * self.before as u64
    }

    /// Moves the elements that are there.
    pub(super) fn apply(&self, list: &mut List) {
        let middle = self.range.start + self.before;
        list.renumber(self.range.start..middle, self.first, self.stride);
        if middle < self.range.end {
            list.renumber(middle..self.range.end, self.position(self.before), self.stride);
        }
    }
}

/// A position between those of two neighbours, or beyond an end; `None` when there is none left.
pub(super) fn between(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    match (before, after) {
        (None, None) => Some(MIDDLE),
        (Some(before), Some(after)) => (after - before > 1).then(|| before + (after - before) / 2),
        (Some(before), None) => {
            let room = u64::MAX - before;
            (room > 0).then(|| before + GAP.min(room.div_ceil(2)))
        }
        (None, Some(after)) => (after > 0).then(|| after - GAP.min(after.div_ceil(2))),
    }
}

/// Finds room for an element before the one at `index`, or behind the last, of a list that is not empty.
pub(super) fn make(list: &List, index: usize) -> Spread {
    let anchor = list.position(index.saturating_sub(1));
    let mut range = index..index;
    for bits in 1..=64 {
        let size = 1u128 << bits;
        let base = u128::from(anchor) & !(size - 1);
        let inside = |index: usize| (base..base + size).contains(&u128::from(list.position(index)));
        while range.start > 0 && inside(range.start - 1) {
            range.start -= 1;
        }
        while range.end < list.len() && inside(range.end) {
            range.end += 1;
        }
        let count = range.len() as u128 + 1;
        if count * count <= size || bits == 64 {
            let stride = (size / count).min(u128::from(GAP));
            let first = base + (size - stride * (count - 1) - 1) / 2;
            let before = index - range.start;
            return Spread { range, before, first: first as u64, stride: stride as u64 };
        }
    }
    unreachable!("the last range is that of all positions")
}
