//! The bytes of one memtable partition: records appended to chunks, addressed by 32 bits.
//!
//! A record is never moved (until the whole arena is rebuilt), so its address can stand in the
//! index, in another record's `prev`, and in a sorted list. Chunks start small and double, so that
//! a nearly empty partition costs a kilobyte and a full one wastes little.
//!
//! ```text
//! record := seq*2+deleted u64 | prev u32 | key length u32 | value length u32 | value room u32
//!         | key | value | unused room | padding to 8
//! ```

use crate::batch::Seq;

const FIRST_CHUNK: usize = 1 << 10;
const CHUNK: usize = 1 << 16;
const ALIGN: usize = 8;
/// Bits of an address that count units of [`ALIGN`] inside a chunk.
const OFFSET_BITS: u32 = (CHUNK / ALIGN).trailing_zeros();
const MAX_CHUNKS: usize = 1 << (32 - OFFSET_BITS);
const HEADER: usize = 24;

/// Where a record is: chunk number, then offset in units of eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Addr(u32);

impl Addr {
    /// No record. Never handed out: the last chunk number is not used.
    pub(super) const NONE: Self = Self(u32::MAX);

    /// The address as the index stores it.
    pub(super) const fn to_bits(self) -> u32 {
        self.0
    }

    /// The address that [`Addr::to_bits`] gave.
    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    const fn chunk(self) -> usize {
        (self.0 >> OFFSET_BITS) as usize
    }

    const fn offset(self) -> usize {
        (self.0 & ((1 << OFFSET_BITS) - 1)) as usize * ALIGN
    }
}

/// The fixed part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The sequence number of the write.
    pub(super) seq: Seq,
    /// Whether the record is a tombstone.
    pub(super) deleted: bool,
    /// The next older version that a view may need.
    pub(super) prev: Addr,
    key_len: u32,
    value_len: u32,
    /// Bytes a later value may take in place.
    pub(super) room: u32,
}

impl Header {
    /// The bytes the record takes in the arena.
    pub(super) const fn footprint(&self) -> usize {
        footprint(self.key_len as usize, self.room as usize)
    }

    fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&(self.seq << 1 | u64::from(self.deleted)).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.prev.0.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.key_len.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.value_len.to_le_bytes());
        bytes[20..].copy_from_slice(&self.room.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let seq = u64::from(word(4)) << 32 | u64::from(word(0));
        Self {
            seq: seq >> 1,
            deleted: seq & 1 == 1,
            prev: Addr(word(8)),
            key_len: word(12),
            value_len: word(16),
            room: word(20),
        }
    }
}

const fn footprint(key_len: usize, room: usize) -> usize {
    (HEADER + key_len + room).next_multiple_of(ALIGN)
}

/// # Invariants
/// Every address handed out points at a whole record. `used` is the sum of the footprints of all
/// records, `capacity` the sum of the chunks' capacities.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Vec<u8>>,
    /// The chunk that small records go to.
    current: usize,
    used: usize,
    capacity: usize,
}

impl Arena {
    /// The bytes of all records, dead ones included.
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    /// The bytes allocated.
    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Appends a record. Lengths are those of batch fields, which fit 32 bits.
    pub(super) fn push(&mut self, key: &[u8], seq: Seq, value: Option<&[u8]>, prev: Addr) -> Addr {
        let bytes = value.unwrap_or_default();
        let header = Header {
            seq,
            deleted: value.is_none(),
            prev,
            key_len: u32::try_from(key.len()).expect("a batch is shorter than 4 GiB"),
            value_len: u32::try_from(bytes.len()).expect("a batch is shorter than 4 GiB"),
            // The padding is room as well.
            room: u32::try_from(footprint(key.len(), bytes.len()) - HEADER - key.len())
                .expect("a batch is shorter than 4 GiB"),
        };
        let len = header.footprint();
        let chunk = self.chunk_for(len);
        let chunk_bytes = &mut self.chunks[chunk];
        let offset = chunk_bytes.len();
        chunk_bytes.extend_from_slice(&header.encode());
        chunk_bytes.extend_from_slice(key);
        chunk_bytes.extend_from_slice(bytes);
        chunk_bytes.resize(offset + len, 0);
        self.used += len;
        Addr((chunk as u32) << OFFSET_BITS | (offset / ALIGN) as u32)
    }

