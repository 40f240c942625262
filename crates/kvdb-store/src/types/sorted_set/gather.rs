//! Sorted sets in the making, by commands that store or sort what they find.

use super::large::Large;
use super::{Layout, SortedSet};

/// Members with scores, put together in any order; they are sorted once, in the end.
#[derive(Debug)]
pub struct Gathered {
    large: Box<Large>,
    longest: usize,
}

impl Gathered {
    /// Nothing yet.
    pub fn new(layout: &Layout) -> Self {
        Self { large: Large::new(layout.seed), longest: 0 }
    }

    /// Adds a member with a score, which is a number. Where the member is there, `join` makes one score of the one that
    /// it has and the new one.
    pub fn add(&mut self, member: &[u8], score: f64, join: impl FnOnce(f64, f64) -> f64) {
        self.longest = self.longest.max(member.len());
        self.large.gather(member, score, join);
    }

    /// Bytes of memory beside the structure itself.
    pub fn memory_bytes(&self) -> usize {
        self.large.memory_bytes()
    }

    /// All that was added in its order, to be read and no more.
    pub fn sorted(self) -> SortedSet {
        let mut large = self.large;
        large.sort();
        SortedSet(super::Shape::Large(large))
    }

    /// The sorted set of all that was added, to be kept.
    pub fn finish(self, layout: &Layout) -> SortedSet {
        let is_small =
            self.large.len() <= layout.sorted_set_entries && self.longest <= layout.sorted_set_value;
        let all = self.sorted();
        if !is_small {
            return all;
        }
        let mut small = SortedSet::default();
        for (member, score) in all.iter() {
            let score = small.kept(score);
            super::with_text(member, |member| small.insert(member, score, layout));
        }
        small
    }
}
