//! The operating system's file system.

use super::{Vfs, VfsFile};
use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsVfs;

/// An open file of the operating system.
#[derive(Debug)]
struct OsFile(File);

/// Holds an `flock`; closing the descriptor frees it. The file itself stays: removing it would let
/// two processes lock two different inodes of the same name.
#[derive(Debug)]
struct OsLock(#[expect(dead_code, reason = "held for its drop")] File);

fn existing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

fn locked(path: &Path, holder: &str) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, format!("{} is locked by {holder}", path.display()))
}

fn locked_by_writer(path: &Path) -> io::Error {
    let holder = std::fs::read_to_string(path).unwrap_or_default();
    match holder.trim().parse::<u32>() {
        Ok(pid) => locked(path, &format!("process {pid}")),
        Err(_) => locked(path, "another process"),
    }
}

impl Vfs for OsVfs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        Ok(Box::new(OsFile(existing().create_new(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        Ok(Box::new(OsFile(existing().open(path)?)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        Ok(Arc::new(OsFile(File::open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            // The engine's own names are ASCII; a name that is not UTF-8 cannot be one of them.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut file = existing().create(true).truncate(false).open(path)?;
        if let Err(errno) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            let error = io::Error::from(errno);
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
            // Readers share the lock and leave the name of the last writer in the file.
            let readers = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok();
            return Err(if readers { locked(path, "processes that read") } else { locked_by_writer(path) });
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Box::new(OsLock(file)))
    }

    fn lock_shared(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Box::new(())),
            other => other?,
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).map_err(io::Error::from) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(locked_by_writer(path)),
            other => other.map(|()| Box::new(OsLock(file)) as Box<_>),
        }
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl VfsFile for OsFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(buf, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len))?;
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not `File::sync_data`: the standard library retries on EINTR, and a sync that failed
        // for any reason must not be repeated and believed.
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        // On Linux this advice queues the dirty pages of the range for writing without waiting.
        if let Some(len) = NonZeroU64::new(len) {
            rustix::fs::fadvise(&self.0, offset, Some(len), Advice::DontNeed)?;
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::VfsFileExt;
    use super::*;

    #[test]
    fn files_round_trip_and_allocation_extends_with_zeros() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("a");
        let file = OsVfs.create(&path).expect("created");
        assert_eq!(OsVfs.create(&path).err().map(|e| e.kind()), Some(io::ErrorKind::AlreadyExists));
        file.write_all_at(b"hello", 2).expect("written");
        file.allocate(64).expect("allocated");
        assert_eq!(file.len().expect("length"), 64);
        file.start_writeback(0, 64).expect("hinted");
        file.sync_data().expect("synced");
        let mut buf = [1u8; 9];
        file.read_exact_at(&mut buf, 0).expect("read");
        assert_eq!(&buf, b"\0\0hello\0\0");
        let end = file.read_exact_at(&mut buf, 60).expect_err("beyond the end");
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
        OsVfs.sync_dir(dir.path()).expect("directory synced");
        OsVfs.hard_link(&path, &dir.path().join("b")).expect("linked");
        OsVfs.remove(&path).expect("removed");
        assert_eq!(OsVfs.list(dir.path()).expect("listed"), ["b"]);
        assert!(OsVfs.free_bytes(dir.path()).expect("space") > 0);
    }

    #[test]
    fn a_second_lock_names_the_holder_and_a_dropped_one_is_free() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("LOCK");
        let guard = OsVfs.lock(&path).expect("first lock");
        let error = OsVfs.lock(&path).err().expect("second lock is refused");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(guard);
        drop(OsVfs.lock(&path).expect("free again"));
    }

    #[test]
    fn readers_share_a_lock_that_keeps_writers_out() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("LOCK");
        drop(OsVfs.lock_shared(&path).expect("nobody holds a file that does not exist"));
        assert!(!path.exists());
        let writer = OsVfs.lock(&path).expect("free");
        let error = OsVfs.lock_shared(&path).err().expect("a writer holds it");
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(writer);
        let readers = [OsVfs.lock_shared(&path).expect("free"), OsVfs.lock_shared(&path).expect("shared")];
        let error = OsVfs.lock(&path).err().expect("readers hold it");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().contains("read"), "{error}");
        drop(readers);
        drop(OsVfs.lock(&path).expect("free again"));
    }
}
