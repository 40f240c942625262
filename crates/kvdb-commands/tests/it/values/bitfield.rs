//! Bit fields against arithmetic on wide integers, bit by bit.

use kvdb_commands::values::bitfield::{
    FieldType, Overflow, bytes_for_field, decide_increment, decide_set, get, put,
};
use kvdb_commands::values::bits::{get_bit, set_bit};
use proptest::prelude::*;

fn fields() -> impl Strategy<Value = (FieldType, bool, u32)> {
    let signed = (1..=64_u32).prop_map(|bits| ('i', bits));
    let unsigned = (1..=63_u32).prop_map(|bits| ('u', bits));
    prop_oneof![signed, unsigned].prop_map(|(sign, bits)| {
        let field = FieldType::parse(format!("{sign}{bits}").as_bytes()).unwrap();
        (field, sign == 'i', bits)
    })
}

fn model_get(bytes: &[u8], offset: u64, signed: bool, bits: u32) -> i128 {
    let raw =
        (0..u64::from(bits)).fold(0_i128, |value, bit| value << 1 | i128::from(get_bit(bytes, offset + bit)));
    if signed && raw >> (bits - 1) == 1 { raw - (1 << bits) } else { raw }
}

proptest! {
    #[test]
    fn fields_are_their_bits(
        bytes in proptest::collection::vec(any::<u8>(), 0..24),
        offset in 0..300_u64,
        (field, signed, bits) in fields(),
        value: i64,
    ) {
        prop_assert_eq!(i128::from(get(&bytes, offset, field)), model_get(&bytes, offset, signed, bits));
        let mut written = bytes;
        let length = bytes_for_field(offset, field) as usize;
        written.resize(written.len().max(length), 0);
        let mut model = written.clone();
        put(&mut written, offset, field, value);
        for bit in 0..bits {
            set_bit(&mut model, offset + u64::from(bit), value >> (bits - 1 - bit) & 1 == 1);
        }
        prop_assert_eq!(&written, &model);
    }

    #[test]
    fn increments_overflow_as_asked((field, signed, bits) in fields(), seed: i64, by: i64, shift in 0..64_u32) {
        let by = by >> shift;
        let (min, max) = if signed {
            (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1)
        } else {
            (0, (1_i128 << bits) - 1)
        };
        let span = max - min + 1;
        let old = min + i128::from(seed).rem_euclid(span);
        let exact = old + i128::from(by);
        let decide = |overflow| {
            decide_increment(old as i64, by, field, overflow).map(|change| i128::from(change.new))
        };
        prop_assert_eq!(decide(Overflow::Wrap), Some(min + (exact - min).rem_euclid(span)));
        prop_assert_eq!(decide(Overflow::Saturate), Some(exact.clamp(min, max)));
        prop_assert_eq!(decide(Overflow::Fail), (min..=max).contains(&exact).then_some(exact));
        let set = decide_set(old as i64, exact.clamp(min, max) as i64, field, Overflow::Fail);
        prop_assert_eq!(set.map(|change| i128::from(change.new)), Some(exact.clamp(min, max)));
    }
}
