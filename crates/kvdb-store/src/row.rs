//! Rows: how keys and values are stored in the LSM.
//!
//! ```text
//! row key   := slot u16 | space u32 | hash u48 | key length varint | key | suffix       (numbers big-endian)
//! suffix    := nothing                                   the meta row
//!            | 1 | generation u64 | chunk number u32     a chunk of a large string
//!            | 2 | generation u64 | element              an element of a collection
//! meta row  := tag u8 | [deadline u64] | body            (numbers little-endian)
//! tag       := type (low 4 bits) | 16 has a deadline | 32 integer | 64 chunked
//! body      := bytes | integer i64 | length u64, generation u64            of a string
//!            | generation u64 | what the type adds                         of a collection
//! ```
//!
//! A *space* is one incarnation of a database: FLUSHDB gives the database a new space and SWAPDB exchanges two, so
//! neither touches a row of a key. Slot 0xffff holds the rows of the store itself, [`SPACES_KEY`] and [`IDENTITY_KEY`].

use kvdb_lsm::Partitioning;
use kvdb_lsm::batch::WriteBatch;

use crate::key::{HASH_BITS, Place, SHARDS, SLOTS_PER_SHARD};
use crate::slot::SLOT_COUNT;

/// The row that says which space each database has.
pub const SPACES_KEY: &[u8] = b"\xff\xffspaces";
/// The row with the secret seed of the hashes and the identity of the data.
pub const IDENTITY_KEY: &[u8] = b"\xff\xffidentity";

/// The beginning of the keys of the rows that say which generations are dead.
pub const DEAD_PREFIX: &[u8] = b"\xff\xffdead";

/// The key of the row that says that the rows whose keys begin with `prefix`, up to a generation, are dead.
pub fn dead_key(prefix: &[u8]) -> Vec<u8> {
    [DEAD_PREFIX, prefix].concat()
}

/// How rows are spread over the partitions of a memtable: as keys are over the shards of the keyspace, so that whoever
/// holds the latch of a shard meets nobody in the memtable.
pub const PARTITIONING: Partitioning = Partitioning { count: SHARDS, of: shard_of };

/// The shard of a row.
fn shard_of(row_key: &[u8]) -> usize {
    let slot = row_key.first_chunk().map_or(0, |slot| usize::from(u16::from_be_bytes(*slot)));
    (slot / SLOTS_PER_SHARD).min(SHARDS - 1)
}

/// A string longer than this is stored in chunks, so that a change to a part of it writes only that part.
pub const CHUNK_THRESHOLD: usize = 64 * 1024;
/// The bytes of a chunk.
pub const CHUNK_BYTES: usize = 4096;

const TYPE_STRING: u8 = 0;
const HAS_DEADLINE: u8 = 16;
const IS_INT: u8 = 32;
const IS_CHUNKED: u8 = 64;
const TYPE_MASK: u8 = 15;
const CHUNK_SUFFIX: u8 = 1;
const ELEMENT_SUFFIX: u8 = 2;
/// Behind the suffixes of all rows of a key.
const BEHIND_SUFFIXES: u8 = 0xff;
const PREFIX_LEN: usize = 12;

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// A string (also bitmaps and HyperLogLogs).
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set (also geo indexes).
    SortedSet,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
}

impl Type {
    /// The name that TYPE replies with.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
        }
    }

    /// The number in the tag of a meta row.
    fn number(self) -> u8 {
        match self {
            Self::String => TYPE_STRING,
            Self::List => 1,
            Self::Set => 2,
            Self::SortedSet => 3,
            Self::Hash => 4,
            Self::Stream => 5,
        }
    }

    /// The type of a collection, from the tag of a meta row.
    fn of_collection(tag: u8) -> Option<Self> {
        [Self::List, Self::Set, Self::SortedSet, Self::Hash, Self::Stream]
            .into_iter()
            .find(|kind| kind.number() == tag & TYPE_MASK)
    }
}

/// What the meta row of a key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta<'a> {
    /// When the key dies.
    pub deadline: Option<u64>,
    /// The value, or where it is.
    pub body: Body<'a>,
}

