//! What can go wrong in the keyspace itself (a command's own errors are the command's business).

use std::fmt;

use crate::commit_log::Refusal;

/// A failed operation of the store.
#[derive(Debug)]
pub enum StoreError {
    /// The LSM could not read or write.
    Rows(kvdb_lsm::error::Error),
    /// The log does not take writes now.
    Refused(Refusal),
    /// A row that the store itself needs is not what this version writes.
    Damaged(&'static str),
    /// The system did not start a thread.
    Threads(std::io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(e) => e.fmt(f),
            Self::Refused(e) => e.fmt(f),
            Self::Damaged(what) => write!(f, "the store's own rows are damaged: {what}"),
            Self::Threads(e) => write!(f, "cannot start a thread for disk reads: {e}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<kvdb_lsm::error::Error> for StoreError {
    fn from(e: kvdb_lsm::error::Error) -> Self {
        Self::Rows(e)
    }
}

impl From<Refusal> for StoreError {
    fn from(e: Refusal) -> Self {
        Self::Refused(e)
    }
}
