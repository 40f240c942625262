//! Numbers as Redis reads them from arguments and values, and prints them.
//!
//! Each of these is stricter or laxer than what the standard library does in some corner that
//! applications can see, so the corner is stated at each function.

use super::extended::{Extended, hexadecimal, is_infinity, round_to};
use super::natural::TopBits;
use std::fmt;

/// The longest text that [`parse_float`] reads, in bytes.
const MAX_FLOAT_TEXT: usize = 5 * 1024 - 1;

pub use kvdb_resp::parse_i64;

/// Reads an unsigned integer in its canonical form, over the whole range of `u64`.
#[must_use]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

/// Reads the number of INCRBYFLOAT and HINCRBYFLOAT: decimal or hexadecimal, or an infinity in any
/// case; not NaN, and nothing before or after it, not even a space. What overflows, or underflows
/// to zero, is not a number either.
#[must_use]
pub fn parse_float(text: &[u8]) -> Option<Extended> {
    if text.len() > MAX_FLOAT_TEXT {
        return None;
    }
    Extended::parse(text).ok()
}

/// Reads a double, such as a score or a coordinate, by the rules of [`parse_float`].
#[must_use]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let (value, in_range) = parse_double(text)?;
    in_range.then_some(value)
}

/// Reads an end of a range of scores as the C library reads a double: white space may stand before it, what overflows is
/// infinite, what underflows is 0, and so is nothing at all. Not NaN.
#[must_use]
pub fn parse_range_end(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let spaces = text.iter().take_while(|byte| is_space(byte)).count();
    parse_double(&text[spaces..]).map(|(value, _)| value)
}

/// Reads what SORT sorts by, as the C library reads a double: white space may stand before it, a zero byte ends it, and
/// nothing at all is 0. Not NaN, nor what overflows or loses precision near zero.
#[must_use]
pub fn parse_weight(text: &[u8]) -> Option<f64> {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let spaces = text.iter().take_while(|byte| is_space(byte)).count();
    let (value, in_range) = parse_double(&text[spaces..])?;
    // Hexadecimal digits name such a number exactly.
    let is_exact = !value.is_subnormal() || text.iter().any(|byte| matches!(byte, b'x' | b'X'));
    (in_range && is_exact).then_some(value)
}

/// A double, and whether it is in range.
fn parse_double(text: &[u8]) -> Option<(f64, bool)> {
    let (sign, magnitude) = match text {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+', rest @ ..] => (1.0, rest),
        _ => (1.0, text),
    };
    if is_infinity(magnitude) {
        return Some((sign * f64::INFINITY, true));
    }
    let (value, nonzero) = if let [b'0', b'x' | b'X', digits @ ..] = magnitude {
        let bits = hexadecimal(digits)?;
        (binary_to_f64(bits), bits.top != 0)
    } else {
        if !matches!(magnitude, [b'0'..=b'9' | b'.', ..]) {
            return None;
        }
        let value: f64 = std::str::from_utf8(magnitude).ok()?.parse().ok()?;
        let mantissa = magnitude.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
        (value, value != 0.0 || mantissa.copied().any(|byte| matches!(byte, b'1'..=b'9')))
    };
    let in_range = value.is_finite() && (value != 0.0 || !nonzero);
    Some((sign * value, in_range))
}

/// The nearest double to `(top + something below one) × 2^shift`.
fn binary_to_f64(bits: TopBits) -> f64 {
    const PRECISION: u32 = f64::MANTISSA_DIGITS;
    const MIN_EXPONENT: i32 = f64::MIN_EXP - PRECISION.cast_signed();
    let (significand, exponent) = round_to(bits, PRECISION, MIN_EXPONENT);
    if exponent > f64::MAX_EXP - PRECISION.cast_signed() {
        return f64::INFINITY;
    }
    // The top bit of a normal significand is not stored: it adds one to the exponent field, whose
    // zero means the least exponent. A subnormal has no such bit and the field stays zero.
    let field = u64::from((exponent - MIN_EXPONENT).unsigned_abs());
    f64::from_bits((field << (PRECISION - 1)) + significand)
}

