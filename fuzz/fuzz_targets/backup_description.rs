//! The description of a backup, of arbitrary fields with a checksum that matches, and of arbitrary bytes:
//! read or refused, and what was read is written the same.

#![no_main]

use kvdb_lsm::probe;
use libfuzzer_sys::fuzz_target;

// Of each field, the first byte is the tag and the second the length.
fuzz_target!(|data: &[u8]| {
    let _ = probe::backup(data);
    let mut fields = Vec::new();
    let mut rest = data;
    while let [tag, len, tail @ ..] = rest {
        let (body, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        fields.push((u64::from(*tag), body));
        rest = tail;
    }
    let bytes = probe::backup_of(&fields);
    let read = probe::backup(&bytes);
    // A byte more or less, and it is none.
    assert!(probe::backup(&bytes[..bytes.len() - 1]).is_err());
    assert!(probe::backup(&[&bytes[..], &[0]].concat()).is_err());
    assert_eq!(read, probe::backup(&bytes));
});
