//! Byte strings behind a pointer of eight bytes, the short ones in the pointer itself.
//!
//! A large set is a table of its members, and of all that a member costs the table's place is the larger part: a
//! `Box<[u8]>` takes sixteen bytes of it, a [`Member`] eight. Where the lowest bit of the word is set, it is no address
//! but the string, of at most seven bytes:
//!
//! ```text
//! in place     0 0 0 0 len:3 1 | seven bytes
//! elsewhere    address         ──►  length varint | bytes        (the address is even)
//! ```
//!
//! Everything outside of this module sees slices.
#![expect(unsafe_code, reason = "a thin pointer to a length followed by bytes has no safe equivalent")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::{self, NonNull};

/// The longest string in place.
const IN_PLACE: usize = 7;
/// Addresses are even: the lowest bit says that there is none.
const ALIGN: usize = 2;

/// An owned byte string; also `Option<Member>` has eight bytes.
///
/// # Invariants
///
/// * A word with its lowest bit set holds a length of at most 7 in its first byte, and the string behind it.
/// * Any other word is the address of an allocation of `layout(len)`, made by this module and owned by this value alone,
///   which holds `len` as a varint and then as many bytes.
pub struct Member(NonNull<u8>);

const _: () = assert!(
    cfg!(target_endian = "little") && size_of::<Member>() == 8,
    "the first byte of a word holds its lowest bit"
);

// SAFETY: a member owns its bytes, like a Box.
unsafe impl Send for Member {}
// SAFETY: nothing in a member changes.
unsafe impl Sync for Member {}

fn varint_len(len: usize) -> usize {
    ((usize::BITS - (len | 1).leading_zeros()) as usize).div_ceil(7)
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(varint_len(len) + len, ALIGN).expect("the length of a slice fits an allocation")
}

impl Member {
    /// A copy of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        if bytes.len() <= IN_PLACE {
            let mut word = [0; 8];
            word[0] = (bytes.len() as u8) << 1 | 1;
            word[1..=bytes.len()].copy_from_slice(bytes);
            let word = ptr::without_provenance_mut(usize::from_le_bytes(word));
            return Self(NonNull::new(word).expect("its lowest bit is set"));
        }
        let layout = layout(bytes.len());
        // SAFETY: the layout is not of size zero, it has room for more than seven bytes.
        let base = unsafe { alloc(layout) };
        let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
        let (mut rest, mut at) = (bytes.len(), 0);
        loop {
            let more = rest >= 0x80;
            // SAFETY: the allocation begins with `varint_len` bytes, which is how often this is done.
            unsafe { base.add(at).write(rest as u8 & 0x7f | u8::from(more) << 7) };
            (rest, at) = (rest >> 7, at + 1);
            if !more {
                break;
            }
        }
        // SAFETY: behind the varint the allocation has room for just these bytes, and it is new, so they are elsewhere.
        unsafe { base.add(at).copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        Self(base)
    }

    #[inline]
    fn is_in_place(&self) -> bool {
        self.0.as_ptr().addr() & 1 == 1
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        if self.is_in_place() {
            let len = (self.0.as_ptr().addr() & 0xff) >> 1;
            let word = ptr::from_ref(&self.0).cast::<u8>();
            // SAFETY: the word has eight bytes, of which the first says that up to seven more are the string; they live
            // as long as self and do not change meanwhile.
            return unsafe { std::slice::from_raw_parts(word.add(1), len) };
        }
        let (mut len, mut at, mut shift) = (0usize, 0, 0);
        loop {
            // SAFETY: the allocation begins with a whole varint, written by `new`.
            let byte = unsafe { self.0.add(at).read() };
            len |= usize::from(byte & 0x7f) << shift;
            (at, shift) = (at + 1, shift + 7);
            if byte < 0x80 {
                break;
            }
        }
        // SAFETY: behind the varint are as many bytes as it says, which live as long as self.
        unsafe { std::slice::from_raw_parts(self.0.add(at).as_ptr(), len) }
    }

    /// Bytes of memory beside the word itself, as an allocator with classes of sizes counts them.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        if self.is_in_place() {
            return 0;
        }
        let len = self.as_bytes().len();
        (varint_len(len) + len).next_multiple_of(16)
    }
}

impl Drop for Member {
    #[inline]
    fn drop(&mut self) {
        if !self.is_in_place() {
            let layout = layout(self.as_bytes().len());
            // SAFETY: the address is that of an allocation of this layout, and nobody else has it.
            unsafe { dealloc(self.0.as_ptr(), layout) };
        }
    }
}

impl Clone for Member {
    fn clone(&self) -> Self {
        Self::new(self.as_bytes())
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_every_length_come_back() {
        for len in (0..40).chain([126, 127, 128, 129, 16_383, 16_384, 70_000]) {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8 ^ 0xa5).collect();
            let member = Member::new(&bytes);
            assert_eq!(member.as_bytes(), bytes);
            let copy = member.clone();
            let moved = vec![Some(member)];
            assert_eq!(moved[0].as_ref().map(Member::as_bytes), Some(&bytes[..]));
            assert_eq!(copy.memory_bytes() == 0, len <= IN_PLACE);
            assert!(copy.memory_bytes() == 0 || (len..len + 20).contains(&copy.memory_bytes()));
            drop(moved);
            assert_eq!(copy.as_bytes(), bytes);
        }
        assert_eq!(size_of::<Option<Member>>(), 8);
    }
}
