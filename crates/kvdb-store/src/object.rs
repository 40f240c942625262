//! What a command sees of a resident key.

use crate::entry::{Entry, ValueRef};
use crate::row::Type;
use crate::types::{Collection, Elements};
use crate::usage::{self, Usage};

/// Strings of at most this many bytes are reported as `embstr`, as Redis stores them.
const EMBSTR_MAX: usize = 44;

/// A key's value, borrowed from the keyspace.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a>(pub(crate) &'a Entry);

impl<'a> Object<'a> {
    /// The type of the value.
    pub fn kind(&self) -> Type {
        self.0.held().map_or(Type::String, |held| held.collection.kind())
    }

    /// The value as a string; `None` when it is of another type.
    #[inline]
    pub fn string(&self) -> Option<ValueRef<'a>> {
        self.0.string()
    }

    /// The value as a collection of some type; `None` when it is of another type.
    #[inline]
    pub fn elements<T: Elements>(&self) -> Option<&'a T> {
        self.0.held().and_then(|held| T::of(&held.collection))
    }

    /// The value as a collection; `None` when it is a string.
    pub fn collection(&self) -> Option<&'a Collection> {
        self.0.held().map(|held| &held.collection)
    }

    /// When the key dies, in Unix milliseconds.
    #[inline]
    pub fn deadline(&self) -> Option<u64> {
        self.0.deadline()
    }

    /// The sequence of the last change.
    pub fn seq(&self) -> u64 {
        self.0.seq()
    }

    /// The encoding that Redis would report for the same value.
    pub fn encoding(&self) -> &'static str {
        match (self.0.string(), self.0.held()) {
            (Some(ValueRef::Int(_)), _) => "int",
            (Some(ValueRef::Bytes(b)), _) if b.len() <= EMBSTR_MAX && !self.0.is_piecewise() => "embstr",
            (_, Some(held)) => held.collection.encoding(),
            (_, None) => "raw",
        }
    }

    /// Seconds since the key was last used, where use is remembered as a moment.
    pub fn idle_seconds(&self, now: u64) -> u64 {
        u64::from(usage::idle_seconds(self.0.access(), now))
    }

    /// The logarithmic counter of uses, where they are counted.
    pub fn use_counter(&self, usage: Usage, now: u64) -> u8 {
        usage.counter(self.0.access(), now)
    }

    /// Bytes of memory that the key holds, its place in the table included.
    pub fn memory_bytes(&self) -> usize {
        self.0.memory_bytes() + size_of::<Entry>()
    }
}

/// The integer whose canonical decimal text these bytes are, if they are one: then the integer is stored instead.
#[inline]
pub fn canonical_int(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for &d in digits {
        if !d.is_ascii_digit() {
            return None;
        }
        magnitude = magnitude.checked_mul(10)?.checked_add(u64::from(d - b'0'))?;
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_texts_are_integers() {
        for i in [0, 1, -1, 9, 10, i64::MAX, i64::MIN, 1_000_000_007] {
            assert_eq!(canonical_int(i.to_string().as_bytes()), Some(i));
        }
        for text in [
            "",
            "-",
            "-0",
            "00",
            "01",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "1e3",
            "99999999999999999999",
        ] {
            assert_eq!(canonical_int(text.as_bytes()), None, "{text:?}");
        }
    }
}
