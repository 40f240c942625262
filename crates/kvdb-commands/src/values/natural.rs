//! Natural numbers of any size: the few operations an exact conversion between decimal and binary
//! floating point needs.
//!
//! Sizes are bounded by the callers: a number text is at most 5 KiB and an exponent at most 16384,
//! which keeps every value here below some 40 000 bits.

use std::cmp::Ordering;

/// A natural number as little-endian 32-bit limbs.
///
/// # Invariants
/// - The last limb is not zero; zero has no limbs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Natural {
    limbs: Vec<u32>,
}

/// What is left of a number after its top bits were taken: `top × 2^shift`, plus something smaller
/// than `2^shift` where `inexact`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TopBits {
    pub(super) top: u128,
    pub(super) shift: i32,
    pub(super) inexact: bool,
}

impl From<u64> for Natural {
    fn from(value: u64) -> Self {
        let mut natural = Self { limbs: vec![value as u32, (value >> 32) as u32] };
        natural.trim();
        natural
    }
}

impl Natural {
    /// The number written as `digits`, each 0 to 9.
    pub(super) fn from_digits(digits: &[u8]) -> Self {
        let mut natural = Self::default();
        for chunk in digits.chunks(9) {
            let value = chunk.iter().fold(0, |value, digit| value * 10 + u32::from(*digit));
            natural.multiply_add(10_u32.pow(chunk.len() as u32), value);
        }
        natural
    }

    /// This number × 10^exponent.
    pub(super) fn times_power_of_ten(mut self, exponent: u32) -> Self {
        for _ in 0..exponent / 9 {
            self.multiply_add(1_000_000_000, 0);
        }
        self.multiply_add(10_u32.pow(exponent % 9), 0);
        self
    }

    /// This number × 2^bits.
    pub(super) fn shifted_left(&self, bits: u32) -> Self {
        let mut limbs = vec![0; (bits / 32) as usize];
        let mut carry = 0_u64;
        for limb in &self.limbs {
            let shifted = (u64::from(*limb) << (bits % 32)) | carry;
            limbs.push(shifted as u32);
            carry = shifted >> 32;
        }
        limbs.push(carry as u32);
        let mut natural = Self { limbs };
        natural.trim();
        natural
    }

    /// How many bits the number has; zero has none.
    pub(super) fn bit_length(&self) -> u32 {
        match self.limbs.last() {
            None => 0,
            Some(last) => self.limbs.len() as u32 * 32 - last.leading_zeros(),
        }
    }

    /// The 128 highest bits, and whether any bit below them is set.
    pub(super) fn top_bits(&self) -> TopBits {
        let kept = self.limbs.len().min(4);
        let (below, top) = self.limbs.split_at(self.limbs.len() - kept);
        TopBits {
            top: top.iter().rev().fold(0, |value, limb| (value << 32) | u128::from(*limb)),
            shift: below.len() as i32 * 32,
            inexact: below.iter().any(|limb| *limb != 0),
        }
    }

    /// The quotient `self / divisor` to some 70 significant bits.
    ///
    /// `divisor` must not be zero.
    pub(super) fn divide(&self, divisor: &Self) -> TopBits {
        const QUOTIENT_BITS: i32 = 70;
        let shift = self.bit_length().cast_signed() - divisor.bit_length().cast_signed() - QUOTIENT_BITS;
        let (mut rest, divisor) = if shift < 0 {
            (self.shifted_left(shift.unsigned_abs()), divisor.clone())
        } else {
            (self.clone(), divisor.shifted_left(shift.unsigned_abs()))
        };
        // Long division, a bit at a time: the quotient has at most one bit more than asked for.
        let mut quotient = 0_u128;
        for bit in (0..=QUOTIENT_BITS.unsigned_abs()).rev() {
            let part = divisor.shifted_left(bit);
            quotient <<= 1;
            if rest.compare(&part) != Ordering::Less {
                rest.subtract(&part);
                quotient |= 1;
            }
        }
        TopBits { top: quotient, shift, inexact: !rest.limbs.is_empty() }
    }

    /// The number in decimal, as text.
    pub(super) fn to_decimal(&self) -> String {
        let mut rest = self.clone();
        let mut groups = Vec::new();
        while !rest.limbs.is_empty() {
            groups.push(rest.divide_small(1_000_000_000));
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        for group in groups.iter().rev() {
            text.push_str(&format!("{group:09}"));
        }
        text
    }

    fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for limb in &mut self.limbs {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry != 0 {
            self.limbs.push(carry as u32);
        }
    }

    /// Divides in place and returns the remainder.
    fn divide_small(&mut self, divisor: u32) -> u32 {
        let mut remainder = 0_u64;
        for limb in self.limbs.iter_mut().rev() {
            let part = (remainder << 32) | u64::from(*limb);
            *limb = (part / u64::from(divisor)) as u32;
            remainder = part % u64::from(divisor);
        }
        self.trim();
        remainder as u32
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_size = self.limbs.len().cmp(&other.limbs.len());
        by_size.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()))
    }

    /// Subtracts `other`, which is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (at, limb) in self.limbs.iter_mut().enumerate() {
            let subtrahend = other.limbs.get(at).copied().unwrap_or(0);
            let (difference, first) = limb.overflowing_sub(subtrahend);
            let (difference, second) = difference.overflowing_sub(u32::from(borrow));
            *limb = difference;
            borrow = first || second;
        }
        debug_assert!(!borrow, "the subtrahend is not larger than the minuend");
        self.trim();
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_round_trip() {
        let digits: Vec<u8> = (0..100_u32).map(|i| ((i * 7 + 3) % 10) as u8).collect();
        let text: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        assert_eq!(Natural::from_digits(&digits).to_decimal(), text);
        assert_eq!(Natural::default().to_decimal(), "0");
        assert_eq!(Natural::from(7).times_power_of_ten(20).to_decimal(), format!("7{}", "0".repeat(20)));
    }

    #[test]
    fn shifts_and_lengths() {
        assert_eq!(Natural::from(0).bit_length(), 0);
        assert_eq!(Natural::from(1).shifted_left(64).bit_length(), 65);
        assert_eq!(Natural::from(1).shifted_left(64).to_decimal(), "18446744073709551616");
    }

    #[test]
    fn quotients() {
        let third = Natural::from(1).divide(&Natural::from(3));
        assert_eq!(third.top, ((1_u128 << 127) / 3) >> (127_i32 + third.shift) as u32);
        assert!(third.inexact);
        let exact =
            Natural::from(10).times_power_of_ten(100).divide(&Natural::from(1).times_power_of_ten(100));
        assert!(!exact.inexact);
        assert_eq!(exact.top >> exact.shift.unsigned_abs(), 10);
    }
}
