//! Sorted integers in one allocation, each as wide as the widest of them needs.
//!
//! A set of a few hundred integers takes two, four or eight bytes for each and is searched by halves. Adding one moves
//! those behind it, so such sets have a limit (`set-max-intset-entries`). The idea is that of Redis' intsets.

/// Bytes up to which the allocation is made to measure: there may be millions of sets, written once.
const TO_MEASURE: usize = 256;

/// A sorted sequence of different integers.
#[derive(Debug, Clone)]
pub enum IntSet {
    /// All of them fit 16 bits.
    Narrow(Vec<i16>),
    /// All of them fit 32 bits.
    Middle(Vec<i32>),
    /// Some may need more.
    Wide(Vec<i64>),
}

impl Default for IntSet {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

/// Does the same with the integers of whichever width.
macro_rules! whichever {
    ($set:expr, $ints:ident => $body:expr) => {
        match $set {
            IntSet::Narrow($ints) => $body,
            IntSet::Middle($ints) => $body,
            IntSet::Wide($ints) => $body,
        }
    };
}

fn insert<T: Ord>(ints: &mut Vec<T>, int: T) -> bool {
    let Err(at) = ints.binary_search(&int) else { return false };
    if ints.len() == ints.capacity() {
        let to_measure = size_of_val(&ints[..]) < TO_MEASURE;
        ints.reserve_exact(if to_measure { 1 } else { ints.len() / 4 });
    }
    ints.insert(at, int);
    true
}

fn remove<T: Ord>(ints: &mut Vec<T>, int: &T) -> bool {
    let Ok(at) = ints.binary_search(int) else { return false };
    ints.remove(at);
    if ints.len() < ints.capacity() / 4 {
        ints.shrink_to(ints.len() * 2);
    }
    true
}

impl IntSet {
    /// How many integers there are.
    pub fn len(&self) -> usize {
        whichever!(self, ints => ints.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory beside the structure itself.
    pub fn memory_bytes(&self) -> usize {
        fn allocated<T>(ints: &Vec<T>) -> usize {
            ints.capacity() * size_of::<T>()
        }
        whichever!(self, ints => allocated(ints))
    }

    /// The integer at a place in their order.
    pub fn get(&self, at: usize) -> Option<i64> {
        match self {
            Self::Narrow(ints) => ints.get(at).map(|&int| int.into()),
            Self::Middle(ints) => ints.get(at).map(|&int| int.into()),
            Self::Wide(ints) => ints.get(at).copied(),
        }
    }

    /// Whether an integer is there.
    pub fn contains(&self, int: i64) -> bool {
        match self {
            Self::Narrow(ints) => i16::try_from(int).is_ok_and(|int| ints.binary_search(&int).is_ok()),
            Self::Middle(ints) => i32::try_from(int).is_ok_and(|int| ints.binary_search(&int).is_ok()),
            Self::Wide(ints) => ints.binary_search(&int).is_ok(),
        }
    }

    /// Adds an integer; tells whether it is new.
    pub fn insert(&mut self, int: i64) -> bool {
        match self {
            Self::Narrow(ints) if let Ok(int) = i16::try_from(int) => return insert(ints, int),
            Self::Middle(ints) if let Ok(int) = i32::try_from(int) => return insert(ints, int),
            Self::Wide(ints) => return insert(ints, int),
            Self::Narrow(ints) if let Ok(int) = i32::try_from(int) => {
                let mut wider: Vec<i32> = widened(ints);
                insert(&mut wider, int);
                *self = Self::Middle(wider);
            }
            Self::Narrow(ints) => *self = Self::with(widened(ints), int),
            Self::Middle(ints) => *self = Self::with(widened(ints), int),
        }
        true
    }

    /// These and one more, which none of them is.
    fn with(mut ints: Vec<i64>, int: i64) -> Self {
        insert(&mut ints, int);
        Self::Wide(ints)
    }

    /// Takes an integer out; tells whether it was there.
    pub fn remove(&mut self, int: i64) -> bool {
        match self {
            Self::Narrow(ints) => i16::try_from(int).is_ok_and(|int| remove(ints, &int)),
            Self::Middle(ints) => i32::try_from(int).is_ok_and(|int| remove(ints, &int)),
            Self::Wide(ints) => remove(ints, &int),
        }
    }
}

/// The same integers, with room for one more.
fn widened<A: Copy, B: From<A>>(ints: &[A]) -> Vec<B> {
    let mut wider = Vec::with_capacity(ints.len() + 1);
    wider.extend(ints.iter().map(|&int| B::from(int)));
    wider
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
    fn integers_are_as_wide_as_the_widest_needs() {
        let mut set = IntSet::default();
        let mut bytes = Vec::new();
        for int in [1, 2, 40_000, 3, 1 << 40] {
            set.insert(int);
            bytes.push(set.memory_bytes());
        }
        assert_eq!(bytes, [2, 4, 12, 16, 40]);
    }
}
