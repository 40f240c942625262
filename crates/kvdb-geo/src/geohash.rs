//! The text of a position as geohash.org has it.

use crate::cell::{FINEST, interleave, step_of};
use crate::point::MAX_LONGITUDE;
use crate::score::decode;

/// Characters of a geohash as GEOHASH replies it.
pub const GEOHASH_LENGTH: usize = 11;

/// The northern limit of geohashes, unlike that of scores.
const MAX_LATITUDE: f64 = 90.0;

/// Geohash' own base-32 digits: no `a`, `i`, `l` and `o`.
const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// The geohash of a score, for GEOHASH: ten characters that any geohash decoder understands, and a `0`, because 52 bits
/// are not enough for an eleventh.
///
/// Latitudes run from −90 to 90 in a geohash, so its bits are not those of the score: the position is encoded anew.
#[must_use]
pub fn geohash(score: f64) -> [u8; GEOHASH_LENGTH] {
    let point = decode(score);
    let column = step_of(point.longitude(), MAX_LONGITUDE, FINEST);
    let row = step_of(point.latitude(), MAX_LATITUDE, FINEST);
    let bits = interleave(column, row);
    let mut text = [DIGITS[0]; GEOHASH_LENGTH];
    for (at, digit) in text[..GEOHASH_LENGTH - 1].iter_mut().enumerate() {
        let below = 2 * FINEST as usize - 5 * (at + 1);
        *digit = DIGITS[(bits >> below) as usize & 31];
    }
    text
}
