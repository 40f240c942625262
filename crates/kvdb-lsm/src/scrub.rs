//! Scrubbing: reads every table and blob file from the disk, a little at a time, to find damage before
//! a reader does, while there are still copies to restore from.
//!
//! The owner paces it: each step reads as many bytes as it is given, and where it stands is kept in
//! a value of the owner's. Every file is read wholly, past the block cache, and compared with the
//! checksum in the manifest. One that does not match is read once more; then it is looked through for
//! the place, and it is left out of compactions from then on. One that does match takes part in them again, if
//! something else had met damage in it.

use std::path::Path;
use std::sync::Arc;

use crate::blob::{BlobScan, ScannedRecord};
use crate::cache::BlockCache;
use crate::db::core::Core;
use crate::db::files::{DataFile, DataKind};
use crate::error::Error;
use crate::file_copy;
use crate::progress::{Watch, unwatched};
use crate::table::Table;
use crate::version::Version;
use crate::vfs::Vfs;

/// The bytes read at once.
const UNIT: u64 = 256 << 10;

/// Where a scrub stands. A new one begins in front of all files; after the last one it begins anew.
///
/// # Invariants
/// Files with numbers below `number` were read in this pass. `hasher` covers the first `offset`
/// bytes of file `number`.
#[derive(Debug, Clone, Default)]
pub struct Scrub {
    number: u64,
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
    /// Blob files that were read to their end.
    pub blobs: u64,
    /// What is damaged; these files are left out of compactions now.
    pub problems: Vec<Error>,
    /// Every file has been read since the scrub began, or began anew.
    pub pass_complete: bool,
}

/// A scrub that begins behind so large a part of all bytes.
pub(crate) fn from(version: &Version, share: f64) -> Scrub {
    let mut files: Vec<DataFile> = version.data_files().collect();
    files.sort_unstable_by_key(|file| file.number);
    let total: u64 = files.iter().map(|file| file.size).sum();
    let mut before = (total as f64 * share.clamp(0.0, 1.0)) as u64;
    for file in files {
        if before < file.size {
            return Scrub { number: file.number, ..Scrub::default() };
        }
        before -= file.size;
    }
    Scrub::default()
}

impl ScrubStep {
    fn has_read(&mut self, file: DataFile) {
        match file.kind {
            DataKind::Table => self.tables += 1,
            DataKind::Blob => self.blobs += 1,
        }
    }
}

/// Reads about `budget` bytes. At the end of a pass the step ends early.
pub(crate) fn step(core: &Core, version: &Version, scrub: &mut Scrub, budget: u64) -> ScrubStep {
    let mut step = ScrubStep::default();
    let (vfs, dir) = (&*core.options.vfs, core.options.dir.as_path());
    while step.bytes < budget {
        // Files come and go between two steps: what is gone needs no scrubbing any more.
        let next = version.data_files().filter(|file| file.number >= scrub.number);
        let Some(file) = next.min_by_key(|file| file.number) else {
            *scrub = Scrub::default();
            step.pass_complete = true;
            return step;
        };
        if file.number != scrub.number {
            *scrub = Scrub { number: file.number, ..Scrub::default() };
        }
        let path = file.path(dir);
        let read = version.check_file_readable(file);
        match read.and_then(|()| scrub.read(vfs, &path, file, budget - step.bytes)) {
            Ok(0) => {
                let finished = std::mem::take(scrub);
                scrub.number = file.number + 1;
                step.has_read(file);
                let is_sound = finished.hasher.finalize() == file.crc;
                match if is_sound { Ok(()) } else { examine(vfs, &path, file) } {
                    Ok(()) => core.lift_quarantine(file.number),
                    Err(problem) => {
                        core.quarantine(file.number);
                        step.problems.push(problem);
                    }
                }
            }
            Ok(bytes) => step.bytes += bytes,
            Err(problem) => {
                *scrub = Scrub { number: file.number + 1, ..Scrub::default() };
                step.has_read(file);
                core.quarantine(file.number);
                step.problems.push(problem);
            }
        }
    }
    step
}

impl Scrub {
    /// Reads on in a file for at most `budget` bytes; zero at its end.
    fn read(&mut self, vfs: &dyn Vfs, path: &Path, file: DataFile, budget: u64) -> Result<u64, Error> {
        let left = file.size.saturating_sub(self.offset);
        let mut buf = vec![0; left.min(budget).min(UNIT) as usize];
        if buf.is_empty() {
            return Ok(0);
        }
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

/// Looks at a file that did not match its checksum once more; the error says where it is damaged.
fn examine(vfs: &dyn Vfs, path: &Path, file: DataFile) -> Result<(), Error> {
    let watch = &mut unwatched;
    if file_copy::digest(vfs, path, &mut Watch::begin(file.size, watch)?)?.crc == file.crc {
        return Ok(());
    }
    match file.kind {
        DataKind::Table => {
            // With a cache of its own, so that no block is taken from memory.
            let cache = Arc::new(BlockCache::new(1 << 20, 4 << 10));
            let table = Table::open(vfs, path, file.number, file.size, cache)?;
            if let Some(lost) = table.salvage(&mut |_| Ok(()))?.into_iter().next() {
                return Err(lost.why);
            }
        }
        DataKind::Blob => {
            let mut scan = BlobScan::new(vfs, path, file.number)?;
            while let Some(found) = scan.next().map_err(Error::io("read", path))? {
                if let ScannedRecord::Unreadable { offset, why, .. } = found {
                    return Err(Error::corruption(path, offset, why));
                }
            }
        }
    }
    Err(Error::corruption(path, 0, "the checksum of the file is not that of the manifest"))
}
