//! A string that a client passes off as a HyperLogLog sketch: every operation either refuses it or
//! leaves a string that is still a sketch, and all ways to read its registers agree.

#![no_main]

use kvdb_commands::values::hyperloglog::{
    Registers, add, check, describe_sparse, estimate, make_dense, merge,
};
use libfuzzer_sys::fuzz_target;

// The first byte chooses an element and a limit; behind it are the header's rest and the registers.
fuzz_target!(|data: &[u8]| {
    let [choice, body @ ..] = data else {
        return;
    };
    let mut sketch = [b"HYLL", body].concat();
    let limit = usize::from(*choice) * 16;
    let readable = estimate(&sketch);
    let mut registers = Registers::default();
    assert_eq!(registers.union(&sketch).err(), readable.err());
    assert_eq!(describe_sparse(&sketch).err(), readable.err());
    if let Ok(cardinality) = readable {
        assert_eq!(registers.estimate(), cardinality);
        let mut dense = sketch.clone();
        make_dense(&mut dense).expect("what can be read can be made dense");
        assert_eq!(estimate(&dense), Ok(cardinality));
    }
    let before = sketch.clone();
    match add(&mut sketch, &[*choice], limit) {
        Ok(true) => assert!(check(&sketch).is_ok()),
        Ok(false) | Err(_) => assert_eq!(sketch, before),
    }
    if merge(&mut sketch, &registers, *choice % 2 == 0, limit).is_ok() && readable.is_ok() {
        let mut merged = Registers::default();
        merged.union(&sketch).expect("a merged sketch can be read");
    }
});
