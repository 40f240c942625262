//! Hashes: fields with values, and a deadline for any field that has one.
//!
//! An element row is the field, and `flags | [deadline u64] | value`. The meta row adds the earliest deadline (u64) where
//! there is one: so who walks over hashes on disk knows which of them to load. A small hash is a pack of fields and values in the
//! order in which they came; a large one is a table. Deadlines stand beside, in the order in which they come due, since
//! most hashes have none; a hash with deadlines is a table whatever its size.

mod deadlines;
mod live;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::deadlines::Deadlines;
pub use self::live::{LiveEdit, LiveHash};
use super::pack::{Cursor, MAX_RECORDS, Pack};
use super::table::ElementTable;
use super::{Collection, Elements, Layout};
use crate::context::text_of;
use crate::edit::Edit;
use crate::entry::ValueRef;
use crate::row::Type;

const HAS_DEADLINE: u8 = 1;

/// Fields with values.
#[derive(Debug, Clone)]
pub struct Hash(Shape);

#[derive(Debug, Clone)]
enum Shape {
    /// Fields with their values.
    Small(Pack<2>),
    Large(Box<Large>),
}

/// # Invariants
///
/// * The fields in `deadlines` are all in `fields`.
/// * `bytes` is the sum of the lengths of the allocations in `fields`.
/// * `seed` is that of all hashes, once there is a field.
#[derive(Debug, Default)]
struct Large {
    seed: u64,
    fields: ElementTable<Field>,
    bytes: usize,
    deadlines: Deadlines,
    /// Whether it would be small but for the deadlines.
    is_small: bool,
    /// What the meta row says of when the first of the fields dies.
    told: Option<u64>,
}

impl Clone for Large {
    fn clone(&self) -> Self {
        let mut new = Self {
            seed: self.seed,
            bytes: self.bytes,
            deadlines: self.deadlines.clone(),
            is_small: self.is_small,
            told: self.told,
            fields: ElementTable::default(),
        };
        let hash_of = |field: &Field| xxh3_64_with_seed(field.name(), self.seed);
        for field in self.fields.iter() {
            new.fields.insert(hash_of(field), Field(field.0.clone()), hash_of);
        }
        new
    }
}

/// A field and its value in one allocation: length of the field (varint), field, value.
#[derive(Debug)]
struct Field(Box<[u8]>);

impl Field {
    fn new(name: &[u8], value: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(name.len() + value.len() + varint_len(name.len()));
        let mut len = name.len();
        while len >= 0x80 {
            bytes.push(len as u8 | 0x80);
            len >>= 7;
        }
        bytes.push(len as u8);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
        Self(bytes.into_boxed_slice())
    }

    #[inline]
    fn split(&self) -> (&[u8], &[u8]) {
        let (mut len, mut at, mut shift) = (0usize, 0, 0);
        loop {
            let byte = self.0[at];
            len |= usize::from(byte & 0x7f) << shift;
            (at, shift) = (at + 1, shift + 7);
            if byte < 0x80 {
                return self.0[at..].split_at(len);
            }
        }
    }

    #[inline]
    fn name(&self) -> &[u8] {
        self.split().0
    }

    /// Writes over the value; tells whether it had the same length.
    fn overwrite(&mut self, value: &[u8]) -> bool {
        let start = self.0.len() - self.split().1.len();
        let fits = self.0.len() - start == value.len();
        if fits {
            self.0[start..].copy_from_slice(value);
        }
        fits
    }
}

fn varint_len(len: usize) -> usize {
    ((usize::BITS - (len | 1).leading_zeros()) as usize).div_ceil(7)
}

/// What becomes of a field's deadline when its value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldDeadline {
    /// It goes.
    Clear,
    /// It stays.
    Keep,
    /// It is this, in Unix milliseconds.
    At(u64),
}

impl Default for Hash {
    fn default() -> Self {
        Self(Shape::Small(Pack::new()))
    }
}

impl Large {
    fn hash(&self, name: &[u8]) -> u64 {
        xxh3_64_with_seed(name, self.seed)
    }

    fn get(&self, name: &[u8]) -> Option<&Field> {
        self.fields.find(self.hash(name), |field| field.name() == name)
    }

    /// Writes a field; tells whether it is new.
    fn put(&mut self, name: &[u8], value: &[u8]) -> bool {
        let hash = self.hash(name);
        if let Some(field) = self.fields.find_mut(hash, |field| field.name() == name) {
            if !field.overwrite(value) {
                let new = Field::new(name, value);
                self.bytes = self.bytes + allocated(&new) - allocated(field);
                *field = new;
            }
            return false;
        }
        let field = Field::new(name, value);
        self.bytes += allocated(&field);
        let seed = self.seed;
        self.fields.insert(hash, field, |field| xxh3_64_with_seed(field.name(), seed));
        true
    }

