//! Sizes in bytes as operators write them: `512mb`, `1g`, `64kb`.
//!
//! Redis' units, without case: `k`, `m`, `g` are powers of 1000 and `kb`, `mb`, `gb` powers of 1024.

/// Why a text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SizeError {
    /// No digits, a sign, a fraction, or a unit that does not exist.
    Malformed,
    /// More than 2^64 - 1 bytes.
    Overflow,
}

const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("b", 1),
    ("k", 1000),
    ("kb", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1 << 30),
];

/// The number of bytes that `text` names.
///
/// # Errors
/// [`SizeError`] when it names none.
pub(super) fn parse(text: &str) -> Result<u64, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(SizeError::Malformed);
    }
    let scale = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|(_, scale)| *scale)
        .ok_or(SizeError::Malformed)?;
    // Only overflow can make a run of digits fail to parse.
    let number: u64 = number.parse().map_err(|_| SizeError::Overflow)?;
    number.checked_mul(scale).ok_or(SizeError::Overflow)
}

/// `bytes` in the largest binary unit that divides it: the form a configuration file should have.
#[must_use]
pub(super) fn format(bytes: u64) -> String {
    let binary = UNITS.iter().rev().filter(|(name, _)| name.len() == 2);
    for (unit, scale) in binary {
        if bytes != 0 && bytes.is_multiple_of(*scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_those_of_redis() {
        for (text, bytes) in [
            ("0", 0),
            ("7", 7),
            ("7b", 7),
            ("1k", 1000),
            ("1kb", 1024),
            ("1KB", 1024),
            ("1m", 1_000_000),
            ("1Mb", 1 << 20),
            ("1g", 1_000_000_000),
            ("1gB", 1 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "gb", "-1", "+1", "1.5gb", "1GiB", "1 gb", "1zb", "0x10", "1gbb"] {
            assert_eq!(parse(text), Err(SizeError::Malformed), "{text}");
        }
        for text in ["18446744073709551616", "99999999999999999999", "17179869184gb"] {
            assert_eq!(parse(text), Err(SizeError::Overflow), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_formatted_size_parses_back(bytes in any::<u64>(), shift in 0u32..64) {
            let bytes = bytes >> shift << shift;
            prop_assert_eq!(parse(&format(bytes)), Ok(bytes));
        }
    }
}
