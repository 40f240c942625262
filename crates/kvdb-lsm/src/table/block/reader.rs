//! Reading a data block: seeks and walks, either way.

use super::cursor::BlockCursor;
use super::hash_index::MAX_RESTARTS;
use super::{Format, Kind, Malformed, Stored};
use crate::batch::Seq;
use crate::blob::BlobRef;
use crate::entry::{Content, Entry};
use crate::varint;

/// The bytes behind the buckets: number of restarts, number of buckets, base sequence.
pub(super) const TAIL: usize = 16;
/// The same in format 1, which has no buckets.
const TAIL_V1: usize = 12;

/// A data block in memory: checked and decompressed.
///
/// # Invariants
/// The payload has its entries before `restarts`, then `count` offsets below `restarts`, then the
/// buckets up to `buckets_end`, and then the tail. The entries themselves are checked as they are
/// read.
#[derive(Debug)]
pub(crate) struct Block {
    pub(super) payload: Vec<u8>,
    format: Format,
    pub(super) restarts: usize,
    pub(super) count: usize,
    buckets_end: usize,
    base_seq: Seq,
}

/// The fields in front of an entry, and where its parts are.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) shared: usize,
    pub(super) kind: Kind,
    pub(super) seq: Seq,
    /// Where the suffix of the key begins; it ends where the value begins.
    pub(super) suffix: usize,
    /// Where the value begins; it ends where the next entry begins.
    pub(super) value: usize,
    pub(super) next: usize,
}

/// Reads a number and moves `at` behind it. Nearly all take one byte or two.
#[inline]
fn field(bytes: &[u8], at: &mut usize) -> Result<u64, Malformed> {
    match bytes.get(*at..) {
        Some([one, ..]) if *one < 0x80 => {
            *at += 1;
            Ok(u64::from(*one))
        }
        Some([low, high, ..]) if *high < 0x80 => {
            *at += 2;
            Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
        }
        rest => {
            let (value, used) = varint::read(rest.unwrap_or_default()).ok_or(Malformed::Entry)?;
            *at += used;
            Ok(value)
        }
    }
}

impl Block {
    /// Takes a payload.
    pub(in crate::table) fn new(payload: Vec<u8>, format: Format) -> Result<Self, Malformed> {
        let tail_len = match format {
            Format::V1 => TAIL_V1,
            Format::V2 => TAIL,
        };
        let tail = payload.len().checked_sub(tail_len).ok_or(Malformed::Shape)?;
        let number = |at: usize| {
            let bytes = &payload[tail + at..];
            u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
        };
        let count = number(0);
        let (buckets, base) = match format {
            Format::V1 => (0, 4),
            Format::V2 => (number(4), 8),
        };
        let base_seq = (number(base) as u64) | (number(base + 4) as u64) << 32;
        let restarts = count
            .checked_mul(4)
            .and_then(|bytes| bytes.checked_add(buckets))
            .and_then(|bytes| tail.checked_sub(bytes))
            .ok_or(Malformed::Shape)?;
        let block = Self { payload, format, restarts, count, buckets_end: tail, base_seq };
        let sound = count > 0
            && (buckets == 0 || count <= MAX_RESTARTS)
            && base_seq >> 63 == 0
            && block.restart(0) == 0
            && (0..count).all(|n| block.restart(n) < restarts);
        sound.then_some(block).ok_or(Malformed::Shape)
    }

