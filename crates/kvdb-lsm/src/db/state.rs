//! What a reader needs: the memtables and the version, as one immutable picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::background::Signals;
use super::journal::Cut;
use crate::batch::Seq;
use crate::entry::Found;
use crate::error::Error;
use crate::memtable::Memtable;
use crate::table::CacheOnly;
use crate::version::{Version, VersionFile, note_vain_lookup};

/// A memtable that takes no more writes.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) memtable: Arc<Memtable>,
    /// The cut behind it: once it is in tables, older segments of the log can go.
    pub(crate) cut: Cut,
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
    /// Where a reader asks for a compaction.
    pub(crate) signals: Arc<Signals>,
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
        for file in self.version.candidates(key) {
            if let Some(found) = file.table.get(hash, key)? {
                return Ok(found.into_value());
            }
            self.note_vain_lookup(hash, file);
        }
        Ok(None)
    }

    /// A table did not have the key. If one was read for nothing too often, asks for a compaction.
    fn note_vain_lookup(&self, hash: u64, file: &VersionFile) {
        // Where its filter told, the detour was none.
        if note_vain_lookup() && file.table.may_contain(hash) && file.wear.add_sample(file.meta.size) {
            self.signals.request_compaction();
        }
    }

    /// As [`State::get`], without ever touching a file.
    pub(crate) fn get_cached(&self, hash: u64, key: &[u8], at: Seq) -> Result<CacheOnly, Error> {
        if let Some(found) = self.in_memory(hash, key, at) {
            return Ok(CacheOnly::Known(Some(found)));
        }
        for file in self.version.candidates(key) {
            match file.table.get_cached(hash, key)? {
                CacheOnly::Known(None) => self.note_vain_lookup(hash, file),
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
