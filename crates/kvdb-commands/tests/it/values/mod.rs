//! The algorithms behind the commands against naive models, and against what Redis 7.0.15 replied.

mod bitfield;
mod bits;
mod hyperloglog;
mod lcs;
mod number;
mod rdb;
