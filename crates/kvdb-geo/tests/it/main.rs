//! What needs somebody else's opinion: the `geohash` package and a Redis server.

mod geohash_text;
mod map;
mod redis;
