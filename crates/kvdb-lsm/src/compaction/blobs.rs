//! Which blob files are to be emptied, and by rewriting which tables.
//!
//! A file is *due* when enough of it is garbage: compactions move the values that they meet in it to
//! a new file. Where compactions do not come by themselves, the tables that keep due files alive are
//! rewritten for that sake. Rewriting a table takes all its references out of due files, so every such
//! compaction brings them nearer to their end, and at the end no due file is left.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Choice, Config, Damaged, Picture, Reason, upkeep};
use crate::version::{BlobState, BlobStates, FileMeta};

/// The share of its bytes that is garbage.
fn garbage_share(state: &BlobState) -> f64 {
    state.garbage() as f64 / state.meta.bytes().max(1) as f64
}

/// The files whose values a compaction moves. What is damaged stays where it is.
pub(crate) fn due_blobs(blobs: &BlobStates, config: &Config, damaged: &Damaged) -> BTreeSet<u64> {
    due(blobs, config, damaged).map(|state| state.meta.number).collect()
}

/// The bytes that have to be moved until no file is due.
pub(crate) fn pending_blob_bytes(blobs: &BlobStates, config: &Config, damaged: &Damaged) -> u64 {
    due(blobs, config, damaged).map(|state| state.live.bytes).fold(0, u64::saturating_add)
}

fn due<'a>(
    blobs: &'a BlobStates,
    config: &'a Config,
    damaged: &'a Damaged,
) -> impl Iterator<Item = &'a BlobState> {
    let old = (blobs.len() as f64 * config.blob_age_cutoff) as usize;
    let is_due = move |(n, state): &(usize, &BlobState)| {
        let share = if *n < old { config.blob_garbage_ratio / 2.0 } else { config.blob_garbage_ratio };
        garbage_share(state) >= share && state.garbage() > 0 && !damaged.contains(&state.meta.number)
    };
    blobs.values().enumerate().filter(is_due).map(|(_, state)| state)
}

/// How urgent it is to empty files; due from 1 on. It competes with the scores of the levels.
pub(super) fn score(picture: &Picture<'_>) -> f64 {
    let sound = picture.blobs.values().filter(|state| !picture.damaged.contains(&state.meta.number));
    let (garbage, bytes) = sound
        .map(|state| (state.garbage(), state.meta.bytes()))
        .fold((0, 0), |sum: (u64, u64), (garbage, bytes)| {
            (sum.0.saturating_add(garbage), sum.1.saturating_add(bytes))
        });
    garbage as f64 / bytes.max(1) as f64 / picture.config.blob_garbage_ratio
}

/// The rewriting of the table that refers to the most bytes of due files.
pub(crate) fn choose_blobs(picture: &Picture<'_>) -> Option<Choice> {
    let due = due_blobs(picture.blobs, picture.config, picture.damaged);
    if due.is_empty() {
        return None;
    }
    let mut tables: Vec<(u64, usize, &Arc<FileMeta>)> = upkeep::tables(picture)
        .map(|(level, meta)| (due_bytes(meta, &due), level, meta))
        .filter(|(bytes, ..)| *bytes > 0)
        .collect();
    tables.sort_by_key(|&(bytes, _, meta)| (std::cmp::Reverse(bytes), meta.number));
    tables.into_iter().find_map(|(_, level, meta)| upkeep::rewrite(picture, level, meta, Reason::Blobs))
}

