//! What a compaction does with the values of blob files that it meets: most stay where they are, those
//! in files that are due move.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::core::Core;
use super::outputs::Outputs;
use crate::blob::{Blob, BlobRef};
use crate::compaction::{Damaged, due_blobs, due_bytes};
use crate::entry::{Content, Entry};
use crate::error::Error;
use crate::table::Fill;
use crate::version::{FileMeta, Version};

/// # Invariants
/// No file is both in `due` and in `damaged`. `read` and `moved` count the bytes of the records so far.
pub(super) struct BlobMoves<'a> {
    version: &'a Version,
    due: BTreeSet<u64>,
    damaged: Damaged,
    /// The filter judges by values.
    reads_values: bool,
    read: u64,
    moved: u64,
}

impl<'a> BlobMoves<'a> {
    pub(super) fn new(core: &Core, version: &'a Version) -> Self {
        let damaged = core.damage.marked().clone();
        let due = due_blobs(version.blob_states(), &core.compaction_config(), &damaged);
        let reads_values = core.options.filter.as_ref().is_some_and(|filter| filter.reads_values());
        Self { version, due, damaged, reads_values, read: 0, moved: 0 }
    }

    /// The bytes that move when a table is rewritten.
    pub(super) fn bytes_of(&self, table: &FileMeta) -> u64 {
        due_bytes(table, &self.due)
    }

    /// The value of an entry, if it lies in a blob file and the filter judges by it. One that cannot be
    /// read is not judged: it stays.
    pub(super) fn value_to_judge(&mut self, entry: Entry<'_>) -> Result<Option<Arc<Blob>>, Error> {
        match entry.content {
            Content::Blob(to) if self.reads_values && !self.damaged.contains(&to.file) => {
                self.read += u64::from(to.len);
                self.version.blobs().value(entry.key, &to, Fill::Bypass).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Adds an entry to the outputs, as the filter has `seen` it.
    pub(super) fn add(
        &mut self,
        outputs: &mut Outputs<'_>,
        entry: Entry<'_>,
        seen: Entry<'_>,
    ) -> Result<(), Error> {
        match entry.content {
            Content::Blob(from) if self.due.contains(&from.file) => {
                self.add_moved(outputs, entry, &from, seen)
            }
            _ => outputs.add_as(entry, seen),
        }
    }

    /// Adds an entry with its value in another blob file, or in the table if it is not large any more.
    fn add_moved(
        &mut self,
        outputs: &mut Outputs<'_>,
        entry: Entry<'_>,
        from: &BlobRef,
        seen: Entry<'_>,
    ) -> Result<(), Error> {
        self.read += u64::from(from.len);
        self.moved += u64::from(from.len);
        let record = self.version.blobs().record(entry.key, from)?;
        if let Some(to) = outputs.copy_blob(&record, from.value_len)? {
            return outputs.add_as(Entry { content: Content::Blob(to), ..entry }, seen);
        }
        let blob = self.version.blobs().value(entry.key, from, Fill::Bypass)?;
        outputs.add_as(Entry { content: Content::Value(blob.value()), ..entry }, seen)
    }

    /// The bytes of records read so far.
    pub(super) const fn read(&self) -> u64 {
        self.read
    }

    /// The bytes of records moved so far.
    pub(super) const fn moved(&self) -> u64 {
        self.moved
    }
}
