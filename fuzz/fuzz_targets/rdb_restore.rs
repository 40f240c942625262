//! A RESTORE payload: neither arbitrary bytes nor an arbitrary body with a right checksum panics or
//! takes more memory than allowed, and what was restored survives another dump.

#![no_main]

use kvdb_commands::values::rdb::{dump_string, restore_string, seal};
use libfuzzer_sys::fuzz_target;

const MAX: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let _ = restore_string(data, MAX);
    if let Ok(value) = restore_string(&seal(data.to_vec()), MAX) {
        assert!(value.len() <= MAX);
        assert_eq!(restore_string(&dump_string(&value), MAX), Ok(value));
    }
    if data.len() <= MAX {
        assert_eq!(restore_string(&dump_string(data), MAX).as_deref(), Ok(data));
    }
});
