//! What a log tells its users: errors, marks, state, statistics.

use crate::batch::Seq;
use crate::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why the log takes no batches at the moment. It will again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullReason {
    /// The disk has no space for a further segment.
    NoSpace,
    /// A sync has been running for more than two seconds.
    SlowDisk,
    /// Too many appended bytes wait for being written.
    Backlog,
}

/// A refused or failed operation of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogError {
    /// Not now. Of `append` and `rotate`: nothing was taken. Of the others: what was appended is
    /// kept and will be written when there is room; it must not be acknowledged before.
    Full(FullReason),
    /// A write or sync failed for good: nothing that is not durable yet will ever be. The text is
    /// the cause.
    Poisoned(Arc<str>),
    /// The batch is larger than the log takes.
    TooLarge,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(FullReason::NoSpace) => f.write_str("the disk of the log is full"),
            Self::Full(FullReason::SlowDisk) => {
                f.write_str("the disk of the log has not finished a sync for over two seconds")
            }
            Self::Full(FullReason::Backlog) => {
                f.write_str("too many bytes wait for being written to the log")
            }
            Self::Poisoned(cause) => {
                write!(f, "the log stopped after a failed write to the disk: {cause}")
            }
            Self::TooLarge => f.write_str("the batch is larger than the log takes"),
        }
    }
}

impl std::error::Error for LogError {}

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Poisoned(cause) => Self::Poisoned(cause.as_ref().to_owned()),
            other => Self::Invalid(other.to_string()),
        }
    }
}

/// Whether the log takes batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogState {
    /// It does.
    Open,
    /// Not at the moment.
    Full(FullReason),
    /// Never again. The text is the cause.
    Poisoned(Arc<str>),
}

/// What a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProgress {
    /// All operations up to here are in the system's page cache: they survive the process.
    pub written: Seq,
    /// All operations up to here are on the disk: they survive the machine.
    pub durable: Seq,
    /// Whether the log takes batches.
    pub state: LogState,
}

/// Statistics since the log was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Successful syncs of segments.
    pub syncs: u64,
    /// Write calls.
    pub writes: u64,
    /// Bytes written to segments.
    pub written_bytes: u64,
    /// Bytes of batches appended.
    pub appended_bytes: u64,
    /// Records written: groups of batches that shared a write.
    pub groups: u64,
    /// Syncs that took more than two seconds. Under [`SyncPolicy::EverySec`](super::SyncPolicy::EverySec) they
    /// made the log refuse appends.
    pub delayed: u64,
    /// Appends refused.
    pub refused: u64,
    /// Segments begun.
    pub rotations: u64,
    /// Segments that exist.
    pub segments: u64,
    /// Bytes of the segments that exist, without preallocation.
    pub live_bytes: u64,
}
