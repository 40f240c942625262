//! Where the elements of a list stand: the positions that their rows are named by.
//!
//! A position is a number that says nothing but the order. Elements that are added at an end get positions a fixed
//! [`GAP`] apart, so those of many elements are one [`Run`]: the first, the distance, the count. What is taken out of the
//! middle, or put there, splits runs. Two elements alone are always a run, so in the worst case a position costs about as
//! much memory as its number, and usually nothing.

use std::num::NonZeroU32;
use std::ops::Range;

/// The distance of elements that are added at an end.
pub(super) const GAP: u64 = 1 << 20;
/// Where the first element of a list stands: in the middle of all positions.
pub(super) const MIDDLE: u64 = 1 << 63;

/// Positions at the same distance from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    first: u64,
    /// 0 when there is only one.
    stride: u32,
    count: NonZeroU32,
}

impl Run {
    /// Positions from `first` on; `None` for none.
    ///
    /// # Panics
    /// When the distance or the count need more than 32 bits.
    pub(super) fn new(first: u64, stride: u64, count: usize) -> Option<Self> {
        let count = NonZeroU32::new(u32::try_from(count).expect("a chunk has fewer elements than that"))?;
        let stride = if count.get() == 1 { 0 } else { u32::try_from(stride).expect("strides are short") };
        Some(Self { first, stride, count })
    }

    fn one(position: u64) -> Self {
        Self { first: position, stride: 0, count: NonZeroU32::MIN }
    }

    fn len(self) -> usize {
        self.count.get() as usize
    }

    fn get(self, index: usize) -> u64 {
        self.first + u64::from(self.stride) * index as u64
    }

    fn last(self) -> u64 {
        self.get(self.len() - 1)
    }

    /// A part of it; `None` when that is empty.
    fn slice(self, range: Range<usize>) -> Option<Self> {
        Self::new(self.get(range.start), u64::from(self.stride), range.len())
    }

    /// Both as one, when their positions are all at the same distance.
    fn join(self, next: Self) -> Option<Self> {
        // While neighbours are being given new positions, those of some may be behind those of the next.
        let gap =
            next.first.checked_sub(self.last()).and_then(|gap| u32::try_from(gap).ok()).filter(|&g| g > 0)?;
        let stride = match (self.len(), next.len()) {
            (1, 1) => gap,
            (1, _) => next.stride,
            _ => self.stride,
        };
        let is_regular = gap == stride && (next.len() == 1 || next.stride == stride);
        let count = self.count.checked_add(next.count.get())?;
        is_regular.then_some(Self { first: self.first, stride, count })
    }
}

/// The positions of neighbouring elements, in ascending order; there is at least one.
#[derive(Debug, Clone)]
pub(super) enum Positions {
    Regular(Run),
    Irregular(Box<Runs>),
}

/// # Invariants
///
/// * There are at least two runs, none of which continues the one before it.
/// * `len` is the number of positions.
#[derive(Debug, Clone)]
pub(super) struct Runs {
    runs: Vec<Run>,
    len: usize,
}

impl From<Run> for Positions {
    fn from(run: Run) -> Self {
        Self::Regular(run)
    }
}

impl Positions {
    /// A single one.
    pub(super) fn one(position: u64) -> Self {
        Self::Regular(Run::one(position))
    }

    /// Runs in ascending order, joined where they continue each other; `None` when there is none.
    fn of_runs(runs: impl IntoIterator<Item = Run>) -> Option<Self> {
        let mut runs = runs.into_iter();
        let mut all = Self::Regular(runs.next()?);
        runs.for_each(|run| all.push_run(run));
        Some(all)
    }

    fn runs(&self) -> &[Run] {
        match self {
            Self::Regular(run) => std::slice::from_ref(run),
            Self::Irregular(runs) => &runs.runs,
        }
    }

