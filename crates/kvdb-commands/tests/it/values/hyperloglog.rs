//! Sketches: the bytes of Redis, agreement of the encodings, the error, and damaged strings.

use kvdb_commands::values::hyperloglog::{
    Encoding, HllError, REGISTER_COUNT, Registers, SPARSE_MAX_BYTES, add, cached_cardinality, check,
    describe_sparse, empty, estimate, make_dense, merge, store_cardinality,
};
use proptest::prelude::*;

fn sketch_of(elements: &[impl AsRef<[u8]>], sparse_max_bytes: usize) -> Vec<u8> {
    let mut sketch = empty();
    for element in elements {
        add(&mut sketch, element.as_ref(), sparse_max_bytes).unwrap();
    }
    sketch
}

fn registers_of(sketch: &[u8]) -> Registers {
    let mut registers = Registers::default();
    registers.union(sketch).unwrap();
    registers
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

#[test]
fn bytes_equal_those_of_redis() {
    let mut sketch = empty();
    assert_eq!(sketch, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff");
    for element in ["a1", "a2", "a3", "a4", "a5"] {
        assert_eq!(add(&mut sketch, element.as_bytes(), SPARSE_MAX_BYTES), Ok(true));
    }
    assert_eq!(add(&mut sketch, b"a1", SPARSE_MAX_BYTES), Ok(false));
    let runs = b"D\xef\x80CM\x84T\xd4\x80E\xf1\x80Q\xea\x84K\n";
    assert_eq!(sketch, [&b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80"[..], runs].concat());
    assert_eq!(
        describe_sparse(&sketch).unwrap().unwrap(),
        "Z:1264 v:1,1 Z:846 v:2,1 Z:5333 v:1,1 Z:1522 v:1,1 Z:4587 v:2,1 Z:2827"
    );
    assert_eq!(cached_cardinality(&sketch), Ok(None));
    let cardinality = estimate(&sketch).unwrap();
    assert_eq!(cardinality, 5);
    store_cardinality(&mut sketch, cardinality).unwrap();
    assert_eq!(sketch[8..16], [5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(cached_cardinality(&sketch), Ok(Some(5)));
    add(&mut sketch, b"a6", SPARSE_MAX_BYTES).unwrap();
    assert_eq!(cached_cardinality(&sketch), Ok(None));
}

#[test]
fn the_error_stays_below_two_percent() {
    const COUNT: usize = 100_000;
    for prefix in ["user:", "10.0.0.", "\u{0}\u{1}"] {
        let mut sketch = empty();
        for (number, element) in numbered(prefix, COUNT).iter().enumerate() {
            add(&mut sketch, element.as_bytes(), SPARSE_MAX_BYTES).unwrap();
            let so_far = number + 1;
            if so_far == 100 || so_far == 1000 || so_far == 10_000 || so_far == COUNT {
                let error = estimate(&sketch).unwrap() as f64 / so_far as f64 - 1.0;
                assert!(error.abs() < 0.02, "{prefix:?}, {so_far} elements: {error}");
            }
        }
        assert_eq!(check(&sketch), Ok(Encoding::Dense));
    }
}

#[test]
fn a_sketch_becomes_dense_when_it_outgrows_its_limit() {
    let mut sketch = empty();
    for element in numbered("x", 5000) {
        let before = sketch.clone();
        add(&mut sketch, element.as_bytes(), 500).unwrap();
        match check(&sketch).unwrap() {
            Encoding::Sparse => assert!(sketch.len() <= 500),
            Encoding::Dense => {
                assert!(before.len() > 490);
                assert_eq!(sketch.len(), 16 + REGISTER_COUNT * 6 / 8);
                return;
            }
        }
    }
    panic!("5000 elements do not fit 500 bytes");
}

#[test]
fn unions() {
    let (few, many) = (numbered("x", 50), numbered("y", 5000));
    let (sparse, dense) = (sketch_of(&few, SPARSE_MAX_BYTES), sketch_of(&many, 0));
    let mut union = Registers::default();
    assert_eq!(union.estimate(), 0);
    union.union(&sparse).unwrap();
    union.union(&dense).unwrap();
    let both = sketch_of(&[few, many].concat(), 0);
    assert_eq!(union, registers_of(&both));
    assert_eq!(union.estimate(), estimate(&both).unwrap());
    let mut merged = sparse;
    merge(&mut merged, &union, true, SPARSE_MAX_BYTES).unwrap();
    assert_eq!(merged, both);
}

#[test]
fn strings_that_are_no_sketches() {
    let sparse = sketch_of(&["a", "b", "c"], SPARSE_MAX_BYTES);
    let dense = sketch_of(&["a", "b", "c"], 0);
    let damaged = |sketch: &[u8], at: usize, byte: u8| {
        let mut damaged = sketch.to_vec();
        damaged[at] = byte;
        estimate(&damaged)
    };
    assert_eq!(damaged(&sparse, 0, b'h'), Err(HllError::NotASketch));
    assert_eq!(damaged(&sparse, 4, 2), Err(HllError::NotASketch));
    assert_eq!(damaged(&sparse, 4, 0), Err(HllError::NotASketch), "too short to be dense");
    assert_eq!(estimate(&dense[..dense.len() - 1]), Err(HllError::NotASketch));
    assert_eq!(estimate(&sparse[..15]), Err(HllError::NotASketch));
    assert_eq!(estimate(b""), Err(HllError::NotASketch));
    let longer = [&sparse[..], b"hello"].concat();
    assert_eq!(estimate(&longer), Err(HllError::Corrupted));
    assert_eq!(make_dense(&mut longer.clone()), Err(HllError::Corrupted));
    assert_eq!(registers_of(&sparse).union(&longer), Err(HllError::Corrupted));
    // As in Redis, which sees a zero byte behind the last half of a run.
    let shown = describe_sparse(&longer).unwrap().unwrap();
    assert!(shown.ends_with(" Z:10342 Z:11373 Z:12033"), "{shown}");
    let no_runs = &sparse[..16];
    assert_eq!(add(&mut no_runs.to_vec(), b"a", SPARSE_MAX_BYTES), Err(HllError::Corrupted));
    assert_eq!(HllError::NotASketch.to_string(), "WRONGTYPE Key is not a valid HyperLogLog string value.");
}

proptest! {
    #[test]
    fn both_encodings_hold_the_same_registers(
        elements in proptest::collection::vec(0..500_u16, 0..300),
        limit in 16..600_usize,
    ) {
        let elements: Vec<_> = elements.iter().map(|element| element.to_be_bytes()).collect();
        let (some, dense) = (sketch_of(&elements, limit), sketch_of(&elements, 0));
        prop_assert_eq!(registers_of(&some), registers_of(&dense));
        prop_assert_eq!(estimate(&some), estimate(&dense));
        let mut converted = some;
        make_dense(&mut converted).unwrap();
        if !elements.is_empty() {
            prop_assert_eq!(converted, dense);
        }
    }

    #[test]
    fn adding_is_idempotent(elements in proptest::collection::vec(any::<[u8; 3]>(), 0..100)) {
        let sketch = sketch_of(&elements, SPARSE_MAX_BYTES);
        let mut again = sketch.clone();
        for element in &elements {
            prop_assert_eq!(add(&mut again, element, SPARSE_MAX_BYTES), Ok(false));
        }
        prop_assert_eq!(again, sketch);
    }

    #[test]
    fn no_string_panics(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        encoding in 0..3_u8,
        element: [u8; 2],
        limit in 0..300_usize,
    ) {
        let mut sketch = [&b"HYLL"[..], &[encoding], &[0; 11], &body].concat();
        let _ = estimate(&sketch);
        let _ = describe_sparse(&sketch);
        let _ = Registers::default().union(&sketch);
        let before = sketch.clone();
        if add(&mut sketch, &element, limit) != Ok(true) {
            prop_assert_eq!(&sketch, &before);
        }
        let _ = merge(&mut sketch, &registers_of(&sketch_of(&[element], 0)), true, limit);
    }
}
