//! DUMP and RESTORE payloads: one value in the format of Redis' RDB files.
//!
//! ```text
//! type byte   value   RDB version (u16)   CRC-64 of all before (u64), both little-endian
//! ```
//!
//! This module has the frame, strings, and the pieces that all types are made of (lengths, strings): [`Reader`] and the
//! `write_` functions. Reading takes what Redis up to 7.2 writes (RDB 11 and before), compressed strings included. Writing
//! uses version 10, which Redis 7.0 reads too, and never compresses. Two things that Redis 7.0 has no place for are not
//! in a payload: the deadlines of fields of a hash, which then live as long as the key, and when the consumers of a
//! stream last got something, which then is when they were last seen.
//!
//! Payloads come from clients, and the checksum is no secret: what is inside is not trusted. No length is believed before
//! the bytes it announces are there, and a value may not take many times the memory of its payload. (Redis lets
//! a value run on into the footer, and ignores what follows one; here both is bad data.)

mod collection;
mod crc64;
pub mod libraries;
mod listpack;
mod lzf;
mod stream;
mod stream_node;
mod ziplist;

use std::borrow::Cow;
use std::fmt;

use kvdb_store::CarriedValue;
use kvdb_store::object::canonical_int;
use kvdb_store::types::{Collection, Elements as _, Layout};

use super::number::parse_i64;

/// The RDB version that [`seal`] writes.
const WRITTEN_VERSION: u16 = 10;
/// The newest RDB version that is read.
const NEWEST_VERSION: u16 = 11;
const FOOTER_BYTES: usize = 10;
/// The longest listpack, or array of integers: Redis makes none that is longer.
const MAX_BLOB_BYTES: usize = 1 << 30;

/// The type byte of a string.
pub const TYPE_STRING: u8 = 0;
/// The largest type byte that Redis 7.2 writes.
const LAST_TYPE: u8 = 21;

/// The first byte of a length: its two highest bits tell the form.
const FORM_MASK: u8 = 0xc0;
const FORM_6_BITS: u8 = 0x00;
const FORM_14_BITS: u8 = 0x40;
const FORM_ENCODED: u8 = 0xc0;
const LENGTH_32_BITS: u8 = 0x80;
const LENGTH_64_BITS: u8 = 0x81;
/// The encodings that a string may have instead of a length.
const ENCODED_I8: u64 = 0;
const ENCODED_I16: u64 = 1;
const ENCODED_I32: u64 = 2;
const ENCODED_LZF: u64 = 3;

/// Why a payload cannot be restored. `Display` is the error reply without its code, which is ERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RdbError {
    /// The footer is missing, its version is too new, or the checksum is another one.
    Footer,
    /// What is inside makes no sense, or ends too early.
    BadData,
    /// The payload holds a value of a type that is not read here: the type byte.
    UnsupportedType(u8),
    /// A value is too large for the format, or becomes so much larger than its payload that it cannot be meant well.
    TooLarge,
}

impl fmt::Display for RdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Footer => f.write_str("DUMP payload version or checksum are wrong"),
            Self::BadData => f.write_str("Bad data format"),
            Self::UnsupportedType(kind) => {
                write!(f, "Bad data format: values of RDB type {kind} cannot be restored")
            }
            Self::TooLarge => f.write_str("Bad data format: the value is too large"),
        }
    }
}

impl std::error::Error for RdbError {}

/// The payload of a string.
#[must_use]
pub fn dump_string(value: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(value.len() + 16 + FOOTER_BYTES);
    body.push(TYPE_STRING);
    write_string(&mut body, value);
    seal(body)
}

/// The payload of a collection as it is at a moment, in Unix milliseconds.
///
/// # Errors
/// An entry of a stream is larger than the format can say: 4 GiB.
pub fn dump_collection(collection: &Collection, now: u64) -> Result<Vec<u8>, RdbError> {
    let mut body = Vec::new();
    match collection {
        Collection::Hash(hash) => {
            body.push(collection::TYPE_HASH);
            collection::write_hash(&mut body, hash, now);
        }
        Collection::List(list) => {
            body.push(collection::TYPE_LIST);
            collection::write_list(&mut body, list);
        }
        Collection::Set(set) => {
            body.push(collection::TYPE_SET);
            collection::write_set(&mut body, set);
        }
        Collection::SortedSet(set) => {
            body.push(collection::TYPE_SORTED_SET);
            collection::write_sorted_set(&mut body, set);
        }
        Collection::Stream(stream) => {
            body.push(stream::TYPE_STREAM_2);
            stream::write_stream(&mut body, stream)?;
        }
    }
    Ok(seal(body))
}

