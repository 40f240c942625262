//! A table of arbitrary parts with matching checksums, and arbitrary bytes as a table: walked to
//! the end or refused, never a panic.

#![no_main]

use kvdb_lsm::probe::{self, TableParts};
use libfuzzer_sys::fuzz_target;

// The first byte says which parts are forged and in what format, the second which features are
// set, the first byte of each piece is its length.
fuzz_target!(|data: &[u8]| {
    let _ = probe::table(data, 3);
    let [forged, features, rest @ ..] = data else {
        return;
    };
    let mut rest = rest;
    let mut pieces = Vec::new();
    while let [len, tail @ ..] = rest {
        let (piece, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        pieces.push(piece);
        rest = tail;
    }
    let mut take = |bit: u8| (forged & bit != 0).then(|| pieces.pop()).flatten();
    let (filter, index, properties, top) = (take(1), take(2), take(4), take(8));
    let parts = TableParts {
        is_format_1: forged & 16 != 0,
        blocks: &pieces,
        filter: filter.unwrap_or_default(),
        index,
        top: (forged & 32 != 0).then_some(top),
        properties,
        // Rarely: a table with unknown ones is refused before anything else is looked at.
        features: if forged & 192 == 192 { u64::from(*features) } else { 0 },
    };
    let bytes = probe::table_of(&parts, 3);
    let _ = probe::table(&bytes, 3);
    // Elsewhere the same bytes are no table.
    assert!(probe::table(&bytes, 4).is_err());
});
