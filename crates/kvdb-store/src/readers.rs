//! Readers: which clients keep what they have read of which keys (client-side caching, CLIENT TRACKING).
//!
//! A client that keeps what it reads is noted in the shard of every key that it reads, under the latches under which it
//! read, so that no change can slip by. A run that changes such a key takes the readers out and tells them once
//! ([`News::Stale`]); who reads again is noted again. Where it is the run itself that has read a key and then changed it,
//! its client is told at once. As in Redis keys are meant by their names, in whatever database.
//!
//! There is a limit to the keys that are remembered. Above it, keys are taken out at random and their readers told as if
//! the keys had been changed. Clients that are gone are not looked for: their numbers stay until the key is changed.

use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;

use crate::key::{Place, SHARDS};
use crate::news::{News, Readers, Told};
use crate::read::ReadCx;
use crate::store::Store;
use crate::usage::scatter;
use crate::write::WriteCx;

/// Keys that are taken out at the end of one run, so that it does not take long where the limit was lowered.
const FORGOTTEN_AT_ONCE: usize = 1000;
/// A table that is emptier than one part in this many gives memory back.
const SPARSE: usize = 8;
/// Room that a table keeps.
const KEPT_ROOM: usize = 64;

/// The keys that are remembered, over all shards.
#[derive(Debug, Default)]
pub(crate) struct ReaderCounts {
    keys: AtomicUsize,
    readers: AtomicUsize,
    /// The most keys; 0 for no limit.
    limit: AtomicUsize,
}

impl ReaderCounts {
    fn gone(&self, known: &Known) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.readers.fetch_sub(known.readers.len(), Ordering::Relaxed);
    }

    fn are_too_many(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        limit != 0 && self.keys.load(Ordering::Relaxed) > limit
    }
}

#[derive(Debug)]
struct Known {
    place: Place,
    key: Box<[u8]>,
    /// In order.
    readers: Readers,
}

/// The readers of a shard's keys.
///
/// # Invariants
///
/// * Each key is there at most once, and has a reader.
#[derive(Debug, Default)]
pub(crate) struct ShardReaders(HashTable<Known>);

