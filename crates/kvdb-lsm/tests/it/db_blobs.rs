//! Values in blob files: where they go, how they are read, what becomes of their garbage, and what is
//! said when they are lost.

use crate::db_support::{DB, key, small};
use crate::support::Rng;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::dump::{self, BlobEntry, EntryContent, ManifestEntry};
use kvdb_lsm::error::Error;
use kvdb_lsm::filter::{CompactionFilter, Judge};
use kvdb_lsm::vfs::{SimVfs, Vfs};
use kvdb_lsm::{Cached, Compression, Db, Options, ReadOnlyDb, SstWriter, unwatched};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Values of at least 100 bytes go to blob files; nothing is compressed, so that sizes can be told.
fn options(vfs: &SimVfs) -> Options {
    Options {
        blob_threshold: 100,
        blob_file_bytes: 8 << 10,
        compression: Compression::None,
        block_cache_bytes: 1 << 20,
        ..small(vfs)
    }
}

/// A value that tells what it is of.
fn value(n: u64, version: u64, len: usize) -> Vec<u8> {
    let tag = (n * 31 + version * 7) as u8;
    (0..len).map(|i| if i % 2 == 0 { tag } else { version as u8 }).collect()
}

fn put(db: &Db, keys: impl IntoIterator<Item = u64>, version: u64, len: usize) {
    let mut batch = WriteBatch::new();
    for n in keys {
        batch.put(&key(n), &value(n, version, len));
    }
    db.append(&batch).expect("append");
}

pub(crate) fn in_dir(vfs: &SimVfs, sub: &str) -> Vec<PathBuf> {
    let dir = Path::new(DB).join(sub);
    vfs.list(&dir).expect("list").into_iter().map(|name| dir.join(name)).collect()
}

fn len(vfs: &SimVfs, path: &Path) -> u64 {
    vfs.open_read(path).expect("open").len().expect("length")
}

fn blob_bytes(vfs: &SimVfs) -> u64 {
    in_dir(vfs, "blob").iter().map(|path| len(vfs, path)).sum()
}

/// The places of the records of all blob files, with their keys.
pub(crate) fn records(vfs: &SimVfs) -> Vec<(PathBuf, u64, u32, Vec<u8>)> {
    let mut records = Vec::new();
    for path in in_dir(vfs, "blob") {
        dump::blob(vfs, &path, &mut |entry| {
            match entry {
                BlobEntry::Record { offset, len, key, .. } => records.push((path.clone(), offset, len, key)),
                BlobEntry::Unreadable { why, .. } => panic!("{}: {why}", path.display()),
            }
            Ok(())
        })
        .expect("dump");
    }
    records
}

#[test]
fn large_values_lie_in_blob_files_and_small_ones_in_tables() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    put(&db, 0..10, 1, 99);
    put(&db, 10..20, 1, 100);
    put(&db, 20..30, 1, 5000);
    assert_eq!(in_dir(&vfs, "blob"), Vec::<PathBuf>::new(), "the memtable and the log hold values");
    db.flush().expect("flush");
    let keys: Vec<Vec<u8>> = records(&vfs).into_iter().map(|(.., key)| key).collect();
    assert_eq!(keys, (10..30).map(key).collect::<Vec<_>>());
    let stats = db.stats();
    assert!(stats.blob_files > 3, "they are cut: {}", stats.blob_files);
    assert!(stats.blob_bytes > 10 * 5100 && stats.blob_garbage_bytes == 0, "{stats:?}");
    assert!(stats.table_bytes.iter().sum::<u64>() < 4000, "{:?}", stats.table_bytes);
    assert!(stats.flushed_bytes > stats.blob_bytes, "both count");
    let tables = in_dir(&vfs, "sst");
    let entries = tables.iter().flat_map(|path| dump::table(&vfs, path).expect("dump"));
    for entry in entries.map(|entry| entry.expect("sound")) {
        let is_large = entry.key >= key(10);
        assert_eq!(matches!(entry.content, EntryContent::Blob { .. }), is_large, "{:?}", entry.key);
    }
    db.close().expect("close");
    let read_only = ReadOnlyDb::open(&options(&vfs)).expect("open");
    assert_eq!(read_only.get(&key(25)).expect("get"), Some(value(25, 1, 5000)));
    assert_eq!(read_only.iter_all().count(), 30);
    assert_eq!(read_only.verify(&mut unwatched).expect("verify").blobs, stats.blob_files as u64);
}

