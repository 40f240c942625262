//! A blob file of arbitrary records with matching checksums, arbitrary bytes as a blob file, and
//! arbitrary references: read to the end or refused, never a panic.

#![no_main]

use kvdb_lsm::probe::{self, BlobParts};
use libfuzzer_sys::fuzz_target;

// The first bytes say what the footer and the references state. Of each piece, the first byte is the
// length of its key, the second that of its value, and the third its codec.
fuzz_target!(|data: &[u8]| {
    let _ = probe::blob(data, 3, 7);
    let _ = probe::blob_reference(data);
    let [records, features, value_len, rest @ ..] = data else {
        return;
    };
    let mut rest = rest;
    let mut pieces = Vec::new();
    while let [key_len, len, codec, tail @ ..] = rest {
        let (key, tail) = tail.split_at(tail.len().min(usize::from(*key_len)));
        let (stored, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        // Mostly one of the codecs there are.
        pieces.push((key, stored, if *codec < 128 { codec % 3 } else { *codec }));
        rest = tail;
    }
    let parts = BlobParts {
        records: &pieces,
        stated: (u64::from(*records), if *features > 250 { u64::from(*features) } else { 0 }),
        value_len: None,
    };
    let bytes = probe::blob_of(&parts, 3);
    if let Ok(read) = probe::blob(&bytes, 3, u32::from(*value_len)) {
        assert!(read <= pieces.len() as u64);
    }
    // Elsewhere the same bytes are no blob file.
    assert!(probe::blob(&bytes, 4, 0).is_err());
});
