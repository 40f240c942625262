//! How high level 0 is stacked.
//!
//! The tables of level 0 may overlap, so their number alone says little: eight that stand side by
//! side cost a reader as much as one. A table's *sublevel* is its height in the stack: 0 if no
//! older table overlaps it, otherwise one above the highest older table that does. Tables of a
//! sublevel never overlap, so a sublevel can be searched like a level, and the number of sublevels
//! is the most that a reader of one key has to ask. (The measure is that of Pebble.)

use std::sync::Arc;

use super::FileMeta;

/// The sublevel of each table of level 0, given from new to old.
pub(crate) fn sublevels(level0: &[Arc<FileMeta>]) -> Vec<usize> {
    let mut heights = vec![0; level0.len()];
    for at in (0..level0.len()).rev() {
        let (upper, older) = heights.split_at_mut(at + 1);
        let meta = &level0[at];
        let below = level0[at + 1..].iter().zip(older).filter(|(file, _)| meta.meets(file));
        upper[at] = below.map(|(_, height)| *height + 1).max().unwrap_or_default();
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::edit::test_meta as meta;

    #[test]
    fn only_what_overlaps_is_stacked() {
        let level0 = [
            meta(9, 1, "a", "z"),
            meta(8, 1, "m", "p"),
            meta(7, 1, "a", "c"),
            meta(6, 1, "c", "e"),
            meta(5, 1, "f", "g"),
        ];
        assert_eq!(sublevels(&level0), [2, 0, 1, 0, 0]);
        assert_eq!(sublevels(&[]), [0; 0]);
    }

    #[test]
    fn tables_of_a_sublevel_are_disjoint_and_newer_ones_stand_higher() {
        let mut state = 7u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let level0: Vec<_> = (0..random(30))
                .rev()
                .map(|number| {
                    let from = random(90);
                    let to = from + random(100 - from);
                    meta(number, 1, &format!("{from:02}"), &format!("{to:02}"))
                })
                .collect();
            let heights = sublevels(&level0);
            for (newer, above) in level0.iter().zip(&heights) {
                for (older, below) in level0.iter().zip(&heights) {
                    if newer.number > older.number && newer.meets(older) {
                        assert!(above > below, "{newer:?} over {older:?}");
                    }
                }
            }
        }
    }
}
