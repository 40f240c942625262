//! Strings as arrays of integers: the fields of BITFIELD.
//!
//! A field is an integer of 1 to 64 bits (63 when unsigned) at any bit offset, highest bit first.
//! What happens when a value does not fit its field is the caller's choice: wrap around, stay at the
//! limit, or fail.

use super::number::parse_i64;

/// The integer type of a field, such as `i5` or `u63`.
///
/// # Invariants
/// - 1 to 64 bits when signed, 1 to 63 when unsigned, so that every value fits `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldType {
    signed: bool,
    bits: u32,
}

/// What a value becomes that does not fit its field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Its lowest bits.
    #[default]
    Wrap,
    /// The nearest value that fits.
    Saturate,
    /// Nothing: the field stays as it is and the reply is null.
    Fail,
}

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The value of the field before.
    pub old: i64,
    /// The value of the field now.
    pub new: i64,
}

impl FieldType {
    /// Reads a type; `None` stands for the error "Invalid bitfield type. Use something like i16 u8.
    /// Note that u64 is not supported but i64 is."
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (signed, bits) = match text {
            [b'i', bits @ ..] => (true, bits),
            [b'u', bits @ ..] => (false, bits),
            _ => return None,
        };
        let bits = u32::try_from(parse_i64(bits)?).ok()?;
        let most = if signed { 64 } else { 63 };
        (1..=most).contains(&bits).then_some(Self { signed, bits })
    }

    /// The width in bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.bits
    }

    fn min(self) -> i64 {
        if self.signed { i64::MIN >> (64 - self.bits) } else { 0 }
    }

    fn max(self) -> i64 {
        let magnitude = if self.signed { self.bits - 1 } else { self.bits };
        if magnitude == 0 { 0 } else { i64::MAX >> (63 - magnitude) }
    }

    /// The lowest bits of `value`, read as this type.
    fn wrapped(self, value: i128) -> i64 {
        let unused = 64 - self.bits;
        let lifted = (value as u64) << unused;
        if self.signed { lifted.cast_signed() >> unused } else { (lifted >> unused).cast_signed() }
    }

    fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = (i128::from(self.min()), i128::from(self.max()));
        if (min..=max).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.wrapped(value)),
            Overflow::Saturate => Some(if value < min { self.min() } else { self.max() }),
            Overflow::Fail => None,
        }
    }
}

/// Reads a bit offset, as SETBIT and BITFIELD take it; `None` stands for the error "bit offset is
/// not an integer or out of range".
///
/// With a `field` (BITFIELD), `#n` means the n-th field of that width. `max_bytes` is the largest
/// string there may be: the bit must be within it.
#[must_use]
pub fn parse_bit_offset(text: &[u8], field: Option<FieldType>, max_bytes: u64) -> Option<u64> {
    let (text, width) = match (text, field) {
        ([b'#', index @ ..], Some(field)) => (index, u64::from(field.bits)),
        _ => (text, 1),
    };
    let offset = u64::try_from(parse_i64(text)?).ok()?.checked_mul(width)?;
    (offset / 8 < max_bytes).then_some(offset)
}

/// The value of the field at bit `offset`; behind its end the string goes on in zeros.
#[must_use]
pub fn get(bytes: &[u8], offset: u64, field: FieldType) -> i64 {
    let mut window = [0_u8; 9];
    let first = usize::try_from(offset / 8).unwrap_or(usize::MAX);
    let available = bytes.get(first..).unwrap_or(&[]);
    let length = available.len().min(window.len());
    window[..length].copy_from_slice(&available[..length]);
    let mut wide = [0_u8; 16];
    wide[..9].copy_from_slice(&window);
    let behind = 128 - (offset % 8) as u32 - field.bits;
    field.wrapped((u128::from_be_bytes(wide) >> behind).cast_signed())
}

/// How many bytes a string must have to hold the field at bit `offset`.
#[must_use]
pub fn bytes_for_field(offset: u64, field: FieldType) -> u64 {
    (offset + u64::from(field.bits) - 1) / 8 + 1
}

/// Decides what SET of `value` makes of a field that holds `old`; `None` when it fails.
///
/// The value may be any `i64`. For an unsigned field it is taken as `u64`, so a negative one is too
/// large rather than too small.
#[must_use]
pub fn decide_set(old: i64, value: i64, field: FieldType, overflow: Overflow) -> Option<Change> {
    let wanted = if field.signed {
        // In Redis a value so low that its distance to the largest fitting one leaves 64 bits
        // counts as too large: saturation goes to the other end. Clients can see it, so it stays.
        let too_low = i128::from(field.max()) - i128::from(value) > i128::from(i64::MAX);
        if too_low && field.bits < 64 && overflow == Overflow::Saturate { i128::MAX } else { value.into() }
    } else {
        i128::from(value.cast_unsigned())
    };
    let new = field.fit(wanted, overflow)?;
    Some(Change { old, new })
}

/// Decides what INCRBY of `increment` makes of a field that holds `old`; `None` when it fails.
#[must_use]
pub fn decide_increment(old: i64, increment: i64, field: FieldType, overflow: Overflow) -> Option<Change> {
    let new = field.fit(i128::from(old) + i128::from(increment), overflow)?;
    Some(Change { old, new })
}

