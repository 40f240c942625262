//! What to do when no level is due: let go of what is dead, and spare readers detours.
//!
//! In this order: tables that are dead as a whole are removed, without being read (also while a level is due); tables of which
//! a good part is dead are rewritten; tables that refer to due blob files are rewritten; tables full of tombstones go down until the tombstones have
//! nothing left to hide; and a table that readers often ask for nothing is merged with what they
//! find behind it. None of these can come up twice for the same table.

use std::sync::Arc;

use super::{Choice, Picture, Reason, Work, choose_blobs, level0, leveled};
use crate::filter::Judge;
use crate::version::{FileMeta, LAST_LEVEL, LEVELS, Traits, Weight};

/// A table is rewritten when one in so many of its bytes, or entries, can be dropped.
const DEAD_SHARE: u64 = 4;
/// Tombstones are worth going down for when they are at least one in so many entries of the table,
const TOMBSTONE_SHARE: u64 = 2;
/// and one in so many of the entries that are rewritten.
const TOMBSTONE_EFFORT: u64 = 32;

/// The most useful of these, if there is any.
pub(super) fn choose(picture: &Picture<'_>) -> Option<Choice> {
    all(picture).next()
}

/// All of these that could be chosen, the most useful first.
pub(super) fn all<'a>(picture: &'a Picture<'a>) -> impl Iterator<Item = Choice> + 'a {
    let one =
        |choose: fn(&Picture<'_>) -> Option<Choice>| std::iter::once_with(move || choose(picture)).flatten();
    let decaying = std::iter::once_with(move || decaying(picture)).flatten();
    one(dead).chain(decaying).chain(one(choose_blobs)).chain(one(tombstones)).chain(one(worn))
}

/// The removal of all tables that are dead as a whole. They need not be sound.
pub(super) fn dead(picture: &Picture<'_>) -> Option<Choice> {
    let judge = picture.judge?;
    let inputs: Vec<_> = tables(picture)
        .filter(|(level, meta)| {
            // Nobody looks for an older version of a key whose class is dead. But one would come to
            // light where a row goes that has passed its deadline.
            of_dead_classes(meta, judge).entries == meta.entries
                || is_expired(meta, judge) && is_lowest(picture, *level, meta)
        })
        .map(|(level, meta)| (level, meta.number))
        .collect();
    let choice = Choice { inputs, output_level: LAST_LEVEL, work: Work::Remove, reason: Reason::Dead };
    (!choice.inputs.is_empty()).then_some(choice)
}

/// Tables of which a good part is dead, one by one, that with the largest part first.
fn decaying<'a>(picture: &'a Picture<'a>) -> impl Iterator<Item = Choice> + 'a {
    let candidates = picture.judge.map(|judge| {
        let mut candidates: Vec<_> = tables(picture)
            .filter_map(|(level, meta)| {
                let traits = meta.traits.as_ref()?;
                let dead = of_dead_classes(meta, judge).bytes as f64 / traits.total().bytes.max(1) as f64;
                let expired =
                    if is_lowest(picture, level, meta) { expired(meta, traits, judge) } else { 0.0 };
                let share = dead.max(expired);
                (share * DEAD_SHARE as f64 >= 1.0).then_some((share, level, meta))
            })
            .collect();
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        candidates
    });
    let candidates = candidates.into_iter().flatten();
    candidates.filter_map(|(_, level, meta)| rewrite(picture, level, meta, Reason::Dead))
}

/// A table full of tombstones.
fn tombstones(picture: &Picture<'_>) -> Option<Choice> {
    let mut candidates: Vec<_> = tables(picture)
        .filter(|(_, meta)| {
            meta.tombstones >= picture.config.min_tombstones.max(1)
                && meta.tombstones * TOMBSTONE_SHARE >= meta.entries
        })
        .collect();
    candidates.sort_by_key(|(_, meta)| std::cmp::Reverse(meta.tombstones));
    candidates.into_iter().find_map(|(level, meta)| {
        if is_lowest(picture, level, meta) {
            return rewrite(picture, level, meta, Reason::Tombstones);
        }
        let choice = down(picture, level, meta, Reason::Tombstones)?;
        let rewritten = |(level, number): &(usize, u64)| {
            let files = picture.levels[*level].iter();
            files.filter(|meta| meta.number == *number).map(|meta| meta.entries).sum::<u64>()
        };
        let effort: u64 = choice.inputs.iter().map(rewritten).sum();
        (choice.work == Work::Move || effort <= meta.tombstones * TOMBSTONE_EFFORT).then_some(choice)
    })
}

/// A table that readers often asked for nothing: so often that it cost them more than all that is
/// rewritten for it.
fn worn(picture: &Picture<'_>) -> Option<Choice> {
    picture.worn.iter().find_map(|worn| {
        let meta = picture.levels[worn.level].iter().find(|meta| meta.number == worn.number)?;
        // In the last place that a reader looks, a miss is no detour.
        if is_lowest(picture, worn.level, meta) {
            return None;
        }
        let choice = down(picture, worn.level, meta, Reason::Reads)?;
        (choice.work == Work::Move || choice.bytes(picture.levels) <= worn.worth).then_some(choice)
    })
}

pub(super) fn tables<'a>(picture: &Picture<'a>) -> impl Iterator<Item = (usize, &'a Arc<FileMeta>)> {
    let levels: &'a [Vec<Arc<FileMeta>>] = picture.levels;
    levels.iter().enumerate().flat_map(|(level, files)| files.iter().map(move |meta| (level, meta)))
}

