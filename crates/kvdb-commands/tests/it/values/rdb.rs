//! Dump payloads: round trips, and bodies with a right checksum and anything inside.

use kvdb_commands::values::rdb::{TYPE_STRING, dump_string, restore_string, seal, write_length};
use proptest::prelude::*;

const MAX: usize = 1 << 20;

/// A compressed string of literals alone.
fn literal_lzf(value: &[u8]) -> Vec<u8> {
    let pieces = value.chunks(32).map(|piece| [&[piece.len() as u8 - 1], piece].concat());
    let compressed = pieces.collect::<Vec<_>>().concat();
    let mut body = vec![TYPE_STRING, 0xc3];
    write_length(&mut body, compressed.len() as u64);
    write_length(&mut body, value.len() as u64);
    body.extend(compressed);
    seal(body)
}

proptest! {
    #[test]
    fn strings_round_trip(value in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(restore_string(&dump_string(&value), MAX), Ok(value.clone()));
        prop_assert_eq!(restore_string(&literal_lzf(&value), MAX), Ok(value));
    }

    #[test]
    fn integers_round_trip(value: i64, shift in 0..64_u32) {
        let text = (value >> shift).to_string().into_bytes();
        let payload = dump_string(&text);
        prop_assert!(payload.len() <= 12 + text.len());
        prop_assert_eq!(restore_string(&payload, MAX), Ok(text));
    }

    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..60), form in proptest::sample::select(&[0xc3_u8, 0x80, 0x81, 0x40][..])) {
        let restored = restore_string(&seal([&[TYPE_STRING, form], &body[..]].concat()), MAX);
        prop_assert!(restored.map_or(0, |value| value.len()) <= MAX);
        let _ = restore_string(&seal(body.clone()), MAX);
        let _ = restore_string(&body, MAX);
    }
}

#[test]
fn lengths_of_every_form() {
    for length in [0, 63, 64, 16_383, 16_384, 100_000] {
        let value = vec![b'x'; length];
        assert_eq!(restore_string(&dump_string(&value), MAX), Ok(value));
    }
}
