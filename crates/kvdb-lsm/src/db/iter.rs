//! Ordered iteration over a view, either way.

use std::ops::Bound;
use std::sync::Arc;

use super::views::Pin;
use crate::blob::Blob;
use crate::entry::{Content, Entry, KeyRange};
use crate::error::Error;
use crate::merge::{LevelIter, Merge, Source};
use crate::table::Fill;
use crate::version::LEVELS;

/// A key and its value.
pub type Row<'a> = (&'a [u8], &'a [u8]);

/// Where an iterator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first row of the range.
    Start,
    /// On a row: the merge stands on a value inside the range.
    Row,
    /// Behind the last row of the range.
    End,
    /// Nowhere, after an error.
    Lost,
}

/// A position among the rows of a range, as a view sees them. It may read the disk.
///
/// A new iterator stands before the first row. It can be moved one row on or back, in any order,
/// and it can be placed anew at any time. A row is borrowed until the next move. Whoever goes over
/// the end of the range stands behind it, and one row back is the last row; the start is alike.
/// After an error the iterator has no position, and every step answers `None` until it is placed
/// anew.
///
/// It is also an [`Iterator`] of owned pairs, upwards; [`Iter::descending`] goes downwards. It is no
/// [`DoubleEndedIterator`], because it has one position and that has two.
///
/// ```
/// # use std::sync::Arc;
/// # use kvdb_lsm::{Db, Options, batch::WriteBatch, vfs::SimVfs};
/// # fn main() -> Result<(), kvdb_lsm::error::Error> {
/// # let mut options = Options::new("/data");
/// # options.vfs = Arc::new(SimVfs::new());
/// # let db = Db::open(options)?;
/// let mut batch = WriteBatch::new();
/// for key in [b"a1", b"a3", b"a5", b"b2"] {
///     batch.put(key, b"");
/// }
/// db.append(&batch).expect("the database is new");
/// let mut iter = db.iter_prefix(b"a", &db.view());
/// assert_eq!(iter.seek(b"a2")?, Some((&b"a3"[..], &b""[..])));
/// assert_eq!(iter.prev_entry()?, Some((&b"a1"[..], &b""[..])));
/// assert_eq!(iter.seek_for_prev(b"a9")?, Some((&b"a5"[..], &b""[..])));
/// assert_eq!(iter.next_entry()?, None);
/// assert_eq!(iter.prev_entry()?, Some((&b"a5"[..], &b""[..])));
/// # Ok(())
/// # }
/// ```
///
/// # Invariants
/// The merge is at most one row ahead of what `place` says: it stands on the row, or on what showed
/// that there is none. `blob` is the value of the row, and of no other, if it lies in a blob file and was
/// read.
#[derive(Debug)]
pub struct Iter {
    merge: Merge,
    range: KeyRange,
    place: Place,
    /// The value of the row, if it lies in a blob file and was read.
    blob: Option<Arc<Blob>>,
    pin: Arc<Pin>,
}

impl Iter {
    pub(super) fn new(pin: Arc<Pin>, range: KeyRange) -> Self {
        let merge = Merge::over(sources(&pin, &range));
        Self { merge, range, place: Place::Start, blob: None, pin }
    }

