//! What to move out of level 0.
//!
//! A newer table must not get below an older one that has a key in common with it. So a table goes
//! together with every older table that overlaps it, and those that overlap these: a part of the
//! stack that is cut out downward. What stands above it, or beside it, may stay.

use std::sync::Arc;

use super::{Choice, Picture, Reason, Work, hull, overlapping};
use crate::version::{FileMeta, LAST_LEVEL, sublevels};

type Files<'a> = Vec<&'a Arc<FileMeta>>;

/// How far a compaction out of level 0 goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// To the base, with about as many bytes as that may have.
    Base,
    /// With as many bytes as there are in the two levels below: the more comes at once, the less often
    /// these are rewritten. And through both of them where that rewrites less.
    Behind,
}

/// The compaction out of level 0 that does most for its depth, if any table can go.
pub(super) fn choose(picture: &Picture<'_>, reach: Reach, reason: Reason) -> Option<Choice> {
    let files = picture.levels[0].as_slice();
    let heights = sublevels(files);
    let movable = movable(picture);
    free(picture, &heights, &movable, reason).or_else(|| {
        let mut tops: Vec<usize> = (0..files.len()).filter(|&at| movable[at]).collect();
        // Where the stack is highest; of equals, the oldest.
        tops.sort_by_key(|&at| std::cmp::Reverse((heights[at], at)));
        tops.into_iter().find_map(|top| under(picture, top, &movable, reach, reason))
    })
}

/// The compaction that takes one table of level 0 down.
pub(super) fn choose_table(picture: &Picture<'_>, number: u64, reason: Reason) -> Option<Choice> {
    let top = picture.levels[0].iter().position(|meta| meta.number == number)?;
    let movable = movable(picture);
    if movable[top] { under(picture, top, &movable, Reach::Base, reason) } else { None }
}

/// Which tables can go: those that are sound and stand on none that cannot go.
fn movable(picture: &Picture<'_>) -> Vec<bool> {
    let files = picture.levels[0].as_slice();
    let mut movable = vec![false; files.len()];
    for at in (0..files.len()).rev() {
        let mut under = (at + 1..files.len()).filter(|&older| files[at].meets(&files[older]));
        movable[at] = picture.is_sound(&files[at]) && under.all(|older| movable[older]);
    }
    movable
}

/// The tables that can change their level without being rewritten.
fn free(picture: &Picture<'_>, heights: &[usize], movable: &[bool], reason: Reason) -> Option<Choice> {
    let to = picture.targets.base;
    if !picture.is_stored_alike(0, to) {
        return None;
    }
    let files = picture.levels[0].iter().zip(heights).zip(movable);
    let free = files.filter(|((meta, height), movable)| {
        **movable && **height == 0 && !picture.levels[to].iter().any(|below| below.meets(meta))
    });
    let inputs: Vec<_> = free.map(|((meta, _), _)| (0, meta.number)).collect();
    (!inputs.is_empty()).then_some(Choice { inputs, output_level: to, work: Work::Move, reason })
}

/// A table with everything it stands on, or the lower part of that if it is very much.
fn under(
    picture: &Picture<'_>,
    top: usize,
    movable: &[bool],
    reach: Reach,
    reason: Reason,
) -> Option<Choice> {
    let to = picture.targets.base;
    let mut moving = stack(picture, top);
    let mut most = picture.config.base_bytes;
    if reach == Reach::Behind {
        let dragged = met(picture, to, &moving);
        let deeper = met(picture, to + 1, moving.iter().chain(&dragged));
        most = most.max(bytes(&dragged) + bytes(&deeper));
    }
    lower_part(&mut moving, most);
    let dragged = met(picture, to, &moving);
    if !dragged.iter().all(|meta| picture.is_sound(meta)) {
        return None;
    }
    take_along(picture, &mut moving, &dragged, movable, most);
    let deeper = met(picture, to + 1, moving.iter().chain(&dragged));
    let passes = reach == Reach::Behind && passes(picture, bytes(&moving), bytes(&dragged), &deeper);
    let inputs = moving.iter().rev().map(|meta| (0, meta.number));
    let inputs = inputs.chain(dragged.iter().map(|meta| (to, meta.number)));
    let deeper = deeper.iter().filter(|_| passes).map(|meta| (to + 1, meta.number));
    let output_level = if passes { to + 1 } else { to };
    Some(Choice { inputs: inputs.chain(deeper).collect(), output_level, work: Work::Merge, reason })
}

/// Whether `arriving` bytes of level 0 go on at once, with the bytes that they meet in the base, to the
/// tables `deeper` of the level behind.
///
/// Of what is merged in the base, its target stays there, and the rest soon follows. Let the base hold
/// `t` bytes, the level behind `n`, and `b` arrive in turn: in two steps they cost `b + t` in the base,
/// and then `n * b / (b + t)` for what follows; at once they cost `n`. That is less from where `b + t`
/// is the geometric mean of `t` and `n`.
fn passes(picture: &Picture<'_>, arriving: u64, met: u64, deeper: &[&Arc<FileMeta>]) -> bool {
    let base = picture.targets.base;
    if base >= LAST_LEVEL || !deeper.iter().all(|meta| picture.is_sound(meta)) {
        return false;
    }
    let behind: u64 = picture.levels[base + 1].iter().map(|meta| meta.size).sum();
    let next = bytes(deeper) as f64;
    // The part of the target that belongs to these keys.
    let target = picture.targets.bytes[base] as f64 * next / behind.max(1) as f64;
    let merged = arriving as f64 + target.max(met as f64);
    merged * merged >= target * next
}

