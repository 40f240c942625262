//! Decimal numbers on the wire: the strict integer syntax of lengths and of integer arguments,
//! and the headers (`$12\r\n`, `*3\r\n`, `:0\r\n`) that almost every reply contains.

/// Reads a signed 64-bit integer as Redis reads lengths and integer arguments: decimal, no space,
/// no plus sign, no leading zero, no `-0`. There is one spelling of every number, so a stored
/// text that parses can be replaced by the number.
///
/// ```
/// use kvdb_resp::parse_i64;
///
/// assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
/// assert_eq!(parse_i64(b"007"), None);
/// ```
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    if text == b"0" {
        return Some(0);
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits, [b'1'..=b'9', ..]) || digits.len() > 19 {
        return None;
    }
    // Nineteen digits stay below 10^19, which a u64 holds: no step can overflow.
    let mut magnitude = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

const SHORT_HEADERS: usize = 1024;

/// `SHORT[n]` is the header of `n` as little-endian bytes: room for the marker, the digits, CRLF,
/// and in the last byte the length of all of that. One load and one eight-byte store write it.
static SHORT: [u64; SHORT_HEADERS] = {
    let mut table = [0; SHORT_HEADERS];
    let mut n = 0;
    while n < SHORT_HEADERS {
        table[n] = short_header(n as u64);
        n += 1;
    }
    table
};

const fn short_header(n: u64) -> u64 {
    let digits = if n >= 1000 {
        4
    } else if n >= 100 {
        3
    } else if n >= 10 {
        2
    } else {
        1
    };
    let mut bytes = [0u8; 8];
    let mut rest = n;
    let mut i = digits;
    while i > 0 {
        bytes[i] = b'0' + (rest % 10) as u8;
        rest /= 10;
        i -= 1;
    }
    bytes[digits + 1] = b'\r';
    bytes[digits + 2] = b'\n';
    bytes[7] = digits as u8 + 3;
    u64::from_le_bytes(bytes)
}

/// Appends `marker`, `n` in decimal, CRLF.
#[inline]
pub(crate) fn push_header(out: &mut Vec<u8>, marker: u8, n: usize) {
    if let Some(&short) = SHORT.get(n) {
        let word = short | u64::from(marker);
        let end = out.len() + usize::from(word.to_le_bytes()[7]);
        out.extend_from_slice(&word.to_le_bytes());
        out.truncate(end);
    } else {
        push_long_header(out, marker, itoa::Buffer::new().format(n));
    }
}

/// Appends `marker`, `n` in decimal with its sign, CRLF.
#[inline]
pub(crate) fn push_signed_header(out: &mut Vec<u8>, marker: u8, n: i64) {
    match usize::try_from(n) {
        Ok(n) if n < SHORT_HEADERS => push_header(out, marker, n),
        _ => push_long_header(out, marker, itoa::Buffer::new().format(n)),
    }
}

fn push_long_header(out: &mut Vec<u8>, marker: u8, digits: &str) {
    out.reserve(digits.len() + 3);
    out.push(marker);
    out.extend_from_slice(digits.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_of_a_number_is_read() {
        for n in [0, 1, -1, 9, 10, 1023, -5, i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(parse_i64(n.to_string().as_bytes()), Some(n));
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "-01",
            "00",
            "1a",
            "a1",
            " 1",
            "1 ",
            "0x1",
            "--1",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "1000000000000000000000000000",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn headers_equal_their_formatted_text() {
        for n in (0..3000).chain([usize::MAX]) {
            let mut out = b"before".to_vec();
            push_header(&mut out, b'$', n);
            assert_eq!(out, format!("before${n}\r\n").into_bytes());
        }
        for n in [-1025, -1, 0, 1023, 1024, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            push_signed_header(&mut out, b':', n);
            assert_eq!(out, format!(":{n}\r\n").into_bytes());
        }
    }
}
