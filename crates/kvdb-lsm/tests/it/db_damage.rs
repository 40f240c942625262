//! Every byte of every file of a small database is flipped, every file is cut and removed: the
//! damage is refused, or it was in something that did not matter; never a wrong answer.

use crate::db_support::{COUNTERS, DB, History, KEYS, files, key, random_batch, small};
use crate::support::{Rng, cases};
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::error::Error;
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs, VfsFileExt};
use kvdb_lsm::{Db, Options, ReadOnlyDb};
use std::path::{Path, PathBuf};

/// A database with tables on three levels and batches in the log, as a process crash left it.
fn database() -> (SimVfs, History) {
    let vfs = SimVfs::new();
    let mut options = small(&vfs);
    options.base_level_bytes = 2 << 10;
    let db = Db::open(options).expect("open");
    let mut rng = Rng::new(21);
    let mut history = History::default();
    let mut write = |batches: u32| {
        for _ in 0..batches {
            let batch = random_batch(&mut rng);
            let seq = db.append(&batch).expect("append");
            history.push(batch, seq);
        }
    };
    let three_levels = || db.stats().tables.iter().filter(|&&tables| tables > 0).count() >= 3;
    for _ in 0..100 {
        write(10);
        db.flush().expect("flush");
        db.compact_step().expect("compact");
        if three_levels() {
            break;
        }
    }
    assert!(three_levels(), "{:?}", db.stats().tables);
    write(12);
    db.log().sync().expect("sync");
    // A record behind the sync, which promises it.
    let batch = random_batch(&mut rng);
    let seq = db.append(&batch).expect("append");
    history.push(batch, seq);
    db.log().sync().expect("sync");
    (vfs.process_crash(), history)
}

/// A database so small that every byte of it can be flipped, with all kinds of files: tables on three
/// levels, a blob file, counters, a log with a batch behind the tables.
fn tiny_database() -> (SimVfs, History) {
    let vfs = SimVfs::new();
    let mut options = small(&vfs);
    options.level0_depth = 1;
    options.base_level_bytes = 1;
    options.fan_out = 2;
    options.segment_bytes = 4 << 10;
    let db = Db::open(options).expect("open");
    let mut history = History::default();
    let mut write = |n: u64| {
        let mut batch = WriteBatch::new();
        batch.put(&key(n % 7 * 5), format!("value {n}").as_bytes());
        match n % 4 {
            0 => batch.delete(&key(n % 5)),
            1 => batch.put(&key(40), &[n as u8; 75]),
            2 => batch.add_counter(COUNTERS[n as usize % 3], n as i64),
            _ => {}
        }
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
    };
    let three_levels = || db.stats().tables.iter().filter(|&&tables| tables > 0).count() >= 3;
    for n in 0..40 {
        write(n);
        if n % 3 == 2 {
            db.flush().expect("flush");
            if three_levels() {
                break;
            }
            db.compact_step().expect("compact");
        }
    }
    assert!(three_levels(), "{:?}", db.stats().tables);
    assert!(db.stats().blob_files > 0, "no value is large enough");
    write(41);
    db.log().sync().expect("sync");
    write(42);
    db.log().sync().expect("sync");
    (vfs.process_crash(), history)
}

/// Opens, reads everything, verifies. Returns whether the damage was noticed.
fn judge(vfs: &SimVfs, history: &History, context: &str) -> bool {
    let refused = |error: &Error| {
        assert!(
            matches!(error, Error::Corruption { .. } | Error::Io { .. }),
            "{context}: not a clear refusal: {error}"
        );
        true
    };
    let db = match Db::open(small(vfs)) {
        Ok(db) => db,
        Err(error) => return refused(&error),
    };
    let view = db.view();
    let mut expected = history.model.rows.iter();
    for row in db.iter_all(&view) {
        match row {
            Ok((key, value)) => {
                // A torn tail may have lost the last batches, which is checked below.
                if db.log().appended() == history.last_seq() {
                    assert_eq!(Some((&key, &value)), expected.next(), "{context}");
                }
            }
            Err(error) => return refused(&error),
        }
    }
    let report = db.verify().expect("verify");
    if let Some(problem) = report.problems.first() {
        return refused(problem);
    }
    let mut kept = history.clone();
    kept.cut(db.log().appended(), context);
    kept.model.assert_equals(&db, context);
    false
}

/// The bytes of a file of the database, with what is needed to put changed ones in its place.
fn read(vfs: &SimVfs, path: &Path) -> Vec<u8> {
    let file = vfs.open_read(path).expect("open");
    let mut bytes = vec![0; file.len().expect("length") as usize];
    file.read_exact_at(&mut bytes, 0).expect("read");
    bytes
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "sst")
}

/// Whether the rows that were flushed are in it.
fn is_data(path: &Path) -> bool {
    is_table(path) || path.extension().is_some_and(|extension| extension == "blob")
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wal")
}

