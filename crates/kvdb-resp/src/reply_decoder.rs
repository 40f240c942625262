//! Replies from bytes, resumable at every byte.

use crate::{ReplyError, Value, number};

/// Bounds on one reply. They hold before anything is allocated for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyLimits {
    /// Bytes per string or line.
    pub max_bulk: usize,
    /// Aggregates within aggregates.
    pub max_depth: usize,
    /// Elements of all aggregates of one reply; a pair of a map counts as two.
    pub max_elements: usize,
}

impl Default for ReplyLimits {
    /// What a well-behaved server stays below: strings of 512 MiB, 64 levels, 16 Mi elements.
    fn default() -> Self {
        Self { max_bulk: 512 * 1024 * 1024, max_depth: 64, max_elements: 16 * 1024 * 1024 }
    }
}

/// The longest line that holds a number: a double may have a few hundred digits.
const MAX_NUMBER_LINE: usize = 512;

/// The elements of an aggregate that are given room before they have arrived.
const TRUSTED_ELEMENTS: usize = 64;

/// Splits a byte stream into replies; one per connection.
///
/// As with the request decoder, the buffer starts at the first byte of the reply being decoded,
/// and holds the same bytes and more on every call until that reply is complete. Attributes are
/// read and dropped.
///
/// ```
/// use kvdb_resp::{ReplyDecoder, ReplyLimits, Value};
///
/// let mut decoder = ReplyDecoder::default();
/// let limits = ReplyLimits::default();
/// assert_eq!(decoder.decode(b"*2\r\n:1\r\n$2\r\nhi", &limits), Ok(None));
/// let (value, consumed) = decoder.decode(b"*2\r\n:1\r\n$2\r\nhi\r\n+OK", &limits).unwrap().unwrap();
/// assert_eq!(value, Value::Array(vec![Value::Integer(1), Value::bulk("hi")]));
/// assert_eq!(consumed, 16);
/// ```
///
/// # Invariants
/// - What a stream decodes to does not depend on how it is cut into buffers.
/// - The element that starts at `at` is the next of the innermost, last, aggregate in `open`.
/// - Every aggregate in `open` misses at least one element.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    open: Vec<Open>,
    at: usize,
    /// How far the line at `at` has been searched for its end.
    searched: usize,
    /// Elements announced so far by the aggregates of this reply.
    elements: usize,
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    missing: usize,
    elements: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Set,
    Push,
    Map,
    Attribute,
}

/// What one step has read: a value, the head of an aggregate, or not enough.
enum Element {
    Value(Value, usize),
    Head(Kind, usize, usize),
    Unfinished,
}

impl ReplyDecoder {
    /// Reads the reply at the start of `buf` and tells how long it was, or `None` if it goes on
    /// beyond the buffer.
    ///
    /// # Errors
    /// If the bytes are not a reply or exceed `limits`. The stream cannot be resynchronised: the
    /// caller closes it. The decoder is left as after [`reset`](Self::reset).
    pub fn decode(&mut self, buf: &[u8], limits: &ReplyLimits) -> Result<Option<(Value, usize)>, ReplyError> {
        let decoded = self.resume(buf, limits);
        if !matches!(decoded, Ok(None)) {
            self.reset();
        }
        decoded
    }

    /// Forgets a reply under way; the next buffer starts a new one.
    pub fn reset(&mut self) {
        self.open.clear();
        self.at = 0;
        self.searched = 0;
        self.elements = 0;
    }

    fn resume(&mut self, buf: &[u8], limits: &ReplyLimits) -> Result<Option<(Value, usize)>, ReplyError> {
        loop {
            let complete = match self.element(buf, limits)? {
                Element::Unfinished => return Ok(None),
                Element::Value(value, next) => {
                    self.advance(next);
                    Some(value)
                }
                Element::Head(kind, len, next) => {
                    self.advance(next);
                    self.enter(kind, len, limits)?
                }
            };
            if let Some(value) = complete.and_then(|value| self.place(value)) {
                return Ok(Some((value, self.at)));
            }
        }
    }

    fn advance(&mut self, next: usize) {
        self.at = next;
        self.searched = 0;
    }

    /// Begins an aggregate; one without elements is complete at once.
    fn enter(&mut self, kind: Kind, len: usize, limits: &ReplyLimits) -> Result<Option<Value>, ReplyError> {
        let missing = match kind {
            Kind::Map | Kind::Attribute => len.checked_mul(2).ok_or(ReplyError::TooManyElements)?,
            _ => len,
        };
        if missing > limits.max_elements - self.elements.min(limits.max_elements) {
            return Err(ReplyError::TooManyElements);
        }
        self.elements += missing;
        if self.open.len() >= limits.max_depth {
            return Err(ReplyError::TooDeep);
        }
        if missing == 0 {
            return Ok(kind.build(Vec::new()));
        }
        self.open.push(Open { kind, missing, elements: Vec::with_capacity(missing.min(TRUSTED_ELEMENTS)) });
        Ok(None)
    }

    /// Puts a value into the aggregate it belongs to, and that one into its own if this completes
    /// it. Answers the reply when nothing is open any more.
    fn place(&mut self, mut value: Value) -> Option<Value> {
        loop {
            let Some(innermost) = self.open.last_mut() else {
                return Some(value);
            };
            innermost.elements.push(value);
            innermost.missing -= 1;
            if innermost.missing > 0 {
                return None;
            }
            let full = self.open.pop()?;
            value = full.kind.build(full.elements)?;
        }
    }

