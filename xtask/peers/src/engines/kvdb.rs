//! kvdb-lsm.

use std::cell::RefCell;
use std::ops::Bound;
use std::thread;
use std::time::Duration;

use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::{AppendError, Db, Options};

use crate::engine::{Durability, Engine, Failure, Setup, failed};

pub struct Kvdb {
    db: Db,
    durability: Durability,
}

thread_local! {
    static BATCH: RefCell<WriteBatch> = const { RefCell::new(WriteBatch::new()) };
}

impl Kvdb {
    pub fn open(setup: &Setup) -> Result<Self, Failure> {
        let mut options = Options::new(&setup.dir);
        options.sync = match setup.durability {
            Durability::Process => SyncPolicy::No,
            Durability::Disk => SyncPolicy::Always,
        };
        // Half of the budget for memtables (this many and two more), half for blocks.
        options.max_frozen = 2;
        options.write_buffer_bytes = setup.budget_bytes / 8;
        options.segment_bytes = (options.write_buffer_bytes as u64).clamp(4 << 20, 64 << 20);
        options.block_cache_bytes = setup.budget_bytes as u64 / 2;
        options.table_bytes = 64 << 20;
        options.base_level_bytes = (setup.budget_bytes as u64 / 2).clamp(16 << 20, 256 << 20);
        Ok(Self { db: Db::open(options).map_err(failed)?, durability: setup.durability })
    }

    fn commit(&self, batch: &WriteBatch) -> Result<(), Failure> {
        let seq = loop {
            match self.db.append(batch) {
                Ok(seq) => break seq,
                // The engine never holds a caller up: slowing down is the caller's part.
                Err(AppendError::Backlog | AppendError::Full(_)) => thread::sleep(Duration::from_micros(500)),
                Err(error) => return Err(failed(error)),
            }
        };
        match self.durability {
            Durability::Process => self.db.log().write_out(seq).map_err(failed),
            Durability::Disk => self.db.log().sync().map(|_| ()).map_err(failed),
        }
    }

    fn with_batch(&self, fill: impl FnOnce(&mut WriteBatch)) -> Result<(), Failure> {
        BATCH.with_borrow_mut(|batch| {
            batch.clear();
            fill(batch);
            self.commit(batch)
        })
    }
}

impl Engine for Kvdb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.with_batch(|batch| batch.put(key, value))
    }

    fn put_all(&self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Failure> {
        self.with_batch(|batch| pairs.iter().for_each(|(key, value)| batch.put(key, value)))
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        self.with_batch(|batch| batch.delete(key))
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        Ok(self.db.get(key).map_err(failed)?.map(|value| value.len()))
    }

    fn scan(&self, key: &[u8], count: usize) -> Result<usize, Failure> {
        let view = self.db.view();
        let mut iter = self.db.iter((Bound::Included(key), Bound::Unbounded), &view);
        let mut found = 0;
        while found < count && iter.next_entry().map_err(failed)?.is_some() {
            found += 1;
        }
        Ok(found)
    }

    fn settle(&self) -> Result<(), Failure> {
        self.db.flush().map_err(failed)?;
        while self.db.compact_step().map_err(failed)? {}
        Ok(())
    }
}
