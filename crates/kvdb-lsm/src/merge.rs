//! Merging sorted sources into one: the newest version of every key, in key order.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::entry::Entry;
use crate::error::Error;
use crate::memtable::MemCursor;
use crate::table::{Fill, TableIter};
use crate::version::VersionFile;

/// One sorted source; it has every key at most once.
#[derive(Debug)]
pub(crate) enum Source {
    /// A memtable.
    Memtable(MemCursor),
    /// A single table.
    Table(TableIter),
    /// Tables that follow each other.
    Level(LevelIter),
}

impl Source {
    fn entry(&self) -> Option<Entry<'_>> {
        match self {
            Self::Memtable(cursor) => cursor.entry(),
            Self::Table(table) => table.entry(),
            Self::Level(level) => level.entry(),
        }
    }

    fn advance(&mut self) -> Result<(), Error> {
        match self {
            Self::Memtable(cursor) => {
                cursor.advance();
                Ok(())
            }
            Self::Table(table) => table.advance(),
            Self::Level(level) => level.advance(),
        }
    }
}

/// Walks the tables of a level one after the other.
///
/// # Invariants
/// `files` is ordered by key without overlaps; `table` is an iterator over `files[at]`, or the end
/// is reached.
#[derive(Debug)]
pub(crate) struct LevelIter {
    files: Arc<Vec<VersionFile>>,
    at: usize,
    table: Option<TableIter>,
    fill: Fill,
}

impl LevelIter {
    /// Starts at the first entry with a key not below `key`.
    pub(crate) fn seek(files: Arc<Vec<VersionFile>>, key: &[u8], fill: Fill) -> Result<Self, Error> {
        let at = files.partition_point(|file| file.meta.largest.as_slice() < key);
        let mut level = Self { files, at, table: None, fill };
        level.open(key)?;
        Ok(level)
    }

    fn open(&mut self, key: &[u8]) -> Result<(), Error> {
        self.table = None;
        while let Some(file) = self.files.get(self.at) {
            let mut table = TableIter::new(Arc::clone(&file.table), self.fill);
            table.seek(key)?;
            if table.entry().is_some() {
                self.table = Some(table);
                break;
            }
            self.at += 1;
        }
        Ok(())
    }

    fn entry(&self) -> Option<Entry<'_>> {
        self.table.as_ref()?.entry()
    }

    fn advance(&mut self) -> Result<(), Error> {
        let Some(table) = &mut self.table else {
            return Ok(());
        };
        table.advance()?;
        if table.entry().is_none() {
            self.at += 1;
            self.open(&[])?;
        }
        Ok(())
    }
}

/// Merges sources that are ordered from new to old.
///
/// # Invariants
/// `heap` is a binary min-heap of the sources that have an entry, by key and then by age: its root
/// is the newest version of the smallest key.
#[derive(Debug)]
pub(crate) struct Merge {
    sources: Vec<Source>,
    heap: Vec<usize>,
    key: Vec<u8>,
}

impl Merge {
    /// Merges sources that stand where the merge begins; the newest comes first.
    pub(crate) fn new(sources: Vec<Source>) -> Self {
        let heap = (0..sources.len()).filter(|&n| sources[n].entry().is_some()).collect();
        let mut merge = Self { sources, heap, key: Vec::new() };
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sift_down(at);
        }
        merge
    }

    /// The current entry, if any is left. A tombstone is an entry.
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        self.sources[*self.heap.first()?].entry()
    }

    /// Goes to the next key.
    pub(crate) fn advance(&mut self) -> Result<(), Error> {
        let Some(entry) = self.heap.first().and_then(|&n| self.sources[n].entry()) else {
            return Ok(());
        };
        self.key.clear();
        self.key.extend_from_slice(entry.key);
        while let Some(&source) = self.heap.first() {
            match self.sources[source].entry() {
                Some(entry) if entry.key != self.key => break,
                _ => {}
            }
            self.sources[source].advance()?;
            if self.sources[source].entry().is_none() {
                self.heap.swap_remove(0);
            }
            self.sift_down(0);
        }
        Ok(())
    }

    fn before(&self, a: usize, b: usize) -> bool {
        let key = |n: usize| self.sources[n].entry().map(|entry| entry.key);
        match key(a).cmp(&key(b)) {
            Ordering::Equal => a < b,
            order => order == Ordering::Less,
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let mut smallest = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.before(self.heap[child], self.heap[smallest]) {
                    smallest = child;
                }
            }
            if smallest == at {
                return;
            }
            self.heap.swap(at, smallest);
            at = smallest;
        }
    }
}
