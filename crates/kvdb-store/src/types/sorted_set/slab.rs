//! The members of a large sorted set with their scores, under numbers without gaps.
//!
//! Members are kept in chunks of a few hundred, so nothing large is ever moved. Taking one out puts the last one in its
//! place: the slab is as small as it can be, and a member by chance is a number by chance.

use crate::types::member::Member;

/// Members of a chunk: four KiB.
const CHUNK: usize = 256;

#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) member: Member,
    pub(super) score: f64,
}

/// Members under the numbers from 0 on.
///
/// # Invariants
///
/// * All chunks but the last are full, and none is empty.
/// * `bytes` is the memory of the chunks and of what the members have beside them.
#[derive(Debug, Default)]
pub(super) struct Slab {
    chunks: Vec<Vec<Slot>>,
    bytes: usize,
}

fn allocated(chunk: &Vec<Slot>) -> usize {
    chunk.capacity() * size_of::<Slot>()
}

impl Clone for Slab {
    fn clone(&self) -> Self {
        let chunks = self.chunks.clone();
        let members: usize = self.iter().map(|slot| slot.member.memory_bytes()).sum();
        let bytes = members + chunks.iter().map(allocated).sum::<usize>();
        Self { chunks, bytes }
    }
}

impl Slab {
    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// Bytes of memory beside the structure itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Vec<Slot>>() + self.bytes
    }

    /// The member of a number.
    #[inline]
    pub(super) fn get(&self, id: u32) -> &Slot {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// Gives a member another score.
    pub(super) fn set_score(&mut self, id: u32, score: f64) {
        self.chunks[id as usize / CHUNK][id as usize % CHUNK].score = score;
    }

    /// Adds a member and returns its number.
    ///
    /// # Panics
    /// When there are 2^32 members.
    pub(super) fn push(&mut self, member: &[u8], score: f64) -> u32 {
        let id = u32::try_from(self.len()).expect("a sorted set has fewer than 2^32 members");
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            // The only chunk grows as it fills.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
            self.bytes += capacity * size_of::<Slot>();
        }
        let member = Member::new(member);
        self.bytes += member.memory_bytes();
        let last = self.chunks.last_mut().expect("there is one now");
        self.bytes -= allocated(last);
        last.push(Slot { member, score });
        self.bytes += allocated(last);
        id
    }

    /// Takes a member out; the one with the highest number gets its number.
    pub(super) fn swap_remove(&mut self, id: u32) -> Slot {
        let last = self.chunks.last_mut().expect("a member is there");
        let mut slot = last.pop().expect("no chunk is empty");
        if last.is_empty() {
            self.bytes -= allocated(last);
            self.chunks.pop();
        }
        if (id as usize) < self.len() {
            std::mem::swap(&mut slot, &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]);
        }
        self.bytes -= slot.member.memory_bytes();
        slot
    }

    /// All members in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_vector(ops in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 1u32..300), 1..12)) {
            let (mut slab, mut model) = (Slab::default(), Vec::new());
            for (adds, index, count) in ops {
                for step in 0..count {
                    if adds {
                        let member = vec![b'm'; step as usize % 20];
                        prop_assert_eq!(slab.push(&member, f64::from(step)), model.len() as u32);
                        model.push((member, f64::from(step)));
                    } else if !model.is_empty() {
                        let at = index.index(model.len());
                        let removed = slab.swap_remove(at as u32);
                        prop_assert_eq!((removed.member.as_bytes().to_vec(), removed.score), model.swap_remove(at));
                    }
                }
                prop_assert_eq!(slab.len(), model.len());
                prop_assert!(slab.iter().map(|s| (s.member.as_bytes(), s.score)).eq(model.iter().map(|(m, s)| (&m[..], *s))));
                for slab in [&slab, &slab.clone()] {
                    let members: usize = slab.iter().map(|slot| slot.member.memory_bytes()).sum();
                    prop_assert_eq!(slab.bytes, members + slab.chunks.iter().map(allocated).sum::<usize>());
                }
            }
        }
    }
}
