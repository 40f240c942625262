//! Compacting because somebody asked for it: everything, or a range of keys.

use std::collections::BTreeSet;

use super::{Choice, Picture, Reason, Work, level0, leveled};
use crate::entry::KeyRange;
use crate::version::{FileMeta, LAST_LEVEL, LEVELS, LevelMetas};

/// The compaction of everything into one sorted run, if there is more than that or `filtered` says
/// that rows may be dead.
pub(crate) fn choose_all(levels: &LevelMetas, filtered: bool) -> Option<Choice> {
    let deepest = (0..LEVELS).rev().find(|&level| !levels[level].is_empty())?;
    let inputs: Vec<_> = levels
        .iter()
        .enumerate()
        .flat_map(|(level, files)| files.iter().map(move |meta| (level, meta.number)))
        .collect();
    let tombstones = levels.iter().flatten().any(|meta| meta.tombstones > 0);
    let is_one_run = deepest > 0 && levels[..deepest].iter().all(Vec::is_empty);
    let output_level = if deepest == 0 { LAST_LEVEL } else { deepest };
    let choice = Choice { inputs, output_level, work: Work::Merge, reason: Reason::Asked };
    (!is_one_run || tombstones || filtered).then_some(choice)
}

/// The tables of a level that have keys in a range, by number.
pub(crate) fn in_range(levels: &LevelMetas, level: usize, range: &KeyRange) -> BTreeSet<u64> {
    let files = levels[level].iter();
    files
        .filter(|meta| range.bounds().overlaps(&meta.smallest, &meta.largest))
        .map(|meta| meta.number)
        .collect()
}

/// The deepest level that has keys of a range.
pub(crate) fn deepest(levels: &LevelMetas, range: &KeyRange) -> Option<usize> {
    (0..LEVELS).rev().find(|&level| !in_range(levels, level, range).is_empty())
}

/// A step of a compaction of a key range: one of the tables `left` goes from `level` to the next.
pub(crate) fn choose_down(picture: &Picture<'_>, level: usize, left: &BTreeSet<u64>) -> Option<Choice> {
    let mut files = picture.levels[level].iter().filter(|meta| left.contains(&meta.number));
    files.find_map(|meta| {
        if level == 0 {
            level0::choose_table(picture, meta.number, Reason::Asked)
        } else {
            leveled::choose_table(picture, level, meta, Reason::Asked)
        }
    })
}

/// The last step of a compaction of a key range: one of the tables `left`, which have nothing below
/// them, is rewritten without what can be dropped from it.
pub(crate) fn choose_rewrite(picture: &Picture<'_>, level: usize, left: &BTreeSet<u64>) -> Option<Choice> {
    let droppable = |meta: &FileMeta| meta.tombstones > 0 || picture.judge.is_some();
    let mut files = picture.levels[level].iter().filter(|meta| left.contains(&meta.number));
    let meta = files.find(|meta| droppable(meta) && picture.is_sound(meta))?;
    let inputs = vec![(level, meta.number)];
    Some(Choice { inputs, output_level: level, work: Work::Merge, reason: Reason::Asked })
}

/// The tables that lie wholly inside a range, by level and number.
pub(crate) fn inside(levels: &LevelMetas, range: &KeyRange) -> Vec<(usize, u64)> {
    let is_inside = |key: &[u8]| !range.bounds().is_before(key) && !range.bounds().is_after(key);
    let files =
        levels.iter().enumerate().flat_map(|(level, files)| files.iter().map(move |meta| (level, meta)));
    files
        .filter(|(_, meta)| is_inside(&meta.smallest) && is_inside(&meta.largest))
        .map(|(level, meta)| (level, meta.number))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;
    use crate::version::test_meta as meta;

    fn range(from: &str, to: &str) -> KeyRange {
        KeyRange::new(&(Bound::Included(from.as_bytes()), Bound::Excluded(to.as_bytes())))
    }

    fn levels() -> LevelMetas {
        let mut levels: LevelMetas = Default::default();
        levels[0] = vec![meta(9, 1, "a", "p"), meta(8, 1, "c", "d")];
        levels[5] = vec![meta(4, 1, "a", "c"), meta(5, 1, "d", "f")];
        levels[6] = vec![meta(1, 1, "a", "d"), meta(2, 1, "x", "z")];
        levels
    }

    #[test]
    fn only_tables_wholly_inside_are_dropped() {
        assert_eq!(inside(&levels(), &range("a", "g")), [(0, 8), (5, 4), (5, 5), (6, 1)]);
        assert_eq!(inside(&levels(), &range("c", "f")), [(0, 8)]);
        assert_eq!(inside(&levels(), &KeyRange::all()).len(), 6);
        assert_eq!(inside(&levels(), &range("g", "h")), []);
    }

    #[test]
    fn the_deepest_level_depends_on_the_range() {
        assert_eq!(deepest(&levels(), &range("c", "d")), Some(6));
        assert_eq!(deepest(&levels(), &range("e", "f")), Some(5));
        assert_eq!(deepest(&levels(), &range("m", "n")), Some(0));
        assert_eq!(deepest(&levels(), &range("q", "r")), None);
    }

    #[test]
    fn one_run_without_tombstones_needs_no_compaction() {
        let mut levels: LevelMetas = Default::default();
        assert_eq!(choose_all(&levels, true), None);
        levels[6] = vec![meta(1, 1, "a", "d"), meta(2, 1, "x", "z")];
        assert_eq!(choose_all(&levels, false), None);
        assert!(choose_all(&levels, true).is_some());
        levels[0] = vec![meta(3, 1, "k", "l")];
        let all = choose_all(&levels, false).expect("two runs");
        assert_eq!((all.inputs.len(), all.output_level), (3, 6));
    }
}
