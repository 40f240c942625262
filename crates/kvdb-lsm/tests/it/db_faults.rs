//! Every I/O call of a small life fails, once or from then on, and every one of a recovery: the answer
//! is right, or a clear error; and what is reopened afterwards is consistent. A full disk refuses
//! writes, loses none, and is recovered from without a restart.

use crate::db_support::{History, KEYS, key, random_batch, small};
use crate::support::Rng;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::error::Error;
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs, VfsFileExt};
use kvdb_lsm::{AppendError, Db, Pressure};
use std::path::Path;
use std::time::Duration;

/// Opens, writes, flushes, compacts, reads, makes a checkpoint, closes. Every result that is not an
/// error is checked. Returns false if anything failed.
fn small_life(vfs: &SimVfs, history: &mut History, durable: &mut u64, context: &str) -> bool {
    let mut sound = true;
    let mut rng = Rng::new(5);
    let mut note = |result: Result<(), Error>| {
        if let Err(error) = &result {
            assert!(
                !matches!(error, Error::Corruption { .. }),
                "{context}: a fault was taken for damage: {error}"
            );
            sound = false;
        }
    };
    for life in 0..2 {
        let db = match Db::open(small(vfs)) {
            Ok(db) => db,
            Err(error) => {
                note(Err(error));
                return false;
            }
        };
        if db.log().appended() < history.last_seq() {
            // A failed close lost what was not durable; the oracle has checked that elsewhere.
            history.cut(db.log().appended(), context);
        }
        for n in 0..48 {
            let batch = random_batch(&mut rng);
            match db.append(&batch) {
                Ok(seq) => history.push(batch, seq),
                Err(AppendError::Stopped(_) | AppendError::Full(_)) => {
                    note(Err(Error::Invalid(String::new())))
                }
                Err(other) => panic!("{context}: {other}"),
            }
            match n % 12 {
                3 if n > 20 => note(db.compact_range(..)),
                5 => note(db.flush()),
                7 => note(db.compact_step().map(drop)),
                9 => note(db.log().sync().map(drop).map_err(Error::from)),
                11 if n > 20 => note(db.compact()),
                _ => {}
            }
            let key = key(rng.below(20));
            match db.get(&key) {
                Ok(found) => assert_eq!(found.as_ref(), history.model.rows.get(&key), "{context}"),
                Err(error) => note(Err(error)),
            }
            *durable = db.log().durable().max(*durable);
        }
        let view = db.view();
        match db.iter_all(&view).collect::<Result<Vec<_>, _>>() {
            Ok(rows) => assert!(rows.into_iter().eq(history.model.rows.clone()), "{context}: iterating"),
            Err(error) => note(Err(error)),
        }
        drop(view);
        note(db.checkpoint(Path::new(&format!("/copy{life}"))).map(drop));
        note(db.verify().map(|report| {
            for problem in report.problems {
                assert!(!matches!(problem, Error::Corruption { .. }), "{context}: {problem}");
            }
        }));
        let appended = db.log().appended();
        match db.close() {
            Ok(()) => *durable = appended,
            Err(error) => note(Err(error)),
        }
    }
    sound
}

/// What a disk does from some call on: it fails that one alone, or all that follow as well.
type Plan = fn(u64, FaultKind) -> FaultPlan;

/// Every kind of fault, alone and for good.
fn plans() -> impl Iterator<Item = (FaultKind, Plan, &'static str)> {
    let kinds = [FaultKind::Io, FaultKind::NoSpace, FaultKind::Short];
    let plans: [(Plan, &str); 2] = [(FaultPlan::once, "at"), (FaultPlan::from, "from")];
    kinds.into_iter().flat_map(move |kind| plans.map(|(plan, when)| (kind, plan, when)))
}

/// Opens what the death of the process and a power cut leave, and what a power cut after that leaves:
/// a prefix of what was appended that has everything durable, and the same one from then on.
fn judge_what_is_left(vfs: &SimVfs, history: &History, durable: u64, seed: u64, context: &str) {
    for (future, cut) in [vfs.process_crash(), vfs.crash(seed)].into_iter().enumerate() {
        let context = format!("{context}, future {future}");
        let db = Db::open(small(&cut)).unwrap_or_else(|e| panic!("{context}: {e}"));
        let seq = db.log().appended();
        assert!(seq >= durable && seq <= history.last_seq(), "{context}: {seq} {durable}");
        let mut kept = history.clone();
        kept.cut(seq, &context);
        kept.model.assert_equals(&db, &context);
        drop(db);
        let later = Db::open(small(&cut.crash(seed))).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert_eq!(later.log().appended(), seq, "{context}: lost by a power cut after the opening");
        kept.model.assert_equals(&later, &context);
    }
}

