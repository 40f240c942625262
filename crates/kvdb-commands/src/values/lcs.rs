//! The longest common subsequence of two strings.
//!
//! Redis fills a table of |a| × |b| 32-bit lengths and walks back through it. Of that table only one
//! bit a cell is needed: whether the length grows from column j-1 to column j. A row of such bits
//! follows from the row above by an addition and three logical operations on whole words
//! (Crochemore and others, 2001), so this takes a sixty-fourth of the steps and a thirty-second of
//! the memory. Which of several longest subsequences is found is the same as in Redis, and so is the
//! limit beyond which the command is refused: the size that Redis' table would have.

use std::fmt;

/// A stretch that both strings have in common, as inclusive offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The first and the last offset in the first string.
    pub a: (usize, usize),
    /// The first and the last offset in the second string.
    pub b: (usize, usize),
}

/// The strings are too long. `Display` is the error reply without its code, which is ERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    }
}

impl std::error::Error for TooLong {}

impl Match {
    /// How many bytes the stretch has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.a.1 - self.a.0 + 1
    }
}

/// The length of the longest common subsequence. `limit` is `proto-max-bulk-len`, in bytes.
///
/// # Errors
/// The strings are too long for the limit.
pub fn length(a: &[u8], b: &[u8], limit: u64) -> Result<usize, TooLong> {
    check(a, b, limit)?;
    let masks = Masks::new(a, b);
    let mut row = vec![u64::MAX; masks.words];
    for byte in a {
        advance(&mut row, masks.of(*byte));
    }
    Ok(common_length(&row, b.len()))
}

/// The longest common subsequence itself.
///
/// # Errors
/// The strings are too long for the limit.
pub fn subsequence(a: &[u8], b: &[u8], limit: u64) -> Result<Vec<u8>, TooLong> {
    check(a, b, limit)?;
    let table = Table::new(a, b);
    let mut bytes = Vec::with_capacity(table.length);
    table.walk_back(a, b, |i, _| bytes.push(a[i]));
    bytes.reverse();
    Ok(bytes)
}

/// The stretches that make up the longest common subsequence, the last one first, without those
/// shorter than `min_length`; and the length of the whole subsequence.
///
/// # Errors
/// The strings are too long for the limit.
pub fn matches(a: &[u8], b: &[u8], min_length: usize, limit: u64) -> Result<(Vec<Match>, usize), TooLong> {
    check(a, b, limit)?;
    let table = Table::new(a, b);
    let mut found: Vec<Match> = Vec::new();
    table.walk_back(a, b, |i, j| match found.last_mut() {
        Some(last) if (last.a.0, last.b.0) == (i + 1, j + 1) => {
            last.a.0 = i;
            last.b.0 = j;
        }
        last => {
            // The stretch behind is complete now.
            if last.is_some_and(|last| last.length() < min_length) {
                found.pop();
            }
            found.push(Match { a: (i, i), b: (j, j) });
        }
    });
    found.pop_if(|last| last.length() < min_length);
    Ok((found, table.length))
}

fn check(a: &[u8], b: &[u8], limit: u64) -> Result<(), TooLong> {
    let cells = (a.len() as u64 + 1).checked_mul(b.len() as u64 + 1);
    match cells.and_then(|cells| cells.checked_mul(4)) {
        Some(bytes) if bytes <= limit => Ok(()),
        _ => Err(TooLong),
    }
}

/// For every byte that is in `a`: where it stands in `b`, a bit for each place.
///
/// At most |a| rows of |b| bits, so the limit bounds it like the table.
struct Masks {
    words: usize,
    /// One more than the row of each byte in `rows`; zero for bytes that `a` has not.
    row_of: [u16; 256],
    rows: Vec<u64>,
}

impl Masks {
    fn new(a: &[u8], b: &[u8]) -> Self {
        let words = b.len().div_ceil(64);
        let mut row_of = [0; 256];
        let mut count = 0;
        for byte in a {
            let row = &mut row_of[usize::from(*byte)];
            if *row == 0 {
                count += 1;
                *row = count;
            }
        }
        let mut rows = vec![0; usize::from(count) * words];
        for (j, byte) in b.iter().enumerate() {
            let row = usize::from(row_of[usize::from(*byte)]);
            if row > 0 {
                rows[(row - 1) * words + j / 64] |= 1 << (j % 64);
            }
        }
        Self { words, row_of, rows }
    }

