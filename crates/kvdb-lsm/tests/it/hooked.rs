//! A simulated disk with something of the test's own in some of its calls: it may lie, hang, or let others in between.

use kvdb_lsm::vfs::{SimVfs, Vfs, VfsFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What becomes of calls. What is left out goes to the disk as it is.
pub(crate) trait Hooks: Send + Sync {
    /// Bytes have been read.
    fn after_read(&self, _read: &mut [u8]) {}

    /// Something is about to be written to a file.
    fn before_write(&self, _path: &Path) {}

    /// A file's data is to be made durable.
    fn sync_data(&self, _path: &Path, file: &dyn VfsFile) -> io::Result<()> {
        file.sync_data()
    }

    /// A file is to be made durable.
    fn sync_all(&self, _path: &Path, file: &dyn VfsFile) -> io::Result<()> {
        file.sync_all()
    }

    /// The names in a directory are to be made durable.
    fn sync_dir(&self, disk: &SimVfs, dir: &Path) -> io::Result<()> {
        disk.sync_dir(dir)
    }

    /// A file is to be renamed.
    fn rename(&self, disk: &SimVfs, from: &Path, to: &Path) -> io::Result<()> {
        disk.rename(from, to)
    }

    /// A file is to be removed.
    fn remove(&self, disk: &SimVfs, path: &Path) -> io::Result<()> {
        disk.remove(path)
    }
}

/// A disk with hooks.
pub(crate) struct Hooked<H> {
    pub(crate) disk: SimVfs,
    pub(crate) hooks: Arc<H>,
}

struct HookedFile<F, H> {
    path: PathBuf,
    file: F,
    hooks: Arc<H>,
}

impl<H> Hooked<H> {
    fn file<F>(&self, path: &Path, file: F) -> HookedFile<F, H> {
        HookedFile { path: path.to_owned(), file, hooks: Arc::clone(&self.hooks) }
    }
}

impl<H: Hooks + 'static> Vfs for Hooked<H> {
    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        Ok(Box::new(self.file(path, self.disk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        Ok(Box::new(self.file(path, self.disk.open(path)?)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        Ok(Arc::new(self.file(path, self.disk.open_read(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.hooks.rename(&self.disk, from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.hooks.remove(&self.disk, path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.hooks.sync_dir(&self.disk, dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(path)
    }

    fn lock_shared(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock_shared(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
}

impl<F, H> VfsFile for HookedFile<F, H>
where
    F: std::ops::Deref<Target = dyn VfsFile> + Send + Sync,
    H: Hooks,
{
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let n = self.file.read_at(buf, offset)?;
        self.hooks.after_read(&mut buf[..n]);
        Ok(n)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.hooks.before_write(&self.path);
        self.file.write_at(buf, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.hooks.sync_data(&self.path, &*self.file)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.hooks.sync_all(&self.path, &*self.file)
    }

    fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.start_writeback(offset, len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
