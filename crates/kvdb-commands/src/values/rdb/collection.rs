//! Hashes, lists, sets and sorted sets in RDB.
//!
//! They are written plainly, element by element, which every version of Redis reads. Read are the plain forms, and the
//! blocks of small collections that Redis writes: integer sets, listpacks and quicklists, and before Redis 7.0 ziplists, and
//! zipmaps before those.

use std::borrow::Cow;

use itoa::Buffer;
use kvdb_store::ValueRef;
use kvdb_store::types::sorted_set::Gathered;
use kvdb_store::types::{Elements as _, Hash, Layout, List, Set, SortedSet};

use super::listpack::{self, Elements};
use super::ziplist::{Entries, Pairs};
use super::{Budget, MAX_BLOB_BYTES, RdbError, Reader, write_length, write_string};
use crate::values::number::parse_f64;

/// A list: its elements.
pub(super) const TYPE_LIST: u8 = 1;
/// A set: its members.
pub(super) const TYPE_SET: u8 = 2;
/// A sorted set: members and scores in turns, those as text behind its length.
pub(super) const TYPE_SORTED_SET_TEXT: u8 = 3;
/// A hash: fields and values in turns.
pub(super) const TYPE_HASH: u8 = 4;
/// A sorted set: members and scores in turns, those as little-endian doubles.
pub(super) const TYPE_SORTED_SET: u8 = 5;
/// A hash as a zipmap.
pub(super) const TYPE_HASH_ZIPMAP: u8 = 9;
/// A list as a ziplist.
pub(super) const TYPE_LIST_ZIPLIST: u8 = 10;
/// A set as an array of integers: the size of one and their number (both `u32`), and the integers in their order.
pub(super) const TYPE_SET_INTS: u8 = 11;
/// A sorted set as a ziplist.
pub(super) const TYPE_SORTED_SET_ZIPLIST: u8 = 12;
/// A hash as a ziplist.
pub(super) const TYPE_HASH_ZIPLIST: u8 = 13;
/// A list as pieces, which are ziplists.
pub(super) const TYPE_LIST_ZIPLISTS: u8 = 14;
/// A hash as a listpack.
pub(super) const TYPE_HASH_LISTPACK: u8 = 16;
/// A sorted set as a listpack.
pub(super) const TYPE_SORTED_SET_LISTPACK: u8 = 17;
/// A list as pieces: a number of [`PLAIN`] or [`PACKED`], and a string.
pub(super) const TYPE_LIST_PIECES: u8 = 18;
/// A set as a listpack.
pub(super) const TYPE_SET_LISTPACK: u8 = 20;

/// The piece of a list is one element.
const PLAIN: u64 = 1;
/// The piece of a list is a listpack of elements.
const PACKED: u64 = 2;

fn write_value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Bytes(bytes) => write_string(out, bytes),
        ValueRef::Int(integer) => write_string(out, Buffer::new().format(integer).as_bytes()),
    }
}

/// Appends a hash as it is at a moment, without the deadlines of its fields.
pub(super) fn write_hash(out: &mut Vec<u8>, hash: &Hash, now: u64) {
    let hash = hash.live(now);
    write_length(out, hash.len() as u64);
    for (name, value) in hash.iter() {
        write_value(out, name);
        write_value(out, value);
    }
}

/// Appends a list.
pub(super) fn write_list(out: &mut Vec<u8>, list: &List) {
    write_length(out, list.len() as u64);
    list.values(0).for_each(|value| write_value(out, value));
}

/// Appends a set.
pub(super) fn write_set(out: &mut Vec<u8>, set: &Set) {
    write_length(out, set.len() as u64);
    set.iter().for_each(|member| write_value(out, member));
}

/// Appends a sorted set: as Redis does, from the last member to the first.
pub(super) fn write_sorted_set(out: &mut Vec<u8>, set: &SortedSet) {
    write_length(out, set.len() as u64);
    for (member, score) in set.range(0..set.len(), true) {
        write_value(out, member);
        out.extend_from_slice(&score.to_le_bytes());
    }
}

