//! When keys die.
//!
//! Expiry has two halves. *Lazy* expiry is exact and needs no index: a reader compares the deadline on the entry with
//! `now` ([`is_dead`]). *Active* expiry gives the memory back: somebody has to come by and delete keys that nobody reads.
//! This crate chooses whom to visit; it never deletes anything itself, owns no thread and never asks for the time.
//!
//! # The index
//!
//! An [`ExpiryIndex`] maps coarse moments to *tokens*, opaque 64-bit numbers by which the owner finds a key again. A
//! moment far away is coarse (a token due in an hour sits in a bucket of about a minute), a near one is fine (a few
//! milliseconds). When a bucket comes due its tokens are handed out with [`ExpiryIndex::due`]; the owner looks each one
//! up and either deletes the key, because its deadline has passed, or schedules the token again, now in a finer bucket.
//! A token is thus touched about once for every factor of 32 in its remaining life, and scheduling costs a push on a
//! vector: no tree over a million deadlines, no second hash table.
//!
//! ```
//! use kvdb_ttl::ExpiryIndex;
//! let mut index = ExpiryIndex::new();
//! let (now, deadline) = (1_000, 61_000);
//! index.schedule(deadline, now, 7);
//! assert!(index.due(now).is_none());
//! // Whatever is handed out early is simply scheduled again: at its deadline it is handed out in time.
//! let mut clock = now;
//! let mut handed_out_at = None;
//! while handed_out_at.is_none() {
//!     clock += 1;
//!     while let Some(token) = index.due(clock) {
//!         if clock >= deadline { handed_out_at = Some(clock) } else { index.schedule(deadline, clock, token) }
//!     }
//! }
//! assert!(handed_out_at.unwrap() - deadline <= 64);
//! ```
//!
//! # What it does not do
//!
//! Tokens are hints. The index does not know whether a key still exists, changed its deadline or lost it: the entry is
//! the truth, and a stale token is discovered when it is handed out. The price is that a key which is deleted and made
//! again many times within its life leaves a token behind each time; [`ExpiryIndex::len`] lets the owner notice that and
//! call [`ExpiryIndex::retain`].

use std::collections::BTreeMap;

pub mod pace;

/// Milliseconds since the Unix epoch.
pub type UnixMillis = u64;

/// Whether a key with this deadline reads as absent at `now`: a key lives up to, and not at, its deadline.
#[inline]
pub fn is_dead(deadline: UnixMillis, now: UnixMillis) -> bool {
    deadline <= now
}

/// The finest bucket: active expiry need not be sharper, since reads are exact.
const FINEST_MS: u64 = 16;

/// Tokens by the moment at which they are to be looked at.
///
/// # Invariants
///
/// * `len` is the number of tokens in all buckets and in `current`.
/// * No bucket is empty.
/// * A token scheduled for `deadline` is never handed out more than [`ExpiryIndex::slack`] after it, if `due` is called
///   that often.
#[derive(Debug, Default)]
pub struct ExpiryIndex {
    /// Bucket start → tokens. A bucket is due when its start has come.
    buckets: BTreeMap<UnixMillis, Vec<u64>>,
    /// The bucket being handed out.
    current: Vec<u64>,
    len: usize,
}

impl ExpiryIndex {
    /// An empty index; allocates nothing.
    pub const fn new() -> Self {
        Self { buckets: BTreeMap::new(), current: Vec::new(), len: 0 }
    }

    /// The width in milliseconds of the bucket that holds something due `remaining_ms` from now.
    ///
    /// It is a power of two about one thirty-second of the remaining time, so a token far away moves through few buckets.
    fn width(remaining_ms: u64) -> u64 {
        let coarse = remaining_ms / 32;
        if coarse <= FINEST_MS { FINEST_MS } else { 1 << (63 - coarse.leading_zeros()) }
    }

    /// How late, in milliseconds, a token may be handed out after its deadline when `due` is polled continuously.
    pub const fn slack() -> u64 {
        FINEST_MS
    }

    /// Puts a token where it will be looked at before or just after `deadline`.
    pub fn schedule(&mut self, deadline: UnixMillis, now: UnixMillis, token: u64) {
        let remaining = deadline.saturating_sub(now);
        let width = Self::width(remaining);
        // A coarse bucket is visited at its start, before the deadline; the finest one at its end, just after it.
        let start = if width == FINEST_MS {
            (deadline.saturating_add(FINEST_MS - 1)) / FINEST_MS * FINEST_MS
        } else {
            deadline / width * width
        };
        self.buckets.entry(start).or_default().push(token);
        self.len += 1;
    }

    /// The next token whose bucket has come, or `None` when there is nothing to look at now.
    pub fn due(&mut self, now: UnixMillis) -> Option<u64> {
        loop {
            if let Some(token) = self.current.pop() {
                self.len -= 1;
                return Some(token);
            }
            let first = self.buckets.first_entry()?;
            if *first.key() > now {
                return None;
            }
            self.current = first.remove();
        }
    }

