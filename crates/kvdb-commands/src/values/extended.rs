//! The arithmetic of INCRBYFLOAT: x87 extended precision, in software.
//!
//! Redis adds in the C type `long double`, which on x86-64 is the 80-bit extended format: a 64-bit
//! significand, which is why `INCRBYFLOAT` of 0.1 to 0.2 prints `0.3` where doubles would print
//! `0.30000000000000004`. Rust has no such type and other processors have another one, so the four
//! things that are needed are done here on integers, each rounded once, to nearest and ties to even:
//! reading decimal and hexadecimal text, adding, and printing 17 fractional digits. Results equal
//! those of Redis on x86-64 bit for bit, on every processor.

use super::natural::{Natural, TopBits};
use std::fmt;

/// The exponent of the lowest significand bit of the largest finite numbers.
const MAX_EXPONENT: i32 = 16383 - 63;
/// The same of the smallest numbers, which are subnormal.
const MIN_EXPONENT: i32 = -16382 - 63;
/// Numbers of this decimal magnitude or more are beyond the largest one, which is about 1.19e4932.
const MAX_MAGNITUDE: i64 = 4934;
/// Numbers below this decimal magnitude round to zero: the smallest one is about 3.6e-4951.
const MIN_MAGNITUDE: i64 = -4955;

/// Why a text is no [`Extended`] number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The text is not a number, or has something before or after it.
    Malformed,
    /// The number is too large, or so small that it would read as zero.
    OutOfRange,
}

/// A floating-point number of 80-bit extended precision, finite or infinite, never NaN.
///
/// # Invariants
/// - A finite number is `significand × 2^exponent`, `MIN_EXPONENT <= exponent <= MAX_EXPONENT`.
/// - It is normalised: the top bit of the significand is set, unless the exponent is the least one.
/// - An infinity has the significand zero and an exponent above `MAX_EXPONENT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    exponent: i32,
    significand: u64,
}

impl Extended {
    const ZERO: Self = Self { negative: false, exponent: MIN_EXPONENT, significand: 0 };
    const INFINITY: Self = Self { negative: false, exponent: MAX_EXPONENT + 1, significand: 0 };

    /// Reads what C's `strtold` reads, and nothing else around it: decimal or hexadecimal digits with
    /// a point and an exponent, or `inf`/`infinity` in any case. NaN is not a number here.
    ///
    /// # Errors
    /// The text is no such number, or its magnitude is out of range.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let (negative, magnitude) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let magnitude = if is_infinity(magnitude) {
            Self::INFINITY
        } else if let [b'0', b'x' | b'X', digits @ ..] = magnitude {
            let bits = hexadecimal(digits).ok_or(ParseError::Malformed)?;
            in_range(Self::round(bits), bits.top != 0)?
        } else {
            let decimal = Decimal::parse(magnitude).ok_or(ParseError::Malformed)?;
            in_range(decimal.round(), !decimal.digits.is_empty())?
        };
        Ok(Self { negative, ..magnitude })
    }

    /// Whether this is an infinity.
    #[must_use]
    pub fn is_infinite(self) -> bool {
        self.exponent > MAX_EXPONENT
    }

    /// Whether the sign is a minus; a zero may have one.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.negative
    }

    /// The sum, or `None` where it is not a finite number.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.is_infinite() || other.is_infinite() {
            return None;
        }
        let (large, small) = if (self.exponent, self.significand) < (other.exponent, other.significand) {
            (other, self)
        } else {
            (self, other)
        };
        // The larger significand stands 62 bits up, with room for a carry above it; what the smaller
        // one loses at the bottom can matter for rounding only as "a little more than nothing".
        const ROOM: u32 = 62;
        let base = u128::from(large.significand) << ROOM;
        let aligned = u128::from(small.significand) << ROOM;
        let distance = (large.exponent - small.exponent).unsigned_abs();
        let moved = aligned.checked_shr(distance).unwrap_or(0);
        let lost = moved.checked_shl(distance).unwrap_or(0) != aligned;
        let same_sign = large.negative == small.negative;
        let top = match (same_sign, lost) {
            (true, _) => base + moved,
            (false, false) => base - moved,
            // A little less than the difference: one unit below it, and a little more than that.
            (false, true) => base - moved - 1,
        };
        let bits = TopBits { top, shift: large.exponent - ROOM.cast_signed(), inexact: lost };
        let sum = Self::round(bits);
        // An exact zero is positive, unless both summands were negative zeros.
        let negative = if top == 0 && !same_sign { false } else { large.negative };
        (!sum.is_infinite()).then_some(Self { negative, ..sum })
    }

    /// This number × `factor`, rounded; infinite where that is too large.
    #[must_use]
    pub fn times(self, factor: u64) -> Self {
        if self.is_infinite() {
            return self;
        }
        let top = u128::from(self.significand) * u128::from(factor);
        let product = Self::round(TopBits { top, shift: self.exponent, inexact: false });
        Self { negative: self.negative, ..product }
    }

    /// The least integer that is not below this number, or `None` where `i64` cannot hold it.
    #[must_use]
    pub fn ceil(self) -> Option<i64> {
        if self.is_infinite() {
            return None;
        }
        let magnitude = if self.exponent >= 0 {
            let shifted = u128::from(self.significand).checked_shl(self.exponent.unsigned_abs());
            u64::try_from(shifted.filter(|_| self.exponent < 64)?).ok()?
        } else {
            let dropped = self.exponent.unsigned_abs();
            let whole = self.significand.checked_shr(dropped).unwrap_or(0);
            let exact = whole.checked_shl(dropped) == Some(self.significand) || self.significand == 0;
            // At most 63 bits after the shift, so there is room for one more.
            if self.negative || exact { whole } else { whole + 1 }
        };
        if self.negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
    }

    /// The nearest number to a magnitude, ties to even.
    fn round(bits: TopBits) -> Self {
        let (significand, exponent) = round_to(bits, u64::BITS, MIN_EXPONENT);
        if exponent > MAX_EXPONENT {
            return Self::INFINITY;
        }
        Self { negative: false, exponent, significand }
    }
}

