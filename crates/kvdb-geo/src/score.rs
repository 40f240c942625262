//! Positions to scores and back.

use crate::cell::{Cell, FINEST};
use crate::point::Point;

/// The score of a position: the number of its finest cell. It is an integer below 2⁵², except for positions at exactly
/// 180° east or at the northern limit.
#[must_use]
pub fn encode(point: Point) -> f64 {
    Cell::containing(point, FINEST).scores().min
}

/// The position of a score: the middle of the cell, at most 0.34 m from what was encoded.
///
/// Any score has one, because GEO commands may be given a sorted set that was not made by them.
#[must_use]
pub fn decode(score: f64) -> Point {
    Cell::of_score(bits_of(score)).middle()
}

/// The integer in a score. C leaves open what that is for a number outside of `u64`; this is what Redis on x86-64 does:
/// negative numbers are taken modulo 2⁶⁴, and what is too large for that is 0.
fn bits_of(score: f64) -> u64 {
    const HALF: f64 = (1_u64 << 63) as f64;
    if score < HALF {
        (score as i64).cast_unsigned()
    } else if score < 2.0 * HALF {
        score as u64
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_of_scores() {
        for (score, bits) in [
            (0.0, 0),
            (1.9, 1),
            (-0.5, 0),
            (-1.0, u64::MAX),
            (9_223_372_036_854_775_808.0, 1 << 63),
            (18_446_744_073_709_549_568.0, u64::MAX - 2047),
            (-1e300, 1 << 63),
            (f64::NEG_INFINITY, 1 << 63),
            (1e300, 0),
            (f64::INFINITY, 0),
        ] {
            assert_eq!(bits_of(score), bits, "{score}");
        }
    }

    proptest! {
        #[test]
        fn what_is_decoded_is_near_and_encodes_to_the_same_score(
            longitude in -179.999_99..179.999_99,
            latitude in -85.051_12..85.051_12,
        ) {
            let point = Point::new(longitude, latitude).unwrap();
            let score = encode(point);
            let decoded = decode(score);
            prop_assert_eq!(encode(decoded), score);
            prop_assert!(point.distance(decoded) < 0.4, "{} m", point.distance(decoded));
        }

        #[test]
        fn every_double_is_a_position(score in any::<f64>()) {
            let point = decode(score);
            prop_assert!(Point::new(point.longitude(), point.latitude()).is_ok());
        }
    }
}
