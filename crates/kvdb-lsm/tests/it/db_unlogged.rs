//! A database without a log, fed from its owner's: after any crash it has a prefix of what was
//! applied, says exactly which, and goes on from there.

use crate::db_support::{DB, Model, random_batch, small};
use crate::support::{Rng, cases};
use kvdb_lsm::backup::Backups;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::error::Error;
use kvdb_lsm::repair::repair;
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs};
use kvdb_lsm::{AppendError, Db, Options, ReadOnlyDb, unwatched};
use std::path::Path;
use std::sync::Arc;

fn options(vfs: &SimVfs) -> Options {
    Options { log: false, ..small(vfs) }
}

/// The state after the first `count` entries of the owner's log; entry `n` has the index `3 n + 3`.
fn state(entries: &[WriteBatch], count: usize) -> Model {
    let mut model = Model::default();
    entries[..count].iter().for_each(|entry| model.apply(entry));
    model
}

const fn index(entry: usize) -> u64 {
    3 * entry as u64 + 3
}

#[test]
fn a_crash_goes_back_to_the_index_that_was_flushed_and_applying_again_completes_it() {
    for seed in 0..cases(120) {
        let mut rng = Rng::new(seed);
        let mut vfs = SimVfs::new();
        // The owner's log: it survives everything.
        let mut entries: Vec<WriteBatch> = Vec::new();
        let mut flushed = 0;
        for life in 0..4 {
            let context = format!("seed {seed}, life {life}");
            let db = Db::open(options(&vfs)).unwrap_or_else(|e| panic!("{context}: {e}"));
            let applied = db.applied_index();
            assert_eq!(applied, db.flushed_index(), "{context}");
            assert!(applied >= flushed, "{context}: {applied} came back, {flushed} was flushed");
            let mut count = (applied / 3) as usize;
            state(&entries, count).assert_equals(&db, &context);
            for _ in 0..rng.below(250) {
                match rng.below(20) {
                    0..=14 => {
                        if count == entries.len() {
                            let is_empty = rng.one_in(10);
                            entries.push(if is_empty { WriteBatch::new() } else { random_batch(&mut rng) });
                        }
                        db.apply(&entries[count], index(count)).expect("nothing fails here");
                        count += 1;
                    }
                    15 => db.flush().expect("flush"),
                    16 => drop(db.flush_if_due().expect("flush")),
                    17 => drop(db.compact_step().expect("compact")),
                    18 if rng.one_in(5) => db.compact().expect("compact"),
                    _ => {
                        assert_eq!(db.applied_index(), count.checked_sub(1).map_or(0, index), "{context}");
                        let view = db.view();
                        assert_eq!(view.seq(), db.appended(), "{context}");
                    }
                }
                flushed = flushed.max(db.flushed_index());
            }
            state(&entries, count).assert_equals(&db, &context);
            drop(db);
            vfs = if rng.one_in(3) { vfs.process_crash() } else { vfs.crash(rng.next()) };
        }
    }
}

