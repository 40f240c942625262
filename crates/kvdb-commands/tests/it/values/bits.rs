//! Bit arrays against a vector of booleans.

use kvdb_commands::values::bits::{
    BitOp, Unit, combined, count_ones, count_ones_in, find_bit, get_bit, negated, set_bit,
};
use proptest::prelude::*;

fn bools(bytes: &[u8]) -> Vec<bool> {
    bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1 == 1)).collect()
}

/// The units of a range one by one: the ends are clamped as the manual says.
fn units(length: usize, start: i64, end: i64) -> Vec<usize> {
    let length = length as i64;
    let start = if start < 0 { (start + length).max(0) } else { start };
    let end = if end < 0 { (end + length).max(0) } else { end.min(length - 1) };
    (start..=end).filter(|unit| *unit < length).map(|unit| unit as usize).collect()
}

fn model_range(bytes: &[u8], start: i64, end: i64, unit: Unit) -> Vec<(usize, bool)> {
    let bits = bools(bytes);
    let offsets: Vec<usize> = match unit {
        Unit::Bit => units(bits.len(), start, end),
        Unit::Byte => {
            let bytes = units(bytes.len(), start, end);
            bytes.into_iter().flat_map(|byte| byte * 8..byte * 8 + 8).collect()
        }
    };
    offsets.into_iter().map(|offset| (offset, bits[offset])).collect()
}

fn strings() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0_u8), Just(0xff), any::<u8>()];
    prop_oneof![
        proptest::collection::vec(byte, 0..40),
        (proptest::sample::select(&[0_u8, 0xff][..]), 0..60_usize).prop_map(|(byte, n)| vec![byte; n]),
    ]
}

fn unit() -> impl Strategy<Value = Unit> {
    proptest::sample::select(&[Unit::Byte, Unit::Bit][..])
}

proptest! {
    #[test]
    fn counts(bytes in strings(), start in -400_i64..400, end in -400_i64..400, unit in unit()) {
        prop_assert_eq!(count_ones(&bytes), bools(&bytes).iter().filter(|bit| **bit).count() as u64);
        let range = model_range(&bytes, start, end, unit);
        let mut expected = range.iter().filter(|(_, bit)| *bit).count() as u64;
        if start < 0 && end < 0 && start > end {
            expected = 0;
        }
        prop_assert_eq!(count_ones_in(&bytes, start, end, unit), expected);
    }

    #[test]
    fn positions(bytes in strings(), bit: bool, start in -400_i64..400, end in proptest::option::of(-400_i64..400), unit in unit()) {
        let range = model_range(&bytes, start, end.unwrap_or(-1), unit);
        let mut expected = range.iter().find(|(_, found)| *found == bit).map(|(at, _)| *at as u64);
        if expected.is_none() && !bit && end.is_none() && !range.is_empty() {
            expected = Some(bytes.len() as u64 * 8);
        }
        prop_assert_eq!(find_bit(&bytes, bit, start, end, unit), expected);
    }

    #[test]
    fn ends_of_the_integer_range(bytes in strings(), bit: bool, unit in unit()) {
        let all = count_ones(&bytes);
        prop_assert_eq!(count_ones_in(&bytes, i64::MIN, i64::MAX, unit), all);
        prop_assert_eq!(count_ones_in(&bytes, i64::MAX, i64::MIN, unit), 0);
        let first = find_bit(&bytes, bit, 0, Some(-1), unit);
        prop_assert_eq!(find_bit(&bytes, bit, i64::MIN, Some(i64::MAX), unit), first);
    }

    #[test]
    fn single_bits(mut bytes in strings(), at: u16, bit: bool) {
        let mut model = bools(&bytes);
        prop_assume!(!model.is_empty());
        let at = usize::from(at) % model.len();
        prop_assert_eq!(get_bit(&bytes, at as u64), model[at]);
        prop_assert_eq!(set_bit(&mut bytes, at as u64, bit), model[at]);
        model[at] = bit;
        prop_assert_eq!(bools(&bytes), model);
    }

    #[test]
    fn combinations(sources in proptest::collection::vec(strings(), 0..5)) {
        let slices: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
        let length = sources.iter().map(Vec::len).max().unwrap_or(0) * 8;
        let column = |at| slices.iter().map(move |source| get_bit(source, at as u64));
        for (operation, expected) in [
            (BitOp::And, (0..length).map(|at| column(at).all(|bit| bit)).collect::<Vec<_>>()),
            (BitOp::Or, (0..length).map(|at| column(at).any(|bit| bit)).collect()),
            (BitOp::Xor, (0..length).map(|at| column(at).filter(|bit| *bit).count() % 2 == 1).collect()),
        ] {
            prop_assert_eq!(bools(&combined(operation, &slices)), expected);
        }
        for source in &sources {
            prop_assert_eq!(&negated(&negated(source)), source);
        }
    }
}
