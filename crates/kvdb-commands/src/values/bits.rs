//! Strings as arrays of bits: SETBIT, GETBIT, BITCOUNT, BITPOS and BITOP.
//!
//! Bit 0 is the highest bit of the first byte. A string goes on in zero bits behind its end as far
//! as reading is concerned; writing makes it longer, which is the caller's part. Bit offsets are
//! `u64`: strings are far below 2^61 bytes.

/// What the ends of a range count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, the default.
    #[default]
    Byte,
    /// Bits.
    Bit,
}

/// An operation of BITOP on any number of strings; NOT, which takes one, is [`negated`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitOp {
    /// Bits set in every string.
    And,
    /// Bits set in some string.
    Or,
    /// Bits set in an odd number of strings.
    Xor,
}

/// A non-empty inclusive range of bits within a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BitRange {
    first: u64,
    last: u64,
}

/// The bit at `offset`; zero behind the end.
#[must_use]
pub fn get_bit(bytes: &[u8], offset: u64) -> bool {
    let byte = usize::try_from(offset / 8).ok().and_then(|at| bytes.get(at));
    byte.is_some_and(|byte| byte & mask(offset) != 0)
}

/// How many bytes a string must have to hold the bit at `offset`.
#[must_use]
pub fn bytes_for_bit(offset: u64) -> u64 {
    offset / 8 + 1
}

/// Sets the bit at `offset` to `bit` and returns what it was.
///
/// # Panics
/// `bytes` is shorter than [`bytes_for_bit`] of `offset`.
pub fn set_bit(bytes: &mut [u8], offset: u64, bit: bool) -> bool {
    let byte = &mut bytes[(offset / 8) as usize];
    let old = *byte & mask(offset) != 0;
    if bit {
        *byte |= mask(offset);
    } else {
        *byte &= !mask(offset);
    }
    old
}

/// How many bits of the string are set.
#[must_use]
pub fn count_ones(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones()));
    let tail = tail.iter().map(|byte| u64::from(byte.count_ones()));
    words.sum::<u64>() + tail.sum::<u64>()
}

/// How many bits are set from `start` to `end`, both included; negative ends count from the end of
/// the string.
#[must_use]
pub fn count_ones_in(bytes: &[u8], start: i64, end: i64, unit: Unit) -> u64 {
    // Two ends before the string's start are a range of its first unit for Redis, if they are in
    // order, and no range at all otherwise.
    if start < 0 && end < 0 && start > end {
        return 0;
    }
    let Some(BitRange { first, last }) = bit_range(bytes, start, end, unit) else {
        return 0;
    };
    let (first_byte, last_byte) = ((first / 8) as usize, (last / 8) as usize);
    let before = bytes[first_byte] & !from(first);
    let behind = bytes[last_byte] & !up_to(last);
    count_ones(&bytes[first_byte..=last_byte])
        - u64::from(before.count_ones())
        - u64::from(behind.count_ones())
}

/// The offset of the first bit equal to `bit` from `start` to `end`, or `None` where there is none.
///
/// Without an `end` the string goes on in zeros for ever: where a zero is looked for and none is
/// found, the offset just behind the string is the answer. With an `end` there is no answer.
#[must_use]
pub fn find_bit(bytes: &[u8], bit: bool, start: i64, end: Option<i64>, unit: Unit) -> Option<u64> {
    let BitRange { first, last } = bit_range(bytes, start, end.unwrap_or(-1), unit)?;
    let (first_byte, last_byte) = ((first / 8) as usize, (last / 8) as usize);
    // Turned so that a one is always what is looked for.
    let turn = if bit { 0 } else { 0xff };
    let head = (bytes[first_byte] ^ turn) & from(first);
    let found = if head != 0 {
        Some((first_byte, head))
    } else {
        let rest = &bytes[first_byte + 1..=last_byte];
        first_other(rest, turn).map(|at| (first_byte + 1 + at, rest[at] ^ turn))
    };
    match found {
        Some((byte, turned)) => {
            let offset = byte as u64 * 8 + u64::from(turned.leading_zeros());
            // The last byte may be in the range with its upper bits only.
            (offset <= last).then_some(offset)
        }
        None if !bit && end.is_none() => Some(bytes.len() as u64 * 8),
        None => None,
    }
}

/// Combines strings bit by bit; shorter ones go on in zeros up to the longest.
#[must_use]
pub fn combined(operation: BitOp, sources: &[&[u8]]) -> Vec<u8> {
    let length = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let Some((first, others)) = sources.split_first() else {
        return Vec::new();
    };
    let mut result = first.to_vec();
    result.resize(length, 0);
    for source in others {
        let (shared, rest) = result.split_at_mut(source.len());
        let pairs = shared.iter_mut().zip(*source);
        match operation {
            BitOp::And => {
                pairs.for_each(|(byte, other)| *byte &= other);
                rest.fill(0);
            }
            BitOp::Or => pairs.for_each(|(byte, other)| *byte |= other),
            BitOp::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
        }
    }
    result
}