    fn element(&mut self, buf: &[u8], limits: &ReplyLimits) -> Result<Element, ReplyError> {
        let Some(&marker) = buf.get(self.at) else {
            return Ok(Element::Unfinished);
        };
        let longest = match marker {
            b'+' | b'-' | b'(' => limits.max_bulk,
            b':' | b'$' | b'*' | b'_' | b'#' | b',' | b'!' | b'=' | b'%' | b'~' | b'>' | b'|' => {
                MAX_NUMBER_LINE
            }
            other => return Err(ReplyError::UnknownType(other)),
        };
        let Some((line, next)) = self.line(buf, longest)? else {
            return Ok(Element::Unfinished);
        };
        let value = match marker {
            b'+' => Value::Simple(line.to_vec()),
            b'-' => Value::Error(line.to_vec()),
            b':' => Value::Integer(integer(line)?),
            b',' => Value::Double(double(line)?),
            b'(' => Value::BigNumber(big_number(line)?.to_vec()),
            b'#' => Value::Boolean(match line {
                b"t" => true,
                b"f" => false,
                _ => return Err(ReplyError::InvalidNumber),
            }),
            b'_' if line.is_empty() => Value::Null,
            b'_' => return Err(ReplyError::MissingTerminator),
            b'$' | b'*' if line == b"-1" => Value::Null,
            b'$' | b'!' | b'=' => return bulk(buf, marker, length(line)?, next, limits),
            b'*' => return Ok(Element::Head(Kind::Array, length(line)?, next)),
            b'%' => return Ok(Element::Head(Kind::Map, length(line)?, next)),
            b'~' => return Ok(Element::Head(Kind::Set, length(line)?, next)),
            b'>' => return Ok(Element::Head(Kind::Push, length(line)?, next)),
            _ => return Ok(Element::Head(Kind::Attribute, length(line)?, next)),
        };
        Ok(Element::Value(value, next))
    }

    /// The line at `at` without its marker and CRLF, and the offset after it.
    fn line<'b>(&mut self, buf: &'b [u8], longest: usize) -> Result<Option<(&'b [u8], usize)>, ReplyError> {
        let rest = &buf[self.at + 1..];
        let window = &rest[..rest.len().min(longest.saturating_add(1))];
        let found = memchr::memchr(b'\r', &window[self.searched..]);
        let Some(cr) = found.map(|i| i + self.searched) else {
            self.searched = window.len();
            return if window.len() > longest { Err(ReplyError::BulkTooLong) } else { Ok(None) };
        };
        self.searched = cr;
        match rest.get(cr + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some((&rest[..cr], self.at + 1 + cr + 2))),
            Some(_) => Err(ReplyError::MissingTerminator),
        }
    }
}

impl Kind {
    /// The value of these elements; an attribute is none.
    fn build(self, elements: Vec<Value>) -> Option<Value> {
        Some(match self {
            Self::Array => Value::Array(elements),
            Self::Set => Value::Set(elements),
            Self::Push => Value::Push(elements),
            Self::Map => {
                let mut pairs = Vec::with_capacity(elements.len() / 2);
                let mut elements = elements.into_iter();
                while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
                    pairs.push((key, value));
                }
                Value::Map(pairs)
            }
            Self::Attribute => return None,
        })
    }
}

/// A string of `len` bytes at `start`.
fn bulk(
    buf: &[u8],
    marker: u8,
    len: usize,
    start: usize,
    limits: &ReplyLimits,
) -> Result<Element, ReplyError> {
    if len > limits.max_bulk {
        return Err(ReplyError::BulkTooLong);
    }
    let end = start + len;
    let Some(terminator) = buf.get(end..end + 2) else {
        return Ok(Element::Unfinished);
    };
    if terminator != b"\r\n" {
        return Err(ReplyError::MissingTerminator);
    }
    let bytes = &buf[start..end];
    let value = match (marker, bytes) {
        (b'$', _) => Value::Bulk(bytes.to_vec()),
        (b'!', _) => Value::Error(bytes.to_vec()),
        (_, [a, b, c, b':', text @ ..]) => Value::Verbatim([*a, *b, *c], text.to_vec()),
        _ => return Err(ReplyError::InvalidVerbatim),
    };
    Ok(Element::Value(value, end + 2))
}

fn length(line: &[u8]) -> Result<usize, ReplyError> {
    number::parse_i64(line).and_then(|n| usize::try_from(n).ok()).ok_or(ReplyError::InvalidLength)
}

/// An integer; RESP3 allows a plus sign.
fn integer(line: &[u8]) -> Result<i64, ReplyError> {
    number::parse_i64(line.strip_prefix(b"+").unwrap_or(line)).ok_or(ReplyError::InvalidNumber)
}

fn double(line: &[u8]) -> Result<f64, ReplyError> {
    str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(ReplyError::InvalidNumber)
}

fn big_number(line: &[u8]) -> Result<&[u8], ReplyError> {
    let digits = line.strip_prefix(b"-").unwrap_or(line);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReplyError::InvalidNumber);
    }
    Ok(line)
}
