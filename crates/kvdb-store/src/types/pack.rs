//! Packs: short sequences of short byte strings in one allocation.
//!
//! Most collections are small. A pack keeps the elements of one, or a piece of a long list, back to back without a
//! pointer to any of them, and is searched from one end to the other, which for a hundred elements is as quick as hashing.
//! Elements that belong together, as a field and its value do, are one *record*; a record has as many elements as the
//! type of the pack says.
//!
//! ```text
//! record   := element… | [back]
//! element  := head | payload
//! head     := 0xxxxxxx                 a string of x bytes
//!           | 10xxxxxx                 the integer x, no payload
//!           | 1100nnnn                 an integer of n bytes (1 to 8), two's complement, least byte first
//!           | 11010000 | varint        a string of that many bytes
//! back     := length of the elements in groups of seven bits, the *last* byte holds the lowest; bit 7 of a byte
//!             says that there is another one before it
//! ```
//!
//! A string that is the canonical text of an integer is kept as that integer, so elements come out as [`ValueRef`]s.
//! `back` lets a pack be read from its end; only packs that need it have it. The idea of both is that of Redis' listpacks,
//! where every element has a length behind it.
//!
//! There may be millions of packs, each written once. So a pack has the least size that the allocator gives for it: no
//! more room to grow than it would have anyway.
//!
//! [`ValueRef`]: crate::entry::ValueRef

mod cursor;
mod element;
#[cfg(test)]
mod tests;

use self::element::{LONGEST_SHORT, MAX_FRAME, Record, length_at, read};
pub(super) use self::element::{forward_len, read_forward, write_forward};
use crate::entry::ValueRef;
use crate::prefetch::prefetch;
use crate::size_class;

pub use self::cursor::{Cursor, Needle};

/// The most bytes that a collection should be one pack of, as with Redis' listpacks.
pub const MAX_BYTES: usize = 1 << 30;

/// The most records of a pack.
pub const MAX_RECORDS: usize = (1 << 24) - 1;

/// Cache lines that are asked for before a pack is read.
const PREFETCHED_LINES: usize = 4;

/// A pack of more bytes than this is not moved within its allocation unless that makes some room: what goes in at one end
/// and out at the other would move all of it again and again.
const MOVED_FREELY: usize = 4096;

/// Records of `N` byte strings each, in one allocation; `BACK` says whether they can be read from the end.
///
/// # Invariants
///
/// * The allocation has one of the sizes of the allocator.
/// * In it are the *gap*, which may be empty, `len` bytes that are `count` whole records, and free room.
/// * A gap that is not empty begins with its size: a byte below 255, or 255 and four bytes.
#[derive(Debug, Clone, Default)]
#[repr(C)]
pub struct Pack<const N: usize, const BACK: bool = false> {
    room: Box<[u8]>,
    len: u32,
    /// 24 bits.
    count: [u8; 3],
    /// Room before the first record makes adding to the front cheap, and taking away from there. Few packs have any, so
    /// its size stands in it.
    has_gap: bool,
}

/// In the first byte of a gap whose size does not fit there.
const WIDE_GAP: u8 = u8::MAX;

/// An allocation with room for so many bytes.
fn room_for(bytes: usize) -> Box<[u8]> {
    vec![0; size_class::of(bytes)].into_boxed_slice()
}

impl<const N: usize, const BACK: bool> Pack<N, BACK> {
    /// An empty pack.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes before the first record.
    #[inline]
    fn gap(&self) -> usize {
        if !self.has_gap {
            return 0;
        }
        match self.room[0] {
            WIDE_GAP => u32::from_le_bytes(*self.room[1..].first_chunk().expect("it is wide")) as usize,
            narrow => usize::from(narrow),
        }
    }

    fn set_gap(&mut self, gap: usize) {
        self.has_gap = gap > 0;
        if gap == 0 {
            return;
        }
        self.room[0] = u8::try_from(gap).unwrap_or(WIDE_GAP);
        if self.room[0] == WIDE_GAP {
            let size = u32::try_from(gap).expect("packs are smaller than that");
            self.room[1..5].copy_from_slice(&size.to_le_bytes());
        }
    }