/// Prints a double as Redis 7.2 does: integers below 2^52 as integers; others with the fewest digits
/// that read back as the same double, with an exponent only where plain notation would be long.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    const EXACT: f64 = (1_u64 << 52) as f64;
    if value.is_nan() {
        out.extend_from_slice(b"nan");
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = value.abs();
    if magnitude.is_infinite() {
        out.extend_from_slice(b"inf");
    } else if magnitude < EXACT && magnitude.trunc() == magnitude {
        out.extend_from_slice(itoa::Buffer::new().format(magnitude as u64).as_bytes());
    } else {
        write_shortest(out, magnitude);
    }
}

/// Prints a positive finite double that is not a small integer.
fn write_shortest(out: &mut Vec<u8>, magnitude: f64) {
    let scientific = format!("{magnitude:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("the `e` format always has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent of the `e` format is an integer");
    let digits: Vec<u8> = mantissa.bytes().filter(|byte| *byte != b'.').collect();
    let count = digits.len() as i32;
    // The value is the digits, read as an integer, times ten to this power.
    let scale = exponent - (count - 1);
    if scale >= 0 && exponent < count + 7 {
        out.extend_from_slice(&digits);
        out.extend(std::iter::repeat_n(b'0', scale.unsigned_abs() as usize));
    } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        if exponent < 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', (exponent + 1).unsigned_abs() as usize));
            out.extend_from_slice(&digits);
        } else {
            let (whole, fraction) = digits.split_at(exponent.unsigned_abs() as usize + 1);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
    } else {
        out.extend_from_slice(mantissa.as_bytes());
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        out.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
    }
}

/// Reads a memory size in bytes, as `maxmemory` takes it: digits and a unit in any case, where `k`,
/// `m` and `g` are powers of 1000 and `kb`, `mb` and `gb` powers of 1024.
///
/// As in Redis no digits mean zero. What `u64` cannot hold is refused (Redis lets it wrap around).
#[must_use]
pub fn parse_memory_size(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let mut value = 0_u64;
    for byte in digits {
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    value.checked_mul(unit)
}

/// Why a text is no timeout. The text for the client is in `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutError {
    /// A timeout in seconds is not a number.
    NotAFloat,
    /// A timeout in milliseconds is not an integer.
    NotAnInteger,
    /// The timeout is below zero.
    Negative,
    /// The timeout ends after the last instant that can be told.
    OutOfRange,
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAFloat => "timeout is not a float or out of range",
            Self::NotAnInteger => "timeout is not an integer or out of range",
            Self::Negative => "timeout is negative",
            Self::OutOfRange => "timeout is out of range",
        })
    }
}

impl std::error::Error for TimeoutError {}

/// Reads the timeout of a blocking command in seconds, with a fraction, and returns the deadline:
/// milliseconds on the clock that says `now`, rounded up, or `None` for a timeout of zero, which
/// waits for ever.
///
/// # Errors
/// The text is not a number, is negative, or is beyond the range of `i64` milliseconds.
pub fn parse_timeout_seconds(text: &[u8], now: u64) -> Result<Option<u64>, TimeoutError> {
    let seconds = parse_float(text).ok_or(TimeoutError::NotAFloat)?;
    match seconds.times(1000).ceil() {
        Some(milliseconds) => deadline(milliseconds, now),
        None if seconds.is_negative() => Err(TimeoutError::Negative),
        None => Err(TimeoutError::OutOfRange),
    }
}

/// Reads a timeout in whole milliseconds; otherwise as [`parse_timeout_seconds`].
///
/// # Errors
/// The text is not an integer, is negative, or is beyond the range of `i64` milliseconds.
pub fn parse_timeout_milliseconds(text: &[u8], now: u64) -> Result<Option<u64>, TimeoutError> {
    deadline(parse_i64(text).ok_or(TimeoutError::NotAnInteger)?, now)
}