/// The bytes of due files that a table refers to.
pub(crate) fn due_bytes(meta: &FileMeta, due: &BTreeSet<u64>) -> u64 {
    meta.blobs.iter().filter(|(number, _)| due.contains(number)).map(|(_, used)| used.bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{BlobMeta, BlobUse, OVERHEAD};
    use crate::compaction::Work;
    use crate::compaction::tests::{CONFIG, Levels, inputs};
    use crate::version::{blobs_of_tables, test_meta};

    /// A table that refers to so many bytes of blob files.
    fn table(number: u64, keys: (&str, &str), uses: &[(u64, u64)]) -> Arc<FileMeta> {
        let mut meta = test_meta(number, 10, keys.0, keys.1).as_ref().clone();
        meta.blobs = uses.iter().map(|&(file, bytes)| (file, BlobUse { records: bytes, bytes })).collect();
        Arc::new(meta)
    }

    /// Blob files of 1000 bytes with these numbers.
    fn files(numbers: &[u64], tables: &[(usize, Arc<FileMeta>)]) -> BlobStates {
        let meta = |&number: &u64| BlobMeta { number, size: 1000 + OVERHEAD, crc: 0, records: 1000 };
        blobs_of_tables(numbers.iter().map(meta), tables.iter().map(|(_, table)| &**table)).expect("they fit")
    }

    fn due(numbers: &[u64], uses: &[(u64, u64)], damaged: &[u64]) -> Vec<u64> {
        let blobs = files(numbers, &[(6, table(99, ("a", "b"), uses))]);
        due_blobs(&blobs, &CONFIG, &damaged.iter().copied().collect()).into_iter().collect()
    }

    #[test]
    fn a_file_is_due_by_its_garbage_and_an_old_one_by_half_of_that() {
        // A quarter of four files is one: the oldest.
        let uses = [(1, 750), (2, 750), (3, 500), (4, 501)];
        assert_eq!(due(&[1, 2, 3, 4], &uses, &[]), [1, 3]);
        assert_eq!(due(&[1, 2, 3, 4], &uses, &[1, 3]), []);
        assert_eq!(due(&[1, 2, 3, 4], &[(1, 751), (2, 1000), (3, 1000), (4, 1)], &[]), [4]);
        // Of three files, none is old enough.
        assert_eq!(due(&[1, 2, 3], &[(1, 600), (2, 600), (3, 1000)], &[]), []);
    }

    #[test]
    fn what_is_alive_in_due_files_has_to_be_moved() {
        let uses = [(1, 1000), (2, 400), (3, 300), (4, 501)];
        let blobs = files(&[1, 2, 3, 4], &[(6, table(99, ("a", "b"), &uses))]);
        assert_eq!(pending_blob_bytes(&blobs, &CONFIG, &Damaged::new()), 700);
        assert_eq!(pending_blob_bytes(&blobs, &CONFIG, &Damaged::from([2])), 300);
        assert_eq!(pending_blob_bytes(&BlobStates::new(), &CONFIG, &Damaged::new()), 0);
    }

    #[test]
    fn without_garbage_no_file_is_due_whatever_the_ratio() {
        let blobs = files(&[1, 2], &[(6, table(99, ("a", "b"), &[(1, 1000), (2, 999)]))]);
        let config = Config { blob_garbage_ratio: 0.0, blob_age_cutoff: 1.0, ..CONFIG };
        assert_eq!(due_blobs(&blobs, &config, &Damaged::new()), BTreeSet::from([2]));
    }

    #[test]
    fn the_table_that_keeps_most_alive_is_rewritten_where_it_is() {
        let tables = vec![
            (5, table(7, ("a", "c"), &[(1, 100), (2, 900)])),
            (6, table(8, ("a", "m"), &[(1, 200)])),
            (6, table(9, ("n", "z"), &[(1, 150)])),
        ];
        let blobs = files(&[1, 2], &tables);
        let levels = Levels::new(tables).large().with_blobs(blobs);
        let chosen = levels.choose(&[]).expect("file 1 is due");
        assert_eq!((inputs(&chosen), chosen.output_level), (vec![8], 6));
        assert_eq!((chosen.work, chosen.reason), (Work::Merge, Reason::Blobs));
        assert_eq!(levels.choose(&[8]).map(|choice| inputs(&choice)), Some(vec![9]));
        assert_eq!(levels.choose(&[7, 8, 9]), None);
        assert_eq!(levels.choose(&[1]), None, "a damaged blob file is left alone");
    }

    #[test]
    fn a_flushed_table_goes_down_and_is_not_moved_as_it_is() {
        let tables = vec![(0, table(7, ("a", "c"), &[(1, 100)]))];
        let blobs = files(&[1], &tables);
        let chosen = Levels::new(tables).large().with_blobs(blobs).choose(&[]).expect("file 1 is due");
        assert_eq!((inputs(&chosen), chosen.work), (vec![7], Work::Merge));
        assert!(chosen.output_level > 0);
    }

    #[test]
    fn much_garbage_goes_before_a_level_that_is_a_little_too_large() {
        let tables = |size| {
            let mut above = table(1, ("a", "c"), &[(1, 300)]).as_ref().clone();
            above.size = size;
            vec![(5, Arc::new(above)), (6, test_meta(2, 10_000, "a", "z"))]
        };
        let chosen = |size| {
            let tables = tables(size);
            let blobs = files(&[1], &tables);
            Levels::new(tables).with_blobs(blobs).choose(&[]).map(|choice| choice.reason)
        };
        // 70 % of garbage is a score of 1.4.
        assert_eq!(chosen(1300), Some(Reason::Blobs));
        assert_eq!(chosen(1500), Some(Reason::Size));
    }
}
