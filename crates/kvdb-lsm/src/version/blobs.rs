//! Which blob files there are, and how much of each is alive.
//!
//! Nothing counts garbage: the tables say what they refer to, and what no table refers to is garbage.
//! A file to which no table refers is no part of a state.

use std::collections::BTreeMap;

use super::FileMeta;
use crate::blob::{BlobMeta, BlobUse};

/// A blob file of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobState {
    /// The file.
    pub(crate) meta: BlobMeta,
    /// What the tables refer to in it, all together.
    pub(crate) live: BlobUse,
}

impl BlobState {
    /// The bytes of records that no table refers to.
    pub(crate) const fn garbage(&self) -> u64 {
        self.meta.bytes().saturating_sub(self.live.bytes)
    }
}

/// The blob files of a state, by number.
///
/// # Invariants
/// `live` of each is the sum of what the tables of the state say; it is not more than the file has,
/// and it is not 0 except while tables are exchanged.
pub(crate) type BlobStates = BTreeMap<u64, BlobState>;

/// Adds a file, to which tables are about to refer.
pub(super) fn add(blobs: &mut BlobStates, meta: BlobMeta) -> Result<(), String> {
    match blobs.insert(meta.number, BlobState { meta, live: BlobUse::default() }) {
        None => Ok(()),
        Some(_) => Err(format!("blob file {} is there twice", meta.number)),
    }
}

/// Counts what a table that comes refers to.
pub(super) fn refer(blobs: &mut BlobStates, table: &FileMeta) -> Result<(), String> {
    for (&number, used) in &table.blobs {
        let Some(BlobState { live, .. }) = blobs.get_mut(&number) else {
            return Err(format!("table {} refers to blob file {number}, which is not there", table.number));
        };
        let sum = live.records.checked_add(used.records).zip(live.bytes.checked_add(used.bytes));
        let Some((records, bytes)) = sum else {
            return Err(format!("table {} refers to more of blob file {number} than any has", table.number));
        };
        *live = BlobUse { records, bytes };
    }
    Ok(())
}

/// Counts out what a table that goes refers to.
pub(super) fn release(blobs: &mut BlobStates, table: &FileMeta) {
    for (number, used) in &table.blobs {
        if let Some(BlobState { live, .. }) = blobs.get_mut(number) {
            live.records = live.records.saturating_sub(used.records);
            live.bytes = live.bytes.saturating_sub(used.bytes);
        }
    }
}

/// Lets go of the files that nothing refers to, and checks the others.
pub(super) fn settle(blobs: &mut BlobStates) -> Result<(), String> {
    blobs.retain(|_, state| state.live.records > 0);
    let over =
        |state: &&BlobState| state.live.records > state.meta.records || state.live.bytes > state.meta.bytes();
    match blobs.values().find(over) {
        Some(state) => Err(format!("tables refer to more of blob file {} than it has", state.meta.number)),
        None => Ok(()),
    }
}

/// The blob files among `metas` that the tables refer to.
pub(crate) fn of_tables<'a>(
    metas: impl IntoIterator<Item = BlobMeta>,
    tables: impl IntoIterator<Item = &'a FileMeta>,
) -> Result<BlobStates, String> {
    let mut blobs = BlobStates::new();
    metas.into_iter().try_for_each(|meta| add(&mut blobs, meta))?;
    tables.into_iter().try_for_each(|table| refer(&mut blobs, table))?;
    settle(&mut blobs)?;
    Ok(blobs)
}
