//! Data blocks: entries in key order, keys shortened by what they share with the one before.
//!
//! ```text
//! payload := entry* | restart u32 * n | n u32 | base_seq u64
//! entry   := shared varint | unshared varint | value length * 2 + deleted varint
//!          | seq - base_seq zigzag varint | key suffix | value
//! ```
//!
//! Every sixteenth entry is a *restart*: it shares nothing, and its offset is in the array at the
//! end, so that a search is a binary search over the restarts and a short walk.

use crate::batch::Seq;
use crate::entry::Entry;
use crate::varint;

const RESTART_INTERVAL: usize = 16;
const TAIL: usize = 12;

/// Collects the entries of one block.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    payload: Vec<u8>,
    restarts: Vec<u32>,
    since_restart: usize,
    base_seq: Seq,
    last_key: Vec<u8>,
}

impl BlockBuilder {
    /// Adds an entry; keys come in ascending order.
    pub(super) fn add(&mut self, entry: Entry<'_>) {
        if self.payload.is_empty() {
            self.base_seq = entry.seq;
        }
        let mut shared = 0;
        if self.payload.is_empty() || self.since_restart == RESTART_INTERVAL {
            let offset = u32::try_from(self.payload.len());
            self.restarts.push(offset.expect("a block is cut long before 4 GiB"));
            self.since_restart = 0;
        } else {
            shared = common_prefix(&self.last_key, entry.key);
        }
        self.since_restart += 1;
        let value = entry.value.unwrap_or_default();
        let out = &mut self.payload;
        varint::write(out, shared as u64);
        varint::write(out, (entry.key.len() - shared) as u64);
        varint::write(out, (value.len() as u64) << 1 | u64::from(entry.value.is_none()));
        // Sequences are below 2^63, so the difference fits.
        varint::write(out, varint::zigzag(entry.seq as i64 - self.base_seq as i64));
        out.extend_from_slice(&entry.key[shared..]);
        out.extend_from_slice(value);
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&entry.key[shared..]);
    }

    /// The size of the payload so far.
    pub(super) const fn len(&self) -> usize {
        self.payload.len() + self.restarts.len() * 4 + TAIL
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Completes the payload and hands it to `seal`; the builder is empty afterwards.
    pub(super) fn finish<R>(&mut self, seal: impl FnOnce(&[u8]) -> R) -> R {
        for restart in &self.restarts {
            self.payload.extend_from_slice(&restart.to_le_bytes());
        }
        let count = self.restarts.len() as u32;
        self.payload.extend_from_slice(&count.to_le_bytes());
        self.payload.extend_from_slice(&self.base_seq.to_le_bytes());
        let result = seal(&self.payload);
        self.payload.clear();
        self.restarts.clear();
        self.since_restart = 0;
        self.last_key.clear();
        result
    }
}

/// The length of the longest common prefix.
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A data block in memory: checked and decompressed.
///
/// # Invariants
/// `restarts..` holds `count` offsets below `restarts`, and then the tail. The entries themselves
/// are checked as they are read.
#[derive(Debug)]
pub(crate) struct Block {
    payload: Vec<u8>,
    restarts: usize,
    count: usize,
    base_seq: Seq,
}