/// The nearest `significand × 2^exponent` to a magnitude, ties to even, where the significand has
/// exactly `precision` bits (at most 64), or fewer with an exponent of `min_exponent`.
pub(super) fn round_to(bits: TopBits, precision: u32, min_exponent: i32) -> (u64, i32) {
    let TopBits { top, shift, inexact } = bits;
    if top == 0 {
        return (0, min_exponent);
    }
    let length = (u128::BITS - top.leading_zeros()).cast_signed();
    let exponent = (shift + length - precision.cast_signed()).max(min_exponent);
    let rounded = if exponent <= shift {
        // At most `precision` bits after the shift, by the choice of the exponent.
        top << (shift - exponent).unsigned_abs()
    } else {
        let dropped = (exponent - shift).unsigned_abs();
        let kept = top.checked_shr(dropped).unwrap_or(0);
        kept + u128::from(rounds_up(top, dropped, kept & 1 == 1, inexact))
    };
    if rounded >> precision == 0 { (rounded as u64, exponent) } else { ((rounded >> 1) as u64, exponent + 1) }
}

impl From<i64> for Extended {
    fn from(value: i64) -> Self {
        let bits = TopBits { top: u128::from(value.unsigned_abs()), shift: 0, inexact: false };
        Self { negative: value < 0, ..Self::round(bits) }
    }
}

/// As Redis prints numbers for people: 17 fractional digits, trailing zeros removed, never an
/// exponent, and no negative zero.
impl fmt::Display for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FRACTION: u32 = 17;
        if self.is_infinite() {
            return f.write_str(if self.negative { "-inf" } else { "inf" });
        }
        let (whole, fraction) = if self.exponent >= 0 {
            let whole = Natural::from(self.significand).shifted_left(self.exponent.unsigned_abs());
            (whole.to_decimal(), 0)
        } else {
            // The significand × 10^17 has at most 121 bits.
            let unit = 10_u128.pow(FRACTION);
            let scaled = u128::from(self.significand) * unit;
            let dropped = self.exponent.unsigned_abs();
            let kept = scaled.checked_shr(dropped).unwrap_or(0);
            let carry = rounds_up(scaled, dropped, kept & 1 == 1, false);
            let rounded = kept + u128::from(carry);
            ((rounded / unit).to_string(), rounded % unit)
        };
        let fraction = format!("{fraction:017}");
        let fraction = fraction.trim_end_matches('0');
        if self.negative && (whole != "0" || !fraction.is_empty()) {
            f.write_str("-")?;
        }
        f.write_str(&whole)?;
        if !fraction.is_empty() {
            write!(f, ".{fraction}")?;
        }
        Ok(())
    }
}

/// Whether dropping the lowest `dropped` bits of `value` rounds up: to nearest, ties to even, where
/// `odd` tells the lowest kept bit and `inexact` that something non-zero follows the dropped bits.
fn rounds_up(value: u128, dropped: u32, odd: bool, inexact: bool) -> bool {
    if dropped > u128::BITS {
        return false;
    }
    let half = 1_u128 << (dropped - 1);
    let tail = if dropped == u128::BITS { value } else { value & ((1 << dropped) - 1) };
    tail > half || (tail == half && (odd || inexact))
}

/// Refuses numbers that became infinite, or zero though they are not.
fn in_range(number: Extended, nonzero: bool) -> Result<Extended, ParseError> {
    if number.is_infinite() || (nonzero && number.significand == 0) {
        return Err(ParseError::OutOfRange);
    }
    Ok(number)
}

