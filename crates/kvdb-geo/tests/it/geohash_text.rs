//! Geohash texts against the `geohash` package, which cuts the earth up in its own way.

use kvdb_geo::{Point, decode, encode, geohash as text_of};
use proptest::prelude::*;

proptest! {
    #[test]
    fn geohashes_are_those_of_another_implementation(longitude in -179.999..179.999, latitude in -85.0..85.0) {
        let score = encode(Point::new(longitude, latitude).unwrap());
        let text = text_of(score);
        let decoded = decode(score);
        let position = geohash::Coord { x: decoded.longitude(), y: decoded.latitude() };
        let theirs = geohash::encode(position, 10).unwrap();
        prop_assert_eq!(str::from_utf8(&text[..10]).unwrap(), theirs.as_str());
        prop_assert_eq!(text[10], b'0');
        // And a decoder finds the way back.
        let (middle, half_width, half_height) = geohash::decode(&theirs).unwrap();
        prop_assert!((middle.x - decoded.longitude()).abs() <= half_width);
        prop_assert!((middle.y - decoded.latitude()).abs() <= half_height);
    }
}
