//! Effects on lists: what changes the structure and records the changed rows.

use std::ops::Range;

use super::chunks::Spot;
use super::{End, List, Shape, room};
use crate::context::text_of;
use crate::edit::Edit;
use crate::types::Elements;
use crate::types::pack::Needle;

impl Edit<'_, List> {
    /// Adds elements at an end, one after the other.
    pub fn push<'a>(&mut self, end: End, elements: impl Iterator<Item = &'a [u8]> + Clone) {
        let (bytes, count) = elements.clone().fold((0, 0), |(bytes, count), e| (bytes + e.len(), count + 1));
        self.value.grow(bytes, count, &self.layout);
        for element in elements {
            let index = if end == End::Head { 0 } else { self.value.len() };
            self.put(index, element);
        }
    }

    /// Puts an element before the one at `index`, or behind the last.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        self.value.grow(element.len(), 1, &self.layout);
        self.put(index, element);
    }

    fn put(&mut self, index: usize, element: &[u8]) {
        let before = index.checked_sub(1).map(|before| self.value.position(before));
        let after = (index < self.value.len()).then(|| self.value.position(index));
        let position = room::between(before, after).unwrap_or_else(|| self.make_room(index));
        self.value.insert(index, element, position, &self.layout);
        self.record(&position.to_be_bytes(), |out| out.extend_from_slice(element));
    }

    /// Moves neighbours so that there is a position before the element at `index`, or behind the last; returns it.
    fn make_room(&mut self, index: usize) -> u64 {
        let spread = room::make(self.value, index);
        let (range, new) = (spread.range.clone(), spread.new_position());
        for index in range.clone() {
            let old = self.value.position(index);
            self.erase(&old.to_be_bytes());
        }
        spread.apply(self.value);
        // Written last: a new position may be one that another element had.
        for (nth, value) in self.value.values(range.start).take(range.len()).enumerate() {
            let position = spread.position(nth).to_be_bytes();
            self.rows.put(&position, |out| out.extend_from_slice(&text_of(value)));
        }
        new
    }

    /// Puts another element in the place of one that is there.
    pub fn set(&mut self, index: usize, element: &[u8]) {
        let layout = self.layout;
        self.value.grow(element.len(), 1, &layout);
        let position = self.value.position(index);
        self.value.replace(index, element, &layout);
        self.value.narrow(&layout);
        self.record(&position.to_be_bytes(), |out| out.extend_from_slice(element));
    }

    /// Takes out a part that is there.
    pub fn remove(&mut self, mut range: Range<usize>) {
        let is_inside = range.start > 0 && range.end < self.value.len();
        while !range.is_empty() {
            let spot = self.value.locate(range.start);
            let chunk = self.value.at(spot);
            let count = range.len().min(chunk.len() - spot.at);
            let positions = chunk.positions.slice(spot.at..spot.at + count).expect("there is one at least");
            positions.iter().for_each(|position| self.rows.delete(&position.to_be_bytes()));
            range.end -= self.value.remove_some(range.start..range.start + count);
        }
        if is_inside {
            self.value.join_behind(range.start - 1, &self.layout);
        }
        self.value.narrow(&self.layout);
    }

    /// Takes out the elements that are equal, at most `limit` of them from an end on; returns how many.
    pub fn remove_equal(&mut self, element: &[u8], limit: usize, from: End) -> usize {
        let (needle, mut left) = (Needle::of(element), limit);
        let mut index = if from == End::Head { 0 } else { self.value.len() };
        // `index` is a border between chunks: what is beyond it has been searched.
        while left > 0 && if from == End::Head { index < self.value.len() } else { index > 0 } {
            let spot = self.value.locate(if from == End::Head { index } else { index - 1 });
            let spot = Spot { at: 0, ..spot };
            let len = self.value.at(spot).len();
            let (positions, is_left) =
                self.value.change(spot, |c| c.remove_equal(&needle, left, from == End::Tail));
            if !is_left {
                self.value.remove_in(spot, len);
            }
            let kept = len - positions.len();
            index = if from == End::Head { index + kept } else { index - len };
            left -= positions.len();
            for position in &positions {
                self.erase(&position.to_be_bytes());
            }
            // Chunks that have become small go together, this one with the one that was searched before it.
            if !positions.is_empty() && kept > 0 {
                let joined =
                    if from == End::Head { index.checked_sub(kept + 1) } else { Some(index + kept - 1) };
                joined.into_iter().for_each(|joined| self.value.join_behind(joined, &self.layout));
            }
        }
        if left < limit {
            self.value.narrow(&self.layout);
        }
        limit - left
    }
}

impl List {
    /// Whether taking a part out costs less when the rest is stored anew than when every element is taken out.
    pub fn is_cheaper_anew(&self, removed: usize) -> bool {
        const MANY: usize = 256;
        matches!(self.0, Shape::Many(_)) && removed > MANY && removed > self.len() - removed
    }
}
