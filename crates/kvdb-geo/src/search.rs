//! Which ranges of scores hold everything that a shape may contain.

use std::ops::Deref;

use crate::cell::{Bounds, Cell, FINEST};
use crate::point::Point;
use crate::shape::Shape;

/// Scores from `min` to, and without, `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// The first score.
    pub min: f64,
    /// The score behind the last.
    pub max: f64,
}

impl ScoreRange {
    /// Whether a score is in the range.
    #[must_use]
    pub fn contains(&self, score: f64) -> bool {
        self.min <= score && score < self.max
    }
}

/// One to nine ranges of scores, none of them twice, in the order in which Redis visits them.
#[derive(Clone, Copy, Debug)]
pub struct SearchAreas {
    ranges: [ScoreRange; NEIGHBOURHOOD.len()],
    len: usize,
}

impl Deref for SearchAreas {
    type Target = [ScoreRange];

    fn deref(&self) -> &[ScoreRange] {
        &self.ranges[..self.len]
    }
}

/// The cells that are visited, as columns to the east and rows to the north of the one in the middle.
const NEIGHBOURHOOD: [(i32, i32); 9] =
    [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

/// The score ranges in which every position is that lies in `shape` around `center`, except across a pole. They hold
/// others, too: [`Shape::distance_within`] tells which.
#[must_use]
pub fn search_areas(center: Point, shape: &Shape) -> SearchAreas {
    let extremes = shape.extremes(center);
    let mut steps = estimated_steps(shape.reach(), center.latitude());
    let mut middle = Cell::containing(center, steps);
    // Near the border of its cell a shape may stick out of the neighbour on the other side.
    let sticks_out = middle.neighbour(0, 1).bounds().north < extremes.north
        || middle.neighbour(0, -1).bounds().south > extremes.south
        || middle.neighbour(1, 0).bounds().east < extremes.east
        || middle.neighbour(-1, 0).bounds().west > extremes.west;
    if sticks_out && steps > 1 {
        steps -= 1;
        middle = Cell::containing(center, steps);
    }
    // On a side where the shape does not reach the border of the middle cell there is nothing to look for.
    let Bounds { west, east, south, north } = middle.bounds();
    let is_idle = |columns: i32, rows: i32| {
        (columns > 0 && east > extremes.east)
            || (columns < 0 && west < extremes.west)
            || (rows > 0 && north > extremes.north)
            || (rows < 0 && south < extremes.south)
    };
    let mut areas = SearchAreas { ranges: [middle.scores(); NEIGHBOURHOOD.len()], len: 0 };
    for (columns, rows) in NEIGHBOURHOOD {
        if steps > 1 && is_idle(columns, rows) {
            continue;
        }
        let range = middle.neighbour(columns, rows).scores();
        // On a map of two columns the neighbour to the east is the neighbour to the west.
        if areas.last() != Some(&range) {
            areas.ranges[areas.len] = range;
            areas.len += 1;
        }
    }
    areas
}

/// How finely to cut the map so that a shape that reaches this many meters fits into a cell and its neighbours.
fn estimated_steps(reach: f64, latitude: f64) -> u32 {
    /// Half the width of the Mercator map in meters.
    const HALF_MAP: f64 = 20_037_726.37;
    if reach == 0.0 {
        return FINEST;
    }
    let mut steps = -1;
    let mut doubled = reach;
    while doubled < HALF_MAP {
        doubled *= 2.0;
        steps += 1;
    }
    // Cells become narrow towards the poles.
    steps -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    steps.clamp(1, FINEST.cast_signed()).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unit, encode};
    use proptest::prelude::*;

    const KM: Unit = Unit::Kilometers;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point::new(longitude, latitude).unwrap()
    }

    #[test]
    fn the_whole_map_is_four_cells_and_a_point_is_one() {
        let all = search_areas(point(10.0, 20.0), &Shape::Radius { radius: f64::INFINITY, unit: KM });
        assert_eq!(all.len(), 4);
        assert_eq!(all.iter().map(|range| range.max - range.min).sum::<f64>(), (1_u64 << 52) as f64);
        let one = search_areas(point(10.0, 20.0), &Shape::Radius { radius: 0.0, unit: KM });
        assert!(
            one.contains(&ScoreRange {
                min: encode(point(10.0, 20.0)),
                max: encode(point(10.0, 20.0)) + 1.0
            })
        );
    }

    #[test]
    fn a_search_goes_on_across_the_antimeridian() {
        let areas = search_areas(point(179.99, 10.0), &Shape::Radius { radius: 5.0, unit: KM });
        assert!(areas.iter().any(|range| range.contains(encode(point(-179.99, 10.0)))));
    }

    proptest! {
        #[test]
        fn no_position_in_the_shape_is_outside_of_the_ranges(
            longitude in -180.0..179.999_f64,
            latitude in -70.0..70.0_f64,
            radius in 0.001..1000.0_f64,
            toward in (-1.0..1.0_f64, -1.0..1.0_f64),
            boxed in any::<bool>(),
        ) {
            let center = point(longitude, latitude);
            let shape = match boxed {
                true => Shape::Box { width: radius, height: radius * 0.7, unit: KM },
                false => Shape::Radius { radius, unit: KM },
            };
            let extremes = shape.extremes(center);
            let east = (extremes.east - longitude) * toward.0;
            let other = point(
                (longitude + east + 540.0).rem_euclid(360.0) - 180.0,
                latitude + (extremes.north - latitude) * toward.1,
            );
            let areas = search_areas(center, &shape);
            for (at, range) in areas.iter().enumerate() {
                prop_assert!(!areas[..at].contains(range), "no range is there twice");
            }
            if shape.distance_within(center, other).is_some() {
                prop_assert!(areas.iter().any(|range| range.contains(encode(other))), "{other:?} was missed");
            }
        }
    }
}
