//! The key order of a partition, in sorted runs, each several times as long as the next.
//!
//! A scan needs every key in order, and between two scans a few keys come: to sort all again, or only
//! to merge the few into all, would cost the scan as much as there are keys. So what is new becomes a
//! run of its own, merged with those before it only where these are not much longer. A key takes part
//! in few merges that way, and a scan goes over few runs at once.

use std::cmp::Ordering;

use super::arena::{Addr, Arena};
use crate::entry::{Bounds, Direction};

/// A run is at least so many times as long as the one behind it.
const GROWTH: usize = 4;

/// Addresses of records, each key once. A record that was replaced stays valid here, because only its key is used.
///
/// # Invariants
/// Every run is sorted by key, and [`GROWTH`] times as long as the next; no key is in two of them, or in
/// `fresh`.
#[derive(Debug, Default)]
pub(super) struct Order {
    runs: Vec<Vec<Addr>>,
    /// Keys that came after the last sort.
    fresh: Vec<Addr>,
}

/// Runs that a scan made, for the scans to come.
#[derive(Debug)]
pub(super) struct Sorted {
    /// The runs of the order that stay as they are.
    stay: usize,
    /// The run behind them, with all that is fresh; none if there was nothing.
    run: Vec<Addr>,
}

impl Order {
    /// An order of one run.
    pub(super) fn new(sorted: Vec<Addr>) -> Self {
        Self { runs: vec![sorted], fresh: Vec::new() }
    }

    /// Adds a key.
    pub(super) fn push(&mut self, addr: Addr) {
        self.fresh.push(addr);
    }

    /// The memory of the order, in bytes.
    pub(super) fn allocated(&self) -> usize {
        let addresses = self.runs.iter().map(Vec::capacity).sum::<usize>() + self.fresh.capacity();
        addresses * size_of::<Addr>()
    }

    /// Sorts what is fresh, and merges it with the runs that are not much longer; with all of them for a
    /// walk over `everything`, which then goes over one run. `None` if there is nothing to do.
    pub(super) fn sort(&self, arena: &Arena, everything: bool) -> Option<Sorted> {
        if self.fresh.is_empty() && (!everything || self.runs.len() < 2) {
            return None;
        }
        let by_key = |a: &Addr, b: &Addr| arena.key(*a).cmp(arena.key(*b));
        let mut run = self.fresh.clone();
        run.sort_unstable_by(by_key);
        let mut stay = self.runs.len();
        while let Some(before) = self.runs[..stay].last() {
            if !everything && before.len() >= GROWTH * run.len() {
                break;
            }
            let mut both = Vec::with_capacity(before.len() + run.len());
            both.extend_from_slice(before);
            both.append(&mut run);
            // Two sorted stretches: the stable sort merges them.
            both.sort_by(by_key);
            run = both;
            stay -= 1;
        }
        Some(Sorted { stay, run })
    }

    /// Takes in what [`Order::sort`] made, if nothing came since.
    pub(super) fn keep(&mut self, sorted: Sorted) {
        self.runs.truncate(sorted.stay);
        self.runs.push(sorted.run);
        self.fresh.clear();
    }

    /// A walk over the keys of a range in one direction, with what [`Order::sort`] made.
    pub(super) fn walk<'a>(
        &'a self,
        sorted: Option<&'a Sorted>,
        arena: &'a Arena,
        range: Bounds<'_>,
        direction: Direction,
    ) -> Walk<'a> {
        let stay = sorted.map_or(self.runs.len(), |sorted| sorted.stay);
        let runs = self.runs[..stay].iter().chain(sorted.map(|sorted| &sorted.run));
        let mut walk = Walk { arena, direction, rest: Vec::with_capacity(stay + 1) };
        for run in runs {
            walk.add(run, range);
        }
        walk
    }
}

/// A walk over sorted runs at once.
///
/// # Invariants
/// No run in `rest` is empty; what was walked over is gone from them.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a> {
    arena: &'a Arena,
    direction: Direction,
    rest: Vec<&'a [Addr]>,
}

impl<'a> Walk<'a> {
    /// A walk over a single run.
    pub(super) fn over(run: &'a [Addr], arena: &'a Arena, range: Bounds<'_>, direction: Direction) -> Self {
        let mut walk = Self { arena, direction, rest: Vec::with_capacity(1) };
        walk.add(run, range);
        walk
    }

