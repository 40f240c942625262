//! The segment files of an open log: which exist, and how one comes to be.

use super::options::LogOptions;
use crate::batch::Seq;
use crate::sync::atomic::AtomicU64;
use crate::vfs::{Vfs, VfsFile, VfsFileExt};
use crate::wal::SegmentNumber;
use crate::wal::format::{parse_segment_name, segment_path};
use crate::wal::writer::Framer;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A preallocated file without content that becomes the next segment.
///
/// Each has a name of its own, so that the next one can be made while this one is put to use.
pub(super) struct Spare {
    file: Arc<dyn VfsFile>,
    path: PathBuf,
}

/// The segment that is being written.
pub(super) struct Segment {
    pub(super) number: SegmentNumber,
    pub(super) file: Arc<dyn VfsFile>,
    /// The offset up to which the file is known to be durable.
    pub(super) synced: AtomicU64,
}

/// The files besides the segment that is being written.
///
/// # Invariants
/// `finished` holds the segments that have their trailer and were not removed, with their lengths.
#[derive(Default)]
pub(super) struct Segments {
    pub(super) finished: BTreeMap<SegmentNumber, u64>,
    pub(super) obsolete_below: SegmentNumber,
    pub(super) spare: Option<Spare>,
}

impl Segments {
    /// Whether a finished segment is obsolete.
    pub(super) fn has_obsolete(&self) -> bool {
        self.finished.first_key_value().is_some_and(|(number, _)| *number < self.obsolete_below)
    }

    /// Takes out the first finished segment that is obsolete, with its length.
    pub(super) fn take_obsolete(&mut self) -> Option<(SegmentNumber, u64)> {
        let first = self.finished.first_entry()?;
        (*first.key() < self.obsolete_below).then(|| first.remove_entry())
    }
}

/// Whether the error says that there is no space, which may pass.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull, WriteZero};
    matches!(error.kind(), StorageFull | QuotaExceeded | WriteZero)
}

/// Whether the disk has `len` bytes besides what the options reserve for others. A disk that does
/// not say is tried.
pub(super) fn has_room(options: &LogOptions, len: u64) -> bool {
    let needed = len.saturating_add(options.reserve_bytes);
    options.vfs.free_bytes(&options.dir).map_or(true, |free| free >= needed)
}

/// Creates a file that is preallocated for a segment, on file systems that can.
fn create_allocated(options: &LogOptions, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
    if options.reserve_bytes > 0 && !has_room(options, options.segment_bytes) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let file = create_anew(&*options.vfs, path)?;
    match allocate(&*file, options.segment_bytes) {
        Ok(()) => Ok(file),
        Err(error) => {
            // Best effort: what is left over is replaced by the next attempt.
            let _ = options.vfs.remove(path);
            Err(error)
        }
    }
}

/// Reserves `len` bytes for the file, on file systems that can.
fn allocate(file: &dyn VfsFile, len: u64) -> io::Result<()> {
    match file.allocate(len) {
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(()),
        other => other,
    }
}

/// Creates a file, in place of what a failed attempt may have left.
pub(super) fn create_anew(vfs: &dyn Vfs, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
    let file = match vfs.create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            vfs.remove(path)?;
            vfs.create(path)?
        }
        other => other?,
    };
    Ok(Arc::from(file))
}

/// Creates the spare number `number`.
pub(super) fn create_spare(options: &LogOptions, number: u64) -> io::Result<Spare> {
    let path = options.dir.join(format!("spare-{number}.tmp"));
    let file = create_allocated(options, &path)?;
    Ok(Spare { file, path })
}

impl Spare {
    /// Removes the file, which is not needed any more.
    pub(super) fn remove(self, vfs: &dyn Vfs) -> io::Result<()> {
        vfs.remove(&self.path)
    }
}

/// Where a new segment's file comes from.
pub(super) enum Origin {
    /// A spare.
    Spare(Spare),
    /// A new file, preallocated.
    New,
    /// A new file without preallocation.
    Bare,
}

/// A segment file with a durable head that has no name yet.
pub(super) struct Unnamed {
    pub(super) file: Arc<dyn VfsFile>,
    pub(super) framer: Framer,
    path: PathBuf,
}

/// Writes the head of a segment into a file that is not part of the log yet. The caller syncs it.
/// After an error, nothing is left over.
pub(super) fn begin(
    options: &LogOptions,
    number: SegmentNumber,
    next_seq: Seq,
    origin: Origin,
) -> io::Result<Unnamed> {
    let vfs = &*options.vfs;
    let mut path = segment_path(&options.dir, number);
    path.set_extension("wal.tmp");
    let result = (|| {
        let file: Arc<dyn VfsFile> = match origin {
            Origin::Spare(spare) => {
                path = spare.path;
                spare.file
            }
            Origin::New => create_allocated(options, &path)?,
            Origin::Bare => create_anew(vfs, &path)?,
        };
        let mut head = Vec::new();
        let framer = Framer::start(number, next_seq, &mut head);
        file.write_all_at(&head, 0)?;
        Ok((file, framer))
    })();
    match result {
        Ok((file, framer)) => Ok(Unnamed { file, framer, path }),
        Err(error) => {
            let _ = vfs.remove(&path);
            Err(error)
        }
    }
}

impl Unnamed {
    /// Gives the synced file its name, durably: it is the segment now.
    pub(super) fn publish(&self, vfs: &dyn Vfs, dir: &Path) -> io::Result<()> {
        vfs.rename(&self.path, &segment_path(dir, self.framer.segment()))?;
        vfs.sync_dir(dir)
    }

    /// Removes the file, which is not needed after all. A leftover is removed at the next opening.
    pub(super) fn discard(&self, vfs: &dyn Vfs) {
        let _ = vfs.remove(&self.path);
    }
}

/// Removes the unnamed files that earlier runs left. Returns the segments below `min_segment`,
/// which are as good as removed.
pub(super) fn clean(vfs: &dyn Vfs, dir: &Path, min_segment: SegmentNumber) -> io::Result<Vec<SegmentNumber>> {
    let mut obsolete = Vec::new();
    for name in vfs.list(dir)? {
        let spare = name.starts_with("spare-") && name.ends_with(".tmp");
        if spare || name.ends_with(".wal.tmp") {
            vfs.remove(&dir.join(&name))?;
        }
        obsolete.extend(parse_segment_name(&name).filter(|&number| number < min_segment));
    }
    Ok(obsolete)
}

/// Removes a segment, durably: a later one must not vanish while an earlier one stays.
pub(super) fn remove(vfs: &dyn Vfs, dir: &Path, number: SegmentNumber) -> io::Result<()> {
    match vfs.remove(&segment_path(dir, number)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    vfs.sync_dir(dir)
}