/// The string with every bit turned.
#[must_use]
pub fn negated(source: &[u8]) -> Vec<u8> {
    source.iter().map(|byte| !byte).collect()
}

/// The bits of a range, cut to the string; `None` where nothing is left.
fn bit_range(bytes: &[u8], start: i64, end: i64, unit: Unit) -> Option<BitRange> {
    let length = bytes.len() as u64 * if unit == Unit::Bit { 8 } else { 1 };
    let from_start = |end: i64| match u64::try_from(end) {
        Ok(end) => end,
        Err(_) => length.saturating_sub(end.unsigned_abs()),
    };
    let start = from_start(start);
    let end = from_start(end).min(length.checked_sub(1)?);
    if start > end {
        return None;
    }
    Some(match unit {
        Unit::Bit => BitRange { first: start, last: end },
        Unit::Byte => BitRange { first: start * 8, last: end * 8 + 7 },
    })
}

/// The first byte that is not `usual`, by words where possible.
fn first_other(bytes: &[u8], usual: u8) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    let skipped = words.iter().take_while(|word| **word == [usual; 8]).count() * 8;
    let at = bytes[skipped..].iter().position(|byte| *byte != usual)?;
    Some(skipped + at)
}

/// The bit at `offset` within its byte.
fn mask(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

/// The bits of a byte from `offset` on.
fn from(offset: u64) -> u8 {
    0xff >> (offset % 8)
}

/// The bits of a byte up to and with `offset`.
fn up_to(offset: u64) -> u8 {
    0xff << (7 - offset % 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_highest() {
        let mut bytes = vec![0; 2];
        assert!(!set_bit(&mut bytes, 0, true));
        assert!(!set_bit(&mut bytes, 15, true));
        assert_eq!(bytes, [0x80, 0x01]);
        assert!(set_bit(&mut bytes, 0, false));
        assert!(get_bit(&bytes, 15));
        assert!(!get_bit(&bytes, 16));
        assert!(!get_bit(&bytes, u64::MAX));
        assert_eq!(bytes_for_bit(7), 1);
        assert_eq!(bytes_for_bit(8), 2);
    }

    #[test]
    fn counting() {
        let text = b"foobar";
        assert_eq!(count_ones(text), 26);
        assert_eq!(count_ones_in(text, 0, 0, Unit::Byte), 4);
        assert_eq!(count_ones_in(text, 1, 1, Unit::Byte), 6);
        assert_eq!(count_ones_in(text, 5, 30, Unit::Bit), 17);
        assert_eq!(count_ones_in(text, -2, -1, Unit::Byte), 7);
        assert_eq!(count_ones_in(text, 4, 2, Unit::Byte), 0);
        assert_eq!(count_ones_in(text, i64::MIN, i64::MAX, Unit::Bit), 26);
        assert_eq!(count_ones_in(b"", 0, -1, Unit::Byte), 0);
    }

    #[test]
    fn ends_before_the_string() {
        assert_eq!(count_ones_in(b"foo", -10, -8, Unit::Byte), 4, "the first byte");
        assert_eq!(count_ones_in(b"foo", -8, -10, Unit::Byte), 0);
    }

    #[test]
    fn finding() {
        let ones = b"\xff\xff\xff";
        assert_eq!(find_bit(ones, false, 0, None, Unit::Byte), Some(24));
        assert_eq!(find_bit(ones, false, 2, None, Unit::Byte), Some(24));
        assert_eq!(find_bit(ones, false, 0, Some(-1), Unit::Byte), None);
        assert_eq!(find_bit(ones, false, 3, None, Unit::Byte), None);
        assert_eq!(find_bit(b"", false, 0, None, Unit::Byte), None);
        let text = b"\x00\xff\xf0";
        assert_eq!(find_bit(text, true, 0, None, Unit::Byte), Some(8));
        assert_eq!(find_bit(text, true, 2, Some(-1), Unit::Byte), Some(16));
        assert_eq!(find_bit(text, true, 7, Some(15), Unit::Bit), Some(8));
        assert_eq!(find_bit(text, false, 10, Some(19), Unit::Bit), None);
        assert_eq!(find_bit(text, false, 10, Some(20), Unit::Bit), Some(20));
        assert_eq!(find_bit(b"\x00\x00", true, 0, None, Unit::Byte), None);
    }

    #[test]
    fn combining() {
        let (a, b): (&[u8], &[u8]) = (b"\xff\x0f\x01", b"\x0f");
        assert_eq!(combined(BitOp::And, &[a, b]), b"\x0f\x00\x00");
        assert_eq!(combined(BitOp::And, &[b, a]), b"\x0f\x00\x00");
        assert_eq!(combined(BitOp::Or, &[b, a]), b"\xff\x0f\x01");
        assert_eq!(combined(BitOp::Xor, &[a, b]), b"\xf0\x0f\x01");
        assert_eq!(combined(BitOp::Xor, &[a, a, a]), a);
        assert_eq!(combined(BitOp::Or, &[]), b"");
        assert_eq!(negated(b"\x00\xf0"), b"\xff\x0f");
    }
}