    /// The row of a byte that is in `a`.
    fn of(&self, byte: u8) -> &[u64] {
        let row = usize::from(self.row_of[usize::from(byte)]) - 1;
        &self.rows[row * self.words..(row + 1) * self.words]
    }
}

/// Turns a row of the table into the next one. A *clear* bit j says that the common length grows
/// from column j to column j+1.
fn advance(row: &mut [u64], mask: &[u64]) {
    let mut carry = false;
    for (word, mask) in row.iter_mut().zip(mask) {
        let (sum, first) = word.overflowing_add(*word & mask);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        carry = first || second;
        *word = sum | (*word & !mask);
    }
}

/// The sum of what a row grows by in its first `columns` columns.
fn common_length(row: &[u64], columns: usize) -> usize {
    let clear: usize = row.iter().map(|word| word.count_zeros() as usize).sum();
    // Bits behind the last column are never in a mask, so they stay set, except for a carry that
    // runs into them; there are none behind a full word.
    let last = columns % 64;
    let behind = match row.last() {
        Some(word) if last > 0 => (word | ((1 << last) - 1)).count_zeros() as usize,
        _ => 0,
    };
    clear - behind
}

/// All rows, one bit a cell.
struct Table {
    words: usize,
    rows: Vec<u64>,
    length: usize,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Self {
        let masks = Masks::new(a, b);
        let words = masks.words;
        let mut row = vec![u64::MAX; words];
        let mut rows = Vec::with_capacity(words * a.len());
        for byte in a {
            advance(&mut row, masks.of(*byte));
            rows.extend_from_slice(&row);
        }
        Self { words, length: common_length(&row, b.len()), rows }
    }

    /// Calls `visit` with the offsets of every common byte, from the last to the first.
    fn walk_back(&self, a: &[u8], b: &[u8], mut visit: impl FnMut(usize, usize)) {
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                i -= 1;
                j -= 1;
                visit(i, j);
            } else if self.grows(i - 1, j - 1) {
                // The bytes differ, so the length grew in this column because it did so in the row
                // above: that way is the longer one. Redis goes left where both are equally long.
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }

    fn grows(&self, i: usize, j: usize) -> bool {
        self.rows[i * self.words + j / 64] >> (j % 64) & 1 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 512 << 20;
    const A: &[u8] = b"ohmytext";
    const B: &[u8] = b"mynewtext";

    #[test]
    fn the_example_of_the_manual() {
        assert_eq!(length(A, B, LIMIT), Ok(6));
        assert_eq!(subsequence(A, B, LIMIT).as_deref(), Ok(&b"mytext"[..]));
        let both = vec![Match { a: (4, 7), b: (5, 8) }, Match { a: (2, 3), b: (0, 1) }];
        assert_eq!(matches(A, B, 0, LIMIT), Ok((both.clone(), 6)));
        assert_eq!(matches(A, B, 4, LIMIT), Ok((both[..1].to_vec(), 6)));
        assert_eq!(matches(A, B, 5, LIMIT), Ok((vec![], 6)));
    }

    #[test]
    fn empty_strings() {
        assert_eq!(length(b"", b"abc", LIMIT), Ok(0));
        assert_eq!(subsequence(b"abc", b"", LIMIT), Ok(vec![]));
        assert_eq!(matches(b"", b"", 0, LIMIT), Ok((vec![], 0)));
    }

    #[test]
    fn long_strings_are_refused_before_memory_is_taken() {
        let long = vec![b'a'; 11_585];
        assert_eq!(length(&long, &long, LIMIT), Err(TooLong));
        assert_eq!(matches(&long, &long, 0, LIMIT), Err(TooLong));
        let longest = &long[..11_584];
        assert_eq!(length(longest, longest, LIMIT), Ok(11_584));
    }
}
