//! The writing side: takes what the ordering buffer holds, frames it, writes it, and begins new
//! segments at the cuts.
//!
//! Every step can be interrupted by a full disk and is taken up again exactly where it stopped.

use super::options::{SyncPolicy, WRITEBACK_BYTES};
use super::order::Taken;
use super::segments::{Origin, Segment, begin, is_no_space};
use super::shared::Shared;
use super::state::{Halt, NO_SPARE, Position};
use crate::batch::{BATCH_HEADER_LEN, Seq};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::wal::writer::Framer;
use std::io;
use std::sync::Arc;

/// Batches are put into one record up to this many bytes; a larger batch is a record of its own.
const RECORD_BYTES: usize = 1 << 20;
/// An output buffer with more capacity is given back to the allocator.
const KEPT_CAPACITY: usize = 1 << 20;
/// Zeros that are written ahead at a time.
const AHEAD_BYTES: usize = 256 << 10;
/// Blocks of the file system are at most this large, usually.
const BLOCK: u64 = 4096;
/// Zeros are written ahead of groups up to this size only: a larger one costs more than its place.
const SMALL_GROUP: usize = AHEAD_BYTES / 8;

/// How far the change to the next segment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Roll {
    /// The segment takes records.
    No,
    /// The trailer is framed.
    Ending,
    /// The segment is complete and durable.
    Finished,
}

/// # Invariants
/// * `out[done..]` is what is framed and not written; `out[0]` belongs at `out_start`, and
///   `out_start + out.len()` is the framer's offset.
/// * `framed` is the end of what is framed, `written` that of what is written; they are equal when
///   `out` is empty.
/// * `taken.batches[at..]` is what was taken and is not framed; `taken.cuts[cut..]` are ahead.
pub(super) struct Drain {
    segment: Arc<Segment>,
    framer: Framer,
    roll: Roll,
    taken: Taken,
    at: usize,
    cut: usize,
    out: Vec<u8>,
    done: usize,
    out_start: u64,
    framed: Position,
    written: Position,
    /// The offset up to which writeback was started.
    hinted: u64,
    /// The offset up to which the segment's blocks have been written, if only with zeros.
    laid: u64,
    /// Nothing is preallocated.
    is_bare: bool,
    /// How often the end of the log was taken back.
    ends: u64,
}

/// A point up to which everything was written, for a sync to make durable.
pub(super) struct Written {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    pub(super) position: Position,
    /// How often the end of the log had been taken back before.
    pub(super) ends: u64,
}

impl Drain {
    /// Starts in an empty segment; `is_bare` tells that it is not preallocated.
    pub(super) fn new(segment: Segment, framer: Framer, last_seq: Seq, is_bare: bool) -> Self {
        let position = Position { seq: last_seq, bytes: 0 };
        Self {
            segment: Arc::new(segment),
            out_start: framer.offset(),
            hinted: framer.offset(),
            laid: framer.offset(),
            is_bare,
            framer,
            roll: Roll::No,
            taken: Taken::default(),
            at: 0,
            cut: 0,
            out: Vec::new(),
            done: 0,
            framed: position,
            written: position,
            ends: 0,
        }
    }

    /// Goes on in an empty segment behind `end`, where everything before that is complete: what was
    /// written behind it was taken back, for the `ends`th time.
    pub(super) fn restart(&mut self, segment: Segment, framer: Framer, end: Position, ends: u64) {
        debug_assert!(self.out.is_empty() && self.at == self.taken.batches.len(), "everything was written");
        *self = Self { framed: end, written: end, ends, ..Self::new(segment, framer, end.seq, false) };
    }

    /// Writes everything appended so far.
    pub(super) fn advance(&mut self, shared: &Shared) -> Result<(), Halt> {
        while !self.advance_to_cut(shared)? {
            let cut = self.taken.cuts[self.cut];
            self.roll(shared, cut.segment, cut.next_seq)?;
            self.cut += 1;
        }
        Ok(())
    }

