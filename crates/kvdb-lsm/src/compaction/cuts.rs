//! Where a table ends and the next one begins.

use std::sync::Arc;

use super::MAX_GRANDPARENTS;
use crate::version::FileMeta;

/// A level below the base is cut into this many tables at least, as long as they are not too small, so
/// that what comes down need not rewrite much more than it meets.
const TABLES: u64 = 32;
/// A compaction ends a table of one in so many of the bytes that it may have where one of the level below
/// ends: a compaction of the one then does not drag a part of the next along.
const ALIGNED: u64 = 4;

/// The size after which tables end that lie `depth` levels below the base, on a level of `level_bytes`;
/// `largest` is that of the deepest levels. Small where they are soon merged again, so that little is
/// dragged along, and twice that on each level below, so that they do not become too many.
pub(crate) fn table_bytes(depth: usize, level_bytes: u64, largest: u64) -> u64 {
    let at_most = largest >> 3u32.saturating_sub(u32::try_from(depth).unwrap_or(3));
    if depth == 0 { at_most } else { at_most.min((level_bytes / TABLES).max(largest / TABLES)) }
}

/// Partitions of a memtable that flushed tables do not straddle, if the tables become large enough.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grouping {
    /// The partition of a key; monotone.
    pub(crate) partition_of: fn(&[u8]) -> usize,
    /// Partitions in a group.
    pub(crate) group: usize,
    /// A table smaller than this goes on into the next group, in bytes.
    pub(crate) min_bytes: u64,
}

impl Grouping {
    fn group_of(&self, key: &[u8]) -> usize {
        (self.partition_of)(key) / self.group.max(1)
    }
}

/// Decides before each entry whether the table so far ends. Keys ascend.
///
/// A table ends when it is large enough; when it would overlap too many tables of the level below
/// its own, so that no compaction drags very much; in a compaction, where a table of that level ends;
/// and, in a flush, between groups of partitions: the tables of successive flushes then stand above each
/// other in columns that can be compacted one by one.
///
/// # Invariants
/// `below[at]` is the first table that does not end before the last key.
#[derive(Debug)]
pub(crate) struct Cuts {
    table_bytes: u64,
    below: Vec<Arc<FileMeta>>,
    at: usize,
    /// The tables of `below` that lie wholly behind the first key of the table and before the last.
    passed: usize,
    grouping: Option<Grouping>,
    group: usize,
}

impl Cuts {
    /// For tables of about `table_bytes`, above the tables `below`.
    pub(crate) const fn new(table_bytes: u64, below: Vec<Arc<FileMeta>>, grouping: Option<Grouping>) -> Self {
        Self { table_bytes, below, at: 0, passed: 0, grouping, group: 0 }
    }

    /// Whether the table, `size` bytes so far, ends before `key`. A table without entries, of size
    /// `None`, never does.
    pub(crate) fn before(&mut self, key: &[u8], size: Option<u64>) -> bool {
        let at = self.at;
        while self.below.get(self.at).is_some_and(|meta| meta.largest.as_slice() < key) {
            self.at += 1;
            self.passed += 1;
        }
        let before = self.group;
        if let Some(grouping) = &self.grouping {
            self.group = grouping.group_of(key);
        }
        let Some(size) = size else {
            self.passed = 0;
            return false;
        };
        let leaves = self.group != before && self.grouping.is_some_and(|to| size >= to.min_bytes);
        let aligns = self.grouping.is_none() && self.at > at && size >= self.table_bytes / ALIGNED;
        let ends = size >= self.table_bytes || self.passed >= MAX_GRANDPARENTS || leaves || aligns;
        if ends {
            self.passed = 0;
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::test_meta as meta;

    /// The keys before which tables end, when each entry takes ten bytes.
    fn ends(mut cuts: Cuts, keys: &[&str]) -> Vec<String> {
        let mut size = None;
        let mut ends = Vec::new();
        for key in keys {
            if cuts.before(key.as_bytes(), size) {
                ends.push((*key).to_owned());
                size = None;
            }
            size = Some(size.unwrap_or(0) + 10);
        }
        ends
    }

    #[test]
    fn a_table_ends_when_it_is_large() {
        let cuts = Cuts::new(25, Vec::new(), None);
        assert_eq!(ends(cuts, &["a", "b", "c", "d", "e", "f", "g"]), ["d", "g"]);
    }

    #[test]
    fn a_table_passes_only_so_many_of_the_level_below() {
        let below: Vec<_> = (0..40).map(|n| meta(n, 1, &format!("{n:02}a"), &format!("{n:02}c"))).collect();
        let keys: Vec<String> = (0..40).map(|n| format!("{n:02}b")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(ends(Cuts::new(1000, below.clone(), None), &keys), ["10b", "20b", "30b"]);
        // What lies before the first key does not count.
        assert_eq!(ends(Cuts::new(1000, below, None), &["15b", "20b", "24b", "25b"]), ["25b"]);
    }

    #[test]
    fn a_table_of_a_compaction_ends_where_one_of_the_level_below_does_unless_it_is_small() {
        let below = vec![meta(1, 1, "a", "b"), meta(2, 1, "c", "f"), meta(3, 1, "i", "k")];
        let keys = ["a", "c", "d", "e", "g", "h", "i", "j", "l", "m"];
        assert_eq!(ends(Cuts::new(80, below.clone(), None), &keys), ["g", "l"]);
        let flushed = Grouping { partition_of: |_| 0, group: 1, min_bytes: 0 };
        assert_eq!(ends(Cuts::new(80, below, Some(flushed)), &keys), ["l"]);
    }

    #[test]
    fn a_level_has_many_tables_and_those_above_have_small_ones() {
        let largest = 64 << 20;
        let sizes =
            |level_bytes: u64| [0, 1, 2, 3, 4].map(|depth| table_bytes(depth, level_bytes, largest) >> 20);
        assert_eq!(sizes(10 << 30), [8, 16, 32, 64, 64]);
        assert_eq!(sizes(320 << 20), [8, 10, 10, 10, 10]);
        assert_eq!(sizes(0), [8, 2, 2, 2, 2]);
    }

    #[test]
    fn a_flushed_table_does_not_straddle_groups_unless_it_is_small() {
        let grouping = Grouping { partition_of: |key| usize::from(key[0] - b'a'), group: 2, min_bytes: 15 };
        let cuts = Cuts::new(1000, Vec::new(), Some(grouping));
        // The table of "c" alone is too small to end before "e".
        assert_eq!(ends(cuts, &["a", "b", "c", "e", "g", "g2"]), ["c", "g"]);
    }
}
