//! Listpacks: Redis' small collections, and the blocks of its streams.
//!
//! ```text
//! listpack := bytes in all u32 | elements u16, 65535 for too many to say | element* | 255     (little-endian)
//! element  := encoding | length of the encoding, to be read backwards: 1 to 5 bytes
//! encoding := 0nnnnnnn                        0 to 127
//!           | 10llllll bytes                  a string of up to 63 bytes
//!           | 110nnnnn n                      a signed integer of 13 bits
//!           | 1110llll l bytes                a string of up to 4095 bytes
//!           | 240 l l l l bytes               any other string
//!           | 241, 242, 243, 244 and 2, 3, 4, 8 bytes of a signed integer
//! ```
//!
//! The format is described in Redis' own `listpack.c`.

use std::borrow::Cow;

use kvdb_store::ValueRef;
use kvdb_store::object::canonical_int;

use super::RdbError;

const HEADER_BYTES: usize = 6;
const END: u8 = 0xff;
/// The number of elements when there are too many to say.
const UNKNOWN: u16 = u16::MAX;

/// Reads the elements of a listpack from the first to the last, and checks it on the way.
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    /// How many elements are left, where that is said.
    left: Option<u16>,
}

impl<'a> Elements<'a> {
    /// The elements of a listpack that takes all of these bytes.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, RdbError> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(RdbError::BadData)?;
        let [a, b, c, d, low, high] = *header;
        let count = u16::from_le_bytes([low, high]);
        match rest {
            [rest @ .., END] if u64::from(u32::from_le_bytes([a, b, c, d])) == bytes.len() as u64 => {
                Ok(Self { rest, left: (count != UNKNOWN).then_some(count) })
            }
            _ => Err(RdbError::BadData),
        }
    }

    /// The next element, or `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<ValueRef<'a>>, RdbError> {
        if self.rest.is_empty() {
            return if self.left.is_none_or(|left| left == 0) { Ok(None) } else { Err(RdbError::BadData) };
        }
        let (value, len) = read(self.rest).ok_or(RdbError::BadData)?;
        let (backwards, size) = backward_len(len);
        let rest = &self.rest[len..];
        self.rest = rest.strip_prefix(&backwards[..size]).ok_or(RdbError::BadData)?;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).ok_or(RdbError::BadData)?;
        }
        Ok(Some(value))
    }

    /// The next element, as text.
    pub(super) fn text(&mut self) -> Result<Cow<'a, [u8]>, RdbError> {
        self.next()?.map(text).ok_or(RdbError::BadData)
    }

    /// The next element, which is an integer.
    pub(super) fn integer(&mut self) -> Result<i64, RdbError> {
        match self.next()? {
            Some(ValueRef::Int(integer)) => Ok(integer),
            _ => Err(RdbError::BadData),
        }
    }
}

/// The text of an element.
pub(super) fn text(value: ValueRef<'_>) -> Cow<'_, [u8]> {
    match value {
        ValueRef::Bytes(bytes) => Cow::Borrowed(bytes),
        ValueRef::Int(integer) => Cow::Owned(integer.to_string().into_bytes()),
    }
}

/// The element at the beginning, and how many bytes its encoding takes.
fn read(bytes: &[u8]) -> Option<(ValueRef<'_>, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let string = |head: usize, len: usize| {
        let string = bytes.get(head..head.checked_add(len)?)?;
        Some((ValueRef::Bytes(string), head + len))
    };
    let integer = |size: usize| {
        let mut wide = [0; 8];
        wide[8 - size..].copy_from_slice(rest.get(..size)?);
        Some((ValueRef::Int(i64::from_le_bytes(wide) >> (64 - 8 * size)), 1 + size))
    };
    let low = |mask: u8| Some(usize::from(first & mask) << 8 | usize::from(*rest.first()?));
    match first {
        0..0x80 => Some((ValueRef::Int(i64::from(first)), 1)),
        0x80..0xc0 => string(1, usize::from(first & 0x3f)),
        0xc0..0xe0 => {
            let bits = low(0x1f)? as i64;
            Some((ValueRef::Int(if bits < 1 << 12 { bits } else { bits - (1 << 13) }), 2))
        }
        0xe0..0xf0 => string(2, low(0x0f)?),
        0xf0 => string(5, u32::from_le_bytes(*rest.first_chunk()?) as usize),
        0xf1 => integer(2),
        0xf2 => integer(3),
        0xf3 => integer(4),
        0xf4 => integer(8),
        0xf5.. => None,
    }
}

/// The length of an encoding as it stands behind it: groups of seven bits, the highest first, all but that marked.
fn backward_len(len: usize) -> ([u8; 5], usize) {
    let size = match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    let mut out = [0; 5];
    for (at, byte) in out[..size].iter_mut().enumerate() {
        let mark = if at == 0 { 0 } else { 0x80 };
        *byte = (len >> (7 * (size - 1 - at))) as u8 & 0x7f | mark;
    }
    (out, size)
}

/// A listpack that is being written.
pub(super) struct Builder {
    out: Vec<u8>,
    count: usize,
}

