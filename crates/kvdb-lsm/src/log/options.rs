//! How a log is set up.

use crate::batch::{MAX_BATCH_BYTES, Seq};
use crate::vfs::Vfs;
use crate::wal::SegmentNumber;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// When appended batches are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before they are acknowledged: the caller waits for [`Log::durable`](super::Log::durable).
    Always,
    /// Once a second; a crash of the machine loses about the last second.
    EverySec,
    /// When the system likes, at rotation, and on request.
    No,
}

impl SyncPolicy {
    pub(super) const fn to_u8(self) -> u8 {
        match self {
            Self::Always => 0,
            Self::EverySec => 1,
            Self::No => 2,
        }
    }

    pub(super) const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Always,
            1 => Self::EverySec,
            _ => Self::No,
        }
    }
}

/// The time between two syncs of [`SyncPolicy::EverySec`].
pub(super) const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// A sync that runs longer than this makes the log refuse appends under
/// [`SyncPolicy::EverySec`].
pub(super) const SLOW_SYNC: Duration = Duration::from_secs(2);
/// The time between two attempts to get space on a full disk.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// The time that a write may take for which somebody waits who may not wait for the disk.
pub(super) const SHORT_WRITE: Duration = Duration::from_micros(200);
/// Written bytes that are handed to the system for writeback together.
pub(super) const WRITEBACK_BYTES: u64 = 4 << 20;

/// The options of a [`Log`](super::Log).
#[derive(Clone)]
pub struct LogOptions {
    /// The file system.
    pub vfs: Arc<dyn Vfs>,
    /// The directory of the segments, for this log alone. Created if missing.
    pub dir: PathBuf,
    /// When appended batches are made durable.
    pub policy: SyncPolicy,
    /// The size to which segments are preallocated and after which the next one is begun, in
    /// bytes. A batch that is larger gets a segment of its own.
    pub segment_bytes: u64,
    /// Appended bytes that may wait for being written: while there are as many, appends are refused,
    /// and the log's thread writes. One batch may reach beyond.
    pub max_buffered_bytes: usize,
    /// The largest batch accepted, in bytes; at most [`MAX_BATCH_BYTES`].
    pub max_batch_bytes: usize,
    /// Space on the disk that no segment is preallocated from, in bytes: what the owner needs to
    /// write elsewhere what it wants removed here. Without it, a log could fill the disk and leave
    /// no way out.
    pub reserve_bytes: u64,
    /// Segments below this number are obsolete and not read. They are removed only when the owner
    /// says it again with [`Log::remove_before`](super::Log::remove_before): what it knows this
    /// number from may not be durable yet. If it is not 0, a segment of this number must exist.
    pub min_segment: SegmentNumber,
    /// The sequence number of the first operation, for a log that has no segment yet. At least 1.
    pub first_seq: Seq,
    /// Without a thread: the owner calls [`Log::tick`](super::Log::tick). For simulation.
    pub manual: bool,
}

impl LogOptions {
    /// The defaults for a log in `dir`: a sync every second, segments of 64 MiB.
    #[must_use]
    pub fn new(vfs: Arc<dyn Vfs>, dir: impl Into<PathBuf>) -> Self {
        Self {
            vfs,
            dir: dir.into(),
            policy: SyncPolicy::EverySec,
            segment_bytes: 64 << 20,
            max_buffered_bytes: 64 << 20,
            max_batch_bytes: MAX_BATCH_BYTES,
            reserve_bytes: 0,
            min_segment: 0,
            first_seq: 1,
            manual: false,
        }
    }
}

impl fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOptions")
            .field("dir", &self.dir)
            .field("policy", &self.policy)
            .field("segment_bytes", &self.segment_bytes)
            .field("max_buffered_bytes", &self.max_buffered_bytes)
            .field("max_batch_bytes", &self.max_batch_bytes)
            .field("reserve_bytes", &self.reserve_bytes)
            .field("min_segment", &self.min_segment)
            .field("first_seq", &self.first_seq)
            .field("manual", &self.manual)
            .finish_non_exhaustive()
    }
}
