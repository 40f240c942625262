//! Writing a data block.

use super::{Kind, common_prefix, hash_index};
use crate::batch::Seq;
use crate::blob::BlobRef;
use crate::entry::Content;
use crate::varint;

/// An interval that has come to so many bytes ends even if entries are few: a block of large values would have no other,
/// and nothing to find an entry by but a walk over all of them.
const INTERVAL_BYTES: usize = 1 << 10;

/// Collects the entries of one block.
///
/// # Invariants
/// `hashes` has the lower half of the hash of every key so far and the number of the restart interval that it is in, as far
/// as a hash index is still possible. `last_key` outlives the block, until the next one begins.
#[derive(Debug)]
pub(in crate::table) struct BlockBuilder {
    interval: usize,
    payload: Vec<u8>,
    restarts: Vec<u32>,
    hashes: Vec<(u32, u8)>,
    entries: usize,
    /// Of these, those in the last interval.
    in_interval: usize,
    base_seq: Seq,
    last_key: Vec<u8>,
}

impl BlockBuilder {
    /// A builder of blocks with a restart at every `interval`-th entry at least.
    pub(in crate::table) fn new(interval: usize) -> Self {
        Self {
            interval: interval.max(1),
            payload: Vec::new(),
            restarts: Vec::new(),
            hashes: Vec::new(),
            entries: 0,
            in_interval: 0,
            base_seq: 0,
            last_key: Vec::new(),
        }
    }

    /// Adds an entry; keys come in ascending order.
    pub(in crate::table) fn add(&mut self, key: &[u8], hash: u64, seq: Seq, content: Content<'_>) {
        if self.entries == 0 {
            self.base_seq = seq;
        }
        let mut shared = 0;
        if self.is_interval_full() {
            // A block is cut at 16 MiB, and one of a single entry has its only restart at 0.
            self.restarts.push(self.payload.len() as u32);
            self.in_interval = 0;
        } else {
            shared = common_prefix(&self.last_key, key);
        }
        self.entries += 1;
        self.in_interval += 1;
        if self.restarts.len() <= hash_index::MAX_RESTARTS {
            self.hashes.push((hash as u32, (self.restarts.len() - 1) as u8));
        }
        let mut reference = [0; BlobRef::MAX_LEN];
        let (kind, value) = match content {
            Content::Value(value) => (Kind::Value, value),
            Content::Blob(to) => {
                let len = to.encode(&mut reference);
                (Kind::Blob, &reference[..len])
            }
            Content::Tombstone => (Kind::Tombstone, &[][..]),
        };
        let suffix = &key[shared..];
        let mut head = [0; 4 * varint::MAX_LEN];
        let mut len = varint::write_to(&mut head, shared as u64);
        len += varint::write_to(&mut head[len..], suffix.len() as u64);
        len += varint::write_to(&mut head[len..], (value.len() as u64) << 3 | kind as u64);
        // Sequences are below 2^63, so the difference fits.
        len += varint::write_to(&mut head[len..], varint::zigzag(seq as i64 - self.base_seq as i64));
        self.payload.reserve(len + suffix.len() + value.len());
        self.payload.extend_from_slice(&head[..len]);
        self.payload.extend_from_slice(suffix);
        self.payload.extend_from_slice(value);
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(suffix);
    }

    /// Whether the next entry is a restart.
    fn is_interval_full(&self) -> bool {
        self.restarts.last().is_none_or(|&start| {
            self.in_interval >= self.interval || self.payload.len() - start as usize >= INTERVAL_BYTES
        })
    }

    /// The size of the payload so far.
    pub(in crate::table) const fn len(&self) -> usize {
        self.payload.len() + self.restarts.len() * 4 + self.entries + self.entries / 3 + super::reader::TAIL
    }

    pub(in crate::table) const fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The key added last, be it to this block or to the one before.
    pub(in crate::table) fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// Completes the payload and hands it to `seal`; the builder is empty afterwards.
    pub(in crate::table) fn finish<R>(&mut self, seal: impl FnOnce(&[u8]) -> R) -> R {
        for restart in &self.restarts {
            self.payload.extend_from_slice(&restart.to_le_bytes());
        }
        let indexable = self.hashes.len() == self.entries;
        let buckets = if indexable { hash_index::build(&self.hashes, &mut self.payload) } else { 0 };
        self.payload.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        self.payload.extend_from_slice(&(buckets as u32).to_le_bytes());
        self.payload.extend_from_slice(&self.base_seq.to_le_bytes());
        let result = seal(&self.payload);
        self.payload.clear();
        self.restarts.clear();
        self.hashes.clear();
        (self.entries, self.in_interval) = (0, 0);
        result
    }
}