impl Builder {
    /// One without elements.
    pub(super) fn new() -> Self {
        Self { out: vec![0; HEADER_BYTES], count: 0 }
    }

    /// Adds a value behind the last: as an integer where it is the text of one.
    pub(super) fn push(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Int(integer) => self.push_integer(integer),
            ValueRef::Bytes(bytes) => match canonical_int(bytes) {
                Some(integer) => self.push_integer(integer),
                None => self.push_string(bytes),
            },
        }
    }

    /// Adds an integer behind the last.
    pub(super) fn push_integer(&mut self, integer: i64) {
        let start = self.out.len();
        let bytes = integer.to_le_bytes();
        match integer {
            0..128 => self.out.push(integer as u8),
            -4096..4096 => self.out.extend([0xc0 | (integer >> 8) as u8 & 0x1f, integer as u8]),
            _ => {
                let (head, size) = match integer {
                    -0x8000..0x8000 => (0xf1, 2),
                    -0x80_0000..0x80_0000 => (0xf2, 3),
                    -0x8000_0000..0x8000_0000 => (0xf3, 4),
                    _ => (0xf4, 8),
                };
                self.out.push(head);
                self.out.extend_from_slice(&bytes[..size]);
            }
        }
        self.end_element(start);
    }

    fn push_string(&mut self, bytes: &[u8]) {
        let start = self.out.len();
        match bytes.len() {
            len @ 0..64 => self.out.push(0x80 | len as u8),
            len @ 64..4096 => self.out.extend([0xe0 | (len >> 8) as u8, len as u8]),
            // A length that does not fit makes a listpack that does not, which the end finds out.
            len => {
                self.out.push(0xf0);
                self.out.extend_from_slice(&(len as u32).to_le_bytes());
            }
        }
        self.out.extend_from_slice(bytes);
        self.end_element(start);
    }

    fn end_element(&mut self, start: usize) {
        let (backwards, size) = backward_len(self.out.len() - start);
        self.out.extend_from_slice(&backwards[..size]);
        self.count += 1;
    }

    /// The listpack; an error where it is longer than one can be.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, RdbError> {
        self.out.push(END);
        let len = u32::try_from(self.out.len()).map_err(|_| RdbError::TooLarge)?;
        self.out[..4].copy_from_slice(&len.to_le_bytes());
        let count = u16::try_from(self.count).unwrap_or(UNKNOWN);
        self.out[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(bytes: &[u8]) -> Result<Vec<Vec<u8>>, RdbError> {
        let (mut elements, mut values) = (Elements::of(bytes)?, Vec::new());
        while let Some(value) = elements.next()? {
            values.push(text(value).into_owned());
        }
        Ok(values)
    }

    fn built<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Vec<u8> {
        let mut builder = Builder::new();
        values.into_iter().for_each(|value| builder.push(ValueRef::Bytes(value)));
        builder.finish().expect("it is short")
    }

    #[test]
    fn elements_of_every_encoding_read_back() {
        let integers =
            [0, 127, 128, 4095, 4096, 32_767, 32_768, 8_388_607, 8_388_608, i64::from(i32::MAX), i64::MAX];
        let integers = integers.into_iter().flat_map(|i| [i, -i, -i - 1]).map(|i| i.to_string().into_bytes());
        let lens = [0, 1, 63, 64, 125, 126, 4095, 4096, 16_380, 16_400, 2_097_140, 2_097_160];
        let strings = lens.into_iter().map(|len| vec![b'x'; len]);
        let all: Vec<Vec<u8>> = integers.chain(strings).chain([b"-0".to_vec(), b"01".to_vec()]).collect();
        assert_eq!(values(&built(all.iter().map(Vec::as_slice))), Ok(all));
    }

    #[test]
    fn more_elements_than_can_be_said_read_back() {
        for len in [65_534, 65_535, 65_536] {
            let all = vec![b"a".to_vec(); len];
            assert_eq!(values(&built(all.iter().map(Vec::as_slice))).map(|read| read.len()), Ok(len));
        }
    }

    #[test]
    fn a_change_of_any_length_is_found() {
        let sound = built([&b"abc"[..], b"7", b"70000", b""]);
        for at in 0..6 {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            assert_eq!(values(&damaged), Err(RdbError::BadData), "byte {at}");
        }
        for len in 0..sound.len() {
            assert_eq!(values(&sound[..len]), Err(RdbError::BadData));
        }
        let mut wrong_backwards = sound;
        wrong_backwards[10] = 5;
        assert_eq!(values(&wrong_backwards), Err(RdbError::BadData));
    }

    proptest! {
        #[test]
        fn what_is_built_reads_back(all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..20)) {
            prop_assert_eq!(values(&built(all.iter().map(Vec::as_slice))), Ok(all));
        }

        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..60), known: bool) {
            let _ = values(&bytes);
            bytes.push(END);
            let count: u16 = if known { bytes[0].into() } else { UNKNOWN };
            let header = [&(bytes.len() as u32 + 6).to_le_bytes()[..], &count.to_le_bytes()].concat();
            let _ = values(&[header, bytes].concat());
        }
    }
}
