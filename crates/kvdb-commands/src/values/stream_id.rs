//! Ids of entries of streams, as Redis reads them from arguments.

use kvdb_store::types::stream::StreamId;
use std::ops::RangeInclusive;

/// The longest text of an id, in bytes.
const MAX_TEXT: usize = 127;

/// An id whose sequence number may be left to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewId {
    /// The whole of it.
    Full(StreamId),
    /// The milliseconds alone: `5-*`.
    Milliseconds(u64),
}

/// Reads an id; without a sequence number it has the one given here. `-` and `+` are none.
#[must_use]
pub fn parse(text: &[u8], missing_seq: u64) -> Option<StreamId> {
    match split(text)? {
        (ms, None) => Some(StreamId { ms: parse_number(ms)?, seq: missing_seq }),
        (ms, Some(seq)) => Some(StreamId { ms: parse_number(ms)?, seq: parse_number(seq)? }),
    }
}

/// Reads an id, and `-` and `+` as the first and the last.
#[must_use]
pub fn parse_or_end(text: &[u8], missing_seq: u64) -> Option<StreamId> {
    match text {
        b"-" => Some(StreamId::MIN),
        b"+" => Some(StreamId::MAX),
        _ => parse(text, missing_seq),
    }
}

/// Reads the id of XADD, except `*`.
#[must_use]
pub fn parse_new(text: &[u8]) -> Option<NewId> {
    match split(text)? {
        (ms, Some(b"*")) => parse_number(ms).map(NewId::Milliseconds),
        _ => parse(text, 0).map(NewId::Full),
    }
}

/// Why there is no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeError {
    /// An end is no id.
    NotAnId,
    /// Nothing is behind the start.
    Start,
    /// Nothing is before the end.
    End,
}

/// Reads the ends of a range: ids, `-` and `+`, or `(` and an id that is not in it.
///
/// # Errors
/// When an end is no id, or what is left out leaves nothing.
pub fn parse_range(start: &[u8], end: &[u8]) -> Result<RangeInclusive<StreamId>, RangeError> {
    let start = parse_start(start)?;
    let end = match end {
        [b'(', id @ ..] if !id.is_empty() => {
            parse(id, u64::MAX).ok_or(RangeError::NotAnId)?.previous().ok_or(RangeError::End)?
        }
        id => parse_or_end(id, u64::MAX).ok_or(RangeError::NotAnId)?,
    };
    Ok(start..=end)
}

/// Reads the start of a range; see [`parse_range`].
///
/// # Errors
/// When it is no id, or nothing is behind it.
pub fn parse_start(start: &[u8]) -> Result<StreamId, RangeError> {
    match start {
        [b'(', id @ ..] if !id.is_empty() => {
            parse(id, 0).ok_or(RangeError::NotAnId)?.next().ok_or(RangeError::Start)
        }
        id => parse_or_end(id, 0).ok_or(RangeError::NotAnId),
    }
}

/// The texts of milliseconds and sequence number. What is behind a zero byte is not seen, as in C.
fn split(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if text.len() > MAX_TEXT || matches!(text, b"-" | b"+") {
        return None;
    }
    let text = text.split(|&byte| byte == 0).next()?;
    match text.iter().position(|&byte| byte == b'-') {
        Some(at) => Some((&text[..at], Some(&text[at + 1..]))),
        None => Some((text, None)),
    }
}

/// A number as the C library reads it: spaces and a sign may stand before it. A minus wraps, but not in the form that
/// integers have otherwise.
fn parse_number(text: &[u8]) -> Option<u64> {
    if kvdb_resp::parse_i64(text).is_some_and(|number| number < 0) {
        return None;
    }
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !is_space(byte))?;
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if negative { magnitude.wrapping_neg() } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    #[test]
    fn ids_are_read_as_in_redis() {
        for (text, expected) in [
            ("5-7", id(5, 7)),
            ("5", id(5, 9)),
            ("0-0", id(0, 0)),
            ("18446744073709551615-18446744073709551615", StreamId::MAX),
            ("007-01", id(7, 1)),
            (" 5-+7", id(5, 7)),
            ("5- -1", id(5, u64::MAX)),
            ("5\0junk", id(5, 9)),
        ] {
            assert_eq!(parse(text.as_bytes(), 9), Some(expected), "{text:?}");
        }
        for text in
            ["", "-", "+", "a", "5-", "-5", "5-a", "5-7-9", "5 ", "5--1", "18446744073709551616", "*", "5-*"]
        {
            assert_eq!(parse(text.as_bytes(), 9), None, "{text:?}");
        }
        assert_eq!(parse(&[b'0'; 127], 9), Some(id(0, 9)));
        assert_eq!(parse(&[b'0'; 128], 9), None);
        assert_eq!(
            (parse_or_end(b"-", 9), parse_or_end(b"+", 9)),
            (Some(StreamId::MIN), Some(StreamId::MAX))
        );
        assert_eq!(parse_new(b"5-*"), Some(NewId::Milliseconds(5)));
        assert_eq!(parse_new(b"5"), Some(NewId::Full(id(5, 0))));
        assert_eq!((parse_new(b"*-5"), parse_new(b"-*")), (None, None));
    }

    #[test]
    fn ranges_may_leave_their_ends_out() {
        let range = |start: &str, end: &str| parse_range(start.as_bytes(), end.as_bytes());
        assert_eq!(range("-", "+"), Ok(StreamId::MIN..=StreamId::MAX));
        assert_eq!(range("5", "5"), Ok(id(5, 0)..=id(5, u64::MAX)));
        assert_eq!(range("(5", "(5"), Ok(id(5, 1)..=id(5, u64::MAX - 1)));
        assert_eq!(range("(5-18446744073709551615", "(6-0"), Ok(id(6, 0)..=id(5, u64::MAX)));
        assert_eq!(range("(18446744073709551615-18446744073709551615", "+"), Err(RangeError::Start));
        assert_eq!(range("-", "(0-0"), Err(RangeError::End));
        for wrong in ["(", "(-", "(+", "((5", "x"] {
            assert_eq!(range(wrong, "+"), Err(RangeError::NotAnId), "{wrong}");
            assert_eq!(range("-", wrong), Err(RangeError::NotAnId), "{wrong}");
        }
    }
}
