//! Databases and stores for tests of this crate and of those above it.

use std::path::Path;
use std::sync::Arc;

use kvdb_lsm::{Db, Options};

use crate::commit_log::LocalLog;
use crate::dead_rows::DeadRows;
use crate::entry::Entry;
use crate::key::SHARDS;
use crate::row::PARTITIONING;
use crate::store::{Store, StoreOptions};

/// A database in a directory, with everything as it usually is.
///
/// # Panics
/// When it cannot be opened.
pub fn open_rows(dir: &Path) -> Db {
    let mut options = Options::new(dir);
    options.partitioning = PARTITIONING;
    Db::open(options).expect("a fresh directory can be opened")
}

/// As [`open_rows`], with compactions that drop dead rows once a store has been told of the filter.
///
/// # Panics
/// When it cannot be opened.
pub fn open_filtered_rows(dir: &Path) -> (Db, Arc<DeadRows>) {
    let filter = Arc::new(DeadRows::new());
    let mut options = Options::new(dir);
    options.partitioning = PARTITIONING;
    options.filter = Some(filter.clone());
    (Db::open(options).expect("a fresh directory can be opened"), filter)
}

/// A store with sixteen databases over [`open_rows`].
///
/// # Panics
/// When it cannot be opened.
pub fn open_store(dir: &Path) -> Arc<Store> {
    open_store_over(open_rows(dir))
}

/// A store with sixteen databases over a database of its own.
///
/// # Panics
/// When it cannot be opened.
pub fn open_store_over(rows: Db) -> Arc<Store> {
    let rows = Arc::new(rows);
    let log = Arc::new(LocalLog::new(rows.clone()));
    let options = StoreOptions { databases: 16, fresh_seed: 42, io_threads: 1 };
    Arc::new(Store::open(rows, log, &options).expect("a store opens over a sound database"))
}

/// Counts anew what a store says that it holds; the store must be at rest.
///
/// # Panics
/// When what is kept of bytes, keys and deadlines is not what is there.
pub fn check_accounts(store: &Store) {
    store.census();
    let (mut bytes, mut tables) = (0, 0);
    for index in 0..SHARDS {
        let shard = store.shard(index);
        for db in 0..store.databases() {
            let part = shard.db(db);
            let entries = || part.tables().flat_map(|(_, table)| table.iter());
            let held: usize = entries().map(Entry::memory_bytes).sum();
            let keys: Vec<_> = entries().map(|entry| String::from_utf8_lossy(entry.key())).collect();
            assert_eq!(part.bytes(), held, "the bytes of {keys:?} in database {db}");
            assert_eq!(part.keys(), keys.len(), "the number of {keys:?} in database {db}");
            let expiring = entries().filter(|entry| entry.deadline().is_some()).count();
            assert_eq!(part.expiring(), expiring, "those of {keys:?} with a deadline in database {db}");
            let fading = entries().filter(|entry| entry.fades()).count();
            assert_eq!(part.fading(), fading, "those of {keys:?} with elements that die in database {db}");
            let dies = |entry: &Entry| entry.held().and_then(|held| held.collection.next_deadline());
            let told = |entry: &Entry| entry.held().and_then(|held| held.collection.told_deadline());
            assert!(entries().all(|entry| dies(entry) == told(entry)), "what meta rows say in database {db}");
            bytes += held;
        }
        tables += shard.overhead_bytes();
    }
    assert_eq!(store.occupied(), bytes + tables, "what counts where there is a limit");
    assert_eq!(store.resident_bytes(), bytes + tables, "what is told");
    for db in 0..store.databases() {
        let all_there = (0..SHARDS).all(|index| store.shard(index).db(db).is_all_complete());
        let resident: usize = (0..SHARDS).map(|index| store.shard(index).db(db).keys()).sum();
        let counted = store.counts(db).keys;
        assert!(counted >= resident as u64, "{counted} keys are counted, {resident} are there");
        assert!(!all_there || counted == resident as u64, "{counted} keys are counted, {resident} are there");
        assert!(!all_there || store.cold_expiring(db) == 0, "nothing can die on disk alone in database {db}");
        let here: usize = (0..SHARDS).map(|index| store.shard(index).db(db).fading()).sum();
        let fading = store.totals_under(&store.latch_all(), db).fading;
        assert!(fading >= here as i64, "{fading} keys with elements that die are counted, {here} are there");
    }
}