#[test]
fn a_value_that_is_not_in_memory_needs_io_and_then_does_not() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    put(&db, 0..4, 1, 1000);
    put(&db, 4..8, 1, 40_000);
    db.flush().expect("flush");
    for n in 0..8 {
        let (expected, is_small) = (value(n, 1, if n < 4 { 1000 } else { 40_000 }), n < 4);
        let Cached::NeedIo(pending) = db.get_cached(&key(n)).expect("get") else {
            panic!("key {n} was never read");
        };
        // The block is in memory now, and the value still is not.
        assert_eq!(pending.finish().expect("finish"), Some(expected.clone()));
        match db.get_cached(&key(n)).expect("get") {
            Cached::Found(found) => assert!(is_small && found == expected, "key {n}"),
            Cached::NeedIo(pending) => {
                assert!(!is_small, "key {n}: a value of a 64th of the cache stays");
                assert_eq!(pending.finish().expect("finish"), Some(expected));
            }
            Cached::Absent => panic!("key {n} is there"),
        }
    }
    assert_eq!(db.get_cached(&key(9)).map(|found| matches!(found, Cached::Absent)).ok(), Some(true));
}

#[test]
fn garbage_is_bounded_however_often_a_key_space_is_overwritten() {
    for (ratio, age) in [(0.5, 0.25), (0.2, 0.0), (0.8, 1.0)] {
        let vfs = SimVfs::new();
        let options = Options { blob_garbage_ratio: ratio, blob_age_cutoff: age, ..options(&vfs) };
        let db = Db::open(options.clone()).expect("open");
        let mut rng = Rng::new(4);
        let (mut newest, mut most) = (vec![0; 60], 0.0_f64);
        for round in 1..=120 {
            for _ in 0..20 {
                let n = rng.below(60);
                put(&db, [n], round, 600);
                newest[n as usize] = round;
            }
            db.flush().expect("flush");
            while db.compact_step().expect("compact") {}
            let stats = db.stats();
            let bound = stats.blob_bytes as f64 * f64::from(ratio);
            assert!(stats.blob_garbage_bytes as f64 <= bound, "round {round}: {stats:?}");
            // Nothing is on the disk that is not accounted for.
            assert_eq!(in_dir(&vfs, "blob").len(), stats.blob_files);
            let live = newest.iter().filter(|&&version| version > 0).count() as f64 * 630.0;
            if round > 20 {
                most = most.max(blob_bytes(&vfs) as f64 / live);
            }
        }
        // The newest versions, those that a few flushes have replaced, and the garbage.
        let (levels, garbage) = (1.9, 1.0 / (1.0 - f64::from(ratio)));
        assert!(most < levels * garbage, "ratio {ratio}: {most} times the live values");
        let stats = db.stats();
        assert!(stats.moved_blob_bytes > 0 && stats.write_amplification() > 1.0);
        for (n, &version) in newest.iter().enumerate().filter(|(_, version)| **version > 0) {
            let n = n as u64;
            assert_eq!(db.get(&key(n)).expect("get"), Some(value(n, version, 600)), "key {n}");
        }
        assert!(db.verify().expect("verify").problems.is_empty());
        db.close().expect("close");
        let db = Db::open(options).expect("open");
        assert_eq!(db.stats().blob_garbage_bytes, stats.blob_garbage_bytes, "it follows from the tables");
    }
}

#[test]
fn a_view_keeps_what_it_sees_while_its_files_are_emptied() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    put(&db, 0..40, 1, 500);
    db.flush().expect("flush");
    let old: BTreeSet<PathBuf> = in_dir(&vfs, "blob").into_iter().collect();
    let view = db.view();
    let mut iter = db.iter_all(&view);
    assert_eq!(iter.seek(&key(7)).expect("seek"), Some((&key(7)[..], &value(7, 1, 500)[..])));
    for version in 2..8 {
        put(&db, 0..40, version, 500);
        db.flush().expect("flush");
        while db.compact_step().expect("compact") {}
    }
    assert!(old.iter().all(|path| vfs.exists(path).expect("look")), "the view needs them");
    assert!(db.stats().blob_bytes < 50 * 600, "the database does not: {}", db.stats().blob_bytes);
    for n in 0..40 {
        assert_eq!(db.get_at(&key(n), &view).expect("get"), Some(value(n, 1, 500)));
        assert_eq!(db.get(&key(n)).expect("get"), Some(value(n, 7, 500)));
    }
    assert_eq!(iter.next_entry().expect("step"), Some((&key(8)[..], &value(8, 1, 500)[..])));
    assert_eq!(iter.prev_entry().expect("step"), Some((&key(7)[..], &value(7, 1, 500)[..])));
    assert!(db.iter_all(&view).map(|row| row.expect("sound").1).eq((0..40).map(|n| value(n, 1, 500))));
    drop((iter, view));
    db.compact_step().expect("sweeps");
    assert!(old.iter().all(|path| !vfs.exists(path).expect("look")), "nobody needs them");
}

