//! Building a table outside of any database, to be ingested by one.
//!
//! Such a table has the ordinary format, the number 0 and the sequence 0 for all of its entries:
//! its place in the order of writes is not known before it is ingested.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::batch::MAX_KEY_LEN;
use crate::compression::Compression;
use crate::entry::{Content, Entry};
use crate::error::Error;
use crate::table::{PartitionLimits, TableBuilder, TableOptions};
use crate::vfs::Vfs;

/// The number of a table that belongs to no database.
pub(crate) const EXTERNAL_NUMBER: u64 = 0;
/// The largest entry, key and value together, in bytes.
const MAX_ENTRY: u64 = 1 << 30;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenTable {
    /// The length of the file in bytes.
    pub bytes: u64,
    /// Entries, deletions included.
    pub entries: u64,
    /// Deletions.
    pub deletions: u64,
    /// The first key.
    pub smallest: Vec<u8>,
    /// The last key.
    pub largest: Vec<u8>,
}

/// Writes a table whose keys come in ascending order.
///
/// A writer that is dropped without [`SstWriter::finish`] removes its file.
///
/// # Invariants
/// `last` is the last key added; `builder` is there until the table is finished or failed.
pub struct SstWriter<'v> {
    vfs: &'v dyn Vfs,
    path: PathBuf,
    builder: Option<TableBuilder>,
    last: Option<Vec<u8>>,
    finished: bool,
}

impl fmt::Debug for SstWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SstWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'v> SstWriter<'v> {
    /// Begins a table in the file `path`, which must not exist.
    ///
    /// The file is read once, by the ingestion, which builds the database's own table from it: so
    /// it has no filter, and compression is a matter of where it is kept until then.
    pub fn create(vfs: &'v dyn Vfs, path: &Path, compression: Compression) -> Result<Self, Error> {
        let file = vfs.create(path).map_err(Error::io("create", path))?;
        let options = TableOptions {
            block_bytes: 16 << 10,
            restart_interval: 16,
            bloom_bits_per_key: 0,
            compression,
            drop_seqs: false,
            partitions: PartitionLimits::DEFAULT,
        };
        let builder = TableBuilder::new(file, EXTERNAL_NUMBER, options);
        Ok(Self { vfs, path: path.to_owned(), builder: Some(builder), last: None, finished: false })
    }

    /// Adds a key with its value.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the key is not above the one before, or longer than [`MAX_KEY_LEN`]; the
    /// table can go on without it.
    /// After [`Error::Io`] it cannot.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.add(key, Content::Value(value))
    }

    /// Adds the deletion of a key; errors as for [`SstWriter::put`].
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Error> {
        self.add(key, Content::Tombstone)
    }

    fn add(&mut self, key: &[u8], content: Content<'_>) -> Result<(), Error> {
        let invalid = |why: &str| Err(Error::Invalid(format!("{}: {why}", self.path.display())));
        if self.last.as_deref().is_some_and(|last| last >= key) {
            return invalid("the keys of a table must ascend, and each may come once");
        }
        if key.len() > MAX_KEY_LEN {
            return invalid("a key may have 4 MiB");
        }
        if key.len() as u64 + content.value_len() > MAX_ENTRY {
            return invalid("a key and its value may have 1 GiB together");
        }
        let Some(builder) = &mut self.builder else {
            return invalid("the table failed to be written before");
        };
        if let Err(source) = builder.add(Entry { key, seq: 0, content }) {
            self.builder = None;
            return Err(Error::io("write", &self.path)(source));
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        Ok(())
    }

    /// Completes the table and makes it durable, its name too.
    ///
    /// # Errors
    /// [`Error::Invalid`] if nothing was added. The file is removed.
    pub fn finish(mut self) -> Result<WrittenTable, Error> {
        let Some(builder) = self.builder.take().filter(|_| self.last.is_some()) else {
            return Err(Error::Invalid(format!("{}: a table cannot be empty", self.path.display())));
        };
        let built = builder.finish().map_err(Error::io("write", &self.path))?;
        if let Some(dir) = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            self.vfs.sync_dir(dir).map_err(Error::io("sync", dir))?;
        }
        self.finished = true;
        Ok(WrittenTable {
            bytes: built.size,
            entries: built.properties.entries,
            deletions: built.properties.tombstones,
            smallest: built.properties.smallest,
            largest: built.properties.largest,
        })
    }
}

impl Drop for SstWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // What stays is no table: it has no footer.
            let _ = self.vfs.remove(&self.path);
        }
    }
}