/// The length up to which a file holds something: the log is preallocated with zeros.
fn content(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Asks for every key by itself: each answer is right or a clear error, whatever else is damaged.
/// The database is opened with its damaged tables in quarantine. Returns how many keys could not be
/// answered, or `None` if it cannot be opened even so.
fn ask_for_every_key(vfs: &SimVfs, history: &History, context: &str) -> Option<u64> {
    let options = Options { quarantine: true, ..small(vfs) };
    let reader = match ReadOnlyDb::open(&options) {
        Ok(db) => db,
        Err(Error::Corruption { .. }) => return None,
        Err(error) => panic!("{context}: {error}"),
    };
    let mut kept = history.clone();
    kept.cut(reader.seq(), context);
    let mut refused = 0;
    let mut check = |key: &[u8], found: Result<Option<Vec<u8>>, Error>| match found {
        Ok(found) => assert_eq!(found.as_ref(), kept.model.rows.get(key), "{context}: {key:?}"),
        Err(Error::Corruption { .. }) => refused += 1,
        Err(error) => panic!("{context}: {error}"),
    };
    for n in 0..KEYS {
        check(&key(n), reader.get(&key(n)));
    }
    // An iterator gives right rows, without a gap, up to an error.
    let mut expected = kept.model.rows.iter();
    let rows = reader.iter_all().map_while(Result::ok);
    assert!(rows.into_iter().all(|(key, value)| expected.next() == Some((&key, &value))), "{context}");
    drop(reader);
    let db = Db::open(options).unwrap_or_else(|e| panic!("{context}: {e}"));
    for n in 0..KEYS {
        check(&key(n), db.get(&key(n)));
    }
    // What is damaged may be met by a compaction, which must neither lose nor revive anything.
    for _ in 0..20 {
        if matches!(db.compact_step(), Ok(false)) {
            break;
        }
    }
    for n in 0..KEYS {
        check(&key(n), db.get(&key(n)));
    }
    Some(refused)
}

/// Flips bytes of a file, of its content every one in `step`, and judges. Returns how many flips were
/// noticed.
fn flip_bytes(vfs: &SimVfs, history: &History, path: &Path, step: usize) -> usize {
    let len = content(&read(vfs, path));
    let flips = (0..len).step_by(step);
    flips
        .filter(|&at| {
            let damaged = vfs.process_crash();
            damaged.flip_byte(path, at as u64).expect("flip");
            let context = format!("{} at {at} of {len}", path.display());
            let seen = judge(&damaged.process_crash(), history, &context);
            if is_data(path) {
                assert!(seen, "{context}: the flip went unnoticed");
                let refused = ask_for_every_key(&damaged, history, &context);
                assert!(refused.is_some(), "{context}: quarantine does not open the database");
            }
            seen
        })
        .count()
}

/// Flips every byte of the tiny database in those of its files. Returns how many there were.
fn flip_every_byte(is_chosen: impl Fn(&Path) -> bool) -> usize {
    let (vfs, history) = tiny_database();
    let chosen = files(&vfs).into_iter().filter(|path| is_chosen(path));
    chosen
        .map(|path| {
            let noticed = flip_bytes(&vfs, &history, &path, 1);
            let bytes = content(&read(&vfs, &path));
            println!("{}: {noticed} flips of {bytes} noticed", path.display());
            bytes
        })
        .sum()
}

#[test]
fn every_flipped_byte_of_a_table_is_refused() {
    let bytes = flip_every_byte(is_table);
    assert!(bytes > 1000, "{bytes}");
}

#[test]
fn every_flipped_byte_of_anything_but_a_table_is_refused_or_harmless() {
    let bytes = flip_every_byte(|path| !is_table(path));
    assert!(bytes > 1000, "{bytes}");
}

/// More tables, more levels, longer blocks: of each file a sample, and every byte in the long form.
#[test]
fn flipped_bytes_of_a_larger_database_are_refused_or_harmless() {
    let (vfs, history) = database();
    let mut noticed = 0;
    for path in files(&vfs) {
        let len = content(&read(&vfs, &path));
        let step = if cases(1) > 1 { 1 } else { len / 400 + 1 };
        noticed += flip_bytes(&vfs, &history, &path, step);
    }
    assert!(noticed > 500, "only {noticed} flips were noticed");
}

#[test]
fn a_cut_or_missing_file_is_refused_or_harmless() {
    let (vfs, history) = database();
    for path in files(&vfs) {
        let bytes = read(&vfs, &path);
        let len = content(&bytes);
        for to in (0..len).step_by(len / 60 + 1) {
            let damaged = vfs.process_crash();
            let file = damaged.open(&path).expect("open");
            file.truncate(to as u64).expect("truncate");
            file.sync_all().expect("sync");
            let context = format!("{} cut to {to} of {len}", path.display());
            let seen = judge(&damaged.process_crash(), &history, &context);
            assert!(seen || !is_data(&path), "{context}: the cut went unnoticed");
            if is_data(&path) {
                let refused = ask_for_every_key(&damaged, &history, &context).expect("it opens");
                assert!(refused > 0 || !is_table(&path), "{context}: no key is missed");
            }
        }
        let damaged = vfs.process_crash();
        damaged.remove(&path).expect("remove");
        let context = format!("{} removed", path.display());
        let seen = judge(&damaged.process_crash(), &history, &context);
        if is_data(&path) {
            let refused = ask_for_every_key(&damaged, &history, &context).expect("it opens");
            // What a blob file has may have been overwritten.
            assert!(refused > 0 || !is_table(&path), "{context}: no key is missed");
        }
        let harmless = path.ends_with("LOCK") || (is_log(&path) && read(&vfs, &path).is_empty());
        assert!(seen || harmless || is_spare(&path), "{context}: went unnoticed");
    }
}

/// A preallocated segment that is not part of the log yet.
fn is_spare(path: &Path) -> bool {
    path.parent().is_some_and(|dir| dir.ends_with("wal")) && !is_log(path)
}

#[test]
fn swapped_files_are_refused() {
    let (vfs, history) = database();
    let all: Vec<PathBuf> = files(&vfs).into_iter().filter(|path| is_data(path)).collect();
    let (tables, blobs): (Vec<_>, Vec<_>) = all.into_iter().partition(|path| is_table(path));
    assert!(tables.len() >= 2 && blobs.len() >= 2);
    for pair in tables.windows(2).chain(blobs.windows(2)) {
        let damaged = vfs.process_crash();
        let aside = Path::new(DB).join("aside");
        damaged.rename(&pair[0], &aside).expect("rename");
        damaged.rename(&pair[1], &pair[0]).expect("rename");
        damaged.rename(&aside, &pair[1]).expect("rename");
        assert!(judge(&damaged, &history, "swapped"), "{pair:?}");
    }
}

/// Three tables on level 0, of which `damaged` has a block that cannot be read.
fn with_damaged_table(damaged: usize) -> (SimVfs, Db, Vec<u8>) {
    let vfs = SimVfs::new();
    let db = Db::open(small(&vfs)).expect("open");
    for table in 0..3 {
        for n in 0..20 {
            let mut batch = WriteBatch::new();
            batch.put(format!("k{table}{n:02}").as_bytes(), &[table; 40]);
            batch.put(b"k999", &[table]);
            db.append(&batch).expect("append");
        }
        db.flush().expect("flush");
    }
    let tables: Vec<PathBuf> = files(&vfs).into_iter().filter(|path| is_table(path)).collect();
    assert_eq!((tables.len(), db.stats().tables[0]), (3, 3));
    vfs.flip_byte(&tables[damaged], 40).expect("flip");
    (vfs, db, format!("k{damaged}00").into_bytes())
}

#[test]
fn a_damaged_table_is_left_out_and_the_others_are_compacted() {
    for damaged in 0..3 {
        let (_vfs, db, key) = with_damaged_table(damaged);
        let context = format!("table {damaged}");
        let error = db.compact_step().expect_err("the damage is met");
        assert!(matches!(error, Error::Corruption { .. }), "{context}: {error}");
        assert_eq!(db.stats().damaged_tables, 1, "{context}");
        while db.compact_step().unwrap_or_else(|e| panic!("{context}: {e}")) {}
        // What is older than the damaged table can go down; what is newer must stay above it.
        assert_eq!(db.stats().tables[0], 3 - damaged, "{context}");
        assert!(matches!(db.get(&key), Err(Error::Corruption { .. })), "{context}");
        for table in (0..3).filter(|&table| table != damaged) {
            let value = db.get(format!("k{table}07").as_bytes()).expect("get");
            assert_eq!(value, Some(vec![table as u8; 40]), "{context}");
        }
        assert_eq!(db.get(b"k999").expect("get"), Some(vec![2]), "{context}");
        assert!(matches!(db.compact(), Err(Error::Corruption { .. })), "{context}");
        let mut batch = WriteBatch::new();
        batch.put(b"more", b"is taken");
        db.append(&batch).expect("append");
        db.flush().expect("flush");
    }
}

#[test]
fn a_table_that_the_disk_cannot_read_is_left_out_as_well() {
    let (vfs, db, _) = with_damaged_table(2);
    vfs.fail(FaultPlan::from(1, FaultKind::Io));
    let error = db.compact_step().expect_err("nothing can be read");
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(vfs.heal() > 1, "a read is tried twice");
    assert_eq!(db.stats().damaged_tables, 1);
    while db.compact_step().is_ok_and(|worked| worked) {}
    assert_eq!(db.get(b"k007").expect("get"), Some(vec![0; 40]));
}
