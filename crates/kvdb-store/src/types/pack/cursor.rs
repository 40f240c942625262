//! Reading a pack from a place on.

use super::element::{Encoded, forward_len_at, length_at, length_before, read, read_forward};
use crate::entry::ValueRef;
use crate::object::canonical_int;

/// A place between two records, from which a pack is read on, and back where it can be.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a, const N: usize, const BACK: bool = false> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a, const N: usize, const BACK: bool> Cursor<'a, N, BACK> {
    /// In an empty pack.
    pub const NOWHERE: Self = Self { bytes: &[], offset: 0 };

    pub(super) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// The place, in bytes from the first record.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether nothing stands behind.
    pub fn at_end(&self) -> bool {
        self.offset == self.bytes.len()
    }

    /// Steps over the next record without looking at it; tells whether there was one.
    #[inline]
    pub fn pass(&mut self) -> bool {
        let is_there = self.offset < self.bytes.len();
        if is_there {
            self.offset += length_at::<N, BACK>(&self.bytes[self.offset..]);
        }
        is_there
    }

    /// Steps to the next record that begins with an element, and tells how many were passed; to the end, when there is
    /// none.
    pub(super) fn find(&mut self, element: &[u8]) -> usize {
        let (wanted, mut passed) = (Encoded::of(element), 0);
        while self.offset < self.bytes.len() {
            let rest = &self.bytes[self.offset..];
            if wanted.stands_at(rest) {
                break;
            }
            self.offset += length_at::<N, BACK>(rest);
            passed += 1;
        }
        passed
    }
}

impl<'a, const N: usize> Cursor<'a, N, true> {
    /// Steps back over the record before this place without looking at it; tells whether there was one.
    #[inline]
    pub fn pass_back(&mut self) -> bool {
        let is_there = self.offset > 0;
        if is_there {
            self.offset -= length_before(&self.bytes[..self.offset]);
        }
        is_there
    }

    /// Steps back over the record before this place, and shows it.
    #[inline]
    pub fn back(&mut self) -> Option<[ValueRef<'a>; N]> {
        if !self.pass_back() {
            return None;
        }
        Some(read::<N, true>(&self.bytes[self.offset..]).0)
    }
}

impl<'a> Cursor<'a, 2> {
    /// The second element of the next record.
    #[inline]
    pub fn second(&self) -> Option<ValueRef<'a>> {
        let rest = &self.bytes[self.offset..];
        (!rest.is_empty()).then(|| read_forward(&rest[forward_len_at(rest)..]).0)
    }

    /// Steps over the next record, and shows its second element.
    #[inline]
    pub fn next_second(&mut self) -> Option<ValueRef<'a>> {
        let rest = &self.bytes[self.offset..];
        if rest.is_empty() {
            return None;
        }
        let first = forward_len_at(rest);
        let (second, len) = read_forward(&rest[first..]);
        self.offset += first + len;
        Some(second)
    }
}

impl<'a, const N: usize, const BACK: bool> Iterator for Cursor<'a, N, BACK> {
    type Item = [ValueRef<'a>; N];

    #[inline]
    fn next(&mut self) -> Option<[ValueRef<'a>; N]> {
        if self.offset == self.bytes.len() {
            return None;
        }
        let (elements, len) = read::<N, BACK>(&self.bytes[self.offset..]);
        self.offset += len;
        Some(elements)
    }
}

/// An element that others are compared with.
pub struct Needle<'a> {
    bytes: &'a [u8],
    int: Option<i64>,
}

impl<'a> Needle<'a> {
    /// To look for these bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, int: canonical_int(bytes) }
    }

    /// Whether an element is equal.
    #[inline]
    pub fn is(&self, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::Bytes(bytes) => bytes == self.bytes,
            ValueRef::Int(int) => self.int == Some(int),
        }
    }
}
