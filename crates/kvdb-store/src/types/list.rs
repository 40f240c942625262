//! Lists: sequences with two ends.
//!
//! An element row is a position, 8 bytes in big-endian order, and the element. Positions leave gaps: what is
//! added at an end stands a million positions from what was there, what is put between two elements stands half-way. So
//! a change writes the rows of the elements that it names and no others, until a gap is used up; then the fewest
//! neighbours that it takes get new positions.
//!
//! In memory a short list is one chunk, a pack with the positions of its elements, and a long one many
//! in blocks. Where the border lies, and how large a chunk gets, is what Redis' settings say.

mod chunk;
mod chunks;
mod edit;
mod limits;
mod positions;
mod room;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::pack::{Cursor, Needle, Pack};
use super::{Collection, Elements, Layout};
use crate::context::text_of;
use crate::entry::ValueRef;
use crate::row::Type;
use chunk::Chunk;
use chunks::{Chunks, Spot};
use limits::Limit;
use positions::{GAP, Run};

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The left one, where index 0 is.
    Head,
    /// The right one.
    Tail,
}

/// A sequence of elements.
#[derive(Debug, Clone, Default)]
pub struct List(Shape);

/// A list is `One` while Redis would keep it in one listpack.
#[derive(Debug, Clone, Default)]
enum Shape {
    #[default]
    Empty,
    One(Chunk),
    Many(Box<Chunks>),
}

/// Elements from a place on, in either direction.
pub struct Values<'l> {
    list: &'l List,
    block: usize,
    chunk: usize,
    cursor: Cursor<'l, 1, true>,
    backwards: bool,
}

impl<'l> Iterator for Values<'l> {
    type Item = ValueRef<'l>;

    #[inline]
    fn next(&mut self) -> Option<ValueRef<'l>> {
        loop {
            let value = if self.backwards { self.cursor.back() } else { self.cursor.next() };
            if let Some([value]) = value {
                return Some(value);
            }
            self.next_chunk()?;
        }
    }
}

impl Values<'_> {
    fn next_chunk(&mut self) -> Option<()> {
        if self.backwards {
            (self.block, self.chunk) = match self.chunk.checked_sub(1) {
                Some(chunk) => (self.block, chunk),
                None => {
                    let block = self.block.checked_sub(1)?;
                    (block, self.list.last_of(block))
                }
            };
            self.cursor = self.list.chunk(self.block, self.chunk)?.pack.end();
        } else {
            self.chunk += 1;
            if self.list.chunk(self.block, self.chunk).is_none() {
                (self.block, self.chunk) = (self.block + 1, 0);
            }
            self.cursor = self.list.chunk(self.block, self.chunk)?.pack.first();
        }
        Some(())
    }
}

