//! Tests of the tests: disks that lie, each of which the power cuts must find out.
//!
//! A rig that passes on a disk that skips a sync would also pass over an engine that forgot it. So
//! each lie here stands for the bug of the same effect: a sync left out, a directory not synced, a
//! file replaced in place.

use crate::db_crash::live_through_power_cuts;
use crate::hooked::{Hooked, Hooks};
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

impl Lie {
    fn skips_sync_of(self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        matches!(self, Self::Sync(part) if name.contains(part))
    }
}

impl Hooks for Lie {
    fn sync_data(&self, path: &Path, file: &dyn VfsFile) -> io::Result<()> {
        if self.skips_sync_of(path) { Ok(()) } else { file.sync_data() }
    }

    fn sync_all(&self, path: &Path, file: &dyn VfsFile) -> io::Result<()> {
        if self.skips_sync_of(path) { Ok(()) } else { file.sync_all() }
    }

    fn sync_dir(&self, disk: &SimVfs, dir: &Path) -> io::Result<()> {
        match self {
            Self::SyncDir(end) if dir.ends_with(end) => Ok(()),
            _ => disk.sync_dir(dir),
        }
    }

    fn rename(&self, disk: &SimVfs, from: &Path, to: &Path) -> io::Result<()> {
        if *self != Self::Rename || !disk.exists(to)? {
            return disk.rename(from, to);
        }
        let source = disk.open_read(from)?;
        let mut content = vec![0; source.len()? as usize];
        source.read_exact_at(&mut content, 0)?;
        let target = disk.open(to)?;
        target.truncate(0)?;
        target.write_all_at(&content, 0)?;
        disk.remove(from)
    }
}

/// Asserts that one of a few lives on a disk with this lie ends in a broken promise, and returns
/// which one.
fn is_found_out(lie: Lie) -> u64 {
    const LIVES: u64 = 60;
    let disk = |vfs: &SimVfs| Arc::new(Hooked { disk: vfs.clone(), hooks: Arc::new(lie) }) as Arc<dyn Vfs>;
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
