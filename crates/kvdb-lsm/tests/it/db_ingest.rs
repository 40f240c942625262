//! Ingestion of tables that were built elsewhere: what they shadow and what shadows them, and what
//! crashes, faults and damage leave.

use crate::db_support::{DB, History, Model, key, random_batch, small};
use crate::support::Rng;
use kvdb_lsm::batch::{MAX_KEY_LEN, WriteBatch};
use kvdb_lsm::error::Error;
use kvdb_lsm::probe;
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs};
use kvdb_lsm::{Compression, Db, Progress, SstWriter, unwatched};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

pub(crate) type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Writes a table of these rows.
pub(crate) fn build(vfs: &SimVfs, name: &str, rows: &Rows) -> PathBuf {
    let dir = Path::new("/in");
    vfs.create_dir_all(dir).expect("create");
    let path = dir.join(name);
    let mut writer = SstWriter::create(vfs, &path, Compression::Lz4).expect("create");
    for (key, value) in rows {
        match value {
            Some(value) => writer.put(key, value).expect("put"),
            None => writer.delete(key).expect("delete"),
        }
    }
    let written = writer.finish().expect("finish");
    assert_eq!(written.entries, rows.len() as u64);
    path
}

/// Random rows for the keys from `from` to before `to`, some of them deletions.
pub(crate) fn random_rows(rng: &mut Rng, from: u64, to: u64) -> Rows {
    let mut rows = Rows::new();
    for n in from..to {
        if n == from || rng.one_in(2) {
            let value = vec![rng.next() as u8; 1 + rng.below(90) as usize];
            rows.insert(key(n), (!rng.one_in(4)).then_some(value));
        }
    }
    rows
}

pub(crate) fn apply(model: &mut Model, rows: &Rows) {
    for (key, value) in rows {
        match value {
            Some(value) => drop(model.rows.insert(key.clone(), value.clone())),
            None => drop(model.rows.remove(key)),
        }
    }
}

fn levels(db: &Db) -> [usize; 7] {
    db.stats().tables
}

#[test]
fn into_an_empty_range_it_goes_to_the_deepest_level() {
    let vfs = SimVfs::new();
    let db = Db::open(small(&vfs)).expect("open");
    let rows = random_rows(&mut Rng::new(1), 0, 60);
    let path = build(&vfs, "a.sst", &rows);
    assert_eq!(db.ingest(&[&path]).expect("ingest"), 0);
    assert_eq!(levels(&db), [0, 0, 0, 0, 0, 0, 1]);
    let mut model = Model::default();
    apply(&mut model, &rows);
    model.assert_equals(&db, "ingested");
    // It is the database's own now, and durable.
    vfs.remove(&path).expect("remove");
    let db = Db::open(small(&vfs.crash(1))).expect("open");
    model.assert_equals(&db, "after a power cut");
    assert!(db.verify().expect("verify").problems.is_empty());
    db.compact().expect("compact");
    model.assert_equals(&db, "compacted");
}

#[test]
fn it_shadows_what_was_before_and_not_what_comes_after() {
    for seed in 0..30 {
        let vfs = SimVfs::new();
        let db = Db::open(small(&vfs)).expect("open");
        let (mut rng, mut model) = (Rng::new(seed), Model::default());
        let context = |what: &str| format!("seed {seed}, {what}");
        for round in 0..6 {
            for _ in 0..rng.below(40) {
                let batch = random_batch(&mut rng);
                db.append(&batch).expect("append");
                model.apply(&batch);
            }
            match rng.below(4) {
                0 => db.flush().expect("flush"),
                1 => db.compact().expect("compact"),
                2 => drop(db.compact_step().expect("compact")),
                _ => {}
            }
            let from = rng.below(90);
            let middle = from + 5 + rng.below(10);
            let (low, high) =
                (random_rows(&mut rng, from, middle), random_rows(&mut rng, middle, middle + 9));
            let files =
                [build(&vfs, &format!("{round}b.sst"), &high), build(&vfs, &format!("{round}a.sst"), &low)];
            let view = db.view();
            let before = model.rows.clone();
            let seq = db.ingest(&files).expect("ingest");
            assert_eq!(seq, db.log().appended(), "{}", context("nothing was appended meanwhile"));
            apply(&mut model, &low);
            apply(&mut model, &high);
            model.assert_equals(&db, &context("ingested"));
            let seen: BTreeMap<_, _> = db.iter_all(&view).collect::<Result<_, _>>().expect("iterate");
            assert_eq!(seen, before, "{}", context("a view made before"));
        }
        while db.compact_step().expect("compact") {}
        model.assert_equals(&db, &context("compacted"));
        drop(db);
        let db = Db::open(small(&vfs)).expect("open");
        let report = db.verify().expect("verify");
        assert!(report.problems.is_empty(), "{}: {:?}", context("verify"), report.problems);
    }
}

