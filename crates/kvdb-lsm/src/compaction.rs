//! What to compact: decided here, from a picture of the levels alone; done elsewhere.
//!
//! Leveled compaction. Level 0 is due when it has too many tables, a deeper level when it is too
//! large. All of level 0 moves at once; of a deeper level, the table that drags the fewest bytes
//! of the next level along.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::version::{FileMeta, LEVELS, LevelMetas};

/// When a level is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    /// The number of tables at which level 0 is due.
    pub(crate) level0_tables: usize,
    /// The bytes level 1 may have.
    pub(crate) level1_bytes: u64,
    /// How many times larger each further level may be.
    pub(crate) fan_out: u64,
}

/// A compaction to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The tables to merge, by level and number.
    pub(crate) inputs: Vec<(usize, u64)>,
    /// Where the result goes.
    pub(crate) output_level: usize,
    /// The tables can simply change their level: nothing there overlaps them.
    pub(crate) is_move: bool,
}

/// Tables that cannot be read, by number. They stay where they are: moved, they would be met again.
pub(crate) type Damaged = BTreeSet<u64>;

/// The most urgent compaction, if any level is due. No damaged table is part of it.
pub(crate) fn choose(levels: &LevelMetas, config: &Config, damaged: &Damaged) -> Option<Choice> {
    // The last level has nowhere to go.
    let mut due: Vec<(usize, f64)> = (0..LEVELS - 1)
        .map(|level| (level, score(levels, level, config)))
        .filter(|(_, score)| *score >= 1.0)
        .collect();
    due.sort_by(|a, b| b.1.total_cmp(&a.1));
    due.into_iter().find_map(|(level, _)| choose_from(levels, level, damaged))
}

/// What to move from `level` to the next, if anything can be.
fn choose_from(levels: &LevelMetas, level: usize, damaged: &Damaged) -> Option<Choice> {
    let sound = |meta: &Arc<FileMeta>| !damaged.contains(&meta.number);
    let (moving, dragged) = if level == 0 {
        // A newer table must not get below an older one: only what is older than all the damage
        // can go.
        let first = levels[0].iter().rposition(|meta| !sound(meta)).map_or(0, |last| last + 1);
        let moving: Vec<_> = levels[0][first..].iter().collect();
        let smallest = moving.iter().map(|meta| &meta.smallest).min()?;
        let largest = moving.iter().map(|meta| &meta.largest).max()?;
        let dragged = overlapping(&levels[1], smallest, largest);
        (moving, dragged)
    } else {
        let cost = |meta: &FileMeta, dragged: &[&Arc<FileMeta>]| {
            let bytes: u64 = dragged.iter().map(|meta| meta.size).sum();
            bytes as f64 / meta.size.max(1) as f64
        };
        let (_, cheapest, dragged) = levels[level]
            .iter()
            .filter(|meta| sound(meta))
            .map(|meta| (meta, overlapping(&levels[level + 1], &meta.smallest, &meta.largest)))
            .filter(|(_, dragged)| dragged.iter().all(|meta| sound(meta)))
            .map(|(meta, dragged)| (cost(meta, &dragged), meta, dragged))
            .min_by(|a, b| a.0.total_cmp(&b.0))?;
        (vec![cheapest], dragged)
    };
    if !dragged.iter().all(|meta| sound(meta)) {
        return None;
    }
    let is_move = dragged.is_empty() && moving.len() == 1;
    let inputs = moving.iter().map(|meta| (level, meta.number));
    let dragged = dragged.iter().map(|meta| (level + 1, meta.number));
    Some(Choice { inputs: inputs.chain(dragged).collect(), output_level: level + 1, is_move })
}

/// The compaction of everything into one sorted run, if there is more than that.
pub(crate) fn choose_all(levels: &LevelMetas) -> Option<Choice> {
    let deepest = (0..LEVELS).rev().find(|&level| !levels[level].is_empty())?;
    let inputs: Vec<_> = levels
        .iter()
        .enumerate()
        .flat_map(|(level, files)| files.iter().map(move |meta| (level, meta.number)))
        .collect();
    let tombstones = levels.iter().flatten().any(|meta| meta.tombstones > 0);
    let is_one_run = deepest > 0 && levels[..deepest].iter().all(Vec::is_empty);
    (!is_one_run || tombstones).then_some(Choice { inputs, output_level: deepest.max(1), is_move: false })
}

