//! Sorted sets: members with scores, in the order of the scores and then of the members' bytes.
//!
//! An element row is the member, and its score as a little-endian double. The order is in memory alone, so a change of a
//! score writes one row. A small sorted set is a pack in its order (`small`); a large one is a slab of members with a
//! table and a tree over it (`large`, `slab`, `order`). Every part of one (by rank, score or member) comes down to
//! ranks, from which it is read in either direction.

mod gather;
mod large;
mod order;
mod range;
mod slab;
mod small;

use std::collections::HashSet;
use std::ops::Range;

use self::large::Large;
use self::slab::{Slab, Slot};
use super::pack::{self, Pack};
use super::{Collection, Elements, Layout};
use crate::context::text_of;
use crate::edit::Edit;
use crate::entry::ValueRef;
use crate::random::Random;
use crate::row::Type;

pub use self::gather::Gathered;
pub use self::range::{LexEnd, LexRange, ScoreRange};

/// A member with its score.
pub type Scored<'s> = (ValueRef<'s>, f64);

/// Members in the order of their scores.
#[derive(Debug, Clone)]
pub struct SortedSet(Shape);

#[derive(Debug, Clone)]
enum Shape {
    /// Members with their scores.
    Small(Pack<2>),
    Large(Box<Large>),
}

impl Default for SortedSet {
    fn default() -> Self {
        Self(Shape::Small(Pack::new()))
    }
}

/// Members one after the other, in either direction.
enum Members<'s> {
    Small(pack::Cursor<'s, 2>),
    SmallBackwards(small::Backwards<'s>),
    Large(order::Cursor<'s>, &'s Slab),
    LargeBackwards(order::Cursor<'s>, &'s Slab),
}

fn scored(slot: &Slot) -> Scored<'_> {
    (ValueRef::Bytes(slot.member.as_bytes()), slot.score)
}

impl<'s> Iterator for Members<'s> {
    type Item = Scored<'s>;

    #[inline]
    fn next(&mut self) -> Option<Scored<'s>> {
        match self {
            Self::Small(cursor) => small::forth(cursor),
            Self::SmallBackwards(members) => members.next(),
            Self::Large(cursor, slab) => cursor.forth().map(|key| scored(slab.get(key.id))),
            Self::LargeBackwards(cursor, slab) => cursor.back().map(|key| scored(slab.get(key.id))),
        }
    }
}