/// Entries that contradict themselves, although the checksum matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Block {
    /// Takes a payload.
    pub(super) fn new(payload: Vec<u8>) -> Result<Self, Malformed> {
        let tail = payload.len().checked_sub(TAIL).ok_or(Malformed)?;
        let (count, base_seq) = payload[tail..].split_first_chunk::<4>().ok_or(Malformed)?;
        let base_seq = base_seq.first_chunk::<8>().ok_or(Malformed)?;
        let count = u32::from_le_bytes(*count) as usize;
        let base_seq = u64::from_le_bytes(*base_seq);
        let restarts = count.checked_mul(4).and_then(|bytes| tail.checked_sub(bytes)).ok_or(Malformed)?;
        let block = Self { payload, restarts, count, base_seq };
        let sound = count > 0
            && base_seq >> 63 == 0
            && block.restart(0) == 0
            && (0..count).all(|n| block.restart(n) < restarts);
        sound.then_some(block).ok_or(Malformed)
    }

    /// The memory the block takes, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        self.payload.capacity() + size_of::<Self>()
    }

    fn restart(&self, n: usize) -> usize {
        let at = self.restarts + n * 4;
        let bytes = &self.payload[at..];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
    }

    /// Decodes the entry at `at` onto `cursor`.
    fn read(&self, at: usize, cursor: &mut BlockCursor) -> Result<(), Malformed> {
        let mut rest = &self.payload[at..self.restarts];
        let mut field = || {
            let (value, used) = varint::read(rest).ok_or(Malformed)?;
            rest = &rest[used..];
            Ok(value)
        };
        let shared = usize::try_from(field()?).map_err(|_| Malformed)?;
        let unshared = usize::try_from(field()?).map_err(|_| Malformed)?;
        let meta = field()?;
        let delta = varint::unzigzag(field()?);
        let value_len = usize::try_from(meta >> 1).map_err(|_| Malformed)?;
        if shared > cursor.key.len() || unshared > rest.len() || value_len > rest.len() - unshared {
            return Err(Malformed);
        }
        let value = self.restarts - rest.len() + unshared;
        cursor.key.truncate(shared);
        cursor.key.extend_from_slice(&rest[..unshared]);
        cursor.seq = self.base_seq.checked_add_signed(delta).filter(|seq| seq >> 63 == 0).ok_or(Malformed)?;
        cursor.deleted = meta & 1 == 1;
        cursor.value = (value, value + value_len);
        cursor.next = value + value_len;
        cursor.valid = true;
        Ok(())
    }

    /// The key at a restart, without a copy.
    fn restart_key(&self, n: usize) -> Result<&[u8], Malformed> {
        let mut rest = &self.payload[self.restart(n)..self.restarts];
        let mut lens = [0u64; 4];
        for len in &mut lens {
            let (value, used) = varint::read(rest).ok_or(Malformed)?;
            rest = &rest[used..];
            *len = value;
        }
        let len = usize::try_from(lens[1]).map_err(|_| Malformed)?;
        if lens[0] != 0 {
            return Err(Malformed);
        }
        rest.get(..len).ok_or(Malformed)
    }

    /// Places `cursor` on the first entry with a key not below `key`.
    pub(super) fn seek(&self, key: &[u8], cursor: &mut BlockCursor) -> Result<(), Malformed> {
        // The last restart at or before the key: restart 0 if all are behind it.
        let (mut low, mut high) = (0, self.count);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.restart_key(middle)? <= key {
                low = middle;
            } else {
                high = middle;
            }
        }
        cursor.key.clear();
        cursor.next = self.restart(low);
        loop {
            self.advance(cursor)?;
            if !cursor.valid || cursor.key.as_slice() >= key {
                return Ok(());
            }
        }
    }

    /// Places `cursor` on the first entry.
    pub(super) fn seek_first(&self, cursor: &mut BlockCursor) -> Result<(), Malformed> {
        cursor.key.clear();
        cursor.next = 0;
        self.advance(cursor)
    }

    /// Goes to the next entry.
    pub(super) fn advance(&self, cursor: &mut BlockCursor) -> Result<(), Malformed> {
        if cursor.next >= self.restarts {
            cursor.valid = false;
            return Ok(());
        }
        self.read(cursor.next, cursor)
    }

    /// The entry under the cursor.
    pub(super) fn entry<'a>(&'a self, cursor: &'a BlockCursor) -> Option<Entry<'a>> {
        cursor.valid.then(|| Entry {
            key: &cursor.key,
            seq: cursor.seq,
            value: (!cursor.deleted).then(|| &self.payload[cursor.value.0..cursor.value.1]),
        })
    }
}

/// A position in a block, kept apart from it so that it can be reused for the next block.
#[derive(Debug, Default)]
pub(super) struct BlockCursor {
    key: Vec<u8>,
    seq: Seq,
    deleted: bool,
    value: (usize, usize),
    next: usize,
    valid: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(n: u32) -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> = (0..n).map(|n| format!("key{:05}", n * 3).into_bytes()).collect();
        keys.insert(0, Vec::new());
        keys
    }

    fn build(keys: &[Vec<u8>]) -> Vec<u8> {
        let mut builder = BlockBuilder::default();
        for (n, key) in (0u64..).zip(keys) {
            let value = format!("value {n}");
            builder.add(Entry { key, seq: 1000 - n, value: (n % 5 != 0).then_some(value.as_bytes()) });
        }
        builder.finish(<[u8]>::to_vec)
    }

    #[test]
    fn walks_and_seeks_find_every_key() {
        let keys = keys(200);
        let block = Block::new(build(&keys)).expect("the block is sound");
        let mut cursor = BlockCursor::default();
        block.seek_first(&mut cursor).expect("sound");
        for (n, key) in (0u64..).zip(&keys) {
            let value = format!("value {n}");
            let expected = Entry { key, seq: 1000 - n, value: (n % 5 != 0).then_some(value.as_bytes()) };
            assert_eq!(block.entry(&cursor), Some(expected));
            let mut sought = BlockCursor::default();
            block.seek(key, &mut sought).expect("sound");
            assert_eq!(block.entry(&sought), Some(expected));
            block.seek(&[key, &b"!"[..]].concat(), &mut sought).expect("sound");
            assert_eq!(block.entry(&sought).map(|e| e.key), keys.get(n as usize + 1).map(Vec::as_slice));
            block.advance(&mut cursor).expect("sound");
        }
        assert_eq!(block.entry(&cursor), None);
    }

    #[test]
    fn hostile_payloads_neither_panic_nor_loop() {
        let sound = build(&keys(40));
        for at in 0..sound.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut payload = sound.clone();
                payload[at] ^= flip;
                let Ok(block) = Block::new(payload) else {
                    continue;
                };
                let mut cursor = BlockCursor::default();
                let mut steps = 0;
                let mut result = block.seek_first(&mut cursor);
                while result.is_ok() && block.entry(&cursor).is_some() {
                    result = block.advance(&mut cursor);
                    steps += 1;
                }
                assert!(steps <= sound.len());
                let _ = block.seek(b"key00050", &mut cursor);
            }
        }
    }
}