/// A table with everything it stands on, from old to new: whatever is left out at the end stands on
/// nothing that stays.
fn stack<'a>(picture: &Picture<'a>, top: usize) -> Files<'a> {
    let files: &'a [Arc<FileMeta>] = picture.levels[0].as_slice();
    let mut moving: Files<'a> = vec![&files[top]];
    for older in &files[top + 1..] {
        if moving.iter().any(|meta| meta.meets(older)) {
            moving.push(older);
        }
    }
    moving.reverse();
    moving
}

/// Leaves of a stack what has at most so many bytes, but one table at least.
fn lower_part(moving: &mut Files<'_>, most: u64) {
    let mut bytes = 0;
    moving.retain(|meta| {
        bytes += meta.size;
        bytes <= most || bytes == meta.size
    });
}

/// What the keys between the first and the last of some tables meet in a level.
fn met<'a: 'b, 'b>(
    picture: &Picture<'a>,
    level: usize,
    files: impl IntoIterator<Item = &'b &'a Arc<FileMeta>>,
) -> Files<'a> {
    let files: Files<'a> = files.into_iter().copied().collect();
    match (picture.levels.get(level), hull(&files)) {
        (Some(level), Some((smallest, largest))) => overlapping(level, smallest, largest),
        _ => Vec::new(),
    }
}

fn bytes(files: &[&Arc<FileMeta>]) -> u64 {
    files.iter().map(|meta| meta.size).sum()
}

/// Adds the tables that come for nothing: they lie between the keys that are rewritten anyway, and
/// stand only on tables that go.
fn take_along<'a>(
    picture: &Picture<'a>,
    moving: &mut Files<'a>,
    dragged: &[&'a Arc<FileMeta>],
    movable: &[bool],
    most: u64,
) {
    let all: Files<'_> = moving.iter().chain(dragged).copied().collect();
    let Some((smallest, largest)) = hull(&all) else {
        return;
    };
    let files: &'a [Arc<FileMeta>] = picture.levels[0].as_slice();
    let mut bytes: u64 = moving.iter().map(|meta| meta.size).sum();
    for at in (0..files.len()).rev() {
        let meta = &files[at];
        let goes = |meta: &Arc<FileMeta>| moving.iter().any(|going| going.number == meta.number);
        let inside = meta.smallest.as_slice() >= smallest && meta.largest.as_slice() <= largest;
        if !inside || !movable[at] || goes(meta) || bytes + meta.size > most {
            continue;
        }
        if files[at + 1..].iter().filter(|older| older.meets(meta)).all(goes) {
            bytes += meta.size;
            moving.push(meta);
        }
    }
    moving.sort_by_key(|meta| meta.number);
}

#[cfg(test)]
mod tests {
    use crate::compaction::tests::{Levels, inputs};
    use crate::compaction::{Choice, Reason, Work};
    use crate::version::test_meta as meta;

    #[test]
    fn a_stack_goes_with_what_it_meets_and_what_stands_beside_it_stays() {
        let levels = Levels::new(vec![
            (0, meta(15, 10, "c", "f")),
            (0, meta(14, 10, "w", "z")),
            (0, meta(13, 10, "b", "d")),
            (0, meta(12, 10, "c", "d")),
            (0, meta(11, 10, "c", "g")),
            (0, meta(10, 10, "p", "q")),
            (6, meta(1, 10, "a", "b")),
            (6, meta(2, 10, "d", "e")),
            (6, meta(3, 10, "h", "z")),
        ]);
        let inputs = vec![(0, 15), (0, 13), (0, 12), (0, 11), (6, 1), (6, 2)];
        let expected = Choice { inputs, output_level: 6, work: Work::Merge, reason: Reason::Size };
        assert_eq!(levels.choose(&[]), Some(expected));
    }

    #[test]
    fn depth_counts_and_not_the_number_of_tables() {
        let flat = (0..40).map(|n| (0, meta(100 + n, 1, &format!("{n:02}a"), &format!("{n:02}b"))));
        let below = (6, meta(1, 900, "00", "zz"));
        assert_eq!(Levels::new(flat.chain([below]).collect()).choose(&[]), None);
    }