#[test]
fn damage_is_told_with_file_and_offset_and_the_other_values_are_there() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    put(&db, 0..40, 1, 500);
    db.flush().expect("flush");
    db.close().expect("close");
    let all = records(&vfs);
    let (path, offset, len, lost) = &all[17];
    for at in [0, 5, 9, 16, 20, u64::from(*len) - 1] {
        let damaged = vfs.process_crash();
        damaged.flip_byte(path, offset + at).expect("flip");
        let db = Db::open(options(&damaged)).expect("open");
        for n in 0..40 {
            match db.get(&key(n)) {
                Ok(found) => {
                    assert!(key(n) != *lost && found == Some(value(n, 1, 500)), "byte {at}, key {n}")
                }
                Err(Error::Corruption { file, offset: told, .. }) => {
                    assert_eq!((&key(n), &file, told), (lost, path, *offset), "byte {at}");
                }
                Err(error) => panic!("{error}"),
            }
        }
        let told = db.multi_get(&[key(1), lost.clone()]);
        assert!(matches!(told, Err(Error::Corruption { file, .. }) if file == *path));
        let view = db.view();
        let mut iter = db.iter_all(&view);
        assert!(iter.seek(lost).is_err() && iter.current().is_none());
        let rows = db.iter_all(&view).map_while(Result::ok).count();
        assert_eq!(key(rows as u64), *lost, "an iterator ends where it cannot go on");
        let report = db.verify().expect("verify");
        assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
        // A compaction that would move the value leaves the file alone from then on.
        put(&db, (0..40).filter(|n| key(*n) != *lost), 2, 500);
        db.flush().expect("flush");
        let mut failures = 0;
        for _ in 0..40 {
            match db.compact_step() {
                Ok(true) => {}
                Ok(false) => break,
                Err(Error::Corruption { file, .. }) => {
                    assert_eq!(file, *path);
                    failures += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(failures <= 1, "{failures}");
        assert!(db.get(lost).is_err() && vfs.exists(path).expect("look"));
        assert_eq!(db.get(&key(3)).expect("get"), Some(value(3, 2, 500)));
    }
}

#[test]
fn a_missing_blob_file_is_refused_and_in_quarantine_the_rest_is_answered() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    put(&db, 0..40, 1, 500);
    db.flush().expect("flush");
    db.close().expect("close");
    let path = in_dir(&vfs, "blob")[0].clone();
    let lost: BTreeSet<Vec<u8>> =
        records(&vfs).into_iter().filter(|(of, ..)| *of == path).map(|(.., key)| key).collect();
    assert!((5..35).contains(&lost.len()));
    vfs.remove(&path).expect("remove");
    match Db::open(options(&vfs)) {
        Err(Error::Corruption { file, what, .. }) => {
            assert!(file == path && what.contains("missing"), "{what}")
        }
        other => panic!("{other:?}"),
    }
    let options = Options { quarantine: true, ..options(&vfs) };
    let db = Db::open(options.clone()).expect("open");
    assert_eq!(db.quarantined().len(), 1);
    for n in 0..40 {
        let found = db.get(&key(n));
        match lost.contains(&key(n)) {
            true => assert!(matches!(found, Err(Error::Corruption { file, .. }) if file == path)),
            false => assert_eq!(found.expect("get"), Some(value(n, 1, 500))),
        }
    }
    assert!(matches!(db.checkpoint(Path::new("/copy")), Err(Error::Corruption { .. })));
    // What is overwritten needs the file no more.
    put(&db, 0..40, 2, 500);
    db.compact().expect("compact");
    assert!(in_dir(&vfs, "blob").iter().all(|other| *other != path));
    assert_eq!(db.get(&key(0)).expect("get"), Some(value(0, 2, 500)));
    db.close().expect("close");
    assert!(Db::open(Options { quarantine: false, ..options }).is_ok());
}

#[test]
fn values_move_to_blob_files_and_back_as_the_threshold_says() {
    let vfs = SimVfs::new();
    let without = Options { blob_threshold: 0, ..options(&vfs) };
    let db = Db::open(without.clone()).expect("open");
    put(&db, 0..40, 1, 500);
    db.compact().expect("compact");
    assert_eq!(in_dir(&vfs, "blob"), Vec::<PathBuf>::new());
    assert_eq!(features(&vfs), Some([0, 0, 1]), "what earlier versions know");
    db.close().expect("close");
    // As a database of an earlier version: compactions move what they meet.
    let db = Db::open(options(&vfs)).expect("open");
    put(&db, [0, 39], 2, 500);
    db.compact().expect("compact");
    assert_eq!(records(&vfs).len(), 40);
    assert_eq!(features(&vfs), Some([0, 0, 3]), "earlier versions refuse it by its bits");
    db.close().expect("close");
    // A higher threshold takes the values back as their files become due.
    let db = Db::open(without).expect("open");
    put(&db, 0..39, 3, 500);
    db.compact().expect("compact");
    assert_eq!(in_dir(&vfs, "blob"), Vec::<PathBuf>::new());
    for n in 0..40 {
        let version = if n < 39 { 3 } else { 2 };
        assert_eq!(db.get(&key(n)).expect("get"), Some(value(n, version, 500)), "key {n}");
    }
}

/// The features in the manifest in use.
fn features(vfs: &SimVfs) -> Option<[u64; 3]> {
    let manifest = Path::new(DB).join(dump::current(vfs, Path::new(DB)).expect("CURRENT"));
    let edits = dump::manifest(vfs, &manifest).expect("dump").filter_map(|entry| match entry {
        ManifestEntry::Edit { edit, .. } => edit.features,
        _ => None,
    });
    edits.last()
}

#[test]
fn dropping_the_tables_of_a_range_lets_go_of_their_blob_files() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    put(&db, 0..20, 1, 500);
    db.flush().expect("flush");
    put(&db, 50..60, 1, 500);
    db.flush().expect("flush");
    let before = db.stats();
    assert_eq!(before.blob_garbage_bytes, 0);
    db.drop_range_files((Bound::Unbounded, Bound::Excluded(&key(30)[..]))).expect("drop");
    let after = db.stats();
    assert!(after.blob_bytes + after.blob_garbage_bytes < before.blob_bytes / 2, "{after:?}");
    assert_eq!(in_dir(&vfs, "blob").len(), after.blob_files);
    assert_eq!(db.get(&key(55)).expect("get"), Some(value(55, 1, 500)));
    db.drop_range_files(..).expect("drop");
    assert_eq!((db.stats().blob_files, in_dir(&vfs, "blob").len()), (0, 0));
}

