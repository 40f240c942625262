//! Scrubbing and quarantine: damage is found within a budget, and what is damaged stays in its
//! place.

use crate::db_support::{DB, History, key, random_batch, small};
use crate::support::Rng;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::error::Error;
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs};
use kvdb_lsm::{Db, Options, Scrub, ScrubStep};
use std::path::{Path, PathBuf};

fn filled() -> (SimVfs, Db, History) {
    let vfs = SimVfs::new();
    let db = Db::open(small(&vfs)).expect("open");
    let (mut history, mut rng) = (History::default(), Rng::new(12));
    for n in 0..200 {
        let batch = random_batch(&mut rng);
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
        if n % 40 == 39 {
            db.flush().expect("flush");
            while db.compact_step().expect("compact") {}
        }
    }
    (vfs, db, history)
}

fn tables(vfs: &SimVfs) -> Vec<PathBuf> {
    let dir = Path::new(DB).join("sst");
    vfs.list(&dir).expect("list").into_iter().map(|name| dir.join(name)).collect()
}

/// Scrubs one whole pass in steps of `budget` bytes.
fn pass(db: &Db, scrub: &mut Scrub, budget: u64) -> (ScrubStep, u64) {
    let (mut sum, mut steps) = (ScrubStep::default(), 0);
    while !sum.pass_complete {
        let step = db.scrub_step(scrub, budget);
        assert!(step.bytes <= budget, "a step of {budget} read {}", step.bytes);
        steps += 1;
        sum.bytes += step.bytes;
        sum.tables += step.tables;
        sum.blobs += step.blobs;
        sum.problems.extend(step.problems);
        sum.pass_complete = step.pass_complete;
    }
    (sum, steps)
}

#[test]
fn a_pass_reads_everything_once_whatever_the_budget() {
    let (vfs, db, history) = filled();
    let sizes = |sub: &str| -> Vec<u64> {
        let dir = Path::new(DB).join(sub);
        let len = |name| vfs.open_read(&dir.join(name)).expect("open").len().expect("length");
        vfs.list(&dir).expect("list").iter().map(len).collect()
    };
    let (tables, blobs) = (sizes("sst"), sizes("blob"));
    let bytes: u64 = tables.iter().chain(&blobs).sum();
    for budget in [100, 1000, 1 << 20] {
        let mut scrub = Scrub::default();
        for _ in 0..2 {
            let (sum, steps) = pass(&db, &mut scrub, budget);
            assert_eq!(sum.bytes, bytes);
            assert_eq!((sum.tables, sum.blobs), (tables.len() as u64, blobs.len() as u64));
            assert!(sum.problems.is_empty(), "{:?}", sum.problems);
            assert!(steps >= bytes / budget);
        }
    }
    // Between two steps, tables may go.
    let mut scrub = Scrub::default();
    db.scrub_step(&mut scrub, 500);
    db.compact().expect("compact");
    let (sum, _) = pass(&db, &mut scrub, 500);
    assert!(sum.problems.is_empty(), "{:?}", sum.problems);
    history.model.assert_equals(&db, "scrubbed");
}

#[test]
fn damage_is_found_and_located_and_the_table_is_left_where_it_is() {
    let (vfs, db, history) = filled();
    let victim = tables(&vfs)[1].clone();
    // In the block cache the block stays good: a scrub must look at the disk.
    for n in 0..120 {
        history.model.assert_key(&db, &key(n), "before");
    }
    vfs.flip_byte(&victim, 40).expect("flip");
    let (sum, _) = pass(&db, &mut Scrub::default(), 300);
    let [Error::Corruption { file, offset, .. }] = &sum.problems[..] else {
        panic!("{:?}", sum.problems);
    };
    assert_eq!((file, *offset), (&victim, 16), "the first block begins at 16");
    assert_eq!(db.quarantined().len(), 1);
    assert_eq!(db.stats().damaged_tables, 1);
    for _ in 0..20 {
        if !db.compact_step().expect("compact around it") {
            break;
        }
    }
    assert!(vfs.exists(&victim).expect("look"), "a damaged table is not taken away");
    let error = db.checkpoint(Path::new("/copy")).err();
    assert!(error.is_none_or(|e| matches!(e, Error::Corruption { .. })));
    // A read error that does not repeat is none.
    let mut scrub = Scrub::default();
    vfs.fail(FaultPlan::once(3, FaultKind::Io));
    let (sum, _) = pass(&db, &mut scrub, 1 << 20);
    assert_eq!(vfs.heal(), 1);
    assert_eq!(sum.problems.len(), 1, "{:?}", sum.problems);
}

/// A database with a damaged block that readers of some keys need: its table, and how many these are.
fn broken() -> (SimVfs, Db, History, PathBuf, u64) {
    let (vfs, db, history) = filled();
    db.close().expect("close");
    for path in tables(&vfs) {
        // Opened anew, so that no block is in memory.
        let copy = vfs.process_crash();
        let db = Db::open(small(&copy)).expect("open");
        copy.flip_byte(&path, 40).expect("flip");
        let refused = (0..120).filter(|n| db.get(&key(*n)).is_err()).count();
        if refused > 0 {
            return (copy, db, history, path, refused as u64);
        }
    }
    panic!("no table has a block that somebody reads");
}

