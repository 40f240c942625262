//! The file of a table that cannot be opened.

use std::io;

use crate::vfs::VfsFile;

/// A file that fails whatever is asked of it.
#[derive(Debug)]
pub(super) struct NoFile;

fn refused<T>() -> io::Result<T> {
    Err(io::Error::other("the table could not be opened"))
}

impl VfsFile for NoFile {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        refused()
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        refused()
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }

    fn sync_all(&self) -> io::Result<()> {
        refused()
    }

    fn len(&self) -> io::Result<u64> {
        refused()
    }
}
