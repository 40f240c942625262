//! Databases and stores for tests of this crate and of those above it.

use std::path::Path;
use std::sync::Arc;

use kvdb_lsm::{Db, Options};

use crate::commit_log::LocalLog;
use crate::dead_rows::DeadRows;
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
    let rows = Arc::new(open_rows(dir));
    let log = Arc::new(LocalLog::new(rows.clone()));
    let options = StoreOptions { databases: 16, fresh_seed: 42, io_threads: 1 };
    Arc::new(Store::open(rows, log, &options).expect("a store opens over a sound database"))
}
