//! Writers, readers, scans, flushes and compactions at once, on the real file system.

use crate::support::Rng;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::{AppendError, Cached, Db, Options};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const WRITERS: u64 = 3;
const ROUNDS: u64 = 4000;
const KEYS: u64 = 200;

fn options(dir: &std::path::Path) -> Options {
    let mut options = Options::new(dir);
    options.sync = SyncPolicy::No;
    options.segment_bytes = 256 << 10;
    options.write_buffer_bytes = 300 << 10;
    options.wal_limit_bytes = 1 << 20;
    options.block_bytes = 512;
    options.block_cache_bytes = 64 << 10;
    options.table_bytes = 32 << 10;
    options.base_level_bytes = 64 << 10;
    options
}

fn key(writer: u64, n: u64) -> Vec<u8> {
    format!("{writer}:{n:04}").into_bytes()
}

/// A value that names its round, twice, so that a mix of two would be seen.
fn value(round: u64) -> Vec<u8> {
    let mut value = round.to_le_bytes().to_vec();
    value.resize(16 + (round % 150) as usize, b'.');
    value.extend_from_slice(&round.to_le_bytes());
    value
}

fn round_of(value: &[u8]) -> u64 {
    let first = u64::from_le_bytes(value[..8].try_into().expect("eight bytes"));
    assert_eq!(value, self::value(first), "a torn value");
    first
}

/// Each batch of a writer sets two of its keys to the same round, and counts itself.
fn write(db: &Db, writer: u64, newest: &[AtomicU64]) {
    let mut rng = Rng::new(writer + 1);
    let mut batch = WriteBatch::new();
    let mut round = 1;
    while round <= ROUNDS {
        let n = rng.below(KEYS / 2);
        batch.clear();
        batch.put(&key(writer, n), &value(round));
        batch.put(&key(writer, KEYS - 1 - n), &value(round));
        batch.add_counter(writer as u16, 1);
        match db.append(&batch) {
            Ok(_) => {
                newest[n as usize].store(round, Ordering::Release);
                // A writer sees its own write at once.
                match db.get_cached(&key(writer, n)).expect("get") {
                    Cached::Found(found) => assert_eq!(round_of(&found), round),
                    Cached::Absent => panic!("the write of round {round} is gone"),
                    Cached::NeedIo(_) => {}
                }
                round += 1;
            }
            Err(AppendError::Backlog | AppendError::Full(_)) => {
                db.log().write_out(db.log().appended()).expect("write");
                std::thread::yield_now();
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn read(db: &Db, newest: &[Vec<AtomicU64>], done: &AtomicBool) {
    let mut rng = Rng::new(77);
    while !done.load(Ordering::Acquire) {
        let (writer, n) = (rng.below(WRITERS), rng.below(KEYS / 2));
        let at_least = newest[writer as usize][n as usize].load(Ordering::Acquire);
        let found = db.get(&key(writer, n)).expect("get");
        let round = found.as_deref().map_or(0, round_of);
        assert!(round >= at_least, "key {writer}:{n} went back from {at_least} to {round}");
        twins(db, writer, n);
        if rng.one_in(300) {
            scan(db, writer);
        }
    }
}

/// A view never falls between an append's place in the log and its keys in the memtable.
fn twins(db: &Db, writer: u64, n: u64) {
    let view = db.view();
    let round = |n: u64| {
        let found = db.get_at(&key(writer, n), &view).expect("get");
        found.as_deref().map_or(0, round_of)
    };
    let (first, second) = (round(n), round(KEYS - 1 - n));
    assert_eq!(first, second, "half a batch");
    assert_eq!(round(n), first, "a view changed");
}

/// In a view, both keys of a batch have the same round, and reading twice gives the same.
fn scan(db: &Db, writer: u64) {
    let view = db.view();
    let range = key(writer, 0)..=key(writer, KEYS);
    let bounds = (
        std::ops::Bound::Included(range.start().as_slice()),
        std::ops::Bound::Included(range.end().as_slice()),
    );
    let rows: Vec<_> = db.iter(bounds, &view).collect::<Result<_, _>>().expect("iterate");
    for (row, value) in &rows {
        let n: u64 = String::from_utf8_lossy(&row[2..]).parse().expect("a number");
        let twin = db.get_at(&key(writer, KEYS - 1 - n), &view).expect("get");
        assert_eq!(twin.as_deref().map(round_of), Some(round_of(value)), "half a batch");
    }
    let again: Vec<_> = db.iter(bounds, &view).collect::<Result<_, _>>().expect("iterate");
    assert_eq!(rows, again, "a view changed");
}

#[test]
fn nobody_sees_anything_old_torn_or_half() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let newest: Vec<Vec<AtomicU64>> =
        (0..WRITERS).map(|_| (0..KEYS / 2).map(|_| AtomicU64::new(0)).collect()).collect();
    let db = Db::open(options(dir.path())).expect("open");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = newest
            .iter()
            .enumerate()
            .map(|(writer, newest)| {
                scope.spawn({
                    let db = &db;
                    move || write(db, writer as u64, newest)
                })
            })
            .collect();
        scope.spawn(|| read(&db, &newest, &done));
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                db.flush().expect("flush");
                db.compact().expect("compact");
                std::thread::yield_now();
            }
        });
        for writer in writers {
            let ended = writer.join();
            if ended.is_err() {
                done.store(true, Ordering::Release);
            }
            ended.expect("the writer ends");
        }
        done.store(true, Ordering::Release);
    });
    let check = |db: &Db| {
        for writer in 0..WRITERS {
            assert_eq!(db.counter(writer as u16), ROUNDS as i64);
            for (n, newest) in (0..).zip(&newest[writer as usize]) {
                let found = db.get(&key(writer, n)).expect("get");
                assert_eq!(found.as_deref().map_or(0, round_of), newest.load(Ordering::Acquire));
            }
            scan(db, writer);
        }
    };
    check(&db);
    assert!(db.stats().flushes > 0);
    db.close().expect("close");
    let db = Db::open(options(dir.path())).expect("open");
    check(&db);
    let report = db.verify().expect("verify");
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn a_large_batch_is_seen_whole_while_it_is_applied() {
    const WIDTH: u64 = 300;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = Db::open(options(dir.path())).expect("open");
    let done = AtomicBool::new(false);
    let round = |db: &Db, view: &kvdb_lsm::ReadView, n: u64| {
        let found = db.get_at(&key(9, n), view).expect("get");
        found.as_deref().map_or(0, round_of)
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut batch = WriteBatch::new();
            for number in 1..=400 {
                batch.clear();
                (0..WIDTH).for_each(|n| batch.put(&key(9, n), &value(number)));
                while db.append(&batch).is_err() {
                    std::thread::yield_now();
                }
                db.log().write_out(db.log().appended()).expect("write");
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                db.flush().expect("flush");
            }
        });
        let mut last = 0;
        while !done.load(Ordering::Acquire) {
            let view = db.view();
            let first = round(&db, &view, 0);
            assert!(first >= last, "views went back from {last} to {first}");
            assert_eq!(round(&db, &view, WIDTH - 1), first, "the end of the batch is missing");
            assert_eq!(round(&db, &view, WIDTH / 2), first, "the middle of the batch is missing");
            last = first;
        }
    });
    db.flush().expect("flush");
    let view = db.view();
    assert!((0..WIDTH).all(|n| round(&db, &view, n) == 400), "a write was lost");
}
