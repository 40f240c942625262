//! One partition of a memtable: a hash index over an arena of records.
//!
//! Writes wait in a short line ([`Tail`]) and are filed together, so that they wait for memory
//! together. Point reads cost a look at the line and a probe. A key that is overwritten keeps one record as long as
//! no view needs the old version (*collapse*): hot keys neither fill the memtable nor reach a
//! table. Order is made only when somebody asks for it, and kept until the partition is repacked.

use std::hint::black_box;

use super::arena::{Addr, Arena, Header};
use super::index::{Index, Stored};
use super::order::{Order, Sorted, Walk};
use super::run::Run;
use super::tail::Tail;
use crate::batch::Seq;
use crate::entry::{Bounds, Direction, common_prefix, key_hash};
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Below this many bytes a repack is not worth its copy.
const REPACK_MIN: usize = 16 << 10;
/// How many records ahead a walk asks for: they lie in the order in which they were written.
const AHEAD: usize = 8;
/// After so many scans that sorted only their range, one sorts everything: it pays for the next ones.
const PARTS: usize = 4;
/// Keys that are looked at to find out what all of them begin with.
const SAMPLES: usize = 64;

/// # Invariants
/// Every write is in `tail` or filed. Of what is filed, `index` has one slot per key, which leads to
/// the newest version; `prev` leads to strictly older versions of the same key. `dead` is the
/// footprint of the records no slot leads to. If `order` exists it names every filed key once.
/// `changes` rises with every change of the keys, their records or `order`: with whatever makes an
/// order outdated that a scan is making.
#[derive(Debug)]
pub(super) struct Partition {
    tail: Tail,
    arena: Arena,
    index: Index,
    dead: usize,
    order: Option<Order>,
    changes: u64,
    /// How often a part was sorted for a scan, and forgotten.
    parts: AtomicUsize,
}

/// An order that a scan made, for the scans to come.
#[derive(Debug)]
pub(super) struct Made {
    order: Ordered,
    /// The partition's `changes` it belongs to.
    at: u64,
}

#[derive(Debug)]
enum Ordered {
    /// Of all keys, from nothing.
    Anew(Vec<Addr>),
    /// Further runs for the order that is there.
    Further(Sorted),
}

impl Partition {
    /// One of so many.
    pub(super) fn of(partitions: usize) -> Self {
        Self {
            tail: Tail::of(partitions),
            arena: Arena::default(),
            index: Index::default(),
            dead: 0,
            order: None,
            changes: 0,
            parts: AtomicUsize::new(0),
        }
    }

    /// The bytes allocated for what is filed, for the memory accounting. What is lined up is little,
    /// and not counted so that lining up looks at nothing else.
    pub(super) fn allocated(&self) -> usize {
        let order = self.order.as_ref().map_or(0, Order::allocated);
        self.arena.capacity() + self.index.allocated() + order
    }

    /// The number of keys filed.
    pub(super) const fn len(&self) -> usize {
        self.index.len()
    }

    /// Adds a version to those that are to be filed; returns whether it is time to file them.
    /// `newest_view` is the newest live view, 0 for none: what it sees is kept.
    #[inline]
    pub(super) fn line_up(
        &mut self,
        hash: u64,
        key: &[u8],
        seq: Seq,
        value: Option<&[u8]>,
        newest_view: Seq,
    ) -> bool {
        self.tail.push(Stored::of(hash), key, seq, value, newest_view)
    }

    /// Whether every write is filed.
    pub(super) const fn is_filed(&self) -> bool {
        self.tail.is_empty()
    }

    /// Files the writes that are lined up. A version that is not the newest any more is kept if a
    /// view can see it that lies before one of the writes.
    pub(super) fn file_all(&mut self) {
        let tail = std::mem::replace(&mut self.tail, Tail::of(1));
        let newest_view = tail.newest_view();
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
                order.push(addr);
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
    ) -> (bool, Option<Made>) {
        let made = |order| Some(Made { order, at: self.changes });
        if let Some(order) = &self.order {
            let sorted = order.sort(&self.arena, range == Bounds::ALL);
            let walk = order.walk(sorted.as_ref(), &self.arena, range, direction);
            let done = self.copy(walk, range, direction, at, run);
            return (done, sorted.and_then(|sorted| made(Ordered::Further(sorted))));
        }
        let (keys, whole) = self.sort(range);
        let walk = Walk::over(&keys, &self.arena, range, direction);
        let done = self.copy(walk, range, direction, at, run);
        (done, if whole { made(Ordered::Anew(keys)) } else { None })
    }

    /// Keeps an order made by [`Partition::fill`], unless it is outdated by now.
    pub(super) fn keep(&mut self, made: Made) {
        if made.at != self.changes {
            return;
        }
        // What other scans are making goes with the order before this one.
        self.changes += 1;
        match (made.order, &mut self.order) {
            (Ordered::Anew(keys), order) => *order = Some(Order::new(keys)),
            (Ordered::Further(sorted), Some(order)) => order.keep(sorted),
            (Ordered::Further(_), None) => {}
        }
    }