    fn remove(&mut self, name: &[u8]) -> bool {
        let (hash, seed) = (self.hash(name), self.seed);
        let removed = self.fields.remove(hash, |f| f.name() == name, |f| xxh3_64_with_seed(f.name(), seed));
        let Some(field) = removed else { return false };
        self.bytes -= allocated(&field);
        self.set_deadline(name, None);
        true
    }

    fn set_deadline(&mut self, name: &[u8], deadline: Option<u64>) {
        if self.deadlines.of(name).is_some() {
            self.bytes -= Deadlines::bytes_for(name);
        }
        self.deadlines.set(name, deadline);
        if deadline.is_some() {
            self.bytes += Deadlines::bytes_for(name);
        }
    }
}

/// What the allocation of a field takes.
fn allocated(field: &Field) -> usize {
    field.0.len().next_multiple_of(8).max(16)
}

/// Walks over fields and values.
enum Pairs<'h, L> {
    Small(Cursor<'h, 2>),
    Large(L),
}

impl<'h, L: Iterator<Item = &'h Field>> Iterator for Pairs<'h, L> {
    type Item = (ValueRef<'h>, ValueRef<'h>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Small(cursor) => cursor.next().map(|[name, value]| (name, value)),
            Self::Large(fields) => {
                let (name, value) = fields.next()?.split();
                Some((ValueRef::Bytes(name), ValueRef::Bytes(value)))
            }
        }
    }
}

impl Hash {
    /// The value of a field, dead or alive.
    fn get(&self, name: &[u8]) -> Option<ValueRef<'_>> {
        match &self.0 {
            Shape::Small(pack) => pack.find(name)?.1.second(),
            Shape::Large(large) => large.get(name).map(|field| ValueRef::Bytes(field.split().1)),
        }
    }

    fn deadline(&self, name: &[u8]) -> Option<u64> {
        match &self.0 {
            Shape::Small(..) => None,
            Shape::Large(large) => large.deadlines.of(name),
        }
    }

    /// When the first of the fields dies, in Unix milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        match &self.0 {
            Shape::Small(..) => None,
            Shape::Large(large) => large.deadlines.first(),
        }
    }

    /// What the meta row says of when the first of the fields dies. Only a large hash has fields that do, and so only of
    /// such a one does it say anything.
    pub(crate) fn told_deadline(&self) -> Option<u64> {
        match &self.0 {
            Shape::Small(..) => None,
            Shape::Large(large) => large.told,
        }
    }

    /// Notes that the meta row is written, and says what is true; tells whether it said something else.
    pub(crate) fn tell_deadline(&mut self) -> bool {
        let next = self.next_deadline();
        match &mut self.0 {
            Shape::Small(..) => false,
            Shape::Large(large) => std::mem::replace(&mut large.told, next) != next,
        }
    }

    /// A hash without fields, of which the meta row says this.
    fn empty_and_told(deadline: Option<u64>) -> Self {
        if deadline.is_none() {
            return Self::default();
        }
        Self(Shape::Large(Box::new(Large { is_small: true, told: deadline, ..Large::default() })))
    }

    /// Takes all fields out; the meta row still says what it said.
    pub(super) fn take(&mut self) -> Self {
        let empty = Self::empty_and_told(self.told_deadline());
        std::mem::replace(self, empty)
    }

    /// All fields with their values, dead or alive.
    fn iter(&self) -> impl Iterator<Item = (ValueRef<'_>, ValueRef<'_>)> {
        match &self.0 {
            Shape::Small(pack) => Pairs::Small(pack.iter()),
            Shape::Large(large) => Pairs::Large(large.fields.iter()),
        }
    }

    /// Writes a field that lives as long as the key; tells whether it is new.
    pub fn insert(&mut self, name: &[u8], value: &[u8], layout: &Layout) -> bool {
        self.put(name, value, FieldDeadline::Clear, layout)
    }

    /// Writes a field; tells whether it is new.
    fn put(&mut self, name: &[u8], value: &[u8], deadline: FieldDeadline, layout: &Layout) -> bool {
        let with_deadline = matches!(deadline, FieldDeadline::At(_));
        let too_long = name.len().max(value.len()) > layout.hash_value;
        let new = match &mut self.0 {
            Shape::Small(pack) if !with_deadline && !too_long => match offset_of(pack, name) {
                Some(offset) => {
                    pack.replace(offset, [name, value]);
                    false
                }
                None if pack.count() < layout.hash_entries.min(MAX_RECORDS) => {
                    pack.push_back([name, value]);
                    true
                }
                None => self.large(layout, false).put(name, value),
            },
            _ => {
                let is_small = !too_long && self.len() < layout.hash_entries;
                self.large(layout, is_small).put(name, value)
            }
        };
        if let Shape::Large(large) = &mut self.0 {
            match deadline {
                FieldDeadline::Keep => {}
                FieldDeadline::Clear => large.set_deadline(name, None),
                FieldDeadline::At(at) => large.set_deadline(name, Some(at)),
            }
        }
        new
    }

    /// The table, made of the pack where it is still one. `is_small` says whether it could go on being a pack.
    fn large(&mut self, layout: &Layout, is_small: bool) -> &mut Large {
        if let Shape::Small(pack) = &self.0 {
            let mut large = Box::new(Large { seed: layout.seed, is_small, ..Large::default() });
            for [name, value] in pack.iter() {
                large.put(&text_of(name), &text_of(value));
            }
            self.0 = Shape::Large(large);
        }
        match &mut self.0 {
            Shape::Large(large) => {
                if large.fields.is_empty() {
                    large.seed = layout.seed;
                }
                large.is_small &= is_small;
                large
            }
            Shape::Small(..) => unreachable!("it has just been made large"),
        }
    }

    fn remove(&mut self, name: &[u8]) -> bool {
        match &mut self.0 {
            Shape::Small(pack) => {
                let Some(offset) = offset_of(pack, name) else { return false };
                pack.remove(offset, 1);
                true
            }
            Shape::Large(large) => large.remove(name),
        }
    }
}