    /// The number of positions.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Regular(run) => run.len(),
            Self::Irregular(runs) => runs.len,
        }
    }

    /// Bytes of memory beside the structure itself.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Regular(_) => 0,
            Self::Irregular(runs) => size_of::<Runs>() + runs.runs.capacity() * size_of::<Run>(),
        }
    }

    /// The position of an element.
    ///
    /// # Panics
    /// When there are not so many.
    pub(super) fn get(&self, mut index: usize) -> u64 {
        if index + 1 == self.len() {
            return self.last();
        }
        for run in self.runs() {
            if index < run.len() {
                return run.get(index);
            }
            index -= run.len();
        }
        panic!("the caller knows how many there are")
    }

    /// The last position.
    pub(super) fn last(&self) -> u64 {
        self.runs()[self.runs().len() - 1].last()
    }

    /// All positions.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.runs().iter().flat_map(|run| (0..run.len()).map(|i| run.get(i)))
    }

    fn push_run(&mut self, run: Run) {
        match self {
            Self::Regular(first) => {
                *self = match first.join(run) {
                    Some(joined) => Self::Regular(joined),
                    None => {
                        let len = first.len() + run.len();
                        Self::Irregular(Box::new(Runs { runs: vec![*first, run], len }))
                    }
                }
            }
            Self::Irregular(runs) => {
                runs.len += run.len();
                let last = runs.runs.last_mut().expect("there are at least two");
                match last.join(run) {
                    Some(joined) => *last = joined,
                    None => runs.runs.push(run),
                }
            }
        }
    }

    /// Adds a position behind all others.
    pub(super) fn push_back(&mut self, position: u64) {
        self.push_run(Run::one(position));
    }

    /// Adds a position before all others.
    pub(super) fn push_front(&mut self, position: u64) {
        let new = Run::one(position);
        match self {
            Self::Irregular(runs) => {
                runs.len += 1;
                match new.join(runs.runs[0]) {
                    Some(joined) => runs.runs[0] = joined,
                    None => runs.runs.insert(0, new),
                }
            }
            Self::Regular(first) => *self = Self::of_runs([new, *first]).expect("there are two"),
        }
    }

    /// Adds those of another sequence behind all others.
    pub(super) fn append(&mut self, other: &Self) {
        other.runs().iter().for_each(|&run| self.push_run(run));
    }

    /// The runs of a part.
    fn part(&self, range: Range<usize>) -> impl Iterator<Item = Run> {
        let mut start = 0;
        self.runs().iter().filter_map(move |run| {
            let here = start..start + run.len();
            start = here.end;
            let (from, to) = (range.start.max(here.start), range.end.min(here.end));
            if from < to { run.slice(from - here.start..to - here.start) } else { None }
        })
    }

    /// A part; `None` when it is empty.
    pub(super) fn slice(&self, range: Range<usize>) -> Option<Self> {
        Self::of_runs(self.part(range))
    }

    /// Puts other positions, or none, in the place of a part; `None` when none is left.
    #[must_use]
    pub(super) fn splice(&self, range: Range<usize>, new: Option<Run>) -> Option<Self> {
        let (before, after) = (self.part(0..range.start), self.part(range.end..self.len()));
        Self::of_runs(before.chain(new).chain(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(positions: &Positions, model: &[u64]) {
        assert_eq!(positions.iter().collect::<Vec<_>>(), model);
        assert_eq!(positions.len(), model.len());
        assert_eq!((positions.get(0), positions.last()), (model[0], model[model.len() - 1]));
        if let Positions::Irregular(runs) = positions {
            assert!(runs.runs.len() > 1);
            assert!(runs.runs.windows(2).all(|pair| pair[0].join(pair[1]).is_none()));
        }
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_vector(
            steps in prop::collection::vec(prop_oneof![Just(GAP), Just(1u64), 1u64..1 << 40], 1..60),
            ops in prop::collection::vec((0u8..5, any::<prop::sample::Index>(), 0usize..5), 0..40),
        ) {
            let mut model = vec![MIDDLE];
            let mut positions = Positions::one(MIDDLE);
            for step in steps {
                let next = model[model.len() - 1] + step;
                model.push(next);
                positions.push_back(next);
            }
            check(&positions, &model);
            for (op, index, count) in ops {
                let at = index.index(model.len());
                let end = (at + count).min(model.len());
                match op {
                    0 => {
                        let new = model[0] - GAP;
                        model.insert(0, new);
                        positions.push_front(new);
                    }
                    1 if end - at < model.len() => {
                        model.drain(at..end);
                        positions = positions.splice(at..end, None).expect("some are left");
                    }
                    2 if at > 0 && model[at] - model[at - 1] > 1 => {
                        let new = model[at - 1] + (model[at] - model[at - 1]) / 2;
                        model.insert(at, new);
                        positions = positions.splice(at..at, Some(Run::one(new))).expect("there are some");
                    }
                    3 if at > 0 => {
                        let tail = positions.slice(at..model.len()).expect("it is not empty");
                        check(&tail, &model[at..]);
                        positions = positions.slice(0..at).expect("it is not empty");
                        positions.append(&tail);
                    }
                    _ => prop_assert_eq!(positions.get(at), model[at]),
                }
                check(&positions, &model);
            }
        }
    }

    #[test]
    fn regular_positions_cost_nothing_and_others_about_their_bytes() {
        assert_eq!(size_of::<Positions>(), 16);
        let mut positions = Positions::one(MIDDLE);
        (1..10_000u64).for_each(|i| positions.push_back(MIDDLE + i * GAP));
        assert_eq!(positions.memory_bytes(), 0);
        // Distances that never repeat.
        let mut positions = Positions::one(MIDDLE);
        let mut position = MIDDLE;
        (1..10_000u64).for_each(|i| {
            position += i;
            positions.push_back(position);
        });
        assert_eq!(positions.runs().len(), 5_000);
    }
}
