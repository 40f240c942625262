//! A table of elements that grows a little at a time and can be walked in pieces.
//!
//! Collections have up to many millions of elements, and no client may wait while a table of all of them is rebuilt. So
//! the table is cut into *segments* by the high bits of the hash (extendible hashing: Fagin, Nievergelt, Pippenger and
//! Strong, 1979). A segment that is full is split in two, which moves about a hundred elements, whatever the size of the
//! whole. A directory says which segment the high bits mean; segments that were split less often than others stand in it
//! more than once.
//!
//! The order of the segments is that of the hashes. So a walk (HSCAN, SSCAN, ZSCAN) goes by position in the hashes: it
//! survives splits, merges, and the table being dropped from memory and built again, and it never misses an element that
//! is there throughout.
//!
//! Elements know their keys in ways of their own (in place, or in a slab beside the table), so every method is told how
//! to hash and to compare, as with hashbrown's [`HashTable`], of which the segments are made.

use hashbrown::HashTable;

use crate::random::Random;

/// Elements of a segment before it is split: what 128 buckets hold.
const SEGMENT_MAX: usize = 112;
/// Bits of the hash that are the position of a walk.
const POSITION_BITS: u32 = 48;
/// Bits that may choose a segment; elements that agree in all of these share one of any size.
const MAX_DEPTH: u8 = 32;

#[derive(Debug, Clone)]
struct Segment<T> {
    elements: HashTable<T>,
    /// How many high bits of the hash its elements have in common.
    depth: u8,
}

/// A hash table in segments.
///
/// # Invariants
///
/// * The directory has `2^depth` places, or none when the table has a single segment of depth 0.
/// * The `2^(depth - d)` places that agree in their high `d` bits with a segment of depth `d` name it, and no others.
#[derive(Debug, Clone)]
pub struct ElementTable<T> {
    directory: Vec<u32>,
    segments: Vec<Segment<T>>,
    /// Segments that are not in use.
    free: Vec<u32>,
    depth: u8,
    len: usize,
    /// Bytes of memory of the segments' buckets.
    buckets_bytes: usize,
}

impl<T> Default for ElementTable<T> {
    fn default() -> Self {
        Self {
            directory: Vec::new(),
            segments: Vec::new(),
            free: Vec::new(),
            depth: 0,
            len: 0,
            buckets_bytes: 0,
        }
    }
}

/// The hash as the segments use it: their buckets go by other bits than the directory.
#[inline]
fn inner(hash: u64) -> u64 {
    hash.rotate_left(MAX_DEPTH as u32)
}

impl<T> ElementTable<T> {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory beside what elements point to.
    pub fn memory_bytes(&self) -> usize {
        self.directory.capacity() * size_of::<u32>()
            + self.segments.capacity() * size_of::<Segment<T>>()
            + self.free.capacity() * size_of::<u32>()
            + self.buckets_bytes
    }

