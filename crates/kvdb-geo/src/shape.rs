//! What a search looks into: a circle or a box around a position.

use crate::distance::{EARTH_RADIUS, to_degrees, to_radians};
use crate::point::Point;
use crate::unit::Unit;

/// Meters by which a distance may be computed too short: less than this, whatever the distance.
const ROUNDING: f64 = 1e-3;

/// The extent of a search. No number may be negative or NaN; they may be infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Everything up to a distance, BYRADIUS.
    Radius {
        /// The distance, included.
        radius: f64,
        /// Of `radius`.
        unit: Unit,
    },
    /// Everything up to half a width to the east and west and half a height to the north and south, BYBOX.
    Box {
        /// From west to east, measured along the parallel of what is looked at.
        width: f64,
        /// From south to north.
        height: f64,
        /// Of both.
        unit: Unit,
    },
}

/// The degrees between which a shape lies. They may be beyond the map, and beyond a pole they are no use at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extremes {
    pub(crate) west: f64,
    pub(crate) east: f64,
    pub(crate) south: f64,
    pub(crate) north: f64,
}

impl Shape {
    /// The distance in meters from `center`, around which this shape lies, to `point`, if the point is in the shape.
    #[must_use]
    pub fn distance_within(&self, center: Point, point: Point) -> Option<f64> {
        match *self {
            Self::Radius { radius, unit } => {
                let radius = radius * unit.meters();
                // Most of what is looked at is not within, and much of that shows without any trigonometry.
                if center.distance_north(point) > radius + ROUNDING {
                    return None;
                }
                let distance = center.distance(point);
                (distance <= radius).then_some(distance)
            }
            Self::Box { width, height, unit } => {
                if center.distance_north(point) > height * unit.meters() / 2.0 {
                    return None;
                }
                let beside = point.with_longitude_of(center);
                if point.distance(beside) > width * unit.meters() / 2.0 {
                    return None;
                }
                Some(center.distance(point))
            }
        }
    }

    /// Meters from the center to the farthest point.
    pub(crate) fn reach(&self) -> f64 {
        match *self {
            Self::Radius { radius, unit } => radius * unit.meters(),
            Self::Box { width, height, unit } => {
                let (half_width, half_height) = (width / 2.0, height / 2.0);
                (half_width * half_width + half_height * half_height).sqrt() * unit.meters()
            }
        }
    }

    /// Between which degrees the shape around `center` lies.
    ///
    /// A degree of longitude is shortest on the side towards the pole, so that side decides how many are needed.
    pub(crate) fn extremes(&self, center: Point) -> Extremes {
        let (east, north, unit) = match *self {
            Self::Radius { radius, unit } => (radius, radius, unit),
            Self::Box { width, height, unit } => (width / 2.0, height / 2.0, unit),
        };
        let (longitude, latitude) = (center.longitude(), center.latitude());
        let up = to_degrees(unit.meters() * north / EARTH_RADIUS);
        let poleward = if latitude < 0.0 { latitude - up } else { latitude + up };
        let aside = to_degrees(unit.meters() * east / EARTH_RADIUS / to_radians(poleward).cos());
        Extremes {
            west: longitude - aside,
            east: longitude + aside,
            south: latitude - up,
            north: latitude + up,
        }
    }
}

impl Point {
    /// The position on this one's parallel and the other one's meridian.
    fn with_longitude_of(self, other: Self) -> Self {
        Self::clamped(other.longitude(), self.latitude())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_circle_holds_what_is_not_farther_than_its_radius(
            center in (-180.0..180.0, -85.0..85.0),
            point in (-180.0..180.0, -85.0..85.0),
            same_meridian: bool,
            part in prop_oneof![Just(1.0), 0.0..2.0],
        ) {
            let center = Point::new(center.0, center.1).expect("it is on the map");
            let longitude = if same_meridian { center.longitude() } else { point.0 };
            let point = Point::new(longitude, point.1).expect("it is on the map");
            let distance = center.distance(point);
            let radius = distance * part;
            let found = Shape::Radius { radius, unit: Unit::Meters }.distance_within(center, point);
            prop_assert_eq!(found, (distance <= radius).then_some(distance));
        }
    }
}