/// The value in a payload. A string longer than `max_string_bytes`, alone or in a collection, is refused.
///
/// # Errors
/// The payload is damaged, too new, malformed or holds another type.
pub fn restore(payload: &[u8], max_string_bytes: usize, layout: &Layout) -> Result<CarriedValue, RdbError> {
    use collection::*;
    use stream::*;

    let (kind, mut reader) = open(payload)?;
    let (reader, mut budget) = (&mut reader, Budget::of(payload, max_string_bytes));
    let budget = &mut budget;
    let collection = match kind {
        TYPE_STRING => {
            let value = reader.string(max_string_bytes)?;
            let integer = canonical_int(&value).map(CarriedValue::Int);
            let value = integer.unwrap_or_else(|| CarriedValue::Bytes(value.into_owned()));
            return if reader.rest.is_empty() { Ok(value) } else { Err(RdbError::BadData) };
        }
        TYPE_LIST => read_list(reader, budget, layout)?.into_collection(),
        TYPE_LIST_PIECES | TYPE_LIST_ZIPLIST | TYPE_LIST_ZIPLISTS => {
            read_list_of_pieces(kind, reader, budget, layout)?.into_collection()
        }
        TYPE_SET | TYPE_SET_LISTPACK => read_set(kind, reader, budget, layout)?.into_collection(),
        TYPE_SET_INTS => read_set_of_integers(reader, budget, layout)?.into_collection(),
        TYPE_HASH | TYPE_HASH_LISTPACK | TYPE_HASH_ZIPLIST | TYPE_HASH_ZIPMAP => {
            read_hash(kind, reader, budget, layout)?.into_collection()
        }
        TYPE_SORTED_SET | TYPE_SORTED_SET_TEXT => {
            read_sorted_set(kind, reader, budget, layout)?.into_collection()
        }
        TYPE_SORTED_SET_LISTPACK | TYPE_SORTED_SET_ZIPLIST => {
            read_packed_sorted_set(kind, reader, budget, layout)?.into_collection()
        }
        TYPE_STREAM_1 | TYPE_STREAM_2 | TYPE_STREAM_3 => {
            read_stream(kind, reader, budget, layout)?.into_collection()
        }
        kind if kind <= LAST_TYPE => return Err(RdbError::UnsupportedType(kind)),
        _ => return Err(RdbError::BadData),
    };
    // Of the collections only streams are there without anything in them.
    let may_be = !collection.is_empty() || matches!(collection, Collection::Stream(_));
    if may_be && reader.rest.is_empty() {
        Ok(CarriedValue::Collection(collection))
    } else {
        Err(RdbError::BadData)
    }
}

/// What a value may take.
#[derive(Debug)]
struct Budget {
    /// The longest string, in bytes.
    max_string_bytes: usize,
    /// The memory of a collection, in bytes; and its rows.
    max_memory: usize,
    /// The rows so far, of a value whose rows may be many times as long as what is in memory.
    rows: usize,
}

impl Budget {
    /// What compression and the places of small elements in tables make of a payload stays below so many times its size;
    /// what goes on repeating a long name of a stream's field does not.
    const GROWTH: usize = 128;
    /// What any collection may take.
    const ALWAYS: usize = 16 << 20;

    fn of(payload: &[u8], max_string_bytes: usize) -> Self {
        let max_memory = payload.len().saturating_mul(Self::GROWTH).saturating_add(Self::ALWAYS);
        Self { max_string_bytes, max_memory, rows: 0 }
    }

    fn check(&self, memory_bytes: usize) -> Result<(), RdbError> {
        if memory_bytes <= self.max_memory { Ok(()) } else { Err(RdbError::TooLarge) }
    }

    /// Notes a row of so many bytes.
    fn add_row(&mut self, bytes: usize) -> Result<(), RdbError> {
        self.rows = self.rows.saturating_add(bytes);
        self.check(self.rows)
    }
}

/// Checks the footer; returns the type byte and a reader over the value.
///
/// # Errors
/// The payload is too short, too new or damaged.
pub fn open(payload: &[u8]) -> Result<(u8, Reader<'_>), RdbError> {
    let mut reader = verify(payload)?;
    Ok((reader.byte()?, reader))
}

/// Checks the footer; returns a reader over what is before it.
fn verify(payload: &[u8]) -> Result<Reader<'_>, RdbError> {
    let (signed, checksum) = payload.split_last_chunk().ok_or(RdbError::Footer)?;
    let (body, version) = signed.split_last_chunk().ok_or(RdbError::Footer)?;
    if u16::from_le_bytes(*version) > NEWEST_VERSION
        || u64::from_le_bytes(*checksum) != crc64::checksum(signed)
    {
        return Err(RdbError::Footer);
    }
    Ok(Reader { rest: body })
}

