//! Sorted integers in one allocation, each as wide as the distance of the first and the last needs.
//!
//! ```text
//! width u8 | base i64 | offsets from the base, ascending, of `width` bytes each
//! ```
//!
//! Integers in one set are often of a kind: numbers of users that came about the same time, days of a year. They are far
//! from zero and near to each other, so what is kept of each is how far it is from a common base, in one, two, four or
//! eight bytes. A set of a few hundred is searched by halves. Adding one moves those behind it, so such sets have a limit
//! (`set-max-intset-entries`). The idea is that of Redis' intsets, which keep each integer as it is.

use crate::size_class;

/// Bytes before the offsets.
const HEADER: usize = 1 + size_of::<i64>();

/// A sorted sequence of different integers.
///
/// # Invariants
///
/// * There are no bytes, or a header and a whole number of offsets, at least one.
#[derive(Debug, Clone, Default)]
pub struct IntSet(Box<[u8]>);

/// The largest offset of so many bytes.
fn largest(width: usize) -> u64 {
    u64::MAX >> (64 - 8 * width as u32)
}

impl IntSet {
    #[inline]
    fn width(&self) -> usize {
        self.0.first().map_or(1, |&width| usize::from(width))
    }

    #[inline]
    fn base(&self) -> i64 {
        self.0.get(1..).and_then(<[u8]>::first_chunk).map_or(0, |base| i64::from_le_bytes(*base))
    }

    /// How many integers there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len().saturating_sub(HEADER) / self.width()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of memory beside the structure itself.
    pub fn memory_bytes(&self) -> usize {
        size_class::of(self.0.len())
    }

    /// The offset at a place, of one that is there.
    #[inline]
    fn offset(&self, at: usize, width: usize) -> u64 {
        let bytes = &self.0[HEADER + at * width..];
        match width {
            1 => bytes.first_chunk().map(|b| u64::from(u8::from_le_bytes(*b))),
            2 => bytes.first_chunk().map(|b| u64::from(u16::from_le_bytes(*b))),
            4 => bytes.first_chunk().map(|b| u64::from(u32::from_le_bytes(*b))),
            _ => bytes.first_chunk().map(|b| u64::from_le_bytes(*b)),
        }
        .expect("there are as many whole offsets as `len` says")
    }

    /// How far an integer is from the base, where an offset can say it.
    #[inline]
    fn distance(&self, int: i64) -> Option<u64> {
        let distance = int.wrapping_sub(self.base()) as u64;
        (int >= self.base() && distance <= largest(self.width())).then_some(distance)
    }

    /// The place of an integer, or where it belongs.
    fn place(&self, int: i64) -> Result<usize, usize> {
        let (width, len) = (self.width(), self.len());
        let Some(wanted) = self.distance(int) else {
            return Err(if int < self.base() { 0 } else { len });
        };
        let (mut from, mut to) = (0, len);
        while from < to {
            let middle = from + (to - from) / 2;
            match self.offset(middle, width).cmp(&wanted) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(from)
    }

    /// The integer at a place in their order.
    pub fn get(&self, at: usize) -> Option<i64> {
        (at < self.len()).then(|| self.base().wrapping_add(self.offset(at, self.width()) as i64))
    }

    /// Whether an integer is there.
    pub fn contains(&self, int: i64) -> bool {
        self.place(int).is_ok()
    }

    /// Adds an integer; tells whether it is new.
    pub fn insert(&mut self, int: i64) -> bool {
        let Err(at) = self.place(int) else { return false };
        let width = self.width();
        let Some(distance) = self.distance(int).filter(|_| !self.is_empty()) else {
            *self = self.rebuilt(at, int);
            return true;
        };
        let mut bytes = std::mem::take(&mut self.0).into_vec();
        bytes.reserve_exact(width);
        bytes.extend_from_slice(&distance.to_le_bytes()[..width]);
        bytes[HEADER + at * width..].rotate_right(width);
        self.0 = bytes.into_boxed_slice();
        true
    }

    /// These with another one, which belongs at a place, around another base. That leaves room on either side for integers
    /// that come next.
    fn rebuilt(&self, at: usize, int: i64) -> Self {
        let len = self.len();
        let first = if at == 0 { int } else { self.get(0).unwrap_or(int) };
        let last = if at == len { int } else { self.get(len - 1).unwrap_or(int) };
        let span = last.wrapping_sub(first) as u64;
        let width = [1, 2, 4].into_iter().find(|&width| span <= largest(width)).unwrap_or(8);
        let room = (largest(width) - span) / 2;
        let base = if width == 8 { i64::MIN } else { first.saturating_sub_unsigned(room) };
        let mut bytes = Vec::with_capacity(HEADER + (len + 1) * width);
        bytes.push(width as u8);
        bytes.extend_from_slice(&base.to_le_bytes());
        let ints = (0..at).chain([len]).chain(at..len).map(|at| self.get(at).unwrap_or(int));
        for int in ints {
            bytes.extend_from_slice(&int.wrapping_sub(base).to_le_bytes()[..width]);
        }
        Self(bytes.into_boxed_slice())
    }

    /// Takes an integer out; tells whether it was there.
    pub fn remove(&mut self, int: i64) -> bool {
        let Ok(at) = self.place(int) else { return false };
        let width = self.width();
        if self.len() == 1 {
            *self = Self::default();
            return true;
        }
        let mut bytes = std::mem::take(&mut self.0).into_vec();
        let from = HEADER + at * width;
        bytes.drain(from..from + width);
        self.0 = bytes.into_boxed_slice();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn int() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => -20i64..20,
            2 => i64::from(i16::MIN) - 2..i64::from(i16::MIN) + 2,
            1 => i64::from(i32::MAX) - 2..i64::from(i32::MAX) + 2,
            1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)],
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_an_ordered_set(ops in prop::collection::vec((any::<bool>(), int()), 0..200)) {
            let (mut set, mut model) = (IntSet::default(), BTreeSet::new());
            for (adds, int) in ops {
                prop_assert_eq!(set.contains(int), model.contains(&int));
                if adds {
                    prop_assert_eq!(set.insert(int), model.insert(int));
                } else {
                    prop_assert_eq!(set.remove(int), model.remove(&int));
                }
                prop_assert_eq!(set.len(), model.len());
                let ints: Vec<i64> = (0..=set.len()).map_while(|at| set.get(at)).collect();
                prop_assert!(ints.iter().eq(&model));
            }
        }
    }

    #[test]
    fn integers_are_as_wide_as_their_distance_needs() {
        let mut set = IntSet::default();
        let mut bytes = Vec::new();
        for int in [1 << 40, (1 << 40) + 200, (1 << 40) + 40_000, (1 << 40) - 3, 3, i64::MIN] {
            set.insert(int);
            bytes.push(set.0.len());
        }
        assert_eq!(bytes, [10, 11, 15, 17, 49, 57]);
        assert_eq!(set.memory_bytes(), 64);
        (0..10).for_each(|id| assert!(set.remove(id) == (id == 3)));
    }

    #[test]
    fn integers_that_follow_each_other_have_the_same_base_for_long() {
        for down in [false, true] {
            let (mut set, mut bases) = (IntSet::default(), std::collections::HashSet::new());
            for step in 0..30_000i64 {
                assert!(set.insert(if down { 1_000_000 - step } else { 1_000_000 + step }));
                bases.insert((set.base(), set.width()));
                // As it is used: a set of few.
                if set.len() > 100 {
                    set.remove(set.get(if down { 100 } else { 0 }).expect("there are some"));
                }
            }
            assert!(bases.len() < 600, "{} bases", bases.len());
        }
    }
}
