//! Write batches: the operations that become visible, logged and durable together.
//!
//! A [`WriteBatch`] keeps its operations in the encoding of the log, so that appending it is one
//! `memcpy` after a 16-byte header:
//!
//! ```text
//! batch := first_seq u64 | count u32 | len u32 | op*            (little-endian; len = bytes of ops)
//! op    := 1 | klen varint | key | vlen varint | value          PUT
//!        | 2 | klen varint | key                                DELETE
//!        | 3 | id varint | delta zigzag varint                  COUNTER
//! ```
//!
//! Every operation takes one sequence number, in order, except COUNTER, which takes none: `count`
//! is the number of operations that do.

use crate::varint;

/// The position of an operation in the one order of all writes. The first is 1; 0 means "none".
pub type Seq = u64;

/// The bytes in front of the operations of an encoded batch.
pub const BATCH_HEADER_LEN: usize = 16;

/// The longest key that a database takes, in bytes: keys are repeated in the indexes of tables and
/// in the manifest, which have to fit into memory.
pub const MAX_KEY_LEN: usize = 4 << 20;

/// The most bytes of operations that a database takes in one batch.
pub const MAX_BATCH_BYTES: usize = 1 << 30;

/// The bytes that an empty batch keeps at the most.
const KEPT_CAPACITY: usize = 16 << 20;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const COUNTER: u8 = 3;

/// One operation of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// Sets `key` to `value`.
    Put {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// Removes `key`.
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// Adds `delta` to the durable counter `id`; takes no sequence number.
    Counter {
        /// Which counter.
        id: u16,
        /// What is added.
        delta: i64,
    },
}

impl<'a> Op<'a> {
    /// The key of the operation, if it has one.
    #[must_use]
    pub const fn key(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Put { key, .. } | Self::Delete { key } => Some(key),
            Self::Counter { .. } => None,
        }
    }
}

/// An ordered set of operations that is applied as a whole or not at all.
///
/// A batch is meant to be reused: [`WriteBatch::clear`] keeps its memory.
///
/// One that has passed [`MAX_BATCH_BYTES`] is refused by every database, and takes no more
/// operations but counters: whoever adds a million elements to a key of a megabyte is told in the
/// end, and memory has not run out before.
///
/// # Invariants
/// `ops` is a concatenation of well-formed operations; `count` is the number of them that take a
/// sequence number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBatch {
    ops: Vec<u8>,
    count: u32,
}

/// Writes one field (a key or a value) of an operation in place.
#[derive(Debug)]
pub struct FieldWriter<'a> {
    buf: &'a mut Vec<u8>,
}

impl FieldWriter<'_> {
    /// Appends bytes to the field.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Appends one byte to the field.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.buf.push(byte);
    }

    /// Has `write` append bytes to the field; it is to leave what is there.
    #[inline]
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.buf.len();
        write(self.buf);
        debug_assert!(self.buf.len() >= before);
    }

    /// Appends an integer as LEB128.
    #[inline]
    pub fn varint(&mut self, value: u64) {
        varint::write(self.buf, value);
    }
}

