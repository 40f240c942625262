//! The table of one hash slot: entries in hash order, in one array.
//!
//! It is robin-hood hashing by the *high* bits of the hash with linear probing, which keeps the entries sorted by tag:
//! the home of a tag is `tag * homes / 2^20`, a probe stops at the first larger tag, and growing is one pass in order.
//! Two things follow that a common hash table does not give: the keys of a slot can be walked in an order that survives
//! resizing and restarts (the order of the rows on disk, so SCAN merges the two), and with a table to each of the 16384
//! slots no resize ever moves more than a slot's keys.
//!
//! There are many tables, and in a small database each has few keys. An array of at most a cache line has a single home,
//! so it is just its entries in order, and may be full; every array is as large as one of the allocator's sizes.
//!
//! A table with many more keys than the tag has values (a million, all under one hash tag) still works; equal tags are
//! told apart by comparing keys.

use crate::entry::{Entry, TAG_BITS};
use crate::prefetch::prefetch;
use crate::size_class;

/// The most slots past the last home that a table is made with, so that a run of entries near the end has room.
const TAIL: usize = 8;
/// Slots in a cache line: a table of no more has one home.
const LINE: usize = 8;

/// As many slots as an allocation of at least `slots` holds.
fn whole(slots: usize) -> usize {
    size_class::of(slots * size_of::<Option<Entry>>()) / size_of::<Option<Entry>>()
}

/// The homes of a table that is made with so many slots.
fn homes_in(slots: usize) -> usize {
    if slots <= LINE { slots.min(1) } else { slots - (slots / 8).min(TAIL) }
}

/// The most entries that a table of so many homes and slots has.
fn most_in(homes: usize, slots: usize) -> usize {
    if slots <= LINE { slots } else { homes * 7 / 8 }
}

/// Entries of one slot, ordered by tag.
///
/// # Invariants
///
/// * Tags do not decrease along the array.
/// * An entry stands at its home or behind it, and no slot between the two is empty.
/// * `len` is the number of entries.
#[derive(Debug, Default)]
pub struct SlotTable {
    slots: Vec<Option<Entry>>,
    homes: u32,
    len: u32,
}

impl SlotTable {
    /// A table without keys; allocates nothing.
    pub const fn new() -> Self {
        Self { slots: Vec::new(), homes: 0, len: 0 }
    }