/// The compaction that takes a table one level down.
pub(super) fn down(
    picture: &Picture<'_>,
    level: usize,
    meta: &Arc<FileMeta>,
    reason: Reason,
) -> Option<Choice> {
    if level == 0 {
        level0::choose_table(picture, meta.number, reason)
    } else {
        leveled::choose_table(picture, level, meta, reason)
    }
}

/// The compaction that lets go of what can be dropped from a table. On level 0 a rewritten table
/// would count as newer than those that stand on it, so it goes down.
pub(super) fn rewrite(
    picture: &Picture<'_>,
    level: usize,
    meta: &Arc<FileMeta>,
    reason: Reason,
) -> Option<Choice> {
    if level == 0 {
        return level0::choose_table(picture, meta.number, reason).map(|choice| Choice {
            // Moved as it is, it would keep everything.
            work: Work::Merge,
            ..choice
        });
    }
    picture.is_sound(meta).then(|| Choice {
        inputs: vec![(level, meta.number)],
        output_level: level,
        work: Work::Merge,
        reason,
    })
}

/// Whether no older table has keys between those of the table.
fn is_lowest(picture: &Picture<'_>, level: usize, meta: &FileMeta) -> bool {
    let deeper = picture.levels[level.max(1)..LEVELS].iter().skip(usize::from(level > 0)).flatten();
    let beside = picture.levels[0].iter().filter(|other| level == 0 && other.number < meta.number);
    !deeper.chain(beside).any(|other| other.meets(meta))
}

/// Entries whose class is dead.
fn of_dead_classes(meta: &FileMeta, judge: &dyn Judge) -> Weight {
    let classes = meta.traits.iter().flat_map(|traits| &traits.classes);
    classes.filter(|(class, _)| judge.is_class_dead(**class)).map(|(_, weight)| *weight).sum()
}

/// Whether every value has passed its deadline.
fn is_expired(meta: &FileMeta, judge: &dyn Judge) -> bool {
    meta.traits.as_ref().is_some_and(|traits| {
        traits.undying == 0 && traits.deadlines.is_some_and(|(_, last)| last <= judge.horizon())
    })
}

