//! The file system as the engine sees it: one trait, so that every byte that reaches a disk can
//! also reach a simulated one.
//!
//! The trait names only the operations a crash-safe store needs, and it names the *durability*
//! operations separately from the data operations: a written byte is durable after
//! [`VfsFile::sync_data`], a created, renamed or removed name after [`Vfs::sync_dir`] of its
//! directory, and nothing else is promised. [`SimVfs`] enforces exactly this and no more;
//! [`OsVfs`] maps it to the system.
//!
//! All methods may block. Paths are used as given.

mod fault;
mod os;
mod sim;

pub use fault::{FaultKind, FaultPlan};
pub use os::OsVfs;
pub use sim::SimVfs;

use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system.
pub trait Vfs: Send + Sync + 'static {
    /// Creates a file that must not exist yet, for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>>;

    /// Opens an existing file for reading only.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;

    /// Renames a file, replacing `to` atomically if it exists.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Open handles stay usable.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives the file `from` the further name `to`, which must not exist yet.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Creates a directory and its missing ancestors; an existing one is no error.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// The names of the entries of a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Whether a file or directory of this name exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Makes the names in `dir` durable: what was created, renamed or removed there so far. The
    /// empty path is the directory that relative paths start from.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock of the file `path`, creating it if needed. The lock is freed when
    /// the returned guard is dropped. When another process (or another guard) holds it, the error
    /// is [`io::ErrorKind::WouldBlock`] and names the holder's process id if that is known.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;

    /// Takes a lock of the file `path` that many may share, and that keeps out whoever wants it by
    /// [`Vfs::lock`]. Nothing is written: a file that does not exist cannot be locked by anybody,
    /// and the guard is empty then. A file system without shared locks takes the exclusive one.
    /// Errors as for [`Vfs::lock`].
    fn lock_shared(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.lock(path)
    }

    /// The bytes an unprivileged writer can still allocate on the file system of `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// Creates a directory and its missing ancestors, durably: nothing in a directory is durable before
/// the directories above it are.
pub(crate) fn create_dir_durably(vfs: &dyn Vfs, dir: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for ancestor in dir.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
        if vfs.exists(ancestor)? {
            // An earlier attempt may have created it and died. It may also be one that only others
            // may read, and there since long.
            if let Some(above) = ancestor.parent().filter(|_| ancestor != dir) {
                let _ = vfs.sync_dir(above);
            }
            break;
        }
        missing.push(ancestor);
    }
    for created in missing.into_iter().rev() {
        vfs.create_dir_all(created)?;
        created.parent().map_or(Ok(()), |above| vfs.sync_dir(above))?;
    }
    dir.parent().map_or(Ok(()), |above| vfs.sync_dir(above))
}

/// An open file. Reads and writes name their offset, so that one handle serves several threads.
pub trait VfsFile: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; zero means the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes up to `buf.len()` bytes at `offset` and returns how many were written: possibly
    /// fewer.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Reserves blocks for the first `len` bytes and extends the file (with zeros) to at least
    /// that length, so that writes below `len` need no further space. Never shrinks the file.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Sets the length of the file, cutting it or extending it with zeros.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes the data (and the length needed to read it back) durable. After an error the state of
    /// the unsynced data is unknown, and a later success says nothing about it.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes data and metadata durable; errors as for [`VfsFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;

    /// Hints that the range should start its way to the disk now; the pages may leave the cache.
    /// Promises nothing.
    fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        let _ = (offset, len);
        Ok(())
    }

    /// The length of the file in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Loops over partial transfers, for every [`VfsFile`].
pub trait VfsFileExt {
    /// Fills `buf` from `offset`; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `buf` at `offset`. After an error an unknown prefix has been written.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
}

impl<F: VfsFile + ?Sized> VfsFileExt for F {
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn write_all_at(&self, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    buf = &buf[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
