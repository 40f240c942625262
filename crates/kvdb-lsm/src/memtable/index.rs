//! The hash index of a partition: from the hash of a key to the newest record of that key.
//!
//! Open addressing with linear probing over words of a stored hash and an address, so that a lookup
//! costs one cache line of the index and one of the record. Nothing is ever removed: a memtable
//! forgets its keys all at once.

use super::arena::Addr;

const FIRST_SLOTS: usize = 16;

/// The half of a hash that is stored: it saves the comparison on a wrong candidate, and the
/// hashing when the index grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored(u32);

impl Stored {
    /// The part of a key's hash that the index goes by.
    pub(super) const fn of(hash: u64) -> Self {
        Self((hash >> 32) as u32)
    }
}

/// A stored hash and the address of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot(u64);

impl Slot {
    /// Holds no record: its address is [`Addr::NONE`].
    const EMPTY: Self = Self::new(Stored(0), Addr::NONE);

    const fn new(hash: Stored, addr: Addr) -> Self {
        Self((hash.0 as u64) << 32 | addr.to_bits() as u64)
    }

    const fn hash(self) -> Stored {
        Stored((self.0 >> 32) as u32)
    }

    fn addr(self) -> Option<Addr> {
        let addr = Addr::from_bits(self.0 as u32);
        (addr != Addr::NONE).then_some(addr)
    }
}

/// # Invariants
/// The number of slots is 0 or a power of two, at most two thirds of them hold a record, and from
/// the home of a hash to its slot there is no empty one. `len` is the number of those that do.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Vec<Slot>,
    len: usize,
}

impl Index {
    /// The number of keys.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The bytes allocated.
    pub(super) const fn allocated(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// The slot at which the search for a hash begins: given by its upper bits, so that growing
    /// keeps the order of the slots and copies from front to back.
    const fn home(&self, hash: Stored) -> usize {
        ((hash.0 as u64 * self.slots.len() as u64) >> 32) as usize
    }

    /// The contents of the first slot of a hash: reading it brings the cache line.
    #[inline]
    pub(super) fn peek(&self, hash: Stored) -> u64 {
        self.slots.get(self.home(hash)).map_or(0, |slot| slot.0)
    }

    /// The first record with a hash for which `same` holds, and where the index has it.
    #[inline]
    pub(super) fn find(&self, hash: Stored, mut same: impl FnMut(Addr) -> bool) -> Option<(usize, Addr)> {
        let mut at = self.home(hash);
        loop {
            let slot = *self.slots.get(at)?;
            let addr = slot.addr()?;
            if slot.hash() == hash && same(addr) {
                return Some((at, addr));
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Puts another record of the same key in the place that [`Index::find`] gave.
    pub(super) fn replace(&mut self, at: usize, addr: Addr) {
        self.slots[at] = Slot::new(self.slots[at].hash(), addr);
    }

    /// Adds a record of a key that has none.
    pub(super) fn insert(&mut self, hash: Stored, addr: Addr) {
        if (self.len + 1) * 3 > self.slots.len() * 2 {
            let larger = vec![Slot::EMPTY; (self.slots.len() * 2).max(FIRST_SLOTS)];
            for slot in std::mem::replace(&mut self.slots, larger) {
                if slot != Slot::EMPTY {
                    self.put(slot);
                }
            }
        }
        self.put(Slot::new(hash, addr));
        self.len += 1;
    }

    fn put(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(slot.hash());
        while self.slots[at].addr().is_some() {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    /// The newest record of every key, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Addr> {
        self.slots.iter().filter_map(|slot| slot.addr())
    }

    /// Gives every key another record: `moved` is told the old one.
    pub(super) fn move_all(&mut self, mut moved: impl FnMut(Addr) -> Addr) {
        for slot in &mut self.slots {
            if let Some(addr) = slot.addr() {
                *slot = Slot::new(slot.hash(), moved(addr));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_found_also_where_hashes_are_equal_or_last() {
        let mut index = Index::default();
        assert_eq!(index.find(Stored(7), |_| true), None);
        // Homes at the very end wrap around; each hash has three records.
        let hash =
            |n: u32| Stored(if n.is_multiple_of(2) { u32::MAX } else { n.wrapping_mul(0x9e37_79b9) } / 3);
        for n in 0..3000 {
            index.insert(hash(n / 3 * 3), Addr::from_bits(n));
        }
        assert_eq!((index.len(), index.iter().count()), (3000, 3000));
        for n in 0..3000 {
            let wanted = Addr::from_bits(n);
            let (at, found) = index.find(hash(n / 3 * 3), |addr| addr == wanted).expect("it was added");
            assert_eq!(found, wanted);
            index.replace(at, Addr::from_bits(n + 10_000));
        }
        index.move_all(|addr| Addr::from_bits(addr.to_bits() - 10_000));
        let mut all: Vec<u32> = index.iter().map(Addr::to_bits).collect();
        all.sort_unstable();
        assert_eq!(all, (0..3000).collect::<Vec<_>>());
        assert_eq!(index.find(Stored(5), |_| true), None);
    }
}
