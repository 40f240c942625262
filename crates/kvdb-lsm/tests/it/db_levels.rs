//! Options of single levels: tables of a level are as its options say, however they came there.

use crate::db_support::{key, small};
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::error::Error;
use kvdb_lsm::vfs::SimVfs;
use kvdb_lsm::{Compression, Db, DbStats, LEVELS, LevelOptions, Options};

const LAST: usize = LEVELS - 1;

/// A database that compresses nothing and has filters, except as its levels say.
fn options(level: usize, own: LevelOptions) -> Options {
    let mut options = Options {
        compression: Compression::None,
        blob_threshold: 0,
        table_bytes: 1 << 20,
        write_buffer_bytes: 1 << 20,
        ..small(&SimVfs::new())
    };
    options.levels[level] = own;
    options
}

/// What a hundred rows of some length are flushed to, and compacted to.
fn stored(options: Options) -> [DbStats; 2] {
    let db = Db::open(options).expect("open");
    let mut batch = WriteBatch::new();
    (0..100).for_each(|n| batch.put(&key(n), &[b'v'; 200]));
    db.append(&batch).expect("append");
    db.flush().expect("flush");
    let flushed = db.stats();
    db.compact().expect("compact");
    let compacted = db.stats();
    for n in 0..100 {
        assert_eq!(db.get(&key(n)).expect("get"), Some(vec![b'v'; 200]));
    }
    assert_eq!((flushed.tables[0], compacted.tables[LAST]), (1, 1));
    [flushed, compacted]
}

fn bytes(stats: &DbStats) -> u64 {
    stats.table_bytes.iter().sum()
}

#[test]
fn each_level_has_its_own_compression_blocks_and_filters() {
    let [flushed, compacted] = stored(options(LAST, LevelOptions::default()));
    let compressed = LevelOptions { compression: Some(Compression::Lz4), ..LevelOptions::default() };
    let [above, last] = stored(options(LAST, compressed));
    assert!(bytes(&above) == bytes(&flushed) && bytes(&last) < bytes(&compacted) / 3);
    let [first, last] = stored(options(0, compressed));
    assert!(bytes(&first) < bytes(&flushed) / 3 && bytes(&last) == bytes(&compacted));
    let bare = LevelOptions { bloom_bits_per_key: Some(0), ..LevelOptions::default() };
    let [above, last] = stored(options(LAST, bare));
    assert_eq!(above.pinned_bytes, flushed.pinned_bytes);
    assert!(last.pinned_bytes < compacted.pinned_bytes);
    let large = LevelOptions { block_bytes: Some(16 << 10), ..LevelOptions::default() };
    let [above, last] = stored(options(LAST, large));
    assert_eq!(above.pinned_bytes, flushed.pinned_bytes);
    assert!(last.pinned_bytes + 1000 < compacted.pinned_bytes, "some ninety blocks fewer");
}

#[test]
fn a_table_is_not_moved_to_a_level_that_has_its_own_options() {
    let moved = |own: LevelOptions| {
        let db = Db::open(Options { level0_depth: 1, ..options(LAST, own) }).expect("open");
        let mut batch = WriteBatch::new();
        (0..100).for_each(|n| batch.put(&key(n), &[b'v'; 200]));
        db.append(&batch).expect("append");
        db.flush().expect("flush");
        while db.compact_step().expect("compact") {}
        let stats = db.stats();
        assert_eq!(stats.tables[0], 0);
        stats.moved_tables
    };
    assert_eq!(moved(LevelOptions::default()), 1);
    assert_eq!(moved(LevelOptions { block_bytes: Some(1 << 10), ..LevelOptions::default() }), 0);
}

#[test]
fn impossible_blocks_of_one_level_are_refused() {
    for bytes in [0, 63, (16 << 20) + 1] {
        let own = LevelOptions { block_bytes: Some(bytes), ..LevelOptions::default() };
        assert!(matches!(Db::open(options(3, own)), Err(Error::Invalid(_))), "{bytes}");
    }
}