impl SortedSet {
    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Shape::Small(pack) => small::find(pack, member).map(|(.., score)| score),
            Shape::Large(large) => large.score(member),
        }
    }

    /// How many members stand before one, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match &self.0 {
            Shape::Small(pack) => small::find(pack, member).map(|(_, rank, score)| (rank, score)),
            Shape::Large(large) => large.score(member).map(|score| (large.rank(score, member), score)),
        }
    }

    /// The ranks of the members with scores in a range, of at most about `most` from the lowest on.
    pub fn ranks_by_score(&self, range: &ScoreRange, most: usize) -> Range<usize> {
        let large = match &self.0 {
            Shape::Small(pack) => {
                return small::ranks(pack, most, |_, s| range.is_below(s), |_, s| range.is_above(s));
            }
            Shape::Large(large) => large,
        };
        let from = large.order().count(|key| range.is_below(key.score));
        from..large.order().count(|key| !range.is_above(key.score)).max(from)
    }

    /// The ranks of the members in a range, of a sorted set whose scores are all the same; of another, some ranks. Of at
    /// most about `most` from the lowest on.
    pub fn ranks_by_member(&self, range: &LexRange<'_>, most: usize) -> Range<usize> {
        let large = match &self.0 {
            Shape::Small(pack) => {
                let is_below = |member, _| with_text(member, |member| range.is_below(member));
                let is_above = |member, _| with_text(member, |member| range.is_above(member));
                return small::ranks(pack, most, is_below, is_above);
            }
            Shape::Large(large) => large,
        };
        let text = |id| large.slab().get(id).member.as_bytes();
        let from = large.order().count(|key| range.is_below(text(key.id)));
        from..large.order().count(|key| !range.is_above(text(key.id))).max(from)
    }

    /// The members of these ranks in their order, or from the last to the first.
    pub fn range(&self, ranks: Range<usize>, reverse: bool) -> impl Iterator<Item = Scored<'_>> {
        let ranks = ranks.start.min(self.len())..ranks.end.min(self.len());
        let members = match &self.0 {
            Shape::Small(pack) if reverse => {
                Members::SmallBackwards(small::Backwards::new(pack, ranks.clone()))
            }
            Shape::Small(pack) => Members::Small(small::cursor(pack, ranks.start)),
            Shape::Large(large) if reverse => {
                Members::LargeBackwards(large.order().cursor(ranks.end), large.slab())
            }
            Shape::Large(large) => Members::Large(large.order().cursor(ranks.start), large.slab()),
        };
        members.take(ranks.len())
    }

    /// All members in their order.
    pub fn iter(&self) -> impl Iterator<Item = Scored<'_>> {
        self.range(0..self.len(), false)
    }

    /// All members as quickly as they can be had: of a small one in their order, else in no order.
    pub fn iter_unordered(&self) -> impl Iterator<Item = Scored<'_>> {
        let (small, large) = match &self.0 {
            Shape::Small(..) => (Some(self.iter()), None),
            Shape::Large(large) => (None, Some(large.slab().iter().map(scored))),
        };
        small.into_iter().flatten().chain(large.into_iter().flatten())
    }

    /// Walks the sorted set: shows members from a cursor on, about `count` of them, and returns where to go on; 0 when
    /// the walk is over. A small one is shown at once.
    pub fn walk<'s>(&'s self, cursor: u64, count: usize, mut visit: impl FnMut(Scored<'s>)) -> u64 {
        let Shape::Large(large) = &self.0 else {
            self.iter().for_each(visit);
            return 0;
        };
        large.walk(cursor, count, |id| visit(scored(large.slab().get(id))))
    }

    /// A member by chance, each as likely as any other.
    pub fn random(&self, random: &mut Random) -> Option<Scored<'_>> {
        if self.is_empty() {
            return None;
        }
        let at = random.below(self.len());
        match &self.0 {
            Shape::Small(pack) => small::forth(&mut small::cursor(pack, at)),
            Shape::Large(large) => Some(scored(large.slab().get(at as u32))),
        }
    }

    /// So many different members by chance, in random order; all of them where there are no more.
    pub fn sample(&self, count: usize, random: &mut Random) -> Vec<Scored<'_>> {
        /// A large part is chosen from a list of all: drawing would meet the same ones over and over.
        const FEW: usize = 3;
        let Shape::Large(large) = &self.0 else {
            let mut all: Vec<_> = self.iter().collect();
            random.choose(&mut all, count);
            all.truncate(count);
            return all;
        };
        let ids = if count < self.len() / FEW {
            let (mut ids, mut drawn) = (Vec::with_capacity(count), HashSet::with_capacity(count));
            while ids.len() < count {
                let id = random.below(self.len()) as u32;
                if drawn.insert(id) {
                    ids.push(id);
                }
            }
            ids
        } else {
            let mut ids: Vec<u32> = (0..self.len() as u32).collect();
            random.choose(&mut ids, count);
            ids.truncate(count);
            ids
        };
        ids.into_iter().map(|id| scored(large.slab().get(id))).collect()
    }

    /// Gives a member a score, which is a number, and returns the one that it had. An equal score changes nothing.
    pub fn insert(&mut self, member: &[u8], score: f64, layout: &Layout) -> Option<f64> {
        let Shape::Small(pack) = &mut self.0 else { return self.large(layout).put(member, score) };
        let found = small::find(pack, member);
        if let Some((offset, _, before)) = found {
            if before != score {
                pack.remove(offset, 1);
                small::insert(pack, member, score);
            }
            return Some(before);
        }
        if !fits(pack, member, layout) {
            return self.large(layout).put(member, score);
        }
        small::insert(pack, member, score);
        None
    }

    /// A score as it is kept: as in Redis, a small sorted set forgets the sign of a zero.
    fn kept(&self, score: f64) -> f64 {
        if matches!(self.0, Shape::Small(..)) { score + 0.0 } else { score }
    }

    /// The large form, made of the pack where it is still one.
    fn large(&mut self, layout: &Layout) -> &mut Large {
        if let Shape::Small(..) = &self.0 {
            let mut large = Large::new(layout.seed);
            self.iter().for_each(|(member, score)| large.load(&text_of(member), score));
            large.sort();
            self.0 = Shape::Large(large);
        }
        match &mut self.0 {
            Shape::Large(large) => large,
            Shape::Small(..) => unreachable!("it has just been made large"),
        }
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.0 {
            Shape::Small(pack) => {
                let (offset, _, score) = small::find(pack, member)?;
                pack.remove(offset, 1);
                Some(score)
            }
            Shape::Large(large) => large.remove(member),
        }
    }
}