    /// When [`Self::due`] will next have something, if ever.
    pub fn next_due(&self) -> Option<UnixMillis> {
        if self.current.is_empty() { self.buckets.keys().next().copied() } else { Some(0) }
    }

    /// The number of tokens, and the milliseconds that their keys have left together, about: a bucket stands for its middle.
    pub fn left(&self, now: UnixMillis) -> (usize, u128) {
        let of_bucket = |(&start, tokens): (&UnixMillis, &Vec<u64>)| {
            let left = start.saturating_sub(now);
            let width = Self::width(left);
            let middle = if width == FINEST_MS { left } else { left + width / 2 };
            u128::from(middle) * tokens.len() as u128
        };
        (self.len, self.buckets.iter().map(of_bucket).sum())
    }

    /// Tokens from a random one on, to the last of the latest moment.
    pub fn near(&self, random: u64) -> impl Iterator<Item = u64> + '_ {
        let lists = self.buckets.len() + 1;
        let first = (random % lists as u64) as usize;
        let within = (random >> 32) as usize;
        let lists = std::iter::once(&self.current).chain(self.buckets.values()).skip(first);
        lists.enumerate().flat_map(move |(i, tokens)| {
            let from = if i == 0 { within % tokens.len().max(1) } else { 0 };
            tokens[from..].iter().copied()
        })
    }

    /// The number of tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Drops the tokens for which `keep` says no; used to forget those of keys that are gone.
    pub fn retain(&mut self, mut keep: impl FnMut(u64) -> bool) {
        self.buckets.retain(|_, tokens| {
            tokens.retain(|&t| keep(t));
            tokens.shrink_to_fit();
            !tokens.is_empty()
        });
        self.current.retain(|&t| keep(t));
        self.len = self.current.len() + self.buckets.values().map(Vec::len).sum::<usize>();
    }

    /// Forgets every token.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Bytes of memory held by the tokens.
    pub fn memory_bytes(&self) -> usize {
        self.buckets.values().map(|b| b.capacity() * 8 + 48).sum::<usize>() + self.current.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a clock over the index with an owner that knows the true deadlines; returns when each token was freed.
    fn run(deadlines: &[u64], step: u64) -> Vec<u64> {
        let mut index = ExpiryIndex::new();
        for (token, &deadline) in deadlines.iter().enumerate() {
            index.schedule(deadline, 0, token as u64);
        }
        let mut freed = vec![u64::MAX; deadlines.len()];
        let mut now = 0;
        let mut visits = 0;
        while !index.is_empty() {
            now += step;
            while let Some(token) = index.due(now) {
                visits += 1;
                if is_dead(deadlines[token as usize], now) {
                    freed[token as usize] = now;
                } else {
                    index.schedule(deadlines[token as usize], now, token);
                }
            }
        }
        assert!(visits <= deadlines.len() * 8, "{visits} visits for {} tokens", deadlines.len());
        freed
    }

    proptest! {
        #[test]
        fn what_is_left_is_known_to_a_few_percent(
            deadlines in proptest::collection::vec(1_000u64..1 << 40, 1..200),
        ) {
            let mut index = ExpiryIndex::new();
            for &deadline in &deadlines {
                index.schedule(1_000_000 + deadline, 1_000_000, 7);
            }
            let (tokens, left) = index.left(1_000_000);
            let exact: u128 = deadlines.iter().map(|&deadline| u128::from(deadline)).sum();
            prop_assert_eq!(tokens, deadlines.len());
            prop_assert!(left.abs_diff(exact) * 16 <= exact, "{} of {}", left, exact);
        }

        #[test]
        fn every_token_is_handed_out_at_its_deadline_and_seldom_before(
            deadlines in prop::collection::vec(1u64..200_000, 1..200),
            step in 1u64..40,
        ) {
            for (deadline, freed) in deadlines.iter().zip(run(&deadlines, step)) {
                prop_assert!(freed >= *deadline);
                prop_assert!(freed - deadline <= ExpiryIndex::slack() + step);
            }
        }
    }

    #[test]
    fn retain_forgets_and_counts() {
        let mut index = ExpiryIndex::new();
        for token in 0..1000 {
            index.schedule(5_000 + token * 7, 0, token);
        }
        assert_eq!(index.len(), 1000);
        index.retain(|t| t % 10 == 0);
        assert_eq!(index.len(), 100);
        let mut seen = 0;
        while let Some(token) = index.due(u64::MAX) {
            assert_eq!(token % 10, 0);
            seen += 1;
        }
        assert_eq!((seen, index.len(), index.next_due()), (100, 0, None));
    }

    #[test]
    fn a_deadline_at_the_end_of_time_does_not_overflow() {
        let mut index = ExpiryIndex::new();
        index.schedule(u64::MAX, 0, 1);
        index.schedule(u64::MAX, u64::MAX, 2);
        assert_eq!(index.len(), 2);
        assert!(index.due(1 << 40).is_none());
    }
}