fn deadline(milliseconds: i64, now: u64) -> Result<Option<u64>, TimeoutError> {
    let milliseconds = u64::try_from(milliseconds).map_err(|_| TimeoutError::Negative)?;
    if milliseconds == 0 {
        return Ok(None);
    }
    let deadline = milliseconds.checked_add(now).ok_or(TimeoutError::OutOfRange)?;
    i64::try_from(deadline).map_err(|_| TimeoutError::OutOfRange)?;
    Ok(Some(deadline))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form() {
        for (text, value) in
            [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(parse_i64(text.as_bytes()), Some(value), "{text}");
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
            "1a",
            "0x1",
            "-01",
            "1.0",
            "--1",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"-1"), None);
        assert_eq!(parse_u64(b"00"), None);
    }

    #[test]
    fn doubles() {
        for (text, value) in [
            ("1.", 1.0),
            (".5", 0.5),
            ("+1e3", 1000.0),
            ("-inf", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
            ("0x10", 16.0),
            ("-0x.8p1", -1.0),
            ("0e999999", 0.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1p-1074", 5e-324),
            ("0x0.8p-1022", 2f64.powi(-1023)),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080001p0", 1.0 + f64::EPSILON),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "",
            ".",
            "-",
            "e5",
            "1e",
            "1e+",
            "nan",
            " 1",
            "1 ",
            "1_0",
            "0x",
            "0x1p",
            "1e400",
            "1e-400",
            "0x1p1024",
            "0x1p-1080",
            "--1",
            "+-1",
            "infinit",
            "1\0",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
        for (text, value) in [
            ("", 0.0),
            (" \t\x0b1", 1.0),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e-400", 0.0),
            ("-inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(parse_range_end(text.as_bytes()), Some(value), "{text}");
        }
        for text in [" ", "-", "1 ", "nan", "1x", "(1"] {
            assert_eq!(parse_range_end(text.as_bytes()), None, "{text}");
        }
        assert!(parse_f64(b"-0").is_some_and(|zero| zero == 0.0 && zero.is_sign_negative()));
    }

    #[test]
    fn doubles_print_short() {
        let print = |value| {
            let mut out = Vec::new();
            write_f64(&mut out, value);
            String::from_utf8(out).unwrap()
        };
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (1.5, "1.5"),
            (f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (1e15, "1000000000000000"),
            (1e17, "1e+17"),
            (1.5e20, "1.5e+20"),
            (1e-7, "1e-7"),
            (0.000_123, "0.000123"),
            (1.25e-10, "1.25e-10"),
            (5e-324, "5e-324"),
            (123_456_789.125, "123456789.125"),
            (2f64.powi(53), "9007199254740992"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-1e21, "-1e+21"),
        ] {
            assert_eq!(print(value), text);
        }
    }

    #[test]
    fn memory_sizes() {
        for (text, size) in [
            ("0", 0),
            ("1", 1),
            ("1b", 1),
            ("1k", 1000),
            ("1Kb", 1024),
            ("2m", 2_000_000),
            ("1mb", 1 << 20),
            ("1g", 1_000_000_000),
            ("1GB", 1 << 30),
            ("01", 1),
            ("", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_memory_size(text.as_bytes()), Some(size), "{text}");
        }
        for text in ["-1", "1t", "1.5", "+1", " 1", "1kbx", "18446744073709551615k", "18446744073709551616"] {
            assert_eq!(parse_memory_size(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn timeouts() {
        let seconds = |text: &str| parse_timeout_seconds(text.as_bytes(), 1000);
        assert_eq!(seconds("0"), Ok(None));
        assert_eq!(seconds("0.0001"), Ok(Some(1001)));
        assert_eq!(seconds("1.5"), Ok(Some(2500)));
        assert_eq!(seconds("-0.0001"), Ok(None), "rounded up to zero, as in Redis");
        assert_eq!(seconds("-1"), Err(TimeoutError::Negative));
        assert_eq!(seconds("-1e300"), Err(TimeoutError::Negative));
        assert_eq!(seconds("-inf"), Err(TimeoutError::Negative));
        assert_eq!(seconds("1e300"), Err(TimeoutError::OutOfRange));
        assert_eq!(seconds("inf"), Err(TimeoutError::OutOfRange));
        assert_eq!(seconds("9223372036854775.807"), Err(TimeoutError::OutOfRange));
        assert_eq!(seconds("soon"), Err(TimeoutError::NotAFloat));
        assert_eq!(parse_timeout_milliseconds(b"5", 1000), Ok(Some(1005)));
        assert_eq!(parse_timeout_milliseconds(b"0", 1000), Ok(None));
        assert_eq!(parse_timeout_milliseconds(b"-5", 1000), Err(TimeoutError::Negative));
        assert_eq!(parse_timeout_milliseconds(b"1.5", 1000), Err(TimeoutError::NotAnInteger));
    }
}
