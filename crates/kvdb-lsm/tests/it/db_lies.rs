//! Tests of the tests: disks that lie, each of which the power cuts must find out.
//!
//! A rig that passes on a disk that skips a sync would also pass over an engine that forgot it. So
//! each lie here stands for the bug of the same effect: a sync left out, a directory not synced, a
//! file replaced in place.

use crate::db_crash::live_through_power_cuts;
use kvdb_lsm::vfs::{SimVfs, Vfs, VfsFile, VfsFileExt};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// What the disk pretends to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// To sync files whose name contains this.
    Sync(&'static str),
    /// To sync directories whose path ends like this.
    SyncDir(&'static str),
    /// To replace a file at once, when it writes the new content into it.
    Rename,
}

struct Liar {
    disk: SimVfs,
    lie: Lie,
}

struct LiarFile {
    file: Arc<dyn VfsFile>,
    skips_sync: bool,
}

impl Liar {
    fn file(&self, path: &Path, file: impl Into<Arc<dyn VfsFile>>) -> LiarFile {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let skips_sync = matches!(self.lie, Lie::Sync(part) if name.contains(part));
        LiarFile { file: file.into(), skips_sync }
    }
}

impl Vfs for Liar {
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
        if self.lie != Lie::Rename || !self.disk.exists(to)? {
            return self.disk.rename(from, to);
        }
        let source = self.disk.open_read(from)?;
        let mut content = vec![0; source.len()? as usize];
        source.read_exact_at(&mut content, 0)?;
        let target = self.disk.open(to)?;
        target.truncate(0)?;
        target.write_all_at(&content, 0)?;
        self.disk.remove(from)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
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
        match self.lie {
            Lie::SyncDir(end) if dir.ends_with(end) => Ok(()),
            _ => self.disk.sync_dir(dir),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
}

impl VfsFile for LiarFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(buf, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.skips_sync { Ok(()) } else { self.file.sync_data() }
    }

    fn sync_all(&self) -> io::Result<()> {
        if self.skips_sync { Ok(()) } else { self.file.sync_all() }
    }

    fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.start_writeback(offset, len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

/// Asserts that one of a few lives on a disk with this lie ends in a broken promise, and returns
/// which one.
fn is_found_out(lie: Lie) -> u64 {
    const LIVES: u64 = 60;
    let disk = |vfs: &SimVfs| Arc::new(Liar { disk: vfs.clone(), lie }) as Arc<dyn Vfs>;
    let breaks =
        |seed: &u64| catch_unwind(AssertUnwindSafe(|| live_through_power_cuts(*seed, &disk))).is_err();
    (0..LIVES).find(breaks).unwrap_or_else(|| panic!("{LIVES} lives on a disk with {lie:?} did not notice"))
}

#[test]
fn a_skipped_sync_of_the_log_is_found_out() {
    is_found_out(Lie::Sync(".wal"));
}

#[test]
fn a_skipped_sync_of_tables_is_found_out() {
    is_found_out(Lie::Sync(".sst"));
}

#[test]
fn a_skipped_sync_of_blob_files_is_found_out() {
    is_found_out(Lie::Sync(".blob"));
}

#[test]
fn a_directory_of_blob_files_that_is_not_synced_is_found_out() {
    is_found_out(Lie::SyncDir("blob"));
}

#[test]
fn a_skipped_sync_of_the_manifest_is_found_out() {
    is_found_out(Lie::Sync("MANIFEST"));
}

#[test]
fn a_skipped_sync_of_current_is_found_out() {
    is_found_out(Lie::Sync("CURRENT"));
}

#[test]
fn a_directory_of_the_log_that_is_not_synced_is_found_out() {
    is_found_out(Lie::SyncDir("wal"));
}

#[test]
fn a_directory_of_tables_that_is_not_synced_is_found_out() {
    is_found_out(Lie::SyncDir("sst"));
}

#[test]
fn a_directory_of_manifests_that_is_not_synced_is_found_out() {
    is_found_out(Lie::SyncDir("db"));
}

#[test]
fn a_manifest_that_is_not_replaced_at_once_is_found_out() {
    is_found_out(Lie::Rename);
}