    #[inline]
    fn records(&self) -> &[u8] {
        let gap = self.gap();
        &self.room[gap..gap + self.len as usize]
    }

    /// Bytes of the records.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.len as usize
    }

    /// The number of records.
    #[inline]
    pub fn count(&self) -> usize {
        let [low, middle, high] = self.count;
        u32::from_le_bytes([low, middle, high, 0]) as usize
    }

    fn set_count(&mut self, count: usize) {
        debug_assert!(count <= MAX_RECORDS, "the owner knows how many there may be");
        let [low, middle, high, ..] = count.to_le_bytes();
        self.count = [low, middle, high];
    }

    /// Whether there is no record.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that adding an element makes the pack longer by, about.
    pub fn cost_of(element: &[u8]) -> usize {
        element.len() + if element.len() <= LONGEST_SHORT { 2 } else { MAX_FRAME }
    }

    /// Asks the processor for the first records; those behind them follow when they are read.
    pub(super) fn prefetch(&self) {
        (0..PREFETCHED_LINES).for_each(|line| prefetch(self.room.as_ptr().wrapping_add(64 * line)));
    }

    /// Bytes of memory it holds beside itself.
    pub fn memory_bytes(&self) -> usize {
        self.room.len()
    }

    /// Adds a record behind the last.
    pub fn push_back(&mut self, record: [&[u8]; N]) {
        self.insert(self.len_bytes(), record);
    }

    /// Adds a record before the first.
    pub fn push_front(&mut self, record: [&[u8]; N]) {
        self.insert(0, record);
    }

    /// Adds a record before the one at `offset` (from [`Cursor::offset`]; the length in bytes for the end).
    pub fn insert(&mut self, offset: usize, record: [&[u8]; N]) {
        let record = Record::<N, BACK>::of(record);
        self.open(offset, record.len());
        let at = self.gap() + offset;
        record.write(&mut self.room[at..at + record.len()]);
        self.set_count(self.count() + 1);
    }

    /// Puts another record in the place of the one at `offset`.
    pub fn replace(&mut self, offset: usize, record: [&[u8]; N]) {
        let record = Record::<N, BACK>::of(record);
        let old = length_at::<N, BACK>(&self.records()[offset..]);
        if old < record.len() {
            self.open(offset, record.len() - old);
        } else if old > record.len() {
            self.close(offset, old - record.len());
        }
        let at = self.gap() + offset;
        record.write(&mut self.room[at..at + record.len()]);
    }

    /// Makes room for `by` bytes before the byte at `offset`.
    fn open(&mut self, offset: usize, by: usize) {
        let (gap, used) = (self.gap(), self.len_bytes());
        let (at, end, needed) = (gap + offset, gap + used, used + by);
        let is_front = offset == 0 && used > 0;
        self.len = u32::try_from(needed).expect("packs are smaller than that");
        if gap >= by && is_front {
            return self.set_gap(gap - by);
        }
        if self.room.len() - end >= by && !is_front {
            return self.room.copy_within(at..end, at + by);
        }
        if gap >= by && offset < used {
            self.room.copy_within(gap..at, gap - by);
            return self.set_gap(gap - by);
        }
        let moves = self.room.len() >= needed;
        let spared = if moves && used > MOVED_FREELY { used / 16 } else { 0 };
        let size = self.room.len().max(size_class::of(needed + spared));
        // What is free afterwards is where the next record is likely to go.
        let new_gap = if is_front { size - needed } else { 0 };
        if size == self.room.len() {
            self.room.copy_within(gap..at, new_gap);
            self.room.copy_within(at..end, new_gap + offset + by);
        } else if gap == 0 && !is_front {
            let mut room = std::mem::take(&mut self.room).into_vec();
            room.reserve_exact(size - room.len());
            room.resize(size, 0);
            room.copy_within(at..end, at + by);
            self.room = room.into_boxed_slice();
        } else {
            let mut room = room_for(size);
            room[new_gap..new_gap + offset].copy_from_slice(&self.room[gap..at]);
            room[new_gap + offset + by..new_gap + needed].copy_from_slice(&self.room[at..end]);
            self.room = room;
        }
        self.set_gap(new_gap);
    }

    /// Takes `by` bytes from `offset` on out.
    fn close(&mut self, offset: usize, by: usize) {
        let gap = self.gap();
        let (at, end) = (gap + offset, gap + self.len_bytes());
        self.len -= by as u32;
        if offset == 0 {
            self.set_gap(gap + by);
        } else {
            self.room.copy_within(at + by..end, at);
        }
        self.settle();
    }

    /// Gives memory back after records went, when most of it is not needed.
    fn settle(&mut self) {
        let used = self.len_bytes();
        if used == 0 {
            *self = Self::new();
        } else if self.room.len() > 64 && used < self.room.len() / 4 {
            self.fit();
        }
    }

    /// Takes out `count` records, the first of which is at `offset`; fewer where the pack ends before.
    pub fn remove(&mut self, offset: usize, count: usize) {
        let records = &self.records()[offset..];
        let (mut len, mut removed) = (0, 0);
        while removed < count && len < records.len() {
            len += length_at::<N, BACK>(&records[len..]);
            removed += 1;
        }
        self.set_count(self.count() - removed);
        self.close(offset, len);
    }

    /// Takes out the records that `keep` refuses, in one pass.
    pub fn retain(&mut self, mut keep: impl FnMut([ValueRef<'_>; N]) -> bool) {
        let gap = self.gap();
        let (mut from, mut to, end, mut kept) = (gap, gap, gap + self.len_bytes(), 0);
        while from < end {
            let (record, len) = read::<N, BACK>(&self.room[from..end]);
            if keep(record) {
                self.room.copy_within(from..from + len, to);
                to += len;
                kept += 1;
            }
            from += len;
        }
        self.len = (to - gap) as u32;
        self.set_count(kept);
        self.settle();
    }

    /// Cuts the pack in two before the record at `offset`; returns the second part.
    pub fn split_off(&mut self, offset: usize) -> Self {
        let mut second = Self::new();
        second.append_records(&self.records()[offset..]);
        second.set_count(second.iter().count());
        self.set_count(self.count() - second.count());
        self.close(offset, second.len_bytes());
        second
    }

    /// Adds all records of another pack behind the last.
    pub fn append(&mut self, other: &Self) {
        self.append_records(other.records());
        self.set_count(self.count() + other.count());
    }

    fn append_records(&mut self, records: &[u8]) {
        let offset = self.len_bytes();
        self.open(offset, records.len());
        let at = self.gap() + offset;
        self.room[at..at + records.len()].copy_from_slice(records);
    }

    /// Gives all memory back that is not needed: nothing is to be added soon.
    pub fn fit(&mut self) {
        if size_class::of(self.len_bytes()) < self.room.len() {
            let mut room = room_for(self.len_bytes());
            room[..self.len_bytes()].copy_from_slice(self.records());
            self.room = room;
            self.has_gap = false;
        }
    }

    /// Looks for the record that begins with an element: its number, and the place before it.
    pub(super) fn find(&self, element: &[u8]) -> Option<(usize, Cursor<'_, N, BACK>)> {
        let mut cursor = self.first();
        let nth = cursor.find(element);
        (!cursor.at_end()).then_some((nth, cursor))
    }

    /// Before the first record.
    #[inline]
    pub fn first(&self) -> Cursor<'_, N, BACK> {
        Cursor::new(self.records(), 0)
    }

    /// All records from the first to the last.
    #[inline]
    pub fn iter(&self) -> Cursor<'_, N, BACK> {
        self.first()
    }
}

impl<const N: usize> Pack<N, true> {
    /// Behind the last record.
    pub fn end(&self) -> Cursor<'_, N, true> {
        Cursor::new(self.records(), self.len_bytes())
    }
}
