//! Merging sorted sources into one: the newest version of every key, in key order, either way.

mod level;
mod source;

use std::cmp::Ordering;

pub(crate) use self::level::LevelIter;
pub(crate) use self::source::Source;
use crate::entry::{Direction, Entry};
use crate::error::Error;
use crate::sabotage::{self, Bug};

/// A source in the heap, with the beginning of its key: that settles most comparisons without a
/// look at the source.
#[derive(Debug, Clone, Copy)]
struct Head {
    prefix: u64,
    source: usize,
}

/// Merges sources that are ordered from new to old.
///
/// # Invariants
/// `heap` is a binary heap of the sources that have an entry, by key in the direction of the walk
/// and then by age: its root is the newest version of the current key. On the way forward every
/// source stands on its first entry with a key not below the current one, on the way back on its
/// last entry with a key not above it; a source without an entry has none there. An error leaves
/// the merge without a position, until it is sought again.
#[derive(Debug)]
pub(crate) struct Merge {
    sources: Vec<Source>,
    heap: Vec<Head>,
    direction: Direction,
}

impl Merge {
    /// A merge without a position.
    pub(crate) fn over(sources: Vec<Source>) -> Self {
        Self { heap: Vec::with_capacity(sources.len()), sources, direction: Direction::Forward }
    }

    /// The current entry, if any is left. A tombstone is an entry.
    #[inline]
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        self.sources[self.heap.first()?.source].entry()
    }

    /// Goes to the first key.
    pub(crate) fn seek_first(&mut self) -> Result<(), Error> {
        self.place(Direction::Forward, |source| source.start(Direction::Forward))
    }

    /// Goes to the last key.
    pub(crate) fn seek_last(&mut self) -> Result<(), Error> {
        self.place(Direction::Backward, |source| source.start(Direction::Backward))
    }

    /// Goes to the first key that is not below `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        self.place(Direction::Forward, |source| source.seek(key))
    }

    /// Goes to the last key below `key`, or not above it if `inclusive`.
    pub(crate) fn seek_back(&mut self, key: &[u8], inclusive: bool) -> Result<(), Error> {
        self.place(Direction::Backward, |source| source.seek_back(key, inclusive))
    }

    /// Goes to the next key.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<(), Error> {
        self.go(Direction::Forward)
    }

    /// Goes to the key before.
    #[inline]
    pub(crate) fn retreat(&mut self) -> Result<(), Error> {
        self.go(Direction::Backward)
    }

    fn go(&mut self, direction: Direction) -> Result<(), Error> {
        let done = if direction == self.direction { self.step() } else { self.turn(direction) };
        if done.is_err() {
            self.heap.clear();
        }
        done
    }

    /// Goes one key on in the direction of the walk.
    fn step(&mut self) -> Result<(), Error> {
        // Older versions of the current key are right below the root, or nowhere.
        while let Some(older) = self.second()
            && self.is_version_of_root(older)
        {
            self.step_source(older)?;
        }
        if self.heap.is_empty() { Ok(()) } else { self.step_source(0) }
    }

    /// Goes one key on against the direction of the walk so far. Each source that has an entry
    /// stands on this side of the current key or on it, and its neighbour is on the other; a source
    /// that has none has all its entries on the other side.
    fn turn(&mut self, direction: Direction) -> Result<(), Error> {
        if sabotage::has(Bug::CarelessTurn) {
            self.direction = direction;
            return if self.heap.is_empty() { Ok(()) } else { self.step_source(0) };
        }
        self.place(direction, |source| match source.key() {
            Some(_) => source.step(direction),
            None => source.start(direction),
        })
    }

    /// Moves every source, and begins to walk in this direction.
    fn place(
        &mut self,
        direction: Direction,
        mut to: impl FnMut(&mut Source) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.heap.clear();
        self.direction = direction;
        for source in &mut self.sources {
            to(source)?;
        }
        for n in 0..self.sources.len() {
            if let Some(head) = self.head(n) {
                self.heap.push(head);
            }
        }
        for at in (0..self.heap.len() / 2).rev() {
            self.sift_down(at);
        }
        Ok(())
    }

    /// The smaller child of the root.
    #[inline]
    fn second(&self) -> Option<usize> {
        match self.heap.len() {
            0 | 1 => None,
            2 => Some(1),
            _ if self.before(self.heap[2], self.heap[1]) => Some(2),
            _ => Some(1),
        }
    }

    #[inline]
    fn is_version_of_root(&self, at: usize) -> bool {
        let (root, other) = (self.heap[0], self.heap[at]);
        root.prefix == other.prefix && self.sources[root.source].key() == self.sources[other.source].key()
    }

    /// Moves the source at `at` of the heap one entry on.
    #[inline]
    fn step_source(&mut self, at: usize) -> Result<(), Error> {
        let source = self.heap[at].source;
        self.sources[source].step(self.direction)?;
        match self.head(source) {
            Some(head) => self.heap[at] = head,
            None => {
                self.heap.swap_remove(at);
            }
        }
        // What came from the end of the heap is not above what stands over `at`: that is the
        // root, which is above all.
        self.sift_down(at);
        Ok(())
    }

    #[inline]
    fn head(&self, source: usize) -> Option<Head> {
        self.sources[source].key().map(|key| Head { prefix: prefix(key), source })
    }

    /// Whether `a` comes before `b`.
    #[inline]
    fn before(&self, a: Head, b: Head) -> bool {
        let by_key = match a.prefix.cmp(&b.prefix) {
            Ordering::Equal => self.sources[a.source].key().cmp(&self.sources[b.source].key()),
            order => order,
        };
        match (by_key, self.direction) {
            (Ordering::Equal, _) => a.source < b.source,
            (order, Direction::Forward) => order == Ordering::Less,
            (order, Direction::Backward) => order == Ordering::Greater,
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let mut first = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.before(self.heap[child], self.heap[first]) {
                    first = child;
                }
            }
            if first == at {
                return;
            }
            self.heap.swap(at, first);
            at = first;
        }
    }
}

/// The first eight bytes of a key as a number that compares like them; a shorter key is filled up
/// with zeros, so equal numbers say nothing.
#[inline]
fn prefix(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut first = [0; 8];
            first[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(first)
        }
    }
}
