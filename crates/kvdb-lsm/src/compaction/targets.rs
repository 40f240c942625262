//! How large each level should be.
//!
//! The sizes are computed upward from the data there is, as RocksDB does with dynamic level bytes:
//! the last level holds nearly everything, and each level above may have a `fan_out`-th of the one
//! below. The first level that may have anything is the *base*: level 0 is compacted into it, and
//! the levels between are empty. So a small database has two levels, and superseded versions take
//! at most about a ninth of the space, whatever the size.

use super::Config;
use crate::version::{LAST_LEVEL, LEVELS};

/// What a level that should be empty has for a score: it is due, and nothing is less urgent.
const DRAIN: f64 = 1.0;

/// The sizes to aim for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Targets {
    /// The level that level 0 is compacted into. No level between them has a table.
    pub(crate) base: usize,
    /// The bytes each level may have. 0 for a level that should be emptied.
    pub(crate) bytes: [u64; LEVELS],
}

impl Targets {
    /// For levels of these sizes.
    pub(crate) fn new(sizes: &[u64; LEVELS], config: &Config) -> Self {
        let base_bytes = config.base_bytes.max(1);
        let fan_out = config.fan_out.max(2);
        let mut bytes = [0; LEVELS];
        let mut level = LAST_LEVEL;
        // Usually the last level is the largest. Where it is not, tables are on their way to it.
        bytes[level] = sizes[1..].iter().copied().max().unwrap_or_default().max(base_bytes);
        while level > 1 && bytes[level] > base_bytes {
            bytes[level - 1] = (bytes[level] / fan_out).max(base_bytes / fan_out).max(1);
            level -= 1;
        }
        // A level that has tables must not be passed by newer ones: until it is drained, level 0
        // goes into it.
        let first = (1..LEVELS).find(|&level| sizes[level] > 0).unwrap_or(LAST_LEVEL);
        Self { base: level.min(first), bytes }
    }

    /// How urgent it is to move tables out of a level below 0; due from 1 on.
    pub(crate) fn score(&self, sizes: &[u64; LEVELS], level: usize) -> f64 {
        let (size, target) = (sizes[level], self.bytes[level]);
        if size == 0 || level == LAST_LEVEL {
            0.0
        } else if target == 0 {
            DRAIN
        } else {
            size as f64 / target as f64
        }
    }

    /// The bytes that have to be rewritten before no level is due, as an estimate: what a level has
    /// too much, and what it meets in the level below. `level0` says whether level 0 is due.
    pub(crate) fn pending(&self, sizes: &[u64; LEVELS], level0: bool) -> u64 {
        let mut arriving = if level0 { sizes[0] } else { 0 };
        let mut pending = if level0 { sizes[0].saturating_add(sizes[self.base]) } else { 0 };
        for level in self.base..LAST_LEVEL {
            let size = sizes[level].saturating_add(arriving);
            let excess = size.saturating_sub(self.bytes[level]);
            let met = sizes[level + 1] as f64 / size.max(1) as f64;
            pending = pending.saturating_add((excess as f64 * (1.0 + met)) as u64);
            arriving = excess;
        }
        pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compaction::tests::CONFIG;

    fn targets(sizes: [u64; LEVELS]) -> Targets {
        Targets::new(&sizes, &CONFIG)
    }

    #[test]
    fn a_small_database_has_two_levels() {
        for last in [0, 1, 999, 1000] {
            assert_eq!(targets([500, 0, 0, 0, 0, 0, last]).base, 6);
        }
    }

    #[test]
    fn levels_are_added_upward_as_the_last_grows() {
        let two = targets([0, 0, 0, 0, 0, 0, 1001]);
        assert_eq!((two.base, two.bytes), (5, [0, 0, 0, 0, 0, 100, 1001]));
        let two = targets([0, 0, 0, 0, 0, 0, 10_000]);
        assert_eq!((two.base, two.bytes), (5, [0, 0, 0, 0, 0, 1000, 10_000]));
        let three = targets([0, 0, 0, 0, 0, 3000, 50_000]);
        assert_eq!((three.base, three.bytes), (4, [0, 0, 0, 0, 500, 5000, 50_000]));
        assert_eq!(targets([0, 0, 0, 0, 0, 0, u64::MAX]).base, 1);
    }

    #[test]
    fn a_level_that_has_tables_is_not_passed_and_is_drained() {
        let old = [0, 700, 0, 0, 0, 0, 0];
        assert_eq!(targets(old).base, 1);
        assert_eq!(targets(old).score(&old, 1), DRAIN);
        let shrunk = [0, 0, 0, 0, 90, 0, 900];
        assert_eq!(targets(shrunk).base, 4);
        assert_eq!(targets(shrunk).score(&shrunk, 4), DRAIN);
    }

    #[test]
    fn scores_compare_with_the_targets_and_the_last_level_is_never_due() {
        let sizes = [0, 0, 0, 0, 0, 2000, 10_000];
        let targets = targets(sizes);
        assert_eq!(targets.score(&sizes, 5), 2.0);
        assert_eq!(targets.score(&sizes, 6), 0.0);
        assert_eq!(targets.score(&sizes, 4), 0.0);
    }

    #[test]
    fn pending_bytes_count_the_excess_and_what_it_meets() {
        let even = [0, 0, 0, 0, 0, 900, 10_000];
        assert_eq!(targets(even).pending(&even, false), 0);
        let above = [0, 0, 0, 0, 0, 2000, 10_000];
        assert_eq!(targets(above).pending(&above, false), 1000 + 5000);
        let due = [400, 0, 0, 0, 0, 0, 800];
        assert_eq!(targets(due).pending(&due, true), 1200);
    }
}