impl List {
    /// A list of these elements.
    pub fn of<'e>(elements: impl IntoIterator<Item = &'e [u8]>, layout: &Layout) -> Self {
        let mut list = Self::default();
        for element in elements {
            list.append(element, layout);
        }
        list
    }

    /// Adds an element behind the last, of a list that only grew so far.
    pub fn append(&mut self, element: &[u8], layout: &Layout) {
        self.push_back(element, self.behind_last(), layout);
    }

    /// The position of an element that is added behind the last, while the list is far from the end of all positions.
    fn behind_last(&self) -> u64 {
        self.len().checked_sub(1).map_or(positions::MIDDLE, |last| self.position(last) + GAP)
    }

    /// The element with an index from the head.
    pub fn get(&self, index: usize) -> Option<ValueRef<'_>> {
        if index < self.len() { self.values(index).next() } else { None }
    }

    /// The elements from the one with this index on, towards the tail.
    pub fn values(&self, from: usize) -> Values<'_> {
        self.values_from(from, false)
    }

    /// The elements from the one with this index on, towards the head.
    pub fn values_back(&self, from: usize) -> Values<'_> {
        self.values_from(from, true)
    }

    fn values_from(&self, from: usize, backwards: bool) -> Values<'_> {
        if from >= self.len() {
            return Values { list: self, block: 0, chunk: 0, cursor: Cursor::NOWHERE, backwards };
        }
        let Spot { block, chunk, at } = self.locate(from);
        let found = self.chunk(block, chunk).expect("it was just located");
        let cursor = found.cursor(at + usize::from(backwards));
        Values { list: self, block, chunk, cursor, backwards }
    }

    /// The index of the first element that is equal.
    pub fn index_of(&self, element: &[u8]) -> Option<usize> {
        let needle = Needle::of(element);
        self.values(0).position(|value| needle.is(value))
    }

    /// A list of a part of the elements, stored as this one would be if the others had been taken out.
    #[must_use]
    pub fn slice(&self, range: Range<usize>, layout: &Layout) -> Self {
        let mut part = Self::default();
        for value in self.values(range.start).take(range.len()) {
            part.push_back(&text_of(value), part.behind_last(), layout);
        }
        if matches!(self.0, Shape::Many(_)) {
            part.widen();
            part.narrow(layout);
        }
        part
    }

    fn chunk(&self, block: usize, chunk: usize) -> Option<&Chunk> {
        match &self.0 {
            Shape::Empty => None,
            Shape::One(only) => (block == 0 && chunk == 0).then_some(only),
            Shape::Many(chunks) => chunks.get(block, chunk),
        }
    }

    fn at(&self, spot: Spot) -> &Chunk {
        self.chunk(spot.block, spot.chunk).expect("a spot is where a chunk is")
    }

    /// The place of the last chunk of a block.
    fn last_of(&self, block: usize) -> usize {
        match &self.0 {
            Shape::Empty | Shape::One(_) => 0,
            Shape::Many(chunks) => chunks.last_of(block),
        }
    }

    fn locate(&self, index: usize) -> Spot {
        match &self.0 {
            Shape::Empty | Shape::One(_) => Spot { block: 0, chunk: 0, at: index },
            Shape::Many(chunks) => chunks.locate(index),
        }
    }

    fn position(&self, index: usize) -> u64 {
        let spot = self.locate(index);
        self.at(spot).positions.get(spot.at)
    }

    /// Changes a chunk, which must keep an element.
    fn change<R>(&mut self, spot: Spot, change: impl FnOnce(&mut Chunk) -> R) -> R {
        match &mut self.0 {
            Shape::Empty => unreachable!("an empty list has no chunk"),
            Shape::One(only) => change(only),
            Shape::Many(chunks) => chunks.change(spot, change),
        }
    }

    /// Makes the list one of many chunks, where it is not.
    fn widen(&mut self) {
        if !matches!(self.0, Shape::Many(_)) {
            let mut chunks = Box::<Chunks>::default();
            if let Shape::One(only) = std::mem::take(&mut self.0) {
                chunks.push_back(only);
            }
            self.0 = Shape::Many(chunks);
        }
    }

    /// Makes the list one of a single chunk, where Redis would after something was taken out.
    fn narrow(&mut self, layout: &Layout) {
        let Shape::Many(chunks) = &mut self.0 else { return };
        if chunks.count() == 0 {
            self.0 = Shape::Empty;
        } else if chunks.count() == 1 {
            let only = chunks.get(0, 0).expect("there is one");
            if !Limit::of(layout.list_size).half().is_exceeded_by(Some(&only.pack), only.len(), 0, 0) {
                self.0 = Shape::One(std::mem::take(&mut **chunks).into_only());
            }
        }
    }

    /// Makes the list one of many chunks, where Redis would before so many bytes in so many elements are added.
    fn grow(&mut self, bytes: usize, elements: usize, layout: &Layout) {
        let (pack, len) = match &self.0 {
            Shape::Empty => (None, 0),
            Shape::One(only) => (Some(&only.pack), only.len()),
            Shape::Many(_) => return,
        };
        if Limit::of(layout.list_size).is_exceeded_by(pack, len, bytes, elements) {
            self.widen();
        }
    }

    fn push_back(&mut self, element: &[u8], position: u64, layout: &Layout) {
        self.grow(element.len(), 1, layout);
        self.insert(self.len(), element, position, layout);
    }

    /// Puts an element before the one at `index`, or behind the last.
    fn insert(&mut self, index: usize, element: &[u8], position: u64, layout: &Layout) {
        match &mut self.0 {
            Shape::Empty => self.0 = Shape::One(Chunk::of(element, position)),
            Shape::One(only) => only.insert(index, element, position),
            Shape::Many(chunks) => insert_into(chunks, index, element, position, Limit::of(layout.list_size)),
        }
    }

    /// Puts another element in the place of one.
    fn replace(&mut self, index: usize, element: &[u8], layout: &Layout) {
        let spot = self.locate(index);
        let (chunk, limit) = (self.at(spot), Limit::of(layout.list_size));
        let bytes = chunk.pack.len_bytes() + Pack::<1, true>::cost_of(element);
        if matches!(self.0, Shape::One(_)) || chunk.len() == 1 || !limit.is_exceeded(bytes, chunk.len()) {
            return self.change(spot, |chunk| chunk.replace(spot.at, element));
        }
        let position = chunk.positions.get(spot.at);
        self.remove_in(spot, 1);
        self.insert(index, element, position, layout);
    }

    /// Takes out the first elements of a range, as far as they are in one chunk; returns how many.
    fn remove_some(&mut self, range: Range<usize>) -> usize {
        let spot = self.locate(range.start);
        let count = range.len().min(self.at(spot).len() - spot.at);
        self.remove_in(spot, count);
        count
    }

    fn remove_in(&mut self, spot: Spot, count: usize) {
        if count < self.at(spot).len() {
            return self.change(spot, |chunk| chunk.remove(spot.at..spot.at + count));
        }
        match &mut self.0 {
            Shape::Many(chunks) => drop(chunks.remove(spot)),
            shape => *shape = Shape::Empty,
        }
    }

    /// Joins the chunk of an element with the next, when the two are small.
    fn join_behind(&mut self, index: usize, layout: &Layout) {
        let Shape::Many(chunks) = &mut self.0 else { return };
        if index >= chunks.len() {
            return;
        }
        let spot = chunks.locate(index);
        // Joining goes within blocks only, which leaves few chunks that could have been joined.
        let next = Spot { chunk: spot.chunk + 1, ..spot };
        let (Some(here), Some(there)) =
            (chunks.get(spot.block, spot.chunk), chunks.get(next.block, next.chunk))
        else {
            return;
        };
        let bytes = here.pack.len_bytes() + there.pack.len_bytes();
        if !Limit::of(layout.list_size).half().is_exceeded(bytes, here.len() + there.len()) {
            let second = chunks.remove(next);
            chunks.change(spot, |chunk| chunk.append(&second));
        }
    }

    /// Gives elements that are next to each other other positions; `range` is not empty.
    fn renumber(&mut self, mut range: Range<usize>, mut first: u64, stride: u64) {
        while !range.is_empty() {
            let spot = self.locate(range.start);
            let count = range.len().min(self.at(spot).len() - spot.at);
            self.change(spot, |chunk| {
                chunk.renumber(spot.at..spot.at + count, Run::new(first, stride, count))
            });
            range.start += count;
            first = first.wrapping_add(stride * count as u64);
        }
    }
}