    /// Writes what was appended so far and belongs into this segment; tells whether that is everything. Going over to the
    /// next segment has to wait for the disk, this need not.
    pub(super) fn advance_to_cut(&mut self, shared: &Shared) -> Result<bool, Halt> {
        loop {
            self.write(shared)?;
            let cut = self.taken.cuts.get(self.cut).copied();
            if let Some(cut) = cut
                && cut.at == self.at
            {
                return Ok(false);
            }
            if self.at == self.taken.batches.len() {
                let (segment, offset) = (self.framer.segment(), self.framer.offset());
                if !shared.order.lock().take(&mut self.taken, segment, offset) {
                    return Ok(true);
                }
                (self.at, self.cut) = (0, 0);
                continue;
            }
            self.frame(cut.map_or(self.taken.batches.len(), |cut| cut.at), shared);
        }
    }

    /// What is written: the state to capture before a sync begins.
    pub(super) fn written(&self) -> Written {
        // A record that is partly written does not count: no promise may end within it.
        let offset = if self.out.is_empty() { self.framer.offset() } else { self.out_start };
        Written { segment: Arc::clone(&self.segment), offset, position: self.written, ends: self.ends }
    }

    /// The number of the segment that is being written.
    pub(super) const fn segment(&self) -> u64 {
        self.framer.segment()
    }

    /// Finishes the last segment of a log that is being closed; everything in it is durable.
    pub(super) fn finish(&mut self, shared: &Shared) -> Result<(), Halt> {
        self.end_segment(shared)
    }

    /// The range that should start its way to the disk, if it is worth it.
    pub(super) fn take_writeback(&mut self) -> Option<(Arc<Segment>, u64, u64)> {
        let (from, to) = (self.hinted, self.out_start);
        if to - from < WRITEBACK_BYTES {
            return None;
        }
        self.hinted = to;
        Some((Arc::clone(&self.segment), from, to - from))
    }