    #[inline]
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * u64::from(self.homes)) >> TAG_BITS) as usize
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Asks the processor for the slots where a tag would stand.
    #[inline]
    pub(crate) fn prefetch(&self, tag: u32) {
        prefetch(self.slots.as_ptr().wrapping_add(self.home(tag)));
    }

    /// The entries that a lookup of the tag would look at.
    #[inline]
    fn of_tag(&self, tag: u32) -> impl Iterator<Item = &Entry> {
        let slots = self.slots.get(self.home(tag)..).unwrap_or_default();
        let here = slots.iter().map_while(Option::as_ref).take_while(move |entry| entry.tag() <= tag);
        here.filter(move |entry| entry.tag() == tag)
    }

    /// Asks the processor for the entries that a lookup of the tag would look at.
    #[inline]
    pub(crate) fn prefetch_entries(&self, tag: u32) {
        self.of_tag(tag).for_each(Entry::prefetch);
    }

    /// Asks the processor for the values of these entries that are collections; tells whether there is any.
    #[inline]
    pub(crate) fn prefetch_held(&self, tag: u32) -> bool {
        let mut any = false;
        for entry in self.of_tag(tag) {
            any |= entry.prefetch_held();
        }
        any
    }

    /// Asks the processor for elements of these collections.
    #[inline]
    pub(crate) fn prefetch_elements(&self, tag: u32) {
        self.of_tag(tag).filter_map(Entry::held).for_each(|held| held.collection.prefetch());
    }

    /// Where the key stands.
    #[inline]
    pub fn find(&self, tag: u32, key: &[u8]) -> Option<usize> {
        let mut at = self.home(tag);
        while let Some(Some(entry)) = self.slots.get(at) {
            let t = entry.tag();
            if t > tag {
                return None;
            }
            if t == tag && entry.key() == key {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    /// The entry at a position from [`Self::find`].
    ///
    /// # Panics
    /// When the position holds none.
    #[inline]
    pub fn at(&self, position: usize) -> &Entry {
        self.slots[position].as_ref().expect("a position from find() holds an entry")
    }

    /// The entry at a position from [`Self::find`], for change.
    ///
    /// # Panics
    /// When the position holds none.
    #[inline]
    pub fn at_mut(&mut self, position: usize) -> &mut Entry {
        self.slots[position].as_mut().expect("a position from find() holds an entry")
    }

    /// Puts another entry with the same key and tag in the place of one; returns the old one.
    pub fn replace(&mut self, position: usize, entry: Entry) -> Entry {
        std::mem::replace(self.at_mut(position), entry)
    }

    /// Adds an entry whose key is not in the table; returns its position.
    pub fn insert(&mut self, entry: Entry) -> usize {
        if self.len as usize >= most_in(self.homes as usize, self.slots.len()) {
            self.resize(self.len as usize + 1);
        }
        let tag = entry.tag();
        loop {
            let mut at = self.home(tag);
            while let Some(Some(e)) = self.slots.get(at)
                && e.tag() <= tag
            {
                at += 1;
            }
            let mut free = at;
            while let Some(Some(_)) = self.slots.get(free) {
                free += 1;
            }
            if free < self.slots.len() {
                self.slots[at..=free].rotate_right(1);
                self.slots[at] = Some(entry);
                self.len += 1;
                return at;
            }
            self.extend(whole(self.slots.len() + 1));
        }
    }

    /// Takes out the entry at a position from [`Self::find`].
    ///
    /// # Panics
    /// When the position holds none.
    pub fn remove(&mut self, position: usize) -> Entry {
        let removed = self.slots[position].take().expect("a position from find() holds an entry");
        let mut end = position + 1;
        while let Some(Some(entry)) = self.slots.get(end)
            && self.home(entry.tag()) < end
        {
            end += 1;
        }
        self.slots[position..end].rotate_left(1);
        self.len -= 1;
        if self.slots.len() > LINE && (self.len as usize) < self.slots.len() / 4 {
            self.resize(self.len as usize * 4 / 3 + 1);
        }
        removed
    }

    /// Makes a table that has room for so many entries.
    fn resize(&mut self, entries: usize) {
        let mut slots = whole(entries);
        while most_in(homes_in(slots), slots) < entries {
            slots = whole(slots + 1);
        }
        self.homes = u32::try_from(homes_in(slots)).expect("a slot holds fewer than 2^32 keys");
        if (self.slots.len()..=LINE).contains(&slots) {
            // All of them stay where they are.
            return self.extend(slots);
        }
        let old = std::mem::replace(&mut self.slots, Vec::with_capacity(slots));
        for entry in old.into_iter().flatten() {
            let home = self.home(entry.tag());
            if self.slots.len() < home {
                self.slots.resize_with(home, || None);
            }
            self.slots.push(Some(entry));
        }
        self.extend(slots.max(whole(self.slots.len())));
    }

    /// Adds slots at the end, up to so many in all.
    fn extend(&mut self, slots: usize) {
        self.slots.reserve_exact(slots - self.slots.len());
        self.slots.resize_with(slots, || None);
    }

    /// The position of the first entry with at least this tag.
    pub fn lower_bound(&self, tag: u32) -> usize {
        let mut at = self.home(tag);
        while let Some(slot) = self.slots.get(at) {
            match slot {
                Some(entry) if entry.tag() >= tag => break,
                _ => at += 1,
            }
        }
        at
    }

    /// The entries from a position on, in tag order, with their positions.
    pub fn iter_from(&self, position: usize) -> impl Iterator<Item = (usize, &Entry)> {
        let from = position.min(self.slots.len());
        self.slots[from..].iter().enumerate().filter_map(move |(i, s)| s.as_ref().map(|e| (from + i, e)))
    }

    /// All entries in tag order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().flatten()
    }

    /// All entries, for change; keys and tags must stay.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.slots.iter_mut().flatten()
    }

    /// The entries with this tag, for change, from a position on that is not behind the first of them; keys and tags must
    /// stay.
    pub fn tagged_mut(&mut self, from: usize, tag: u32) -> impl Iterator<Item = &mut Entry> {
        let from = from.min(self.slots.len());
        let run = self.slots[from..].iter_mut().map_while(Option::as_mut);
        run.take_while(move |e| e.tag() <= tag).filter(move |e| e.tag() == tag)
    }

    /// The entries with this tag that a run has changed and not yet appended.
    pub fn pending_mut(&mut self, tag: u32) -> impl Iterator<Item = &mut Entry> {
        self.tagged_mut(self.home(tag), tag).filter(|e| e.is_pending())
    }

    /// The entry at or behind a random place: every entry is about as likely as the gap before it is wide.
    pub fn near(&self, random: u64) -> Option<&Entry> {
        let start = (random % self.slots.len().max(1) as u64) as usize;
        self.iter_from(start).next().map(|(_, e)| e).or_else(|| self.iter().next())
    }

    /// Bytes of memory of the array itself.
    pub fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Entry>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{NewValue, ValueRef};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn check(table: &SlotTable) {
        let mut last = 0;
        for (at, entry) in table.iter_from(0) {
            assert!(entry.tag() >= last, "tags in order");
            last = entry.tag();
            let home = table.home(entry.tag());
            assert!(home <= at);
            assert!(table.slots[home..at].iter().all(Option::is_some), "no gap between home and place");
        }
        assert_eq!(table.iter().count(), table.len());
        assert_eq!(table.memory_bytes(), size_class::of(table.memory_bytes()));
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_map(ops in prop::collection::vec((0u8..3, 0u32..60, any::<bool>()), 1..400)) {
            let mut table = SlotTable::default();
            let mut model = BTreeMap::new();
            for (i, (op, k, crowded)) in ops.into_iter().enumerate() {
                // Crowded keys share four tags at the very end of the range, where runs overflow the homes.
                let tag = if crowded { (1 << TAG_BITS) - 1 - k % 4 } else { k * 17_000 };
                let key = format!("{crowded}{k}").into_bytes();
                let value = (i as i64).to_le_bytes();
                match (op, table.find(tag, &key)) {
                    (0, Some(at)) => {
                        let removed = table.remove(at);
                        prop_assert_eq!(removed.key(), &key[..]);
                        model.remove(&(tag, key));
                    }
                    (_, Some(at)) => {
                        prop_assert!(model.contains_key(&(tag, key.clone())));
                        table.replace(at, Entry::new(tag, &key, NewValue::Bytes(&value), None));
                        model.insert((tag, key), value);
                    }
                    (_, None) => {
                        prop_assert!(!model.contains_key(&(tag, key.clone())));
                        let at = table.insert(Entry::new(tag, &key, NewValue::Bytes(&value), None));
                        prop_assert_eq!(table.at(at).key(), &key[..]);
                        model.insert((tag, key), value);
                    }
                }
                check(&table);
            }
            let mut seen: Vec<_> = table.iter().map(|e| (e.tag(), e.key().to_vec())).collect();
            seen.sort();
            prop_assert_eq!(seen, model.keys().cloned().collect::<Vec<_>>());
            for ((tag, key), value) in &model {
                let at = table.find(*tag, key);
                prop_assert!(at.is_some());
                prop_assert_eq!(table.at(at.unwrap()).string(), Some(ValueRef::Bytes(value)));
                let bound = table.lower_bound(*tag);
                prop_assert!(table.at(bound).tag() == *tag);
            }
        }
    }

    #[test]
    fn small_tables_have_little_room_to_spare() {
        let mut table = SlotTable::default();
        let mut bytes = Vec::new();
        for i in 0..10u32 {
            table.insert(Entry::new(i * 99_991, &i.to_le_bytes(), NewValue::Int(0), None));
            check(&table);
            bytes.push(table.memory_bytes());
        }
        assert_eq!(bytes, [8, 16, 32, 32, 48, 48, 64, 64, 96, 112]);
    }

    #[test]
    fn thousands_of_keys_under_seven_tags_are_found() {
        // Miri is too slow for thousands.
        let keys = if cfg!(miri) { 300 } else { 5000 };
        let mut table = SlotTable::default();
        for i in 0..keys {
            table.insert(Entry::new(i % 7, &i.to_le_bytes(), NewValue::Int(i64::from(i)), None));
        }
        check(&table);
        for i in 0..keys {
            assert!(table.find(i % 7, &i.to_le_bytes()).is_some());
        }
        for i in 0..keys {
            let at = table.find(i % 7, &i.to_le_bytes()).expect("still there");
            table.remove(at);
        }
        assert!(table.is_empty() && table.memory_bytes() < 1000);
    }
}
