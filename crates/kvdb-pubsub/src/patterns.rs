//! Patterns, filed under what every name that they match begins with.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ClientId;
use crate::glob::{Case, literal_prefix, matches};
use crate::receivers::Receivers;
use crate::sharded::Sharded;
use crate::subscribers::Ticket;
use crate::topics::{Joined, Topics, shrink_if_sparse};

/// Bytes of a prefix that count: one bit of a word for each length, 0 included.
const LONGEST_PREFIX: usize = 63;

/// The patterns that share a literal prefix.
#[derive(Debug)]
struct Bucket {
    hash: u64,
    prefix: Box<[u8]>,
    patterns: Topics,
}

/// Patterns and who listens to them, under many locks.
///
/// # Invariants
/// * No bucket is empty, and the bit of its prefix' length is set in `lengths` as long as it exists.
/// * `len` is the number of patterns while no lock is held.
#[derive(Debug)]
pub(crate) struct Patterns {
    seed: u64,
    shards: Sharded<HashTable<Bucket>>,
    lengths: Lengths,
    len: AtomicUsize,
}

impl Patterns {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, shards: Sharded::default(), lengths: Lengths::default(), len: AtomicUsize::new(0) }
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.seed)
    }

    pub(crate) fn join(&self, pattern: &[u8], client: ClientId) -> Joined {
        let prefix = filed_under(pattern);
        // Before the pattern can be found, so that whoever publishes after this call looks for it.
        self.lengths.add(prefix.len());
        let hash = self.hash(prefix);
        let joined = {
            let mut buckets = self.shards.of(hash).write();
            let bucket = buckets.entry(hash, |bucket| *bucket.prefix == *prefix, |bucket| bucket.hash);
            let bucket =
                bucket.or_insert_with(|| Bucket { hash, prefix: prefix.into(), patterns: Topics::default() });
            let joined = bucket.into_mut().patterns.join(self.hash(pattern), pattern, client);
            if joined.is_first {
                self.len.fetch_add(1, Ordering::Release);
            }
            joined
        };
        if !joined.is_first {
            self.lengths.subtract(prefix.len());
        }
        joined
    }

    pub(crate) fn leave(&self, pattern: &[u8], ticket: Ticket) {
        let prefix = filed_under(pattern);
        let hash = self.hash(prefix);
        let is_last = {
            let mut buckets = self.shards.of(hash).write();
            let bucket = buckets.entry(hash, |bucket| *bucket.prefix == *prefix, |bucket| bucket.hash);
            let Entry::Occupied(mut bucket) = bucket else { return };
            let is_last = bucket.get_mut().patterns.leave(self.hash(pattern), pattern, ticket);
            if is_last {
                self.len.fetch_sub(1, Ordering::Release);
            }
            if bucket.get().patterns.is_empty() {
                bucket.remove();
                shrink_if_sparse(&mut buckets, |bucket| bucket.hash);
            }
            is_last
        };
        if is_last {
            self.lengths.subtract(prefix.len());
        }
    }

    /// Shows every pattern with each client that listens to it.
    pub(crate) fn each(&self, mut visit: impl FnMut(&[u8], ClientId)) {
        for shard in self.shards.iter() {
            for topic in shard.read().iter().flat_map(|bucket| bucket.patterns.iter()) {
                topic.subscribers.iter().for_each(|client| visit(&topic.name, client));
            }
        }
    }

    /// The number of patterns that somebody listens to.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Appends those who listen to a pattern that matches the channel.
    pub(crate) fn collect(&self, channel: &[u8], receivers: &mut Receivers) {
        for length in self.lengths.up_to(channel.len()) {
            let prefix = &channel[..length];
            let hash = self.hash(prefix);
            let buckets = self.shards.of(hash).read();
            let Some(bucket) = buckets.find(hash, |bucket| *bucket.prefix == *prefix) else { continue };
            for topic in bucket.patterns.iter().filter(|topic| matches(&topic.name, channel, Case::Sensitive))
            {
                receivers.add_pattern(&topic.name, topic.subscribers.iter());
            }
        }
    }
}

fn filed_under(pattern: &[u8]) -> &[u8] {
    let prefix = literal_prefix(pattern);
    &prefix[..prefix.len().min(LONGEST_PREFIX)]
}

/// The lengths that prefixes have.
///
/// # Invariants
/// * While `counts` is not locked, the bits of `used` are those whose count is not zero.
#[derive(Debug)]
struct Lengths {
    used: AtomicU64,
    counts: Mutex<[usize; LONGEST_PREFIX + 1]>,
}

impl Default for Lengths {
    fn default() -> Self {
        Self { used: AtomicU64::new(0), counts: Mutex::new([0; LONGEST_PREFIX + 1]) }
    }
}

impl Lengths {
    fn add(&self, length: usize) {
        let mut counts = self.counts.lock();
        counts[length] += 1;
        if counts[length] == 1 {
            self.used.fetch_or(1 << length, Ordering::Release);
        }
    }

    fn subtract(&self, length: usize) {
        let mut counts = self.counts.lock();
        counts[length] -= 1;
        if counts[length] == 0 {
            self.used.fetch_and(!(1 << length), Ordering::Release);
        }
    }

    /// The lengths in use, those up to `longest`, ascending.
    fn up_to(&self, longest: usize) -> impl Iterator<Item = usize> {
        let used = self.used.load(Ordering::Acquire);
        let mut left = if longest >= LONGEST_PREFIX { used } else { used & ((1 << (longest + 1)) - 1) };
        std::iter::from_fn(move || {
            let length = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some(length as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_listed_while_they_are_in_use() {
        let lengths = Lengths::default();
        let listed = |longest| lengths.up_to(longest).collect::<Vec<_>>();
        assert_eq!(listed(1000), [0; 0]);
        for length in [0, 5, 5, 63] {
            lengths.add(length);
        }
        assert_eq!(
            (listed(1000), listed(62), listed(5), listed(4)),
            (vec![0, 5, 63], vec![0, 5], vec![0, 5], vec![0])
        );
        lengths.subtract(5);
        assert_eq!(listed(5), [0, 5]);
        lengths.subtract(5);
        lengths.subtract(0);
        assert_eq!(listed(63), [63]);
    }

    #[test]
    fn patterns_are_filed_under_at_most_63_bytes() {
        let long = [&[b'a'; 100][..], b"*"].concat();
        assert_eq!(filed_under(&long), [b'a'; 63]);
        assert_eq!(filed_under(b"news.*"), b"news.");
        assert_eq!(filed_under(b"news"), b"news");
        assert_eq!(filed_under(br"ne\ws"), b"ne");
        assert_eq!(filed_under(b"*"), b"");
    }

    #[test]
    fn patterns_leave_nothing_behind() {
        let patterns = Patterns::new(1);
        let tickets = [(b"a*", 1), (b"a*", 2), (b"ab", 3)]
            .map(|(name, client)| (name, patterns.join(name, client).ticket));
        assert_eq!(patterns.len(), 2);
        for (name, ticket) in tickets {
            patterns.leave(name, ticket);
        }
        assert_eq!((patterns.len(), patterns.lengths.used.load(Ordering::Relaxed)), (0, 0));
        assert!(patterns.shards.iter().all(|buckets| buckets.read().is_empty()));
    }
}
