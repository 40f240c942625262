//! Where things are: the workspace's root, its target directory, and scratch directories beneath it.
//!
//! Scratch space is under the target directory and not under the system's temporary directory, because that may be a
//! memory file system, on which `fsync` costs nothing and proves nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::failure::{Failure, Outcome, While};

/// The directory of the workspace's `Cargo.toml`.
pub(crate) fn root() -> Outcome<PathBuf> {
    let here = std::env::current_dir()?;
    here.ancestors().find(|dir| dir.join("xtask/Cargo.toml").is_file()).map(Path::to_path_buf).ok_or_else(
        || Failure::new("run this from inside the workspace: no directory above holds xtask/Cargo.toml"),
    )
}

/// Cargo's target directory.
pub(crate) fn target() -> Outcome<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => Ok(root()?.join(dir)),
        None => Ok(root()?.join("target")),
    }
}

/// A directory below `target/xtask` that stays between runs: tools, downloads, logs.
pub(crate) fn kept(name: &str) -> Outcome<PathBuf> {
    let dir = target()?.join("xtask").join(name);
    fs::create_dir_all(&dir).while_doing(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// A private directory that is removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Creates an empty directory whose name starts with `purpose`.
    pub(crate) fn new(purpose: &str) -> Outcome<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{purpose}-{}-{}", process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let dir = kept("run")?.join(name);
        // A process id comes round again: what an earlier, killed run left under the same name goes first.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).while_doing(|| format!("cannot create {}", dir.display()))?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed is litter, not a failure of what was run in it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
