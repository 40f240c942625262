//! A blocked Bloom filter: all bits of a key are in one cache line, so a test costs one miss.
//!
//! ```text
//! filter := line * n        line := 64 bytes
//! ```
//! The line is chosen by the upper half of the key's hash, the six bits in it by the rest.

/// The words of a line, little-endian in the stored form.
const WORDS: usize = 8;
const LINE: usize = WORDS * 8;
const PROBES: u32 = 6;
/// More bits per key than this are wasted.
const MAX_BITS_PER_KEY: usize = 32;
/// Keys whose lines are looked up together, so that the misses of a large filter overlap.
const BATCH: usize = 32;

/// The filter of one table, or of a partition of one.
#[derive(Debug)]
pub(crate) struct Bloom {
    lines: Vec<[u64; WORDS]>,
}

#[inline]
fn line_of(hash: u64, lines: usize) -> usize {
    // Maps the upper half of the hash onto 0..lines without a division.
    ((hash >> 32).wrapping_mul(lines as u64) >> 32) as usize
}

/// The bits (0..512) of a key in its line.
#[inline]
fn bits(hash: u64) -> impl Iterator<Item = usize> {
    let mut mixed = (hash as u32).wrapping_mul(0x9E37_79B1);
    let step = (hash as u32).rotate_right(15) | 1;
    (0..PROBES).map(move |_| {
        mixed = mixed.wrapping_add(step);
        (mixed >> 23) as usize
    })
}

impl Bloom {
    /// The bytes of a filter over `keys` keys.
    pub(super) const fn stored_len(keys: usize, bits_per_key: usize) -> usize {
        Self::lines(keys, bits_per_key) * LINE
    }

    const fn lines(keys: usize, bits_per_key: usize) -> usize {
        let bits = if bits_per_key < MAX_BITS_PER_KEY { bits_per_key } else { MAX_BITS_PER_KEY };
        let lines = (keys * bits).div_ceil(LINE * 8);
        // The lines are numbered by 32 bits of the hash.
        if lines < 1 << 31 { lines } else { 1 << 31 }
    }

    /// A filter over the keys of these hashes.
    pub(super) fn build(hashes: &[u64], bits_per_key: usize) -> Self {
        let count = Self::lines(hashes.len(), bits_per_key);
        let mut lines = vec![[0u64; WORDS]; count];
        if count > 0 {
            for batch in hashes.chunks(BATCH) {
                let mut at = [0; BATCH];
                for (at, &hash) in at.iter_mut().zip(batch) {
                    *at = line_of(hash, count);
                }
                for (&at, &hash) in at.iter().zip(batch) {
                    let line = &mut lines[at];
                    for bit in bits(hash) {
                        line[bit / 64] |= 1 << (bit % 64);
                    }
                }
            }
        }
        Self { lines }
    }

    /// Reads a stored filter.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, &'static str> {
        let (words, odd) = payload.as_chunks::<8>();
        let (lines, rest) = words.as_chunks::<WORDS>();
        if odd.is_empty() && rest.is_empty() && lines.len() <= 1 << 31 {
            Ok(Self { lines: lines.iter().map(|line| line.map(u64::from_le_bytes)).collect() })
        } else {
            Err("the filter is not a whole number of lines")
        }
    }

    /// The stored form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.memory());
        for word in self.lines.as_flattened() {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// Whether a key of this hash may have been added. An empty filter knows nothing.
    #[inline]
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        if self.lines.is_empty() {
            return true;
        }
        let line = &self.lines[line_of(hash, self.lines.len())];
        bits(hash).all(|bit| line[bit / 64] & 1 << (bit % 64) != 0)
    }

    /// The memory of the filter, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        self.lines.len() * LINE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::key_hash;

    #[test]
    fn no_key_is_missed_and_few_strangers_pass() {
        let hash = |n: u32| key_hash(&n.to_le_bytes());
        let hashes: Vec<u64> = (0..20_000).map(hash).collect();
        let bloom = Bloom::build(&hashes, 10);
        assert!(hashes.iter().all(|&h| bloom.may_contain(h)));
        let wrong = (100_000..200_000).filter(|&n| bloom.may_contain(hash(n))).count();
        assert!(wrong < 2_000, "{wrong} of 100000 strangers pass");
        assert_eq!(bloom.encode().len(), Bloom::stored_len(20_000, 10));
        let again = Bloom::decode(&bloom.encode()).expect("it was just encoded");
        assert!(hashes.iter().all(|&h| again.may_contain(h)));
        assert!(Bloom::build(&hashes, 0).may_contain(1));
        assert!(Bloom::decode(&[0; 65]).is_err());
    }
}
