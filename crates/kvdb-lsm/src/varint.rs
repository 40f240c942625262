//! LEB128 variable-length integers and zigzag: the integer coding of every format of this crate.
//!
//! Decoding is strict about length (at most ten bytes, no bits beyond 64) because the bytes come
//! from disk, but does not insist on the shortest form.

/// The longest encoding of a `u64`.
pub const MAX_LEN: usize = 10;

/// The number of bytes [`write()`] appends for `value`.
#[must_use]
pub const fn len(value: u64) -> usize {
    // One byte for every seven significant bits; zero takes one byte too.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends `value` to `out`.
pub fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes `value` to the front of `out`, which holds at least [`len`]`(value)` bytes, and returns
/// the number of bytes used.
pub(crate) fn write_to(out: &mut [u8], mut value: u64) -> usize {
    let mut at = 0;
    while value >= 0x80 {
        out[at] = (value as u8) | 0x80;
        value >>= 7;
        at += 1;
    }
    out[at] = value as u8;
    at + 1
}

/// Reads an integer from the front of `input`; returns it with the number of bytes it took, or
/// `None` when the input ends early or holds more than 64 bits.
#[must_use]
pub fn read(input: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (at, &byte) in input.iter().take(MAX_LEN).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == MAX_LEN - 1 && bits > 1 {
            return None;
        }
        value |= bits << (7 * at);
        if byte < 0x80 {
            return Some((value, at + 1));
        }
    }
    None
}

/// Maps small magnitudes of either sign to small unsigned numbers.
#[must_use]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[must_use]
pub const fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_round_trips_and_has_the_stated_length() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                write(&mut out, value);
                assert_eq!(out.len(), len(value));
                assert_eq!(read(&out), Some((value, out.len())));
                let mut fixed = [0u8; MAX_LEN];
                assert_eq!(write_to(&mut fixed, value), out.len());
                assert_eq!(&fixed[..out.len()], &out[..]);
                assert_eq!(read(&out[..out.len() - 1]), None);
            }
        }
    }

    #[test]
    fn over_long_input_is_refused() {
        assert_eq!(read(&[0x80; 11]), None);
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
    }

    #[test]
    fn zigzag_round_trips() {
        for value in [0, 1, -1, 63, -64, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!(zigzag(-1), 1);
    }
}