/// Whether a small sorted set can take one more.
fn fits(pack: &Pack<2>, member: &[u8], layout: &Layout) -> bool {
    pack.count() < layout.sorted_set_entries.min(pack::MAX_RECORDS)
        && member.len() <= layout.sorted_set_value
        && pack.len_bytes() + member.len() <= pack::MAX_BYTES
}

fn with_text<R>(value: ValueRef<'_>, use_it: impl FnOnce(&[u8]) -> R) -> R {
    match value {
        ValueRef::Bytes(bytes) => use_it(bytes),
        ValueRef::Int(int) => use_it(itoa::Buffer::new().format(int).as_bytes()),
    }
}

impl Elements for SortedSet {
    const KIND: Type = Type::SortedSet;

    fn of(collection: &Collection) -> Option<&Self> {
        match collection {
            Collection::SortedSet(set) => Some(set),
            _ => None,
        }
    }

    fn of_mut(collection: &mut Collection) -> Option<&mut Self> {
        match collection {
            Collection::SortedSet(set) => Some(set),
            _ => None,
        }
    }

    fn into_collection(self) -> Collection {
        Collection::SortedSet(self)
    }

    fn prefetch(&self) {
        if let Shape::Small(pack) = &self.0 {
            pack.prefetch();
        }
    }

    fn len(&self) -> usize {
        match &self.0 {
            Shape::Small(pack) => pack.count(),
            Shape::Large(large) => large.len(),
        }
    }

    fn memory_bytes(&self) -> usize {
        match &self.0 {
            Shape::Small(pack) => pack.memory_bytes(),
            Shape::Large(large) => large.memory_bytes(),
        }
    }

    fn encoding(&self) -> &'static str {
        match &self.0 {
            Shape::Small(..) => "listpack",
            Shape::Large(_) => "skiplist",
        }
    }

    fn load(&mut self, element: &[u8], value: &[u8], layout: &Layout) -> Option<()> {
        let score = f64::from_le_bytes(value.try_into().ok()?);
        if score.is_nan() {
            return None;
        }
        if let Shape::Small(pack) = &mut self.0
            && fits(pack, element, layout)
        {
            small::insert(pack, element, score);
        } else {
            self.large(layout).load(element, score);
        }
        Some(())
    }

    fn loaded(&mut self) {
        if let Shape::Large(large) = &mut self.0 {
            large.sort();
        }
    }

    fn rows(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.iter_unordered().for_each(|(member, score)| {
            with_text(member, |member| visit(member, &score.to_le_bytes()));
        });
    }
}

impl Edit<'_, SortedSet> {
    /// Gives a member a score, which is a number, and returns the one that it had. An equal score changes nothing.
    pub fn put(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let (layout, score) = (self.layout, self.value.kept(score));
        let before = self.value.insert(member, score, &layout);
        if before != Some(score) {
            self.record(member, |out| out.extend_from_slice(&score.to_le_bytes()));
        }
        before
    }

    /// As [`Self::put`], the first of `count` members: a sorted set that is going to be large is made large at once, as
    /// Redis does.
    pub fn put_first_of(&mut self, count: usize, member: &[u8], score: f64) -> Option<f64> {
        let layout = self.layout;
        // Nothing is rebuilt where nothing changes: no memory changes unless a row does.
        if count > layout.sorted_set_entries && self.score(member) != Some(score) {
            self.value.large(&layout);
        }
        self.put(member, score)
    }

    /// Takes a member out, and returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let removed = self.value.remove(member);
        if removed.is_some() {
            self.erase(member);
        }
        removed
    }
}

#[cfg(test)]
mod tests;