#[test]
fn every_fault_leaves_a_right_answer_or_a_clear_error() {
    for (kind, plan, when) in plans() {
        let mut nth = 0;
        loop {
            nth += 1;
            let context = format!("{kind:?} {when} call {nth}");
            let vfs = SimVfs::new();
            vfs.fail(plan(nth, kind));
            let (mut history, mut durable) = (History::default(), 0);
            let sound = small_life(&vfs, &mut history, &mut durable, &context);
            let hit = vfs.heal();
            if hit == 0 {
                assert!(sound, "{context}: an error without a fault");
                assert!(nth > 300, "{context}: the life is shorter than it should be");
                break;
            }
            judge_what_is_left(&vfs, &history, durable, nth, &context);
        }
    }
}

/// Asks for every key, and for all of them: each answer is right or a clear error. Then tries a write.
fn judge_answers(db: &Db, history: &mut History, context: &str) {
    let clear = |error: &Error| {
        assert!(!matches!(error, Error::Corruption { .. }), "{context}: taken for damage: {error}");
    };
    let check = |history: &History| {
        let keys: Vec<_> = (0..KEYS).map(key).collect();
        for key in &keys {
            match db.get(key) {
                Ok(found) => assert_eq!(found.as_ref(), history.model.rows.get(key), "{context}: {key:?}"),
                Err(error) => clear(&error),
            }
        }
        match db.multi_get(&keys) {
            Ok(found) => {
                let expected = keys.iter().map(|key| history.model.rows.get(key).cloned());
                assert!(found.into_iter().eq(expected), "{context}: many keys at once");
            }
            Err(error) => clear(&error),
        }
        let (view, mut expected) = (db.view(), history.model.rows.iter());
        for row in db.iter_all(&view) {
            match row {
                Ok((key, value)) => assert_eq!(expected.next(), Some((&key, &value)), "{context}"),
                Err(error) => return clear(&error),
            }
        }
        assert_eq!(expected.next(), None, "{context}: an iterator ends early");
    };
    check(history);
    let batch = random_batch(&mut Rng::new(77));
    match db.append(&batch) {
        Ok(seq) => history.push(batch, seq),
        Err(AppendError::Stopped(_) | AppendError::Full(_) | AppendError::Backlog) => {}
        Err(other) => panic!("{context}: {other}"),
    }
    match db.log().sync() {
        Ok(seq) => assert_eq!(seq, history.last_seq(), "{context}"),
        Err(error) => clear(&error.into()),
    }
    check(history);
}

/// A database that was not closed: with blob files, tables on two levels and a log behind them, in the
/// middle of what a crash interrupts.
fn unclosed(seed: u64) -> (SimVfs, History, u64) {
    let vfs = SimVfs::new();
    let db = Db::open(small(&vfs)).expect("open");
    let (mut history, mut rng) = (History::default(), Rng::new(seed));
    for n in 0..40 {
        let batch = random_batch(&mut rng);
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
        match n {
            10 | 25 => db.flush().expect("flush"),
            18 => db.compact().expect("compact"),
            30 => drop(db.log().sync().expect("sync")),
            _ => {}
        }
    }
    db.log().write_out(history.last_seq()).expect("write");
    // A flush that does not come to its end leaves files that nobody knows.
    vfs.fail(FaultPlan::from(6 + seed, FaultKind::Io));
    assert!(db.flush().is_err());
    vfs.heal();
    let durable = db.log().durable();
    drop(db);
    (vfs, history, durable)
}

#[test]
fn every_fault_of_a_recovery_leaves_a_right_answer_or_a_clear_error() {
    let mut faults = 0;
    for seed in 0..3 {
        let (left, history, durable) = unclosed(seed);
        for (future, left) in [left.process_crash(), left.crash(seed)].into_iter().enumerate() {
            for (kind, plan, when) in plans() {
                for nth in 1.. {
                    let context = format!("seed {seed}, future {future}, {kind:?} {when} call {nth}");
                    let vfs = left.process_crash();
                    vfs.fail(plan(nth, kind));
                    let (mut history, mut promised) = (history.clone(), durable);
                    match Db::open(small(&vfs)) {
                        Ok(db) => {
                            history.cut(db.log().appended(), &context);
                            // What an opening has found is durable.
                            promised = history.last_seq();
                            judge_answers(&db, &mut history, &context);
                            promised = promised.max(db.log().durable());
                        }
                        Err(error @ Error::Corruption { .. }) => {
                            panic!("{context}: a fault was taken for damage: {error}")
                        }
                        Err(_) => {}
                    }
                    let hit = vfs.heal();
                    judge_what_is_left(&vfs, &history, promised, nth, &context);
                    faults += hit;
                    if hit == 0 {
                        break;
                    }
                }
            }
        }
    }
    assert!(faults > 3000, "{faults}");
}

