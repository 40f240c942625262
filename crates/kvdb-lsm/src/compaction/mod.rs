//! What to compact: decided here, from a picture of the levels alone; done elsewhere.
//!
//! Leveled compaction. Level 0 is due when it is stacked too high or has too many bytes (and goes through the
//! level below at once where that [rewrites less](level0)), a deeper
//! level when it is larger than its [target](Targets), and so are [blob files](blobs) when there is
//! too much garbage in them. The most urgent goes first, behind tables that are dead as a whole. When nothing is due, there
//! may be [upkeep](upkeep) to do. On a disk that is nearly full, what does not fit must not keep what fits from being done.

mod blobs;
mod cuts;
mod level0;
mod leveled;
mod range;
mod sieve;
mod targets;
mod upkeep;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use self::blobs::{choose_blobs, due_blobs, due_bytes, pending_blob_bytes};
pub(crate) use self::cuts::{Cuts, Grouping, table_bytes};
use self::level0::Reach;
pub(crate) use self::range::{choose_all, choose_down, choose_rewrite, deepest, in_range, inside};
pub(crate) use self::sieve::{Fate, Sieve};
pub(crate) use self::targets::Targets;
use crate::db::LevelOptions;
use crate::filter::Judge;
use crate::version::{BlobStates, FileMeta, LAST_LEVEL, LEVELS, LevelMetas, Worn, sublevels};

/// A table should overlap at most this many tables of the level below its own, or compacting it
/// takes long and much.
pub(crate) const MAX_GRANDPARENTS: usize = 10;

/// When a level is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    /// The depth at which level 0 is due: how many of its tables lie over one key.
    pub(crate) level0_depth: usize,
    /// The most bytes that the first level below 0 should have.
    pub(crate) base_bytes: u64,
    /// How many times larger each further level may be.
    pub(crate) fan_out: u64,
    /// A table with fewer tombstones is not compacted for their sake.
    pub(crate) min_tombstones: u64,
    /// The share of garbage at which a blob file is due.
    pub(crate) blob_garbage_ratio: f64,
    /// The share of the blob files, the oldest, that are due at half of that.
    pub(crate) blob_age_cutoff: f64,
    /// Tables are compressed, except on level 0 and the one it is compacted into.
    pub(crate) compressed: bool,
    /// What the tables of each level have otherwise.
    pub(crate) levels: [LevelOptions; LEVELS],
}

/// What is to be done with the tables of a compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// They are merged.
    Merge,
    /// They change their level as they are: nothing there overlaps them.
    Move,
    /// They are removed: nobody needs what is in them.
    Remove,
}

/// Why a compaction was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A level is too large or stacked too high.
    Size,
    /// Rows are dead, as the filter says.
    Dead,
    /// There are tombstones that can go.
    Tombstones,
    /// Blob files are due that cannot go as long as there are references to them.
    Blobs,
    /// Readers have often looked into a table in vain.
    Reads,
    /// Somebody asked for it.
    Asked,
}

/// A compaction to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The tables, by level and number.
    pub(crate) inputs: Vec<(usize, u64)>,
    /// Where the result goes.
    pub(crate) output_level: usize,
    /// What is done with them.
    pub(crate) work: Work,
    /// Why.
    pub(crate) reason: Reason,
}

impl Choice {
    /// Whether somebody waits for it.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.reason == Reason::Asked
    }

    /// The bytes of its tables.
    pub(crate) fn bytes(&self, levels: &LevelMetas) -> u64 {
        self.tables(levels).map(|meta| meta.size).sum()
    }

    /// Its tables.
    pub(crate) fn tables<'a>(&'a self, levels: &'a LevelMetas) -> impl Iterator<Item = &'a Arc<FileMeta>> {
        self.inputs
            .iter()
            .filter_map(move |&(level, number)| levels[level].iter().find(|meta| meta.number == number))
    }
}

/// Tables and blob files that cannot be read, by number. They stay where they are: moved, they would be met again.
pub(crate) type Damaged = BTreeSet<u64>;

