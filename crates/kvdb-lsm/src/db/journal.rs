//! Where batches get their order and their safety: the database's own log, or the owner's.
//!
//! A state machine that is fed from a replicated log does not need a second one: what a crash takes
//! from the memtable is applied again. Then the owner gives each batch the *index* of the entry it
//! comes from, a flush makes the index durable together with the tables, in one edit, and after
//! opening the owner applies everything behind it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::AppendError;
use crate::batch::{Seq, WriteBatch};
use crate::error::Error;
use crate::log::{Log, LogState, LogStats, SegmentNumber};

/// A cut between two memtables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// The last sequence before it.
    pub(crate) last_seq: Seq,
    /// The log segment that begins at it, if there is a log.
    pub(crate) next_segment: SegmentNumber,
    /// The last index before it, if there is no log.
    pub(crate) applied: Option<u64>,
}

/// Orders batches.
pub(crate) enum Journal {
    /// The database's own log.
    Log(Log),
    /// The owner's log, of which this knows only how far it was applied.
    Owner(Mutex<Applied>),
}

/// How far the owner's log was applied.
///
/// # Invariants
/// Both only rise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Applied {
    /// The last sequence given out.
    last_seq: Seq,
    /// The index of the last batch.
    index: u64,
}

impl Journal {
    /// For a database whose tables end with this sequence and index.
    pub(super) const fn of_owner(last_seq: Seq, index: u64) -> Self {
        Self::Owner(Mutex::new(Applied { last_seq, index }))
    }

    /// The database's own log, if it has one.
    pub(crate) const fn log(&self) -> Option<&Log> {
        match self {
            Self::Log(log) => Some(log),
            Self::Owner(_) => None,
        }
    }

    /// Gives a batch its place; returns its last sequence, and its first. `index` is that of the
    /// owner's entry, for a database without a log.
    #[inline]
    pub(super) fn append(&self, batch: &WriteBatch, index: Option<u64>) -> Result<(Seq, Seq), AppendError> {
        match (self, index) {
            (Self::Log(log), None) => Ok(log.append(batch, |first| first)?),
            (Self::Owner(applied), Some(index)) => apply(&mut applied.lock(), batch, index),
            (Self::Log(_), Some(_)) => {
                Err(AppendError::Invalid("a database with a log orders batches itself"))
            }
            (Self::Owner(_), None) => {
                Err(AppendError::Invalid("a database without a log needs the index of each batch"))
            }
        }
    }

    /// The last sequence given out.
    pub(super) fn appended(&self) -> Seq {
        match self {
            Self::Log(log) => log.appended(),
            Self::Owner(applied) => applied.lock().last_seq,
        }
    }

    /// The index of the last batch, if there is no log.
    pub(super) fn applied(&self) -> Option<u64> {
        match self {
            Self::Log(_) => None,
            Self::Owner(applied) => Some(applied.lock().index),
        }
    }

    /// Cuts; no append is under way.
    pub(super) fn cut(&self) -> Result<Cut, Error> {
        match self {
            Self::Log(log) => {
                let (next_segment, last_seq) = log.rotate(|last_seq| last_seq)?;
                Ok(Cut { last_seq, next_segment, applied: None })
            }
            Self::Owner(applied) => {
                let Applied { last_seq, index } = *applied.lock();
                Ok(Cut { last_seq, next_segment: 0, applied: Some(index) })
            }
        }
    }

    /// Makes what was appended durable. Without a log that is the owner's business.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        match self {
            Self::Log(log) => Ok(log.sync().map(drop)?),
            Self::Owner(_) => Ok(()),
        }
    }

    /// Says that the segments before this one are not needed any more.
    pub(crate) fn remove_before(&self, segment: SegmentNumber) {
        if let Self::Log(log) = self {
            log.remove_before(segment);
        }
    }

    /// Whether batches are taken.
    pub(super) fn state(&self) -> LogState {
        self.log().map_or(LogState::Open, Log::state)
    }

    /// Why the log takes no batches any more, if so.
    #[inline]
    pub(super) fn failure(&self) -> Option<&Arc<str>> {
        self.log().and_then(Log::failure)
    }

    /// Statistics of the log; nothing but zeros without one.
    pub(super) fn stats(&self) -> LogStats {
        self.log().map_or_else(LogStats::default, Log::stats)
    }

    /// Makes everything appended durable, and ends.
    pub(super) fn close(self) -> Result<(), Error> {
        match self {
            Self::Log(log) => Ok(log.close()?),
            Self::Owner(_) => Ok(()),
        }
    }
}

fn apply(applied: &mut Applied, batch: &WriteBatch, index: u64) -> Result<(Seq, Seq), AppendError> {
    if index <= applied.index {
        return Err(AppendError::Invalid("the index of a batch is not above that of the batch before"));
    }
    if batch.is_too_large() {
        return Err(AppendError::TooLarge);
    }
    let first = applied.last_seq + 1;
    *applied = Applied { last_seq: applied.last_seq + u64::from(batch.count()), index };
    Ok((applied.last_seq, first))
}