#[test]
fn a_full_disk_refuses_and_recovers_without_loss() {
    let mut full = 0;
    for seed in 0..20 {
        let context = format!("seed {seed}");
        let mut rng = Rng::new(seed);
        let vfs = SimVfs::new();
        let db = Db::open(small(&vfs)).expect("open");
        let mut history = History::default();
        let mut now = Duration::ZERO;
        let mut turn = |history: &mut History, rng: &mut Rng| {
            let batch = random_batch(rng);
            let appended = db.append(&batch);
            if let Ok(seq) = &appended {
                history.push(batch, *seq);
            }
            let _ = db.log().sync();
            let flushed = db.flush_if_due();
            let compacted = db.compact_step();
            now += Duration::from_millis(200);
            db.log().tick(now);
            for result in [flushed, compacted] {
                let stopped = matches!(result, Err(Error::Corruption { .. } | Error::Poisoned(_)));
                assert!(!stopped, "{context}: {result:?}");
            }
            appended.is_ok()
        };
        for _ in 0..200 {
            assert!(turn(&mut history, &mut rng), "{context}: refused with space left");
        }
        vfs.set_capacity(Some(vfs.used_bytes() + rng.below(25_000)));
        // A flush may make room again; what the keys need by themselves it cannot.
        for _ in 0..300 {
            turn(&mut history, &mut rng);
        }
        full += u64::from(matches!(db.pressure(), Pressure::Hard(_)));
        history.model.assert_equals(&db, &context);
        for _ in 0..20 {
            turn(&mut history, &mut rng);
        }
        history.model.assert_equals(&db, &context);
        // What a power cut would leave now is sound as well.
        let cut = vfs.crash(seed);
        let after = Db::open(small(&cut)).unwrap_or_else(|e| panic!("{context}: {e}"));
        let mut kept = history.clone();
        kept.cut(after.log().appended(), &context);
        kept.model.assert_equals(&after, &context);
        drop(after);

        vfs.set_capacity(None);
        let recovered = (0..20).any(|_| turn(&mut history, &mut rng));
        assert!(recovered, "{context}: still refused after space returned");
        for _ in 0..50 {
            assert!(turn(&mut history, &mut rng), "{context}: refused with space left");
        }
        db.compact().expect("compact");
        history.model.assert_equals(&db, &context);
        db.close().expect("close");
        let db = Db::open(small(&vfs)).expect("open");
        history.model.assert_equals(&db, &context);
    }
    assert!(full > 2, "only {full} disks were full");
}