    /// Frames the next record, of batches before `limit`.
    fn frame(&mut self, limit: usize, shared: &Shared) {
        let mut end = self.at;
        let mut seq = self.framed.seq;
        while end < limit {
            let header = &self.taken.batches[end..end + BATCH_HEADER_LEN];
            let (first, count, len) = crate::batch::decode_header(header);
            let next = end + BATCH_HEADER_LEN + len as usize;
            if next - self.at > RECORD_BYTES && end > self.at {
                break;
            }
            seq = first + u64::from(count) - 1;
            end = next;
        }
        let record = &self.taken.batches[self.at..end];
        self.framed = Position { seq, bytes: self.framed.bytes + record.len() as u64 };
        let synced = self.segment.synced.load(Ordering::Relaxed);
        self.framer.record(record, synced, &mut self.out);
        self.at = end;
        shared.counters.groups.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes `out`, and publishes that it is written.
    fn write(&mut self, shared: &Shared) -> Result<(), Halt> {
        shared.check_poison()?;
        if self.out.is_empty() {
            return Ok(());
        }
        while self.done < self.out.len() {
            let offset = self.out_start + self.done as u64;
            shared.counters.writes.fetch_add(1, Ordering::Relaxed);
            match self.segment.file.write_at(&self.out[self.done..], offset) {
                Ok(0) => return Err(Halt::NoSpace),
                Ok(n) => self.done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_no_space(&e) => return Err(Halt::NoSpace),
                Err(e) => return Err(shared.poison("write to", self.segment.number, &e)),
            }
        }
        let group = self.out.len();
        shared.counters.written_bytes.fetch_add(group as u64, Ordering::Relaxed);
        self.out.clear();
        if self.out.capacity() > KEPT_CAPACITY {
            self.out = Vec::new();
        }
        self.done = 0;
        self.out_start = self.framer.offset();
        shared.counters.segment_bytes.store(self.out_start, Ordering::Relaxed);
        self.written = self.framed;
        shared.marks.written.raise(self.written);
        if group <= SMALL_GROUP && shared.policy() == SyncPolicy::Always {
            self.lay_ahead(shared);
        }
        if self.out_start - self.hinted >= WRITEBACK_BYTES && shared.policy() == SyncPolicy::No {
            shared.wake.poke();
        }
        Ok(())
    }

    /// Writes zeros into the preallocated blocks that come next, if the last write has gone beyond those that were.
    ///
    /// A preallocated block that was never written is only marked as taken. The sync of the first write to it has to
    /// change that mark, which on a journaling file system is a commit of the journal: measured on ext4, twice the time
    /// and twice the CPU of a sync that only writes data. With zeros ahead, one sync in many pays for all.
    fn lay_ahead(&mut self, shared: &Shared) {
        static ZEROS: [u8; AHEAD_BYTES] = [0; AHEAD_BYTES];
        let (from, limit) = (self.out_start, shared.options.segment_bytes);
        if from <= self.laid || self.is_bare || self.roll != Roll::No {
            return;
        }
        // The end of a block, so that no block is begun here and finished by a later write.
        let to = (from + AHEAD_BYTES as u64) / BLOCK * BLOCK;
        let to = to.min(limit);
        if to <= from {
            return;
        }
        let zeros = usize::try_from(to - from).map_or(&ZEROS[..], |len| &ZEROS[..len]);
        // Where it fails nothing is missing: what stands there is read as zeros anyway.
        if let Ok(written) = self.segment.file.write_at(zeros, from) {
            self.laid = from + written as u64;
        }
    }

    /// Writes the trailer of the segment and makes the whole of it durable.
    fn end_segment(&mut self, shared: &Shared) -> Result<(), Halt> {
        if self.roll == Roll::No {
            let synced = self.segment.synced.load(Ordering::Relaxed);
            self.framer.trailer(self.framed.seq, synced, &mut self.out);
            self.roll = Roll::Ending;
        }
        self.write(shared)?;
        if self.roll == Roll::Ending {
            // Gives back what was preallocated in vain. Without, it would stay taken for as long as
            // the segment is needed, which may be long after many short lives; no harm if it fails.
            let _ = self.segment.file.truncate(self.framer.offset());
            shared.sync_segment(&self.written())?;
            self.roll = Roll::Finished;
        }
        Ok(())
    }

    /// Goes over to a new segment. The old one is complete and durable before the new one exists.
    fn roll(&mut self, shared: &Shared, number: u64, next_seq: Seq) -> Result<(), Halt> {
        self.end_segment(shared)?;
        let options = &shared.options;
        let origin = match shared.segments.lock().spare.take() {
            Some(spare) => Origin::Spare(spare),
            None => Origin::New,
        };
        let begin = |origin| begin(options, number, next_seq, origin);
        self.is_bare = false;
        let begun = match begin(origin) {
            Err(e) if is_no_space(&e) => {
                self.is_bare = true;
                // A bare segment lets what was taken be written as far as there is space, and what
                // is obsolete be removed. It takes nothing more.
                shared.flags.fetch_or(NO_SPARE, Ordering::AcqRel);
                shared.order.lock().has_no_room(number);
                begin(Origin::Bare)
            }
            other => other,
        };
        let begun = match begun {
            Ok(begun) => begun,
            Err(e) if is_no_space(&e) => return Err(Halt::NoSpace),
            Err(e) => return Err(shared.poison("create", number, &e)),
        };
        shared.sync_file(&*begun.file, number)?;
        if let Err(e) = begun.publish(&*options.vfs, &options.dir) {
            return Err(shared.poison("create", number, &e));
        }
        {
            let mut segments = shared.segments.lock();
            segments.finished.insert(self.framer.segment(), self.framer.offset());
            shared.counters.segment_bytes.store(begun.framer.offset(), Ordering::Relaxed);
        }
        let synced = AtomicU64::new(begun.framer.offset());
        self.segment = Arc::new(Segment { number, file: begun.file, synced });
        self.framer = begun.framer;
        self.out_start = self.framer.offset();
        self.hinted = self.out_start;
        self.laid = self.out_start;
        self.roll = Roll::No;
        shared.counters.rotations.fetch_add(1, Ordering::Relaxed);
        shared.wake.poke();
        Ok(())
    }
}
