//! What to move out of a level below 0.

use std::sync::Arc;

use super::{Choice, MAX_GRANDPARENTS, Picture, Reason, Work, hull, overlapping};
use crate::version::{FileMeta, LAST_LEVEL};

/// What to move out of `level`, which has `excess` bytes too many: tables that nothing below
/// overlaps if there are any, otherwise the table that rewrites the fewest bytes for each of its
/// own.
pub(super) fn choose(picture: &Picture<'_>, level: usize, excess: u64, reason: Reason) -> Option<Choice> {
    let files = &picture.levels[level];
    let mut bytes = 0;
    let free: Vec<_> = files
        .iter()
        .filter(|meta| picture.is_sound(meta) && is_free(picture, level, meta))
        .take_while(|meta| {
            let enough = bytes >= excess.max(1);
            bytes += meta.size;
            !enough
        })
        .map(|meta| (level, meta.number))
        .collect();
    if !free.is_empty() {
        return Some(Choice { inputs: free, output_level: level + 1, work: Work::Move, reason });
    }
    let candidates = files.iter().filter_map(|meta| {
        let dragged = drags(picture, level, meta)?;
        let cost = dragged.iter().map(|below| below.size).sum::<u64>() as f64 / meta.size.max(1) as f64;
        Some((cost, meta))
    });
    let (_, cheapest) = candidates.min_by(|a, b| a.0.total_cmp(&b.0))?;
    choose_table(picture, level, cheapest, reason)
}

/// The compaction that takes one table of `level` down.
pub(super) fn choose_table(
    picture: &Picture<'_>,
    level: usize,
    meta: &Arc<FileMeta>,
    reason: Reason,
) -> Option<Choice> {
    let dragged = drags(picture, level, meta)?;
    if is_free(picture, level, meta) {
        let inputs = vec![(level, meta.number)];
        return Some(Choice { inputs, output_level: level + 1, work: Work::Move, reason });
    }
    // Neighbours between the keys that are rewritten anyway come for nothing.
    let mut all = dragged.clone();
    all.push(meta);
    let (smallest, largest) = hull(&all)?;
    let mut bytes = 0;
    let inside = |near: &&Arc<FileMeta>| {
        let inside = near.smallest.as_slice() >= smallest && near.largest.as_slice() <= largest;
        if near.number == meta.number {
            return true;
        }
        bytes += near.size;
        inside && picture.is_sound(near) && bytes <= picture.config.base_bytes
    };
    let moving: Vec<_> = picture.levels[level].iter().filter(inside).collect();
    let inputs = moving.iter().map(|meta| (level, meta.number));
    let dragged = dragged.iter().map(|meta| (level + 1, meta.number));
    let inputs = inputs.chain(dragged).collect();
    Some(Choice { inputs, output_level: level + 1, work: Work::Merge, reason })
}

/// What a table meets in the level below; `None` if it cannot go there.
fn drags<'a>(picture: &Picture<'a>, level: usize, meta: &Arc<FileMeta>) -> Option<Vec<&'a Arc<FileMeta>>> {
    if level >= LAST_LEVEL || !picture.is_sound(meta) {
        return None;
    }
    let dragged = overlapping(&picture.levels[level + 1], &meta.smallest, &meta.largest);
    dragged.iter().all(|meta| picture.is_sound(meta)).then_some(dragged)
}

/// Whether a table can change to the level below as it is. One that meets very much of the level
/// behind that is rewritten instead, into tables that meet less.
fn is_free(picture: &Picture<'_>, level: usize, meta: &FileMeta) -> bool {
    let met = |level: usize| {
        let files = picture.levels.get(level).map_or(&[][..], Vec::as_slice);
        files.iter().filter(|below| below.meets(meta)).count()
    };
    picture.is_stored_alike(level, level + 1) && met(level + 1) == 0 && met(level + 2) <= MAX_GRANDPARENTS
}

#[cfg(test)]
mod tests {
    use crate::compaction::tests::{Levels, inputs};
    use crate::compaction::{Choice, Reason, Work};
    use crate::version::test_meta as meta;

    /// A last level of 10 000 bytes, so that the one above may have 1000.
    fn full(above: Vec<(usize, std::sync::Arc<crate::version::FileMeta>)>) -> Levels {
        Levels::new(above.into_iter().chain([(6, meta(99, 9700, "x", "z"))]).collect())
    }

    #[test]
    fn the_table_that_drags_the_least_for_its_size_moves() {
        let levels = full(vec![
            (5, meta(1, 800, "a", "f")),
            (5, meta(2, 200, "g", "k")),
            (5, meta(3, 800, "l", "p")),
            (6, meta(4, 150, "a", "c")),
            (6, meta(5, 50, "g", "h")),
            (6, meta(6, 100, "m", "n")),
        ]);
        let chosen = levels.choose(&[]).expect("level 5 is too large");
        assert_eq!((inputs(&chosen), chosen.work), (vec![3, 6], Work::Merge));
        let chosen = levels.choose(&[6]).expect("level 5 is too large");
        assert_eq!(inputs(&chosen), [1, 4]);
        assert_eq!(levels.choose(&[3, 4, 5]), None);
    }

    #[test]
    fn several_free_tables_move_together_and_no_more_than_needed() {
        let levels = full(vec![
            (5, meta(1, 600, "a", "b")),
            (5, meta(2, 600, "c", "d")),
            (5, meta(3, 600, "e", "f")),
            (5, meta(4, 600, "g", "h")),
            (6, meta(5, 300, "e", "f")),
        ]);
        let expected = Choice {
            inputs: vec![(5, 1), (5, 2), (5, 4)],
            output_level: 6,
            work: Work::Move,
            reason: Reason::Size,
        };
        assert_eq!(levels.choose(&[]), Some(expected));
    }

    #[test]
    fn a_table_that_meets_much_two_levels_below_is_rewritten() {
        let mut files = vec![(4, meta(1, 9000, "a", "q"))];
        for n in 0..11 {
            let key = |end: &str| format!("{}{end}", (b'b' + n) as char);
            files.push((6, meta(10 + u64::from(n), 9000, &key("a"), &key("b"))));
        }
        let chosen = Levels::new(files).choose(&[]).expect("level 4 is too large");
        assert_eq!((inputs(&chosen), chosen.output_level, chosen.work), (vec![1], 5, Work::Merge));
    }

    #[test]
    fn neighbours_inside_the_rewritten_keys_come_along() {
        let levels = full(vec![
            (5, meta(1, 900, "c", "d")),
            (5, meta(2, 100, "e", "f")),
            (5, meta(3, 900, "g", "i")),
            (6, meta(4, 150, "b", "h")),
        ]);
        assert_eq!(levels.choose(&[]).map(|choice| inputs(&choice)), Some(vec![1, 2, 4]));
    }
}