#[test]
fn what_a_crash_left_behind_goes_at_the_next_opening() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    put(&db, 0..20, 1, 500);
    db.flush().expect("flush");
    drop(db);
    let stray = Path::new(DB).join("blob/009999.blob");
    vfs.hard_link(&in_dir(&vfs, "blob")[0], &stray).expect("link");
    let db = Db::open(options(&vfs)).expect("open");
    assert!(!vfs.exists(&stray).expect("look"));
    put(&db, 0..20, 2, 500);
    db.flush().expect("flush");
    assert!(in_dir(&vfs, "blob").iter().any(|path| *path > stray), "its number is not given out again");
}

/// Rows die by their value, and reads of values are counted.
struct ByValue {
    reads: bool,
    asked: Arc<AtomicU64>,
}

impl CompactionFilter for ByValue {
    fn begin(&self) -> Box<dyn Judge> {
        Box::new(Dead(Arc::clone(&self.asked)))
    }

    fn reads_values(&self) -> bool {
        self.reads
    }
}

struct Dead(Arc<AtomicU64>);

impl Judge for Dead {
    fn is_dead(&self, _: &[u8], value: &[u8]) -> bool {
        self.0.fetch_add(value.len() as u64, Ordering::Relaxed);
        value.get(1) == Some(&1)
    }
}