    #[test]
    fn what_overlaps_nothing_moves_at_once_and_is_not_rewritten() {
        let levels = Levels::new(vec![
            (0, meta(14, 600, "a", "c")),
            (0, meta(13, 600, "b", "c")),
            (0, meta(12, 600, "h", "k")),
            (0, meta(11, 600, "o", "p")),
            (6, meta(1, 10, "m", "o")),
        ]);
        let expected = Choice {
            inputs: vec![(0, 13), (0, 12)],
            output_level: 6,
            work: Work::Move,
            reason: Reason::Size,
        };
        assert_eq!(levels.choose(&[]), Some(expected));
        let differs = levels.clone().last_level_differs().choose(&[]).expect("level 0 is too large");
        assert_eq!(differs.work, Work::Merge);
        // The last level is compressed and level 0 is not.
        let compressed = levels.compressed().choose(&[]).expect("level 0 is too large");
        assert_eq!(compressed.work, Work::Merge);
    }

    #[test]
    fn damaged_tables_stay_and_so_does_what_must_not_pass_them() {
        let levels = Levels::new(vec![
            (0, meta(15, 10, "a", "f")),
            (0, meta(14, 10, "a", "f")),
            (0, meta(13, 10, "a", "f")),
            (0, meta(12, 10, "a", "c")),
            (0, meta(11, 10, "k", "l")),
            (0, meta(10, 10, "k", "m")),
            (6, meta(2, 10, "a", "b")),
            (6, meta(1, 10, "k", "o")),
        ]);
        let chosen = |damaged: &[u64]| levels.choose(damaged).map(|choice| inputs(&choice));
        assert_eq!(chosen(&[]), Some(vec![15, 14, 13, 12, 2]));
        assert_eq!(chosen(&[14]), Some(vec![11, 10, 1]));
        assert_eq!(chosen(&[14, 10]), Some(vec![13, 12, 2]));
        assert_eq!(chosen(&[12]), Some(vec![11, 10, 1]));
        assert_eq!(chosen(&[2]), Some(vec![11, 10, 1]));
        assert_eq!(chosen(&[12, 10]), None);
        assert_eq!(chosen(&[2, 1]), None);
    }

    #[test]
    fn of_a_very_large_stack_the_lower_part_goes_first() {
        let stack = (0..5).map(|n| (0, meta(20 + n, 400, "a", "m"))).rev();
        let levels = Levels::new(stack.chain([(6, meta(1, 900, "a", "z"))]).collect());
        assert_eq!(levels.choose(&[]).map(|choice| inputs(&choice)), Some(vec![21, 20, 1]));
    }

    /// A stack of tables of 500 bytes above a base with a target of 1000 bytes, which has as many, and a level of
    /// 10 000 bytes behind that.
    fn over_two_levels(count: u64) -> Levels {
        let stack = (0..count).map(|n| (0, meta(20 + n, 500, "a", "z"))).rev();
        let below =
            [(5, meta(3, 600, "a", "f")), (5, meta(2, 400, "h", "z")), (6, meta(1, 10_000, "a", "z"))];
        Levels::new(stack.chain(below).collect())
    }

    #[test]
    fn what_could_hardly_stay_in_the_base_goes_through_it() {
        let chosen = |levels: &Levels, damaged: &[u64]| {
            let choice = levels.choose(damaged)?;
            Some((inputs(&choice), choice.output_level))
        };
        assert_eq!(chosen(&over_two_levels(4), &[]), Some((vec![23, 22, 21, 20, 3, 2], 5)));
        assert_eq!(chosen(&over_two_levels(5), &[]), Some((vec![24, 23, 22, 21, 20, 3, 2, 1], 6)));
        // What lies behind the base cannot be rewritten.
        assert_eq!(chosen(&over_two_levels(5), &[1]), Some((vec![24, 23, 22, 21, 20, 3, 2], 5)));
    }

    #[test]
    fn of_a_stack_that_is_far_behind_as_much_goes_as_there_is_below_it() {
        let chosen = over_two_levels(30).choose(&[]).map(|choice| inputs(&choice));
        // 22 tables of 500 bytes, the older ones, over 11 000.
        assert_eq!(chosen, Some((20..42).rev().chain([3, 2, 1]).collect()));
    }

    #[test]
    fn where_space_is_short_the_base_is_far_enough() {
        let chosen = |room| {
            let choice = over_two_levels(5).fitting(room, None)?;
            Some((inputs(&choice), choice.output_level))
        };
        assert_eq!(chosen(13_500), Some((vec![24, 23, 22, 21, 20, 3, 2, 1], 6)));
        assert_eq!(chosen(10_000), Some((vec![21, 20, 3, 2], 5)));
        assert_eq!(chosen(1999), None);
    }

    #[test]
    fn what_lies_between_the_rewritten_keys_is_taken_along() {
        let levels = Levels::new(vec![
            (0, meta(16, 10, "h", "i")),
            (0, meta(15, 10, "k", "p")),
            (0, meta(14, 10, "c", "f")),
            (0, meta(13, 10, "c", "d")),
            (0, meta(12, 10, "c", "d")),
            (0, meta(11, 10, "c", "g")),
            (6, meta(1, 10, "d", "m")),
        ]);
        // 16 lies inside the table below; 15 would drag further keys along.
        assert_eq!(levels.choose(&[]).map(|choice| inputs(&choice)), Some(vec![16, 14, 13, 12, 11, 1]));
    }
}
