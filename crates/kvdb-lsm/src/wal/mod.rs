//! The write-ahead log on disk: segments, chunks, records, and the rule for a torn tail.
//!
//! A log is a row of numbered *segment* files. A segment holds *records* (one write group each: a
//! concatenation of batches), cut into *chunks* that never cross a 32 KiB block. [`format`](self)
//! details:
//!
//! ```text
//! segment := file header (16) | chunk*
//! chunk   := crc32 u32 | len u16 | type u8 | lognum u32 | synced_off u64 | payload[len]
//! type    := 1 FULL | 2 FIRST | 3 MIDDLE | 4 LAST | 5 TRAILER | 6 HEAD
//! ```
//!
//! The checksum covers everything after itself. A block tail with less room than a chunk header
//! plus 16 bytes is filled with zeros, so that HEAD and TRAILER, whose payloads are that short,
//! are never cut. The first chunk of a segment is its HEAD (the sequence number that comes next);
//! it is durable before the segment gets its name. The last chunk of a finished segment is its
//! TRAILER (the total length, the last sequence number).
//!
//! `synced_off` is a promise: when this chunk was written, the segment was durable up to that
//! offset. It is what lets recovery tell a torn tail (legal: bytes that nobody was promised) from
//! damage to durable data (never to be dropped silently).

pub(crate) mod format;
pub(crate) mod reader;
pub(crate) mod recovery;
pub(crate) mod scan;
pub(crate) mod writer;

pub use recovery::{Recovered, TornTail};

/// The number of a segment; they count up from 1 without gaps.
pub type SegmentNumber = u64;
