//! Strings: how they are changed, and the rows of the large ones.

use std::ops::Range;

use kvdb_lsm::batch::WriteBatch;

use crate::context::text_of;
use crate::effect::StringValue;
use crate::entry::{BigString, Entry, INLINE_MAX, NewValue};
use crate::key::Place;
use crate::object::canonical_int;
use crate::row::{self, Body, CHUNK_BYTES, CHUNK_THRESHOLD, Meta};
use crate::write::WriteCx;

impl WriteCx<'_> {
    #[inline]
    pub(crate) fn put_string(
        &mut self,
        place: Place,
        at: Option<usize>,
        key: &[u8],
        value: StringValue<'_>,
        deadline: Option<u64>,
    ) {
        let (db, space) = (self.db, self.store.space(self.db));
        if let Some(at) = at {
            self.delete_parts(place, at, key);
            self.retire(place, at);
        }
        let (bytes, int) = match value {
            StringValue::Int(i) => (&[][..], Some(i)),
            StringValue::Bytes(b) => (b, canonical_int(b)),
            StringValue::Raw(b) => (b, None),
        };
        let generation = if bytes.len() > CHUNK_THRESHOLD { self.new_generation() } else { 0 };
        let batch = &mut self.scratch.batch;
        let value = match int {
            Some(i) => {
                row::put_meta(batch, place, space, key, &Meta { deadline, body: Body::Int(i) });
                NewValue::Int(i)
            }
            None if bytes.len() <= INLINE_MAX => {
                row::put_meta(batch, place, space, key, &Meta { deadline, body: Body::Bytes(bytes) });
                NewValue::Bytes(bytes)
            }
            None => {
                let big = Box::new(BigString { bytes: bytes.to_vec(), generation });
                put_big(batch, place, space, key, deadline, &big, Chunks::New);
                NewValue::Big(big)
            }
        };
        let before = self.before(place, at);
        let at = self.guards.shard_mut(place).put(db, place, at, key, value, deadline);
        self.changed(place, at, before, deadline);
    }

    pub(crate) fn write_range(
        &mut self,
        place: Place,
        at: Option<usize>,
        key: &[u8],
        offset: usize,
        bytes: &[u8],
    ) {
        let next_generation = self.new_generation();
        let (db, space) = (self.db, self.store.space(self.db));
        let end = offset + bytes.len();
        let before = self.before(place, at);
        let deadline = before.and_then(|before| before.deadline);
        let shard = self.guards.shard_mut(place);
        let at = match at {
            Some(at) if shard.table(db, place).at(at).big().is_some() => at,
            _ => {
                let mut whole = at.map_or_else(Vec::new, |at| bytes_of(shard.table(db, place).at(at)));
                if whole.len().max(end) <= INLINE_MAX {
                    whole.resize(whole.len().max(end), 0);
                    whole[offset..end].copy_from_slice(bytes);
                    let body = Body::Bytes(&whole);
                    row::put_meta(&mut self.scratch.batch, place, space, key, &Meta { deadline, body });
                    let at = shard.put(db, place, at, key, NewValue::Bytes(&whole), deadline);
                    shard.table_mut(db, place).at_mut(at).set_piecewise();
                    self.changed(place, at, before, deadline);
                    return;
                }
                let big = Box::new(BigString { bytes: whole, generation: 0 });
                shard.put(db, place, at, key, NewValue::Big(big), deadline)
            }
        };
        let entry = shard.table_mut(db, place).at_mut(at);
        let held = entry.memory_bytes();
        entry.set_piecewise();
        let big = entry.big_mut().expect("the branches above made it big");
        if big.bytes.len() < end {
            big.bytes.resize(end, 0);
        }
        big.bytes[offset..end].copy_from_slice(bytes);
        let mut chunks = Chunks::Range(offset..end);
        if big.generation == 0 && big.bytes.len() > CHUNK_THRESHOLD {
            big.generation = next_generation;
            chunks = Chunks::New;
        }
        put_big(&mut self.scratch.batch, place, space, key, deadline, big, chunks);
        let holds = entry.memory_bytes();
        shard.resized(db, held, holds);
        self.changed(place, at, before, deadline);
    }

    /// Adds the removal of the chunk rows of a large string to the batch.
    pub(crate) fn delete_chunks(&mut self, place: Place, key: &[u8], generation: u64, len: usize) {
        if generation == 0 {
            return;
        }
        let meta = row::meta_key(place, self.store.space(self.db), key);
        for number in 0..len.div_ceil(CHUNK_BYTES) {
            self.scratch.batch.delete(&row::chunk_key(&meta, generation, number as u32));
        }
    }
}

/// The bytes of a string.
fn bytes_of(entry: &Entry) -> Vec<u8> {
    entry.string().map_or_else(Vec::new, text_of)
}

/// Which chunks of a large string are written.
enum Chunks {
    /// All of a string that had none under its generation. Where there is nothing but zeros nothing is written: what is
    /// missing reads as zeros, so a bit far out in an empty bitmap costs one chunk.
    New,
    /// Those that a range of bytes touches, whatever is in them.
    Range(Range<usize>),
}

/// Adds the rows of a large string to a batch: the meta row, and the chunks where it has chunks.
fn put_big(
    batch: &mut WriteBatch,
    place: Place,
    space: u32,
    key: &[u8],
    deadline: Option<u64>,
    big: &BigString,
    chunks: Chunks,
) {
    if big.generation == 0 {
        row::put_meta(batch, place, space, key, &Meta { deadline, body: Body::Bytes(&big.bytes) });
        return;
    }
    let body = Body::Chunked { len: big.bytes.len() as u64, generation: big.generation };
    row::put_meta(batch, place, space, key, &Meta { deadline, body });
    let meta = row::meta_key(place, space, key);
    let (range, is_new) = match chunks {
        Chunks::New => (0..big.bytes.len(), true),
        Chunks::Range(range) => (range, false),
    };
    for number in range.start / CHUNK_BYTES..range.end.div_ceil(CHUNK_BYTES) {
        let start = number * CHUNK_BYTES;
        let chunk = &big.bytes[start..big.bytes.len().min(start + CHUNK_BYTES)];
        if !is_new || chunk.iter().any(|&b| b != 0) {
            batch.put(&row::chunk_key(&meta, big.generation, number as u32), chunk);
        }
    }
}