    /// Copies what `at` sees of a walk into `run`, until the range is over; returns false if the run
    /// was full before.
    fn copy(
        &self,
        mut walk: Walk<'_>,
        range: Bounds<'_>,
        direction: Direction,
        at: Seq,
        run: &mut Run,
    ) -> bool {
        while let Some(addr) = walk.next() {
            if let Some(ahead) = walk.peek(AHEAD) {
                black_box(self.arena.peek(ahead));
            }
            let key = self.arena.key(addr);
            let is_over = match direction {
                Direction::Forward => range.is_after(key),
                Direction::Backward => range.is_before(key),
            };
            if is_over {
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

    /// The keys in order: of the whole partition (then `true`), or of the few in the range when most
    /// are outside. Where scans of small ranges come again and again, the whole is worth its while.
    fn sort(&self, range: Bounds<'_>) -> (Vec<Addr>, bool) {
        let by_key = |a: &Addr, b: &Addr| self.arena.key(*a).cmp(self.arena.key(*b));
        let inside = |addr: &Addr| {
            let key = self.arena.key(*addr);
            !range.is_before(key) && !range.is_after(key)
        };
        let mut whole = range == Bounds::ALL || self.parts.load(Ordering::Relaxed) >= PARTS;
        let mut keys: Vec<Addr> = if whole { Vec::new() } else { self.index.iter().filter(inside).collect() };
        whole |= keys.len() >= self.index.len() / 4;
        if whole {
            keys = Vec::with_capacity(self.index.len());
            keys.extend(self.index.iter());
            self.parts.store(0, Ordering::Relaxed);
        } else {
            self.parts.fetch_add(1, Ordering::Relaxed);
        }
        // Most pairs of keys differ in the first bytes behind what all have in common, and those are
        // compared without looking for the keys.
        let mut prefixed = self.prefixed(&keys);
        prefixed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| by_key(&a.1, &b.1)));
        keys.clear();
        keys.extend(prefixed.into_iter().map(|(_, addr)| addr));
        (keys, whole)
    }

    /// Keys with their first bytes behind what they have in common, as numbers that sort as the keys do.
    fn prefixed(&self, keys: &[Addr]) -> Vec<(u64, Addr)> {
        // What a few keys share, probably all do.
        let step = (keys.len() / SAMPLES).max(1);
        let mut samples = keys.iter().step_by(step).map(|&addr| self.arena.key(addr));
        let first = samples.next().unwrap_or_default();
        let shared = &first[..samples.fold(first.len(), |len, key| len.min(common_prefix(first, key)))];
        let behind = |shared: &[u8]| {
            let mut prefixed = Vec::with_capacity(keys.len());
            for &addr in keys {
                prefixed.push((prefix(self.arena.key(addr).strip_prefix(shared)?), addr));
            }
            Some(prefixed)
        };
        behind(shared).or_else(|| behind(&[])).expect("every key begins with nothing")
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

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;
    use crate::entry::NEWEST;

    /// Keys that do not come in order.
    fn key(n: u32) -> [u8; 4] {
        n.wrapping_mul(0x9e37_79b9).to_be_bytes()
    }

    fn file(partition: &mut Partition, keys: std::ops::Range<u32>) {
        for n in keys {
            let key = key(n);
            partition.line_up(key_hash(&key), &key, u64::from(n) + 1, None, 0);
        }
        partition.file_all();
    }

    /// The order that a scan of a range makes.
    fn scan(partition: &Partition, range: Bounds<'_>) -> Made {
        let (_, made) = partition.fill(range, Direction::Forward, NEWEST, &mut Run::default());
        made.expect("there was something to sort")
    }

    #[test]
    fn of_two_orders_made_at_once_one_is_kept() {
        let from = key(0);
        let behind = Bounds { lower: Bound::Included(&from), ..Bounds::ALL };
        for ranges in [[Bounds::ALL, behind], [behind, Bounds::ALL]] {
            let mut partition = Partition::of(1);
            file(&mut partition, 0..64);
            let order = scan(&partition, Bounds::ALL);
            partition.keep(order);
            file(&mut partition, 64..80);
            // One makes a single run of all keys, the other a second run of the few that came.
            for made in ranges.map(|range| scan(&partition, range)) {
                partition.keep(made);
            }
            let order = partition.order.as_ref().expect("an order was kept");
            let walk = order.walk(None, &partition.arena, Bounds::ALL, Direction::Forward);
            let keys: Vec<&[u8]> = walk.map(|addr| partition.arena.key(addr)).collect();
            assert_eq!(keys.len(), 80);
            assert!(keys.is_sorted_by(|a, b| a < b), "a key comes twice or out of order");
        }
    }
}
