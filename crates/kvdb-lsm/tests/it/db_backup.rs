//! Incremental backups: what is copied, what comes back, and what crashes and faults leave.

use crate::db_support::{History, Model, random_batch, small};
use crate::support::{Rng, cases};
use kvdb_lsm::backup::{BackupList, Backups, NewBackup};
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::error::Error;
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs};
use kvdb_lsm::{Db, Options, Progress, unwatched};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

const BACKUPS: &str = "/backups";

fn open_backups(vfs: &SimVfs) -> Backups {
    Backups::open(Arc::new(vfs.clone()), BACKUPS).expect("open the backups")
}

fn write(db: &Db, history: &mut History, rng: &mut Rng, batches: u32) {
    for _ in 0..batches {
        let batch = random_batch(rng);
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
    }
}

/// Restores a backup beside the database and compares it.
fn assert_restores(backups: &Backups, id: u64, model: &Model, context: &str) {
    let target = SimVfs::new();
    let dir = Path::new("/restored");
    backups.restore(id, &target, dir, &mut unwatched).unwrap_or_else(|e| panic!("{context}: {e}"));
    // What was restored is durable.
    let options = Options { dir: dir.into(), ..small(&target.crash(id)) };
    let db = Db::open(options).unwrap_or_else(|e| panic!("{context}: {e}"));
    model.assert_equals(&db, context);
    let report = db.verify().expect("verify");
    assert!(report.problems.is_empty(), "{context}: {:?}", report.problems);
    let again = backups.restore(id, &target, dir, &mut unwatched);
    assert!(matches!(again, Err(Error::Invalid(_))), "{context}: restored over a database");
}

fn table_files(vfs: &SimVfs) -> Vec<String> {
    vfs.list(&Path::new(BACKUPS).join("tables")).expect("list")
}

#[test]
fn only_what_changed_is_copied_and_every_backup_restores() {
    let (vfs, store) = (SimVfs::new(), SimVfs::new());
    let db = Db::open(small(&vfs)).expect("open");
    let backups = open_backups(&store);
    let (mut history, mut rng) = (History::default(), Rng::new(5));
    let mut models = Vec::new();
    let mut all: Vec<NewBackup> = Vec::new();
    for round in 0..5 {
        write(&db, &mut history, &mut rng, 40);
        if round == 2 {
            db.compact().expect("compact");
        }
        let made = backups.create(&db, 1000 + round, &mut unwatched).expect("backup");
        assert_eq!(made.backup.seq, history.last_seq());
        assert_eq!((made.backup.id, made.backup.time), (round + 1, 1000 + round));
        models.push(history.model.clone());
        all.push(made);
    }
    assert!(all[0].copied_tables == all[0].backup.tables && all[0].copied_tables > 0);
    assert!(all[4].copied_tables < all[4].backup.tables, "{:?}", all[4]);
    let unchanged = backups.create(&db, 9, &mut unwatched).expect("backup");
    assert_eq!((unchanged.copied_tables, unchanged.copied_bytes), (0, 0));
    backups.delete(6).expect("delete");

    let listed = backups.list().expect("list");
    assert!(listed.damaged.is_empty());
    assert!(listed.backups.iter().eq(all.iter().map(|made| &made.backup)));
    for (made, model) in all.iter().zip(&models) {
        let id = made.backup.id;
        let report = backups.verify(id, &mut unwatched).expect("verify");
        assert_eq!((report.tables, report.bytes), (made.backup.tables, made.backup.bytes));
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_restores(&backups, id, model, &format!("backup {id}"));
    }

    // A deletion frees what no other backup holds, and only that.
    let before = table_files(&store).len();
    backups.delete(1).expect("delete");
    backups.delete(2).expect("delete");
    assert!(table_files(&store).len() < before);
    assert!(matches!(backups.delete(1), Err(Error::Invalid(_))));
    for id in 3..=5 {
        assert_restores(&backups, id, &models[id as usize - 1], &format!("backup {id} later"));
    }
    for id in 3..=5 {
        backups.delete(id).expect("delete");
    }
    assert_eq!(table_files(&store), Vec::<String>::new());
    let second = Backups::open(Arc::new(store), BACKUPS);
    assert!(matches!(second, Err(Error::Io { .. })), "the directory is locked");
}

