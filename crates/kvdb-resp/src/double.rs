//! Doubles as text, as Redis 7.2 and later print them: the fewest digits that read back as the
//! same number. (Redis 7.0 printed `%.17g`, so `0.1` came out as `0.10000000000000001`.)
//!
//! Integers up to 2^62 are written in full. Otherwise the digits d₁…dₙ and the exponent of the
//! last of them, k, decide: in full while at most seven zeros follow (`k < 8`), as a decimal
//! fraction while the number does not start too far behind the point (`k > -7`, or a leading
//! digit above 10^-4), and in scientific notation with a sign and no padding (`1e+20`, `1e-7`)
//! beyond. Infinities are `inf` and `-inf`, every NaN is `nan`, and negative zero is `-0`.

use std::io::Write;

/// The text of `value`.
///
/// ```
/// use kvdb_resp::format_double;
///
/// assert_eq!(format_double(0.1), "0.1");
/// assert_eq!(format_double(3.0), "3");
/// assert_eq!(format_double(1e20), "1e+20");
/// assert_eq!(format_double(f64::NEG_INFINITY), "-inf");
/// ```
#[must_use]
pub fn format_double(value: f64) -> String {
    DoubleText::new(value).as_str().to_owned()
}

/// The text of a double on the stack. The longest has a sign, a leading `0.` with three zeros and
/// seventeen digits, or a sign and twenty-four digits.
pub(crate) struct DoubleText {
    bytes: [u8; 32],
    len: usize,
}

/// The magnitude up to which integral doubles are printed as integers.
const INTEGER_LIMIT: f64 = (1u64 << 62) as f64;

impl DoubleText {
    pub(crate) fn new(value: f64) -> Self {
        let mut text = Self { bytes: [0; 32], len: 0 };
        if value.is_nan() {
            text.push(b"nan");
        } else if value.is_infinite() {
            text.push(if value > 0.0 { b"inf" } else { b"-inf" });
        } else if value == 0.0 {
            text.push(if value.is_sign_negative() { b"-0" } else { b"0" });
        } else if value.abs() <= INTEGER_LIMIT && value.fract() == 0.0 {
            text.push(itoa::Buffer::new().format(value as i64).as_bytes());
        } else {
            text.finite(value);
        }
        text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).expect("a formatted double is ASCII")
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn push_zeros(&mut self, count: usize) {
        self.bytes[self.len..self.len + count].fill(b'0');
        self.len += count;
    }

    fn finite(&mut self, value: f64) {
        if value < 0.0 {
            self.push(b"-");
        }
        let (digits, count, leading) = shortest(value.abs());
        let digits = &digits[..count];
        // The exponents of the first and of the last digit.
        let last = leading + 1 - count as i32;
        let magnitude = leading.unsigned_abs() as usize;
        if last >= 0 && magnitude < count + 7 {
            self.push(digits);
            self.push_zeros(last.unsigned_abs() as usize);
        } else if last < 0 && (last > -7 || magnitude < 4) {
            if leading < 0 {
                self.push(b"0.");
                self.push_zeros(magnitude - 1);
                self.push(digits);
            } else {
                let (whole, fraction) = digits.split_at(magnitude + 1);
                self.push(whole);
                self.push(b".");
                self.push(fraction);
            }
        } else {
            let (first, rest) = digits.split_at(1);
            self.push(first);
            if !rest.is_empty() {
                self.push(b".");
                self.push(rest);
            }
            self.push(if leading < 0 { b"e-" } else { b"e+" });
            self.push(itoa::Buffer::new().format(magnitude).as_bytes());
        }
    }
}

/// The shortest digits that identify a finite positive `value`, how many they are, and the
/// decimal exponent of the first.
fn shortest(value: f64) -> ([u8; 20], usize, i32) {
    let mut scientific = [0u8; 32];
    let mut unwritten = &mut scientific[..];
    write!(unwritten, "{value:e}").expect("17 digits, a point and an exponent fit 32 bytes");
    let len = 32 - unwritten.len();
    let e =
        scientific[..len].iter().position(|&byte| byte == b'e').expect("scientific notation has an exponent");
    let exponent = str::from_utf8(&scientific[e + 1..len])
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("the exponent of a double is a small integer");
    let mut digits = [0; 20];
    let mut count = 0;
    for &byte in scientific[..e].iter().filter(|byte| **byte != b'.') {
        digits[count] = byte;
        count += 1;
    }
    (digits, count, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_notation_follows_the_magnitude() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (100_000.0, "100000"),
            (1e17, "100000000000000000"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (9.3e18, "9.3e+18"),
            (1e20, "1e+20"),
            (1e21, "1e+21"),
            (1_234_567_890_123_456.7, "1234567890123456.8"),
            (123_456_789_012_345_690_000_000.0, "123456789012345690000000"),
            (1.234_567_890_123_456_8e24, "1.2345678901234568e+24"),
            (1.5, "1.5"),
            (-1.5, "-1.5"),
            (123_456.789, "123456.789"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.001, "0.001"),
            (0.000_01, "0.00001"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-6, "1.5e-6"),
            (0.001_234_567_891_234, "0.001234567891234"),
            (0.000_123_456_789, "1.23456789e-4"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (-f64::MAX, "-1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (-f64::NAN, "nan"),
        ] {
            assert_eq!(format_double(value), text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn every_text_reads_back_as_the_same_number(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(format_double(value).parse::<f64>().unwrap().to_bits(), bits);
        }

        #[test]
        fn short_decimals_read_back(n in -1_000_000_000i64..1_000_000_000, scale in -25i32..25) {
            let value: f64 = format!("{n}e{scale}").parse().unwrap();
            prop_assert_eq!(format_double(value).parse::<f64>().unwrap(), value);
        }
    }
}
