//! The tables that a repair works on, and merging them without knowing which is newer.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::Arc;

use super::blobs::Blobs;
use super::builder::Builder;
use crate::batch::Seq;
use crate::db::files::parse_table_name;
use crate::entry::Entry;
use crate::error::Error;
use crate::table::{Built, Fill, Table, TableIter};
use crate::verify;
use crate::version::{FileMeta, VersionFile};
use crate::vfs::Vfs;

/// A table that can be read completely.
pub(super) struct Source {
    pub(super) meta: FileMeta,
    pub(super) table: Arc<Table>,
    /// The repair made it.
    pub(super) is_new: bool,
}

impl Source {
    /// A table that was checked.
    pub(super) fn sound(file: VersionFile) -> Self {
        Self { meta: file.meta.as_ref().clone(), table: file.table, is_new: false }
    }

    /// A table that the repair made.
    pub(super) fn made(file: VersionFile) -> Self {
        Self { is_new: true, ..Self::sound(file) }
    }

    /// Opens a table that no manifest describes, and checks it by what it says itself.
    pub(super) fn open(vfs: &dyn Vfs, path: &Path, blobs: &Blobs) -> Result<Self, Error> {
        let (table, size) = crate::dump::open_table(vfs, path)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let built = Built { size, crc: table.checksum_file()?, properties: table.properties().clone() };
        let meta = Arc::new(FileMeta::of(parse_table_name(name).unwrap_or_default(), built));
        let file = VersionFile { meta, table: Arc::new(table), wear: Arc::default() };
        verify::table(&file, blobs.files(), blobs.damaged())?;
        Ok(Self::sound(file))
    }
}

/// What can be done with several sources.
pub(super) struct Sources;

impl Sources {
    /// Parts the tables so that those of one part overlap, directly or through others, and those of
    /// different parts do not.
    pub(super) fn overlapping(mut sources: Vec<Source>) -> Vec<Vec<Source>> {
        sources.sort_by(|a, b| a.meta.smallest.cmp(&b.meta.smallest));
        let mut parts: Vec<Vec<Source>> = Vec::new();
        let mut end: Vec<u8> = Vec::new();
        for source in sources {
            let largest = source.meta.largest.clone();
            match parts.last_mut().filter(|_| source.meta.smallest <= end) {
                Some(part) => {
                    part.push(source);
                    end = end.max(largest);
                }
                None => {
                    parts.push(vec![source]);
                    end = largest;
                }
            }
        }
        parts
    }

    /// Merges tables into a run of tables that do not overlap: of each key, the version with the
    /// largest sequence, of those without one that of the table with the highest number. A single
    /// table is the run by itself.
    pub(super) fn merge(sources: Vec<Source>, builder: &mut Builder<'_>) -> Result<Vec<FileMeta>, Error> {
        if let [source] = &sources[..] {
            return Ok(vec![source.meta.clone()]);
        }
        let tables: Vec<_> = sources.iter().map(|source| Arc::clone(&source.table)).collect();
        let cut = |builder: &mut Builder<'_>| {
            tables.iter().for_each(|table| builder.cover_seqs_of(table.properties()));
            builder.cut()
        };
        let mut heap = BinaryHeap::new();
        for (rank, source) in sources.iter().enumerate() {
            let mut walk = TableIter::new(Arc::clone(&source.table), Fill::Bypass);
            walk.seek(&[])?;
            let table = (source.table.properties().min_seq, source.meta.number);
            heap.extend(Position::of(walk, table, rank));
        }
        let mut made = Vec::new();
        let mut last: Option<Vec<u8>> = None;
        while let Some(position) = heap.pop() {
            // The first position of a key is its newest version.
            if last.as_ref() != Some(&position.key) {
                if builder.is_full() {
                    made.extend(cut(builder)?);
                }
                let Some(entry) = position.walk.entry() else { continue };
                builder.add(Entry { key: &position.key, seq: position.seq, content: entry.content })?;
                last = Some(position.key.clone());
            }
            heap.extend(position.advance()?);
        }
        made.extend(cut(builder)?);
        Ok(made.into_iter().map(|file| file.meta.as_ref().clone()).collect())
    }
}

/// Where a merge stands in one table.
struct Position {
    key: Vec<u8>,
    seq: Seq,
    /// The smallest sequence and the number of the table.
    table: (Seq, u64),
    rank: usize,
    walk: TableIter,
}

impl Position {
    fn of(walk: TableIter, table: (Seq, u64), rank: usize) -> Option<Self> {
        let entry = walk.entry()?;
        let (key, seq) = (entry.key.to_vec(), entry.seq);
        Some(Self { key, seq, table, rank, walk })
    }

    fn advance(mut self) -> Result<Option<Self>, Error> {
        self.walk.advance()?;
        Ok(Self::of(self.walk, self.table, self.rank))
    }

    /// Decides between versions of a key. One without a sequence, 0, is from the last level, below
    /// all others. Of the same sequence, that is newer which is in a table of later writes, and then
    /// in one that was written later. Without a sequence only the latter counts: what a newer table
    /// of the last level was made from can be older as well.
    fn newness(&self) -> (Seq, Seq, u64, usize) {
        let (min_seq, number) = self.table;
        (self.seq, if self.seq == 0 { 0 } else { min_seq }, number, self.rank)
    }
}

impl Ord for Position {
    /// The greatest comes first: the smallest key, of that the newest version.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key).then_with(|| self.newness().cmp(&other.newness()))
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Position {}