#[test]
fn what_is_written_during_an_ingestion_is_newer() {
    let vfs = SimVfs::new();
    let db = Db::open(small(&vfs)).expect("open");
    let (mut rng, mut history) = (Rng::new(3), History::default());
    let mut append = |batch: WriteBatch| {
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
    };
    for _ in 0..40 {
        append(random_batch(&mut rng));
    }
    let rows = random_rows(&mut rng, 0, 100);
    let path = build(&vfs, "a.sst", &rows);
    let before = db.log().appended();
    let (mut newer, mut calls) = (WriteBatch::new(), 0);
    newer.put(&key(0), b"newer");
    newer.delete(&key(1));
    newer.put(&key(119), b"elsewhere");
    let mut meanwhile = |_: Progress| {
        calls += 1;
        if calls == 1 {
            append(newer.clone());
            db.flush().expect("flush: it goes on during an ingestion");
        }
        ControlFlow::Continue(())
    };
    let seq = db.ingest_with(&vfs, &[&path], &mut meanwhile).expect("ingest");
    assert_eq!(seq, before);
    let mut expected = history.model.clone();
    for (key, value) in &rows {
        if *key != crate::db_support::key(0) && *key != crate::db_support::key(1) {
            apply(&mut expected, &Rows::from([(key.clone(), value.clone())]));
        }
    }
    expected.assert_equals(&db, "ingested");
    while db.compact_step().expect("compact") {}
    db.compact().expect("compact");
    expected.assert_equals(&db, "compacted");
    let db = Db::open(small(&vfs.crash(9))).expect("open");
    expected.assert_equals(&db, "after a power cut");
}

#[test]
fn what_is_wrong_with_a_file_is_refused() {
    let vfs = SimVfs::new();
    let db = Db::open(small(&vfs)).expect("open");
    let mut rng = Rng::new(4);
    let a = build(&vfs, "a.sst", &random_rows(&mut rng, 0, 60));
    let b = build(&vfs, "b.sst", &random_rows(&mut rng, 59, 80));
    let overlapping = Rows::from([(key(58), Some(vec![1])), (key(70), None)]);
    let c = build(&vfs, "c.sst", &overlapping);
    for files in [[&b, &c], [&a, &a]] {
        let error = db.ingest(&files).expect_err("they overlap");
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }
    assert!(matches!(db.ingest(&["/in/none.sst"]), Err(Error::Io { .. })));
    let mut writer = SstWriter::create(&vfs, Path::new("/in/d.sst"), Compression::None).expect("create");
    writer.put(b"b", b"1").expect("put");
    for key in [b"b", b"a"] {
        assert!(matches!(writer.put(key, b"2"), Err(Error::Invalid(_))));
        assert!(matches!(writer.delete(key), Err(Error::Invalid(_))));
    }
    drop(writer);
    assert!(!vfs.exists(Path::new("/in/d.sst")).expect("look"));
    let empty = SstWriter::create(&vfs, Path::new("/in/d.sst"), Compression::None).expect("create");
    assert!(matches!(empty.finish(), Err(Error::Invalid(_))));
    // A table of a database is none of those that can be ingested.
    let mut batch = WriteBatch::new();
    batch.put(b"own", b"1");
    db.append(&batch).expect("append");
    db.flush().expect("flush");
    let dir = Path::new(DB).join("sst");
    let own = dir.join(&vfs.list(&dir).expect("list")[0]);
    assert!(matches!(db.ingest(&[own]), Err(Error::Corruption { .. })));
    let len = vfs.open_read(&a).expect("open").len().expect("length");
    for at in 0..len {
        let copy = vfs.process_crash();
        copy.flip_byte(&a, at).expect("flip");
        let db = Db::open(small(&copy)).expect("open");
        let error = db.ingest(&[&a]).expect_err("the file is damaged");
        assert!(matches!(&error, Error::Corruption { file, .. } if *file == a), "{at}: {error}");
        assert_eq!(db.get(&key(0)).expect("get"), None, "{at}");
        assert_eq!(copy.list(&dir).expect("list").len(), 1, "{at}: a table was left over");
    }
}