pub(super) fn is_infinity(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity")
}

/// An unsigned decimal number: `0.d₁d₂d₃… × 10^magnitude`.
///
/// # Invariants
/// - Neither the first nor the last digit is zero; zero has no digits.
#[derive(Debug)]
pub(super) struct Decimal {
    pub(super) digits: Vec<u8>,
    magnitude: i64,
}

impl Decimal {
    /// Reads digits with an optional point and an optional exponent.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (mantissa, exponent) = split_exponent(text, b'e')?;
        let point = mantissa.iter().position(|&byte| byte == b'.').unwrap_or(mantissa.len());
        let (whole, fraction) = mantissa.split_at(point);
        let fraction = fraction.get(1..).unwrap_or(&[]);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut digits = Vec::with_capacity(mantissa.len());
        for byte in whole.iter().chain(fraction) {
            digits.push(char::from(*byte).to_digit(10)? as u8);
        }
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let magnitude = (whole.len() as i64 - zeros as i64).saturating_add(exponent);
        Some(Self { digits, magnitude })
    }

    /// The nearest extended number; infinite or zero where the magnitude is out of range.
    fn round(&self) -> Extended {
        if self.digits.is_empty() || self.magnitude < MIN_MAGNITUDE {
            return Extended::ZERO;
        }
        if self.magnitude > MAX_MAGNITUDE {
            return Extended::INFINITY;
        }
        let exponent = self.magnitude - self.digits.len() as i64;
        if let Some(bits) = self.small_quotient(exponent) {
            return Extended::round(bits);
        }
        let digits = Natural::from_digits(&self.digits);
        let power = u32::try_from(exponent.unsigned_abs()).expect("magnitudes are below 5000");
        Extended::round(if exponent >= 0 {
            digits.times_power_of_ten(power).top_bits()
        } else {
            digits.divide(&Natural::from(1).times_power_of_ten(power))
        })
    }

    /// The usual case, without large numbers: at most 19 digits, their end at most 18 places from the
    /// point on either side.
    fn small_quotient(&self, exponent: i64) -> Option<TopBits> {
        if self.digits.len() > 19 || !(-18..=18).contains(&exponent) {
            return None;
        }
        let value = self.digits.iter().fold(0_u64, |value, digit| value * 10 + u64::from(*digit));
        if exponent >= 0 {
            let top = u128::from(value) * u128::from(10_u64.pow(exponent as u32));
            return Some(TopBits { top, shift: 0, inexact: false });
        }
        let divisor = u128::from(10_u64.pow(exponent.unsigned_abs() as u32));
        let lift = u128::from(value).leading_zeros();
        let lifted = u128::from(value) << lift;
        Some(TopBits { top: lifted / divisor, shift: -lift.cast_signed(), inexact: lifted % divisor != 0 })
    }
}

/// Reads hexadecimal digits with an optional point and an optional binary exponent, behind `0x`.
pub(super) fn hexadecimal(text: &[u8]) -> Option<TopBits> {
    let (mantissa, exponent) = split_exponent(text, b'p')?;
    let mut bits = TopBits { top: 0, shift: 0, inexact: false };
    let mut shift = exponent;
    let mut point = false;
    let mut any = false;
    for byte in mantissa {
        if *byte == b'.' && !point {
            point = true;
            continue;
        }
        let digit = char::from(*byte).to_digit(16)?;
        any = true;
        if bits.top >> 124 == 0 {
            bits.top = (bits.top << 4) | u128::from(digit);
            shift = shift.saturating_sub(if point { 4 } else { 0 });
        } else {
            bits.inexact |= digit != 0;
            shift = shift.saturating_add(if point { 0 } else { 4 });
        }
    }
    // Far beyond every format on both sides, and small enough to add to.
    bits.shift = shift.clamp(-100_000, 100_000) as i32;
    any.then_some(bits)
}

/// Splits off an exponent behind `marker` (in either case); it saturates, as nothing that large
/// is in range anyway.
fn split_exponent(text: &[u8], marker: u8) -> Option<(&[u8], i64)> {
    let Some(at) = text.iter().position(|byte| byte.eq_ignore_ascii_case(&marker)) else {
        return Some((text, 0));
    };
    let (negative, digits) = match &text[at + 1..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut exponent = 0_i64;
    for byte in digits {
        let digit = char::from(*byte).to_digit(10)?;
        exponent = exponent.saturating_mul(10).saturating_add(i64::from(digit));
    }
    // Half the range, so that the length of a text can be added without overflow.
    let exponent = exponent.min(i64::MAX / 2);
    Some((&text[..at], if negative { -exponent } else { exponent }))
}
