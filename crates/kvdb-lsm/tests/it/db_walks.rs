//! Walks of an iterator: random moves both ways and seeks, over random ranges, with what they must
//! show.

use crate::db_support::{KEYS, Rows, key};
use crate::support::Rng;
use kvdb_lsm::{Db, Iter, ReadView};
use std::ops::Bound;

/// What is walked over.
#[derive(Debug, Clone)]
pub(crate) enum Range {
    All,
    Prefix(Vec<u8>),
    Between(Bound<Vec<u8>>, Bound<Vec<u8>>),
}

/// One move of an iterator.
#[derive(Debug, Clone)]
pub(crate) enum Move {
    Next,
    Prev,
    First,
    Last,
    Seek(Vec<u8>),
    SeekForPrev(Vec<u8>),
}

/// A range and the moves over it.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    pub(crate) range: Range,
    pub(crate) moves: Vec<Move>,
}

/// The row after each move.
pub(crate) type Seen = Vec<Option<(Vec<u8>, Vec<u8>)>>;

pub(crate) fn bound(rng: &mut Rng) -> Bound<Vec<u8>> {
    let key = sought(rng);
    match rng.below(3) {
        0 => Bound::Included(key),
        1 => Bound::Excluded(key),
        _ => Bound::Unbounded,
    }
}

/// A bound, borrowed.
pub(crate) fn slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

/// A key of the workload, or one between or beyond its keys.
fn sought(rng: &mut Rng) -> Vec<u8> {
    let mut key = key(rng.below(KEYS + 10));
    match rng.below(8) {
        0 => key.push(0),
        1 => key.truncate(rng.below(4) as usize),
        2 => key[0] = key[0].wrapping_add(rng.below(3) as u8).wrapping_sub(1),
        _ => {}
    }
    key
}

impl Range {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        match rng.below(6) {
            0 => Self::All,
            1 => Self::Prefix(sought(rng)[..].split_at_checked(3).map_or(Vec::new(), |(a, _)| a.to_vec())),
            _ => Self::Between(bound(rng), bound(rng)),
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => key.starts_with(prefix),
            Self::Between(lower, upper) => {
                let above = match lower {
                    Bound::Included(lower) => key >= lower.as_slice(),
                    Bound::Excluded(lower) => key > lower.as_slice(),
                    Bound::Unbounded => true,
                };
                above
                    && match upper {
                        Bound::Included(upper) => key <= upper.as_slice(),
                        Bound::Excluded(upper) => key < upper.as_slice(),
                        Bound::Unbounded => true,
                    }
            }
        }
    }

    pub(crate) fn iter(&self, db: &Db, view: &ReadView) -> Iter {
        match self {
            Self::All => db.iter_all(view),
            Self::Prefix(prefix) => db.iter_prefix(prefix, view),
            Self::Between(lower, upper) => db.iter((slice(lower), slice(upper)), view),
        }
    }
}

impl Walk {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let range = Range::random(rng);
        let mut moves = Vec::new();
        // Stretches in one direction, with turns and seeks between them.
        for _ in 0..rng.below(12) {
            let longest = if rng.one_in(4) { 60 } else { 6 };
            let stretch = 1 + rng.below(longest);
            match rng.below(8) {
                0 => moves.push(Move::First),
                1 => moves.push(Move::Last),
                2 => moves.push(Move::Seek(sought(rng))),
                3 => moves.push(Move::SeekForPrev(sought(rng))),
                4 | 5 => moves.extend((0..stretch).map(|_| Move::Next)),
                _ => moves.extend((0..stretch).map(|_| Move::Prev)),
            }
        }
        Self { range, moves }
    }

    /// What an iterator shows.
    pub(crate) fn run(&self, db: &Db, view: &ReadView, context: &str) -> Seen {
        let mut iter = self.range.iter(db, view);
        let step = |wanted: &Move| {
            let row = match wanted {
                Move::Next => iter.next_entry(),
                Move::Prev => iter.prev_entry(),
                Move::First => iter.seek_first(),
                Move::Last => iter.seek_last(),
                Move::Seek(key) => iter.seek(key),
                Move::SeekForPrev(key) => iter.seek_for_prev(key),
            };
            let row = row.unwrap_or_else(|e| panic!("{context}: {e}"));
            let row = row.map(|(key, value)| (key.to_vec(), value.to_vec()));
            let current = iter.current().map(|(key, value)| (key.to_vec(), value.to_vec()));
            assert_eq!(row, current, "{context}: the row is not the current one after {wanted:?}");
            row
        };
        self.moves.iter().map(step).collect()
    }

    /// What it must show over these rows.
    pub(crate) fn expected(&self, rows: &Rows) -> Seen {
        let rows: Vec<_> = rows.iter().filter(|(key, _)| self.range.contains(key)).collect();
        // The rows are numbered from 1, with a place before the first and one behind the last.
        let mut at = 0;
        let end = rows.len() + 1;
        let step = |wanted: &Move| {
            at = match wanted {
                Move::Next => (at + 1).min(end),
                Move::Prev => at.saturating_sub(1),
                Move::First => 1,
                Move::Last => end - 1,
                Move::Seek(key) => rows.partition_point(|(k, _)| *k < key) + 1,
                Move::SeekForPrev(key) => rows.partition_point(|(k, _)| *k <= key),
            };
            let row = at.checked_sub(1).and_then(|n| rows.get(n));
            row.map(|(key, value)| ((*key).clone(), (*value).clone()))
        };
        self.moves.iter().map(step).collect()
    }

    /// Walks through a view that must show these rows.
    pub(crate) fn check(&self, db: &Db, view: &ReadView, rows: &Rows, context: &str) {
        let (seen, expected) = (self.run(db, view, context), self.expected(rows));
        let wrong = seen.iter().zip(&expected).position(|(seen, expected)| seen != expected);
        if let Some(n) = wrong {
            let name = |row: &Option<(Vec<u8>, Vec<u8>)>| {
                row.as_ref().map(|(key, value)| format!("{} ({})", key.escape_ascii(), value.len()))
            };
            let (seen, expected) = (name(&seen[n]), name(&expected[n]));
            let moves = &self.moves[..=n];
            panic!("{context}: {seen:?}, not {expected:?} at the end of {moves:?} in {:?}", self.range);
        }
    }
}
