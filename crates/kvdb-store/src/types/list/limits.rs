//! How large a piece of a list may be, in Redis' terms.
//!
//! Redis keeps a short list in one *listpack* and a longer one in a *quicklist*, a chain of listpacks. Which of the two a
//! list is shows in OBJECT ENCODING, and where the border lies is the user's choice (`list-max-listpack-size`). So the
//! bytes that count here are those that a listpack would have, which differ a little from a [`Pack`]'s.

use crate::entry::ValueRef;
use crate::types::pack::Pack;

/// What every listpack has beside its elements: a head of six bytes and an end mark.
const EMPTY_LISTPACK: usize = 7;
/// The bytes of a listpack that is limited by the number of its elements.
const SAFETY_BYTES: usize = 8192;

/// How many bytes more an element may take in a listpack than in a pack, and how many fewer.
const MORE: usize = 3;
const LESS: usize = 1;

/// The limit of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Bytes(usize),
    Elements(usize),
}

impl Limit {
    /// The limit that `list-max-listpack-size` means.
    pub(super) fn of(list_size: i32) -> Self {
        match usize::try_from(list_size) {
            Ok(elements) => Self::Elements(elements.max(1)),
            Err(_) => Self::Bytes(4096 << (list_size.unsigned_abs() - 1).min(4)),
        }
    }

    /// Whether so many bytes in so many elements are too much for one piece.
    pub(super) fn is_exceeded(self, bytes: usize, elements: usize) -> bool {
        match self {
            Self::Bytes(limit) => bytes > limit,
            Self::Elements(limit) => bytes > SAFETY_BYTES || elements > limit,
        }
    }

    /// Half of it: what a quicklist has to shrink to before it is a listpack again.
    pub(super) fn half(self) -> Self {
        match self {
            Self::Bytes(limit) => Self::Bytes(limit / 2),
            Self::Elements(limit) => Self::Elements(limit / 2),
        }
    }

    /// Whether a listpack of what a pack has, and of so many more bytes and elements, would be too large.
    pub(super) fn is_exceeded_by(
        self,
        pack: Option<&Pack<1, true>>,
        len: usize,
        more_bytes: usize,
        more: usize,
    ) -> bool {
        let Some(pack) = pack else { return self.is_exceeded(EMPTY_LISTPACK + more_bytes, more) };
        // An element takes at most a byte less and at most three more there, so nearly always the pack need not be read.
        let bytes = pack.len_bytes();
        if !self.is_exceeded(EMPTY_LISTPACK + bytes + MORE * len + more_bytes, len + more) {
            return false;
        }
        if self.is_exceeded(EMPTY_LISTPACK + bytes - LESS * len + more_bytes, len + more) {
            return true;
        }
        self.is_exceeded(
            EMPTY_LISTPACK + pack.iter().map(|[value]| listpack_bytes(value)).sum::<usize>() + more_bytes,
            len + more,
        )
    }
}

/// What an element takes in a listpack of Redis.
fn listpack_bytes(value: ValueRef<'_>) -> usize {
    let entry = match value {
        ValueRef::Int(0..=127) => 1,
        ValueRef::Int(-4096..=4095) => 2,
        ValueRef::Int(-0x8000..=0x7fff) => 3,
        ValueRef::Int(-0x80_0000..=0x7f_ffff) => 4,
        ValueRef::Int(-0x8000_0000..=0x7fff_ffff) => 5,
        ValueRef::Int(_) => 9,
        ValueRef::Bytes(bytes) => {
            let head = match bytes.len() {
                0..64 => 1,
                64..4096 => 2,
                _ => 5,
            };
            head + bytes.len()
        }
    };
    let back = match entry {
        0..=127 => 1,
        128..16383 => 2,
        16383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    entry + back
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_setting_means_what_it_means_in_redis() {
        let limits = [-5, -1, -2, -100, 0, 1, 128].map(Limit::of);
        let bytes = [65536, 4096, 8192, 65536].map(Limit::Bytes);
        assert_eq!((&limits[..4], &limits[4..]), (&bytes[..], &[1, 1, 128].map(Limit::Elements)[..]));
        assert!(!Limit::of(3).is_exceeded(8192, 3) && Limit::of(3).is_exceeded(8193, 3));
        assert!(Limit::of(3).is_exceeded(0, 4) && Limit::of(-1).is_exceeded(4097, 1));
    }

    proptest! {
        #[test]
        fn the_two_forms_differ_by_no_more_than_is_relied_on(element in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            (4000usize..20_000).prop_map(|len| vec![b'x'; len]),
            any::<i64>().prop_map(|i| i.to_string().into_bytes()),
            (0u32..64, any::<i64>()).prop_map(|(shift, i)| (i >> shift).to_string().into_bytes()),
        ]) {
            let mut pack = Pack::<1, true>::new();
            pack.push_back([&element]);
            let (ours, theirs) = (pack.len_bytes(), pack.iter().map(|[value]| listpack_bytes(value)).sum::<usize>());
            prop_assert!(theirs <= ours + MORE && theirs + LESS >= ours, "{ours} and {theirs}");
        }
    }
}
