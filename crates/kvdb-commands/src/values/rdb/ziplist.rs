//! Ziplists and zipmaps: what Redis before 7.0, and long before, kept small collections in.
//!
//! ```text
//! ziplist := bytes in all u32 | where the last entry begins u32 | entries u16, 65535 for too many to say | entry* | 255
//! entry   := length of the entry before | encoding                                                (little-endian)
//! length  := one byte below 254 | 254 and u32
//! encoding := 00llllll bytes                  a string of up to 63 bytes
//!           | 01llllll l bytes                a string of up to 16383 bytes
//!           | 128 | u32, big-endian | bytes   any other string
//!           | 192, 208, 224, 240, 254 and 2, 4, 8, 3, 1 bytes of a signed integer
//!           | 1111nnnn                        n - 1, for n from 1 to 13
//! zipmap  := pairs u8, 254 and 255 for too many to say | (name | value)* | 255
//! name    := length | bytes
//! value   := length | unused bytes that follow u8 | bytes | unused bytes
//! ```
//!
//! The formats are described in `ziplist.c` and `zipmap.c` of Redis.

use kvdb_store::ValueRef;

use super::RdbError;

const HEADER_BYTES: usize = 10;
const END: u8 = 0xff;
/// Stands before a length that does not fit a byte.
const LONG: u8 = 254;
/// The number of entries when there are too many to say.
const UNKNOWN: u16 = u16::MAX;

/// Reads the entries of a ziplist from the first to the last, and checks it on the way.
pub(super) struct Entries<'a> {
    rest: &'a [u8],
    /// How many entries are left, where that is said.
    left: Option<u16>,
    /// The bytes of the entry before.
    before: usize,
    /// How many bytes of entries there are, and where the last is said to begin among them.
    len: usize,
    tail: usize,
}

impl<'a> Entries<'a> {
    /// The entries of a ziplist that takes all of these bytes.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, RdbError> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(RdbError::BadData)?;
        let [a, b, c, d, e, f, g, h, low, high] = *header;
        let (total, tail) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let count = u16::from_le_bytes([low, high]);
        let [rest @ .., END] = rest else { return Err(RdbError::BadData) };
        let tail = (tail as usize).checked_sub(HEADER_BYTES).ok_or(RdbError::BadData)?;
        if total as usize != bytes.len() {
            return Err(RdbError::BadData);
        }
        let left = (count != UNKNOWN).then_some(count);
        Ok(Self { rest, left, before: 0, len: rest.len(), tail })
    }

    /// The next entry, or `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<ValueRef<'a>>, RdbError> {
        let at = self.len - self.rest.len();
        if self.rest.is_empty() {
            let ends_right = self.left.is_none_or(|left| left == 0) && self.tail == at - self.before;
            return if ends_right { Ok(None) } else { Err(RdbError::BadData) };
        }
        let (before, behind) = length(self.rest).ok_or(RdbError::BadData)?;
        let (value, rest) = read(behind).ok_or(RdbError::BadData)?;
        if before != self.before {
            return Err(RdbError::BadData);
        }
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).ok_or(RdbError::BadData)?;
        }
        (self.before, self.rest) = (self.rest.len() - rest.len(), rest);
        Ok(Some(value))
    }
}

/// A length and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes.split_first()? {
        (&LONG, rest) => {
            let (length, rest) = rest.split_first_chunk()?;
            Some((u32::from_le_bytes(*length) as usize, rest))
        }
        (&END, _) => None,
        (&length, rest) => Some((usize::from(length), rest)),
    }
}

/// The value that an encoding begins with, and what follows it.
fn read(bytes: &[u8]) -> Option<(ValueRef<'_>, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let integer = |size: usize| {
        let (bytes, rest) = rest.split_at_checked(size)?;
        let mut wide = [0; 8];
        wide[8 - size..].copy_from_slice(bytes);
        Some((ValueRef::Int(i64::from_le_bytes(wide) >> (64 - 8 * size)), rest))
    };
    let (len, rest) = match first {
        0..0x40 => (usize::from(first), rest),
        0x40..0x80 => {
            let (&low, rest) = rest.split_first()?;
            (usize::from(first & 0x3f) << 8 | usize::from(low), rest)
        }
        0x80 => {
            let (len, rest) = rest.split_first_chunk()?;
            (u32::from_be_bytes(*len) as usize, rest)
        }
        0xc0 => return integer(2),
        0xd0 => return integer(4),
        0xe0 => return integer(8),
        0xf0 => return integer(3),
        0xfe => return integer(1),
        0xf1..=0xfd => return Some((ValueRef::Int(i64::from(first & 0x0f) - 1), rest)),
        _ => return None,
    };
    let (string, rest) = rest.split_at_checked(len)?;
    Some((ValueRef::Bytes(string), rest))
}

