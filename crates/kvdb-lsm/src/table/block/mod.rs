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
        cursor.at = at;
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
        cursor.rewind(self.restart(low));
        loop {
            self.advance(cursor)?;
            if !cursor.valid || cursor.key.as_slice() >= key {
                return Ok(());
            }
        }
    }

    /// Places `cursor` on the first entry.
    pub(super) fn seek_first(&self, cursor: &mut BlockCursor) -> Result<(), Malformed> {
        cursor.rewind(0);
        self.advance(cursor)
    }

    /// Places `cursor` on the last entry.
    pub(super) fn seek_last(&self, cursor: &mut BlockCursor) -> Result<(), Malformed> {
        self.walk_to(self.count - 1, self.restarts, cursor)
    }

    /// Places `cursor` on the last entry with a key below `key`, or not above it if `inclusive`; on
    /// none if there is no such entry.
    pub(super) fn seek_back(
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
        self.read(cursor.next, cursor)?;
        while cursor.next < end {
            cursor.remember();
            self.read(cursor.next, cursor)?;
            if !before(&cursor.key) {
                cursor.recall();
                break;
            }
        }
        Ok(())
    }

    /// Goes to the entry before.
    pub(super) fn retreat(&self, cursor: &mut BlockCursor) -> Result<(), Malformed> {
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
        self.read(cursor.next, cursor)?;
        while cursor.next < end {
            cursor.remember();
            self.read(cursor.next, cursor)?;
        }
        // An entry that reaches over the end means that the restarts lie.
        if cursor.next == end { Ok(()) } else { Err(Malformed) }
    }

    /// Goes to the next entry.
    pub(super) fn advance(&self, cursor: &mut BlockCursor) -> Result<(), Malformed> {
        cursor.forget();
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
///
/// # Invariants
/// If `passed` is not empty, its last is the entry right before the current one, the others are
/// those before it without a gap, and `passed_keys` holds their keys.
#[derive(Debug, Default)]
pub(super) struct BlockCursor {
    key: Vec<u8>,
    seq: Seq,
    deleted: bool,
    value: (usize, usize),
    at: usize,
    next: usize,
    valid: bool,
    /// The entries of the restart interval before the current one, on the way back: a key is whole
    /// only after a walk from its restart, and one walk is enough for all keys of the interval.
    passed: Vec<Passed>,
    passed_keys: Vec<u8>,
}

/// An entry that the cursor can go back to without decoding it again.
#[derive(Debug)]
struct Passed {
    /// Where its key begins in `passed_keys`; it ends where the next one begins.
    key: usize,
    seq: Seq,
    deleted: bool,
    value: (usize, usize),
    at: usize,
}

impl BlockCursor {
    /// Makes the entry at `next`, a restart, the one to read.
    fn rewind(&mut self, next: usize) {
        self.forget();
        self.key.clear();
        self.next = next;
    }

    fn forget(&mut self) {
        self.passed.clear();
        self.passed_keys.clear();
    }

    /// Remembers the current entry, to come back to it.
    fn remember(&mut self) {
        let key = self.passed_keys.len();
        self.passed_keys.extend_from_slice(&self.key);
        let (seq, deleted, value, at) = (self.seq, self.deleted, self.value, self.at);
        self.passed.push(Passed { key, seq, deleted, value, at });
    }

    /// Goes back to the entry remembered last, if there is one.
    fn recall(&mut self) -> bool {
        let Some(passed) = self.passed.pop() else {
            return false;
        };
        self.key.clear();
        self.key.extend_from_slice(&self.passed_keys[passed.key..]);
        self.passed_keys.truncate(passed.key);
        (self.seq, self.deleted, self.value) = (passed.seq, passed.deleted, passed.value);
        self.next = self.value.1;
        self.at = passed.at;
        self.valid = true;
        true
    }
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
    fn walks_back_and_backward_seeks_find_every_key() {
        for count in [0, 1, 14, 15, 16, 30, 31, 32, 200] {
            let keys = keys(count);
            let block = Block::new(build(&keys)).expect("the block is sound");
            let mut walk = BlockCursor::default();
            block.seek_last(&mut walk).expect("sound");
            for (n, key) in keys.iter().enumerate().rev() {
                let mut forward = BlockCursor::default();
                block.seek(key, &mut forward).expect("sound");
                let expected = block.entry(&forward);
                assert_eq!(expected.map(|entry| entry.key), Some(key.as_slice()));
                assert_eq!(block.entry(&walk), expected);
                let mut sought = BlockCursor::default();
                block.seek_back(key, true, &mut sought).expect("sound");
                assert_eq!(block.entry(&sought), expected);
                block.seek_back(&[key, &b"!"[..]].concat(), false, &mut sought).expect("sound");
                assert_eq!(block.entry(&sought), expected);
                block.seek_back(key, false, &mut sought).expect("sound");
                let before = n.checked_sub(1).map(|n| keys[n].as_slice());
                assert_eq!(block.entry(&sought).map(|entry| entry.key), before);
                block.retreat(&mut walk).expect("sound");
            }
            assert_eq!(block.entry(&walk), None);
        }
    }

    #[test]
    fn the_direction_can_change_at_every_entry() {
        let keys = keys(100);
        let block = Block::new(build(&keys)).expect("the block is sound");
        let key_of = |cursor: &BlockCursor| block.entry(cursor).map(|entry| entry.key.to_vec());
        // Every start, some steps back, some forward, some back again.
        for start in 0..keys.len() {
            for (back, forth) in [(1, 1), (3, 2), (17, 40), (2, 19)] {
                let mut cursor = BlockCursor::default();
                block.seek(&keys[start], &mut cursor).expect("sound");
                let mut at = start;
                for (steps, is_back) in [(back, true), (forth, false), (back, true)] {
                    for _ in 0..steps {
                        if is_back && at > 0 {
                            block.retreat(&mut cursor).expect("sound");
                            at -= 1;
                        } else if !is_back && at + 1 < keys.len() {
                            block.advance(&mut cursor).expect("sound");
                            at += 1;
                        }
                        assert_eq!(key_of(&cursor).as_ref(), Some(&keys[at]));
                    }
                }
            }
        }
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
                let _ = block.seek_back(b"key00050", true, &mut cursor);
                steps = 0;
                let mut result = block.seek_last(&mut cursor);
                while result.is_ok() && block.entry(&cursor).is_some() {
                    result = block.retreat(&mut cursor);
                    steps += 1;
                }
                assert!(steps <= sound.len());
            }
        }
    }
}