#[test]
fn crashes_and_faults_leave_all_of_it_or_nothing() {
    let mut rng = Rng::new(5);
    let (low, high) = (random_rows(&mut rng, 10, 40), random_rows(&mut rng, 40, 70));
    let mut nth = 1u64;
    loop {
        let vfs = SimVfs::new();
        let db = Db::open(small(&vfs)).expect("open");
        let mut before = Model::default();
        let mut rng = Rng::new(6);
        for _ in 0..30 {
            let batch = random_batch(&mut rng);
            db.append(&batch).expect("append");
            before.apply(&batch);
        }
        db.flush().expect("flush");
        let mut after = before.clone();
        apply(&mut after, &low);
        apply(&mut after, &high);
        let files = [build(&vfs, "a.sst", &low), build(&vfs, "b.sst", &high)];
        let call = nth.div_ceil(2);
        vfs.fail(FaultPlan { nth: call, from_then_on: nth.is_multiple_of(2), kind: FaultKind::Io });
        let ingested = db.ingest_with(&vfs, &files, &mut unwatched);
        let hit = vfs.heal();
        if let Err(error) = &ingested {
            assert!(!matches!(error, Error::Corruption { .. }), "{nth}: {error}");
            before.assert_equals(&db, &format!("refused at {nth}"));
        } else {
            after.assert_equals(&db, &format!("taken at {nth}"));
        }
        for cut in [vfs.process_crash(), vfs.crash(nth), vfs.crash(nth + 1)] {
            let db = Db::open(small(&cut)).unwrap_or_else(|e| panic!("{nth}: {e}"));
            let view = db.view();
            let rows: BTreeMap<_, _> = db.iter_all(&view).collect::<Result<_, _>>().expect("iterate");
            let is_new = rows == after.rows;
            assert!(is_new || ingested.is_err(), "{nth}: what was acknowledged is gone");
            let model = if is_new { &after } else { &before };
            model.assert_equals(&db, &format!("crash at {nth}"));
        }
        if hit == 0 && nth.is_multiple_of(2) {
            assert!(nth > 20);
            return;
        }
        nth += 1;
    }
}

#[test]
fn keys_that_are_longer_than_a_database_takes_are_refused_on_the_way_in_too() {
    let vfs = SimVfs::new();
    vfs.create_dir_all(Path::new("/in")).expect("create");
    let path = Path::new("/in/long.sst");
    let long = vec![b'k'; MAX_KEY_LEN + 1];
    let mut writer = SstWriter::create(&vfs, path, Compression::None).expect("create");
    assert!(matches!(writer.put(&long, b"value"), Err(Error::Invalid(_))));
    assert!(matches!(writer.delete(&long), Err(Error::Invalid(_))));
    writer.put(&long[1..], b"value").expect("the longest key");
    writer.finish().expect("finish");
    let db = Db::open(small(&vfs)).expect("open");
    db.ingest(&[path]).expect("ingest");
    assert_eq!(db.get(&long[1..]).expect("get").as_deref(), Some(&b"value"[..]));

    // A table that something else has written.
    let path = Path::new("/in/strange.sst");
    let file = vfs.create(path).expect("create");
    let rows = [(&b"a"[..], &b"1"[..]), (&long[..], &b"2"[..])];
    probe::build_table(file, 0, Compression::None, rows).expect("built");
    let before = db.stats().tables;
    assert!(matches!(db.ingest(&[path]), Err(Error::Invalid(why)) if why.contains("4 MiB")));
    assert_eq!((db.stats().tables, db.get(b"a").expect("get")), (before, None));
}