/// The elements of a value, one after the other, in whichever form.
enum Source<'r, 'a> {
    /// So many more strings.
    Plain(&'r mut Reader<'a>, u64),
    /// What is in a block.
    Packed(Block<'r>),
}

/// The elements of a small collection in one string.
enum Block<'a> {
    Listpack(Elements<'a>),
    Ziplist(Entries<'a>),
    Zipmap(Pairs<'a>),
}

impl<'a> Block<'a> {
    /// What a value of a type, or a piece of one, has in this string.
    fn of(kind: u8, bytes: &'a [u8]) -> Result<Self, RdbError> {
        match kind {
            TYPE_LIST_ZIPLIST | TYPE_LIST_ZIPLISTS | TYPE_SORTED_SET_ZIPLIST | TYPE_HASH_ZIPLIST => {
                Entries::of(bytes).map(Self::Ziplist)
            }
            TYPE_HASH_ZIPMAP => Pairs::of(bytes).map(Self::Zipmap),
            _ => Elements::of(bytes).map(Self::Listpack),
        }
    }

    /// The next element, or `None` behind the last.
    fn next(&mut self) -> Result<Option<ValueRef<'a>>, RdbError> {
        match self {
            Self::Listpack(elements) => elements.next(),
            Self::Ziplist(entries) => entries.next(),
            Self::Zipmap(pairs) => pairs.next(),
        }
    }
}

impl Source<'_, '_> {
    fn next(&mut self, max_bytes: usize) -> Result<Option<Cow<'_, [u8]>>, RdbError> {
        match self {
            Self::Plain(_, 0) => Ok(None),
            Self::Plain(reader, left) => {
                *left -= 1;
                reader.string(max_bytes).map(Some)
            }
            Self::Packed(elements) => {
                let value = elements.next()?.map(listpack::text);
                if value.as_ref().is_some_and(|value| value.len() > max_bytes) {
                    return Err(RdbError::BadData);
                }
                Ok(value)
            }
        }
    }
}

/// The error for an element that is there already, or stands at a wrong place.
fn check(is_right: bool) -> Result<(), RdbError> {
    is_right.then_some(()).ok_or(RdbError::BadData)
}

/// Reads a hash of a type that is one.
pub(super) fn read_hash(
    kind: u8,
    reader: &mut Reader<'_>,
    budget: &Budget,
    layout: &Layout,
) -> Result<Hash, RdbError> {
    let mut hash = Hash::default();
    let (packed, max) = (blob(kind != TYPE_HASH, reader)?, budget.max_string_bytes);
    let mut source = source(kind, reader, packed.as_deref(), 2)?;
    while let Some(name) = source.next(max)?.map(Cow::into_owned) {
        let value = source.next(max)?.ok_or(RdbError::BadData)?;
        check(hash.insert(&name, &value, layout))?;
        budget.check(hash.memory_bytes())?;
    }
    Ok(hash)
}

/// Reads a set of a type that is one, but not of integers.
pub(super) fn read_set(
    kind: u8,
    reader: &mut Reader<'_>,
    budget: &Budget,
    layout: &Layout,
) -> Result<Set, RdbError> {
    let mut set = Set::default();
    let packed = blob(kind != TYPE_SET, reader)?;
    let mut source = source(kind, reader, packed.as_deref(), 1)?;
    while let Some(member) = source.next(budget.max_string_bytes)? {
        check(set.insert(&member, layout))?;
        budget.check(set.memory_bytes())?;
    }
    Ok(set)
}

/// Reads a set of integers.
pub(super) fn read_set_of_integers(
    reader: &mut Reader<'_>,
    budget: &Budget,
    layout: &Layout,
) -> Result<Set, RdbError> {
    let bytes = reader.string(MAX_BLOB_BYTES)?;
    let (size, rest) = bytes.split_first_chunk().ok_or(RdbError::BadData)?;
    let (count, rest) = rest.split_first_chunk().ok_or(RdbError::BadData)?;
    let (size, count) = (u32::from_le_bytes(*size) as usize, u32::from_le_bytes(*count) as usize);
    check(matches!(size, 2 | 4 | 8) && size.checked_mul(count) == Some(rest.len()))?;
    let (mut set, mut last) = (Set::default(), None);
    for bytes in rest.chunks_exact(size) {
        let mut wide = [0; 8];
        wide[8 - size..].copy_from_slice(bytes);
        let integer = i64::from_le_bytes(wide) >> (64 - 8 * size);
        check(last.is_none_or(|last| last < integer))?;
        last = Some(integer);
        set.insert(Buffer::new().format(integer).as_bytes(), layout);
        budget.check(set.memory_bytes())?;
    }
    Ok(set)
}

/// Reads a sorted set that is written plainly.
pub(super) fn read_sorted_set(
    kind: u8,
    reader: &mut Reader<'_>,
    budget: &Budget,
    layout: &Layout,
) -> Result<SortedSet, RdbError> {
    let mut set = Gathered::new(layout);
    for _ in 0..reader.length()? {
        let member = reader.string(budget.max_string_bytes)?;
        let score = match kind {
            TYPE_SORTED_SET_TEXT => read_score_text(reader)?,
            _ => f64::from_le_bytes(reader.array()?),
        };
        add_scored(&mut set, &member, score, budget)?;
    }
    Ok(set.finish(layout))
}

/// Reads a score as text: its length, or in its place what is no number.
fn read_score_text(reader: &mut Reader<'_>) -> Result<f64, RdbError> {
    match reader.byte()? {
        253 => Err(RdbError::BadData),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        len => parse_f64(reader.bytes(usize::from(len))?).ok_or(RdbError::BadData),
    }
}

/// Reads a sorted set in a block, where members and scores take turns in their order.
pub(super) fn read_packed_sorted_set(
    kind: u8,
    reader: &mut Reader<'_>,
    budget: &Budget,
    layout: &Layout,
) -> Result<SortedSet, RdbError> {
    let bytes = reader.string(MAX_BLOB_BYTES)?;
    let mut elements = Block::of(kind, &bytes)?;
    let (mut set, mut last) = (Gathered::new(layout), None);
    while let Some(member) = elements.next()?.map(listpack::text) {
        check(member.len() <= budget.max_string_bytes)?;
        let score = match elements.next()?.ok_or(RdbError::BadData)? {
            ValueRef::Int(integer) => integer as f64,
            ValueRef::Bytes(text) => parse_f64(text).ok_or(RdbError::BadData)?,
        };
        add_scored(&mut set, &member, score, budget)?;
        let is_behind = last
            .as_ref()
            .is_none_or(|(before, other)| *before < score || (*before == score && *other < member));
        check(is_behind)?;
        last = Some((score, member));
    }
    Ok(set.finish(layout))
}

fn add_scored(set: &mut Gathered, member: &[u8], score: f64, budget: &Budget) -> Result<(), RdbError> {
    check(!score.is_nan())?;
    let mut is_new = true;
    set.add(member, score, |before, _| {
        is_new = false;
        before
    });
    check(is_new)?;
    budget.check(set.memory_bytes())
}

/// Reads a list that is written plainly.
pub(super) fn read_list(reader: &mut Reader<'_>, budget: &Budget, layout: &Layout) -> Result<List, RdbError> {
    let mut list = List::default();
    for _ in 0..reader.length()? {
        list.append(&reader.string(budget.max_string_bytes)?, layout);
        budget.check(list.memory_bytes())?;
    }
    Ok(list)
}

/// Reads a list in pieces, or in one.
pub(super) fn read_list_of_pieces(
    kind: u8,
    reader: &mut Reader<'_>,
    budget: &Budget,
    layout: &Layout,
) -> Result<List, RdbError> {
    let mut list = List::default();
    let pieces = if kind == TYPE_LIST_ZIPLIST { 1 } else { reader.length()? };
    for _ in 0..pieces {
        match if kind == TYPE_LIST_PIECES { reader.length()? } else { PACKED } {
            PLAIN => list.append(&reader.string(budget.max_string_bytes)?, layout),
            PACKED => {
                let bytes = reader.string(MAX_BLOB_BYTES)?;
                let mut elements = Block::of(kind, &bytes)?;
                while let Some(value) = elements.next()?.map(listpack::text) {
                    check(value.len() <= budget.max_string_bytes)?;
                    list.append(&value, layout);
                    budget.check(list.memory_bytes())?;
                }
            }
            _ => return Err(RdbError::BadData),
        }
        budget.check(list.memory_bytes())?;
    }
    Ok(list)
}

/// The block that a value is, when it is one.
fn blob<'a>(is_packed: bool, reader: &mut Reader<'a>) -> Result<Option<Cow<'a, [u8]>>, RdbError> {
    if is_packed { reader.string(MAX_BLOB_BYTES).map(Some) } else { Ok(None) }
}

/// The elements of a value that is written plainly, with `strings` of them for what its length counts, or as a block.
fn source<'r, 'a>(
    kind: u8,
    reader: &'r mut Reader<'a>,
    packed: Option<&'r [u8]>,
    strings: u64,
) -> Result<Source<'r, 'a>, RdbError> {
    Ok(match packed {
        Some(bytes) => Source::Packed(Block::of(kind, bytes)?),
        None => {
            let len = reader.length()?;
            Source::Plain(reader, len.checked_mul(strings).ok_or(RdbError::BadData)?)
        }
    })
}
