//! The memtable: the newest writes, in memory.
//!
//! Built for point writes at millions a second on few cores, so it is not a skip list. Keys are
//! spread over partitions by a function that the owner gives and that is monotone in key order;
//! each partition is a hash index over an arena behind its own lock. Nothing is sorted until a
//! scan or a flush asks: then each partition sorts itself, and the partitions concatenate.
//!
//! A memtable is *active* (takes writes) or *frozen* (no longer does); the type does not know
//! which, the owner does.

mod arena;
mod counters;
mod cursor;
mod index;
mod order;
mod partition;
mod run;
mod tail;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use self::counters::Counters;
pub(crate) use self::cursor::MemCursor;
use self::partition::Partition;
use crate::apart::Apart;
use crate::batch::{Op, Ops, Seq};
use crate::entry::{Content, Found, KeyRange, key_hash};
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// How keys are spread over the partitions of a memtable.
#[derive(Debug, Clone, Copy)]
pub struct Partitioning {
    /// The number of partitions, from 1 to 4096.
    pub count: usize,
    /// The partition of a key; monotone in key order. Results beyond the last count as the last.
    pub of: fn(&[u8]) -> usize,
}

impl Default for Partitioning {
    /// 256 partitions by the first byte of the key.
    fn default() -> Self {
        Self { count: 256, of: |key| key.first().copied().map_or(0, usize::from) }
    }
}

/// # Invariants
/// `allocated` is the sum over the partitions of what they allocated for filed writes. Keys of partition `n` sort
/// before those of partition `n + 1`.
#[derive(Debug)]
pub(crate) struct Memtable {
    partitions: Box<[Apart<RwLock<Partition>>]>,
    partition_of: fn(&[u8]) -> usize,
    allocated: AtomicUsize,
    touched: AtomicBool,
    /// A bit for each partition that ever got a write: a walk need not look at the others.
    occupied: Box<[AtomicU64]>,
    counters: Counters,
}