    fn add(&mut self, run: &'a [Addr], range: Bounds<'_>) {
        let key = |addr: &Addr| self.arena.key(*addr);
        let rest = match self.direction {
            Direction::Forward => &run[run.partition_point(|addr| range.is_before(key(addr)))..],
            Direction::Backward => &run[..run.partition_point(|addr| !range.is_after(key(addr)))],
        };
        if !rest.is_empty() {
            self.rest.push(rest);
        }
    }

    /// The address that is `distance` further on, where that is known without merging.
    #[inline]
    pub(super) fn peek(&self, distance: usize) -> Option<Addr> {
        let [run] = self.rest[..] else { return None };
        match self.direction {
            Direction::Forward => run.get(distance).copied(),
            Direction::Backward => run.len().checked_sub(distance + 1).map(|at| run[at]),
        }
    }

    /// The run whose next key comes first.
    fn first(&self) -> Option<usize> {
        if self.rest.len() < 2 {
            return self.rest.len().checked_sub(1);
        }
        let key = |run: &[Addr]| {
            let addr = match self.direction {
                Direction::Forward => run.first(),
                Direction::Backward => run.last(),
            };
            self.arena.key(*addr.expect("no run is empty"))
        };
        let mut best = (0, key(self.rest[0]));
        for (n, run) in self.rest.iter().enumerate().skip(1) {
            let key = key(run);
            let wanted = match self.direction {
                Direction::Forward => Ordering::Less,
                Direction::Backward => Ordering::Greater,
            };
            if key.cmp(best.1) == wanted {
                best = (n, key);
            }
        }
        Some(best.0)
    }
}

impl Iterator for Walk<'_> {
    type Item = Addr;

    #[inline]
    fn next(&mut self) -> Option<Addr> {
        let at = self.first()?;
        let run = &mut self.rest[at];
        let (addr, rest) = match self.direction {
            Direction::Forward => run.split_first()?,
            Direction::Backward => run.split_last()?,
        };
        *run = rest;
        if rest.is_empty() {
            self.rest.swap_remove(at);
        }
        Some(*addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::ops::Bound;

    /// Keys come in small groups, with a walk after each: the walks are those of a sorted map, the runs
    /// stay few, and the work stays near the number of keys.
    #[test]
    fn walks_are_in_order_and_the_runs_stay_few() {
        let mut arena = Arena::default();
        let mut order = Order::default();
        let mut model = BTreeMap::new();
        let mut state = 7u64;
        let mut moved = 0;
        for round in 0..3000u64 {
            for _ in 0..=round % 3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let key = (state >> 20).to_be_bytes();
                let addr = arena.push(&key, 1, None, Addr::NONE);
                if model.insert(key, addr).is_none() {
                    order.push(addr);
                }
            }
            let sorted = order.sort(&arena, false);
            let from = (state.rotate_left(9) >> 20).to_be_bytes();
            for direction in [Direction::Forward, Direction::Backward] {
                let (range, expected): (_, Vec<Addr>) = match direction {
                    Direction::Forward => (
                        Bounds { lower: Bound::Excluded(&from[..]), upper: Bound::Unbounded },
                        model.range((Bound::Excluded(from), Bound::Unbounded)).map(|(_, a)| *a).collect(),
                    ),
                    Direction::Backward => (
                        Bounds { lower: Bound::Unbounded, upper: Bound::Included(&from[..]) },
                        model.range(..=from).rev().map(|(_, addr)| *addr).collect(),
                    ),
                };
                let walked: Vec<Addr> =
                    order.walk(sorted.as_ref(), &arena, range, direction).take(20).collect();
                assert_eq!(walked, expected[..expected.len().min(20)], "round {round}");
            }
            if let Some(sorted) = sorted {
                moved += sorted.run.len();
                order.keep(sorted);
            }
            assert!(order.runs.len() < 9, "{} runs", order.runs.len());
            assert!(order.runs.windows(2).all(|pair| pair[0].len() >= GROWTH * pair[1].len()));
        }
        assert!(moved < 30 * model.len(), "{moved} moved for {}", model.len());

        let all = order.sort(&arena, true).expect("several runs");
        order.keep(all);
        assert_eq!(order.runs.len(), 1);
        assert_eq!(order.runs[0], model.into_values().collect::<Vec<_>>());
        assert!(order.sort(&arena, true).is_none());
    }
}
