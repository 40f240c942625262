//! Numbers: sums that Redis printed, and agreement with the standard library where it is exact.

use kvdb_commands::values::extended::Extended;
use kvdb_commands::values::number::{parse_f64, parse_float, parse_i64, write_f64};
use proptest::prelude::*;

/// Value, increment, and the reply of INCRBYFLOAT.
const SUMS: [(&str, &str, &str); 35] = [
    ("10.50", "0.1", "10.6"),
    ("5.0e3", "2.0e2", "5200"),
    ("0.1", "0.2", "0.3"),
    ("3", "-5", "-2"),
    ("3.0", "-3.0", "0"),
    ("1", "0.00000000000000001", "1.00000000000000001"),
    ("1", "-0.00000000000000001", "0.99999999999999999"),
    ("0", "1e-17", "0.00000000000000001"),
    ("0", "5e-18", "0"),
    ("0", "4.9e-18", "0"),
    ("0", "-4.9e-18", "0"),
    ("1.1", "2.2", "3.3"),
    ("3.14159", "-0.00009", "3.1415"),
    ("123456789.123456789", "0.000000001", "123456789.12345678999554366"),
    ("9007199254740993", "0.5", "9007199254740993.5"),
    ("9223372036854775807", "1", "9223372036854775808"),
    ("18446744073709551615", "0.25", "18446744073709551615"),
    ("18446744073709551616", "1", "18446744073709551616"),
    ("18446744073709551615", "1", "18446744073709551616"),
    ("100000000000000000000", "0.1", "100000000000000000000"),
    ("1e20", "-1e20", "0"),
    ("99999999999999999", "0.01", "99999999999999999.0078125"),
    ("12345678901234567890123", "1", "12345678901234567889920"),
    ("17179869184", "1.5", "17179869185.5"),
    ("0.3333333333333333333333", "0.6666666666666666666666", "1"),
    ("1000000.01", "0.02", "1000000.02999999999997272"),
    ("0x10", "0x1.8p1", "19"),
    ("1e30", "1", "1000000000000000000024696061952"),
    ("3.0e-4940", "-2.9e-4940", "0"),
    ("-1.5", "-1.5", "-3"),
    ("4.35", "100", "104.35"),
    ("0.000001", "0.000002", "0.000003"),
    ("19.99", "0.01", "20"),
    ("19.99", "-20", "-0.01"),
    ("5e24", "7e-3", "5000000000000000000000000"),
];

fn extended(text: &str) -> Extended {
    parse_float(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a number"))
}

#[test]
fn sums_equal_those_of_redis() {
    for (value, increment, sum) in SUMS {
        let added = extended(value).checked_add(extended(increment)).unwrap();
        assert_eq!(added.to_string(), sum, "{value} + {increment}");
    }
}

#[test]
fn sums_that_are_not_finite() {
    let infinite = extended("inf");
    assert!(infinite.is_infinite());
    assert_eq!(infinite.checked_add(extended("-inf")), None);
    assert_eq!(extended("1").checked_add(infinite), None);
    let largest = extended("0xffffffffffffffffp16320");
    assert_eq!(largest.checked_add(largest), None);
    assert_eq!(largest.checked_add(extended("0x1p16318")), Some(largest), "less than half a step");
}

#[test]
fn the_ends_of_the_range() {
    for text in ["1.18973149535723176502e4932", "3.6451995318824746025e-4951", "2e-4951"] {
        assert!(parse_float(text.as_bytes()).is_some(), "{text}");
    }
    for text in ["1.2e4932", "1e5000", "1e-5000", "1e99999999999999999999", "0x1p16384", "nan", "-"] {
        assert!(parse_float(text.as_bytes()).is_none(), "{text}");
    }
    assert!(parse_float(b"0e99999999999999999999").is_some());
    assert!(parse_float(&[b'1'; 4000]).is_some());
    assert!(parse_float(&[b'0'; 5120]).is_none(), "longer than Redis reads");
}

#[test]
fn large_numbers_print_in_full() {
    let text = extended("0x1p1000").to_string();
    assert_eq!(text.len(), 302);
    assert!(text.starts_with("1071508607186267320948425049060001810561404811705533607443750"));
}

proptest! {
    #[test]
    fn integers_read_back(value: i64) {
        prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        prop_assert_eq!(Extended::from(value).to_string(), value.to_string());
        prop_assert_eq!(extended(&value.to_string()), Extended::from(value));
    }

    #[test]
    fn integers_add_exactly(a: i32, b: i32) {
        let sum = Extended::from(i64::from(a)).checked_add(Extended::from(i64::from(b)));
        prop_assert_eq!(sum.unwrap().to_string(), (i64::from(a) + i64::from(b)).to_string());
    }

    #[test]
    fn cents_never_drift(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000) {
        let text = |cents: i64| {
            let sign = if cents < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        let sum = extended(&text(a)).checked_add(extended(&text(b))).unwrap();
        // A sum may show the rounding of its summands in the last of 17 digits.
        let shown: f64 = sum.to_string().parse().unwrap();
        prop_assert_eq!(text((shown * 100.0).round() as i64), text(a + b));
        prop_assert!((shown * 100.0 - (a + b) as f64).abs() < 1e-9);
    }

    /// Every double is an extended number, and its hexadecimal text is exact.
    #[test]
    fn doubles_read_back(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let mut text = Vec::new();
        write_f64(&mut text, value);
        prop_assert_eq!(parse_f64(&text).map(f64::to_bits), Some(bits));
        let sign = if value.is_sign_negative() { "-" } else { "" };
        let field = (bits >> 52 & 0x7ff) as i32;
        let (lead, exponent) = if field == 0 { (0, -1022) } else { (1, field - 1023) };
        let hexadecimal = format!("{sign}0x{lead}.{:013x}p{exponent}", bits & ((1 << 52) - 1));
        prop_assert_eq!(parse_f64(hexadecimal.as_bytes()).map(f64::to_bits), Some(bits));
    }

    #[test]
    fn no_text_panics(text in proptest::collection::vec(proptest::sample::select(&b"0123456789.eExXpP+-infty "[..]), 0..40)) {
        if let Some(value) = parse_float(&text) {
            prop_assert!(parse_float(value.to_string().as_bytes()).is_some());
            let _ = value.ceil();
        }
        let _ = parse_f64(&text);
    }
}
