//! An embeddable, crash-safe log-structured merge tree.

pub mod batch;
mod entry;
pub mod error;
pub mod log;
mod memtable;
pub mod varint;
pub mod vfs;
mod wal;
mod cache;
mod table;