#[test]
fn a_restored_database_can_be_backed_up_beside_its_ancestor() {
    let (vfs, store) = (SimVfs::new(), SimVfs::new());
    let db = Db::open(small(&vfs)).expect("open");
    let backups = open_backups(&store);
    let (mut history, mut rng) = (History::default(), Rng::new(6));
    write(&db, &mut history, &mut rng, 50);
    backups.create(&db, 1, &mut unwatched).expect("backup");
    let twin_vfs = SimVfs::new();
    backups.restore(1, &twin_vfs, Path::new(crate::db_support::DB), &mut unwatched).expect("restore");
    let twin = Db::open(small(&twin_vfs)).expect("open");
    // Both go on, and give the same numbers to different tables.
    let mut twin_history = history.clone();
    for n in 0..6 {
        let put = |db: &Db, history: &mut History, value: u8| {
            let mut batch = WriteBatch::new();
            batch.put(b"k001", &[value; 50]);
            let seq = db.append(&batch).expect("append");
            history.push(batch, seq);
            db.flush().expect("flush");
        };
        put(&db, &mut history, n);
        put(&twin, &mut twin_history, 100 + n);
    }
    let ours = backups.create(&db, 2, &mut unwatched).expect("backup").backup.id;
    let theirs = backups.create(&twin, 3, &mut unwatched).expect("backup").backup.id;
    assert_restores(&backups, ours, &history.model, "ours");
    assert_restores(&backups, theirs, &twin_history.model, "theirs");
}

#[test]
fn damage_is_found_wherever_it_is() {
    let (vfs, store) = (SimVfs::new(), SimVfs::new());
    let db = Db::open(small(&vfs)).expect("open");
    let backups = open_backups(&store);
    let (mut history, mut rng) = (History::default(), Rng::new(7));
    write(&db, &mut history, &mut rng, 60);
    backups.create(&db, 1, &mut unwatched).expect("backup");
    drop(backups);
    for dir in ["tables", "backups"] {
        let dir = Path::new(BACKUPS).join(dir);
        for name in store.list(&dir).expect("list") {
            let path = dir.join(&name);
            let len = store.open_read(&path).expect("open").len().expect("length");
            for at in (0..len).step_by((len / 40 + 1) as usize).chain([len - 1]) {
                let damaged = store.process_crash();
                damaged.flip_byte(&path, at).expect("flip");
                let context = format!("{name} at {at}");
                let backups = open_backups(&damaged);
                let target = SimVfs::new();
                let restored = backups.restore(1, &target, Path::new("/r"), &mut unwatched);
                assert!(matches!(restored, Err(Error::Corruption { .. })), "{context}: {restored:?}");
                let opened = Db::open(Options { dir: "/r".into(), ..small(&target) });
                if let Ok(db) = opened {
                    assert_eq!(db.log().appended(), 0, "{context}: half a backup was opened");
                }
                match backups.verify(1, &mut unwatched) {
                    Ok(report) => assert!(!report.problems.is_empty(), "{context}"),
                    Err(error) => assert!(matches!(error, Error::Corruption { .. }), "{context}: {error}"),
                }
                let list = backups.list().expect("list");
                assert_eq!(list.backups.len() + list.damaged.len(), 1, "{context}");
                if !list.damaged.is_empty() {
                    // As long as it is not known what belongs to it, everything stays.
                    let tables = table_files(&damaged).len();
                    let made = backups.create(&db, 2, &mut unwatched).expect("backup");
                    assert_eq!(made.backup.id, 2);
                    assert!(table_files(&damaged).len() >= tables);
                    backups.delete(1).expect("a damaged backup can be deleted");
                    assert_restores(&backups, 2, &history.model, &context);
                }
            }
        }
    }
}

