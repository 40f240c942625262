//! A manifest of arbitrary edits with matching checksums, and arbitrary bytes as a manifest: read
//! or refused, and what was read once reads the same again.

#![no_main]

use kvdb_lsm::probe;
use libfuzzer_sys::fuzz_target;

// The first byte of each piece is its length.
fuzz_target!(|data: &[u8]| {
    let _ = probe::manifest(data, 7);
    let mut edits = Vec::new();
    let mut rest = data;
    while let [len, tail @ ..] = rest {
        let (edit, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        edits.push(edit);
        rest = tail;
    }
    let bytes = probe::manifest_of(&edits, 7);
    let read = probe::manifest(&bytes, 7);
    assert_eq!(read, probe::manifest(&bytes, 7));
    // The same records under another number are somebody else's.
    assert!(probe::manifest(&bytes, 8).is_err());
});
