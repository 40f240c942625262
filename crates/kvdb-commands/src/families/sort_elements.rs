//! The elements of SORT: out of a list, a set or a sorted set, and into an order.

use std::cmp::Ordering;
use std::ops::Range;

use itoa::Buffer;
use kvdb_store::types::{Elements, List, Set, SortedSet};
use kvdb_store::{Object, ValueRef};

use super::string_value::bytes;
use crate::errors::{self, CommandError};

/// Texts one behind the other.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    pub(super) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn push_value(&mut self, value: ValueRef<'_>) {
        self.push(bytes(value, &mut Buffer::new()));
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of memory of all of them, about, and of a list that is made of them: also of those that are empty.
    pub(super) fn memory_bytes(&self) -> usize {
        const OF_EACH: usize = 16;
        self.bytes.len() + OF_EACH * self.ends.len()
    }

    pub(super) fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|at| self.get(at))
    }
}

/// What SORT sorts.
#[derive(Clone, Copy)]
pub(super) enum Source<'s> {
    List(&'s List),
    Set(&'s Set),
    SortedSet(&'s SortedSet),
}

impl<'s> Source<'s> {
    /// The value of a key that has to be one of these.
    pub(super) fn of(object: Object<'s>) -> Result<Self, CommandError> {
        let list = || object.elements().map(Self::List);
        let set = || object.elements().map(Self::Set);
        let sorted_set = || object.elements().map(Self::SortedSet);
        list().or_else(set).or_else(sorted_set).ok_or(errors::WRONG_TYPE)
    }

    pub(super) fn len(self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Set(set) => set.len(),
            Self::SortedSet(set) => set.len(),
        }
    }

    /// Its elements, in no order that means something.
    pub(super) fn all(self) -> Texts {
        let mut texts = Texts::default();
        match self {
            Self::List(list) => list.values(0).for_each(|value| texts.push_value(value)),
            Self::Set(set) => set.iter().for_each(|value| texts.push_value(value)),
            Self::SortedSet(set) => set.iter_unordered().for_each(|(value, _)| texts.push_value(value)),
        }
        texts
    }

    /// A part of its elements in their own order or the other way round. A set has none: nothing is taken from it.
    pub(super) fn in_own_order(self, part: Range<usize>, backwards: bool) -> Texts {
        let mut texts = Texts::default();
        match self {
            Self::List(list) if backwards => {
                if let Some(first) = list.len().checked_sub(part.start + 1) {
                    list.values_back(first).take(part.len()).for_each(|value| texts.push_value(value));
                }
            }
            Self::List(list) => {
                list.values(part.start).take(part.len()).for_each(|value| texts.push_value(value));
            }
            Self::SortedSet(set) => {
                let ranks = if backwards { set.len() - part.end..set.len() - part.start } else { part };
                set.range(ranks, backwards).for_each(|(value, _)| texts.push_value(value));
            }
            Self::Set(_) => {}
        }
        texts
    }
}

/// What elements are sorted by, each by the one with its number.
#[derive(Debug)]
pub(super) enum Weights {
    /// Numbers, and then by themselves.
    Numbers(Vec<f64>),
    /// Their own texts.
    Own,
    /// Other texts; one that has none is before all others.
    Others { texts: Texts, places: Vec<Option<usize>> },
}

/// The numbers of elements in the order of their weights.
pub(super) fn order(elements: &Texts, weights: &Weights, descending: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..elements.len()).collect();
    let own = |a: usize, b: usize| elements.get(a).cmp(elements.get(b));
    order.sort_by(|&a, &b| {
        let ascending = match weights {
            Weights::Numbers(numbers) => {
                let by_number = numbers[a].partial_cmp(&numbers[b]).unwrap_or(Ordering::Equal);
                by_number.then_with(|| own(a, b))
            }
            Weights::Own => own(a, b),
            Weights::Others { texts, places } => {
                let text = |at: usize| places[at].map(|place| texts.get(place));
                text(a).cmp(&text(b))
            }
        };
        if descending { ascending.reverse() } else { ascending }
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[&str]) -> Texts {
        let mut texts = Texts::default();
        words.iter().for_each(|word| texts.push(word.as_bytes()));
        texts
    }

    #[test]
    fn texts_are_found_again() {
        let texts = texts(&["a", "", "bcd"]);
        assert_eq!(texts.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"bcd"]);
        assert_eq!((texts.len(), texts.memory_bytes()), (3, 4 + 3 * 16));
    }

    #[test]
    fn equal_numbers_are_put_in_order_by_their_elements() {
        let elements = texts(&["c", "a", "b", "d"]);
        let weights = Weights::Numbers(vec![1.0, 1.0, f64::NEG_INFINITY, -0.0]);
        assert_eq!(order(&elements, &weights, false), [2, 3, 1, 0]);
        assert_eq!(order(&elements, &weights, true), [0, 1, 3, 2]);
    }

    #[test]
    fn what_has_no_text_comes_first_and_equal_ones_stay() {
        let elements = texts(&["1", "2", "3", "4"]);
        let weights =
            Weights::Others { texts: texts(&["x", "a", "x"]), places: vec![Some(0), None, Some(1), Some(2)] };
        assert_eq!(order(&elements, &weights, false), [1, 2, 0, 3]);
        assert_eq!(order(&elements, &weights, true), [0, 3, 2, 1]);
    }
}
