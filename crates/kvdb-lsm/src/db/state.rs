//! What a reader needs: the memtables and the version, as one immutable picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::background::Signals;
use super::damage::Damage;
use super::journal::Cut;
use crate::batch::Seq;
use crate::blob::BlobRef;
use crate::entry::{Content, key_hash};
use crate::error::Error;
use crate::memtable::Memtable;
use crate::table::{CacheOnly, Fill};
use crate::version::{Version, VersionFile};

/// A memtable that takes no more writes.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) memtable: Arc<Memtable>,
    /// The cut behind it: once it is in tables, older segments of the log can go.
    pub(crate) cut: Cut,
}

/// A key that is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lookup<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) hash: u64,
    /// Newer versions are not seen.
    pub(crate) at: Seq,
}

impl<'a> Lookup<'a> {
    #[inline]
    pub(crate) fn new(key: &'a [u8], at: Seq) -> Self {
        Self { key, hash: key_hash(key), at }
    }
}

/// The answer of a lookup that must not touch a file.
#[derive(Debug)]
pub(crate) enum FromMemory<R> {
    Known(Option<R>),
    /// This candidate among the tables (by its number) would have to read a block, or its blob file; those before it
    /// do not know the key.
    NeedIo {
        candidate: usize,
    },
}

/// What a lookup has met in a table.
#[derive(Debug)]
pub(super) enum Met<R> {
    /// What was made of the value there, or of the tombstone.
    Taken(R),
    /// The value lies elsewhere.
    Elsewhere(BlobRef),
}

impl<R> Met<R> {
    /// Lets `take` have what lies in the table.
    #[inline]
    pub(super) fn of(content: Content<'_>, take: impl FnOnce(Option<&[u8]>) -> R) -> Self {
        match content {
            Content::Value(value) => Self::Taken(take(Some(value))),
            Content::Tombstone => Self::Taken(take(None)),
            Content::Blob(reference) => Self::Elsewhere(reference),
        }
    }
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
    /// Where a reader tells of damage.
    pub(crate) damage: Arc<Damage>,
}

impl State {
    /// The memory of the frozen memtables, in bytes.
    pub(crate) fn frozen_bytes(&self) -> usize {
        self.frozen.iter().map(|f| f.memtable.allocated()).sum()
    }

    /// The memtables, newest first.
    pub(super) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(self.frozen.iter().map(|frozen| &frozen.memtable))
    }

    fn in_memory<R>(&self, lookup: Lookup<'_>, mut take: impl FnMut(Option<&[u8]>) -> R) -> Option<R> {
        let Lookup { hash, key, at } = lookup;
        self.memtables().find_map(|memtable| memtable.get_with(hash, key, at, &mut take))
    }

    /// Hands what `lookup` finds to `take`: a value, or `None` for a tombstone. Reads the disk if it
    /// must. `None` means that nothing was ever written under the key.
    pub(crate) fn get_with<R>(
        &self,
        lookup: Lookup<'_>,
        mut take: impl FnMut(Option<&[u8]>) -> R,
    ) -> Result<Option<R>, Error> {
        match self.in_memory(lookup, &mut take) {
            Some(found) => Ok(Some(found)),
            None => self.get_from_tables(lookup, 0, take),
        }
    }

    /// As [`State::get_with`], but asks only tables, and not the first `skip` candidates among them.
    pub(super) fn get_from_tables<R>(
        &self,
        lookup: Lookup<'_>,
        skip: usize,
        mut take: impl FnMut(Option<&[u8]>) -> R,
    ) -> Result<Option<R>, Error> {
        for file in self.version.candidates(lookup.key).skip(skip) {
            let met = |content: Content<'_>| Met::of(content, &mut take);
            let looked = self.noting(file.table.get_with(lookup.hash, lookup.key, met))?;
            if let Some(met) = looked.found {
                return self.noting(self.follow(met, lookup.key, take)).map(Some);
            }
            if looked.has_read {
                self.note_detour(file);
            }
        }
        Ok(None)
    }

    /// The result of a read; damage that it met is noted.
    #[inline]
    pub(super) fn noting<R>(&self, read: Result<R, Error>) -> Result<R, Error> {
        read.inspect_err(|error| self.damage.met_by_read(error, &self.version))
    }

    /// Hands the value to which a table referred to `take`, unless it has taken one.
    pub(super) fn follow<R>(
        &self,
        met: Met<R>,
        key: &[u8],
        take: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, Error> {
        match met {
            Met::Taken(taken) => Ok(taken),
            Met::Elsewhere(reference) => {
                let blob = self.version.blobs().value(key, &reference, Fill::Cache)?;
                Ok(take(Some(blob.value())))
            }
        }
    }

    /// A lookup read from a table that did not have the key. If that has happened too often, asks for a
    /// compaction.
    pub(super) fn note_detour(&self, file: &VersionFile) {
        if file.wear.add(file.meta.size) {
            self.signals.request_compaction();
        }
    }

    /// As [`State::get_with`], without ever touching a file.
    pub(crate) fn get_cached<R>(
        &self,
        lookup: Lookup<'_>,
        mut take: impl FnMut(Option<&[u8]>) -> R,
    ) -> Result<FromMemory<R>, Error> {
        if let Some(found) = self.in_memory(lookup, &mut take) {
            return Ok(FromMemory::Known(Some(found)));
        }
        for (n, file) in self.version.candidates(lookup.key).enumerate() {
            let met = |content: Content<'_>| Met::of(content, &mut take);
            match self.noting(file.table.get_cached(lookup.hash, lookup.key, met))? {
                CacheOnly::Known(None) => {}
                CacheOnly::Known(Some(Met::Taken(taken))) => return Ok(FromMemory::Known(Some(taken))),
                CacheOnly::Known(Some(Met::Elsewhere(reference))) => {
                    return Ok(match self.version.blobs().cached(&reference) {
                        Some(blob) => FromMemory::Known(Some(take(Some(blob.value())))),
                        None => FromMemory::NeedIo { candidate: n },
                    });
                }
                CacheOnly::NeedIo => return Ok(FromMemory::NeedIo { candidate: n }),
            }
        }
        Ok(FromMemory::Known(None))
    }

    /// The value of a counter.
    pub(crate) fn counter(&self, id: u16) -> i64 {
        let total = self.totals.get(&id).copied().unwrap_or_default();
        let frozen = self.frozen.iter().map(|frozen| frozen.memtable.counter(id));
        frozen.fold(total.wrapping_add(self.active.counter(id)), i64::wrapping_add)
    }
}