/// A place as a hash: its own 48 bits are spread, since a table looks at the upper bits too.
fn hash(place: Place) -> u64 {
    place.position().wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl ShardReaders {
    /// Whether no key has a reader.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes that a client has read a key.
    pub(crate) fn add(&mut self, place: Place, key: &[u8], client: u64, counts: &ReaderCounts) {
        let hash_of = |known: &Known| hash(known.place);
        let is_it = |known: &Known| known.place == place && *known.key == *key;
        let mut entry = self.0.entry(hash(place), is_it, hash_of).or_insert_with(|| {
            counts.keys.fetch_add(1, Ordering::Relaxed);
            Known { place, key: key.into(), readers: Readers::new() }
        });
        let readers = &mut entry.get_mut().readers;
        if let Err(at) = readers.binary_search(&client) {
            readers.insert(at, client);
            counts.readers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes the readers out of what was changed at a place. Two keys of one place are not told apart.
    #[cold]
    pub(crate) fn take(&mut self, place: Place, told: &mut Vec<Told>, counts: &ReaderCounts) {
        while let Ok(entry) = self.0.find_entry(hash(place), |known| known.place == place) {
            let known = entry.remove().0;
            counts.gone(&known);
            told.push(Told::Stale(known.key, known.readers));
        }
        self.give_back();
    }

    /// Takes a key out at random.
    fn draw(&mut self, random: u64, counts: &ReaderCounts) -> Option<Known> {
        let buckets = self.0.num_buckets();
        let from = (random % (buckets as u64).max(1)) as usize;
        let at = (from..buckets).chain(0..from).find(|&at| self.0.get_bucket(at).is_some())?;
        let known = self.0.get_bucket_entry(at).ok()?.remove().0;
        counts.gone(&known);
        self.give_back();
        Some(known)
    }

    /// Forgets all readers.
    pub(crate) fn clear(&mut self, counts: &ReaderCounts) {
        self.0.drain().for_each(|known| counts.gone(&known));
        self.give_back();
    }

    fn give_back(&mut self) {
        if self.0.capacity() > KEPT_ROOM && self.0.len() < self.0.capacity() / SPARSE {
            self.0.shrink_to(2 * self.0.len(), |known| hash(known.place));
        }
    }
}

impl ReadCx<'_> {
    /// Notes that the client of the run has read a key and keeps what it read; counts when the run ends.
    pub fn note_read(&mut self, key: &[u8]) {
        let place = self.env.place(self.store, key);
        self.scratch.told.push(Told::Read(place, key.into(), self.scratch.changed.len()));
    }
}

impl WriteCx<'_> {
    /// As [`ReadCx::note_read`]. What the run changes afterwards is told the client, too.
    pub fn note_read(&mut self, key: &[u8]) {
        let place = self.env.place(self.store, key);
        self.scratch.told.push(Told::Read(place, key.into(), self.scratch.changed.len()));
    }
}

impl Store {
    /// How many keys are remembered for their readers, and how many readers they have together.
    pub fn remembered(&self) -> (usize, usize) {
        let counts = &self.readers;
        (counts.keys.load(Ordering::Relaxed), counts.readers.load(Ordering::Relaxed))
    }

    /// Limits the keys that are remembered for their readers (`tracking-table-max-keys`); 0 for no limit. Some that are too
    /// many are forgotten at once, the others as clients read on. Takes latches.
    pub fn set_remembered_limit(&self, keys: usize) {
        self.readers.limit.store(keys, Ordering::Relaxed);
        self.forget_readers(keys as u64);
        self.news.deliver();
    }

    /// Takes keys out at random while more are remembered than may be. Takes latches; the news are to be delivered.
    pub(crate) fn forget_readers(&self, random: u64) {
        for round in 0..FORGOTTEN_AT_ONCE as u64 {
            if !self.readers.are_too_many() {
                return;
            }
            let random = scatter(random, round);
            let from = random as usize % SHARDS;
            for index in (from..SHARDS).chain(0..from) {
                let mut shard = self.shard(index);
                if let Some(known) = shard.readers.draw(random >> 8, &self.readers) {
                    self.news.add([News::Stale { key: known.key, readers: known.readers, by: 0 }]);
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(hash: u64) -> Place {
        Place { slot: 7, hash }
    }

    fn told(told: &[Told]) -> Vec<(&[u8], &[u64])> {
        fn stale(told: &Told) -> (&[u8], &[u64]) {
            match told {
                Told::Stale(key, readers) => (key, readers),
                other => panic!("{other:?}"),
            }
        }
        told.iter().map(stale).collect()
    }

    fn counted(counts: &ReaderCounts) -> (usize, usize) {
        (counts.keys.load(Ordering::Relaxed), counts.readers.load(Ordering::Relaxed))
    }

    #[test]
    fn readers_are_told_once_and_in_order() {
        let (mut readers, counts, mut news) = (ShardReaders::default(), ReaderCounts::default(), Vec::new());
        for (hash, key, client) in [(1, b"a", 9), (1, b"a", 3), (1, b"a", 9), (1, b"b", 5), (2, b"c", 1)] {
            readers.add(place(hash), key, client, &counts);
        }
        assert_eq!(counted(&counts), (3, 4));
        readers.take(place(1), &mut news, &counts);
        let mut told = told(&news);
        told.sort_unstable();
        assert_eq!(told, [(&b"a"[..], &[3, 9][..]), (b"b", &[5])], "keys of one place are not told apart");
        assert_eq!(counted(&counts), (1, 1));
        news.clear();
        readers.take(place(1), &mut news, &counts);
        assert!(news.is_empty(), "they have been told");
        readers.clear(&counts);
        assert!(readers.is_empty() && counted(&counts) == (0, 0));
    }

    #[test]
    fn a_key_is_drawn_from_a_table_however_sparse() {
        let (mut readers, counts) = (ShardReaders::default(), ReaderCounts::default());
        for hash in 0..10_000u64 {
            readers.add(place(hash << 20), &hash.to_le_bytes(), hash, &counts);
        }
        for left in (0..10_000).rev() {
            assert!(readers.draw(scatter(1, left), &counts).is_some());
            assert_eq!(counted(&counts), (left as usize, left as usize));
            assert!(readers.0.capacity() <= KEPT_ROOM.max(SPARSE * (readers.0.len() + 1) * 2));
        }
        assert!(readers.draw(1, &counts).is_none());
    }
}