/// Writes `value` into the field at bit `offset`.
///
/// # Panics
/// `bytes` is shorter than [`bytes_for_field`].
pub fn put(bytes: &mut [u8], offset: u64, field: FieldType, value: i64) {
    let first = (offset / 8) as usize;
    let last = bytes_for_field(offset, field) as usize;
    let span = &mut bytes[first..last];
    let mut wide = [0_u8; 16];
    wide[..span.len()].copy_from_slice(span);
    let behind = 128 - (offset % 8) as u32 - field.bits;
    let mask = (u128::MAX >> (128 - field.bits)) << behind;
    let placed = (u128::from(value.cast_unsigned()) << behind) & mask;
    let merged = (u128::from_be_bytes(wide) & !mask) | placed;
    let length = span.len();
    span.copy_from_slice(&merged.to_be_bytes()[..length]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> FieldType {
        FieldType::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn types() {
        for text in ["i1", "i64", "u1", "u63"] {
            assert!(FieldType::parse(text.as_bytes()).is_some(), "{text}");
        }
        for text in ["", "i", "u", "i0", "i65", "u64", "I8", "8", "i08", "i-1", "u8 ", "x8"] {
            assert!(FieldType::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert_eq!((field("i8").min(), field("i8").max()), (-128, 127));
        assert_eq!((field("i1").min(), field("i1").max()), (-1, 0));
        assert_eq!((field("i64").min(), field("i64").max()), (i64::MIN, i64::MAX));
        assert_eq!((field("u63").min(), field("u63").max()), (0, i64::MAX));
    }

    #[test]
    fn offsets() {
        const MAX: u64 = 512 << 20;
        let parse = |text: &str, field| parse_bit_offset(text.as_bytes(), field, MAX);
        assert_eq!(parse("10", None), Some(10));
        assert_eq!(parse("4294967295", None), Some(4_294_967_295));
        assert_eq!(parse("4294967296", None), None);
        assert_eq!(parse("-1", None), None);
        assert_eq!(parse("#1", None), None);
        assert_eq!(parse("#3", Some(field("u5"))), Some(15));
        assert_eq!(parse("#536870911", Some(field("u8"))), Some(4_294_967_288));
        assert_eq!(parse("#536870912", Some(field("u8"))), None);
        assert_eq!(parse("#1152921504606846976", Some(field("u8"))), None);
        assert_eq!(parse("#-1", Some(field("u8"))), None);
    }

    #[test]
    fn fields_lie_anywhere() {
        let mut bytes = vec![0xff; 10];
        put(&mut bytes, 3, field("u5"), 0);
        assert_eq!(bytes[0], 0xe0);
        put(&mut bytes, 7, field("i64"), i64::MIN + 5);
        assert_eq!(get(&bytes, 7, field("i64")), i64::MIN + 5);
        assert_eq!(bytes[9], 0xff);
        assert_eq!(get(&bytes, 76, field("u8")), 0xf0, "zeros behind the end");
        assert_eq!(get(&bytes, 76, field("i8")), -16);
        assert_eq!(get(&bytes, u64::MAX - 64, field("i8")), 0);
        assert_eq!(bytes_for_field(0, field("u8")), 1);
        assert_eq!(bytes_for_field(1, field("u8")), 2);
    }

    #[test]
    fn overflow() {
        use Overflow::{Fail, Saturate, Wrap};
        let add = |name, old, by, overflow| {
            decide_increment(old, by, field(name), overflow).map(|change| change.new)
        };
        assert_eq!(add("u2", 3, 1, Wrap), Some(0));
        assert_eq!(add("u2", 3, 1, Saturate), Some(3));
        assert_eq!(add("u2", 3, 1, Fail), None);
        assert_eq!(add("u2", 0, -1, Wrap), Some(3));
        assert_eq!(add("u2", 0, -1, Saturate), Some(0));
        assert_eq!(add("i8", 127, 1, Wrap), Some(-128));
        assert_eq!(add("i8", -128, -1, Saturate), Some(-128));
        assert_eq!(add("i64", i64::MAX, 1, Wrap), Some(i64::MIN));
        assert_eq!(add("i64", i64::MIN, i64::MIN, Saturate), Some(i64::MIN));
        assert_eq!(add("u63", i64::MAX, 1, Wrap), Some(0));
        let set =
            |name, value, overflow| decide_set(7, value, field(name), overflow).map(|change| change.new);
        assert_eq!(set("u8", -1, Saturate), Some(255));
        assert_eq!(set("u8", -1, Wrap), Some(255));
        assert_eq!(set("u8", -1, Fail), None);
        assert_eq!(set("i8", -200, Saturate), Some(-128));
        assert_eq!(set("i8", i64::MIN, Saturate), Some(127), "as Redis has it");
        assert_eq!(set("i8", i64::MIN, Wrap), Some(0));
        assert_eq!(set("i64", i64::MIN, Saturate), Some(i64::MIN));
    }
}
