//! Large sorted sets: a slab of members, a table that finds them by name, and their order.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::order::{Key, Order};
use super::slab::Slab;
use crate::types::table::ElementTable;

/// # Invariants
///
/// * `ids` and `order` hold every number of the slab once; `order` is there unless members are being
///   put together.
#[derive(Debug, Clone)]
pub(super) struct Large {
    seed: u64,
    slab: Slab,
    ids: ElementTable<u32>,
    /// `None` while members are put together: sorting all of them in the end is much quicker.
    order: Option<Order>,
}

/// What stands before a score and member, in the order of scores and then of bytes.
fn compare(slab: &Slab, key: Key, score: f64, member: &[u8]) -> Ordering {
    compare_scores(key.score, score).then_with(|| slab.get(key.id).member.as_bytes().cmp(member))
}

/// The order of scores; both zeros are equal.
pub(super) fn compare_scores(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).expect("a score is a number")
}

impl Large {
    pub(super) fn new(seed: u64) -> Box<Self> {
        let (slab, ids) = (Slab::default(), ElementTable::default());
        Box::new(Self { seed, slab, ids, order: Some(Order::default()) })
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let order = self.order.as_ref().map_or(0, Order::memory_bytes);
        size_of::<Self>() + self.slab.memory_bytes() + self.ids.memory_bytes() + order
    }

    pub(super) fn slab(&self) -> &Slab {
        &self.slab
    }

    pub(super) fn order(&self) -> &Order {
        self.order.as_ref().expect("all rows have been loaded")
    }

    fn hash(&self, member: &[u8]) -> u64 {
        xxh3_64_with_seed(member, self.seed)
    }

    fn find(&self, hash: u64, member: &[u8]) -> Option<u32> {
        self.ids.find(hash, |&id| self.slab.get(id).member.as_bytes() == member).copied()
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(self.hash(member), member).map(|id| self.slab.get(id).score)
    }

    /// How many members stand before a score and member.
    pub(super) fn rank(&self, score: f64, member: &[u8]) -> usize {
        self.order().count(|key| compare(&self.slab, key, score, member).is_lt())
    }

    /// Gives a member a score, and returns the one that it had.
    pub(super) fn put(&mut self, member: &[u8], score: f64) -> Option<f64> {
        self.sort();
        let hash = self.hash(member);
        let (id, before) = match self.find(hash, member) {
            Some(id) => {
                let before = self.slab.get(id).score;
                if before == score {
                    return Some(before);
                }
                self.remove_from_order(before, member);
                self.slab.set_score(id, score);
                (id, Some(before))
            }
            None => (self.add(hash, member, score), None),
        };
        let (slab, order) = (&self.slab, self.order.as_mut().expect("it has just been sorted"));
        order.insert(Key { score, id }, |key| compare(slab, key, score, member).is_lt());
        before
    }

    fn add(&mut self, hash: u64, member: &[u8], score: f64) -> u32 {
        let id = self.slab.push(member, score);
        let (slab, seed) = (&self.slab, self.seed);
        self.ids.insert(hash, id, |&id| xxh3_64_with_seed(slab.get(id).member.as_bytes(), seed));
        id
    }

    /// Adds a member, or joins its score with the one that it has; the order is made later.
    pub(super) fn gather(&mut self, member: &[u8], score: f64, join: impl FnOnce(f64, f64) -> f64) {
        self.order = None;
        let hash = self.hash(member);
        match self.find(hash, member) {
            Some(id) => self.slab.set_score(id, join(self.slab.get(id).score, score)),
            None => {
                self.add(hash, member, score);
            }
        }
    }

    /// Takes a member over that is not there; the order is made later.
    pub(super) fn load(&mut self, member: &[u8], score: f64) {
        self.order = None;
        self.add(self.hash(member), member, score);
    }

    /// Makes the order of all members unless it is there.
    pub(super) fn sort(&mut self) {
        if self.order.is_some() {
            return;
        }
        let keys = self.slab.iter().zip(0..);
        let mut keys: Vec<Key> = keys.map(|(slot, id)| Key { score: slot.score, id }).collect();
        let mut slots = self.slab.iter();
        let first = slots.next();
        // Rows come in the order of the members; then numbers tell as much as the members, and are at hand.
        let by_name = slots
            .try_fold(first, |last, slot| {
                last.is_none_or(|last| last.member.as_bytes() < slot.member.as_bytes()).then_some(Some(slot))
            })
            .is_some();
        keys.sort_unstable_by(|a, b| {
            compare_scores(a.score, b.score).then_with(|| {
                if by_name {
                    a.id.cmp(&b.id)
                } else {
                    self.slab.get(a.id).member.as_bytes().cmp(self.slab.get(b.id).member.as_bytes())
                }
            })
        });
        self.order = Some(Order::of_sorted(&keys));
    }

    fn remove_from_order(&mut self, score: f64, member: &[u8]) {
        let (slab, order) = (&self.slab, self.order.as_mut().expect("all rows have been loaded"));
        let removed = order.remove(|key| compare(slab, key, score, member).is_le());
        debug_assert!(removed.is_some_and(|key| slab.get(key.id).member.as_bytes() == member));
    }

    /// Takes a member out, and returns its score.
    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        self.sort();
        let (hash, seed) = (self.hash(member), self.seed);
        let id = self.find(hash, member)?;
        let score = self.slab.get(id).score;
        self.remove_from_order(score, member);
        let slab = &self.slab;
        let hash_of = |&id: &u32| xxh3_64_with_seed(slab.get(id).member.as_bytes(), seed);
        self.ids.remove(hash, |&other| other == id, hash_of);
        // The last member gets the number that has become free.
        let last = self.slab.len() as u32 - 1;
        if last != id {
            let moved = self.slab.get(last);
            let (name, order) = (moved.member.as_bytes(), self.order.as_mut());
            let place = self.ids.find_mut(hash_of(&last), |&other| other == last);
            *place.expect("every number is in the table") = id;
            let slab = &self.slab;
            order
                .expect("it has been sorted")
                .renumber(|key| compare(slab, key, moved.score, name).is_le(), id);
        }
        self.slab.swap_remove(id);
        Some(score)
    }

    /// Walks the table by the hashes of the members.
    pub(super) fn walk(&self, cursor: u64, count: usize, mut visit: impl FnMut(u32)) -> u64 {
        let hash_of = |&id: &u32| self.hash(self.slab.get(id).member.as_bytes());
        self.ids.walk(cursor, count, hash_of, |&id| visit(id))
    }
}
