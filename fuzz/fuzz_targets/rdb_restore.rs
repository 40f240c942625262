//! A RESTORE payload, or one of FUNCTION RESTORE: neither arbitrary bytes nor an arbitrary body with a right checksum panics or
//! takes more memory than allowed, and what was restored survives another dump.

#![no_main]

use kvdb_commands::values::rdb::libraries::{dump_libraries, read_libraries};
use kvdb_commands::values::rdb::{dump_collection, dump_string, restore, seal};
use kvdb_store::CarriedValue;
use kvdb_store::types::{Collection, Layout};
use libfuzzer_sys::fuzz_target;

const MAX: usize = 1 << 16;
/// A moment; what is restored has nothing that dies.
const NOW: u64 = 0;

fn rows(value: &Collection) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    value.rows(&mut |key, row| rows.push((key.to_vec(), row.to_vec())));
    rows.sort();
    rows
}

/// The code of the libraries in a payload, as far as there is some.
fn codes(payload: &[u8]) -> Vec<Vec<u8>> {
    let Ok(libraries) = read_libraries(payload, MAX) else { return Vec::new() };
    libraries.map_while(Result::ok).map(|code| code.into_owned()).collect()
}

fuzz_target!(|data: &[u8]| {
    let _ = codes(data);
    let found = codes(&seal(data.to_vec()));
    assert!(found.iter().all(|code| code.len() <= MAX));
    assert_eq!(codes(&dump_libraries(found.iter().map(Vec::as_slice))), found);
    let layout = Layout::with_seed(1);
    let _ = restore(data, MAX, &layout);
    match restore(&seal(data.to_vec()), MAX, &layout) {
        Ok(CarriedValue::Bytes(value)) => {
            assert!(value.len() <= MAX);
            let again = restore(&dump_string(&value), MAX, &layout);
            assert!(matches!(again, Ok(CarriedValue::Bytes(again)) if again == value));
        }
        Ok(CarriedValue::Collection(value)) => {
            let payload = dump_collection(&value, NOW).expect("it was small");
            let Ok(CarriedValue::Collection(again)) = restore(&payload, MAX, &layout) else {
                panic!("what is dumped is restored");
            };
            if let Collection::Stream(_) = value {
                // A dump does not say when consumers were active.
                assert_eq!(dump_collection(&again, NOW), Ok(payload));
            } else {
                assert_eq!(rows(&again), rows(&value));
            }
        }
        Ok(CarriedValue::Int(_)) | Err(_) => {}
    }
});