/// Makes a payload of a type byte and a value: appends the footer.
#[must_use]
pub fn seal(mut body: Vec<u8>) -> Vec<u8> {
    body.extend_from_slice(&WRITTEN_VERSION.to_le_bytes());
    let checksum = crc64::checksum(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    body
}

/// Appends a length in its shortest form.
pub fn write_length(out: &mut Vec<u8>, length: u64) {
    if let Ok(length) = u8::try_from(length)
        && length < 1 << 6
    {
        out.push(FORM_6_BITS | length);
    } else if let Ok(length) = u16::try_from(length)
        && length < 1 << 14
    {
        let [high, low] = length.to_be_bytes();
        out.extend_from_slice(&[FORM_14_BITS | high, low]);
    } else if let Ok(length) = u32::try_from(length) {
        out.push(LENGTH_32_BITS);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(LENGTH_64_BITS);
        out.extend_from_slice(&length.to_be_bytes());
    }
}

/// Appends a string: as an integer where it is the text of a 32-bit one, else with its length.
pub fn write_string(out: &mut Vec<u8>, value: &[u8]) {
    match parse_i64(value).and_then(|value| i32::try_from(value).ok()) {
        Some(value) => write_integer(out, value),
        None => {
            write_length(out, value.len() as u64);
            out.extend_from_slice(value);
        }
    }
}

fn write_integer(out: &mut Vec<u8>, value: i32) {
    if let Ok(value) = i8::try_from(value) {
        out.push(FORM_ENCODED | ENCODED_I8 as u8);
        out.extend_from_slice(&value.to_le_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(FORM_ENCODED | ENCODED_I16 as u8);
        out.extend_from_slice(&value.to_le_bytes());
    } else {
        out.push(FORM_ENCODED | ENCODED_I32 as u8);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Reads the pieces of a value, from the first byte to the last.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// A length, or in its place the encoding of the string that follows.
enum Head {
    Length(u64),
    Encoding(u64),
}

impl<'a> Reader<'a> {
    /// How many bytes are left: no more elements than that can follow.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next byte.
    ///
    /// # Errors
    /// There is none.
    pub fn byte(&mut self) -> Result<u8, RdbError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// A length. It says what is claimed, not what is there.
    ///
    /// # Errors
    /// The bytes are no length, or end within it.
    pub fn length(&mut self) -> Result<u64, RdbError> {
        match self.head()? {
            Head::Length(length) => Ok(length),
            Head::Encoding(_) => Err(RdbError::BadData),
        }
    }

    /// A string, of at most `max_bytes`.
    ///
    /// # Errors
    /// The string is malformed, longer than allowed, or longer than what is left.
    pub fn string(&mut self, max_bytes: usize) -> Result<Cow<'a, [u8]>, RdbError> {
        let integer = match self.head()? {
            Head::Length(length) => {
                let length = within(length, max_bytes)?;
                return self.bytes(length).map(Cow::Borrowed);
            }
            Head::Encoding(ENCODED_I8) => i32::from(i8::from_le_bytes(self.array()?)),
            Head::Encoding(ENCODED_I16) => i32::from(i16::from_le_bytes(self.array()?)),
            Head::Encoding(ENCODED_I32) => i32::from_le_bytes(self.array()?),
            Head::Encoding(ENCODED_LZF) => {
                let compressed = within(self.length()?, usize::MAX)?;
                let length = within(self.length()?, max_bytes)?;
                let compressed = self.bytes(compressed)?;
                return lzf::decompress(compressed, length).map(Cow::Owned).ok_or(RdbError::BadData);
            }
            Head::Encoding(_) => return Err(RdbError::BadData),
        };
        Ok(Cow::Owned(itoa::Buffer::new().format(integer).as_bytes().to_vec()))
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], RdbError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(RdbError::BadData)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], RdbError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(RdbError::BadData)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn head(&mut self) -> Result<Head, RdbError> {
        let first = self.byte()?;
        let low = first & !FORM_MASK;
        Ok(match (first & FORM_MASK, first) {
            (FORM_6_BITS, _) => Head::Length(u64::from(low)),
            (FORM_14_BITS, _) => Head::Length(u64::from(u16::from_be_bytes([low, self.byte()?]))),
            (FORM_ENCODED, _) => Head::Encoding(u64::from(low)),
            (_, LENGTH_32_BITS) => Head::Length(u64::from(u32::from_be_bytes(self.array()?))),
            (_, LENGTH_64_BITS) => Head::Length(u64::from_be_bytes(self.array()?)),
            _ => return Err(RdbError::BadData),
        })
    }
}

fn within(length: u64, max: usize) -> Result<usize, RdbError> {
    match usize::try_from(length) {
        Ok(length) if length <= max => Ok(length),
        _ => Err(RdbError::BadData),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 512 << 20;

    fn restore_string(payload: &[u8], max_bytes: usize) -> Result<Vec<u8>, RdbError> {
        match restore(payload, max_bytes, &Layout::with_seed(1))? {
            CarriedValue::Bytes(bytes) => Ok(bytes),
            CarriedValue::Int(integer) => Ok(integer.to_string().into_bytes()),
            CarriedValue::Collection(collection) => panic!("{collection:?} is no string"),
        }
    }

    /// Payloads of Redis 7.0.15.
    const DUMPS: [(&[u8], &[u8]); 8] = [
        (b"1", b"\x00\xc0\x01\n\x00&x\xe7\xb6\xd1\x01\x11\xfc"),
        (b"-1", b"\x00\xc0\xff\n\x00\x0c\x93~$\x85\x08\x9d\xc5"),
        (b"-129", b"\x00\xc1\x7f\xff\n\x00\x17`\x82(T\x80\x84\x80"),
        (b"2147483647", b"\x00\xc2\xff\xff\xff\x7f\n\x00,t\xe5\x9e\xe0.\xad\xa1"),
        (b"2147483648", b"\x00\n2147483648\n\x00\xe7\xb1)\xa3L\x1dv\xee"),
        (b"01", b"\x00\x0201\n\x00l\xdd\xc4A\x14L}\xa4"),
        (b"", b"\x00\x00\n\x00]\x9b\\@\x0f\x7f\xa2\xda"),
        (b"abc", b"\x00\x03abc\n\x00\xd9\xac0=Ar\xa2\xe2"),
    ];

    #[test]
    fn payloads_equal_those_of_redis() {
        for (value, payload) in DUMPS {
            assert_eq!(dump_string(value), payload);
            assert_eq!(restore_string(payload, MAX).as_deref(), Ok(value));
        }
    }

    #[test]
    fn compressed_payloads_are_read() {
        let payload = b"\x00\xc3\t@d\x01aa\xe0W\x00\x01aa\n\x00\xe8\xa3\xb5\x07\xb0m\xf2q";
        assert_eq!(restore_string(payload, MAX), Ok(vec![b'a'; 100]));
        assert_eq!(restore_string(payload, 99), Err(RdbError::BadData));
    }

    #[test]
    fn footers_are_checked() {
        let payload = dump_string(b"abc");
        for at in 0..payload.len() {
            let mut damaged = payload.clone();
            damaged[at] ^= 1;
            assert_eq!(restore_string(&damaged, MAX), Err(RdbError::Footer), "byte {at}");
            assert!(restore_string(&payload[..at], MAX).is_err());
        }
        let versioned = |version: u16| {
            let mut body = b"\x00\x03abc".to_vec();
            body.extend_from_slice(&version.to_le_bytes());
            body.extend_from_slice(&crc64::checksum(&body).to_le_bytes());
            restore_string(&body, MAX)
        };
        assert_eq!(versioned(1).as_deref(), Ok(&b"abc"[..]));
        assert_eq!(versioned(11).as_deref(), Ok(&b"abc"[..]));
        assert_eq!(versioned(12), Err(RdbError::Footer));
    }

    #[test]
    fn bodies_that_lie_are_refused() {
        let restore = |body: &[u8]| restore_string(&seal(body.to_vec()), MAX);
        for body in [
            &b""[..],
            b"\x00",
            b"\x00\x05abc",
            b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x00\x80\xff\xff\xff\xffabc",
            b"\x00\x82abc",
            b"\x00\xc4",
            b"\x00\xc2\x01",
            b"\x00\xc3\x03\x81\x00\x00\x00\x00\x10\x00\x00\x00\x01ab",
            b"\x00\xc3\xc0\x01\x01a",
            b"\xff\x03abc",
        ] {
            assert_eq!(restore(body), Err(RdbError::BadData), "{body:x?}");
        }
        assert_eq!(restore(b"\x07\x01\x01a"), Err(RdbError::UnsupportedType(7)), "a module's");
        assert_eq!(restore(b"\x00\x03abcd"), Err(RdbError::BadData), "nothing may follow");
    }

    #[test]
    fn lengths_take_their_shortest_form() {
        for (length, bytes) in [
            (0, &b"\x00"[..]),
            (63, b"\x3f"),
            (64, b"\x40\x40"),
            (16_383, b"\x7f\xff"),
            (16_384, b"\x80\x00\x00\x40\x00"),
            (u64::from(u32::MAX), b"\x80\xff\xff\xff\xff"),
            (1 << 32, b"\x81\x00\x00\x00\x01\x00\x00\x00\x00"),
        ] {
            let mut out = Vec::new();
            write_length(&mut out, length);
            assert_eq!(out, bytes);
            assert_eq!(Reader { rest: bytes }.length(), Ok(length));
        }
    }
}
