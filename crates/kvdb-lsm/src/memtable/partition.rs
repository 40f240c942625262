//! One partition of a memtable: a hash index over an arena of records.
//!
//! Point operations cost a probe and a copy. A key that is overwritten keeps one record as long as
//! no view needs the old version (*collapse*): hot keys neither fill the memtable nor reach a
//! table. Order is made only when somebody asks for it, and kept until the partition is repacked.

use hashbrown::HashTable;

use super::arena::{Addr, Arena, Header};
use super::run::Run;
use crate::batch::Seq;
use crate::entry::{Found, KeyRange, key_hash};

/// Below this many bytes a repack is not worth its copy.
const REPACK_MIN: usize = 16 << 10;

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Half of the key's hash: saves the comparison on a wrong candidate, and the hashing when the
    /// table grows.
    hash: u32,
    /// The newest version.
    addr: Addr,
}

/// The half of a hash that is stored.
const fn stored(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The hash a slot is filed under; the table takes its tag from the top and its bucket from the
/// bottom.
const fn filed(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

/// Addresses of records in key order, one per key. A record that was replaced stays valid here,
/// because only its key is used.
#[derive(Debug, Default)]
struct Order {
    sorted: Vec<Addr>,
    /// Keys that came after the last sort.
    fresh: Vec<Addr>,
}

/// # Invariants
/// `index` has one slot per key, which leads to the newest version; `prev` leads to strictly older
/// versions of the same key. `dead` is the footprint of the records no slot leads to. If `order`
/// exists it names every key once.
#[derive(Debug, Default)]
pub(super) struct Partition {
    arena: Arena,
    index: HashTable<Slot>,
    dead: usize,
    order: Option<Order>,
}

impl Partition {
    /// The bytes allocated, for the memory accounting.
    pub(super) fn allocated(&self) -> usize {
        self.arena.capacity() + self.index.allocation_size()
    }

    /// The number of keys.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Adds a version. `newest_view` is the sequence of the newest live view, 0 if there is none:
    /// the version before is kept only if that view can see it.
    pub(super) fn insert(&mut self, hash: u64, key: &[u8], seq: Seq, value: Option<&[u8]>, newest_view: Seq) {
        let Self { arena, index, dead, order } = self;
        let hash = stored(hash);
        let same = |slot: &Slot| slot.hash == hash && arena.key(slot.addr) == key;
        let Some(slot) = index.find_mut(filed(hash), same) else {
            let addr = arena.push(key, seq, value, Addr::NONE);
            index.insert_unique(filed(hash), Slot { hash, addr }, |slot| filed(slot.hash));
            if let Some(order) = order {
                order.fresh.push(addr);
            }
            return;
        };
        let old = arena.header(slot.addr);
        if seq < old.seq {
            // Another thread appended later and got here first. A view can only be made when no
            // insert is under way, so none lies between the two.
            return;
        }
        if old.seq <= newest_view {
            slot.addr = arena.push(key, seq, value, slot.addr);
            return;
        }
        let prev = if newest_view == 0 {
            *dead += chain_footprint(arena, old.prev);
            Addr::NONE
        } else {
            old.prev
        };
        if value.map_or(0, <[u8]>::len) <= old.room as usize {
            arena.overwrite(slot.addr, &old, seq, value, prev);
        } else {
            *dead += old.footprint();
            slot.addr = arena.push(key, seq, value, prev);
        }
        if self.dead > REPACK_MIN && self.dead > self.arena.used() / 2 {
            self.repack(newest_view);
        }
    }

    /// The newest version of `key` with a sequence of at most `at`.
    pub(super) fn get(&self, hash: u64, key: &[u8], at: Seq) -> Option<Found> {
        let hash = stored(hash);
        let slot =
            self.index.find(filed(hash), |slot| slot.hash == hash && self.arena.key(slot.addr) == key)?;
        let (addr, header) = self.visible(slot.addr, at)?;
        Some(Found::from_value(self.arena.value(addr, &header)))
    }

    /// Follows a version chain to what `at` sees.
    fn visible(&self, mut addr: Addr, at: Seq) -> Option<(Addr, Header)> {
        while addr != Addr::NONE {
            let header = self.arena.header(addr);
            if header.seq <= at {
                return Some((addr, header));
            }
            addr = header.prev;
        }
        None
    }

    /// Appends to `run`, in key order, the versions of the keys in `range` that `at` sees, until
    /// the run is full. Returns whether the partition has no more.
    pub(super) fn fill(&mut self, range: &KeyRange, at: Seq, run: &mut Run) -> bool {
        let few = self.sort(range);
        let keys = match (&few, &self.order) {
            (Some(few), _) => few.as_slice(),
            (None, Some(order)) => {
                let from = order.sorted.partition_point(|&addr| range.is_before(self.arena.key(addr)));
                &order.sorted[from..]
            }
            (None, None) => &[],
        };
        for &addr in keys {
            let key = self.arena.key(addr);
            if range.is_after(key) {
                break;
            }
            if run.is_full() {
                return false;
            }
            let hash = stored(key_hash(key));
            let newest = self
                .index
                .find(filed(hash), |slot| slot.hash == hash && self.arena.key(slot.addr) == key)
                .expect("every ordered key is indexed");
            if let Some((addr, header)) = self.visible(newest.addr, at) {
                run.push(key, header.seq, self.arena.value(addr, &header));
            }
        }
        true
    }

    /// Makes an order that covers `range`: that of the whole partition, kept for the next scan, or
    /// (returned) that of the few keys in the range when no order exists and most keys are outside.
    fn sort(&mut self, range: &KeyRange) -> Option<Vec<Addr>> {
        let arena = &self.arena;
        if let Some(order) = &mut self.order {
            if !order.fresh.is_empty() {
                order.fresh.sort_unstable_by(|&a, &b| arena.key(a).cmp(arena.key(b)));
                order.sorted.append(&mut order.fresh);
                // Two sorted stretches: the stable sort merges them.
                order.sorted.sort_by(|&a, &b| arena.key(a).cmp(arena.key(b)));
            }
            return None;
        }
        let mut inside: Vec<Addr> = self
            .index
            .iter()
            .map(|slot| slot.addr)
            .filter(|&addr| {
                let key = arena.key(addr);
                !range.is_before(key) && !range.is_after(key)
            })
            .collect();
        let few = inside.len() < self.index.len() / 4;
        if !few {
            inside.clear();
            inside.extend(self.index.iter().map(|slot| slot.addr));
        }
        inside.sort_unstable_by(|&a, &b| arena.key(a).cmp(arena.key(b)));
        if few {
            return Some(inside);
        }
        self.order = Some(Order { sorted: inside, fresh: Vec::new() });
        None
    }

    /// Copies what is alive into a new arena. Without a view only the newest versions are.
    fn repack(&mut self, newest_view: Seq) {
        let old = std::mem::take(&mut self.arena);
        let mut chain = Vec::new();
        for slot in &mut self.index {
            chain.clear();
            let mut addr = slot.addr;
            while addr != Addr::NONE {
                let header = old.header(addr);
                chain.push((addr, header));
                if newest_view == 0 {
                    break;
                }
                addr = header.prev;
            }
            let mut prev = Addr::NONE;
            for (addr, header) in chain.iter().rev() {
                let value = old.value(*addr, header);
                prev = self.arena.push(old.key(*addr), header.seq, value, prev);
            }
            slot.addr = prev;
        }
        self.dead = 0;
        self.order = None;
    }
}

/// The footprint of a version and of all older ones behind it.
fn chain_footprint(arena: &Arena, mut addr: Addr) -> usize {
    let mut bytes = 0;
    while addr != Addr::NONE {
        let header = arena.header(addr);
        bytes += header.footprint();
        addr = header.prev;
    }
    bytes
}