    /// The row that the iterator stands on.
    #[must_use]
    pub fn current(&self) -> Option<Row<'_>> {
        if self.place != Place::Row {
            return None;
        }
        let entry = self.merge.entry()?;
        match entry.content {
            Content::Value(value) => Some((entry.key, value)),
            Content::Blob(_) => Some((entry.key, self.blob.as_ref()?.value())),
            Content::Tombstone => None,
        }
    }

    /// Goes to the first row.
    pub fn seek_first(&mut self) -> Result<Option<Row<'_>>, Error> {
        self.step(Self::go_first)?;
        self.row()
    }

    /// Goes to the last row.
    pub fn seek_last(&mut self) -> Result<Option<Row<'_>>, Error> {
        self.step(Self::go_last)?;
        self.row()
    }

    /// Goes to the first row of the range with a key not below `key`.
    pub fn seek(&mut self, key: &[u8]) -> Result<Option<Row<'_>>, Error> {
        self.step(|iter| iter.go_to(key))?;
        self.row()
    }

    /// Goes to the last row of the range with a key not above `key`.
    pub fn seek_for_prev(&mut self, key: &[u8]) -> Result<Option<Row<'_>>, Error> {
        self.step(|iter| iter.go_back_to(key))?;
        self.row()
    }

    /// Goes to the next row; `None` at the end of the range.
    #[inline]
    pub fn next_entry(&mut self) -> Result<Option<Row<'_>>, Error> {
        self.step(Self::forward)?;
        self.row()
    }

    /// Goes to the row before; `None` at the start of the range.
    #[inline]
    pub fn prev_entry(&mut self) -> Result<Option<Row<'_>>, Error> {
        self.step(Self::back)?;
        self.row()
    }

    /// The same position with the keys alone: values are read when they are asked for. Where they lie in
    /// blob files and few are needed, that spares most of the reading.
    #[must_use]
    pub const fn keys(self) -> Keys {
        Keys(self)
    }

    /// The rows of the range from the last to the first, wherever the iterator stands.
    #[must_use]
    pub const fn descending(mut self) -> Descending {
        self.place = Place::End;
        Descending(self)
    }

    /// Does a step; damage that it meets is noted.
    #[inline]
    fn step(&mut self, step: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        let done = step(self);
        self.pin.state.noting(done)
    }

    /// Whatever goes wrong from here on takes the position.
    fn lose(&mut self) {
        self.place = Place::Lost;
        self.blob = None;
    }

    fn go_first(&mut self) -> Result<(), Error> {
        self.lose();
        match self.range.bounds().lower {
            Bound::Included(lower) => self.merge.seek(lower)?,
            Bound::Excluded(lower) => {
                self.merge.seek(lower)?;
                if self.merge.entry().is_some_and(|entry| entry.key == lower) {
                    self.merge.advance()?;
                }
            }
            Bound::Unbounded => self.merge.seek_first()?,
        }
        self.settle_forward()
    }

    fn go_last(&mut self) -> Result<(), Error> {
        self.lose();
        match self.range.bounds().upper {
            Bound::Included(upper) => self.merge.seek_back(upper, true)?,
            Bound::Excluded(upper) => self.merge.seek_back(upper, false)?,
            Bound::Unbounded => self.merge.seek_last()?,
        }
        self.settle_backward()
    }

    fn go_to(&mut self, key: &[u8]) -> Result<(), Error> {
        let range = self.range.bounds();
        if range.is_before(key) {
            return self.go_first();
        }
        if range.is_after(key) {
            self.place = Place::End;
            return Ok(());
        }
        self.lose();
        self.merge.seek(key)?;
        self.settle_forward()
    }

    fn go_back_to(&mut self, key: &[u8]) -> Result<(), Error> {
        let range = self.range.bounds();
        if range.is_after(key) {
            return self.go_last();
        }
        if range.is_before(key) {
            self.place = Place::Start;
            return Ok(());
        }
        self.lose();
        self.merge.seek_back(key, true)?;
        self.settle_backward()
    }

    #[inline]
    fn forward(&mut self) -> Result<(), Error> {
        match self.place {
            Place::Start => self.go_first(),
            Place::Row => {
                self.lose();
                self.merge.advance()?;
                self.settle_forward()
            }
            Place::End | Place::Lost => Ok(()),
        }
    }

    #[inline]
    fn back(&mut self) -> Result<(), Error> {
        match self.place {
            Place::End => self.go_last(),
            Place::Row => {
                self.lose();
                self.merge.retreat()?;
                self.settle_backward()
            }
            Place::Start | Place::Lost => Ok(()),
        }
    }

    /// Goes on to the next value, if the merge does not stand on one.
    #[inline]
    fn settle_forward(&mut self) -> Result<(), Error> {
        self.place = loop {
            match self.merge.entry() {
                None => break Place::End,
                Some(entry) if self.range.bounds().is_after(entry.key) => break Place::End,
                Some(entry) if !entry.content.is_tombstone() => break Place::Row,
                Some(_) => self.merge.advance()?,
            }
        };
        Ok(())
    }

    /// Goes back to the value before, if the merge does not stand on one.
    #[inline]
    fn settle_backward(&mut self) -> Result<(), Error> {
        self.place = loop {
            match self.merge.entry() {
                None => break Place::Start,
                Some(entry) if self.range.bounds().is_before(entry.key) => break Place::Start,
                Some(entry) if !entry.content.is_tombstone() => break Place::Row,
                Some(_) => self.merge.retreat()?,
            }
        };
        Ok(())
    }

    /// The row, after a move. A value in a blob file that cannot be read takes the position.
    #[inline]
    fn row(&mut self) -> Result<Option<Row<'_>>, Error> {
        if let Err(error) = self.step(Self::fetch) {
            self.lose();
            return Err(error);
        }
        Ok(self.current())
    }

    /// Reads the value of the row, if it lies in a blob file. It does not stay in the cache: who walks
    /// over large values would only push out what others use.
    #[inline]
    fn fetch(&mut self) -> Result<(), Error> {
        if self.place == Place::Row
            && self.blob.is_none()
            && let Some(Entry { key, content: Content::Blob(reference), .. }) = self.merge.entry()
        {
            self.blob = Some(self.pin.state.version.blobs().value(key, &reference, Fill::Bypass)?);
        }
        Ok(())
    }

    /// The key of the row.
    #[inline]
    fn key(&self) -> Option<&[u8]> {
        if self.place == Place::Row { self.merge.entry().map(|entry| entry.key) } else { None }
    }
}

