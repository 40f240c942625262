//! Memory for what is on the disk: the block cache, and the indexes and filters beside it.

use crate::db_support::small;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::vfs::SimVfs;
use kvdb_lsm::{Compression, Db, Options, Runtime, RuntimeOptions};

const ROWS: u32 = 20_000;
/// Rows that are in use, side by side.
const HOT: std::ops::Range<u32> = 9000..10_000;

fn key(n: u32) -> Vec<u8> {
    format!("k{n:06}").into_bytes()
}

/// Four megabytes of rows in tables, over a cache of an eighth of that.
fn database() -> Db {
    let options = Options {
        block_bytes: 4 << 10,
        block_cache_bytes: 512 << 10,
        table_bytes: 1 << 20,
        write_buffer_bytes: 8 << 20,
        segment_bytes: 1 << 20,
        compression: Compression::None,
        blob_threshold: 0,
        ..small(&SimVfs::new())
    };
    let db = Db::open(options).expect("open");
    let mut batch = WriteBatch::new();
    (0..ROWS).for_each(|n| batch.put(&key(n), &[n as u8; 200]));
    db.append(&batch).expect("append");
    db.compact().expect("compact");
    db
}

/// Reads all hot rows; returns how many lookups of blocks missed the cache.
fn read_hot(db: &Db) -> u64 {
    let before = db.stats().block_cache_misses;
    for n in HOT {
        assert_eq!(db.get(&key(n)).expect("get"), Some(vec![n as u8; 200]));
    }
    db.stats().block_cache_misses - before
}

#[test]
fn what_is_hot_stays_in_the_cache_after_a_scan_of_everything() {
    let db = database();
    let blocks = read_hot(&db);
    assert!((40..70).contains(&blocks), "{blocks} blocks were read for the hot rows");
    for _ in 0..3 {
        assert_eq!(read_hot(&db), 0, "the hot rows fit");
    }
    let before = db.stats();
    assert_eq!(db.iter_all(&db.view()).count(), ROWS as usize);
    let after = db.stats();
    assert!(after.block_cache_misses > before.block_cache_misses + 500, "the scan read everything");
    assert!(after.block_cache_bytes <= 512 << 10);
    let lost = read_hot(&db);
    assert!(lost <= blocks / 10, "{lost} of {blocks} hot blocks were pushed out by one scan");
}

/// Tables of many small rows, whose filters take a large part of their size.
fn small_rows(db: &Db, tables: u32) {
    for table in 0..tables {
        let mut batch = WriteBatch::new();
        for n in 0..4000u32 {
            batch.put(format!("k{:07}", n * tables + table).as_bytes(), b"v");
        }
        db.append(&batch).expect("append");
        db.flush().expect("flush");
        while db.compact_step().expect("compact") {}
    }
}

#[test]
fn indexes_and_filters_of_small_rows_stay_within_their_room() {
    let room = 24 << 10;
    let at = |vfs: &SimVfs, runtime: &Runtime| Options {
        write_buffer_bytes: 4 << 20,
        segment_bytes: 1 << 20,
        block_bytes: 512,
        table_bytes: 64 << 10,
        base_level_bytes: 128 << 10,
        runtime: Some(runtime.clone()),
        ..small(vfs)
    };
    let pinned_with = |index_bytes: usize| {
        let runtime = Runtime::new(RuntimeOptions {
            block_cache_bytes: 1 << 20,
            index_bytes,
            ..RuntimeOptions::default()
        });
        let vfs = SimVfs::new();
        let db = Db::open(at(&vfs, &runtime)).expect("open");
        small_rows(&db, 12);
        let pinned = runtime.index_bytes();
        assert_eq!(pinned, db.stats().pinned_bytes);
        for n in (0..48_000u32).step_by(97) {
            assert_eq!(
                db.get(format!("k{n:07}").as_bytes()).expect("get").as_deref(),
                Some(&b"v"[..]),
                "{n}"
            );
            assert_eq!(db.get(format!("k{n:07}!").as_bytes()).expect("get"), None, "{n}");
        }
        assert_eq!(db.iter_all(&db.view()).count(), 48_000);
        db.close().expect("close");
        let again = Db::open(at(&vfs, &runtime)).expect("open");
        assert_eq!(again.stats().pinned_bytes, pinned, "what is opened again is as it was made");
        drop(again);
        assert_eq!(runtime.index_bytes(), 0, "closed databases hold nothing");
        pinned
    };
    let whole = pinned_with(usize::MAX);
    assert!(whole > 60 << 10, "{whole} bytes would fit anyway");
    // Next to no room: of every table there is the top, and no more.
    let tops = pinned_with(1);
    let bounded = pinned_with(room);
    // The table that used up the room may reach beyond it, and the tops of the others.
    assert!(bounded < room + tops + (9 << 10), "{bounded} of {whole}, {tops} at least");
    assert!(tops < room, "{tops} at least");
}

/// Whether compactions find something to do after rows below a table without a filter were read again and again.
fn is_worn_by_reads(block_cache_bytes: u64) -> bool {
    let vfs = SimVfs::new();
    let options = Options {
        bloom_bits_per_key: 0,
        block_cache_bytes,
        write_buffer_bytes: 8 << 20,
        segment_bytes: 1 << 20,
        blob_threshold: 0,
        table_bytes: 1 << 20,
        base_level_bytes: 8 << 20,
        ..small(&vfs)
    };
    let db = Db::open(options).expect("open");
    for half in 0..2 {
        let mut batch = WriteBatch::new();
        (half..400).step_by(2).for_each(|n| batch.put(&key(n), &[b'v'; 100]));
        db.append(&batch).expect("append");
        if half == 0 { db.compact() } else { db.flush() }.expect("written");
    }
    while db.compact_step().expect("compact") {}
    let tables = db.stats().tables;
    assert!(tables.iter().filter(|tables| **tables > 0).count() == 2, "{tables:?}");
    for n in (0..400).step_by(2).cycle().take(2000) {
        assert_eq!(db.get(&key(n)).expect("get"), Some(vec![b'v'; 100]));
    }
    db.compact_step().expect("compact")
}

#[test]
fn reading_a_table_for_nothing_wears_it_and_asking_memory_does_not() {
    assert!(is_worn_by_reads(1), "every lookup reads the upper table's file first");
    assert!(!is_worn_by_reads(8 << 20), "its blocks are in memory");
}