    /// The place in the directory that a hash means.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        if self.depth == 0 { 0 } else { (hash >> (64 - self.depth)) as usize }
    }

    #[inline]
    fn segment_at(&self, place: usize) -> usize {
        self.directory.get(place).map_or(0, |&index| index as usize)
    }

    /// The element that is equal.
    #[inline]
    pub fn find(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&T> {
        self.segments.get(self.segment_at(self.place(hash)))?.elements.find(inner(hash), eq)
    }

    /// The element that is equal, for change; its key must stay.
    #[inline]
    pub fn find_mut(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let index = self.segment_at(self.place(hash));
        self.segments.get_mut(index)?.elements.find_mut(inner(hash), eq)
    }

    /// Adds an element that is not there. `hash_of` hashes elements.
    pub fn insert(&mut self, hash: u64, element: T, hash_of: impl Fn(&T) -> u64) {
        if self.segments.is_empty() {
            self.segments.push(Segment { elements: HashTable::new(), depth: 0 });
        }
        let index = loop {
            let index = self.segment_at(self.place(hash));
            let segment = &self.segments[index];
            if segment.elements.len() < SEGMENT_MAX || segment.depth == MAX_DEPTH {
                break index;
            }
            self.split(hash, index, &hash_of);
        };
        let elements = &mut self.segments[index].elements;
        let before = elements.allocation_size();
        elements.insert_unique(inner(hash), element, |e| inner(hash_of(e)));
        self.buckets_bytes = self.buckets_bytes + elements.allocation_size() - before;
        self.len += 1;
    }

    /// Takes an element out.
    pub fn remove(
        &mut self,
        hash: u64,
        eq: impl FnMut(&T) -> bool,
        hash_of: impl Fn(&T) -> u64,
    ) -> Option<T> {
        let index = self.segment_at(self.place(hash));
        let entry = self.segments.get_mut(index)?.elements.find_entry(inner(hash), eq).ok()?;
        let (element, _) = entry.remove();
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
        } else {
            self.merge(hash, index, hash_of);
        }
        Some(element)
    }

    /// Splits the full segment at `index`, to which `hash` belongs, in two.
    fn split(&mut self, hash: u64, index: usize, hash_of: impl Fn(&T) -> u64) {
        if self.directory.is_empty() {
            self.directory.push(0);
        }
        let depth = self.segments[index].depth + 1;
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&segment| [segment, segment]).collect();
            self.depth = depth;
        }
        let old = std::mem::take(&mut self.segments[index].elements);
        self.buckets_bytes -= old.allocation_size();
        let mut halves =
            [HashTable::with_capacity(SEGMENT_MAX / 2), HashTable::with_capacity(SEGMENT_MAX / 2)];
        for element in old {
            let hash = hash_of(&element);
            let half = &mut halves[(hash >> (64 - depth)) as usize & 1];
            half.insert_unique(inner(hash), element, |e| inner(hash_of(e)));
        }
        let [low, high] = halves;
        self.buckets_bytes += low.allocation_size() + high.allocation_size();
        self.segments[index] = Segment { elements: low, depth };
        let other = Segment { elements: high, depth };
        let other_index = match self.free.pop() {
            Some(free) => {
                self.segments[free as usize] = other;
                free
            }
            None => {
                self.segments.push(other);
                (self.segments.len() - 1) as u32
            }
        };
        // The places of the old segment are a run; the upper half of it is the new one's.
        let width = 1 << (self.depth - depth);
        let first = ((self.place(hash) / width) | 1) * width;
        self.directory[first..first + width].fill(other_index);
    }

    /// Joins the segment at `index` with the one it was once split from, when both together are nearly empty.
    fn merge(&mut self, hash: u64, index: usize, hash_of: impl Fn(&T) -> u64) {
        let depth = self.segments[index].depth;
        if depth == 0 {
            return self.shrink(index, hash_of);
        }
        let width = 1 << (self.depth - depth);
        let first = self.place(hash) / width * width;
        let buddy = self.segment_at(first ^ width);
        let together = self.segments[index].elements.len() + self.segments[buddy].elements.len();
        if self.segments[buddy].depth != depth || together > SEGMENT_MAX / 4 {
            return self.shrink(index, hash_of);
        }
        let moved = std::mem::take(&mut self.segments[buddy].elements);
        self.free.push(buddy as u32);
        let kept = &mut self.segments[index];
        kept.depth = depth - 1;
        self.buckets_bytes -= moved.allocation_size() + kept.elements.allocation_size();
        for element in moved {
            let hash = hash_of(&element);
            kept.elements.insert_unique(inner(hash), element, |e| inner(hash_of(e)));
        }
        self.buckets_bytes += kept.elements.allocation_size();
        let both = first & !width;
        self.directory[both..both + 2 * width].fill(index as u32);
        if self.free.len() > self.segments.len() / 2 && self.segments.len() > 8 {
            self.renumber();
        }
    }

    /// Gives memory of a segment back that is mostly empty.
    fn shrink(&mut self, index: usize, hash_of: impl Fn(&T) -> u64) {
        let elements = &mut self.segments[index].elements;
        if elements.capacity() > 8 && elements.len() < elements.capacity() / 4 {
            let before = elements.allocation_size();
            elements.shrink_to(elements.len() * 2, |e| inner(hash_of(e)));
            self.buckets_bytes = self.buckets_bytes + elements.allocation_size() - before;
        }
    }

    /// Drops the segments that are not in use, and halves the directory while no segment needs its last bit.
    fn renumber(&mut self) {
        let deepest = self.directory.iter().map(|&i| self.segments[i as usize].depth).max().unwrap_or(0);
        let step = 1 << (self.depth - deepest);
        let places: Vec<u32> = self.directory.iter().copied().step_by(step).collect();
        (self.directory, self.depth) = (Vec::with_capacity(places.len()), deepest);
        let mut old: Vec<Option<Segment<T>>> =
            std::mem::take(&mut self.segments).into_iter().map(Some).collect();
        // A segment's places are a run, so it has been moved already when the last one moved has its old number.
        let mut last = None;
        for place in places {
            if last != Some(place) {
                let segment = old[place as usize].take().expect("a segment's places are one run");
                self.segments.push(segment);
                last = Some(place);
            }
            self.directory.push((self.segments.len() - 1) as u32);
        }
        self.free = Vec::new();
    }

    /// All elements, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flat_map(|segment| segment.elements.iter())
    }

    /// Takes all elements out.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(self).segments.into_iter().flat_map(|segment| segment.elements)
    }

    /// An element by chance, each as likely as any other.
    pub fn random(&self, bits: u64) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        let mut random = Random::new(bits);
        // A segment is taken the more likely the fuller it is, and then one of its elements. Most are half full and more;
        // they are all nearly empty only where a table was emptied in a strange order.
        const TRIES: usize = 10_000;
        for _ in 0..TRIES {
            let elements = &self.segments[random.below(self.segments.len())].elements;
            let most = if self.segments.len() == 1 { elements.len() } else { SEGMENT_MAX };
            if random.below(most) < elements.len() {
                return elements.iter().nth(random.below(elements.len()));
            }
        }
        self.iter().next()
    }

    /// Walks the table: shows the elements from a cursor on, about `count` of them, and returns where to go on; 0 when
    /// the walk is over. Whole groups of elements with the same position are shown, so an element is never missed.
    pub fn walk<'t>(
        &'t self,
        cursor: u64,
        count: usize,
        hash_of: impl Fn(&T) -> u64,
        mut visit: impl FnMut(&'t T),
    ) -> u64 {
        let mut from = cursor & ((1 << POSITION_BITS) - 1);
        let mut left = count.max(1);
        let mut found: Vec<(u64, &T)> = Vec::new();
        loop {
            let place = self.place(from << (64 - POSITION_BITS));
            let Some(segment) = self.segments.get(self.segment_at(place)) else { return 0 };
            found.clear();
            let elements = segment.elements.iter().map(|e| (hash_of(e) >> (64 - POSITION_BITS), e));
            found.extend(elements.filter(|&(position, _)| position >= from));
            found.sort_unstable_by_key(|&(position, _)| position);
            for (nth, &(position, element)) in found.iter().enumerate() {
                if left == 0 && nth > 0 && found[nth - 1].0 != position {
                    return position;
                }
                visit(element);
                left = left.saturating_sub(1);
            }
            // The first position behind the segment.
            let share = POSITION_BITS - u32::from(segment.depth);
            from = ((from >> share) + 1) << share;
            if from >> POSITION_BITS != 0 {
                return 0;
            }
            if left == 0 {
                return from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use xxhash_rust::xxh3::xxh3_64;

    fn hash_of(element: &u32) -> u64 {
        // One in eight elements has the hash of a few others, down to the last bit.
        if element.is_multiple_of(8) {
            xxh3_64(&(element % 64).to_le_bytes())
        } else {
            xxh3_64(&element.to_le_bytes())
        }
    }

    fn check(table: &ElementTable<u32>) {
        assert_eq!(table.iter().count(), table.len());
        let buckets: usize = table.segments.iter().map(|s| s.elements.allocation_size()).sum();
        assert_eq!(buckets, table.buckets_bytes);
        for (place, &index) in table.directory.iter().enumerate() {
            let segment = &table.segments[index as usize];
            let width = 1usize << (table.depth - segment.depth);
            let run = place / width * width;
            assert!(table.directory[run..run + width].iter().all(|&i| i == index));
            assert_eq!(table.directory.iter().filter(|&&i| i == index).count(), width);
            for element in segment.elements.iter() {
                assert_eq!(table.segment_at(table.place(hash_of(element))), index as usize);
            }
        }
    }

    fn walk_all(table: &ElementTable<u32>, count: usize) -> Vec<u32> {
        let (mut cursor, mut seen) = (0, Vec::new());
        loop {
            cursor = table.walk(cursor, count, hash_of, |&e| seen.push(e));
            if cursor == 0 {
                return seen;
            }
        }
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(rounds in prop::collection::vec((0u32..3000, 0u32..1500, any::<bool>()), 1..12)) {
            let (mut table, mut model) = (ElementTable::default(), BTreeSet::new());
            for (from, len, adds) in rounds {
                for element in from..from + len {
                    let hash = hash_of(&element);
                    if adds && model.insert(element) {
                        prop_assert!(table.find(hash, |&e| e == element).is_none());
                        table.insert(hash, element, hash_of);
                    } else if !adds {
                        let removed = table.remove(hash, |&e| e == element, hash_of);
                        prop_assert_eq!(removed.is_some(), model.remove(&element));
                    }
                }
                check(&table);
                prop_assert!(model.iter().all(|e| table.find(hash_of(e), |x| x == e) == Some(e)));
                check(&table.clone());
                let mut seen = walk_all(&table, 10);
                seen.sort_unstable();
                prop_assert_eq!(seen, model.iter().copied().collect::<Vec<_>>());
            }
        }

        #[test]
        fn a_walk_misses_nothing_that_is_there_throughout(
            stays in prop::collection::btree_set(0u32..5000, 1..300),
            changes in prop::collection::vec((5000u32..9000, any::<bool>()), 0..3000),
            count in 1usize..50,
        ) {
            let mut table = ElementTable::default();
            stays.iter().for_each(|e| table.insert(hash_of(e), *e, hash_of));
            let (mut cursor, mut seen) = (0, BTreeSet::new());
            let mut changes = changes.chunks(200);
            loop {
                cursor = table.walk(cursor, count, hash_of, |&e| { seen.insert(e); });
                if cursor == 0 { break }
                for &(element, adds) in changes.next().unwrap_or_default() {
                    let hash = hash_of(&element);
                    let there = table.find(hash, |&e| e == element).is_some();
                    if adds && !there {
                        table.insert(hash, element, hash_of);
                    } else if !adds {
                        table.remove(hash, |&e| e == element, hash_of);
                    }
                }
            }
            prop_assert!(stays.is_subset(&seen));
        }
    }

    #[test]
    fn a_table_that_was_emptied_gives_its_memory_back() {
        let mut table = ElementTable::default();
        let unique = |e: &u32| xxh3_64(&e.to_le_bytes());
        (0..100_000u32).for_each(|e| table.insert(unique(&e), e, unique));
        let full = table.memory_bytes();
        assert!(full < 100_000 * 14, "{full} bytes");
        (100..100_000u32).for_each(|e| assert!(table.remove(unique(&e), |&x| x == e, unique).is_some()));
        assert!(table.memory_bytes() < full / 50, "{} bytes", table.memory_bytes());
        (0..100u32).for_each(|e| assert!(table.remove(unique(&e), |&x| x == e, unique).is_some()));
        assert_eq!(table.memory_bytes(), 0);
    }

    #[test]
    fn every_element_is_as_likely_as_another() {
        let mut table = ElementTable::default();
        let unique = |e: &u32| xxh3_64(&e.to_le_bytes());
        (0..1000u32).for_each(|e| table.insert(unique(&e), e, unique));
        // Three segments of four are nearly empty now.
        for e in 0..1000u32 {
            if unique(&e) >> 62 != 0 && e % 8 != 0 {
                table.remove(unique(&e), |&x| x == e, unique);
            }
        }
        let mut counts = vec![0u32; 1000];
        (0..1000 * table.len() as u64).filter_map(|i| table.random(i)).for_each(|&e| counts[e as usize] += 1);
        let drawn: Vec<u32> = counts.into_iter().filter(|&count| count > 0).collect();
        assert_eq!(drawn.len(), table.len());
        // Six times the standard deviation.
        assert!(drawn.iter().all(|count| (810..1190).contains(count)), "{drawn:?}");
    }
}
