//! Small sorted sets: a pack of members with their scores, in their order.
//!
//! A score that is a whole number is an integer of the pack; any other is a mark and the eight bytes of the double,
//! which can never be taken for the text of a number.

use std::cmp::Ordering;
use std::ops::Range;

use super::large::compare_scores;
use crate::entry::ValueRef;
use crate::types::pack::{Cursor, Pack};

/// Before the bytes of a double.
const MARK: u8 = 0xff;
/// Whole numbers up to this are exact.
const EXACT: f64 = (1u64 << 53) as f64;

/// Shows a score as an element of a pack.
fn with_score<R>(score: f64, use_it: impl FnOnce(&[u8]) -> R) -> R {
    if score.abs() < EXACT && score.fract() == 0.0 && !(score == 0.0 && score.is_sign_negative()) {
        return use_it(itoa::Buffer::new().format(score as i64).as_bytes());
    }
    let mut bytes = [MARK; 9];
    bytes[1..].copy_from_slice(&score.to_le_bytes());
    use_it(&bytes)
}

fn read_score(element: ValueRef<'_>) -> f64 {
    match element {
        ValueRef::Int(int) => int as f64,
        ValueRef::Bytes(bytes) => f64::from_le_bytes(*bytes.last_chunk().expect("a mark and eight bytes")),
    }
}

fn compare(element: ValueRef<'_>, member: &[u8]) -> Ordering {
    match element {
        ValueRef::Bytes(bytes) => bytes.cmp(member),
        ValueRef::Int(int) => itoa::Buffer::new().format(int).as_bytes().cmp(member),
    }
}

/// Steps over the next member and its score.
pub(super) fn forth<'p>(cursor: &mut Cursor<'p, 2>) -> Option<(ValueRef<'p>, f64)> {
    cursor.next().map(|[member, score]| (member, read_score(score)))
}

/// The place before the member of a rank, or behind all of them.
pub(super) fn cursor(pack: &Pack<2>, rank: usize) -> Cursor<'_, 2> {
    let mut cursor = pack.first();
    (0..rank).for_each(|_| _ = cursor.pass());
    cursor
}

/// Members with their scores, from the last to the first. A pack of records that are read forwards only is shorter, and
/// what stands before a place is soon found from its beginning.
pub(super) struct Backwards<'p> {
    /// The places before the members that are still to come.
    places: Vec<Cursor<'p, 2>>,
}

impl<'p> Backwards<'p> {
    /// The members of these ranks, which are there.
    pub(super) fn new(pack: &'p Pack<2>, ranks: Range<usize>) -> Self {
        let mut cursor = cursor(pack, ranks.start);
        let place = |_| {
            let here = cursor;
            cursor.pass();
            here
        };
        Self { places: ranks.map(place).collect() }
    }
}

impl<'p> Iterator for Backwards<'p> {
    type Item = (ValueRef<'p>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        forth(&mut self.places.pop()?)
    }
}

/// The ranks of the members between those below and those above a range, at most `most` from the lowest on.
pub(super) fn ranks<'p>(
    pack: &'p Pack<2>,
    most: usize,
    is_below: impl Fn(ValueRef<'p>, f64) -> bool,
    is_above: impl Fn(ValueRef<'p>, f64) -> bool,
) -> Range<usize> {
    let (mut cursor, mut ranks) = (pack.first(), 0..0);
    while let Some((member, score)) = forth(&mut cursor) {
        if ranks.is_empty() && is_below(member, score) {
            ranks = ranks.end + 1..ranks.end + 1;
        } else if ranks.len() == most || is_above(member, score) {
            break;
        } else {
            ranks.end += 1;
        }
    }
    ranks
}

/// A member's offset, rank and score.
pub(super) fn find(pack: &Pack<2>, member: &[u8]) -> Option<(usize, usize, f64)> {
    let (rank, before) = pack.find(member)?;
    Some((before.offset(), rank, read_score(before.second()?)))
}

/// Adds a member that is not there.
pub(super) fn insert(pack: &mut Pack<2>, member: &[u8], score: f64) {
    let mut cursor = pack.first();
    let offset = loop {
        let mut here = cursor;
        let offset = here.offset();
        let Some(other) = cursor.next_second().map(read_score) else { break offset };
        // Nearly always the score decides, and the member is not looked at.
        let order = compare_scores(other, score)
            .then_with(|| here.next().map_or(Ordering::Greater, |[other, _]| compare(other, member)));
        if order.is_ge() {
            break offset;
        }
    };
    with_score(score, |score| pack.insert(offset, [member, score]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_score_comes_back() {
        for score in
            [0.0, -0.0, 1.0, -17.0, 0.1, 1e300, f64::INFINITY, f64::NEG_INFINITY, 5e-324, EXACT, EXACT - 1.0]
        {
            let mut pack = Pack::new();
            insert(&mut pack, b"m", score);
            let (_, read) = forth(&mut pack.first()).expect("there is one");
            assert_eq!(read.to_bits(), score.to_bits(), "{score}");
        }
        // The bytes of this double are the text of a number.
        let mut pack = Pack::new();
        insert(&mut pack, b"m", f64::from_le_bytes(*b"12345678"));
        assert_eq!(forth(&mut pack.first()).map(|(_, s)| s.to_le_bytes()), Some(*b"12345678"));
    }
}