#[test]
fn what_a_reader_finds_damaged_is_marked_until_a_scrub_finds_it_whole() {
    let (vfs, db, history, path, refused) = broken();
    assert_eq!((db.stats().damaged_tables, db.stats().damaged_reads), (1, refused));
    let marked = db.quarantined();
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(name.starts_with(&format!("{:06}", marked[0])), "{name}, {marked:?}");
    // Every way of reading tells, and one mark is enough.
    let view = db.view();
    assert!(db.iter_all(&view).any(|row| row.is_err()));
    assert!(db.iter_all(&view).descending().any(|row| row.is_err()));
    let keys: Vec<_> = (0..120).map(key).collect();
    assert!(db.multi_get(&keys).is_err());
    let mut walk = db.iter_all(&view).keys();
    while walk.next_key().is_ok_and(|key| key.is_some()) {}
    assert_eq!((db.stats().damaged_tables, db.stats().damaged_reads), (1, refused + 4));
    drop((walk, view));
    // No compaction has to fail for it.
    while db.compact_step().expect("around it") {}
    assert!(vfs.exists(&path).expect("look"));
    // A scrub that meets it too leaves the mark, one that does not takes it.
    let (sum, _) = pass(&db, &mut Scrub::default(), 1000);
    assert_eq!((sum.problems.len(), db.quarantined()), (1, marked));
    vfs.flip_byte(&path, 40).expect("flip back");
    let (sum, _) = pass(&db, &mut Scrub::default(), 1000);
    assert_eq!((sum.problems.len(), db.stats().damaged_tables), (0, 0));
    db.compact().expect("all of it");
    history.model.assert_equals(&db, "whole again");
}

#[test]
fn quarantine_answers_what_it_can_and_revives_nothing() {
    let vfs = SimVfs::new();
    let db = Db::open(small(&vfs)).expect("open");
    let put = |keys: std::ops::Range<u64>, value: Option<u8>| {
        let mut batch = WriteBatch::new();
        for n in keys {
            match value {
                Some(value) => batch.put(&key(n), &[value; 20]),
                None => batch.delete(&key(n)),
            }
        }
        db.append(&batch).expect("append");
        db.flush().expect("flush");
    };
    // An old version below, a deletion in the table that breaks, and newer versions above.
    put(0..60, Some(1));
    db.compact().expect("compact");
    put(0..30, None);
    let broken = tables(&vfs).last().expect("a table").clone();
    put(0..10, Some(3));
    drop(db);
    let len = vfs.open_read(&broken).expect("open").len().expect("length");
    // The footer: without it nothing of the table can be read.
    vfs.flip_byte(&broken, len - 30).expect("flip");
    assert!(matches!(Db::open(small(&vfs)), Err(Error::Corruption { .. })), "by default it is refused");
    let options = Options { quarantine: true, ..small(&vfs) };
    let judge = |db: &Db, context: &str| {
        assert_eq!(db.quarantined().len(), 1, "{context}");
        for n in 0..60 {
            let found = db.get(&key(n));
            match n {
                0..10 => assert_eq!(found.expect("newer"), Some(vec![3; 20]), "{context}"),
                10..30 => assert!(matches!(found, Err(Error::Corruption { .. })), "{context}: {found:?}"),
                _ => assert_eq!(found.expect("beside"), Some(vec![1; 20]), "{context}"),
            }
        }
    };
    let db = Db::open(options.clone()).expect("open");
    judge(&db, "opened");
    for round in 0..6 {
        let mut batch = WriteBatch::new();
        batch.put(format!("x{round}").as_bytes(), &[round; 30]);
        db.append(&batch).expect("writes go on");
        db.flush().expect("flushes go on");
        while db.compact_step().expect("compactions go on") {}
        judge(&db, "later");
    }
    assert!(matches!(db.checkpoint(Path::new("/copy")), Err(Error::Corruption { .. })));
    assert_eq!(db.verify().expect("verify").problems.len(), 1);
    db.close().expect("close");
    assert!(vfs.exists(&broken).expect("look"));
    judge(&Db::open(options).expect("open"), "reopened");
}

#[test]
fn a_scrub_can_begin_anywhere() {
    let (_vfs, db, _) = filled();
    let (whole, _) = pass(&db, &mut Scrub::default(), 1 << 20);
    let rest = |share| pass(&db, &mut db.scrub_from(share), 1 << 20).0.bytes;
    assert_eq!(rest(0.0), whole.bytes);
    assert_eq!(rest(1.0), whole.bytes, "at the end it begins anew");
    let (half, late) = (rest(0.5), rest(0.9));
    assert!(late < half && half < whole.bytes, "{late} and {half} of {}", whole.bytes);
    assert!(half >= whole.bytes / 2, "the file that lies across the middle is read");
}