#[test]
fn a_filter_gets_the_values_if_it_reads_them() {
    for reads in [true, false] {
        let (vfs, asked) = (SimVfs::new(), Arc::new(AtomicU64::new(0)));
        let filter: Arc<dyn CompactionFilter> = Arc::new(ByValue { reads, asked: Arc::clone(&asked) });
        let db = Db::open(Options { filter: Some(filter), ..options(&vfs) }).expect("open");
        put(&db, 0..20, 1, 500);
        put(&db, 20..40, 2, 500);
        put(&db, 40..60, 1, 50);
        db.compact().expect("compact");
        for n in 0..60 {
            let alive = match n {
                0..20 => !reads,
                20..40 => true,
                _ => false,
            };
            assert_eq!(db.get(&key(n)).expect("get").is_some(), alive, "reads: {reads}, key {n}");
        }
        let expected = if reads { 40 * 500 } else { 0 } + 20 * 50;
        assert!(asked.load(Ordering::Relaxed) >= expected, "reads: {reads}");
        assert!(reads || asked.load(Ordering::Relaxed) == expected);
    }
}

#[test]
fn ingested_values_move_when_a_compaction_meets_them() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    let path = Path::new("/external.sst");
    let mut writer = SstWriter::create(&vfs, path, Compression::None).expect("create");
    for n in 0..20 {
        writer.put(&key(n), &value(n, 1, 500)).expect("put");
    }
    writer.finish().expect("finish");
    db.ingest(&[path]).expect("ingest");
    assert_eq!(db.stats().blob_files, 0);
    put(&db, [3], 2, 500);
    db.compact().expect("compact");
    assert_eq!(records(&vfs).len(), 20);
    // A table of a database cannot be taken for an external one.
    let table = in_dir(&vfs, "sst").remove(0);
    assert!(db.ingest(&[table]).is_err());
    assert_eq!(db.get(&key(4)).expect("get"), Some(value(4, 1, 500)));
}

/// The keys of a walk, and a value when it is asked for, are those of the rows.
#[test]
fn keys_are_walked_without_their_values_and_values_are_there_when_asked_for() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    put(&db, (0..200).filter(|n| n % 3 > 0), 1, 150);
    db.flush().expect("flush");
    put(&db, (0..200).filter(|n| n % 5 == 0), 2, 20);
    db.flush().expect("flush");
    put(&db, 90..110, 3, 300);
    let view = db.view();
    let range = (Bound::Included(&key(7)[..]), Bound::Excluded(&key(190)[..]));
    let mut rows = db.iter(range, &view);
    let mut keys = db.iter(range, &view).keys();
    let mut rng = Rng::new(5);
    for step in 0..2000 {
        let at = key(rng.below(210));
        let expected = match rng.below(12) {
            0 => (rows.seek_first().expect("row"), keys.seek_first().expect("key")),
            1 => (rows.seek_last().expect("row"), keys.seek_last().expect("key")),
            2 => (rows.seek(&at).expect("row"), keys.seek(&at).expect("key")),
            3 => (rows.seek_for_prev(&at).expect("row"), keys.seek_for_prev(&at).expect("key")),
            4..=7 => (rows.next_entry().expect("row"), keys.next_key().expect("key")),
            _ => (rows.prev_entry().expect("row"), keys.prev_key().expect("key")),
        };
        assert_eq!(expected.0.map(|(key, _)| key), expected.1, "step {step}");
        if rng.one_in(3) {
            assert_eq!(keys.row().expect("row"), rows.current(), "step {step}");
            assert_eq!(keys.row().expect("row again"), rows.current(), "step {step}");
            assert_eq!(keys.key(), rows.current().map(|(key, _)| key), "step {step}");
        }
    }
}

#[test]
fn a_damaged_value_is_met_only_by_who_asks_for_it() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    put(&db, 0..10, 1, 150);
    db.flush().expect("flush");
    let (path, offset, len, damaged) = records(&vfs).swap_remove(4);
    vfs.flip_byte(&path, offset + u64::from(len) - 3).expect("flip");
    let mut keys = db.iter_all(&db.view()).keys();
    let mut seen = 0;
    while let Some(key) = keys.next_key().expect("keys are sound").map(<[u8]>::to_vec) {
        seen += 1;
        if key != damaged {
            continue;
        }
        assert!(matches!(keys.row(), Err(Error::Corruption { .. })));
        assert_eq!(keys.key(), Some(&key[..]), "it stands where it stood");
    }
    assert_eq!(seen, 10);
    let mut rows = db.iter_all(&db.view());
    assert!(matches!(rows.seek(&damaged), Err(Error::Corruption { .. })));
    assert_eq!(rows.current(), None);
    assert_eq!(rows.next_entry().expect("it stands nowhere"), None);
}
