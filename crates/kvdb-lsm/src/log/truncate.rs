//! Taking back the end of the log: what a follower does whose newest entries the leader does not have.
//!
//! The segment in which the log is to end is written anew without what goes, under a name that is not
//! part of the log, and so is the empty segment behind it. Up to there nothing has happened. Then the
//! later segments are removed, the last one first and each durably, so that the log is whole at every
//! moment, only shorter; then the new files take their names.

use super::Log;
use super::segments::{self, Origin, Segment, Unnamed};
use super::shared::Shared;
use super::state::Position;
use crate::batch::{BatchView, Seq};
use crate::error::Error;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::vfs::{Vfs, VfsFile, VfsFileExt};
use crate::wal::SegmentNumber;
use crate::wal::format::segment_path;
use crate::wal::scan::{Scanned, SegmentScan};
use crate::wal::writer::Framer;
use std::io;
use std::path::{Path, PathBuf};

/// The bytes copied at once.
const COPY_LEN: u64 = 1 << 20;

/// Where a segment is cut.
struct Cut {
    segment: SegmentNumber,
    /// The end of the records that stay as they are.
    offset: u64,
    /// The batches that stay of the record behind them.
    rest: Vec<u8>,
}

impl Log {
    /// Takes back everything from the sequence number `first` on: the batch that has it, and all
    /// behind it. The next batch gets `first` as its number. When this returns, that is durable, and
    /// so is everything before.
    ///
    /// After a crash meanwhile the log ends somewhere between its new end and its old one.
    ///
    /// The marks go back too: whoever waits for a number that was taken back waits for the batch that
    /// gets it next. The owner alone knows who that is, so this needs the log for itself.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `first` is in the middle of a batch, or not in the log, and
    /// [`Error::Io`]: nothing was taken back. [`Error::Corruption`] likewise, if what stays cannot be
    /// read. [`Error::Poisoned`] if a change to the files failed half-way: the log must be opened
    /// again, and ends as after a crash.
    pub fn truncate_from(&mut self, first: Seq) -> Result<(), Error> {
        let shared = &*self.shared;
        let mut drain = shared.drain.lock();
        shared.advance(&mut drain)?;
        let mut order = shared.order.lock();
        if first == order.next_seq() {
            drop(order);
            drop(drain);
            return Ok(self.sync().map(|_| ())?);
        }
        if first == 0 || first > order.next_seq() {
            return Err(Error::Invalid(format!("the log has no sequence number {first} to end before")));
        }
        let current = drain.segment();
        let cut = shared.find(current, first)?;
        let (kept, len) = shared.write_kept(&cut, first)?;
        let begun = shared.begin_behind(cut.segment, first).inspect_err(|_| {
            // A leftover is removed at the next opening.
            let _ = shared.options.vfs.remove(&kept);
        })?;
        shared.replace(current, cut.segment, &kept, &begun)?;

        let number = cut.segment + 1;
        {
            let mut segments = shared.segments.lock();
            drop(segments.finished.split_off(&cut.segment));
            segments.finished.insert(cut.segment, len);
            shared.counters.segment_bytes.store(begun.framer.offset(), Ordering::Relaxed);
        }
        order.restart(number, first, shared.options.segment_bytes);
        let end = Position { seq: first - 1, bytes: order.position() };
        let synced = AtomicU64::new(begun.framer.offset());
        // A sync that began before must not raise the mark to where it was.
        let mut ends = shared.syncing.lock();
        *ends += 1;
        drain.restart(Segment { number, file: begun.file, synced }, begun.framer, end, *ends);
        for mark in [&shared.marks.durable, &shared.marks.written, &shared.marks.appended] {
            mark.set(end);
        }
        drop(ends);
        shared.wake.poke();
        Ok(())
    }
}

impl Shared {
    /// Finds the batch that has the number `first`, from the last segment back.
    fn find(&self, current: SegmentNumber, first: Seq) -> Result<Cut, Error> {
        let numbers: Vec<SegmentNumber> = {
            let segments = self.segments.lock();
            let needed = segments.finished.range(segments.obsolete_below..).rev();
            std::iter::once(current).chain(needed.map(|(&number, _)| number)).collect()
        };
        for segment in numbers {
            let path = segment_path(&self.options.dir, segment);
            let file = self.options.vfs.open_read(&path).map_err(Error::io("open", &path))?;
            if let Some(cut) = find_within(&*file, &path, segment, first)? {
                return Ok(cut);
            }
        }
        Err(Error::Invalid(format!("sequence number {first} is not in the log any more")))
    }

