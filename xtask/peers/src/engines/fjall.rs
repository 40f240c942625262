//! fjall.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::engine::{Durability, Engine, Failure, Setup, failed};

pub struct Fjall {
    db: Database,
    keyspace: Keyspace,
    durability: Durability,
}

impl Fjall {
    pub fn open(setup: &Setup) -> Result<Self, Failure> {
        let db =
            Database::builder(&setup.dir).cache_size(setup.budget_bytes as u64 / 2).open().map_err(failed)?;
        let memtable = setup.budget_bytes as u64 / 8;
        let keyspace = db
            .keyspace("data", || KeyspaceCreateOptions::default().max_memtable_size(memtable))
            .map_err(failed)?;
        Ok(Self { db, keyspace, durability: setup.durability })
    }

    fn persist(&self) -> Result<(), Failure> {
        match self.durability {
            // Every write goes to the system's buffers by default.
            Durability::Process => Ok(()),
            Durability::Disk => self.db.persist(PersistMode::SyncData).map_err(failed),
        }
    }
}

impl Engine for Fjall {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.keyspace.insert(key, value).map_err(failed)?;
        self.persist()
    }

    fn put_all(&self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Failure> {
        let mut batch = self.db.batch();
        for (key, value) in pairs {
            batch.insert(&self.keyspace, key.as_slice(), value.as_slice());
        }
        batch.commit().map_err(failed)?;
        self.persist()
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        self.keyspace.remove(key).map_err(failed)?;
        self.persist()
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        Ok(self.keyspace.get(key).map_err(failed)?.map(|value| value.to_vec().len()))
    }

    fn scan(&self, key: &[u8], count: usize) -> Result<usize, Failure> {
        let mut found = 0;
        for entry in self.keyspace.range(key..).take(count) {
            entry.into_inner().map_err(failed)?;
            found += 1;
        }
        Ok(found)
    }

    fn settle(&self) -> Result<(), Failure> {
        self.keyspace.rotate_memtable_and_wait().map_err(failed)?;
        crate::engines::wait_until_idle(|| {
            self.db.outstanding_flushes() == 0 && self.db.active_compactions() == 0
        });
        Ok(())
    }
}