/// A position among the keys of a range; see [`Iter::keys`]. It is moved like an [`Iter`].
///
/// ```
/// # use std::sync::Arc;
/// # use kvdb_lsm::{Db, Options, batch::WriteBatch, vfs::SimVfs};
/// # fn main() -> Result<(), kvdb_lsm::error::Error> {
/// # let mut options = Options::new("/data");
/// # options.vfs = Arc::new(SimVfs::new());
/// # let db = Db::open(options)?;
/// let mut batch = WriteBatch::new();
/// batch.put(b"film/1", &[0; 100_000]);
/// batch.put(b"film/2", b"short");
/// db.append(&batch).expect("the database is new");
/// let mut keys = db.iter_prefix(b"film/", &db.view()).keys();
/// assert_eq!(keys.next_key()?, Some(&b"film/1"[..]));
/// assert_eq!(keys.next_key()?, Some(&b"film/2"[..]));
/// assert_eq!(keys.row()?, Some((&b"film/2"[..], &b"short"[..])));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Keys(Iter);

impl Keys {
    /// The key that the position is on.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// The key with its value. After an error the position is the same, and this can be asked again.
    pub fn row(&mut self) -> Result<Option<Row<'_>>, Error> {
        self.0.step(Iter::fetch)?;
        Ok(self.0.current())
    }

    /// Goes to the first key.
    pub fn seek_first(&mut self) -> Result<Option<&[u8]>, Error> {
        self.0.step(Iter::go_first)?;
        Ok(self.key())
    }

    /// Goes to the last key.
    pub fn seek_last(&mut self) -> Result<Option<&[u8]>, Error> {
        self.0.step(Iter::go_last)?;
        Ok(self.key())
    }

    /// Goes to the first key of the range not below `key`.
    pub fn seek(&mut self, key: &[u8]) -> Result<Option<&[u8]>, Error> {
        self.0.step(|iter| iter.go_to(key))?;
        Ok(self.key())
    }

    /// Goes to the last key of the range not above `key`.
    pub fn seek_for_prev(&mut self, key: &[u8]) -> Result<Option<&[u8]>, Error> {
        self.0.step(|iter| iter.go_back_to(key))?;
        Ok(self.key())
    }

    /// Goes to the next key; `None` at the end of the range.
    #[inline]
    pub fn next_key(&mut self) -> Result<Option<&[u8]>, Error> {
        self.0.step(Iter::forward)?;
        Ok(self.key())
    }

    /// Goes to the key before; `None` at the start of the range.
    #[inline]
    pub fn prev_key(&mut self) -> Result<Option<&[u8]>, Error> {
        self.0.step(Iter::back)?;
        Ok(self.key())
    }
}

fn owned((key, value): Row<'_>) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), value.to_vec())
}

impl Iterator for Iter {
    type Item = Result<(Vec<u8>, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().map(|row| row.map(owned)).transpose()
    }
}

/// The rows of a range from the last to the first; see [`Iter::descending`].
#[derive(Debug)]
pub struct Descending(Iter);

impl Iterator for Descending {
    type Item = Result<(Vec<u8>, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.prev_entry().map(|row| row.map(owned)).transpose()
    }
}

/// Everything that may hold keys of the range, newest first, unplaced.
fn sources(pin: &Pin, range: &KeyRange) -> Vec<Source> {
    let state = &pin.state;
    let frozen = state.frozen.iter().map(|frozen| &frozen.memtable);
    let mut sources: Vec<Source> = std::iter::once(&state.active)
        .chain(frozen)
        .map(|memtable| Source::Memtable(memtable.cursor(range.clone(), pin.seq)))
        .collect();
    let bounds = range.bounds();
    let levels = (1..LEVELS).map(|level| state.version.level(level));
    for files in state.version.runs().iter().chain(levels) {
        sources.extend(LevelIter::within(files, bounds, Fill::Cache).map(Source::Level));
    }
    sources
}