impl WriteBatch {
    /// An empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self { ops: Vec::new(), count: 0 }
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        if self.is_too_large() {
            return;
        }
        self.ops.reserve(key.len() + value.len() + 1 + 2 * varint::MAX_LEN);
        self.ops.push(PUT);
        self.field(key);
        self.field(value);
        self.count += 1;
    }

    /// Sets a key to a value, both composed in place.
    ///
    /// The hints are the expected lengths in bytes: a wrong one costs a move of the field, nothing
    /// else.
    pub fn put_with(
        &mut self,
        key_hint: usize,
        key: impl FnOnce(&mut FieldWriter<'_>),
        value_hint: usize,
        value: impl FnOnce(&mut FieldWriter<'_>),
    ) {
        if self.is_too_large() {
            return;
        }
        self.ops.reserve(key_hint + value_hint + 1 + 2 * varint::MAX_LEN);
        self.ops.push(PUT);
        self.field_with(key_hint, key);
        self.field_with(value_hint, value);
        self.count += 1;
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: &[u8]) {
        if self.is_too_large() {
            return;
        }
        self.ops.push(DELETE);
        self.field(key);
        self.count += 1;
    }

    /// Removes a key composed in place; the hint is as for [`WriteBatch::put_with`].
    pub fn delete_with(&mut self, key_hint: usize, key: impl FnOnce(&mut FieldWriter<'_>)) {
        if self.is_too_large() {
            return;
        }
        self.ops.push(DELETE);
        self.field_with(key_hint, key);
        self.count += 1;
    }

    /// Adds `delta` to the durable counter `id`.
    pub fn add_counter(&mut self, id: u16, delta: i64) {
        self.ops.push(COUNTER);
        varint::write(&mut self.ops, u64::from(id));
        varint::write(&mut self.ops, varint::zigzag(delta));
    }

    /// Appends the operations of another batch.
    pub fn extend(&mut self, other: &Self) {
        self.ops.extend_from_slice(&other.ops);
        self.count += other.count;
    }

    /// Empties the batch and keeps its memory, unless that is a lot.
    pub fn clear(&mut self) {
        if self.ops.capacity() > KEPT_CAPACITY {
            self.ops = Vec::new();
        }
        self.ops.clear();
        self.count = 0;
    }

    /// The number of sequence numbers the batch takes.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The encoded operations.
    #[must_use]
    pub fn ops_bytes(&self) -> &[u8] {
        &self.ops
    }

    /// Whether no database takes it any more.
    #[inline]
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        self.ops.len() > MAX_BATCH_BYTES
    }

    /// Whether there is no operation.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The operations in order.
    #[must_use]
    pub fn iter(&self) -> Ops<'_> {
        self.iter_from(0)
    }

    /// The operations behind those that the batch had when [`WriteBatch::ops_bytes`] had this
    /// length.
    ///
    /// # Panics
    /// When the batch is shorter.
    #[must_use]
    pub fn iter_from(&self, length: usize) -> Ops<'_> {
        Ops { rest: &self.ops[length..] }
    }

    fn field(&mut self, bytes: &[u8]) {
        varint::write(&mut self.ops, bytes.len() as u64);
        self.ops.extend_from_slice(bytes);
    }

    fn field_with(&mut self, hint: usize, compose: impl FnOnce(&mut FieldWriter<'_>)) {
        let start = self.ops.len();
        let reserved = varint::len(hint as u64);
        self.ops.resize(start + reserved, 0);
        compose(&mut FieldWriter { buf: &mut self.ops });
        let len = self.ops.len() - start - reserved;
        let needed = varint::len(len as u64);
        if needed != reserved {
            let body = start + reserved..start + reserved + len;
            if needed > reserved {
                self.ops.resize(start + needed + len, 0);
            }
            self.ops.copy_within(body, start + needed);
            self.ops.truncate(start + needed + len);
        }
        varint::write_to(&mut self.ops[start..start + needed], len as u64);
    }
}

impl<'a> IntoIterator for &'a WriteBatch {
    type Item = Op<'a>;
    type IntoIter = Ops<'a>;

    fn into_iter(self) -> Ops<'a> {
        self.iter()
    }
}

/// The operations of a batch, in order. The encoding was checked before.
#[derive(Debug, Clone)]
pub struct Ops<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Ops<'a> {
    type Item = Op<'a>;

    #[inline]
    fn next(&mut self) -> Option<Op<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (op, used) = decode_op(self.rest).expect("a batch holds only well-formed operations");
        self.rest = &self.rest[used..];
        Some(op)
    }
}

/// A batch read back from the log, borrowed from the record that holds it.
///
/// # Invariants
/// As for [`WriteBatch`]; checked when it was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchView<'a> {
    first_seq: Seq,
    count: u32,
    ops: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Decodes the batch at the front of `input`; returns it with the bytes it took. `Err` says
    /// what is wrong with it.
    pub fn decode(input: &'a [u8]) -> Result<(Self, usize), &'static str> {
        let header = input.get(..BATCH_HEADER_LEN).ok_or("the batch header is cut")?;
        let (first_seq, count, len) = decode_header(header);
        let ops = usize::try_from(len)
            .ok()
            .and_then(|len| input[BATCH_HEADER_LEN..].get(..len))
            .ok_or("the batch is longer than its record")?;
        if first_seq == 0 || first_seq.checked_add(u64::from(count)).is_none() {
            return Err("the sequence number of the batch is out of range");
        }
        let mut found = 0u32;
        let mut rest = ops;
        while !rest.is_empty() {
            let (op, used) = decode_op(rest).ok_or("an operation of the batch is malformed")?;
            // Bounded by the length of the batch, which is a u32.
            found += u32::from(!matches!(op, Op::Counter { .. }));
            rest = &rest[used..];
        }
        if found != count {
            return Err("the batch holds another number of operations than it states");
        }
        Ok((Self { first_seq, count, ops }, BATCH_HEADER_LEN + ops.len()))
    }

    /// The sequence number of the first operation that takes one.
    #[must_use]
    pub const fn first_seq(&self) -> Seq {
        self.first_seq
    }

    /// The number of sequence numbers the batch takes.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The sequence number after which the next batch continues: the last one of this batch, or
    /// the one before it if the batch takes none.
    #[must_use]
    pub fn last_seq(&self) -> Seq {
        self.first_seq + u64::from(self.count) - 1
    }

    /// The encoded operations.
    #[must_use]
    pub const fn ops_bytes(&self) -> &'a [u8] {
        self.ops
    }

    /// The operations in order.
    #[must_use]
    pub const fn iter(&self) -> Ops<'a> {
        Ops { rest: self.ops }
    }

    /// An owned copy of the operations.
    #[must_use]
    pub fn to_batch(&self) -> WriteBatch {
        WriteBatch { ops: self.ops.to_vec(), count: self.count }
    }
}

