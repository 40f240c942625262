//! A blocked Bloom filter: all bits of a key are in one cache line, so a test costs one miss.
//!
//! ```text
//! filter := line * n        line := 64 bytes
//! ```
//! The line is chosen by the upper half of the key's hash, the six bits in it by the rest.

const LINE: usize = 64;
const PROBES: u32 = 6;
/// More bits per key than this are wasted.
const MAX_BITS_PER_KEY: usize = 32;

/// The filter of one table.
#[derive(Debug, Default)]
pub(super) struct Bloom {
    lines: Vec<[u8; LINE]>,
}

fn line_of(hash: u64, lines: usize) -> usize {
    // Maps the upper half of the hash onto 0..lines without a division.
    ((hash >> 32).wrapping_mul(lines as u64) >> 32) as usize
}

/// The bits (0..512) of a key in its line.
fn bits(hash: u64) -> impl Iterator<Item = usize> {
    let mut mixed = (hash as u32).wrapping_mul(0x9E37_79B1);
    let step = (hash as u32).rotate_right(15) | 1;
    (0..PROBES).map(move |_| {
        mixed = mixed.wrapping_add(step);
        (mixed >> 23) as usize
    })
}

impl Bloom {
    /// A filter over the keys of these hashes.
    pub(super) fn build(hashes: &[u64], bits_per_key: usize) -> Self {
        let bits_wanted = hashes.len() * bits_per_key.min(MAX_BITS_PER_KEY);
        // The lines are numbered by 32 bits of the hash.
        let count = bits_wanted.div_ceil(LINE * 8).min(1 << 31);
        let mut lines = vec![[0; LINE]; count];
        if count > 0 {
            for &hash in hashes {
                let line = &mut lines[line_of(hash, count)];
                for bit in bits(hash) {
                    line[bit / 8] |= 1 << (bit % 8);
                }
            }
        }
        Self { lines }
    }

    /// Reads a stored filter.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, &'static str> {
        let (lines, rest) = payload.as_chunks::<LINE>();
        if rest.is_empty() && lines.len() <= 1 << 31 {
            Ok(Self { lines: lines.to_vec() })
        } else {
            Err("the filter is not a whole number of lines")
        }
    }

    /// The stored form.
    pub(super) fn encode(&self) -> &[u8] {
        self.lines.as_flattened()
    }

    /// Whether a key of this hash may have been added. An empty filter knows nothing.
    #[inline]
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        if self.lines.is_empty() {
            return true;
        }
        let line = &self.lines[line_of(hash, self.lines.len())];
        bits(hash).all(|bit| line[bit / 8] & 1 << (bit % 8) != 0)
    }

    /// The memory of the filter, in bytes.
    pub(super) const fn memory(&self) -> usize {
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
        let again = Bloom::decode(bloom.encode()).expect("it was just encoded");
        assert!(hashes.iter().all(|&h| again.may_contain(h)));
        assert!(Bloom::build(&hashes, 0).may_contain(1));
        assert!(Bloom::decode(&[0; 65]).is_err());
    }
}