impl Memtable {
    pub(crate) fn new(partitioning: Partitioning) -> Self {
        let count = partitioning.count.max(1);
        Self {
            partitions: (0..count).map(|_| Apart::new(RwLock::new(Partition::of(count)))).collect(),
            occupied: (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            partition_of: partitioning.of,
            allocated: AtomicUsize::new(0),
            touched: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    fn partition_of(&self, key: &[u8]) -> usize {
        (self.partition_of)(key).min(self.partitions.len() - 1)
    }

    /// Applies the operations of a batch, whose first sequence is `first`. `newest_view` is the
    /// sequence of the newest live view, 0 for none: versions it sees are kept.
    pub(crate) fn insert(&self, first: Seq, ops: Ops<'_>, newest_view: Seq) {
        if !self.touched.load(Ordering::Relaxed) {
            self.touched.store(true, Ordering::Relaxed);
        }
        let mut seq = first;
        for op in ops {
            let (key, value) = match op {
                Op::Put { key, value } => (key, Some(value)),
                Op::Delete { key } => (key, None),
                Op::Counter { id, delta } => {
                    self.counters.add(id, delta);
                    continue;
                }
            };
            let hash = key_hash(key);
            let partition = self.partition_of(key);
            let (word, bit) = (&self.occupied[partition / 64], 1 << (partition % 64));
            if word.load(Ordering::Relaxed) & bit == 0 {
                word.fetch_or(bit, Ordering::Relaxed);
            }
            let is_full = self.partitions[partition].write().line_up(hash, key, seq, value, newest_view);
            if is_full {
                self.change(partition, Partition::file_all);
            }
            seq += 1;
        }
    }

    /// The first of these partitions that got a write. A view is made when no write is under way, so
    /// every write that it sees is known here.
    fn first_occupied(&self, partitions: Range<usize>) -> Option<usize> {
        let mut at = partitions.start;
        while at < partitions.end {
            let rest = self.occupied[at / 64].load(Ordering::Relaxed) >> (at % 64);
            if rest != 0 {
                return Some(at + rest.trailing_zeros() as usize).filter(|&found| found < partitions.end);
            }
            at = (at / 64 + 1) * 64;
        }
        None
    }

    /// The last of these partitions that got a write.
    fn last_occupied(&self, partitions: Range<usize>) -> Option<usize> {
        let mut end = partitions.end;
        while end > partitions.start {
            let last = end - 1;
            let rest = self.occupied[last / 64].load(Ordering::Relaxed) << (63 - last % 64);
            if rest != 0 {
                let found = last.checked_sub(rest.leading_zeros() as usize);
                return found.filter(|&found| found >= partitions.start);
            }
            end = last / 64 * 64;
        }
        None
    }

    /// Changes a partition, and keeps account of its memory.
    #[inline]
    fn change(&self, number: usize, change: impl FnOnce(&mut Partition)) {
        let mut partition = self.partitions[number].write();
        let before = partition.allocated();
        change(&mut partition);
        let after = partition.allocated();
        if after != before {
            // Wrapping, because a repack shrinks a partition.
            self.allocated.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Files every write of a partition, so that its keys can be walked and counted.
    fn file_all(&self, number: usize) {
        if !self.partitions[number].read().is_filed() {
            self.change(number, Partition::file_all);
        }
    }

    /// The newest version of `key` that `at` sees. `hash` is the key's [`key_hash`].
    pub(crate) fn get(&self, hash: u64, key: &[u8], at: Seq) -> Option<Found> {
        self.get_with(hash, key, at, |value| Found::from_content(Content::of(value)))
    }

    /// As [`Memtable::get`], but `take` is handed the value, or `None` for a tombstone, and is not
    /// called if the key is not known here. The partition is locked meanwhile.
    #[inline]
    pub(crate) fn get_with<R>(
        &self,
        hash: u64,
        key: &[u8],
        at: Seq,
        take: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Option<R> {
        self.partitions[self.partition_of(key)].read().get_with(hash, key, at, take)
    }

    /// A cursor over the keys of a range as `at` sees them, unplaced.
    pub(crate) fn cursor(self: &Arc<Self>, range: KeyRange, at: Seq) -> MemCursor {
        MemCursor::new(Arc::clone(self), range, at)
    }

    /// Whether no batch was ever inserted.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.touched.load(Ordering::Relaxed)
    }

    /// The memory of the partitions, in bytes.
    pub(crate) fn allocated(&self) -> usize {
        self.allocated.load(Ordering::Relaxed)
    }

    /// The number of keys, tombstones included.
    pub(crate) fn keys(&self) -> usize {
        let len = |number: usize| {
            self.file_all(number);
            self.partitions[number].read().len()
        };
        (0..self.partitions.len()).map(len).sum()
    }

    /// What the memtable's batches added to a counter.
    pub(crate) fn counter(&self, id: u16) -> i64 {
        self.counters.get(id)
    }

    /// Adds what the memtable's batches added to every counter.
    pub(crate) fn add_counters_to(&self, totals: &mut BTreeMap<u16, i64>) {
        self.counters.add_to(totals);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;
    use crate::batch::WriteBatch;

    fn insert(memtable: &Memtable, seq: Seq, key: &[u8], value: Option<&[u8]>, view: Seq) {
        let mut batch = WriteBatch::new();
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        }
        memtable.insert(seq, batch.iter(), view);
    }

    fn scan(memtable: &Arc<Memtable>, range: KeyRange, at: Seq) -> Vec<(Vec<u8>, Seq)> {
        let mut cursor = memtable.cursor(range, at);
        let (mut found, mut back) = (Vec::new(), Vec::new());
        cursor.seek_first();
        while let Some(entry) = cursor.entry() {
            found.push((entry.key.to_vec(), entry.seq));
            cursor.advance();
        }
        cursor.seek_last();
        while let Some(entry) = cursor.entry() {
            back.push((entry.key.to_vec(), entry.seq));
            cursor.retreat();
        }
        assert!(found.iter().eq(back.iter().rev()), "the way back is another");
        found
    }

    #[test]
    fn overwrites_collapse_and_memory_stays_bounded() {
        let memtable = Memtable::new(Partitioning::default());
        for seq in 1..=20_000u64 {
            let value = vec![seq as u8; (seq % 90) as usize];
            insert(&memtable, seq, &[(seq % 8) as u8, 1], Some(&value), 0);
        }
        assert_eq!(memtable.keys(), 8);
        assert!(memtable.allocated() < 8 * (64 << 10), "{}", memtable.allocated());
        let exact: usize = memtable.partitions.iter().map(|p| p.read().allocated()).sum();
        assert_eq!(memtable.allocated(), exact);
    }

    #[test]
    fn scans_between_overwrites_keep_no_versions_that_no_view_sees() {
        let memtable = Arc::new(Memtable::new(Partitioning::default()));
        for seq in 1..=500u64 {
            insert(&memtable, seq, b"k", Some(&[seq as u8; 2000]), 0);
            assert_eq!(scan(&memtable, KeyRange::all(), seq), [(b"k".to_vec(), seq)]);
        }
        assert!(memtable.allocated() < 16 << 10, "{}", memtable.allocated());
        // With a view, its version and the newest: those between are no view's.
        for seq in 501..=1000u64 {
            insert(&memtable, seq, b"k", Some(&[seq as u8; 2000]), 500);
            assert_eq!(scan(&memtable, KeyRange::all(), 500), [(b"k".to_vec(), 500)]);
        }
        assert!(memtable.allocated() < 32 << 10, "{}", memtable.allocated());
    }

    #[test]
    fn a_view_keeps_its_versions_through_overwrites_and_repacks() {
        let memtable = Arc::new(Memtable::new(Partitioning::default()));
        for n in 0..500u64 {
            insert(&memtable, n + 1, &n.to_be_bytes(), Some(b"old"), 0);
        }
        let before = scan(&memtable, KeyRange::all(), 500);
        for seq in 501..=5000u64 {
            let value = vec![1; (seq % 400) as usize];
            insert(&memtable, seq, &(seq % 500).to_be_bytes(), Some(&value), 500);
        }
        assert_eq!(scan(&memtable, KeyRange::all(), 500), before);
        let key = 7u64.to_be_bytes();
        assert_eq!(memtable.get(key_hash(&key), &key, 500), Some(Found::Value(b"old".to_vec())));
        assert_ne!(scan(&memtable, KeyRange::all(), 5000), before);
    }

    #[test]
    fn a_late_insert_of_an_older_sequence_changes_nothing() {
        let memtable = Memtable::new(Partitioning::default());
        insert(&memtable, 6, b"k", None, 0);
        insert(&memtable, 5, b"k", Some(b"v"), 0);
        assert_eq!(memtable.get(key_hash(b"k"), b"k", Seq::MAX >> 1), Some(Found::Deleted));
    }

    #[test]
    fn scans_see_new_keys_and_respect_bounds() {
        let memtable = Arc::new(Memtable::new(Partitioning::default()));
        for n in (0..4000u32).step_by(2) {
            insert(&memtable, u64::from(n) + 1, &n.to_be_bytes(), Some(b""), 0);
        }
        assert_eq!(scan(&memtable, KeyRange::all(), 10_000).len(), 2000);
        for n in (1..4000u32).step_by(2) {
            insert(&memtable, u64::from(n) + 5000, &n.to_be_bytes(), Some(b""), 0);
        }
        let keys: Vec<Vec<u8>> =
            scan(&memtable, KeyRange::all(), 10_000).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, (0..4000u32).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>());
        let (lower, upper) = (7u32.to_be_bytes(), 19u32.to_be_bytes());
        let some = KeyRange::new(&(Bound::Included(&lower[..]), Bound::Excluded(&upper[..])));
        assert_eq!(scan(&memtable, some, 10_000).len(), 12);
    }

    #[test]
    fn a_cursor_turns_anywhere_and_seeks_both_ways() {
        // Few partitions with many keys, many with none; every third key has two versions.
        let partitioning = Partitioning { count: 9, of: |key| usize::from(key[2]) * 4 };
        let memtable = Arc::new(Memtable::new(partitioning));
        let keys: Vec<[u8; 4]> = (0..1200u32).map(|n| (n * 2).to_be_bytes()).collect();
        for (seq, key) in (1..).zip(&keys) {
            insert(&memtable, seq, key, Some(b"old"), 0);
        }
        for (seq, key) in (2000..).zip(keys.iter().step_by(3)) {
            insert(&memtable, seq, key, None, 1200);
        }
        let mut cursor = memtable.cursor(KeyRange::all(), 1200);
        for start in (0..keys.len()).step_by(7) {
            let odd = (start as u32 * 2 + 1).to_be_bytes();
            cursor.seek(&keys[start]);
            assert_eq!(cursor.key(), Some(&keys[start][..]));
            cursor.seek_back(&keys[start], true);
            assert_eq!(cursor.key(), Some(&keys[start][..]));
            cursor.seek_back(&keys[start], false);
            assert_eq!(cursor.key(), start.checked_sub(1).map(|n| &keys[n][..]));
            cursor.seek(&odd);
            assert_eq!(cursor.key(), keys.get(start + 1).map(|key| &key[..]));
            cursor.seek_back(&odd, start % 2 == 0);
            let mut at = start;
            for (steps, forward) in [(20, true), (300, false), (700, true), (17, false), (2, true)] {
                for _ in 0..steps {
                    if forward && at + 1 < keys.len() {
                        cursor.advance();
                        at += 1;
                    } else if !forward && at > 0 {
                        cursor.retreat();
                        at -= 1;
                    }
                    assert_eq!(
                        cursor.entry().map(|e| (e.key, e.content)),
                        Some((&keys[at][..], Content::Value(b"old")))
                    );
                }
            }
        }
    }

    #[test]
    fn partitions_without_a_write_are_passed_over() {
        let memtable = Memtable::new(Partitioning { count: 200, ..Partitioning::default() });
        let occupied = [0, 5, 63, 64, 127, 130, 199];
        for (n, &partition) in occupied.iter().enumerate() {
            insert(&memtable, n as u64 + 1, &[partition as u8], None, 0);
        }
        for start in 0..=200 {
            for end in start..=200 {
                let mut inside = occupied.iter().copied().filter(|n| (start..end).contains(n));
                assert_eq!(memtable.first_occupied(start..end), inside.clone().next(), "{start}..{end}");
                assert_eq!(memtable.last_occupied(start..end), inside.next_back(), "{start}..{end}");
            }
        }
    }

    #[test]
    fn the_order_that_a_scan_leaves_is_counted() {
        let memtable = Arc::new(Memtable::new(Partitioning::default()));
        for n in 0..4000u32 {
            insert(&memtable, u64::from(n) + 1, &n.to_be_bytes(), Some(b""), 0);
        }
        let before = memtable.allocated();
        scan(&memtable, KeyRange::all(), 10_000);
        assert!(memtable.allocated() >= before + 4000 * size_of::<u32>());
        let exact: usize = memtable.partitions.iter().map(|p| p.read().allocated()).sum();
        assert_eq!(memtable.allocated(), exact);
    }

    #[test]
    fn what_waits_to_be_filed_is_little_however_many_partitions_there_are() {
        let of = |key: &[u8]| usize::from(u16::from_be_bytes([key[0], key[1]]));
        for count in [256, 4096] {
            let memtable = Memtable::new(Partitioning { count, of });
            let mut written = 0usize;
            for (seq, partition) in (1..).zip((0..count).cycle().take(3 * count)) {
                let key = (partition as u16).to_be_bytes();
                insert(&memtable, seq, &[&key[..], &seq.to_be_bytes()].concat(), Some(&[7; 1000]), 0);
                written += 1010;
            }
            let waiting = written.saturating_sub(memtable.allocated());
            assert!(waiting < 5 << 20, "{waiting} of {written} bytes in {count} partitions");
        }
    }

    #[test]
    fn writes_that_are_not_filed_are_read_by_sequence() {
        let memtable = Arc::new(Memtable::new(Partitioning::default()));
        let get = |key: &[u8], at| memtable.get(key_hash(key), key, at);
        let value = |text: &[u8]| Some(Found::Value(text.to_vec()));
        insert(&memtable, 1, b"k", Some(b"one"), 0);
        insert(&memtable, 3, b"k", None, 0);
        insert(&memtable, 2, b"k", Some(b"late"), 0);
        insert(&memtable, 4, b"kk", Some(b"other"), 0);
        assert_eq!(get(b"k", 1), value(b"one"));
        assert_eq!(get(b"k", 9), Some(Found::Deleted));
        assert_eq!(get(b"kk", 9), value(b"other"));
        assert_eq!(get(b"kk", 3), None);
        assert_eq!(memtable.keys(), 2);
        // Filed now; what comes next is newer, except where it is late.
        insert(&memtable, 5, b"k", Some(b"five"), 0);
        insert(&memtable, 3, b"kk", Some(b"late"), 0);
        assert_eq!(get(b"k", 4), Some(Found::Deleted));
        assert_eq!(get(b"k", 5), value(b"five"));
        assert_eq!(get(b"kk", 9), value(b"other"));
        assert_eq!(scan(&memtable, KeyRange::all(), 9), [(b"k".to_vec(), 5), (b"kk".to_vec(), 4)]);
    }
}