#[test]
fn what_is_found_to_be_damaged_is_copied_anew_by_the_next_backup() {
    let (vfs, store) = (SimVfs::new(), SimVfs::new());
    let db = Db::open(small(&vfs)).expect("open");
    let (mut history, mut rng) = (History::default(), Rng::new(9));
    write(&db, &mut history, &mut rng, 60);
    open_backups(&store).create(&db, 1, &mut unwatched).expect("backup");
    let problems = |backups: &Backups, id| backups.verify(id, &mut unwatched).expect("verify").problems.len();
    for (round, name) in (2..).zip(table_files(&store)) {
        let path = Path::new(BACKUPS).join("tables").join(&name);
        store.flip_byte(&path, 40).expect("flip");
        let backups = open_backups(&store);
        if round % 2 == 0 {
            assert_eq!(problems(&backups, 1), 1);
        } else {
            let restored = backups.restore(1, &SimVfs::new(), Path::new("/restored"), &mut unwatched);
            assert!(matches!(restored, Err(Error::Corruption { .. })));
        }
        // The mark outlives a power cut, and so does what comes of it.
        drop(backups);
        let cut = store.crash(round);
        let made = open_backups(&cut).create(&db, 2, &mut unwatched).expect("backup");
        assert_eq!(made.copied_tables + made.copied_blobs, 1, "{name}");
        let cut = cut.crash(round);
        let backups = open_backups(&cut);
        for id in 1..=2 {
            assert_eq!(problems(&backups, id), 0, "{name}");
            assert_restores(&backups, id, &history.model, &name);
        }
        let next = backups.create(&db, 3, &mut unwatched).expect("backup");
        assert_eq!(next.copied_bytes, 0, "{name}");
        assert!(!table_files(&cut).iter().any(|name| name.ends_with(".damaged")));
        // Healed, for the next one; a mark on what is sound goes with the next look at it.
        store.flip_byte(&path, 40).expect("flip back");
        assert_eq!(problems(&open_backups(&store), 1), 0);
        assert!(!table_files(&store).iter().any(|name| name.ends_with(".damaged")));
    }
}

#[test]
fn a_damaged_table_of_the_database_is_not_backed_up() {
    let (vfs, store) = (SimVfs::new(), SimVfs::new());
    let db = Db::open(small(&vfs)).expect("open");
    let backups = open_backups(&store);
    let (mut history, mut rng) = (History::default(), Rng::new(8));
    write(&db, &mut history, &mut rng, 30);
    db.flush().expect("flush");
    let dir = Path::new(crate::db_support::DB).join("sst");
    let table = dir.join(&vfs.list(&dir).expect("list")[0]);
    vfs.flip_byte(&table, 30).expect("flip");
    let error = backups.create(&db, 1, &mut unwatched).expect_err("the table is damaged");
    assert!(matches!(&error, Error::Corruption { file, .. } if *file == table), "{error}");
    assert!(backups.list().expect("list").backups.is_empty());
}

#[test]
fn a_canceled_backup_is_none() {
    let (vfs, store) = (SimVfs::new(), SimVfs::new());
    let db = Db::open(small(&vfs)).expect("open");
    let backups = open_backups(&store);
    let (mut history, mut rng) = (History::default(), Rng::new(9));
    write(&db, &mut history, &mut rng, 30);
    let mut cancel = |_: Progress| ControlFlow::Break(());
    let canceled = backups.create(&db, 1, &mut cancel);
    assert!(matches!(canceled, Err(Error::Canceled)), "{canceled:?}");
    assert!(backups.list().expect("list").backups.is_empty());
    let made = backups.create(&db, 1, &mut unwatched).expect("backup");
    let canceled = backups.restore(made.backup.id, &SimVfs::new(), Path::new("/r"), &mut cancel);
    assert!(matches!(canceled, Err(Error::Canceled)), "{canceled:?}");
    assert_restores(&backups, 1, &history.model, "after the cancellation");
}

