//! Integration tests of the storage engine, in one binary.

mod log_basic;
mod support;