/// Puts an element before the one at `index`, or behind the last, of a list of many chunks.
fn insert_into(chunks: &mut Chunks, index: usize, element: &[u8], position: u64, limit: Limit) {
    let cost = Pack::<1, true>::cost_of(element);
    let fits = |chunk: &Chunk| !limit.is_exceeded(chunk.pack.len_bytes() + cost, chunk.len() + 1);
    let len = chunks.len();
    if len == 0 {
        return chunks.push_back(Chunk::of(element, position));
    }
    // At an end, a chunk that is full gives back what it had room for.
    if index == len || index == 0 {
        let spot = chunks.locate(index.min(len - 1));
        if fits(chunks.get(spot.block, spot.chunk).expect("it was just located")) {
            return chunks.change(spot, |chunk| {
                chunk.insert(if index == 0 { 0 } else { chunk.len() }, element, position)
            });
        }
        chunks.change(spot, |chunk| chunk.pack.fit());
        let new = Chunk::of(element, position);
        return if index == 0 { chunks.push_front(new) } else { chunks.push_back(new) };
    }
    let spot = chunks.locate(index);
    if fits(chunks.get(spot.block, spot.chunk).expect("it was just located")) {
        return chunks.change(spot, |chunk| chunk.insert(spot.at, element, position));
    }
    // The element comes behind the one before it, in the same chunk, in the first part of it, or in one of its own.
    let before = chunks.locate(index - 1);
    if spot.at > 0 {
        let second = chunks.change(before, |chunk| {
            let second = chunk.split_off(spot.at);
            chunk.pack.fit();
            second
        });
        chunks.insert_behind(before, second);
    }
    let before = chunks.locate(index - 1);
    let end = before.at + 1;
    if fits(chunks.get(before.block, before.chunk).expect("it was just located")) {
        chunks.change(before, |chunk| chunk.insert(end, element, position));
    } else {
        chunks.insert_behind(before, Chunk::of(element, position));
    }
}

impl Elements for List {
    const KIND: Type = Type::List;

    fn of(collection: &Collection) -> Option<&Self> {
        match collection {
            Collection::List(list) => Some(list),
            _ => None,
        }
    }

    fn of_mut(collection: &mut Collection) -> Option<&mut Self> {
        match collection {
            Collection::List(list) => Some(list),
            _ => None,
        }
    }

    fn into_collection(self) -> Collection {
        Collection::List(self)
    }

    fn prefetch(&self) {
        if let Shape::One(chunk) = &self.0 {
            chunk.pack.prefetch();
        }
    }

    fn len(&self) -> usize {
        match &self.0 {
            Shape::Empty => 0,
            Shape::One(only) => only.len(),
            Shape::Many(chunks) => chunks.len(),
        }
    }

    fn memory_bytes(&self) -> usize {
        match &self.0 {
            Shape::Empty => 0,
            Shape::One(only) => only.memory_bytes(),
            Shape::Many(chunks) => size_of::<Chunks>() + chunks.memory_bytes(),
        }
    }

    fn encoding(&self) -> &'static str {
        match &self.0 {
            Shape::Empty | Shape::One(_) => "listpack",
            Shape::Many(_) => "quicklist",
        }
    }

    fn load(&mut self, element: &[u8], value: &[u8], layout: &Layout) -> Option<()> {
        let position = u64::from_be_bytes(element.try_into().ok()?);
        let last = self.len().checked_sub(1).map(|last| self.position(last));
        if last.is_some_and(|last| last >= position) {
            return None;
        }
        self.push_back(value, position, layout);
        Some(())
    }

    fn rows(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        let (mut block, mut chunk) = (0, 0);
        while let Some(found) = self.chunk(block, chunk) {
            for (position, value) in found.iter() {
                visit(&position.to_be_bytes(), &text_of(value));
            }
            (block, chunk) = if chunk < self.last_of(block) { (block, chunk + 1) } else { (block + 1, 0) };
        }
    }
}
