//! Cells: the map cut into a grid of 2ⁿ × 2ⁿ rectangles, and the scores that belong to each.
//!
//! The number of a cell is its column and row with their bits interleaved (a Morton number), the column's in the higher
//! place. Cutting every cell into four appends two bits, so the scores of the finest cells inside a cell are those that
//! begin with its number.

use crate::point::{MAX_LATITUDE, MAX_LONGITUDE, Point};
use crate::search::ScoreRange;

/// Cuts per coordinate in a score: 52 bits in all.
pub(crate) const FINEST: u32 = 26;

/// One rectangle of the grid with 2^`steps` columns and rows.
///
/// # Invariants
/// * `steps` is 1 to 26.
/// * A position at a coordinate's very maximum has a column or row of 2^`steps`, one more than the grid has; it stays
///   so in the score. Every other column and row is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    column: u32,
    row: u32,
    steps: u32,
}

/// The degrees between which a cell lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) west: f64,
    pub(crate) east: f64,
    pub(crate) south: f64,
    pub(crate) north: f64,
}

impl Cell {
    /// The cell that `point` is in.
    pub(crate) fn containing(point: Point, steps: u32) -> Self {
        let column = step_of(point.longitude(), MAX_LONGITUDE, steps);
        let row = step_of(point.latitude(), MAX_LATITUDE, steps);
        Self { column, row, steps }
    }

    /// The finest cell of a score; any 64 bits will do.
    pub(crate) fn of_score(bits: u64) -> Self {
        Self { column: gather(bits >> 1), row: gather(bits), steps: FINEST }
    }

    /// The cell some columns to the east and rows to the north, going round at the edges of the map in both directions.
    /// A coordinate that is not moved stays as it is.
    pub(crate) fn neighbour(self, columns: i32, rows: i32) -> Self {
        let moved = |at: u32, by: i32| match by {
            0 => at,
            _ => at.wrapping_add_signed(by) & ((1 << self.steps) - 1),
        };
        Self { column: moved(self.column, columns), row: moved(self.row, rows), steps: self.steps }
    }

    pub(crate) fn bounds(self) -> Bounds {
        let edge = |step: u32, limit: f64| {
            -limit + (f64::from(step) / f64::from(1_u32 << self.steps)) * (limit - -limit)
        };
        Bounds {
            west: edge(self.column, MAX_LONGITUDE),
            east: edge(self.column.wrapping_add(1), MAX_LONGITUDE),
            south: edge(self.row, MAX_LATITUDE),
            north: edge(self.row.wrapping_add(1), MAX_LATITUDE),
        }
    }

    /// The position in the middle.
    pub(crate) fn middle(self) -> Point {
        let Bounds { west, east, south, north } = self.bounds();
        Point::clamped((west + east) / 2.0, (south + north) / 2.0)
    }

    /// The scores of the positions in this cell.
    pub(crate) fn scores(self) -> ScoreRange {
        let finer = 2 * (FINEST - self.steps);
        let number = interleave(self.column, self.row);
        ScoreRange { min: (number << finer) as f64, max: ((number + 1) << finer) as f64 }
    }
}

/// Which of 2^`steps` equal steps from `-limit` to `limit` a coordinate falls into.
pub(crate) fn step_of(degrees: f64, limit: f64, steps: u32) -> u32 {
    let fraction = (degrees - -limit) / (limit - -limit);
    (fraction * f64::from(1_u32 << steps)) as u32
}

/// The bits of two numbers, in turn; the lowest bit is `low`'s.
pub(crate) fn interleave(high: u32, low: u32) -> u64 {
    spread(high) << 1 | spread(low)
}

/// The shifts and the masks with which halves, quarters, … of a word move apart (or together, taken backwards): the
/// method of magic numbers, as in Warren, "Hacker's Delight", section 7–2.
const MOVES: [(u32, u64); 5] = [
    (16, 0x0000_ffff_0000_ffff),
    (8, 0x00ff_00ff_00ff_00ff),
    (4, 0x0f0f_0f0f_0f0f_0f0f),
    (2, 0x3333_3333_3333_3333),
    (1, 0x5555_5555_5555_5555),
];

/// A zero above every bit.
fn spread(number: u32) -> u64 {
    MOVES.iter().fold(u64::from(number), |bits, (shift, mask)| (bits | bits << shift) & mask)
}

/// The bits in even places, moved together.
fn gather(bits: u64) -> u32 {
    let even = bits & MOVES[4].1;
    let masks = [MOVES[3].1, MOVES[2].1, MOVES[1].1, MOVES[0].1, 0xffff_ffff];
    let shifts = MOVES.iter().rev().map(|(shift, _)| shift);
    shifts.zip(masks).fold(even, |bits, (shift, mask)| (bits | bits >> shift) & mask) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit(word: u64, place: u32) -> u64 {
        word >> place & 1
    }

    proptest! {
        #[test]
        fn interleaving_puts_the_bits_in_turn(high in any::<u32>(), low in any::<u32>()) {
            let both = interleave(high, low);
            for place in 0..32 {
                prop_assert_eq!(bit(both, 2 * place), bit(u64::from(low), place));
                prop_assert_eq!(bit(both, 2 * place + 1), bit(u64::from(high), place));
            }
            prop_assert_eq!((gather(both >> 1), gather(both)), (high, low));
        }

        #[test]
        fn a_cell_contains_its_position_and_its_scores_are_those_of_its_quarters(
            longitude in -179.999..179.999,
            latitude in -85.05..85.05,
            steps in 1_u32..26,
        ) {
            let point = Point::new(longitude, latitude).unwrap();
            let (cell, quarter) = (Cell::containing(point, steps), Cell::containing(point, steps + 1));
            let bounds = cell.bounds();
            prop_assert!(bounds.west <= longitude && longitude <= bounds.east);
            prop_assert!(bounds.south <= latitude && latitude <= bounds.north);
            let (outer, inner) = (cell.scores(), quarter.scores());
            prop_assert!(outer.min <= inner.min && inner.max <= outer.max);
            prop_assert_eq!((outer.max - outer.min) / 4.0, inner.max - inner.min);
        }

        #[test]
        fn there_and_back_is_nowhere(longitude in -180.0..180.0, latitude in -85.0..85.0, steps in 1_u32..=26) {
            let cell = Cell::containing(Point::new(longitude, latitude).unwrap(), steps);
            for (columns, rows) in [(1, 0), (0, 1), (1, 1), (1, -1)] {
                prop_assert_eq!(cell.neighbour(columns, rows).neighbour(-columns, -rows), cell);
            }
        }
    }

    #[test]
    fn the_map_goes_round_at_its_edges() {
        let corner = Cell::containing(Point::new(-180.0, MAX_LATITUDE - 0.000_01).unwrap(), 3);
        assert_eq!((corner.column, corner.row), (0, 7));
        let across = corner.neighbour(-1, 1);
        assert_eq!((across.column, across.row), (7, 0));
    }
}