/// The value in a meta row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// The bytes of a string.
    Bytes(&'a [u8]),
    /// The integer whose text is the string.
    Int(i64),
    /// A string of `len` bytes in chunk rows of this generation.
    Chunked {
        /// Bytes of the whole string.
        len: u64,
        /// Which chunk rows are meant.
        generation: u64,
    },
    /// A collection whose elements are rows of this generation.
    Elements {
        /// Its type.
        kind: Type,
        /// Which element rows are meant.
        generation: u64,
        /// What the type keeps beside its elements.
        extra: &'a [u8],
    },
}

impl Body<'_> {
    /// The type of the value.
    pub fn kind(&self) -> Type {
        match self {
            Self::Elements { kind, .. } => *kind,
            _ => Type::String,
        }
    }

    /// When the first of the elements that do not live as long as the key dies, in Unix milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        match self {
            Self::Elements { kind: Type::Hash, extra, .. } => {
                (*extra).try_into().ok().map(u64::from_le_bytes)
            }
            _ => None,
        }
    }
}

fn prefix(place: Place, space: u32) -> [u8; PREFIX_LEN] {
    let mut out = [0; PREFIX_LEN];
    out[..2].copy_from_slice(&place.slot.to_be_bytes());
    out[2..6].copy_from_slice(&space.to_be_bytes());
    out[6..].copy_from_slice(&(place.hash << (64 - HASH_BITS)).to_be_bytes()[..6]);
    out
}

/// The smallest row key at or behind a place in a space.
pub fn lower_bound(place: Place, space: u32) -> Vec<u8> {
    prefix(place, space).to_vec()
}

/// The smallest row key behind every row of a slot and space.
pub fn slot_end(slot: u16, space: u32) -> Vec<u8> {
    match space.checked_add(1) {
        Some(next) => prefix(Place { slot, hash: 0 }, next).to_vec(),
        None => prefix(Place { slot: slot + 1, hash: 0 }, 0).to_vec(),
    }
}

fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The key of a meta row, appended to `out`.
pub fn write_key(out: &mut Vec<u8>, place: Place, space: u32, key: &[u8]) {
    out.reserve(PREFIX_LEN + 5 + key.len());
    out.extend_from_slice(&prefix(place, space));
    push_varint(out, key.len());
    out.extend_from_slice(key);
}

/// The key of a meta row.
pub fn meta_key(place: Place, space: u32, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_key(&mut out, place, space, key);
    out
}

/// The key of a chunk row, given that of the meta row.
pub fn chunk_key(meta_key: &[u8], generation: u64, number: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(meta_key.len() + 13);
    out.extend_from_slice(meta_key);
    out.push(CHUNK_SUFFIX);
    out.extend_from_slice(&generation.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out
}

/// The beginning of the keys of all element rows of a generation, appended to `out`; `element` follows.
pub fn write_element_prefix(out: &mut Vec<u8>, place: Place, space: u32, key: &[u8], generation: u64) {
    write_key(out, place, space, key);
    out.push(ELEMENT_SUFFIX);
    out.extend_from_slice(&generation.to_be_bytes());
}

/// Bytes between the key of the meta row and the element.
const ELEMENT_PREFIX_LEN: usize = 9;
/// What an element costs in a batch beside the key that it is of, its own name and its value, at the most.
pub(crate) const ELEMENT_OVERHEAD: usize = PREFIX_LEN + ELEMENT_PREFIX_LEN + 16;

/// What the key of an element row has in common with those of all elements of its generation; `None` for other rows.
pub(crate) fn element_prefix(row_key: &[u8]) -> Option<&[u8]> {
    let split = split_key(row_key)?;
    split.generation?;
    let meta_len = PREFIX_LEN + varint_len(split.key.len()) + split.key.len();
    (row_key[meta_len] == ELEMENT_SUFFIX).then(|| &row_key[..meta_len + ELEMENT_PREFIX_LEN])
}

/// The smallest row key behind every key that begins with this prefix of a generation.
pub fn behind_elements(prefix: &[u8]) -> Vec<u8> {
    let mut out = prefix.to_vec();
    while out.pop_if(|last| *last == 0xff).is_some() {}
    *out.last_mut().expect("the suffix before the generation is no 0xff") += 1;
    out
}

/// A row key taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowKey<'a> {
    /// Slot and hash of the user's key.
    pub place: Place,
    /// The space it is in.
    pub space: u32,
    /// The user's key.
    pub key: &'a [u8],
    /// Whether this is the meta row.
    pub is_meta: bool,
    /// The generation, of a row of a part of a value.
    pub generation: Option<u64>,
}

