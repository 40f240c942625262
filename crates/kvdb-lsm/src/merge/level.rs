//! Walking the tables of a level one after the other.

use std::ops::Range;
use std::sync::Arc;

use crate::entry::{Bounds, Entry};
use crate::error::Error;
use crate::table::{Fill, TableIter};
use crate::version::VersionFile;

/// A position in a level. Unplaced until the first seek; who has gone over either end has to seek
/// again.
///
/// # Invariants
/// `files` is ordered by key without overlaps. `table` is an iterator over `files[at]` that stands
/// on an entry, and `at` is in `window`; no table means that there is no entry.
#[derive(Debug)]
pub(crate) struct LevelIter {
    files: Arc<Vec<VersionFile>>,
    /// The tables that are walked.
    window: Range<usize>,
    at: usize,
    table: Option<TableIter>,
    fill: Fill,
}

impl LevelIter {
    /// Walks all tables.
    pub(crate) fn new(files: Arc<Vec<VersionFile>>, fill: Fill) -> Self {
        let window = 0..files.len();
        Self { files, window, at: 0, table: None, fill }
    }

    /// Walks the tables that can have keys of the range; `None` if there are none.
    pub(crate) fn within(files: &Arc<Vec<VersionFile>>, range: Bounds<'_>, fill: Fill) -> Option<Self> {
        let start = files.partition_point(|file| range.is_before(&file.meta.largest));
        let end = files.partition_point(|file| !range.is_after(&file.meta.smallest));
        let window = start..end;
        (!window.is_empty()).then(|| Self { window, ..Self::new(Arc::clone(files), fill) })
    }

    /// The current entry, if any is left.
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        self.table.as_ref()?.entry()
    }

    /// Goes to the first entry.
    pub(crate) fn seek_first(&mut self) -> Result<(), Error> {
        self.enter_forward(self.window.start, |table| table.seek(&[]))
    }

    /// Goes to the last entry.
    pub(crate) fn seek_last(&mut self) -> Result<(), Error> {
        self.enter_backward(self.window.end, TableIter::seek_to_last)
    }

    /// Goes to the first entry with a key not below `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        let at = self.files.partition_point(|file| file.meta.largest.as_slice() < key);
        self.enter_forward(at.max(self.window.start), |table| table.seek(key))
    }

    /// Goes to the last entry with a key below `key`, or not above it if `inclusive`.
    pub(crate) fn seek_back(&mut self, key: &[u8], inclusive: bool) -> Result<(), Error> {
        let reaches = |file: &VersionFile| {
            let smallest = file.meta.smallest.as_slice();
            smallest < key || (inclusive && smallest == key)
        };
        let end = self.files.partition_point(reaches);
        self.enter_backward(end.min(self.window.end), |table| table.seek_back(key, inclusive))
    }

    /// Goes to the next entry.
    pub(crate) fn advance(&mut self) -> Result<(), Error> {
        let Some(table) = &mut self.table else {
            return Ok(());
        };
        table.advance()?;
        if table.entry().is_some() {
            return Ok(());
        }
        self.enter_forward(self.at + 1, |table| table.seek(&[]))
    }

    /// Goes to the entry before.
    pub(crate) fn retreat(&mut self) -> Result<(), Error> {
        let Some(table) = &mut self.table else {
            return Ok(());
        };
        table.retreat()?;
        if table.entry().is_some() {
            return Ok(());
        }
        self.enter_backward(self.at, TableIter::seek_to_last)
    }

    /// Places `table` in the first table from `at` on in which `seek` finds an entry.
    fn enter_forward(
        &mut self,
        at: usize,
        seek: impl Fn(&mut TableIter) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.enter(at..self.window.end, seek)
    }

    /// Places `table` in the last table below `end` in which `seek` finds an entry.
    fn enter_backward(
        &mut self,
        end: usize,
        seek: impl Fn(&mut TableIter) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.enter((self.window.start..end).rev(), seek)
    }

    fn enter(
        &mut self,
        order: impl Iterator<Item = usize>,
        seek: impl Fn(&mut TableIter) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let current = self.table.take();
        // Another seek in the same table needs no new iterator.
        let mut current = current.map(|table| (self.at, table));
        for at in order {
            let mut table = match current.take_if(|(of, _)| *of == at) {
                Some((_, table)) => table,
                None => TableIter::new(Arc::clone(&self.files[at].table), self.fill),
            };
            seek(&mut table)?;
            if table.entry().is_some() {
                (self.at, self.table) = (at, Some(table));
                break;
            }
        }
        Ok(())
    }
}