/// What must hold of a store of backups, whatever happened to it: each of `kept` restores to its
/// model, and each other one restores to what it was meant to be or is refused.
fn judge(store: &SimVfs, models: &[Model], kept: &[u64], context: &str) {
    let backups = open_backups(store);
    let BackupList { backups: listed, damaged } = backups.list().expect("list");
    assert!(damaged.is_empty(), "{context}: {damaged:?}");
    for id in kept {
        assert!(listed.iter().any(|info| info.id == *id), "{context}: backup {id} is gone");
    }
    for info in &listed {
        let model = &models[info.time as usize];
        let target = SimVfs::new();
        match backups.restore(info.id, &target, Path::new("/r"), &mut unwatched) {
            Ok(_) => {
                let db = Db::open(Options { dir: "/r".into(), ..small(&target) }).expect("open");
                model.assert_equals(&db, context);
            }
            Err(error) => assert!(!kept.contains(&info.id), "{context}: backup {}: {error}", info.id),
        }
    }
}

/// Three backups with a deletion between them. Returns the backups that were acknowledged and not
/// touched by a deletion; `models` gets the state at each attempt, by its time.
fn life(db: &Db, store: &SimVfs, rng: &mut Rng, history: &mut History, models: &mut Vec<Model>) -> Vec<u64> {
    let mut kept = Vec::new();
    for round in 0..3 {
        write(db, history, rng, 12);
        let time = models.len() as u64;
        models.push(history.model.clone());
        let Ok(backups) = Backups::open(Arc::new(store.clone()), BACKUPS) else { continue };
        if let Ok(made) = backups.create(db, time, &mut unwatched) {
            kept.push(made.backup.id);
        }
        if round == 1 && !kept.is_empty() {
            let _ = backups.delete(kept.remove(0));
        }
    }
    kept
}

#[test]
fn a_power_cut_after_every_operation_keeps_what_was_acknowledged() {
    let mut nth = 1;
    loop {
        let (vfs, store) = (SimVfs::new(), SimVfs::new());
        let db = Db::open(small(&vfs)).expect("open");
        let (mut history, mut rng, mut models) = (History::default(), Rng::new(3), Vec::new());
        store.fail(FaultPlan::from(nth, FaultKind::Io));
        let kept = life(&db, &store, &mut rng, &mut history, &mut models);
        let hit = store.heal();
        for seed in 0..cases(2) {
            let context = format!("stopped at {nth}, seed {seed}");
            let cut = store.crash(nth * 17 + seed);
            judge(&cut, &models, &kept, &context);
            // The next backup removes what was left and is whole itself.
            let backups = open_backups(&cut);
            let made = backups.create(&db, models.len() as u64, &mut unwatched).expect("backup");
            drop(backups);
            let models: Vec<_> = models.iter().chain([&history.model]).cloned().collect();
            judge(&cut.crash(seed), &models, &[made.backup.id], &context);
            let names = table_files(&cut);
            assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{context}: {names:?}");
        }
        if hit == 0 {
            assert!(nth > 50, "the life is shorter than it should be");
            return;
        }
        nth += 1;
    }
}

#[test]
fn every_single_fault_costs_at_most_the_backup_it_hit() {
    for kind in [FaultKind::Io, FaultKind::NoSpace, FaultKind::Short] {
        let mut nth = 1;
        loop {
            let (vfs, store) = (SimVfs::new(), SimVfs::new());
            let db = Db::open(small(&vfs)).expect("open");
            let (mut history, mut rng, mut models) = (History::default(), Rng::new(4), Vec::new());
            store.fail(FaultPlan::once(nth, kind));
            let kept = life(&db, &store, &mut rng, &mut history, &mut models);
            let hit = store.heal();
            let context = format!("{kind:?} at call {nth}");
            judge(&store.process_crash(), &models, &kept, &context);
            judge(&store.crash(nth), &models, &kept, &context);
            if hit == 0 {
                assert_eq!(kept.len(), 2, "{context}");
                break;
            }
            nth += 1;
        }
    }
}