/// Takes a row key apart; `None` when it is not one.
pub fn split_key(row: &[u8]) -> Option<RowKey<'_>> {
    let (prefix, mut rest) = row.split_at_checked(PREFIX_LEN)?;
    let slot = u16::from_be_bytes(prefix[..2].try_into().ok()?);
    let space = u32::from_be_bytes(prefix[2..6].try_into().ok()?);
    let mut hash = [0; 8];
    hash[2..].copy_from_slice(&prefix[6..]);
    let mut len = 0usize;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, tail) = rest.split_first()?;
        rest = tail;
        len |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let (key, suffix) = rest.split_at_checked(len)?;
            let place = Place { slot, hash: u64::from_be_bytes(hash) };
            let generation = suffix.get(1..9).map(|g| u64::from_be_bytes(g.try_into().unwrap_or_default()));
            return Some(RowKey { place, space, key, is_meta: suffix.is_empty(), generation });
        }
    }
    None
}

/// The space of a row of a key; `None` for the rows of the store itself.
pub(crate) fn space_of(row: &[u8]) -> Option<u32> {
    let (slot, rest) = row.split_first_chunk()?;
    let space = rest.first_chunk()?;
    (u16::from_be_bytes(*slot) < SLOT_COUNT).then(|| u32::from_be_bytes(*space))
}

/// Adds the meta row of a key to a batch.
pub fn put_meta(batch: &mut WriteBatch, place: Place, space: u32, key: &[u8], meta: &Meta<'_>) {
    let prefix = prefix(place, space);
    let body_len = match meta.body {
        Body::Bytes(b) => b.len(),
        Body::Int(_) => 8,
        Body::Chunked { .. } => 16,
        Body::Elements { extra, .. } => 8 + extra.len(),
    };
    batch.put_with(
        PREFIX_LEN + varint_len(key.len()) + key.len(),
        |out| {
            out.extend_from_slice(&prefix);
            out.varint(key.len() as u64);
            out.extend_from_slice(key);
        },
        1 + body_len + if meta.deadline.is_some() { 8 } else { 0 },
        |out| {
            let flags = match meta.body {
                Body::Bytes(_) | Body::Elements { .. } => 0,
                Body::Int(_) => IS_INT,
                Body::Chunked { .. } => IS_CHUNKED,
            };
            out.push(
                meta.body.kind().number() | flags | if meta.deadline.is_some() { HAS_DEADLINE } else { 0 },
            );
            if let Some(deadline) = meta.deadline {
                out.extend_from_slice(&deadline.to_le_bytes());
            }
            match meta.body {
                Body::Bytes(b) => out.extend_from_slice(b),
                Body::Int(i) => out.extend_from_slice(&i.to_le_bytes()),
                Body::Chunked { len, generation } => {
                    out.extend_from_slice(&len.to_le_bytes());
                    out.extend_from_slice(&generation.to_le_bytes());
                }
                Body::Elements { generation, extra, .. } => {
                    out.extend_from_slice(&generation.to_le_bytes());
                    out.extend_from_slice(extra);
                }
            }
        },
    );
}

fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// The smallest row key behind the rows of a key, those of the parts of its value included.
pub fn behind_parts(place: Place, space: u32, key: &[u8]) -> Vec<u8> {
    let mut out = meta_key(place, space, key);
    out.push(BEHIND_SUFFIXES);
    out
}

/// Adds the removal of a meta row to a batch.
pub fn delete_meta(batch: &mut WriteBatch, place: Place, space: u32, key: &[u8]) {
    let prefix = prefix(place, space);
    batch.delete_with(PREFIX_LEN + varint_len(key.len()) + key.len(), |out| {
        out.extend_from_slice(&prefix);
        out.varint(key.len() as u64);
        out.extend_from_slice(key);
    });
}

