//! Low keys: an ascending row of keys, each the lower bound of what it stands for, and the search
//! for the one that covers a key.

use super::block::common_prefix;

/// # Invariants
/// The keys ascend strictly. `skip` is the length of what all keys but the first share, and
/// `heads[n]` are the eight bytes of key `n + 1` behind it, as a big-endian number: nearly every
/// step of a search is a comparison of numbers that lie side by side. Both are there once
/// [`Lows::seal`] was called.
#[derive(Debug, Default)]
pub(super) struct Lows {
    keys: Vec<u8>,
    /// The end of each key in `keys`.
    ends: Vec<u32>,
    skip: usize,
    heads: Vec<u64>,
}

/// The first eight bytes, padded with zeros.
#[inline]
fn head(bytes: &[u8]) -> u64 {
    if let Some(head) = bytes.first_chunk::<8>() {
        return u64::from_be_bytes(*head);
    }
    let mut head = [0; 8];
    head[..bytes.len()].copy_from_slice(bytes);
    u64::from_be_bytes(head)
}

impl Lows {
    /// Appends a key that is above all others.
    pub(super) fn push(&mut self, key: &[u8]) {
        self.keys.extend_from_slice(key);
        let end = u32::try_from(self.keys.len());
        self.ends.push(end.expect("the size of an index counts against that of its table"));
    }

    /// As [`Lows::push`], for a key of which it is not known that it is above the others.
    pub(super) fn try_push(&mut self, key: &[u8]) -> Result<(), &'static str> {
        if self.len().checked_sub(1).is_some_and(|last| self.get(last) >= key) {
            return Err("the keys of the index do not ascend");
        }
        if self.keys.len() + key.len() > u32::MAX as usize {
            return Err("the index is impossibly large");
        }
        self.push(key);
        Ok(())
    }

    /// Makes the keys ready for [`Lows::find`].
    pub(super) fn seal(&mut self) {
        self.keys.shrink_to_fit();
        self.ends.shrink_to_fit();
        if self.len() > 1 {
            // They ascend: what the first and the last share, all share.
            self.skip = common_prefix(self.get(1), self.get(self.len() - 1));
        }
        self.heads = (1..self.len()).map(|n| head(&self.get(n)[self.skip..])).collect();
    }

    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, n: usize) -> &[u8] {
        let start = n.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[start as usize..self.ends[n] as usize]
    }

    /// The number of the last key that is not above `key`; 0 if all are.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> usize {
        if self.heads.is_empty() {
            return 0;
        }
        let shared = &self.get(1)[..self.skip];
        match key[..key.len().min(self.skip)].cmp(shared) {
            std::cmp::Ordering::Less => return 0,
            std::cmp::Ordering::Greater => return self.len() - 1,
            std::cmp::Ordering::Equal => {}
        }
        let wanted = head(&key[self.skip..]);
        let mut low = self.heads.partition_point(|&head| head < wanted);
        let mut high = low + self.heads[low..].partition_point(|&head| head == wanted);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle + 1) <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The memory of the keys, in bytes.
    pub(super) const fn memory(&self) -> usize {
        self.keys.capacity()
            + self.ends.capacity() * size_of::<u32>()
            + self.heads.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_search_finds_what_a_look_at_every_key_finds(
            prefix in proptest::collection::vec(0u8..3, 0..12),
            tails in proptest::collection::btree_set(proptest::collection::vec(0u8..3, 0..12), 1..40),
            asked in proptest::collection::vec(proptest::collection::vec(0u8..4, 0..24), 20),
        ) {
            let keys: BTreeSet<Vec<u8>> = tails.iter().map(|tail| [&prefix[..], tail].concat()).collect();
            let mut lows = Lows::default();
            lows.push(&[]);
            keys.iter().filter(|key| !key.is_empty()).for_each(|key| lows.push(key));
            lows.seal();
            let with_prefix = asked.iter().map(|key| [&prefix[..], key].concat());
            for key in keys.iter().cloned().chain(asked.iter().cloned()).chain(with_prefix) {
                let expected = (0..lows.len()).rposition(|n| lows.get(n) <= key.as_slice());
                prop_assert_eq!(lows.find(&key), expected.unwrap_or(0), "{:?}", key);
            }
        }
    }
}
