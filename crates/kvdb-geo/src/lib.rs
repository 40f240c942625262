//! Positions on the earth as scores of a sorted set.
//!
//! Redis keeps a position as a number: longitude and latitude are each cut into 2²⁶ steps, and the bits of the two step
//! numbers are interleaved, longitude first, into one integer of 52 bits, which a double holds exactly. That number is the
//! *score* ([`encode`], [`decode`]). Interleaving has a gift in it: a *cell*, the rectangle of all positions that share
//! their first bits, is one unbroken range of scores. Searching a neighbourhood therefore means to choose a cell size at
//! which the shape fits into a cell and its eight neighbours ([`search_areas`]), to read those nine score ranges from the
//! sorted set, and to look at every position found with the exact test ([`Shape::distance_within`]).
//!
//! ```
//! use kvdb_geo::{Point, Shape, Unit, decode, encode, geohash, search_areas, write_distance};
//!
//! let palermo = encode(Point::new(13.361389, 38.115556).unwrap());
//! let catania = encode(Point::new(15.087269, 37.502669).unwrap());
//! assert_eq!(palermo, 3479099956230698.0);
//! assert_eq!(&geohash(palermo), b"sqc8b49rny0");
//!
//! let distance = decode(palermo).distance(decode(catania));
//! let mut text = Vec::new();
//! write_distance(&mut text, Unit::Kilometers.of_meters(distance));
//! assert_eq!(text, b"166.2742");
//!
//! // Who is within 100 km of the middle of the island?
//! let center = Point::new(15.0, 37.0).unwrap();
//! let shape = Shape::Radius { radius: 100.0, unit: Unit::Kilometers };
//! let areas = search_areas(center, &shape);
//! let found = [palermo, catania]
//!     .into_iter()
//!     .filter(|score| areas.iter().any(|area| area.contains(*score)))
//!     .filter_map(|score| shape.distance_within(center, decode(score)));
//! assert_eq!(found.map(|meters| format!("{meters:.4}")).collect::<Vec<_>>(), ["56441.2579"]);
//! ```
//!
//! # Equal to the last digit
//!
//! Applications compare what GEODIST and GEOPOS print, so every result is that of Redis 7.0 in all its bits, and so is the
//! order in which [`search_areas`] lists the cells, since replies that nobody sorted come in that order. Therefore
//! expressions keep their shape here: an equivalent formula is not an equal one in floating point. `tests/it/redis.rs`
//! compares with a Redis server, and a table of its answers is a test.
//!
//! That includes what is crude. The earth is a sphere. Within a few degrees of the poles (beyond ±85.05112878°, where the
//! square map of Web Mercator ends) there are no positions. A search that reaches across a pole may miss what lies behind
//! it, and a position at exactly 180° east or at the northern limit, which has one step number too many, is found by
//! searches that begin there only.
//!
//! # What this crate does not do
//!
//! It knows no sorted set, no command and no reply. It prints distances, whose rounding is their own, but not coordinates
//! and scores, which are printed as numbers are everywhere.

mod cell;
mod distance;
mod geohash;
mod point;
mod score;
mod search;
mod shape;
mod unit;

pub use distance::write_distance;
pub use geohash::{GEOHASH_LENGTH, geohash};
pub use point::{OutOfRange, Point};
pub use score::{decode, encode};
pub use search::{ScoreRange, SearchAreas, search_areas};
pub use shape::Shape;
pub use unit::Unit;
