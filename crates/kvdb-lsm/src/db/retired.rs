//! What has left the state, kept until the last reader has let go of it.
//!
//! No reader is ever the last to hold it: to free a memtable or to remove a file takes a while, and
//! those who read have others waiting for them.

use std::path::Path;
use std::sync::Arc;

use super::state::State;
use crate::blob::BlobFile;
use crate::memtable::Memtable;
use crate::sync::Mutex;
use crate::table::Table;
use crate::vfs::Vfs;

/// A file that the version no longer names.
#[derive(Debug)]
pub(super) enum RetiredFile {
    Table(Arc<Table>),
    Blob(Arc<BlobFile>),
}

impl RetiredFile {
    fn is_unused(&self) -> bool {
        match self {
            Self::Table(table) => Arc::strong_count(table) == 1,
            Self::Blob(file) => Arc::strong_count(file) == 1,
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Table(table) => table.path(),
            Self::Blob(file) => file.path(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Retired {
    memtables: Mutex<Vec<Arc<Memtable>>>,
    files: Mutex<Vec<RetiredFile>>,
    /// Held by whoever removes files.
    removing: Mutex<()>,
}

impl Retired {
    pub(super) fn add_memtable(&self, memtable: &Arc<Memtable>) {
        self.memtables.lock().push(Arc::clone(memtable));
    }

    pub(super) fn add_files(&self, files: impl IntoIterator<Item = RetiredFile>) {
        self.files.lock().extend(files);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.memtables.lock().is_empty() && self.files.lock().is_empty()
    }

    /// The memory of the memtables that are not in `state` any more, in bytes: one that is being
    /// retired is in both for a moment.
    pub(super) fn memtable_bytes(&self, state: &State) -> usize {
        let memtables = self.memtables.lock();
        let is_left = |retired: &&Arc<Memtable>| !state.memtables().any(|there| Arc::ptr_eq(there, retired));
        memtables.iter().filter(is_left).map(|memtable| memtable.allocated()).sum()
    }

    /// Frees the memtables that no reader uses any more; returns whether there was one.
    pub(super) fn free_memtables(&self) -> bool {
        // Freed when the list is no longer locked.
        let unused: Vec<_> =
            self.memtables.lock().extract_if(.., |memtable| Arc::strong_count(memtable) == 1).collect();
        !unused.is_empty()
    }

    /// Removes the files that no reader uses any more. When it returns they are gone, those too that
    /// another thread was at.
    pub(super) fn remove_files(&self, vfs: &dyn Vfs) {
        let _removing = self.removing.lock();
        let unused: Vec<_> = self.files.lock().extract_if(.., |file| file.is_unused()).collect();
        for file in unused {
            // What cannot be removed now is removed as a stranger at the next opening.
            let _ = vfs.remove(file.path());
        }
    }
}