/// All that a choice depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Picture<'a> {
    /// The tables.
    pub(crate) levels: &'a LevelMetas,
    /// The sizes to aim for.
    pub(crate) targets: &'a Targets,
    /// When a level is due.
    pub(crate) config: &'a Config,
    /// Tables that must not be part of it.
    pub(crate) damaged: &'a Damaged,
    /// What the filter says, if there is one.
    pub(crate) judge: Option<&'a dyn Judge>,
    /// The blob files.
    pub(crate) blobs: &'a BlobStates,
    /// Tables that readers have often looked into in vain.
    pub(crate) worn: &'a [Worn],
}

impl Picture<'_> {
    fn is_sound(&self, meta: &FileMeta) -> bool {
        !self.damaged.contains(&meta.number)
    }

    /// Whether tables of two levels are stored in the same way, so that one can move.
    fn is_stored_alike(&self, from: usize, to: usize) -> bool {
        let base = self.targets.base;
        let (own, other) = (self.config.levels[from], self.config.levels[to]);
        let is_chosen = own.compression.is_some() || !self.config.compressed;
        own == other && (is_chosen || is_compressed(from, base) == is_compressed(to, base))
    }
}

/// Whether a level is one of those that are compressed. Level 0 and the base are soon rewritten,
/// unless the base is the last level.
pub(crate) const fn is_compressed(level: usize, base: usize) -> bool {
    level > base || level == LAST_LEVEL
}

/// The bytes of each level.
pub(crate) fn sizes(levels: &LevelMetas) -> [u64; LEVELS] {
    levels.each_ref().map(|files| files.iter().map(|meta| meta.size).sum())
}

/// How urgent a compaction of level 0 is; due from 1 on.
pub(crate) fn level0_score(depth: usize, bytes: u64, config: &Config) -> f64 {
    let depth = depth as f64 / config.level0_depth.max(1) as f64;
    depth.max(bytes as f64 / config.base_bytes.max(1) as f64)
}

/// What can be due.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// To move tables out of level 0.
    Level0,
    /// To move tables out of a deeper level, which has `excess` bytes too many.
    Level { level: usize, excess: u64 },
    /// To empty blob files.
    Blobs,
}

impl Due {
    /// The compaction that does most for it; out of level 0, of those that reach so far.
    fn choose(self, picture: &Picture<'_>, reach: Reach) -> Option<Choice> {
        match self {
            Self::Level0 => level0::choose(picture, reach, Reason::Size),
            Self::Level { level, excess } => leveled::choose(picture, level, excess, Reason::Size),
            Self::Blobs => choose_blobs(picture),
        }
    }

    /// The compactions that take one table of the level down, with what that drags along.
    fn steps<'a>(self, picture: &'a Picture<'a>) -> impl Iterator<Item = Choice> + 'a {
        let level = match self {
            Self::Level0 => Some(0),
            Self::Level { level, .. } => Some(level),
            Self::Blobs => None,
        };
        let tables = level
            .into_iter()
            .flat_map(move |level| picture.levels[level].iter().map(move |meta| (level, meta)));
        tables.filter_map(move |(level, meta)| upkeep::down(picture, level, meta, Reason::Size))
    }
}

/// The most urgent compaction, if anything is due. No damaged table is part of it.
pub(crate) fn choose(picture: &Picture<'_>) -> Option<Choice> {
    // What is dead as a whole goes first: that takes no space and may make some for the rest, which
    // then has less to carry.
    upkeep::dead(picture)
        .or_else(|| due(picture).into_iter().find_map(|due| due.choose(picture, Reach::Behind)))
        .or_else(|| upkeep::choose(picture))
}

/// The most urgent compaction of those that fit, where [`choose`] chose one that does not: what is due,
/// or useful, and else the least that brings a level which is due nearer to its target.
pub(crate) fn choose_fitting(picture: &Picture<'_>, fits: impl Fn(&Choice) -> bool) -> Option<Choice> {
    let due = due(picture);
    let most_urgent = |reach| due.iter().filter_map(|due| due.choose(picture, reach)).find(&fits);
    most_urgent(Reach::Behind)
        .or_else(|| most_urgent(Reach::Base))
        .or_else(|| upkeep::all(picture).find(&fits))
        .or_else(|| {
            let steps = due.iter().flat_map(|due| due.steps(picture)).filter(&fits);
            steps.min_by_key(|choice| choice.bytes(picture.levels))
        })
}

