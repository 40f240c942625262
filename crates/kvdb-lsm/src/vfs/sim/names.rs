//! Changes of names in the simulated file system, which are durable one by one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Link { name: PathBuf, inode: u64 },
    Unlink { name: PathBuf },
    Rename { from: PathBuf, to: PathBuf, inode: u64 },
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Unlink { name } => {
                names.remove(name);
            }
            Self::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }

    pub(super) fn concerns(&self, dir: &Path) -> bool {
        match self {
            Self::Link { name, .. } | Self::Unlink { name } => name.parent() == Some(dir),
            Self::Rename { to, .. } => to.parent() == Some(dir),
        }
    }

    pub(super) const fn inode(&self) -> Option<u64> {
        match self {
            Self::Link { inode, .. } | Self::Rename { inode, .. } => Some(*inode),
            Self::Unlink { .. } => None,
        }
    }
}
