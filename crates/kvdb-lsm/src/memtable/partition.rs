//! One partition of a memtable: a hash index over an arena of records.
//!
//! Writes wait in a short line ([`Tail`]) and are filed together, so that they wait for memory
//! together. Point reads cost a look at the line and a probe. A key that is overwritten keeps one record as long as
//! no view needs the old version (*collapse*): hot keys neither fill the memtable nor reach a
//! table. Order is made only when somebody asks for it, and kept until the partition is repacked.

use std::hint::black_box;

use super::arena::{Addr, Arena, Header};
use super::index::{Index, Stored};
use super::run::Run;
use super::tail::Tail;
use crate::batch::Seq;
use crate::entry::{Bounds, Direction, key_hash};

/// Below this many bytes a repack is not worth its copy.
const REPACK_MIN: usize = 16 << 10;
/// How many records ahead a walk asks for: they lie in the order in which they were written.
const AHEAD: usize = 8;

/// Addresses of records in key order, one per key. A record that was replaced stays valid here,
/// because only its key is used.
#[derive(Debug, Default)]
struct Order {
    sorted: Vec<Addr>,
    /// Keys that came after the last sort.
    fresh: Vec<Addr>,
}

/// # Invariants
/// Every write is in `tail` or filed. Of what is filed, `index` has one slot per key, which leads to
/// the newest version; `prev` leads to strictly older versions of the same key. `dead` is the
/// footprint of the records no slot leads to. If `order` exists it names every filed key once.
/// `changes` rises whenever a new order would differ.
#[derive(Debug, Default)]
pub(super) struct Partition {
    tail: Tail,
    arena: Arena,
    index: Index,
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
    /// The bytes allocated for what is filed, for the memory accounting. What is lined up is little,
    /// and not counted so that lining up looks at nothing else.
    pub(super) fn allocated(&self) -> usize {
        let order = self.order.as_ref().map_or(0, |order| order.sorted.capacity() + order.fresh.capacity());
        self.arena.capacity() + self.index.allocated() + order * size_of::<Addr>()
    }

    /// The number of keys filed.
    pub(super) const fn len(&self) -> usize {
        self.index.len()
    }

    /// Adds a version to those that are to be filed; returns whether it is time to file them.
    #[inline]
    pub(super) fn line_up(&mut self, hash: u64, key: &[u8], seq: Seq, value: Option<&[u8]>) -> bool {
        self.tail.push(Stored::of(hash), key, seq, value)
    }

    /// Whether every write is filed.
    pub(super) const fn is_filed(&self) -> bool {
        self.tail.is_empty()
    }

    /// Files the writes that are lined up. A version that is not the newest any more is kept if
    /// `newest_view`, 0 for none, can see it: it may be larger than that of any live view.
    pub(super) fn file_all(&mut self, newest_view: Seq) {
        let tail = std::mem::take(&mut self.tail);
        self.fetch(&tail);
        for write in tail.writes() {
            self.file(write.hash, tail.key(write), write.seq, tail.value(write), newest_view);
        }
        self.tail = tail;
        self.tail.clear();
        if self.dead > REPACK_MIN && self.dead > self.arena.used() / 2 {
            self.repack(newest_view);
        }
    }

    /// Reads the slots and then the records that filing will need. No read depends on another one of
    /// its round, so the processor waits for all of them together.
    fn fetch(&self, tail: &Tail) {
        let slots = tail.writes().iter().fold(0, |all, write| all ^ self.index.peek(write.hash));
        black_box(slots);
        let record = |hash| self.index.find(hash, |_| true).map_or(0, |(_, addr)| self.arena.peek(addr));
        black_box(tail.writes().iter().fold(0, |all, write| all ^ record(write.hash)));
    }

    fn file(&mut self, hash: Stored, key: &[u8], seq: Seq, value: Option<&[u8]>, newest_view: Seq) {
        let Self { arena, index, dead, order, changes, .. } = self;
        let Some((at, newest)) = index.find(hash, |addr| arena.key(addr) == key) else {
            let addr = arena.push(key, seq, value, Addr::NONE);
            index.insert(hash, addr);
            *changes += 1;
            if let Some(order) = order {
                order.fresh.push(addr);
            }
            return;
        };
        let old = arena.header(newest);
        if seq < old.seq {
            // Another thread appended later and got here first. A view can only be made when no
            // insert is under way, so none lies between the two.
            return;
        }
        if old.seq <= newest_view {
            index.replace(at, arena.push(key, seq, value, newest));
            return;
        }
        let prev = if newest_view == 0 {
            *dead += chain_footprint(arena, old.prev);
            Addr::NONE
        } else {
            old.prev
        };
        if value.map_or(0, <[u8]>::len) <= old.room as usize {
            arena.overwrite(newest, &old, seq, value, prev);
        } else {
            *dead += old.footprint();
            index.replace(at, arena.push(key, seq, value, prev));
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
        let hash = Stored::of(hash);
        let filed = self.index.find(hash, |addr| self.arena.key(addr) == key);
        let filed = filed.and_then(|(_, newest)| self.visible(newest, at));
        let value = match (self.tail.find(hash, key, at), filed) {
            (Some(write), filed) if filed.is_none_or(|(_, header)| header.seq < write.seq) => {
                self.tail.value(write)
            }
            (_, filed) => filed.map(|(addr, header)| self.arena.value(addr, &header))?,
        };
        Some(take(value))
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
        keys: impl Iterator<Item = &'a Addr> + Clone,
        is_over: impl Fn(&[u8]) -> bool,
        at: Seq,
        run: &mut Run,
    ) -> bool {
        let mut ahead = keys.clone().skip(AHEAD);
        for &addr in keys {
            if let Some(&ahead) = ahead.next() {
                black_box(self.arena.peek(ahead));
            }
            let key = self.arena.key(addr);
            if is_over(key) {
                break;
            }
            if run.is_full() {
                return false;
            }
            let hash = Stored::of(key_hash(key));
            let (_, newest) = self
                .index
                .find(hash, |addr| self.arena.key(addr) == key)
                .expect("every ordered key is indexed");
            if let Some((addr, header)) = self.visible(newest, at) {
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
        let mut keys: Vec<Addr> = self.index.iter().filter(inside).collect();
        let whole = keys.len() >= self.index.len() / 4;
        if whole {
            keys.clear();
            keys.extend(self.index.iter());
        }
        // Most pairs of keys differ in their first bytes, and those are compared without looking for
        // the keys.
        let mut prefixed: Vec<(u64, Addr)> =
            keys.iter().map(|&addr| (prefix(self.arena.key(addr)), addr)).collect();
        prefixed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| by_key(&a.1, &b.1)));
        keys.clear();
        keys.extend(prefixed.into_iter().map(|(_, addr)| addr));
        (keys, whole)
    }

    /// Copies what is alive into a new arena. Without a view only the newest versions are.
    fn repack(&mut self, newest_view: Seq) {
        let old = std::mem::take(&mut self.arena);
        let mut chain = Vec::new();
        let Self { arena, index, .. } = self;
        index.move_all(|newest| {
            chain.clear();
            let mut addr = newest;
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
                prev = arena.push(old.key(*addr), header.seq, value, prev);
            }
            prev
        });
        self.dead = 0;
        self.order = None;
        self.changes += 1;
    }
}

/// The first eight bytes of a key as a number that sorts as the keys do.
fn prefix(key: &[u8]) -> u64 {
    key.first_chunk().copied().map_or_else(
        || {
            let mut padded = [0; 8];
            padded[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(padded)
        },
        u64::from_be_bytes,
    )
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
