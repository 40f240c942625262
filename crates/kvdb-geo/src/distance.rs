//! Distances on a sphere.

use std::f64::consts::PI;
use std::io::Write;

use crate::point::Point;

/// The radius of the sphere in meters: the largest curvature of WGS 84, as Redis has it.
pub(crate) const EARTH_RADIUS: f64 = 6_372_797.560_856;

const DEGREE: f64 = PI / 180.0;

pub(crate) fn to_radians(degrees: f64) -> f64 {
    degrees * DEGREE
}

pub(crate) fn to_degrees(radians: f64) -> f64 {
    radians / DEGREE
}

impl Point {
    /// Meters to another position along the great circle, by the haversine formula.
    #[must_use]
    pub fn distance(self, other: Self) -> f64 {
        let across = ((to_radians(other.longitude()) - to_radians(self.longitude())) / 2.0).sin();
        if across == 0.0 {
            return self.distance_north(other);
        }
        let (from, to) = (to_radians(self.latitude()), to_radians(other.latitude()));
        let along = ((to - from) / 2.0).sin();
        let haversine = along * along + from.cos() * to.cos() * across * across;
        2.0 * EARTH_RADIUS * haversine.sqrt().asin()
    }

    /// Meters between the parallels of two positions.
    pub(crate) fn distance_north(self, other: Self) -> f64 {
        EARTH_RADIUS * (to_radians(other.latitude()) - to_radians(self.latitude())).abs()
    }
}

/// Prints a distance in any unit as GEODIST and WITHDIST reply it, with four decimals. It must be at least 0 and below 10¹⁴.
///
/// The decimals are those of ten thousand times the distance, rounded to the nearest integer, and to the even one of two
/// that are as near. That is not always what rounding the decimal expansion gives, as `{:.4}` does.
pub fn write_distance(out: &mut Vec<u8>, distance: f64) {
    let units = (distance * 10_000.0).round_ties_even() as u64;
    write!(out, "{}.{:04}", units / 10_000, units % 10_000).expect("a vector takes text");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point::new(longitude, latitude).unwrap()
    }

    #[test]
    fn a_quarter_of_a_meridian_and_half_of_the_equator() {
        let quarter = point(0.0, 0.0).distance(point(0.0, 45.0));
        assert!((quarter - EARTH_RADIUS * PI / 4.0).abs() < 1e-6, "{quarter}");
        let half = point(-90.0, 0.0).distance(point(90.0, 0.0));
        assert!((half - EARTH_RADIUS * PI).abs() < 1e-6, "{half}");
        assert!(point(-180.0, 10.0).distance(point(180.0, 10.0)) < 1e-6, "the antimeridian is one line");
    }

    #[test]
    fn a_distance_has_four_decimals_and_is_rounded_as_a_product() {
        for (distance, text) in [
            (0.0, "0.0000"),
            (166_274.151_561_362_4, "166274.1516"),
            (0.000_05, "0.0000"),
            (12.999_96, "13.0000"),
            (59_281_247.724_35, "59281247.7244"),
        ] {
            let mut out = Vec::new();
            write_distance(&mut out, distance);
            assert_eq!(str::from_utf8(&out), Ok(text));
        }
    }

    proptest! {
        #[test]
        fn distances_are_symmetric_bounded_and_zero_only_here(
            a in (-180.0..180.0, -85.0..85.0),
            b in (-180.0..180.0, -85.0..85.0),
        ) {
            let (a, b) = (point(a.0, a.1), point(b.0, b.1));
            let distance = a.distance(b);
            prop_assert!((0.0..=EARTH_RADIUS * PI + 1e-6).contains(&distance));
            prop_assert!((distance - b.distance(a)).abs() <= 1e-8 * distance);
            prop_assert_eq!(a.distance(a), 0.0);
            prop_assert!(a.distance_north(b) <= distance + 1e-6);
        }
    }
}