/// What is due, the most urgent first.
fn due(picture: &Picture<'_>) -> Vec<Due> {
    let sizes = sizes(picture.levels);
    let depth = sublevels(&picture.levels[0]).into_iter().max().map_or(0, |highest| highest + 1);
    // The last level has nowhere to go.
    let mut due: Vec<(Due, f64)> = (1..LAST_LEVEL)
        .map(|level| {
            let excess = sizes[level].saturating_sub(picture.targets.bytes[level]);
            (Due::Level { level, excess }, picture.targets.score(&sizes, level))
        })
        .chain([(Due::Level0, level0_score(depth, sizes[0], picture.config))])
        .chain([(Due::Blobs, blobs::score(picture))])
        .filter(|(_, score)| *score >= 1.0)
        .collect();
    due.sort_by(|a, b| b.1.total_cmp(&a.1));
    due.into_iter().map(|(due, _)| due).collect()
}

/// The tables of a sorted level, or of level 0, that meet a key range.
fn overlapping<'a>(files: &'a [Arc<FileMeta>], smallest: &[u8], largest: &[u8]) -> Vec<&'a Arc<FileMeta>> {
    files.iter().filter(|meta| meta.overlaps(smallest, largest)).collect()
}

/// The first and the last key of some tables.
fn hull<'a>(files: &[&'a Arc<FileMeta>]) -> Option<(&'a [u8], &'a [u8])> {
    let smallest = files.iter().map(|meta| meta.smallest.as_slice()).min()?;
    let largest = files.iter().map(|meta| meta.largest.as_slice()).max()?;
    Some((smallest, largest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::test_meta as meta;

    pub(super) const CONFIG: Config = Config {
        level0_depth: 4,
        base_bytes: 1000,
        fan_out: 10,
        min_tombstones: 10,
        blob_garbage_ratio: 0.5,
        blob_age_cutoff: 0.25,
        compressed: false,
        levels: [LevelOptions { compression: None, block_bytes: None, bloom_bits_per_key: None }; LEVELS],
    };

    /// Levels for a test.
    #[derive(Clone)]
    pub(super) struct Levels {
        levels: LevelMetas,
        config: Config,
        blobs: BlobStates,
        worn: Vec<Worn>,
    }

    impl Levels {
        /// Level 0 is given from new to old, a deeper level in any order.
        pub(super) fn new(files: Vec<(usize, Arc<FileMeta>)>) -> Self {
            let mut levels: LevelMetas = Default::default();
            for (level, meta) in files {
                levels[level].push(meta);
            }
            for files in &mut levels[1..] {
                files.sort_by(|a, b| a.smallest.cmp(&b.smallest));
            }
            Self { levels, config: CONFIG, blobs: BlobStates::new(), worn: Vec::new() }
        }

        /// The same, in a database that compresses.
        pub(super) fn compressed(self) -> Self {
            Self { config: Config { compressed: true, ..self.config }, ..self }
        }

        /// The same, in a database whose last level has larger blocks.
        pub(super) fn last_level_differs(mut self) -> Self {
            self.config.levels[LAST_LEVEL].block_bytes = Some(64 << 10);
            self
        }

        /// The same over a large last level, so that the one above need not be empty.
        pub(super) fn large(mut self) -> Self {
            self.levels[6].push(meta(99, 10_000, "~", "~~"));
            self
        }

        /// The same, with these blob files.
        pub(super) fn with_blobs(self, blobs: BlobStates) -> Self {
            Self { blobs, ..self }
        }

        /// The same, after readers have looked into these tables in vain.
        pub(super) fn worn(self, worn: &[Worn]) -> Self {
            Self { worn: worn.to_vec(), ..self }
        }

        pub(super) fn choose(&self, damaged: &[u64]) -> Option<Choice> {
            self.choose_with(damaged, None)
        }

        pub(super) fn judged(&self, judge: &dyn Judge) -> Option<Choice> {
            self.choose_with(&[], Some(judge))
        }

        /// What is chosen when merges of more than `room` bytes do not fit.
        pub(super) fn fitting(&self, room: u64, judge: Option<&dyn Judge>) -> Option<Choice> {
            let fits = |choice: &Choice| choice.work != Work::Merge || choice.bytes(&self.levels) <= room;
            self.with_picture(&[], judge, |picture| choose_fitting(picture, fits))
        }

        fn choose_with(&self, damaged: &[u64], judge: Option<&dyn Judge>) -> Option<Choice> {
            self.with_picture(damaged, judge, choose)
        }

        fn with_picture<R>(
            &self,
            damaged: &[u64],
            judge: Option<&dyn Judge>,
            choose: impl FnOnce(&Picture<'_>) -> R,
        ) -> R {
            let damaged = damaged.iter().copied().collect();
            let targets = Targets::new(&sizes(&self.levels), &self.config);
            choose(&Picture {
                levels: &self.levels,
                targets: &targets,
                config: &self.config,
                damaged: &damaged,
                judge,
                blobs: &self.blobs,
                worn: &self.worn,
            })
        }
    }

    /// The numbers of the tables of a choice.
    pub(super) fn inputs(choice: &Choice) -> Vec<u64> {
        choice.inputs.iter().map(|(_, number)| *number).collect()
    }

    #[test]
    fn nothing_is_due_in_small_levels() {
        let few = Levels::new(vec![
            (0, meta(9, 500, "a", "z")),
            (5, meta(1, 800, "a", "m")),
            (6, meta(2, 1 << 13, "a", "z")),
        ]);
        assert_eq!(few.choose(&[]), None);
    }

    #[test]
    fn the_level_that_is_furthest_above_its_target_goes_first() {
        let stack = || (0..5).map(|n| (0, meta(20 + n, 10, "a", "z"))).rev();
        let below = |size| [(5, meta(1, size, "a", "z")), (6, meta(2, 10_000, "a", "z"))];
        let chosen = Levels::new(stack().chain(below(1100)).collect()).choose(&[]);
        assert_eq!(chosen.map(|choice| choice.output_level), Some(5));
        let chosen = Levels::new(stack().chain(below(1500)).collect()).choose(&[]);
        assert_eq!(chosen.map(|choice| choice.output_level), Some(6));
    }

    #[test]
    fn a_level_above_the_base_sinks_to_where_it_belongs() {
        let old = Levels::new(vec![(1, meta(1, 100, "a", "m")), (1, meta(2, 100, "n", "z"))]);
        let chosen = old.choose(&[]).expect("level 1 should be empty");
        assert_eq!((inputs(&chosen), chosen.output_level, chosen.work), (vec![1, 2], 2, Work::Move));
    }
    #[test]
    fn where_what_is_most_urgent_does_not_fit_something_else_is_done() {
        // Level 0 is due, level 5 as well, by two tables: one has much below it, the other less.
        let levels = Levels::new(vec![
            (0, meta(24, 100, "a", "z")),
            (0, meta(23, 100, "a", "z")),
            (0, meta(22, 100, "a", "z")),
            (0, meta(21, 100, "a", "z")),
            (0, meta(20, 100, "a", "z")),
            (5, meta(4, 700, "a", "f")),
            (5, meta(3, 600, "k", "m")),
            (6, meta(2, 5000, "a", "f")),
            (6, meta(1, 4000, "k", "m")),
        ]);
        let chosen = |room| levels.fitting(room, None).map(|choice| inputs(&choice));
        assert_eq!(levels.choose(&[]).map(|choice| inputs(&choice)), Some(vec![3, 1]));
        assert_eq!(chosen(4600), Some(vec![3, 1]));
        assert_eq!(chosen(4599), Some(vec![24, 23, 22, 21, 20, 4, 3]));
        assert_eq!(chosen(1799), None);
        // A table that can change its level as it is takes no room.
        let mut free = levels.clone();
        free.levels[5].push(meta(5, 600, "x", "y"));
        assert_eq!(
            free.fitting(0, None).map(|choice| (inputs(&choice), choice.work)),
            Some((vec![5], Work::Move))
        );
    }

    #[test]
    fn where_the_best_step_does_not_fit_a_smaller_one_is_done() {
        let levels = Levels::new(vec![
            (5, meta(4, 700, "a", "f")),
            (5, meta(3, 300, "k", "m")),
            (6, meta(2, 2000, "a", "f")),
            (6, meta(1, 1200, "k", "m")),
            (6, meta(9, 5800, "x", "z")),
        ]);
        let chosen = |room| levels.fitting(room, None).map(|choice| inputs(&choice));
        assert_eq!(chosen(2700), Some(vec![4, 2]));
        assert_eq!(chosen(2699), Some(vec![3, 1]));
        assert_eq!(chosen(1499), None);
    }
}
