//! How elements of a pack are written and read.

use crate::entry::ValueRef;
use crate::object::canonical_int;

const SMALL_INT: u8 = 0x80;
const INT: u8 = 0xc0;
const LONG: u8 = 0xd0;
/// The longest string whose length stands in its head.
pub(super) const LONGEST_SHORT: usize = 0x7f;
/// The longest encoding of what stands around a string: head and varint, and back.
pub(super) const MAX_FRAME: usize = 6 + 5;

/// The bytes of an element's head and payload, written without an allocation where they are short.
#[derive(Clone, Copy)]
pub(super) struct Encoded<'a> {
    head: [u8; 9],
    head_len: usize,
    payload: &'a [u8],
}

impl<'a> Encoded<'a> {
    pub(super) fn of(element: &'a [u8]) -> Self {
        let mut head = [0; 9];
        if let Some(int) = canonical_int(element) {
            if (0..64).contains(&int) {
                head[0] = SMALL_INT | int as u8;
                return Self { head, head_len: 1, payload: &[] };
            }
            let width = int_width(int);
            head[0] = INT | width as u8;
            head[1..=8].copy_from_slice(&int.to_le_bytes());
            return Self { head, head_len: 1 + width, payload: &[] };
        }
        if element.len() <= LONGEST_SHORT {
            head[0] = element.len() as u8;
            return Self { head, head_len: 1, payload: element };
        }
        head[0] = LONG;
        let (mut rest, mut at) = (element.len(), 1);
        while rest >= 0x80 {
            head[at] = rest as u8 | 0x80;
            rest >>= 7;
            at += 1;
        }
        head[at] = rest as u8;
        Self { head, head_len: at + 1, payload: element }
    }

    pub(super) fn len(&self) -> usize {
        self.head_len + self.payload.len()
    }

    /// Whether it is the element at the beginning of `bytes`.
    #[inline]
    pub(super) fn stands_at(&self, bytes: &[u8]) -> bool {
        let len = self.len();
        if bytes[0] != self.head[0] || bytes.len() < len {
            return false;
        }
        // Names often begin alike and differ at their end.
        if let Some(end) = self.payload.last_chunk::<8>()
            && bytes[len - 8..len] != *end
        {
            return false;
        }
        bytes[1..self.head_len] == self.head[1..self.head_len] && bytes[self.head_len..len] == *self.payload
    }

    /// Writes it to the beginning of `out`.
    fn write(&self, out: &mut [u8]) {
        out[..self.head_len].copy_from_slice(&self.head[..self.head_len]);
        out[self.head_len..self.len()].copy_from_slice(self.payload);
    }
}

/// A record: elements that are written one behind the other, and, with `BACK`, what lets it be read from its end.
pub(super) struct Record<'a, const N: usize, const BACK: bool>([Encoded<'a>; N]);

