//! The longest common subsequence against the table of lengths and the walk back that define it.

use kvdb_commands::values::lcs::{Match, length, matches, subsequence};
use proptest::prelude::*;

const LIMIT: u64 = 1 << 20;

fn model(a: &[u8], b: &[u8]) -> (usize, Vec<(usize, usize)>) {
    let mut table = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in 0..a.len() {
        for j in 0..b.len() {
            table[i + 1][j + 1] =
                if a[i] == b[j] { table[i][j] + 1 } else { table[i][j + 1].max(table[i + 1][j]) };
        }
    }
    let (mut i, mut j) = (a.len(), b.len());
    let mut pairs = Vec::new();
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            i -= 1;
            j -= 1;
            pairs.push((i, j));
        } else if table[i - 1][j] > table[i][j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    (table[a.len()][b.len()], pairs)
}

proptest! {
    #[test]
    fn the_same_subsequence_is_found(a in "[abc]{0,150}", b in "[abc]{0,150}", min_length in 0..4_usize) {
        let (a, b) = (a.as_bytes(), b.as_bytes());
        let (expected, pairs) = model(a, b);
        prop_assert_eq!(length(a, b, LIMIT), Ok(expected));
        let mut bytes: Vec<u8> = pairs.iter().map(|(i, _)| a[*i]).collect();
        bytes.reverse();
        prop_assert_eq!(subsequence(a, b, LIMIT), Ok(bytes));

        let mut stretches: Vec<Match> = Vec::new();
        for (i, j) in pairs {
            match stretches.last_mut() {
                Some(last) if last.a.0 == i + 1 && last.b.0 == j + 1 => (last.a.0, last.b.0) = (i, j),
                _ => stretches.push(Match { a: (i, i), b: (j, j) }),
            }
        }
        stretches.retain(|stretch| stretch.length() >= min_length);
        prop_assert_eq!(matches(a, b, min_length, LIMIT), Ok((stretches, expected)));
    }

    #[test]
    fn every_byte_value(a in proptest::collection::vec(any::<u8>(), 0..80), b in proptest::collection::vec(any::<u8>(), 0..80)) {
        let expected = model(&a, &b).0;
        prop_assert_eq!(length(&a, &b, LIMIT), Ok(expected));
        prop_assert_eq!(length(&a, &a, LIMIT), Ok(a.len()));
    }
}
