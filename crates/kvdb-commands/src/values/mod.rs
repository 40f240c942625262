//! The algorithms behind the commands, over plain values: numbers, bits, sketches, dumps. Patterns are `kvdb-pubsub`'s.
//!
//! Nothing here knows storage, the protocol, a clock or a random source. Each module takes bytes and
//! returns bytes or small values, and equals Redis 7.2 in every bit that a client can see, so that
//! data and expectations can move between the two. The command families in this crate put keys,
//! arguments and replies around them.

pub mod bitfield;
pub mod bits;
pub mod extended;
pub mod hyperloglog;
pub mod lcs;
pub mod lolwut;
mod natural;
pub mod number;
pub mod rdb;
pub mod stream_id;

pub use kvdb_pubsub::glob;
