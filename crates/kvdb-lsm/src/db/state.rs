//! What a reader needs: the memtables and the version, as one immutable picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::Seq;
use crate::entry::Found;
use crate::error::Error;
use crate::memtable::Memtable;
use crate::table::CacheOnly;
use crate::version::Version;

/// A memtable that takes no more writes.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) memtable: Arc<Memtable>,
    /// The last sequence in it.
    pub(crate) last_seq: Seq,
    /// The log segment that begins behind it: once it is in tables, older segments can go.
    pub(crate) next_segment: u64,
}

/// A picture of the database, replaced as a whole.
///
/// # Invariants
/// Every operation in the log is in `active`, in one of `frozen`, or in `version` (and every delta
/// of a counter in one of them or in `totals`), whichever picture one looks at.
#[derive(Debug)]
pub(crate) struct State {
    /// The memtable that takes writes.
    pub(crate) active: Arc<Memtable>,
    /// Memtables that wait for their flush, newest first.
    pub(crate) frozen: Vec<Arc<Frozen>>,
    /// The tables.
    pub(crate) version: Arc<Version>,
    /// The counters without what the memtables add.
    pub(crate) totals: Arc<BTreeMap<u16, i64>>,
}

impl State {
    /// The memory of the frozen memtables, in bytes.
    pub(crate) fn frozen_bytes(&self) -> usize {
        self.frozen.iter().map(|f| f.memtable.allocated()).sum()
    }

    fn in_memory(&self, hash: u64, key: &[u8], at: Seq) -> Option<Found> {
        self.active
            .get(hash, key, at)
            .or_else(|| self.frozen.iter().find_map(|frozen| frozen.memtable.get(hash, key, at)))
    }

    /// The value of `key` that `at` sees; reads the disk if it must.
    pub(crate) fn get(&self, hash: u64, key: &[u8], at: Seq) -> Result<Option<Vec<u8>>, Error> {
        if let Some(found) = self.in_memory(hash, key, at) {
            return Ok(found.into_value());
        }
        for table in self.version.candidates(key) {
            if let Some(found) = table.get(hash, key)? {
                return Ok(found.into_value());
            }
        }
        Ok(None)
    }

    /// As [`State::get`], without ever touching a file.
    pub(crate) fn get_cached(&self, hash: u64, key: &[u8], at: Seq) -> Result<CacheOnly, Error> {
        if let Some(found) = self.in_memory(hash, key, at) {
            return Ok(CacheOnly::Known(Some(found)));
        }
        for table in self.version.candidates(key) {
            match table.get_cached(hash, key)? {
                CacheOnly::Known(None) => {}
                other => return Ok(other),
            }
        }
        Ok(CacheOnly::Known(None))
    }

    /// The value of a counter.
    pub(crate) fn counter(&self, id: u16) -> i64 {
        let total = self.totals.get(&id).copied().unwrap_or_default();
        let frozen = self.frozen.iter().map(|frozen| frozen.memtable.counter(id));
        frozen.fold(total.wrapping_add(self.active.counter(id)), i64::wrapping_add)
    }
}
