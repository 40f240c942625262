//! Scrubbing: reads every table from the disk, a little at a time, to find damage before a reader
//! does, while there are still copies to restore from.
//!
//! The owner paces it: each step reads as many bytes as it is given, and where it stands is kept in
//! a value of the owner's. Every table is read wholly, past the block cache, and compared with the
//! checksum in the manifest. One that does not match is read once more; then its blocks are looked
//! through for the place, and it is left out of compactions from then on.

use std::path::Path;
use std::sync::Arc;

use crate::cache::BlockCache;
use crate::db::core::Core;
use crate::error::Error;
use crate::table::Table;
use crate::version::{Version, VersionFile};
use crate::vfs::Vfs;

/// The bytes read at once.
const UNIT: u64 = 256 << 10;

/// Where a scrub stands. A new one begins in front of all tables; after the last table it begins
/// anew.
///
/// # Invariants
/// Tables with numbers below `table` were read in this pass. `hasher` covers the first `offset`
/// bytes of table `table`.
#[derive(Debug, Clone, Default)]
pub struct Scrub {
    table: u64,
    offset: u64,
    hasher: crc32fast::Hasher,
}

/// What a step did.
#[derive(Debug, Default)]
pub struct ScrubStep {
    /// Bytes read.
    pub bytes: u64,
    /// Tables that were read to their end.
    pub tables: u64,
    /// What is damaged; the tables are left out of compactions now.
    pub problems: Vec<Error>,
    /// Every table has been read since the scrub began, or began anew.
    pub pass_complete: bool,
}

/// Reads about `budget` bytes. At the end of a pass the step ends early.
pub(crate) fn step(core: &Core, version: &Version, scrub: &mut Scrub, budget: u64) -> ScrubStep {
    let mut step = ScrubStep::default();
    let vfs = &*core.options.vfs;
    while step.bytes < budget {
        // Tables come and go between two steps: what is gone needs no scrubbing any more.
        let next = version.files().map(|(_, file)| file).filter(|file| file.meta.number >= scrub.table);
        let Some(file) = next.min_by_key(|file| file.meta.number) else {
            *scrub = Scrub::default();
            step.pass_complete = true;
            return step;
        };
        if file.meta.number != scrub.table {
            *scrub = Scrub { table: file.meta.number, ..Scrub::default() };
        }
        match scrub.read(vfs, file, budget - step.bytes) {
            Ok(0) => {
                let finished = std::mem::take(scrub);
                scrub.table = file.meta.number + 1;
                step.tables += 1;
                if finished.hasher.finalize() != file.meta.crc
                    && let Err(problem) = examine(vfs, file)
                {
                    core.quarantine(file.meta.number);
                    step.problems.push(problem);
                }
            }
            Ok(bytes) => step.bytes += bytes,
            Err(problem) => {
                *scrub = Scrub { table: file.meta.number + 1, ..Scrub::default() };
                step.tables += 1;
                core.quarantine(file.meta.number);
                step.problems.push(problem);
            }
        }
    }
    step
}

impl Scrub {
    /// Reads on in a table for at most `budget` bytes; zero at its end.
    fn read(&mut self, vfs: &dyn Vfs, file: &VersionFile, budget: u64) -> Result<u64, Error> {
        file.table.check_readable()?;
        let left = file.meta.size.saturating_sub(self.offset);
        let mut buf = vec![0; left.min(budget).min(UNIT) as usize];
        if buf.is_empty() {
            return Ok(0);
        }
        let path = file.table.path();
        // A fault of the transfer does not repeat.
        let read = |buf: &mut [u8]| read_exact(vfs, path, buf, self.offset);
        read(&mut buf).or_else(|_| read(&mut buf))?;
        self.hasher.update(&buf);
        self.offset += buf.len() as u64;
        Ok(buf.len() as u64)
    }
}

fn read_exact(vfs: &dyn Vfs, path: &Path, buf: &mut [u8], offset: u64) -> Result<(), Error> {
    use crate::vfs::VfsFileExt;
    let file = vfs.open_read(path).map_err(Error::io("open", path))?;
    file.read_exact_at(buf, offset).map_err(|source| {
        if source.kind() == std::io::ErrorKind::UnexpectedEof {
            return Error::corruption(path, offset, "the file is shorter than the manifest says");
        }
        Error::io("read", path)(source)
    })
}

/// Looks at a table that did not match its checksum once more; the error says where it is damaged.
fn examine(vfs: &dyn Vfs, file: &VersionFile) -> Result<(), Error> {
    if file.table.checksum_file()? == file.meta.crc {
        return Ok(());
    }
    let path = file.table.path();
    // With a cache of its own, so that no block is taken from memory.
    let cache = Arc::new(BlockCache::new(1 << 20, 4 << 10));
    let table = Table::open(vfs, path, file.meta.number, file.meta.size, cache)?;
    match table.salvage(&mut |_| Ok(()))?.into_iter().next() {
        Some(lost) => Err(lost.why),
        None => Err(Error::corruption(path, 0, "the checksum of the file is not that of the manifest")),
    }
}
