//! A conversation of any commands of all families, while objects leave memory, time goes by and the store is closed and
//! opened: nothing panics, replies are those of a model, what is counted is there, and nothing else is there in the end.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| kvdb_fuzz::commands::converse(data));
