//! Numbers as C reads and writes them: `strtod` and `%.14g`.

use std::io::Write;

/// Appends a finite number with `digits` significant digits, as `printf("%.*g")` does: without trailing zeros, and in
/// scientific notation where the exponent is below -4 or not below `digits`.
pub(super) fn push_general(out: &mut Vec<u8>, value: f64, digits: u32) {
    if value.fract() == 0.0
        && value.abs() < 10f64.powi(digits as i32)
        && !(value == 0.0 && value.is_sign_negative())
    {
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
        return;
    }
    let digits = digits.max(1) as usize;
    let text = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = text.split_once('e').expect("a number in scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is an integer");
    if exponent < -4 || exponent >= digits as i32 {
        out.extend_from_slice(trim(mantissa).as_bytes());
        write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
            .expect("a vector takes all");
    } else {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        out.extend_from_slice(trim(&format!("{value:.decimals$}")).as_bytes());
    }
}

/// Without zeros, and a point, at the end of a fraction.
fn trim(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Reads the longest prefix that is a number: decimal, hexadecimal, `inf`, `infinity` or `nan`, in any case. Returns it
/// with its length.
pub(super) fn read_prefix(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text, [b'+' | b'-', ..]));
    let unsigned = &text[sign..];
    let begins =
        |word: &[u8]| unsigned.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let (magnitude, len) = if begins(b"infinity") {
        (f64::INFINITY, 8)
    } else if begins(b"inf") {
        (f64::INFINITY, 3)
    } else if begins(b"nan") {
        (f64::NAN, 3)
    } else {
        hexadecimal(unsigned).or_else(|| decimal(unsigned))?
    };
    Some((if text.starts_with(b"-") { -magnitude } else { magnitude }, sign + len))
}

fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    let mut len = scan(text, u8::is_ascii_digit).0;
    if let Some(exponent) = exponent_len(&text[len..], b'e') {
        len += exponent;
    }
    let number = str::from_utf8(&text[..len]).ok()?.parse().ok()?;
    Some((number, len))
}

fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    let [b'0', b'x' | b'X', digits @ ..] = text else { return None };
    let (len, point) = scan(digits, u8::is_ascii_hexdigit);
    // Digits beyond the sixteenth significant one only scale: more than a double holds.
    let (mut mantissa, mut scale) = (0u64, 0i32);
    for (index, byte) in digits[..len].iter().enumerate() {
        let Some(digit) = char::from(*byte).to_digit(16) else { continue };
        let is_fraction = point.is_some_and(|point| index > point);
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
            scale -= if is_fraction { 4 } else { 0 };
        } else if !is_fraction {
            scale = scale.saturating_add(4);
        }
    }
    if len == usize::from(point.is_some()) {
        return None;
    }
    let mut total = 2 + len;
    if let Some(exponent) = exponent_len(&digits[len..], b'p') {
        let text = str::from_utf8(&digits[len + 1..len + exponent]).ok()?;
        scale = scale.saturating_add(text.parse().unwrap_or(if text.starts_with('-') {
            -99_999
        } else {
            99_999
        }));
        total += exponent;
    }
    Some((mantissa as f64 * 2f64.powi(scale), total))
}

/// The length of digits with at most one point among them, and where the point is.
fn scan(text: &[u8], is_digit: fn(&u8) -> bool) -> (usize, Option<usize>) {
    let mut point = None;
    let end = text.iter().enumerate().position(|(index, byte)| {
        if *byte == b'.' && point.is_none() {
            point = Some(index);
            return false;
        }
        !is_digit(byte)
    });
    (end.unwrap_or(text.len()), point)
}

/// The length of an exponent, if there is a whole one.
fn exponent_len(text: &[u8], marker: u8) -> Option<usize> {
    let [first, rest @ ..] = text else { return None };
    if first.to_ascii_lowercase() != marker {
        return None;
    }
    let sign = usize::from(matches!(rest, [b'+' | b'-', ..]));
    let digits = rest[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0).then_some(1 + sign + digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn general(value: f64, digits: u32) -> String {
        let mut out = Vec::new();
        push_general(&mut out, value, digits);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_printf_writes_them() {
        for (value, digits, text) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (100.0, 14, "100"),
            (1.0 / 3.0, 14, "0.33333333333333"),
            (1.0 / 3.0, 3, "0.333"),
            (1e15, 14, "1e+15"),
            (123_456_789_012_345.0, 14, "1.2345678901234e+14"),
            (0.0001, 14, "0.0001"),
            (0.00001, 14, "1e-05"),
            (-1.5e-7, 14, "-1.5e-07"),
            (1e100, 14, "1e+100"),
            (99.99, 2, "1e+02"),
            (9.99, 2, "10"),
        ] {
            assert_eq!(general(value, digits), text);
        }
    }

    #[test]
    fn the_longest_number_at_the_start_is_read() {
        for (text, number, len) in [
            ("1", 1.0, 1),
            ("+1.5e3,", 1500.0, 6),
            ("-.5", -0.5, 3),
            ("1.", 1.0, 2),
            ("1e", 1.0, 1),
            ("1e+x", 1.0, 1),
            ("0x10", 16.0, 4),
            ("-0x1p4", -16.0, 6),
            ("0x.8", 0.5, 4),
            ("0x", 0.0, 1),
            ("0xg", 0.0, 1),
            ("1e999", f64::INFINITY, 5),
            ("-Infinity]", f64::NEG_INFINITY, 9),
            ("infi", f64::INFINITY, 3),
        ] {
            assert_eq!(read_prefix(text.as_bytes()), Some((number, len)), "{text}");
        }
        for text in ["", "-", ".", "a", "-a", "e5"] {
            assert_eq!(read_prefix(text.as_bytes()), None, "{text}");
        }
        assert!(read_prefix(b"nan").is_some_and(|(number, len)| number.is_nan() && len == 3));
    }
}
