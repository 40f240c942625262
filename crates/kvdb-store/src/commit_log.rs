//! The seam between the keyspace and the log that makes its changes permanent.
//!
//! A standalone node appends to the write-ahead log of its LSM; a member of a cluster will propose to its Raft group.
//! Either way a batch gets its place in one order, and replies wait until the log says that the place is safe.

use std::fmt;
use std::sync::Arc;

use kvdb_lsm::batch::{MAX_BATCH_BYTES, Seq, WriteBatch};
use kvdb_lsm::{AppendError, Db};

/// Why a write cannot be taken now. The message is for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The disk is full or too slow; nothing was changed, and writes are taken again when it has recovered.
    Unavailable(String),
    /// The log failed for good: the node has to be restarted.
    Stopped(String),
    /// It changes more at once than a log takes; others are taken.
    TooLarge,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "MISCONF KVDB cannot log writes now: {why}. Reads go on."),
            Self::Stopped(why) => write!(f, "ERR the log has failed and the node is stopping: {why}"),
            Self::TooLarge => {
                write!(f, "ERR the change exceeds the maximum allowed size of {MAX_BATCH_BYTES} bytes")
            }
        }
    }
}

/// Where changes are ordered and made permanent.
pub trait CommitLog: Send + Sync {
    /// Gives a batch its place in the order and makes its rows readable; never waits. Called with the latches of all
    /// keys of the batch held, so that the order of the log is the order of evaluation for every key. Returns the last
    /// sequence of the batch.
    ///
    /// # Errors
    /// The batch was not taken, wholly: the caller forgets the objects that it changed.
    fn append(&self, batch: &WriteBatch) -> Result<Seq, Refusal>;

    /// The last sequence given out.
    fn appended(&self) -> Seq;
}

/// The log of a standalone node: the write-ahead log of its LSM.
pub struct LocalLog {
    db: Arc<Db>,
}

impl LocalLog {
    /// The log of this database.
    pub fn new(db: Arc<Db>) -> Self {
        Self { db }
    }
}

impl CommitLog for LocalLog {
    #[inline]
    fn append(&self, batch: &WriteBatch) -> Result<Seq, Refusal> {
        self.db.append(batch).map_err(refusal)
    }

    fn appended(&self) -> Seq {
        self.db.log().appended()
    }
}

/// What a refused append means to a client.
#[cold]
fn refusal(error: AppendError) -> Refusal {
    match error {
        AppendError::Stopped(why) => Refusal::Stopped(why.to_string()),
        AppendError::TooLarge => Refusal::TooLarge,
        AppendError::Full(_) | AppendError::Backlog | AppendError::Invalid(_) => {
            Refusal::Unavailable(error.to_string())
        }
    }
}