/// The bytes a level may have.
fn target(level: usize, config: &Config) -> u64 {
    (1..level).fold(config.level1_bytes.max(1), |bytes, _| bytes.saturating_mul(config.fan_out))
}

/// How urgent a level is; it is due from 1 on.
fn score(levels: &LevelMetas, level: usize, config: &Config) -> f64 {
    if level == 0 {
        return levels[0].len() as f64 / config.level0_tables.max(1) as f64;
    }
    let bytes: u64 = levels[level].iter().map(|meta| meta.size).sum();
    bytes as f64 / target(level, config) as f64
}

fn overlapping<'a>(files: &'a [Arc<FileMeta>], smallest: &[u8], largest: &[u8]) -> Vec<&'a Arc<FileMeta>> {
    files.iter().filter(|meta| meta.overlaps(smallest, largest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: Config = Config { level0_tables: 4, level1_bytes: 1000, fan_out: 10 };

    fn meta(number: u64, size: u64, smallest: &str, largest: &str) -> Arc<FileMeta> {
        Arc::new(FileMeta {
            number,
            size,
            crc: 0,
            entries: 1,
            tombstones: 0,
            max_seq: 1,
            smallest: smallest.into(),
            largest: largest.into(),
        })
    }

    fn levels(files: Vec<(usize, Arc<FileMeta>)>) -> LevelMetas {
        let mut levels: LevelMetas = Default::default();
        for (level, meta) in files {
            levels[level].push(meta);
        }
        levels
    }

    #[test]
    fn nothing_is_due_in_small_levels() {
        let few = levels(vec![
            (0, meta(9, 500, "a", "z")),
            (1, meta(1, 900, "a", "m")),
            (6, meta(2, 1 << 40, "a", "z")),
        ]);
        assert_eq!(choose(&few, &CONFIG, &Damaged::new()), None);
    }

    #[test]
    fn level_0_goes_as_a_whole_with_what_it_overlaps() {
        let full = levels(vec![
            (0, meta(13, 10, "c", "f")),
            (0, meta(12, 10, "b", "d")),
            (0, meta(11, 10, "c", "d")),
            (0, meta(10, 10, "c", "g")),
            (1, meta(1, 10, "a", "b")),
            (1, meta(2, 10, "d", "e")),
            (1, meta(3, 10, "h", "i")),
        ]);
        let inputs = vec![(0, 13), (0, 12), (0, 11), (0, 10), (1, 1), (1, 2)];
        let expected = Choice { inputs, output_level: 1, is_move: false };
        assert_eq!(choose(&full, &CONFIG, &Damaged::new()), Some(expected));
    }

    #[test]
    fn damaged_tables_stay_and_so_does_what_must_not_pass_them() {
        let full = levels(vec![
            (0, meta(14, 10, "a", "f")),
            (0, meta(13, 10, "a", "f")),
            (0, meta(12, 10, "k", "l")),
            (0, meta(11, 10, "k", "m")),
            (1, meta(1, 1500, "a", "b")),
            (1, meta(2, 1500, "n", "o")),
            (2, meta(3, 10, "a", "c")),
        ]);
        let choose = |damaged: &[u64]| choose(&full, &CONFIG, &damaged.iter().copied().collect());
        let inputs = |damaged: &[u64]| choose(damaged).map(|choice| choice.inputs);
        assert_eq!(inputs(&[]), Some(vec![(1, 2)]));
        assert_eq!(inputs(&[2]), Some(vec![(1, 1), (2, 3)]));
        assert_eq!(inputs(&[2, 3]), Some(vec![(0, 14), (0, 13), (0, 12), (0, 11), (1, 1)]));
        assert_eq!(inputs(&[2, 3, 13]), Some(vec![(0, 12), (0, 11)]));
        assert_eq!(inputs(&[1, 2]), None);
        assert_eq!(inputs(&[2, 3, 11]), None);
    }

    #[test]
    fn the_cheapest_table_of_a_large_level_moves() {
        let full = levels(vec![
            (1, meta(1, 800, "a", "f")),
            (1, meta(2, 800, "g", "k")),
            (1, meta(3, 800, "l", "z")),
            (2, meta(4, 900, "a", "c")),
            (2, meta(5, 100, "m", "n")),
        ]);
        let choice = choose(&full, &CONFIG, &Damaged::new()).expect("level 1 is too large");
        assert_eq!(choice.inputs, [(1, 2)]);
        assert!(choice.is_move);
    }
}