    /// Writes what stays of a segment into a file without a name in the log; returns the file and its
    /// length. After an error, nothing is left over.
    fn write_kept(&self, cut: &Cut, first: Seq) -> Result<(PathBuf, u64), Error> {
        let vfs = &*self.options.vfs;
        let path = segment_path(&self.options.dir, cut.segment);
        let kept = path.with_extension("wal.tmp");
        let result = (|| {
            let from = vfs.open_read(&path)?;
            let to = segments::create_anew(vfs, &kept)?;
            copy(&*from, &*to, cut.offset)?;
            let mut framer = Framer::resume(cut.segment, cut.offset);
            let mut out = Vec::new();
            if !cut.rest.is_empty() {
                framer.record(&cut.rest, cut.offset, &mut out);
            }
            // The file gets its name when all of it is durable: this may promise it.
            let promised = framer.offset();
            framer.trailer(first - 1, promised, &mut out);
            to.write_all_at(&out, cut.offset)?;
            to.sync_all()?;
            Ok(framer.offset())
        })();
        match result {
            Ok(len) => Ok((kept, len)),
            Err(error) => {
                let _ = vfs.remove(&kept);
                Err(Error::io("write", &kept)(error))
            }
        }
    }

    /// The empty segment behind `segment`, durable and without its name.
    fn begin_behind(&self, segment: SegmentNumber, first: Seq) -> Result<Unnamed, Error> {
        let path = segment_path(&self.options.dir, segment + 1);
        let begun = segments::begin(&self.options, segment + 1, first, Origin::New);
        let begun = begun.map_err(Error::io("create", &path))?;
        begun.file.sync_all().map_err(|error| {
            begun.discard(&*self.options.vfs);
            Error::io("sync", &path)(error)
        })?;
        Ok(begun)
    }

    /// Removes the segments behind `last`, and puts the new files in place. A failure is final.
    fn replace(
        &self,
        current: SegmentNumber,
        last: SegmentNumber,
        kept: &Path,
        begun: &Unnamed,
    ) -> Result<(), Error> {
        let (vfs, dir) = (&*self.options.vfs, self.options.dir.as_path());
        let fatal = |action, number, result: io::Result<()>| {
            result.map_err(|error| Error::from(super::LogError::from(self.poison(action, number, &error))))
        };
        for number in (last + 1..=current).rev() {
            fatal("remove", number, segments::remove(vfs, dir, number))?;
        }
        fatal("replace", last, put_in_place(vfs, dir, kept, last))?;
        fatal("create", last + 1, begun.publish(vfs, dir))
    }
}

fn put_in_place(vfs: &dyn Vfs, dir: &Path, kept: &Path, segment: SegmentNumber) -> io::Result<()> {
    vfs.rename(kept, &segment_path(dir, segment))?;
    vfs.sync_dir(dir)
}

/// Where the batch with the number `first` begins in a segment; `None` if the segment begins behind it.
fn find_within(
    file: &dyn VfsFile,
    path: &Path,
    segment: SegmentNumber,
    first: Seq,
) -> Result<Option<Cut>, Error> {
    let io = |error| Error::io("read", path)(error);
    let mut scan = SegmentScan::new(file, segment).map_err(io)?;
    while let Some(found) = scan.next().map_err(io)? {
        match found {
            Scanned::Head { next_seq, .. } if next_seq > first => return Ok(None),
            Scanned::Head { .. } => {}
            Scanned::Record { offset, bytes, .. } => {
                let at = place_within(&bytes, first).map_err(|why| Error::corruption(path, offset, why))?;
                match at {
                    Place::Behind => {}
                    Place::At(at) => return Ok(Some(Cut { segment, offset, rest: bytes[..at].to_vec() })),
                    Place::Within => {
                        let why = format!("sequence number {first} is in the middle of a batch");
                        return Err(Error::Invalid(why));
                    }
                }
            }
            Scanned::Trailer { offset, .. } => {
                let what = format!("the segment ends before sequence number {first}");
                return Err(Error::corruption(path, offset, what));
            }
            Scanned::Unreadable { offset, why } => return Err(Error::corruption(path, offset, why)),
        }
    }
    Err(Error::corruption(path, 0, format!("the segment ends before sequence number {first}")))
}

/// Where a sequence number is, seen from a record.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// A batch begins with it here.
    At(usize),
    /// A batch has it, but not as its first.
    Within,
    /// In a later record.
    Behind,
}

fn place_within(record: &[u8], first: Seq) -> Result<Place, &'static str> {
    let mut at = 0;
    while at < record.len() {
        let (batch, used) = BatchView::decode(&record[at..])?;
        if batch.last_seq() >= first {
            return Ok(if batch.first_seq() == first { Place::At(at) } else { Place::Within });
        }
        at += used;
    }
    Ok(Place::Behind)
}

fn copy(from: &dyn VfsFile, to: &dyn VfsFile, len: u64) -> io::Result<()> {
    let mut buf = vec![0; COPY_LEN.min(len) as usize];
    let mut at = 0;
    while at < len {
        let count = (len - at).min(COPY_LEN) as usize;
        from.read_exact_at(&mut buf[..count], at)?;
        to.write_all_at(&buf[..count], at)?;
        at += count as u64;
    }
    Ok(())
}
