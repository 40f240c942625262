//! The ordering buffer: where batches get their sequence numbers and their place.

use crate::batch::{BATCH_HEADER_LEN, Seq, WriteBatch, encode_header};
use crate::wal::SegmentNumber;
use crate::wal::format::{FIRST_RECORD, MIN_CHUNK_ROOM, framed_bound};

/// What finishing a segment takes at most: padding and the trailer.
const TRAILER_ROOM: u64 = 2 * MIN_CHUNK_ROOM;
/// A drained buffer with more capacity is given back to the allocator.
const KEPT_CAPACITY: usize = 1 << 20;

/// A place in the buffer at which a new segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Bytes of the buffer that belong to the segments before.
    pub(super) at: usize,
    /// The segment that begins.
    pub(super) segment: SegmentNumber,
    /// The first sequence number in it.
    pub(super) next_seq: Seq,
}

/// Batches in order that nobody has taken for writing yet.
///
/// # Invariants
/// * `buf` holds the batches appended since the last [`Order::take`], whose sequence numbers are
///   contiguous and end before `next_seq`.
/// * `cuts` is sorted by place; `segment` is the number of the last cut ever made.
/// * `used` is at least the offset in `segment` at which the batches appended so far will end.
#[derive(Debug)]
pub(super) struct Order {
    buf: Vec<u8>,
    cuts: Vec<Cut>,
    next_seq: Seq,
    position: u64,
    segment: SegmentNumber,
    used: u64,
    capacity: u64,
    segment_bytes: u64,
}

/// What [`Order::take`] handed over.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Encoded batches.
    pub(super) batches: Vec<u8>,
    /// Where segments begin in them.
    pub(super) cuts: Vec<Cut>,
}

impl Order {
    /// Starts in the empty segment `segment`, of which `capacity` bytes are preallocated.
    pub(super) fn new(segment: SegmentNumber, next_seq: Seq, capacity: u64, segment_bytes: u64) -> Self {
        Self {
            buf: Vec::with_capacity(256 << 10),
            cuts: Vec::new(),
            next_seq,
            position: 0,
            segment,
            used: FIRST_RECORD,
            capacity,
            segment_bytes,
        }
    }

    pub(super) const fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// The bytes appended since the log was opened.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    pub(super) const fn segment(&self) -> SegmentNumber {
        self.segment
    }

    /// Whether the segment that is being filled is still empty.
    pub(super) const fn segment_is_empty(&self) -> bool {
        self.used == FIRST_RECORD
    }

    /// Whether a batch of `len` bytes of operations needs a new segment.
    #[inline]
    pub(super) const fn needs_cut(&self, len: usize) -> bool {
        let need = framed_bound((BATCH_HEADER_LEN + len) as u64) + TRAILER_ROOM;
        self.used + need > self.capacity && (!self.segment_is_empty() || self.capacity == 0)
    }

    /// Whether there is room for a further batch: of all bytes appended, of which so many are
    /// `written`, less than `limit` wait, here or taken already. The batch itself does not count, or a
    /// large one would depend on what happens to stand before it.
    #[inline]
    pub(super) const fn has_room(&self, written: u64, limit: usize) -> bool {
        self.position - written < limit as u64
    }

    /// Begins a new segment here; returns its number.
    pub(super) fn cut(&mut self) -> SegmentNumber {
        self.segment += 1;
        let cut = Cut { at: self.buf.len(), segment: self.segment, next_seq: self.next_seq };
        self.cuts.push(cut);
        self.used = FIRST_RECORD;
        self.capacity = self.segment_bytes;
        self.segment
    }

    /// Says that `segment` has no preallocated room: if it is the one that is being filled, the
    /// next batch begins another.
    pub(super) const fn has_no_room(&mut self, segment: SegmentNumber) {
        if self.segment == segment {
            self.capacity = 0;
        }
    }

    /// Goes on in the empty segment `segment` with the number `next_seq`; nothing is buffered.
    pub(super) fn restart(&mut self, segment: SegmentNumber, next_seq: Seq, capacity: u64) {
        debug_assert!(self.buf.is_empty() && self.cuts.is_empty(), "everything was taken");
        let position = self.position;
        *self = Self { position, ..Self::new(segment, next_seq, capacity, self.segment_bytes) };
    }

    /// Puts a batch behind the others. Its length fits a u32.
    #[inline]
    pub(super) fn push(&mut self, batch: &WriteBatch, len: u32) {
        let ops = batch.ops_bytes();
        let entry = BATCH_HEADER_LEN + ops.len();
        self.buf.reserve(entry);
        self.buf.extend_from_slice(&encode_header(self.next_seq, batch.count(), len));
        self.buf.extend_from_slice(ops);
        self.next_seq += u64::from(batch.count());
        self.position += entry as u64;
        self.used += framed_bound(entry as u64);
    }

    /// Hands over everything buffered in exchange for the emptied `taken`; false if there is
    /// nothing. `segment` and `offset` say where what was taken before ends: with that, the room
    /// left in the segment is known exactly again.
    pub(super) fn take(&mut self, taken: &mut Taken, segment: SegmentNumber, offset: u64) -> bool {
        if self.buf.is_empty() && self.cuts.is_empty() {
            return false;
        }
        taken.batches.clear();
        if taken.batches.capacity() > KEPT_CAPACITY {
            taken.batches = Vec::new();
        }
        taken.cuts.clear();
        std::mem::swap(&mut self.buf, &mut taken.batches);
        std::mem::swap(&mut self.cuts, &mut taken.cuts);
        let (start, from) = match taken.cuts.last() {
            Some(cut) => (FIRST_RECORD, cut.at),
            None if segment == self.segment => (offset, 0),
            None => return true,
        };
        let rest = (taken.batches.len() - from) as u64;
        self.used = start + if rest > 0 { framed_bound(rest) } else { 0 };
        true
    }
}
