//! Ordered iteration over a view.

use std::sync::Arc;

use super::views::Pin;
use crate::entry::KeyRange;
use crate::error::Error;
use crate::merge::{LevelIter, Merge, Source};
use crate::table::Fill;
use crate::version::LEVELS;

/// A key and its value.
pub type Row<'a> = (&'a [u8], &'a [u8]);

/// The keys of a range and their values, in key order, as a view sees them. It may read the disk.
///
/// An iterator is an [`Iterator`] of owned pairs; [`Iter::next_entry`] borrows instead of copying.
/// After an error it has ended.
#[derive(Debug)]
pub struct Iter {
    merge: Merge,
    range: KeyRange,
    /// The current entry has been given out.
    given: bool,
    failed: bool,
    /// An error of the start, given out first.
    error: Option<Error>,
    _pin: Arc<Pin>,
}

impl Iter {
    pub(super) fn new(pin: Arc<Pin>, range: KeyRange) -> Self {
        let (merge, error) = match sources(&pin, &range) {
            Ok(sources) => (Merge::new(sources), None),
            Err(error) => (Merge::new(Vec::new()), Some(error)),
        };
        Self { merge, range, given: false, failed: false, error, _pin: pin }
    }

    /// The next key and value, borrowed until the next call; `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Row<'_>>, Error> {
        if let Some(error) = self.error.take() {
            self.failed = true;
            return Err(error);
        }
        if self.failed {
            return Ok(None);
        }
        if std::mem::take(&mut self.given) {
            self.advance()?;
        }
        while let Some(entry) = self.merge.entry() {
            if self.range.is_after(entry.key) {
                return Ok(None);
            }
            if entry.value.is_some() && !self.range.is_before(entry.key) {
                break;
            }
            self.advance()?;
        }
        self.given = true;
        let current = self.merge.entry();
        Ok(current.and_then(|entry| Some((entry.key, entry.value?))))
    }

    fn advance(&mut self) -> Result<(), Error> {
        self.merge.advance().inspect_err(|_| self.failed = true)
    }
}

impl Iterator for Iter {
    type Item = Result<(Vec<u8>, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec()))).transpose()
    }
}

/// Everything that may hold keys of the range, newest first, placed at its start.
fn sources(pin: &Pin, range: &KeyRange) -> Result<Vec<Source>, Error> {
    let state = &pin.state;
    let frozen = state.frozen.iter().map(|frozen| &frozen.memtable);
    let mut sources: Vec<Source> = std::iter::once(&state.active)
        .chain(frozen)
        .map(|memtable| Source::Memtable(memtable.cursor(range.clone(), pin.seq)))
        .collect();
    let key = range.seek_key();
    let levels = (1..LEVELS).map(|level| state.version.level(level));
    for files in state.version.runs().iter().chain(levels) {
        let at = files.partition_point(|file| file.meta.largest.as_slice() < key);
        let reaches = |file: &crate::version::VersionFile| !range.is_after(&file.meta.smallest);
        if files.get(at).is_some_and(reaches) {
            let level = LevelIter::seek(Arc::clone(files), key, Fill::Cache)?;
            sources.push(Source::Level(level));
        }
    }
    Ok(sources)
}