    /// The number of a chunk with `len` free bytes.
    fn chunk_for(&mut self, len: usize) -> usize {
        if let Some(chunk) = self.chunks.get(self.current)
            && chunk.capacity() - chunk.len() >= len
        {
            return self.current;
        }
        let regular = (FIRST_CHUNK << self.chunks.len().min(6)).min(CHUNK);
        // A large record gets a chunk of its own, and the current one stays in use.
        let own = len > regular / 2;
        let mut chunk = Vec::new();
        chunk.reserve_exact(if own { len } else { regular });
        self.capacity += chunk.capacity();
        self.chunks.push(chunk);
        let number = self.chunks.len() - 1;
        assert!(number < MAX_CHUNKS - 1, "a memtable partition is frozen long before its addresses run out");
        if !own {
            self.current = number;
        }
        number
    }

    /// Some bytes of a record: reading them brings the cache lines of one of common size.
    #[inline]
    pub(super) fn peek(&self, at: Addr) -> u8 {
        let bytes = &self.chunks[at.chunk()][at.offset()..];
        [0, 64, 128].iter().filter_map(|&line| bytes.get(line)).fold(0, |all, byte| all ^ byte)
    }

    /// The fixed part of a record.
    #[inline]
    pub(super) fn header(&self, at: Addr) -> Header {
        let bytes = &self.chunks[at.chunk()][at.offset()..];
        Header::decode(bytes.first_chunk().expect("an address points at a whole record"))
    }

    /// The key of a record.
    #[inline]
    pub(super) fn key(&self, at: Addr) -> &[u8] {
        let bytes = &self.chunks[at.chunk()][at.offset()..];
        let len = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
        &bytes[HEADER..HEADER + len]
    }

    /// The value of a record whose header is `header`; `None` for a tombstone.
    pub(super) fn value(&self, at: Addr, header: &Header) -> Option<&[u8]> {
        let start = at.offset() + HEADER + header.key_len as usize;
        (!header.deleted).then(|| &self.chunks[at.chunk()][start..start + header.value_len as usize])
    }

    /// Replaces the version in place. `value` fits the record's room.
    pub(super) fn overwrite(&mut self, at: Addr, old: &Header, seq: Seq, value: Option<&[u8]>, prev: Addr) {
        let bytes = value.unwrap_or_default();
        let header = Header {
            seq,
            deleted: value.is_none(),
            prev,
            value_len: u32::try_from(bytes.len()).expect("the value fits the room of the record"),
            ..*old
        };
        let record = &mut self.chunks[at.chunk()][at.offset()..];
        record[..HEADER].copy_from_slice(&header.encode());
        let start = HEADER + old.key_len as usize;
        record[start..start + bytes.len()].copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_size_come_back() {
        let mut arena = Arena::default();
        let mut written = Vec::new();
        for n in 0..600usize {
            let key = vec![n as u8; n % 300];
            let value = (n % 7 != 0).then(|| vec![!(n as u8); (n * 977) % 90_000]);
            let at = arena.push(&key, n as u64, value.as_deref(), Addr::NONE);
            written.push((at, key, value));
        }
        for (n, (at, key, value)) in written.iter().enumerate() {
            let header = arena.header(*at);
            assert_eq!(header.seq, n as u64);
            assert_eq!(arena.key(*at), key);
            assert_eq!(arena.value(*at, &header), value.as_deref());
        }
        assert!(arena.used() <= arena.capacity());
    }

    #[test]
    fn an_overwrite_stays_in_its_room() {
        let mut arena = Arena::default();
        let first = arena.push(b"a", 1, Some(b"0123456789"), Addr::NONE);
        let second = arena.push(b"b", 2, Some(b"x"), Addr::NONE);
        let old = arena.header(first);
        arena.overwrite(first, &old, 3, Some(&vec![7; old.room as usize]), second);
        let new = arena.header(first);
        assert_eq!((new.seq, new.prev, new.room), (3, second, old.room));
        assert_eq!(arena.value(second, &arena.header(second)), Some(&b"x"[..]));
        arena.overwrite(first, &new, 4, None, Addr::NONE);
        assert_eq!(arena.value(first, &arena.header(first)), None);
    }
}
