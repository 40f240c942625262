//! Writers, views, flushes and compactions under shuttle, which tries one order of their steps after
//! the other: at every lock, atomic and thread that the engine takes from its `sync` module.
//!
//! Built by `cargo xtask shuttle` alone. A call of the disk counts as a single step, and memory is
//! sequentially consistent: what is looked for are wrong orders in the way of a write, from its place
//! in the log to the memtable and the views, and in the change from one state to the next. The way of
//! a write through the log has tests of its own, beside these.

use crate::db_support::small;
use crate::support::cases;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::vfs::SimVfs;
use kvdb_lsm::{Db, ReadView};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

/// Runs `body` in many orders, a third of them random, the others with one or two switches, but
/// anywhere.
/// Returns the distinct results of all runs: a measure of how much was explored.
pub(crate) fn explore<R: Ord + Send + 'static>(runs: u64, body: fn() -> R) -> BTreeSet<R> {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let runs = cases(runs) as usize;
    let schedulers: [Box<dyn Scheduler + Send>; 3] = [
        Box::new(RandomScheduler::new(runs / 3)),
        Box::new(PctScheduler::new(2, runs / 3)),
        Box::new(PctScheduler::new(3, runs / 3)),
    ];
    for scheduler in schedulers {
        let seen = Arc::clone(&seen);
        Runner::new(scheduler, Config::new()).run(move || {
            let result = body();
            seen.lock().expect("nobody panicked with it").insert(result);
        });
    }
    Arc::into_inner(seen).expect("the runs are over").into_inner().expect("nobody panicked with it")
}

fn open() -> Arc<Db> {
    Arc::new(Db::open(small(&SimVfs::new())).expect("open"))
}

/// Sets both keys of a pair to `round`, in one batch.
fn write_pair(db: &Db, round: u8) {
    let mut batch = WriteBatch::new();
    batch.put(b"k010", &[round]);
    batch.put(b"k090", &[round]);
    batch.add_counter(1, 1);
    db.append(&batch).expect("append");
}

fn round(value: Option<Vec<u8>>) -> u8 {
    value.map_or(0, |value| value[0])
}

fn pair(db: &Db, view: &ReadView) -> (u8, u8) {
    let of = |key: &[u8]| round(db.get_at(key, view).expect("get"));
    (of(b"k010"), of(b"k090"))
}

#[test]
fn a_view_has_whole_batches_and_goes_only_forward() {
    let seen = explore(10_000, || {
        let db = open();
        let writers: Vec<_> = [1, 2]
            .into_iter()
            .map(|writer| {
                let db = Arc::clone(&db);
                thread::spawn(move || {
                    write_pair(&db, writer);
                    write_pair(&db, writer + 2);
                })
            })
            .collect();
        let freezer = thread::spawn({
            let db = Arc::clone(&db);
            move || db.flush().expect("flush")
        });
        let mut last = 0;
        let mut shown = Vec::new();
        for _ in 0..3 {
            let view = db.view();
            let (first, second) = pair(&db, &view);
            assert_eq!(first, second, "half a batch at {}", view.seq());
            assert_eq!(pair(&db, &view), (first, second), "the view changed");
            assert!(view.seq() >= last, "views went back");
            assert!(view.seq().is_multiple_of(2), "a view inside a batch");
            last = view.seq();
            shown.push((last, first));
        }
        for thread in writers.into_iter().chain([freezer]) {
            thread.join().expect("the thread ended well");
        }
        let view = db.view();
        let (first, second) = pair(&db, &view);
        assert!(first == second && first > 2, "the last write of a thread was lost: {first}, {second}");
        assert_eq!(db.counter(1), 4);
        shown
    });
    println!("{} results", seen.len());
    assert!(seen.len() >= 30, "only {} different results: nothing was explored", seen.len());
}