/// The offset of a field in a pack.
fn offset_of(pack: &Pack<2>, name: &[u8]) -> Option<usize> {
    pack.find(name).map(|(_, before)| before.offset())
}

impl Elements for Hash {
    const KIND: Type = Type::Hash;

    fn of(collection: &Collection) -> Option<&Self> {
        match collection {
            Collection::Hash(hash) => Some(hash),
            _ => None,
        }
    }

    fn of_mut(collection: &mut Collection) -> Option<&mut Self> {
        match collection {
            Collection::Hash(hash) => Some(hash),
            _ => None,
        }
    }

    fn into_collection(self) -> Collection {
        Collection::Hash(self)
    }

    fn prefetch(&self) {
        if let Shape::Small(pack) = &self.0 {
            pack.prefetch();
        }
    }

    fn len(&self) -> usize {
        match &self.0 {
            Shape::Small(pack) => pack.count(),
            Shape::Large(large) => large.fields.len(),
        }
    }

    fn memory_bytes(&self) -> usize {
        match &self.0 {
            Shape::Small(pack) => pack.memory_bytes(),
            Shape::Large(large) => size_of::<Large>() + large.fields.memory_bytes() + large.bytes,
        }
    }

    fn encoding(&self) -> &'static str {
        match &self.0 {
            Shape::Small(..) => "listpack",
            Shape::Large(large) if large.is_small => "listpackex",
            Shape::Large(_) => "hashtable",
        }
    }

    fn extra(&self) -> Vec<u8> {
        self.next_deadline().map_or_else(Vec::new, |at| at.to_le_bytes().to_vec())
    }

    fn load_extra(&mut self, extra: &[u8]) -> Option<()> {
        // The fields tell when the first of them dies; it stands in the meta row for those who do not load them. Nothing
        // stands there where an earlier version has written it.
        if let Ok(told) = extra.try_into() {
            *self = Self::empty_and_told(Some(u64::from_le_bytes(told)));
        }
        matches!(extra.len(), 0 | 8).then_some(())
    }

    fn load(&mut self, element: &[u8], value: &[u8], layout: &Layout) -> Option<()> {
        let (&flags, mut value) = value.split_first()?;
        let mut deadline = FieldDeadline::Clear;
        if flags == HAS_DEADLINE {
            let (at, rest) = value.split_first_chunk()?;
            deadline = FieldDeadline::At(u64::from_le_bytes(*at));
            value = rest;
        } else if flags != 0 {
            return None;
        }
        self.put(element, value, deadline, layout);
        Some(())
    }

    fn rows(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        let mut row = Vec::new();
        for (name, value) in self.iter() {
            let (name, value) = (text_of(name), text_of(value));
            row.clear();
            write_row(&mut row, &value, self.deadline(&name));
            visit(&name, &row);
        }
    }
}

/// The value of an element row.
fn write_row(out: &mut Vec<u8>, value: &[u8], deadline: Option<u64>) {
    match deadline {
        Some(at) => {
            out.push(HAS_DEADLINE);
            out.extend_from_slice(&at.to_le_bytes());
        }
        None => out.push(0),
    }
    out.extend_from_slice(value);
}

