//! Which tables and blob files are known to be damaged, and how one gets to know.

use crate::compaction::Damaged;
use crate::error::Error;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::version::Version;

/// The marks of damaged files. A mark is set by whoever meets the damage: the opening, a compaction, a
/// scrub, a reader. It goes when the file goes, or when a scrub has read the whole file and found what
/// the manifest says.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    marked: Mutex<Damaged>,
    /// Reads that met damage.
    reads: AtomicU64,
}

impl Damage {
    pub(crate) fn new(marked: Damaged) -> Self {
        Self { marked: Mutex::new(marked), reads: AtomicU64::new(0) }
    }

    /// The files that are marked, by number.
    pub(crate) fn marked(&self) -> MutexGuard<'_, Damaged> {
        self.marked.lock()
    }

    /// The reads that met damage so far.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Notes what went wrong when `version` was read: a file of it that is damaged is marked.
    #[cold]
    pub(super) fn met_by_read(&self, error: &Error, version: &Version) {
        let Error::Corruption { file, .. } = error else { return };
        self.reads.fetch_add(1, Ordering::Relaxed);
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let met = version.data_files().find(|file| file.kind.parse_name(name) == Some(file.number));
        if let Some(file) = met {
            self.marked.lock().insert(file.number);
        }
    }

    /// Takes the marks of files that are not part of `version` any more.
    pub(super) fn forget_strangers(&self, version: &Version) {
        let mut marked = self.marked.lock();
        if !marked.is_empty() {
            let there: Damaged = version.data_files().map(|file| file.number).collect();
            marked.retain(|number| there.contains(number));
        }
    }
}