#[test]
fn no_read_falls_between_memtable_and_tables() {
    let seen = explore(4000, || {
        let db = open();
        write_pair(&db, 1);
        let writer = thread::spawn({
            let db = Arc::clone(&db);
            move || {
                write_pair(&db, 2);
                let now = round(db.get(b"k090").expect("get"));
                assert_eq!(now, 2, "a thread does not see its own write");
            }
        });
        let worker = thread::spawn({
            let db = Arc::clone(&db);
            move || {
                db.flush().expect("flush");
                db.compact().expect("compact");
            }
        });
        let mut last = 1;
        let mut shown = Vec::new();
        for _ in 0..3 {
            let now = round(db.get(b"k010").expect("get"));
            assert!(now >= last, "a key went back from {last} to {now}");
            let many = db.multi_get(&[b"k010", b"k090"]).expect("get");
            assert!(many.iter().all(Option::is_some), "a key was gone for a moment");
            last = now;
            shown.push((now, db.stats().tables.iter().sum::<usize>()));
        }
        writer.join().expect("the writer ended well");
        worker.join().expect("the worker ended well");
        assert_eq!(pair(&db, &db.view()), (2, 2));
        shown
    });
    println!("{} results", seen.len());
    assert!(seen.len() >= 8, "only {} different results: nothing was explored", seen.len());
}

#[test]
fn a_compaction_and_a_freeze_do_not_undo_each_other() {
    let seen = explore(8000, || {
        // Few steps, so that most switches are at places that matter.
        let mut options = small(&SimVfs::new());
        options.level0_depth = 1;
        options.partitioning.count = 1;
        let db = Arc::new(Db::open(options).expect("open"));
        write_pair(&db, 3);
        db.flush().expect("flush");
        write_pair(&db, 4);
        let compaction = thread::spawn({
            let db = Arc::clone(&db);
            move || db.compact_step().expect("compact")
        });
        let flush = thread::spawn({
            let db = Arc::clone(&db);
            move || db.flush().expect("flush")
        });
        let mut shown = Vec::new();
        for now in 5..7 {
            write_pair(&db, now);
            let found = round(db.get(b"k010").expect("get"));
            assert_eq!(found, now, "a write disappeared");
            let stats = db.stats();
            shown.push((stats.frozen, stats.tables));
        }
        assert!(compaction.join().expect("the compaction ended well"), "a table is due");
        flush.join().expect("the flush ended well");
        assert_eq!(pair(&db, &db.view()), (6, 6));
        db.flush().expect("flush");
        assert_eq!(pair(&db, &db.view()), (6, 6));
        shown
    });
    println!("{} results", seen.len());
    assert!(seen.len() >= 10, "only {} different results: nothing was explored", seen.len());
}

#[test]
fn scans_at_once_leave_an_order_in_which_each_key_comes_once() {
    explore(2000, || {
        let mut options = small(&SimVfs::new());
        options.partitioning.count = 1;
        let db = Arc::new(Db::open(options).expect("open"));
        let mut batch = WriteBatch::new();
        let mut write = |keys: &mut dyn Iterator<Item = u32>| {
            batch.clear();
            keys.for_each(|n| batch.put(format!("k{n:03}").as_bytes(), b""));
            db.append(&batch).expect("append");
        };
        // An order of many keys, and a few that are not in it.
        write(&mut (0..80).filter(|n| n % 5 > 0));
        assert_eq!(db.iter_all(&db.view()).count(), 64);
        write(&mut (0..80).step_by(5));
        let view = db.view();
        let part = thread::spawn({
            let iter = db.iter((Bound::Included(&b"k040"[..]), Bound::Unbounded), &view);
            move || iter.count()
        });
        assert_eq!(db.iter_all(&view).count(), 80);
        assert_eq!(part.join().expect("the scan ended well"), 40);
        assert_eq!(db.iter_all(&view).count(), 80, "a key comes twice");
        db.flush().expect("flush");
        db.stats().table_entries
    });
}

#[test]
fn an_old_view_keeps_its_versions_while_keys_are_overwritten() {
    let seen = explore(4000, || {
        let db = open();
        write_pair(&db, 1);
        let writer = thread::spawn({
            let db = Arc::clone(&db);
            move || (2..6).for_each(|round| write_pair(&db, round))
        });
        let other = thread::spawn({
            let db = Arc::clone(&db);
            move || {
                let view = db.view();
                let shown = pair(&db, &view);
                assert_eq!(shown.0, shown.1);
            }
        });
        let view = db.view();
        let first = pair(&db, &view);
        other.join().expect("the other view ended well");
        let iterated: Vec<_> = db.iter_all(&view).map(|row| row.expect("iterate").1[0]).collect();
        assert_eq!(iterated, [first.0, first.1], "another view took versions away");
        writer.join().expect("the writer ended well");
        assert_eq!(pair(&db, &view), first, "the view changed");
        first.0
    });
    println!("{} results", seen.len());
    assert_eq!(seen, BTreeSet::from([1, 2, 3, 4, 5]));
}
