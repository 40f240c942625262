//! An embeddable, crash-safe log-structured merge tree.

pub mod batch;
mod entry;
pub mod error;
mod memtable;
pub mod varint;
pub mod vfs;
mod cache;
mod table;
