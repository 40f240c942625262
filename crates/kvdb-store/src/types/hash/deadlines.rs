//! When fields die: by field, in the order in which they come due, and how many have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kvdb_ttl::is_dead;

/// What a deadline costs in memory: an entry each of a hash map and of an ordered set, with the field in both, and its part
/// of the counts.
const BYTES: usize = 120;

/// The deadlines of the fields that have one.
///
/// # Invariants
///
/// * `by_name` and `due` hold the same fields with the same deadlines, and `counts` says how many.
#[derive(Debug, Default, Clone)]
pub(super) struct Deadlines {
    by_name: HashMap<Box<[u8]>, u64>,
    due: BTreeSet<(u64, Box<[u8]>)>,
    counts: Counts,
}

impl Deadlines {
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    pub(super) fn of(&self, name: &[u8]) -> Option<u64> {
        if self.is_empty() { None } else { self.by_name.get(name).copied() }
    }

    /// The earliest one.
    pub(super) fn first(&self) -> Option<u64> {
        self.due.first().map(|&(at, _)| at)
    }

    /// The fields that are dead at a moment, the earliest first.
    pub(super) fn dead(&self, now: u64) -> impl Iterator<Item = &[u8]> {
        self.due.iter().take_while(move |&&(at, _)| is_dead(at, now)).map(|(_, name)| &**name)
    }

    /// How many fields are dead at a moment.
    pub(super) fn count_dead(&self, now: u64) -> usize {
        self.counts.up_to(now)
    }

    /// Gives a field a deadline or takes it away.
    pub(super) fn set(&mut self, name: &[u8], deadline: Option<u64>) {
        let before = match deadline {
            Some(at) => self.by_name.insert(name.into(), at),
            None if self.is_empty() => None,
            None => self.by_name.remove(name),
        };
        if let Some(before) = before {
            self.due.remove(&(before, name.into()));
            self.counts.add(before, -1);
        }
        if let Some(at) = deadline {
            self.due.insert((at, name.into()));
            self.counts.add(at, 1);
        }
    }

    /// Bytes of memory that the deadline of a field takes.
    pub(super) fn bytes_for(name: &[u8]) -> usize {
        BYTES + 2 * name.len()
    }
}

/// How many moments there are, by moment, by spans of 2^10 and by spans of 2^20 milliseconds. Fields die together or one
/// after the other; either way a count looks at few numbers: whole spans, and what the last ones have up to the moment.
#[derive(Debug, Default, Clone)]
struct Counts([BTreeMap<u64, usize>; 3]);

impl Counts {
    const BITS: u32 = 10;

    fn add(&mut self, at: u64, by: isize) {
        for (level, counts) in (0..).zip(&mut self.0) {
            let count = counts.entry(at >> (level * Self::BITS)).or_default();
            *count = count.wrapping_add_signed(by);
            if *count == 0 {
                counts.remove(&(at >> (level * Self::BITS)));
            }
        }
    }

    /// The moments up to this one.
    fn up_to(&self, now: u64) -> usize {
        let [moments, spans, long_spans] = &self.0;
        let (span, long_span) = (now >> Self::BITS, now >> (2 * Self::BITS));
        long_spans.range(..long_span).map(|(_, count)| count).sum::<usize>()
            + spans.range(long_span << Self::BITS..span).map(|(_, count)| count).sum::<usize>()
            + moments.range(span << Self::BITS..=now).map(|(_, count)| count).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_dead_are_counted_as_they_come_due(
            ops in prop::collection::vec((0u8..40, prop::option::of(0u64..5_000_000)), 1..200),
            nows in prop::collection::vec(0u64..5_000_000, 1..20),
        ) {
            let (mut deadlines, mut model) = (Deadlines::default(), BTreeMap::new());
            for (name, deadline) in ops {
                deadlines.set(&[name], deadline);
                match deadline {
                    Some(at) => drop(model.insert(name, at)),
                    None => drop(model.remove(&name)),
                }
                prop_assert_eq!(deadlines.of(&[name]), deadline);
            }
            prop_assert_eq!(deadlines.first(), model.values().min().copied());
            for now in nows {
                let dead = model.values().filter(|&&at| is_dead(at, now)).count();
                prop_assert_eq!(deadlines.count_dead(now), dead);
                prop_assert_eq!(deadlines.dead(now).count(), dead);
            }
            model.keys().for_each(|&name| deadlines.set(&[name], None));
            prop_assert!(deadlines.is_empty() && deadlines.counts.0.iter().all(BTreeMap::is_empty));
        }
    }

    #[test]
    fn counting_a_million_that_die_together_or_over_a_day_looks_at_few_numbers() {
        let mut deadlines = Deadlines::default();
        for i in 0..100_000u64 {
            deadlines.set(&i.to_le_bytes(), Some(1_700_000_000_000 + if i % 2 == 0 { 7 } else { i * 864 }));
        }
        let [_, spans, long_spans] = &deadlines.counts.0;
        assert!(long_spans.len() + (1 << Counts::BITS) < 1200 && spans.len() > 40_000);
        assert_eq!(deadlines.count_dead(1_700_000_000_007), 50_000);
        assert_eq!(deadlines.count_dead(u64::MAX), 100_000);
    }
}
