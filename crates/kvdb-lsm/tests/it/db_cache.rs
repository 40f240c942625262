//! Memory for what is on the disk: the block cache, and the indexes and filters beside it.

use crate::db_support::small;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::vfs::SimVfs;
use kvdb_lsm::{Db, Options, Runtime, RuntimeOptions};

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
    let bounded = pinned_with(room);
    // The table that used up the room may reach beyond it, and the tops of the others.
    assert!(bounded < room + (16 << 10), "{bounded} of {whole}");
}
