//! Where a key belongs: its slot and its hash.
//!
//! A [`Place`] is computed once for each key of a command. Its order, slot first and hash next, is the order of the
//! rows on disk, of the entries in a table and of SCAN; a position in that order is a number of 62 bits.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::entry::TAG_BITS;
use crate::slot::{SLOT_COUNT, slot_of};

/// Bits of the hash in a row key.
pub const HASH_BITS: u32 = 48;

/// Shards of the keyspace; each has a latch and an equal range of slots.
pub const SHARDS: usize = 256;

/// Slots of one shard.
pub const SLOTS_PER_SHARD: usize = SLOT_COUNT as usize / SHARDS;

/// The slot and the hash of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The hash slot, below [`SLOT_COUNT`].
    pub slot: u16,
    /// The 48-bit hash of the key under the database's secret seed.
    pub hash: u64,
}

impl Place {
    /// The place of a key. The seed is secret and belongs to the data: hashes are on disk and in cursors, and clients
    /// must not be able to choose keys that collide.
    #[inline]
    pub fn of(key: &[u8], seed: u64) -> Self {
        Self { slot: slot_of(key), hash: xxh3_64_with_seed(key, seed) >> (64 - HASH_BITS) }
    }

    /// The shard that holds the slot.
    #[inline]
    pub fn shard(self) -> usize {
        self.slot as usize / SLOTS_PER_SHARD
    }

    /// The index of the slot in its shard.
    #[inline]
    pub fn table(self) -> usize {
        self.slot as usize % SLOTS_PER_SHARD
    }

    /// The first place of a shard.
    pub fn first_of(shard: usize) -> Self {
        Self { slot: (shard * SLOTS_PER_SHARD) as u16, hash: 0 }
    }

    /// The bits by which a table orders its entries.
    #[inline]
    pub fn tag(self) -> u32 {
        (self.hash >> (HASH_BITS - TAG_BITS)) as u32
    }

    /// The first place with a given slot and tag.
    pub fn at_tag(slot: u16, tag: u32) -> Self {
        Self { slot, hash: u64::from(tag) << (HASH_BITS - TAG_BITS) }
    }

    /// The position in the order of all keys.
    pub fn position(self) -> u64 {
        (u64::from(self.slot) << HASH_BITS) | self.hash
    }

    /// The place at a position; `None` past the last slot.
    pub fn from_position(position: u64) -> Option<Self> {
        let slot = u16::try_from(position >> HASH_BITS).ok().filter(|&s| s < SLOT_COUNT)?;
        Some(Self { slot, hash: position & ((1 << HASH_BITS) - 1) })
    }
}

/// A key whose place is known, recognised by where its bytes are: a command's keys are looked up several times on their
/// way, and the place need be computed only once.
#[derive(Debug, Clone, Copy)]
pub struct Located {
    address: usize,
    len: usize,
    place: Place,
}

impl Located {
    /// Notes the place of a key. The bytes must stay where they are for as long as this is used.
    #[inline]
    pub fn new(key: &[u8], place: Place) -> Self {
        Self { address: key.as_ptr().addr(), len: key.len(), place }
    }

    /// The place.
    #[inline]
    pub fn place(&self) -> Place {
        self.place
    }

    /// The place of a key, if it is this one.
    #[inline]
    pub fn place_of(&self, key: &[u8]) -> Option<Place> {
        (key.as_ptr().addr() == self.address && key.len() == self.len).then_some(self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_keeps_the_place_and_its_order() {
        let mut places: Vec<_> = (0..1000u32).map(|i| Place::of(&i.to_le_bytes(), 7)).collect();
        places.sort();
        let positions: Vec<_> = places.iter().map(|p| p.position()).collect();
        assert!(positions.is_sorted());
        assert_eq!(positions.iter().filter_map(|&p| Place::from_position(p)).collect::<Vec<_>>(), places);
        assert_eq!(Place::from_position(u64::from(SLOT_COUNT) << HASH_BITS), None);
        assert_eq!(Place::from_position(u64::MAX), None);
    }

    #[test]
    fn places_depend_on_the_seed_but_slots_do_not() {
        let (a, b) = (Place::of(b"key", 1), Place::of(b"key", 2));
        assert_eq!(a.slot, b.slot);
        assert_ne!(a.hash, b.hash);
        assert!(a.shard() < SHARDS && a.table() < SLOTS_PER_SHARD);
        assert!(Place::at_tag(a.slot, a.tag()) <= a);
    }
}