    /// The memory the block takes, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        self.payload.capacity() + size_of::<Self>()
    }

    pub(super) fn restart(&self, n: usize) -> usize {
        let at = self.restarts + n * 4;
        let bytes = &self.payload[at..];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
    }

    pub(super) fn buckets(&self) -> &[u8] {
        &self.payload[self.restarts + self.count * 4..self.buckets_end]
    }

    /// Reads what is in front of the entry at `at`.
    #[inline]
    pub(super) fn header(&self, mut at: usize) -> Result<Header, Malformed> {
        let bytes = &self.payload[..self.restarts];
        let shared = usize::try_from(field(bytes, &mut at)?).map_err(|_| Malformed::Entry)?;
        let unshared = field(bytes, &mut at)?;
        let meta = field(bytes, &mut at)?;
        let delta = varint::unzigzag(field(bytes, &mut at)?);
        let (kind, value_len) = Kind::split(meta, self.format)?;
        let room = (bytes.len() - at) as u64;
        if unshared > room || value_len > room - unshared {
            return Err(Malformed::Entry);
        }
        let value = at + unshared as usize;
        let seq = self.base_seq.checked_add_signed(delta).filter(|seq| seq >> 63 == 0);
        Ok(Header {
            shared,
            kind,
            seq: seq.ok_or(Malformed::Entry)?,
            suffix: at,
            value,
            next: value + value_len as usize,
        })
    }

    /// Decodes the entry at `cursor.next` onto `cursor`, which remembers the one it leaves if it is
    /// told to.
    fn read(&self, cursor: &mut BlockCursor, remember: bool) -> Result<(), Malformed> {
        let at = cursor.next;
        let header = self.header(at)?;
        if header.shared > cursor.key.len() {
            return Err(Malformed::Entry);
        }
        if remember {
            cursor.remember(header.shared);
        }
        cursor.key.truncate(header.shared);
        cursor.key.extend_from_slice(&self.payload[header.suffix..header.value]);
        cursor.stored = match header.kind {
            Kind::Value => Stored::Value,
            Kind::Tombstone => Stored::Tombstone,
            Kind::Blob => Stored::Blob(self.reference(&header)?),
        };
        cursor.seq = header.seq;
        cursor.value = (header.value, header.next);
        (cursor.at, cursor.next) = (at, header.next);
        cursor.valid = true;
        Ok(())
    }

    /// The key at a restart, without a copy.
    fn restart_key(&self, n: usize) -> Result<&[u8], Malformed> {
        let header = self.header(self.restart(n))?;
        if header.shared == 0 {
            Ok(&self.payload[header.suffix..header.value])
        } else {
            Err(Malformed::Entry)
        }
    }

    /// The last restart interval that begins at or before `key`; the first if all begin behind it.
    pub(super) fn interval_of(&self, key: &[u8]) -> Result<usize, Malformed> {
        let (mut low, mut high) = (0, self.count);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.restart_key(middle)? <= key {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Places `cursor` on the first entry with a key not below `key`.
    pub(in crate::table) fn seek(&self, key: &[u8], cursor: &mut BlockCursor) -> Result<(), Malformed> {
        let low = self.interval_of(key)?;
        cursor.rewind(self.restart(low));
        loop {
            self.advance(cursor)?;
            if !cursor.valid || cursor.key.as_slice() >= key {
                return Ok(());
            }
        }
    }

    /// Places `cursor` on the first entry.
    pub(in crate::table) fn seek_first(&self, cursor: &mut BlockCursor) -> Result<(), Malformed> {
        cursor.rewind(0);
        self.advance(cursor)
    }

    /// Places `cursor` on the last entry.
    pub(in crate::table) fn seek_last(&self, cursor: &mut BlockCursor) -> Result<(), Malformed> {
        self.walk_to(self.count - 1, self.restarts, cursor)
    }

    /// Places `cursor` on the last entry with a key below `key`, or not above it if `inclusive`; on
    /// none if there is no such entry.
    pub(in crate::table) fn seek_back(
        &self,
        key: &[u8],
        inclusive: bool,
        cursor: &mut BlockCursor,
    ) -> Result<(), Malformed> {
        let before = |candidate: &[u8]| candidate < key || (inclusive && candidate == key);
        // The number of restarts before the key; the entry sought is in the interval of the last.
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if before(self.restart_key(middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(interval) = low.checked_sub(1) else {
            cursor.valid = false;
            return Ok(());
        };
        let end = if low < self.count { self.restart(low) } else { self.restarts };
        cursor.rewind(self.restart(interval));
        self.read(cursor, false)?;
        while cursor.next < end {
            self.read(cursor, true)?;
            if !before(&cursor.key) {
                cursor.recall();
                break;
            }
        }
        Ok(())
    }

    /// Goes to the entry before.
    pub(in crate::table) fn retreat(&self, cursor: &mut BlockCursor) -> Result<(), Malformed> {
        if cursor.recall() {
            return Ok(());
        }
        let end = cursor.at;
        // The last restart before the entry.
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.restart(middle) < end {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match low.checked_sub(1) {
            Some(interval) => self.walk_to(interval, end, cursor),
            None => {
                cursor.valid = false;
                Ok(())
            }
        }
    }

    /// Places `cursor` on the last entry before `end`, which is behind restart `interval`, and lets
    /// it remember the ones it passed.
    fn walk_to(&self, interval: usize, end: usize, cursor: &mut BlockCursor) -> Result<(), Malformed> {
        cursor.rewind(self.restart(interval));
        self.read(cursor, false)?;
        while cursor.next < end {
            self.read(cursor, true)?;
        }
        // An entry that reaches over the end means that the restarts lie.
        if cursor.next == end { Ok(()) } else { Err(Malformed::Entry) }
    }

    /// Goes to the next entry.
    pub(in crate::table) fn advance(&self, cursor: &mut BlockCursor) -> Result<(), Malformed> {
        cursor.forget();
        if cursor.next >= self.restarts {
            cursor.valid = false;
            return Ok(());
        }
        self.read(cursor, false)
    }

    /// The entry under the cursor.
    pub(in crate::table) fn entry<'a>(&'a self, cursor: &'a BlockCursor) -> Option<Entry<'a>> {
        cursor.valid.then(|| Entry {
            key: &cursor.key,
            seq: cursor.seq,
            content: match cursor.stored {
                Stored::Value => Content::Value(&self.payload[cursor.value.0..cursor.value.1]),
                Stored::Blob(reference) => Content::Blob(reference),
                Stored::Tombstone => Content::Tombstone,
            },
        })
    }

    /// What the entry with this header says.
    #[inline]
    pub(super) fn content(&self, header: &Header) -> Result<Content<'_>, Malformed> {
        Ok(match header.kind {
            Kind::Value => Content::Value(&self.payload[header.value..header.next]),
            Kind::Blob => Content::Blob(self.reference(header)?),
            Kind::Tombstone => Content::Tombstone,
        })
    }

    #[cold]
    fn reference(&self, header: &Header) -> Result<BlobRef, Malformed> {
        BlobRef::decode(&self.payload[header.value..header.next]).ok_or(Malformed::Reference)
    }
}