impl Edit<'_, Hash> {
    /// Writes a field; tells whether it is new.
    pub fn put(&mut self, name: &[u8], value: &[u8], deadline: FieldDeadline) -> bool {
        let layout = self.layout;
        let new = self.value.put(name, value, deadline, &layout);
        let deadline = self.value.deadline(name);
        self.record(name, |out| write_row(out, value, deadline));
        new
    }

    /// Gives a field a deadline or takes it away; does nothing where there is no such field.
    pub fn set_deadline(&mut self, name: &[u8], deadline: Option<u64>) {
        let Some(value) = self.value.get(name).map(text_of) else { return };
        self.put(name, &value, deadline.map_or(FieldDeadline::Clear, FieldDeadline::At));
    }

    /// Removes fields that are past their deadline, the earliest first, `limit` at the most; returns how many.
    pub fn remove_dead(&mut self, now: u64, limit: usize) -> usize {
        let Shape::Large(large) = &self.value.0 else { return 0 };
        let dead: Vec<Box<[u8]>> = large.deadlines.dead(now).take(limit).map(Box::from).collect();
        dead.iter().filter(|name| self.remove(name)).count()
    }

    /// Takes a field out; tells whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let removed = self.value.remove(name);
        if removed {
            self.erase(name);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn contents(hash: &Hash) -> BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)> {
        hash.iter()
            .map(|(name, value)| {
                let name = text_of(name);
                let deadline = hash.deadline(&name);
                (name, (text_of(value), deadline))
            })
            .collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_map_and_is_the_same_after_a_load(
            ops in prop::collection::vec((0u8..6, 0u32..40, 0usize..80, 1u64..4), 1..200),
            entries in 1usize..60,
        ) {
            let layout = Layout { hash_entries: entries, ..Layout::with_seed(7) };
            let (mut hash, mut model) = (Hash::default(), BTreeMap::new());
            for (op, name, len, at) in ops {
                let name = if op % 2 == 0 { format!("field{name}") } else { name.to_string() }.into_bytes();
                let value = vec![b'v'; len];
                match op {
                    0 | 1 => {
                        prop_assert_eq!(hash.remove(&name), model.remove(&name).is_some());
                    }
                    2 => {
                        let new = hash.put(&name, &value, FieldDeadline::At(at), &layout);
                        prop_assert_eq!(new, model.insert(name, (value, Some(at))).is_none());
                    }
                    3 => {
                        let kept = model.get(&name).and_then(|&(_, deadline)| deadline);
                        let new = hash.put(&name, &value, FieldDeadline::Keep, &layout);
                        prop_assert_eq!(new, model.insert(name, (value, kept)).is_none());
                    }
                    _ => {
                        let new = hash.put(&name, &value, FieldDeadline::Clear, &layout);
                        prop_assert_eq!(new, model.insert(name, (value, None)).is_none());
                    }
                }
                prop_assert_eq!(hash.len(), model.len());
            }
            prop_assert_eq!(&contents(&hash), &model);
            let first = model.values().filter_map(|&(_, deadline)| deadline).min();
            prop_assert_eq!(hash.next_deadline(), first);
            let mut loaded = Hash::default();
            hash.rows(&mut |element, value| loaded.load(element, value, &layout).expect("a row reads back"));
            prop_assert_eq!(&contents(&loaded), &model);
            prop_assert_eq!(&contents(&hash.clone()), &model);
            let (mut walked, mut cursor) = (BTreeMap::new(), 0);
            loop {
                cursor = hash.live(0).walk(cursor, 3, |name, value| { walked.insert(text_of(name), text_of(value)); });
                if cursor == 0 { break }
            }
            prop_assert!(walked.iter().eq(model.iter().map(|(name, (value, _))| (name, value)).collect::<Vec<_>>()));
        }
    }

    #[test]
    fn the_encoding_is_that_of_redis() {
        let layout = Layout::with_seed(1);
        let mut hash = Hash::default();
        (0..512).for_each(|i: u32| assert!(hash.put(&i.to_le_bytes(), b"v", FieldDeadline::Clear, &layout)));
        assert_eq!(hash.encoding(), "listpack");
        hash.put(b"one more", b"v", FieldDeadline::Clear, &layout);
        assert_eq!(hash.encoding(), "hashtable");
        let mut long = Hash::default();
        long.put(b"f", &[b'v'; 65], FieldDeadline::Clear, &layout);
        assert_eq!(long.encoding(), "hashtable");
        let mut mortal = Hash::default();
        mortal.put(b"f", b"v", FieldDeadline::At(5), &layout);
        assert_eq!(mortal.encoding(), "listpackex");
    }
}