#[test]
fn a_fault_at_any_call_keeps_a_prefix_and_its_index() {
    let mut nth = 0;
    loop {
        nth += 1;
        let context = format!("fault at call {nth}");
        let vfs = SimVfs::new();
        vfs.fail(FaultPlan::once(nth, FaultKind::Io));
        let mut rng = Rng::new(3);
        let entries: Vec<_> = (0..60).map(|_| random_batch(&mut rng)).collect();
        let mut flushed = 0;
        if let Ok(db) = Db::open(options(&vfs)) {
            for (n, entry) in entries.iter().enumerate() {
                if db.apply(entry, index(n)).is_err() {
                    break;
                }
                if n % 12 == 11 {
                    let _ = db.flush();
                    let _ = db.compact_step();
                }
                flushed = db.flushed_index();
            }
        }
        if vfs.heal() == 0 {
            assert!(nth > 60, "the life is shorter than it should be");
            return;
        }
        let db = Db::open(options(&vfs.crash(nth))).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert!(db.applied_index() >= flushed, "{context}");
        state(&entries, (db.applied_index() / 3) as usize).assert_equals(&db, &context);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    let mut batch = WriteBatch::new();
    batch.put(b"key", b"value");
    assert!(matches!(db.append(&batch), Err(AppendError::Invalid(_))));
    assert!(matches!(db.apply(&batch, 0), Err(AppendError::Invalid(_))));
    db.apply(&batch, 7).expect("apply");
    assert!(matches!(db.apply(&batch, 7), Err(AppendError::Invalid(_))));
    assert_eq!((db.applied_index(), db.flushed_index(), db.appended()), (7, 0, 1));
    db.close().expect("close");
    let db = Db::open(options(&vfs)).expect("open");
    assert_eq!((db.get(b"key").expect("get"), db.applied_index()), (None, 0));

    let logged = SimVfs::new();
    let db = Db::open(small(&logged)).expect("open");
    assert!(matches!(db.apply(&batch, 1), Err(AppendError::Invalid(_))));
    db.append(&batch).expect("append");
    db.close().expect("close");
    let refused = Db::open(options(&logged)).expect_err("its log has what is nowhere else");
    assert!(matches!(refused, Error::Invalid(_)), "{refused}");
}

#[test]
fn backups_readers_and_repairs_keep_the_index() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    let mut rng = Rng::new(10);
    let entries: Vec<_> = (0..90).map(|_| random_batch(&mut rng)).collect();
    for (n, entry) in entries[..60].iter().enumerate() {
        db.apply(entry, index(n)).expect("apply");
        if n % 20 == 19 {
            db.flush().expect("flush");
            db.compact_step().expect("compact");
        }
    }
    let backups = Backups::open(Arc::new(vfs.clone()), "/backups").expect("open the backups");
    let backup = backups.create(&db, 1, &mut unwatched).expect("back up").backup;
    for (n, entry) in entries.iter().enumerate().skip(60) {
        db.apply(entry, index(n)).expect("apply");
    }
    let flushed = db.stats().flushed_seq;
    db.close().expect("close");

    let read = ReadOnlyDb::open(&options(&vfs)).expect("open for reading");
    let rows: Result<Vec<_>, _> = read.iter_all().collect();
    assert_eq!((read.seq(), read.recovered().last_seq), (flushed, flushed));
    assert!(rows.expect("iterate").into_iter().eq(state(&entries, 60).rows), "60 entries were flushed");
    drop(read);

    let restored = Options { dir: "/restored".into(), ..options(&vfs) };
    backups.restore(backup.id, &vfs, &restored.dir, &mut unwatched).expect("restore");
    let report = repair(&options(&vfs), &mut unwatched).expect("repair");
    assert_eq!((report.losses.len(), report.rewritten, report.log_batches), (0, 0, 0));
    for options in [restored, options(&vfs)] {
        let db = Db::open(options).expect("open");
        assert_eq!(db.applied_index(), index(59));
        for (n, entry) in entries.iter().enumerate().skip(60) {
            db.apply(entry, index(n)).expect("apply");
        }
        state(&entries, 90).assert_equals(&db, "applied again");
    }

    // Only the manifest knew the index.
    vfs.remove(&Path::new(DB).join("CURRENT")).expect("remove");
    for name in vfs.list(Path::new(DB)).expect("list").iter().filter(|name| name.starts_with("MANIFEST")) {
        vfs.remove(&Path::new(DB).join(name)).expect("remove");
    }
    let report = repair(&options(&vfs), &mut unwatched).expect("repair");
    assert!(report.losses.iter().any(|loss| loss.contains("owner's log")), "{:?}", report.losses);
    assert_eq!(Db::open(options(&vfs)).expect("open").applied_index(), 0);
}

#[test]
fn a_checkpoint_knows_its_index_and_a_copy_of_a_logged_database_can_go_on_without() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    let mut rng = Rng::new(9);
    let entries: Vec<_> = (0..40).map(|_| random_batch(&mut rng)).collect();
    for (n, entry) in entries.iter().enumerate() {
        db.apply(entry, index(n)).expect("apply");
    }
    db.checkpoint(Path::new("/copy")).expect("checkpoint");
    let at = |dir: &str| Options { dir: dir.into(), ..options(&vfs) };
    let copy = Db::open(at("/copy")).expect("open the copy");
    assert_eq!(copy.applied_index(), index(39));
    state(&entries, 40).assert_equals(&copy, "copy");

    let logged = Db::open(Options { dir: "/logged".into(), ..small(&vfs) }).expect("open");
    for entry in &entries {
        logged.append(entry).expect("append");
    }
    logged.checkpoint(Path::new("/seed")).expect("checkpoint");
    let seeded = Db::open(at("/seed")).expect("open the copy without a log");
    state(&entries, 40).assert_equals(&seeded, "seeded");
    seeded.apply(&entries[0], 1).expect("apply");
}