#[test]
fn a_disk_that_the_log_filled_is_freed_by_a_flush() {
    let vfs = SimVfs::new();
    let mut options = small(&vfs);
    // Nothing else makes a flush due: one key is overwritten again and again.
    options.wal_limit_bytes = 1 << 40;
    let db = Db::open(options).expect("open");
    vfs.set_capacity(Some(vfs.used_bytes() + 100_000));
    let mut now = Duration::ZERO;
    let (mut taken, mut refused) = (0, 0);
    while taken < 5000 {
        let mut batch = WriteBatch::new();
        batch.put(b"k001", format!("{taken:0100}").as_bytes());
        match db.append(&batch) {
            Ok(_) => (taken, refused) = (taken + 1, 0),
            Err(AppendError::Full(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        assert!(refused < 10, "refused for ever after {taken} batches");
        let _ = db.log().sync();
        let _ = db.flush_if_due();
        let _ = db.compact_step();
        now += Duration::from_millis(200);
        db.log().tick(now);
    }
    assert_eq!(db.get(b"k001").expect("get"), Some(format!("{:0100}", taken - 1).into_bytes()));
    db.log().sync().expect("sync");
    drop(db);
    let db = Db::open(small(&vfs.crash(3))).expect("open");
    assert_eq!(db.get(b"k001").expect("get"), Some(format!("{:0100}", taken - 1).into_bytes()));
}

/// Flushes a key so long that the second edit makes the manifest due to be replaced.
fn flush_a_long_key(db: &Db) -> Result<(), Error> {
    let mut batch = WriteBatch::new();
    batch.put(&vec![b'k'; 1100 << 10], b"v");
    db.append(&batch).map_err(|e| Error::Invalid(e.to_string()))?;
    db.flush()
}

#[test]
fn a_manifest_that_cannot_be_replaced_for_want_of_space_is_kept() {
    let mut spared = 0;
    for nth in 1.. {
        let vfs = SimVfs::new();
        let db = Db::open(small(&vfs)).expect("open");
        flush_a_long_key(&db).expect("flush");
        vfs.fail(FaultPlan::once(nth, FaultKind::NoSpace));
        let flushed = flush_a_long_key(&db).is_ok();
        if vfs.heal() == 0 {
            break;
        }
        let stopped = match db.pressure() {
            Pressure::Hard(reason) => reason,
            _ => String::new(),
        };
        let early =
            ["look for", "create", "write", "sync"].map(|verb| format!("cannot {verb} /db/CURRENT.new"));
        assert!(!early.iter().any(|cause| stopped.contains(cause)), "call {nth}: {stopped}");
        let names = vfs.list(Path::new(crate::db_support::DB)).expect("listed");
        if flushed && stopped.is_empty() {
            let mut current = [0; 15];
            let file = vfs.open_read(Path::new("/db/CURRENT")).expect("opened");
            file.read_exact_at(&mut current, 0).expect("read");
            let newest = names.iter().rfind(|name| name.starts_with("MANIFEST")).expect("there is one");
            assert_eq!(newest.as_bytes(), current, "call {nth}: an attempt left its manifest");
            spared += 1;
            db.log().tick(Duration::from_secs(nth));
            flush_a_long_key(&db).unwrap_or_else(|e| panic!("call {nth}: {e}"));
        }
        let db = Db::open(small(&vfs.crash(nth))).unwrap_or_else(|e| panic!("call {nth}: {e}"));
        assert_eq!(db.get(&vec![b'k'; 1100 << 10]).expect("get").as_deref(), Some(&b"v"[..]));
    }
    assert!(spared >= 7, "{spared}");
}

#[test]
fn after_a_failed_sync_of_the_log_nothing_is_compacted_and_no_file_goes() {
    let vfs = SimVfs::new();
    let db = Db::open(small(&vfs)).expect("open");
    let mut history = History::default();
    let mut rng = Rng::new(21);
    let mut write = |count: u32| {
        for _ in 0..count {
            let batch = random_batch(&mut rng);
            let seq = db.append(&batch).expect("append");
            history.push(batch, seq);
        }
    };
    for _ in 0..3 {
        write(12);
        db.flush().expect("flush");
    }
    // Tables that a view still reads when they are replaced.
    let view = db.view();
    db.compact().expect("compact");
    for _ in 0..4 {
        write(12);
        db.flush().expect("flush");
    }
    write(3);
    let (segment, _) = db.log().rotate(|_| ()).expect("rotate");
    write(1);
    db.log().sync().expect("sync");
    write(1);
    db.log().write_out(db.log().appended()).expect("written");
    vfs.fail(FaultPlan::once(1, FaultKind::Io));
    db.log().sync().expect_err("the sync fails");
    assert_eq!(vfs.heal(), 1);
    let before = crate::db_support::files(&vfs);
    let stats = db.stats();
    assert!(stats.tables[0] >= 4, "a compaction is due: {:?}", stats.tables);
    drop(view);
    assert!(matches!(db.compact_step(), Err(Error::Poisoned(_))));
    assert!(matches!(db.compact(), Err(Error::Poisoned(_))));
    assert!(matches!(db.drop_range_files(..), Err(Error::Poisoned(_))));
    assert!(matches!(db.flush_if_due(), Ok(false) | Err(Error::Poisoned(_))));
    db.log().remove_before(segment);
    db.log().tick(Duration::from_secs(9));
    assert_eq!(crate::db_support::files(&vfs), before);
    assert_eq!(db.stats().compactions, stats.compactions);
    assert!(matches!(db.pressure(), Pressure::Hard(_)));
    assert!(matches!(db.append(&random_batch(&mut Rng::new(1))), Err(AppendError::Stopped(_))));
    // What was written can be read, and is there after a restart without a power cut.
    history.model.assert_equals(&db, "read-only");
    drop(db);
    let left = vfs.process_crash();
    history.model.assert_equals(&Db::open(small(&left)).expect("open"), "restarted");
}