/// Reads names and values of a zipmap in turns, and checks it on the way.
pub(super) struct Pairs<'a> {
    rest: &'a [u8],
    /// How many pairs are left, where that is said.
    left: Option<u8>,
    /// Whether a value is next.
    has_name: bool,
}

impl<'a> Pairs<'a> {
    /// The pairs of a zipmap that takes all of these bytes.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, RdbError> {
        match bytes {
            [count, rest @ .., END] => {
                Ok(Self { rest, left: (*count < LONG).then_some(*count), has_name: false })
            }
            _ => Err(RdbError::BadData),
        }
    }

    /// The next name or value, or `None` behind the last pair.
    pub(super) fn next(&mut self) -> Result<Option<ValueRef<'a>>, RdbError> {
        if self.rest.is_empty() && !self.has_name {
            return if self.left.is_none_or(|left| left == 0) { Ok(None) } else { Err(RdbError::BadData) };
        }
        let (string, rest) = self.string().ok_or(RdbError::BadData)?;
        if let (false, Some(left)) = (self.has_name, &mut self.left) {
            *left = left.checked_sub(1).ok_or(RdbError::BadData)?;
        }
        (self.has_name, self.rest) = (!self.has_name, rest);
        Ok(Some(ValueRef::Bytes(string)))
    }

    fn string(&self) -> Option<(&'a [u8], &'a [u8])> {
        let (len, rest) = length(self.rest)?;
        let (unused, rest) = if self.has_name { rest.split_first()? } else { (&0, rest) };
        let (string, rest) = rest.split_at_checked(len)?;
        Some((string, rest.split_at_checked(usize::from(*unused))?.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::rdb::listpack::text;
    use proptest::prelude::*;

    type Values = Result<Vec<Vec<u8>>, RdbError>;

    fn entries(bytes: &[u8]) -> Values {
        let (mut entries, mut values) = (Entries::of(bytes)?, Vec::new());
        while let Some(value) = entries.next()? {
            values.push(text(value).into_owned());
        }
        Ok(values)
    }

    fn pairs(bytes: &[u8]) -> Values {
        let (mut pairs, mut values) = (Pairs::of(bytes)?, Vec::new());
        while let Some(value) = pairs.next()? {
            values.push(text(value).into_owned());
        }
        Ok(values)
    }

    /// A ziplist of these encodings.
    fn ziplist(encodings: &[&[u8]]) -> Vec<u8> {
        let (mut body, mut before, mut tail) = (Vec::new(), 0, 0);
        for encoding in encodings {
            tail = body.len();
            match u8::try_from(before) {
                Ok(before) if before < LONG => body.push(before),
                _ => {
                    body.push(LONG);
                    body.extend_from_slice(&(before as u32).to_le_bytes());
                }
            }
            body.extend_from_slice(encoding);
            before = body.len() - tail;
        }
        let total = (HEADER_BYTES + body.len() + 1) as u32;
        let tail = (HEADER_BYTES + tail) as u32;
        let count = u16::try_from(encodings.len()).unwrap_or(UNKNOWN);
        [&total.to_le_bytes()[..], &tail.to_le_bytes(), &count.to_le_bytes(), &body, &[END]].concat()
    }

    #[test]
    fn entries_of_every_encoding_are_read() {
        let (long, longer) = (vec![b'x'; 300], vec![b'y'; 20_000]);
        let (long_entry, longer_entry) =
            ([b"\x41\x2c", &long[..]].concat(), [b"\x80\x00\x00\x4e\x20", &longer[..]].concat());
        let list = ziplist(&[
            b"\x00",
            b"\x03abc",
            &long_entry,
            &longer_entry,
            b"\xf1",
            b"\xfd",
            b"\xfe\x80",
            b"\xc0\x01\x80",
            b"\xf0\xff\xff\xff",
            b"\xd0\xff\xff\xff\x7f",
            b"\xe0\x00\x00\x00\x00\x00\x00\x00\x80",
        ]);
        let numbers = ["0", "12", "-128", "-32767", "-1", "2147483647", "-9223372036854775808"];
        let strings = [vec![], b"abc".to_vec(), long, longer];
        let all: Vec<Vec<u8>> = strings.into_iter().chain(numbers.map(|number| number.into())).collect();
        assert_eq!(entries(&list), Ok(all));
        assert_eq!(entries(&ziplist(&[])), Ok(vec![]));
        let many = vec![&b"\xf2"[..]; 70_000];
        assert_eq!(entries(&ziplist(&many)).map(|values| values.len()), Ok(70_000));
    }

    #[test]
    fn a_long_form_of_a_short_length_is_read() {
        // Redis leaves it where an entry has become shorter.
        let mut list = ziplist(&[b"\x01a", b"\x01b"]);
        list.splice(13..14, [LONG, 3, 0, 0, 0]);
        list[0] += 4;
        assert_eq!(entries(&list), Ok(vec![b"a".to_vec(), b"b".to_vec()]));
    }

    #[test]
    fn ziplists_that_lie_are_refused() {
        let sound = ziplist(&[b"\x03abc", b"\xf5", b"\xc0\x07\x01"]);
        assert!(entries(&sound).is_ok());
        for len in 0..sound.len() {
            assert_eq!(entries(&sound[..len]), Err(RdbError::BadData), "{len} bytes");
        }
        // Of the header, of lengths before, and the end.
        for at in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 17, sound.len() - 1] {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            assert_eq!(entries(&damaged), Err(RdbError::BadData), "byte {at}");
        }
        for encoding in
            [&b"\x81\x00\x00\x00\x01a"[..], b"\xc1\x00", b"\xff", b"\x05abc", b"\x80\xff\xff\xff\xff"]
        {
            assert_eq!(entries(&ziplist(&[encoding])), Err(RdbError::BadData), "{encoding:x?}");
        }
    }

    #[test]
    fn zipmaps_are_read_and_those_that_lie_are_refused() {
        let long = vec![b'v'; 300];
        let sound = [b"\x02\x03foo\x03\x00bar\x01a\xfe\x2c\x01\x00\x00\x02", &long[..], b"..\xff"].concat();
        let all = vec![b"foo".to_vec(), b"bar".to_vec(), b"a".to_vec(), long];
        assert_eq!(pairs(&sound), Ok(all));
        assert_eq!(pairs(b"\x00\xff"), Ok(vec![]));
        for len in 0..sound.len() {
            assert_eq!(pairs(&sound[..len]), Err(RdbError::BadData), "{len} bytes");
        }
        for bytes in [
            &b"\x01\xff"[..],
            b"\x01\x03foo\xff",
            b"\x02\x01a\x01\x00b\xff",
            b"\x00\x01a\x01\x00b\xff",
            b"\x01\x01a\x01\x05b\xff",
            b"\x01\x09a\x01\x00b\xff",
            b"\x01\xfe\xff\xff\xff\xffa\x01\x00b\xff",
            b"\x01\x01a\xff\x00b\xff",
        ] {
            assert_eq!(pairs(bytes), Err(RdbError::BadData), "{bytes:x?}");
        }
        assert_eq!(pairs(b"\xfe\x01a\x01\x00b\xff").map(|values| values.len()), Ok(2));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..60), count: u16, tail in 10_u32..80) {
            let total = (HEADER_BYTES + body.len() + 1) as u32;
            let header = [&total.to_le_bytes()[..], &tail.to_le_bytes(), &count.to_le_bytes()].concat();
            let _ = entries(&[&header[..], &body, &[END]].concat());
            let _ = entries(&body);
            let _ = pairs(&[&body[..], &[END]].concat());
            let _ = pairs(&body);
        }
    }
}