impl<'a, const N: usize, const BACK: bool> Record<'a, N, BACK> {
    pub(super) fn of(elements: [&'a [u8]; N]) -> Self {
        Self(elements.map(Encoded::of))
    }

    fn front_len(&self) -> usize {
        self.0.iter().map(Encoded::len).sum()
    }

    pub(super) fn len(&self) -> usize {
        let front = self.front_len();
        front + back_len::<BACK>(front)
    }

    /// Writes it into a place of exactly its length.
    pub(super) fn write(&self, out: &mut [u8]) {
        let mut front = 0;
        for element in &self.0 {
            element.write(&mut out[front..]);
            front += element.len();
        }
        let (mut rest, mut at) = (front, out.len());
        while at > front {
            at -= 1;
            out[at] = (rest & 0x7f) as u8;
            rest >>= 7;
        }
        // A reader comes from the right: every byte but the leftmost says that there is another before it.
        for byte in out[front..].iter_mut().skip(1) {
            *byte |= 0x80;
        }
    }
}

/// Bytes that a signed integer needs.
fn int_width(int: i64) -> usize {
    let significant = 64 - if int < 0 { int.leading_ones() } else { int.leading_zeros() } + 1;
    (significant as usize).div_ceil(8)
}

/// Bytes of `back` for a front of so many, where there is one.
#[inline]
pub(super) fn back_len<const BACK: bool>(front: usize) -> usize {
    if !BACK {
        return 0;
    }
    if front < 0x80 {
        return 1;
    }
    ((usize::BITS - (front | 1).leading_zeros()) as usize).div_ceil(7)
}

/// What an element takes in a sequence that is read forwards only.
pub(in crate::types) fn forward_len(element: &[u8]) -> usize {
    Encoded::of(element).len()
}

/// Adds an element to such a sequence.
pub(in crate::types) fn write_forward(out: &mut Vec<u8>, element: &[u8]) {
    let encoded = Encoded::of(element);
    out.extend_from_slice(&encoded.head[..encoded.head_len]);
    out.extend_from_slice(encoded.payload);
}

/// The element at the beginning of `bytes`, with its length.
#[inline]
pub(in crate::types) fn read_forward(bytes: &[u8]) -> (ValueRef<'_>, usize) {
    let head = bytes[0];
    if head < SMALL_INT {
        let end = 1 + usize::from(head);
        (ValueRef::Bytes(&bytes[1..end]), end)
    } else if head < INT {
        (ValueRef::Int(i64::from(head & 0x3f)), 1)
    } else if head < LONG {
        let width = usize::from(head & 0x0f);
        (ValueRef::Int(read_int(&bytes[1..], width)), 1 + width)
    } else {
        let (len, at) = read_long(bytes);
        (ValueRef::Bytes(&bytes[at..at + len]), at + len)
    }
}

/// The integer of so many bytes at the beginning.
#[inline]
fn read_int(bytes: &[u8], width: usize) -> i64 {
    let unused = 64 - 8 * width as u32;
    // What follows is read along and thrown out again: a load is quicker than a copy of so many bytes.
    let le = bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut le = [0; 8];
        le[..width].copy_from_slice(&bytes[..width]);
        le
    });
    i64::from_le_bytes(le) << unused >> unused
}

/// The length of a long string, and where it begins.
fn read_long(bytes: &[u8]) -> (usize, usize) {
    let (mut len, mut at, mut shift) = (0usize, 1, 0);
    loop {
        let byte = bytes[at];
        len |= usize::from(byte & 0x7f) << shift;
        (at, shift) = (at + 1, shift + 7);
        if byte < 0x80 {
            return (len, at);
        }
    }
}

/// The length of the element at the beginning, which is not looked at.
#[inline]
pub(super) fn forward_len_at(bytes: &[u8]) -> usize {
    let head = bytes[0];
    if head < SMALL_INT {
        1 + usize::from(head)
    } else if head < INT {
        1
    } else if head < LONG {
        1 + usize::from(head & 0x0f)
    } else {
        let (len, at) = read_long(bytes);
        at + len
    }
}

/// The elements of the record at the beginning, and its whole length.
#[inline]
pub(super) fn read<const N: usize, const BACK: bool>(bytes: &[u8]) -> ([ValueRef<'_>; N], usize) {
    let mut front = 0;
    let elements = std::array::from_fn(|_| {
        let (element, len) = read_forward(&bytes[front..]);
        front += len;
        element
    });
    (elements, front + back_len::<BACK>(front))
}

/// The whole length of the record at the beginning.
#[inline]
pub(super) fn length_at<const N: usize, const BACK: bool>(bytes: &[u8]) -> usize {
    let mut front = 0;
    for _ in 0..N {
        front += forward_len_at(&bytes[front..]);
    }
    front + back_len::<BACK>(front)
}

/// The whole length of the record that ends where `bytes` end.
#[inline]
pub(super) fn length_before(bytes: &[u8]) -> usize {
    let (mut front, mut shift, mut at) = (0usize, 0, bytes.len());
    loop {
        at -= 1;
        front |= usize::from(bytes[at] & 0x7f) << shift;
        shift += 7;
        if bytes[at] < 0x80 {
            return front + (bytes.len() - at);
        }
    }
}
