//! An embeddable, crash-safe log-structured merge tree.

pub mod batch;
pub mod error;
pub mod varint;
pub mod vfs;
