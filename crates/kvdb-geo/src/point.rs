//! A position, and the part of the earth that has positions.

use std::fmt;

/// The easternmost longitude in degrees; the westernmost is its negative.
pub(crate) const MAX_LONGITUDE: f64 = 180.0;

/// The northernmost latitude in degrees, where Web Mercator (EPSG:3857) ends; the southernmost is its negative.
pub(crate) const MAX_LATITUDE: f64 = 85.051_128_78;

/// A position in degrees.
///
/// # Invariants
/// * The longitude is within ±180, the latitude within ±85.05112878; neither is NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    longitude: f64,
    latitude: f64,
}

impl Point {
    /// The position at these degrees east and north.
    ///
    /// # Errors
    /// There is no such position.
    pub fn new(longitude: f64, latitude: f64) -> Result<Self, OutOfRange> {
        let within = |degrees: f64, limit: f64| (-limit..=limit).contains(&degrees);
        if within(longitude, MAX_LONGITUDE) && within(latitude, MAX_LATITUDE) {
            Ok(Self { longitude, latitude })
        } else {
            Err(OutOfRange { longitude, latitude })
        }
    }

    /// The position at these degrees, moved to the nearest limit where there is none. Neither number may be NaN.
    pub(crate) fn clamped(longitude: f64, latitude: f64) -> Self {
        Self {
            longitude: longitude.clamp(-MAX_LONGITUDE, MAX_LONGITUDE),
            latitude: latitude.clamp(-MAX_LATITUDE, MAX_LATITUDE),
        }
    }

    /// Degrees east of Greenwich.
    #[must_use]
    pub fn longitude(self) -> f64 {
        self.longitude
    }

    /// Degrees north of the equator.
    #[must_use]
    pub fn latitude(self) -> f64 {
        self.latitude
    }
}

/// Degrees at which there is no position. `Display` has Redis' words, without the `ERR` before them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutOfRange {
    /// Degrees east, as they were asked for.
    pub longitude: f64,
    /// Degrees north, as they were asked for.
    pub latitude: f64,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid longitude,latitude pair {:.6},{:.6}", self.longitude, self.latitude)
    }
}

impl std::error::Error for OutOfRange {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_themselves_are_positions_and_nothing_is_beyond() {
        for (longitude, latitude) in [(180.0, 85.051_128_78), (-180.0, -85.051_128_78), (0.0, -0.0)] {
            assert!(Point::new(longitude, latitude).is_ok(), "{longitude} {latitude}");
        }
        for (longitude, latitude) in [
            (180.000_001, 0.0),
            (-181.0, 0.0),
            (0.0, 85.051_128_79),
            (0.0, -90.0),
            (f64::NAN, 0.0),
            (0.0, f64::NAN),
            (f64::INFINITY, 0.0),
        ] {
            assert!(Point::new(longitude, latitude).is_err(), "{longitude} {latitude}");
        }
    }

    #[test]
    fn the_error_has_six_decimals() {
        let error = Point::new(200.0, 100.5).unwrap_err();
        assert_eq!(error.to_string(), "invalid longitude,latitude pair 200.000000,100.500000");
    }
}
