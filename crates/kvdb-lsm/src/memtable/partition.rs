//! One partition of a memtable: a hash index over an arena of records.
//!
//! Point operations cost a probe and a copy. A key that is overwritten keeps one record as long as
//! no view needs the old version (*collapse*): hot keys neither fill the memtable nor reach a
//! table. Order is made only when somebody asks for it, and kept until the partition is repacked.

use hashbrown::HashTable;

use super::arena::{Addr, Arena, Header};
use super::run::Run;
use crate::batch::Seq;
use crate::entry::{Bounds, Direction, key_hash};

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
/// exists it names every key once. `changes` rises whenever a new order would differ.
#[derive(Debug, Default)]
pub(super) struct Partition {
    arena: Arena,
    index: HashTable<Slot>,
    dead: usize,
    order: Option<Order>,
    changes: u64,
}

/// An order that a scan made, for the scans to come.
#[derive(Debug)]
pub(super) struct Sorted {
    keys: Vec<Addr>,
    /// The partition's `changes` it belongs to.
    at: u64,
}

impl Partition {
    /// The bytes allocated, for the memory accounting.
    pub(super) fn allocated(&self) -> usize {
        let order = self.order.as_ref().map_or(0, |order| order.sorted.capacity() + order.fresh.capacity());
        self.arena.capacity() + self.index.allocation_size() + order * size_of::<Addr>()
    }

    /// The number of keys.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Adds a version. `newest_view` is the sequence of the newest live view, 0 if there is none:
    /// the version before is kept only if that view can see it.
    pub(super) fn insert(&mut self, hash: u64, key: &[u8], seq: Seq, value: Option<&[u8]>, newest_view: Seq) {
        let Self { arena, index, dead, order, changes } = self;
        let hash = stored(hash);
        let same = |slot: &Slot| slot.hash == hash && arena.key(slot.addr) == key;
        let Some(slot) = index.find_mut(filed(hash), same) else {
            let addr = arena.push(key, seq, value, Addr::NONE);
            index.insert_unique(filed(hash), Slot { hash, addr }, |slot| filed(slot.hash));
            *changes += 1;
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

    /// Hands the newest version of `key` with a sequence of at most `at` to `take`, if there is one.
    pub(super) fn get_with<R>(
        &self,
        hash: u64,
        key: &[u8],
        at: Seq,
        take: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Option<R> {
        let hash = stored(hash);
        let slot =
            self.index.find(filed(hash), |slot| slot.hash == hash && self.arena.key(slot.addr) == key)?;
        let (addr, header) = self.visible(slot.addr, at)?;
        Some(take(self.arena.value(addr, &header)))
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

    /// Appends to `run` the versions of the keys in `range` that `at` sees, from the end where a
    /// walk in this direction begins, until the run is full. Returns whether the partition has no
    /// more, and the order of the partition if one had to be made: [`Partition::keep`] spares the
    /// next scan the work. Sorting takes a while, so it is done with shared access.
    pub(super) fn fill(
        &self,
        range: Bounds<'_>,
        direction: Direction,
        at: Seq,
        run: &mut Run,
    ) -> (bool, Option<Sorted>) {
        let kept = self.order.as_ref().filter(|order| order.fresh.is_empty());
        let made = if kept.is_some() { None } else { Some(self.sort(range)) };
        let all = match (kept, &made) {
            (Some(order), _) => order.sorted.as_slice(),
            (None, Some((keys, _))) => keys,
            (None, None) => &[],
        };
        let done = match direction {
            Direction::Forward => {
                let from = all.partition_point(|&addr| range.is_before(self.arena.key(addr)));
                self.copy(all[from..].iter(), |key| range.is_after(key), at, run)
            }
            Direction::Backward => {
                let to = all.partition_point(|&addr| !range.is_after(self.arena.key(addr)));
                self.copy(all[..to].iter().rev(), |key| range.is_before(key), at, run)
            }
        };
        let whole = made.filter(|(_, whole)| *whole);
        (done, whole.map(|(keys, _)| Sorted { keys, at: self.changes }))
    }

    /// Keeps an order made by [`Partition::fill`], unless it is outdated by now.
    pub(super) fn keep(&mut self, sorted: Sorted) {
        if sorted.at == self.changes {
            self.order = Some(Order { sorted: sorted.keys, fresh: Vec::new() });
        }
    }

    /// Copies what `at` sees of `keys` into `run`, until the range is over; returns false if the run
    /// was full before.
    fn copy<'a>(
        &self,
        keys: impl Iterator<Item = &'a Addr>,
        is_over: impl Fn(&[u8]) -> bool,
        at: Seq,
        run: &mut Run,
    ) -> bool {
        for &addr in keys {
            let key = self.arena.key(addr);
            if is_over(key) {
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

    /// An order that covers `range`: that of the whole partition (then `true`), or that of the few
    /// keys in the range when most are outside and there is no earlier order to build on.
    fn sort(&self, range: Bounds<'_>) -> (Vec<Addr>, bool) {
        let by_key = |a: &Addr, b: &Addr| self.arena.key(*a).cmp(self.arena.key(*b));
        if let Some(order) = &self.order {
            let mut fresh = order.fresh.clone();
            fresh.sort_unstable_by(by_key);
            let mut keys = Vec::with_capacity(order.sorted.len() + fresh.len());
            keys.extend_from_slice(&order.sorted);
            keys.append(&mut fresh);
            // Two sorted stretches: the stable sort merges them.
            keys.sort_by(by_key);
            return (keys, true);
        }
        let inside = |addr: &Addr| {
            let key = self.arena.key(*addr);
            !range.is_before(key) && !range.is_after(key)
        };
        let all = || self.index.iter().map(|slot| slot.addr);
        let mut keys: Vec<Addr> = all().filter(inside).collect();
        let whole = keys.len() >= self.index.len() / 4;
        if whole {
            keys.clear();
            keys.extend(all());
        }
        keys.sort_unstable_by(by_key);
        (keys, whole)
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
        self.changes += 1;
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