impl<'a> IntoIterator for &BatchView<'a> {
    type Item = Op<'a>;
    type IntoIter = Ops<'a>;

    fn into_iter(self) -> Ops<'a> {
        self.iter()
    }
}

/// The header of an encoded batch.
#[must_use]
pub fn encode_header(first_seq: Seq, count: u32, len: u32) -> [u8; BATCH_HEADER_LEN] {
    let mut header = [0u8; BATCH_HEADER_LEN];
    header[..8].copy_from_slice(&first_seq.to_le_bytes());
    header[8..12].copy_from_slice(&count.to_le_bytes());
    header[12..].copy_from_slice(&len.to_le_bytes());
    header
}

/// The first sequence number, the count and the length in a header of [`BATCH_HEADER_LEN`] bytes.
pub(crate) fn decode_header(header: &[u8]) -> (Seq, u32, u32) {
    (
        u64::from_le_bytes(array(&header[..8])),
        u32::from_le_bytes(array(&header[8..12])),
        u32::from_le_bytes(array(&header[12..])),
    )
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the slice was cut to this length")
}

#[inline]
fn decode_field(input: &[u8]) -> Option<(&[u8], usize)> {
    let (len, used) = varint::read(input)?;
    let field = input[used..].get(..usize::try_from(len).ok()?)?;
    Some((field, used + field.len()))
}

#[inline]
fn decode_op(input: &[u8]) -> Option<(Op<'_>, usize)> {
    let (&kind, rest) = input.split_first()?;
    match kind {
        PUT => {
            let (key, key_used) = decode_field(rest)?;
            let (value, value_used) = decode_field(&rest[key_used..])?;
            Some((Op::Put { key, value }, 1 + key_used + value_used))
        }
        DELETE => {
            let (key, used) = decode_field(rest)?;
            Some((Op::Delete { key }, 1 + used))
        }
        COUNTER => {
            let (id, id_used) = varint::read(rest)?;
            let (delta, delta_used) = varint::read(&rest[id_used..])?;
            let op = Op::Counter { id: u16::try_from(id).ok()?, delta: varint::unzigzag(delta) };
            Some((op, 1 + id_used + delta_used))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(batch: &WriteBatch, first_seq: Seq) -> Vec<u8> {
        let len = u32::try_from(batch.ops_bytes().len()).expect("small");
        let mut out = encode_header(first_seq, batch.count(), len).to_vec();
        out.extend_from_slice(batch.ops_bytes());
        out
    }

    #[test]
    fn operations_come_back_in_order_and_counters_take_no_sequence_number() {
        let mut batch = WriteBatch::new();
        batch.put(b"k", b"v");
        batch.add_counter(7, -3);
        batch.delete(b"gone");
        assert_eq!(batch.count(), 2);
        let ops: Vec<_> = batch.iter().collect();
        assert_eq!(
            ops,
            [
                Op::Put { key: b"k", value: b"v" },
                Op::Counter { id: 7, delta: -3 },
                Op::Delete { key: b"gone" },
            ]
        );
        let bytes = encode(&batch, 41);
        let (view, used) = BatchView::decode(&bytes).expect("well-formed");
        assert_eq!((used, view.first_seq(), view.last_seq()), (bytes.len(), 41, 42));
        assert_eq!(view.to_batch(), batch);
        for cut in 0..bytes.len() {
            assert!(BatchView::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn a_batch_that_nobody_takes_grows_no_more() {
        let len = MAX_BATCH_BYTES + 1;
        // Only its length counts.
        let mut batch = WriteBatch { ops: vec![0; len], count: 7 };
        batch.put(b"k", b"v");
        batch.delete(b"k");
        batch.put_with(1, |key| key.push(b'k'), 0, |_| ());
        batch.delete_with(1, |key| key.push(b'k'));
        assert_eq!((batch.count(), batch.ops_bytes().len()), (7, len));
        batch.add_counter(1, 1);
        assert!(batch.ops_bytes().len() > len, "who undoes the batch undoes what was counted");
        batch.clear();
        assert_eq!(batch.ops.capacity(), 0);
    }

    proptest! {
        #[test]
        fn composing_in_place_equals_put_whatever_the_hint(
            key in proptest::collection::vec(any::<u8>(), 0..300),
            value in proptest::collection::vec(any::<u8>(), 0..300),
            key_hint in 0usize..20_000,
            value_hint in 0usize..20_000,
        ) {
            let mut expected = WriteBatch::new();
            expected.put(&key, &value);
            expected.delete(&key);
            let mut batch = WriteBatch::new();
            let (k, v) = (&key, &value);
            batch.put_with(
                key_hint,
                |out| out.extend_from_slice(k),
                value_hint,
                |out| v.iter().for_each(|&b| out.push(b)),
            );
            batch.delete_with(key_hint, |out| out.extend_from_slice(k));
            prop_assert_eq!(batch, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(0u8..8, 0..64)) {
            let _ = BatchView::decode(&bytes);
        }
    }
}
