//! The hash index of a data block: which restart interval holds a key, in a byte per bucket.
//!
//! A bucket holds the number of the only interval that has keys of the bucket, or says that it has
//! several, or none. There are three entries to four buckets.

/// Keys of several intervals fall into the bucket: a binary search must tell.
const COLLISION: u8 = 254;
/// No key of the block falls into the bucket.
const EMPTY: u8 = 255;
/// With more restarts than this, a block has no hash index.
pub(super) const MAX_RESTARTS: usize = 253;

/// What the index says about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// The block does not hold it.
    Absent,
    /// It can only be in this restart interval.
    Interval(usize),
    /// Nothing.
    Unknown,
}

/// The bucket of a key. The filter takes the upper half of the hash to choose a line, so that
/// these bits are as good within a block as within a table.
#[inline]
fn bucket_of(hash: u32, buckets: usize) -> usize {
    (u64::from(hash).wrapping_mul(buckets as u64) >> 32) as usize
}

/// Appends the buckets for a block whose entries have these hashes, in order, each with the number of its restart interval;
/// returns their number.
pub(super) fn build(hashes: &[(u32, u8)], out: &mut Vec<u8>) -> usize {
    // Within a single interval there is nothing to find.
    if hashes.last().is_none_or(|&(_, interval)| interval == 0) {
        return 0;
    }
    let buckets = (hashes.len() + hashes.len() / 3) | 1;
    let start = out.len();
    out.resize(start + buckets, EMPTY);
    for &(hash, interval) in hashes {
        let bucket = &mut out[start + bucket_of(hash, buckets)];
        *bucket = if *bucket == EMPTY || *bucket == interval { interval } else { COLLISION };
    }
    buckets
}

/// Looks a key up in the buckets of a block.
#[inline]
pub(super) fn look_up(buckets: &[u8], hash: u64) -> Hint {
    if buckets.is_empty() {
        return Hint::Unknown;
    }
    match buckets[bucket_of(hash as u32, buckets.len())] {
        EMPTY => Hint::Absent,
        COLLISION => Hint::Unknown,
        interval => Hint::Interval(usize::from(interval)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::key_hash;

    #[test]
    fn no_key_is_missed_and_most_are_placed() {
        for (count, interval) in [(1, 16), (17, 16), (40, 8), (400, 16), (4048, 16)] {
            let hashes: Vec<u64> = (0u32..count).map(|n| key_hash(&n.to_le_bytes())).collect();
            let numbered: Vec<_> =
                hashes.iter().zip(0..).map(|(&h, n)| (h as u32, (n / interval) as u8)).collect();
            let mut buckets = Vec::new();
            let number = build(&numbered, &mut buckets);
            assert_eq!(number, buckets.len());
            let indexed = count > interval;
            assert_eq!(number > 0, indexed, "{count} entries");
            let mut placed = 0;
            for (n, &hash) in hashes.iter().enumerate() {
                match look_up(&buckets, hash) {
                    Hint::Absent => panic!("entry {n} of {count} is missed"),
                    Hint::Interval(found) => {
                        assert_eq!(found, n / interval as usize);
                        placed += 1;
                    }
                    Hint::Unknown => {}
                }
            }
            assert!(!indexed || placed * 3 > count, "{placed} of {count} are placed");
        }
    }
}