/// About what share of the entries has passed its deadline, if deadlines are spread evenly.
fn expired(meta: &FileMeta, traits: &Traits, judge: &dyn Judge) -> f64 {
    let Some((first, last)) = traits.deadlines.filter(|(first, _)| *first <= judge.horizon()) else {
        return 0.0;
    };
    let passed = (judge.horizon().min(last) - first + 1) as f64 / ((last - first) as f64 + 1.0);
    let dated = meta.entries.saturating_sub(meta.tombstones).saturating_sub(traits.undying);
    dated as f64 * passed / meta.entries.max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::compaction::tests::{Levels, inputs};
    use crate::compaction::{Choice, Reason, Work};
    use crate::filter::Judge;
    use crate::version::{FileMeta, Traits, Weight, Worn, test_meta};

    /// Class 1 is dead, and it is 1000.
    struct Now;

    impl Judge for Now {
        fn is_class_dead(&self, class: u32) -> bool {
            class == 1
        }

        fn horizon(&self) -> u64 {
            1000
        }
    }

    /// A table of 100 entries of these classes, the rest of none.
    fn of_classes(number: u64, smallest: &str, largest: &str, classes: &[(u32, u64)]) -> Arc<FileMeta> {
        let mut meta = test_meta(number, 10, smallest, largest).as_ref().clone();
        let unclassed = 100 - classes.iter().map(|(_, entries)| entries).sum::<u64>();
        let weight = |entries| Weight { entries, bytes: 10 * entries };
        let classes = classes.iter().map(|(class, entries)| (*class, weight(*entries))).collect();
        meta.traits = Some(Traits { classes, unclassed: weight(unclassed), deadlines: None, undying: 100 });
        Arc::new(meta)
    }

    /// A table of 100 values with deadlines, except some.
    fn dated(number: u64, keys: (&str, &str), deadlines: (u64, u64), undying: u64) -> Arc<FileMeta> {
        let mut meta = test_meta(number, 10, keys.0, keys.1).as_ref().clone();
        let deadlines = Some(deadlines);
        meta.traits = Some(Traits {
            unclassed: Weight { entries: 100, bytes: 1000 },
            deadlines,
            undying,
            ..Traits::default()
        });
        Arc::new(meta)
    }

    fn with_tombstones(number: u64, keys: (&str, &str), tombstones: u64) -> Arc<FileMeta> {
        let mut meta = test_meta(number, 10, keys.0, keys.1).as_ref().clone();
        meta.tombstones = tombstones;
        Arc::new(meta)
    }

    fn chosen(levels: Levels) -> Option<(Vec<u64>, usize, Work)> {
        let choice = levels.large().judged(&Now)?;
        Some((inputs(&choice), choice.output_level, choice.work))
    }

    #[test]
    fn tables_of_a_dead_class_go_together_wherever_they_are() {
        let levels = Levels::new(vec![
            (0, of_classes(9, "a", "c", &[(1, 100)])),
            (5, of_classes(3, "a", "c", &[(1, 100)])),
            (5, of_classes(4, "d", "e", &[(1, 99)])),
            (6, of_classes(1, "a", "z", &[(2, 100)])),
        ]);
        let expected = Choice {
            inputs: vec![(0, 9), (5, 3)],
            output_level: 6,
            work: Work::Remove,
            reason: Reason::Dead,
        };
        assert_eq!(levels.large().judged(&Now), Some(expected));
    }

    #[test]
    fn what_is_dead_goes_before_what_is_due() {
        let levels = Levels::new(vec![
            (5, of_classes(3, "a", "c", &[(1, 100)])),
            (5, test_meta(4, 1100, "d", "e")),
            (6, test_meta(1, 10, "d", "e")),
        ]);
        assert_eq!(chosen(levels), Some((vec![3], 6, Work::Remove)));
    }

    #[test]
    fn where_room_is_short_the_table_that_fits_is_rewritten() {
        let sized = |size, meta: Arc<FileMeta>| Arc::new(FileMeta { size, ..meta.as_ref().clone() });
        let levels = Levels::new(vec![
            (6, sized(500, of_classes(1, "a", "c", &[(1, 90)]))),
            (6, sized(50, of_classes(2, "d", "e", &[(1, 40)]))),
        ]);
        let chosen = |room| levels.clone().large().fitting(room, Some(&Now)).map(|choice| inputs(&choice));
        assert_eq!(chosen(1000), Some(vec![1]));
        assert_eq!(chosen(100), Some(vec![2]));
        assert_eq!(chosen(10), None);
    }

    #[test]
    fn a_table_with_many_dead_rows_is_rewritten_where_it_is() {
        let part = |dead| vec![(6, of_classes(1, "a", "c", &[(1, dead), (2, 20)]))];
        assert_eq!(chosen(Levels::new(part(30))), Some((vec![1], 6, Work::Merge)));
        assert_eq!(chosen(Levels::new(part(20))), None);
        // On level 0 it goes down with what it stands on.
        let flushed = (0, of_classes(2, "a", "c", &[(1, 50)]));
        let chosen = chosen(Levels::new(vec![flushed, (5, test_meta(1, 10, "b", "d"))]));
        assert_eq!(chosen, Some((vec![2, 1], 5, Work::Merge)));
    }

    #[test]
    fn an_expired_table_goes_only_where_it_hides_nothing() {
        let expired = (5, dated(2, ("a", "c"), (10, 1000), 0));
        assert_eq!(chosen(Levels::new(vec![expired.clone()])), Some((vec![2], 6, Work::Remove)));
        assert_eq!(chosen(Levels::new(vec![expired, (6, test_meta(1, 10, "b", "d"))])), None);
        let later = |last, undying| Levels::new(vec![(6, dated(2, ("a", "c"), (10, last), undying))]);
        assert_eq!(chosen(later(1001, 0)), Some((vec![2], 6, Work::Merge)));
        assert_eq!(chosen(later(10_000, 0)), None);
        assert_eq!(chosen(later(1000, 1)), Some((vec![2], 6, Work::Merge)));
        assert_eq!(chosen(later(1000, 90)), None);
    }

    #[test]
    fn a_flushed_table_that_stands_on_another_is_not_the_lowest() {
        let levels = Levels::new(vec![(0, dated(3, ("a", "c"), (1, 2), 0)), (0, test_meta(2, 10, "c", "d"))]);
        assert_eq!(chosen(levels), None);
        let levels = Levels::new(vec![(0, test_meta(3, 10, "c", "d")), (0, dated(2, ("a", "c"), (1, 2), 0))]);
        assert_eq!(chosen(levels), Some((vec![2], 6, Work::Remove)));
    }

    #[test]
    fn tombstones_go_down_and_vanish_at_the_bottom() {
        let stack = |below: Vec<_>| {
            Levels::new([(5, with_tombstones(2, ("a", "c"), 60))].into_iter().chain(below).collect())
        };
        let below = vec![(6, test_meta(1, 10, "b", "d"))];
        assert_eq!(chosen(stack(below)), Some((vec![2, 1], 6, Work::Merge)));
        assert_eq!(chosen(stack(vec![])), Some((vec![2], 5, Work::Merge)));
        let few = with_tombstones(2, ("a", "c"), 40);
        assert_eq!(chosen(Levels::new(vec![(6, few)])), None);
    }

    #[test]
    fn a_few_tombstones_do_not_rewrite_very_much() {
        let mut huge = test_meta(1, 10, "b", "d").as_ref().clone();
        huge.entries = 60 * 32;
        let levels = vec![(5, with_tombstones(2, ("a", "c"), 60)), (6, Arc::new(huge))];
        assert_eq!(chosen(Levels::new(levels)), None);
    }

    #[test]
    fn a_worn_table_is_merged_with_what_lies_behind_it() {
        let levels = || {
            Levels::new(vec![
                (5, test_meta(3, 10, "a", "c")),
                (5, test_meta(2, 10, "x", "z")),
                (6, test_meta(1, 10, "b", "d")),
            ])
        };
        let worn = |level, number, worth| chosen(levels().worn(&[Worn { level, number, worth }]));
        assert_eq!(worn(5, 3, 20), Some((vec![3, 1], 6, Work::Merge)));
        assert_eq!(worn(5, 2, 20), None);
        assert_eq!(worn(6, 1, 20), None);
        assert_eq!(worn(5, 77, 20), None);
        // It would rewrite more than the readers have lost.
        assert_eq!(worn(5, 3, 19), None);
    }
}
