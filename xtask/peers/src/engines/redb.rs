//! redb: a B-tree, here as a different point in the space of designs. It has no log: a write that is not synced survives
//! nothing, so its rows for process durability promise less than those of the others.

use redb::{Database, Durability as Commit, ReadableDatabase, TableDefinition, WriteTransaction};

use crate::engine::{Durability, Engine, Failure, Setup, failed};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("data");

pub struct Redb {
    db: Database,
    durability: Durability,
}

impl Redb {
    pub fn open(setup: &Setup) -> Result<Self, Failure> {
        std::fs::create_dir_all(&setup.dir).map_err(failed)?;
        let db = Database::builder()
            .set_cache_size(setup.budget_bytes)
            .create(setup.dir.join("redb"))
            .map_err(failed)?;
        let redb = Self { db, durability: setup.durability };
        redb.change(|_| Ok(()))?;
        Ok(redb)
    }

    fn change(
        &self,
        change: impl FnOnce(&mut redb::Table<'_, &'static [u8], &'static [u8]>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut transaction: WriteTransaction = self.db.begin_write().map_err(failed)?;
        if self.durability == Durability::Process {
            transaction.set_durability(Commit::None).map_err(failed)?;
        }
        {
            let mut table = transaction.open_table(TABLE).map_err(failed)?;
            change(&mut table)?;
        }
        transaction.commit().map_err(failed)
    }
}

impl Engine for Redb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.change(|table| table.insert(key, value).map(|_| ()).map_err(failed))
    }

    fn put_all(&self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Failure> {
        self.change(|table| {
            for (key, value) in pairs {
                table.insert(key.as_slice(), value.as_slice()).map_err(failed)?;
            }
            Ok(())
        })
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        self.change(|table| table.remove(key).map(|_| ()).map_err(failed))
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        let transaction = self.db.begin_read().map_err(failed)?;
        let table = transaction.open_table(TABLE).map_err(failed)?;
        let value = table.get(key).map_err(failed)?;
        Ok(value.map(|value| value.value().to_vec().len()))
    }

    fn scan(&self, key: &[u8], count: usize) -> Result<usize, Failure> {
        let transaction = self.db.begin_read().map_err(failed)?;
        let table = transaction.open_table(TABLE).map_err(failed)?;
        let mut found = 0;
        for entry in table.range(key..).map_err(failed)?.take(count) {
            entry.map_err(failed)?;
            found += 1;
        }
        Ok(found)
    }

    fn settle(&self) -> Result<(), Failure> {
        // Commits without durability gather until one with it.
        let transaction = self.db.begin_write().map_err(failed)?;
        transaction.commit().map_err(failed)
    }
}