/// Reads a meta row; `None` when it is not one that this version writes.
pub fn decode_meta(row: &[u8]) -> Option<Meta<'_>> {
    let (&tag, mut rest) = row.split_first()?;
    if tag & 128 != 0 {
        return None;
    }
    let mut deadline = None;
    if tag & HAS_DEADLINE != 0 {
        let (bytes, tail) = rest.split_first_chunk()?;
        deadline = Some(u64::from_le_bytes(*bytes));
        rest = tail;
    }
    let flags = tag & (IS_INT | IS_CHUNKED);
    if tag & TYPE_MASK != TYPE_STRING {
        let kind = Type::of_collection(tag).filter(|_| flags == 0)?;
        let (generation, extra) = rest.split_first_chunk()?;
        let body = Body::Elements { kind, generation: u64::from_le_bytes(*generation), extra };
        return Some(Meta { deadline, body });
    }
    let body = match flags {
        0 => Body::Bytes(rest),
        IS_INT => Body::Int(i64::from_le_bytes(rest.try_into().ok()?)),
        IS_CHUNKED => {
            let (len, generation) = rest.split_first_chunk()?;
            Body::Chunked {
                len: u64::from_le_bytes(*len),
                generation: u64::from_le_bytes(generation.try_into().ok()?),
            }
        }
        _ => return None,
    };
    Some(Meta { deadline, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_lsm::batch::Op;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_read_back(
            key in prop::collection::vec(any::<u8>(), 0..300),
            space: u32,
            deadline: Option<u64>,
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            which in 0u8..4,
            number: u64,
        ) {
            let place = Place::of(&key, 3);
            let body = match which {
                0 => Body::Bytes(&bytes),
                1 => Body::Int(number as i64),
                2 => Body::Chunked { len: number, generation: number / 3 },
                _ => Body::Elements { kind: Type::Hash, generation: number, extra: &bytes },
            };
            let meta = Meta { deadline, body };
            let mut batch = WriteBatch::new();
            put_meta(&mut batch, place, space, &key, &meta);
            let Some(Op::Put { key: row_key, value }) = batch.iter().next() else { panic!("one put") };
            prop_assert_eq!(row_key, &meta_key(place, space, &key)[..]);
            prop_assert_eq!(split_key(row_key), Some(RowKey { place, space, key: &key, is_meta: true, generation: None }));
            prop_assert_eq!(decode_meta(value), Some(meta));
            let chunk = chunk_key(row_key, 1, 2);
            let part = RowKey { place, space, key: &key, is_meta: false, generation: Some(1) };
            prop_assert_eq!(split_key(&chunk), Some(part));
            prop_assert!(lower_bound(place, space).as_slice() <= row_key);
            prop_assert!(chunk < slot_end(place.slot, space) && chunk.as_slice() > row_key);
        }

        #[test]
        fn rubbish_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = split_key(&bytes);
            let _ = decode_meta(&bytes);
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The row of key `foo` in space 0 under seed 1, as hexadecimal key and value.
    fn row_of_foo(deadline: Option<u64>, body: Body<'_>) -> (String, String) {
        let mut batch = WriteBatch::new();
        put_meta(&mut batch, Place::of(b"foo", 1), 0, b"foo", &Meta { deadline, body });
        let Some(Op::Put { key, value }) = batch.iter().next() else { panic!("one put") };
        (hex(key), hex(value))
    }

    /// The examples of docs/format/rows.md.
    #[test]
    fn the_bytes_on_disk_are_those_of_the_documentation() {
        let key = "2f96".to_owned() + "00000000" + "54557a2c8b63" + "03" + "666f6f";
        let hello = row_of_foo(None, Body::Bytes(b"hello"));
        assert_eq!(hello, (key.clone(), "00".to_owned() + "68656c6c6f"));
        let number = row_of_foo(Some(4_102_444_800_000), Body::Int(-2));
        assert_eq!(number, (key.clone(), "30".to_owned() + "00d8c32cbb030000" + "feffffffffffffff"));
        let large = row_of_foo(None, Body::Chunked { len: 70_000, generation: 9 });
        assert_eq!(large, (key.clone(), "40".to_owned() + "7011010000000000" + "0900000000000000"));
        let chunk = chunk_key(&meta_key(Place::of(b"foo", 1), 0, b"foo"), 9, 17);
        assert_eq!(hex(&chunk), key + "01" + "0000000000000009" + "00000011");
        assert_eq!(
            (hex(IDENTITY_KEY), hex(SPACES_KEY)),
            ("ffff6964656e74697479".into(), "ffff737061636573".into())
        );
    }
}
