//! The names of entries.

use std::fmt;

/// The name of an entry of a stream: a moment and a number within it, of which streams only know the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Usually the moment at which the entry was added, in Unix milliseconds.
    pub ms: u64,
    /// Tells entries of one moment apart.
    pub seq: u64,
}

impl StreamId {
    /// Before every entry; no entry has it.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The last there can be.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// The smallest that is greater.
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => self.ms.checked_add(1).map(|ms| Self { ms, seq: 0 }),
        }
    }

    /// The greatest that is smaller.
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => self.ms.checked_sub(1).map(|ms| Self { ms, seq: u64::MAX }),
        }
    }

    /// Bytes that sort as the ids do.
    pub(super) fn to_key(self) -> [u8; 16] {
        ((u128::from(self.ms) << 64) | u128::from(self.seq)).to_be_bytes()
    }

    /// The opposite of [`Self::to_key`].
    pub(super) fn from_key(key: [u8; 16]) -> Self {
        let bits = u128::from_be_bytes(key);
        Self { ms: (bits >> 64) as u64, seq: bits as u64 }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_each_other() {
        let id = |ms, seq| StreamId { ms, seq };
        assert_eq!(id(5, 6).next(), Some(id(5, 7)));
        assert_eq!(id(5, u64::MAX).next(), Some(id(6, 0)));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(id(5, 7).previous(), Some(id(5, 6)));
        assert_eq!(id(6, 0).previous(), Some(id(5, u64::MAX)));
        assert_eq!(StreamId::MIN.previous(), None);
        assert_eq!(id(17, 4).to_string(), "17-4");
    }

    #[test]
    fn keys_sort_as_ids_do_and_read_back() {
        let ids = [(0, 1), (0, u64::MAX), (1, 0), (255, 3), (256, 2), (u64::MAX, 0)]
            .map(|(ms, seq)| StreamId { ms, seq });
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1] && pair[0].to_key() < pair[1].to_key()));
        assert!(ids.iter().all(|id| StreamId::from_key(id.to_key()) == *id));
    }
}
