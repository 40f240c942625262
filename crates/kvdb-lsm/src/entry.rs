//! One version of one key, as the memtable, the tables and the iterators hand it to each other.

use std::ops::{Bound, RangeBounds};

use crate::batch::Seq;
use crate::blob::BlobRef;

/// A sequence that sees everything.
pub(crate) const NEWEST: Seq = Seq::MAX >> 1;

/// A version of a key, borrowed from wherever it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The key.
    pub(crate) key: &'a [u8],
    /// The sequence number of the write.
    pub(crate) seq: Seq,
    /// What it says about the key.
    pub(crate) content: Content<'a>,
}

/// What an entry says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// It has this value.
    Value(&'a [u8]),
    /// Its value lies in a blob file.
    Blob(BlobRef),
    /// It was deleted.
    Tombstone,
}

impl<'a> Content<'a> {
    /// What a memtable says, which has no references.
    #[inline]
    pub(crate) fn of(value: Option<&'a [u8]>) -> Self {
        value.map_or(Self::Tombstone, Self::Value)
    }

    /// Whether the key was deleted.
    #[inline]
    pub(crate) const fn is_tombstone(self) -> bool {
        matches!(self, Self::Tombstone)
    }

    /// The length of the value, if it is at hand; else 0.
    pub(crate) const fn inline_len(self) -> u64 {
        match self {
            Self::Value(value) => value.len() as u64,
            Self::Blob(_) | Self::Tombstone => 0,
        }
    }

    /// The length of the value, wherever it lies; 0 for a tombstone.
    pub(crate) const fn value_len(self) -> u64 {
        match self {
            Self::Value(value) => value.len() as u64,
            Self::Blob(reference) => reference.value_len as u64,
            Self::Tombstone => 0,
        }
    }
}

/// The answer of one source that knows the key; a source that does not answers `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The newest version is this value.
    Value(Vec<u8>),
    /// The newest version lies in a blob file.
    Blob(BlobRef),
    /// The newest version is a tombstone: older sources must not be asked.
    Deleted,
}

impl Found {
    /// Copies the content of an entry.
    pub(crate) fn from_content(content: Content<'_>) -> Self {
        match content {
            Content::Value(bytes) => Self::Value(bytes.to_vec()),
            Content::Blob(reference) => Self::Blob(reference),
            Content::Tombstone => Self::Deleted,
        }
    }
}

/// Which way a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To larger keys.
    Forward,
    /// To smaller keys.
    Backward,
}

/// A range of keys, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds<'a> {
    /// Where the range begins.
    pub(crate) lower: Bound<&'a [u8]>,
    /// Where the range ends.
    pub(crate) upper: Bound<&'a [u8]>,
}

impl Bounds<'_> {
    /// Every key.
    pub(crate) const ALL: Self = Self { lower: Bound::Unbounded, upper: Bound::Unbounded };

    /// Whether `key` lies before the range.
    #[inline]
    pub(crate) fn is_before(&self, key: &[u8]) -> bool {
        match self.lower {
            Bound::Included(lower) => key < lower,
            Bound::Excluded(lower) => key <= lower,
            Bound::Unbounded => false,
        }
    }

    /// Whether `key` lies behind the range.
    #[inline]
    pub(crate) fn is_after(&self, key: &[u8]) -> bool {
        match self.upper {
            Bound::Included(upper) => key > upper,
            Bound::Excluded(upper) => key >= upper,
            Bound::Unbounded => false,
        }
    }

    /// Whether some key between `smallest` and `largest` (both included) can lie in the range.
    pub(crate) fn overlaps(&self, smallest: &[u8], largest: &[u8]) -> bool {
        !self.is_after(smallest) && !self.is_before(largest)
    }
}

/// An owned range of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRange {
    lower: Bound<Vec<u8>>,
    upper: Bound<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub(crate) const fn all() -> Self {
        Self { lower: Bound::Unbounded, upper: Bound::Unbounded }
    }

    /// Copies the bounds of any range.
    pub(crate) fn new(range: &impl RangeBounds<[u8]>) -> Self {
        Self { lower: range.start_bound().map(<[u8]>::to_vec), upper: range.end_bound().map(<[u8]>::to_vec) }
    }

    /// The keys that begin with `prefix`.
    pub(crate) fn prefix(prefix: &[u8]) -> Self {
        // The first key behind them all: the prefix without what cannot be raised, and then raised.
        let mut end = prefix.to_vec();
        while end.pop_if(|last| *last == u8::MAX).is_some() {}
        let upper = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(end)
            }
            None => Bound::Unbounded,
        };
        Self { lower: Bound::Included(prefix.to_vec()), upper }
    }

    /// The range, borrowed.
    #[inline]
    pub(crate) fn bounds(&self) -> Bounds<'_> {
        Bounds {
            lower: self.lower.as_ref().map(Vec::as_slice),
            upper: self.upper.as_ref().map(Vec::as_slice),
        }
    }
}

/// The length of the longest common prefix.
#[inline]
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut len = 0;
    for (x, y) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        let difference = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if difference != 0 {
            return len + difference.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + a[len..].iter().zip(&b[len..]).take_while(|(a, b)| a == b).count()
}

/// The hash of a key: computed once per operation, used by the memtables and the filters alike.
/// Filters store its bits, so it is part of the table format.
#[inline]
pub(crate) fn key_hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_what_begins_with_it_and_nothing_else() {
        let keys: [&[u8]; 9] =
            [b"", b"a", b"a\xff", b"a\xff\xff", b"a\xff\xff\0", b"b", b"\xff", b"\xff\xff", b"\xff\xff\x01"];
        for prefix in keys {
            let range = KeyRange::prefix(prefix);
            for key in keys {
                let inside = !range.bounds().is_before(key) && !range.bounds().is_after(key);
                assert_eq!(inside, key.starts_with(prefix), "{prefix:?}, {key:?}");
            }
        }
    }
}
