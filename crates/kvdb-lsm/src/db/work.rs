//! The units of background work: one flush, one compaction. The threads do them when they are due,
//! an explicit call does them at once.

use std::sync::Arc;

use super::compact;
use super::core::{Core, table_path};
use crate::compaction::{Choice, choose, choose_all};
use crate::error::Error;
use crate::flush;
use crate::log::{FullReason, LogState};
use crate::progress::{OnProgress, unwatched};
use crate::sync::MutexGuard;

impl Core {
    /// Flushes everything that was appended before the call.
    pub(crate) fn flush_all(&self) -> Result<(), Error> {
        self.flush_all_locked().map(drop)
    }

    /// As [`Core::flush_all`], and keeps further flushes out for as long as the guard lives.
    pub(crate) fn flush_all_locked(&self) -> Result<MutexGuard<'_, ()>, Error> {
        let flushing = self.flushing.lock();
        self.check_running()?;
        // What waits already comes first: on a full disk it may make the room for the rest.
        self.flush_frozen()?;
        self.freeze()?;
        self.flush_frozen()?;
        Ok(flushing)
    }

    /// Flushes if a memtable waits, or if the active one or the log has grown too large. Returns
    /// whether it did.
    pub(crate) fn flush_if_due(&self) -> Result<bool, Error> {
        let _flushing = self.flushing.lock();
        let waited = !self.state.load().frozen.is_empty();
        self.flush_frozen()?;
        if !self.wants_flush() {
            return Ok(waited);
        }
        self.freeze()?;
        self.flush_frozen()?;
        Ok(true)
    }

    /// Whether the active memtable or the log has grown too large. On a full disk the log always
    /// has: it may be all that fills it.
    pub(super) fn wants_flush(&self) -> bool {
        if self.log.state() == LogState::Full(FullReason::NoSpace) {
            return !self.state.load().active.is_untouched();
        }
        self.state.load().active.allocated() >= self.options.write_buffer_bytes
            || self.log.stats().live_bytes >= self.options.wal_limit_bytes
    }

    /// Flushes the frozen memtables, oldest first. `flushing` is held.
    fn flush_frozen(&self) -> Result<(), Error> {
        loop {
            let oldest = self.state.load().frozen.last().map(Arc::clone);
            let Some(oldest) = oldest else {
                return Ok(());
            };
            flush::flush(self, &oldest)?;
        }
    }

    /// Does the most urgent compaction; returns whether there was one.
    pub(crate) fn compact_once(&self) -> Result<bool, Error> {
        let _compacting = self.compacting.lock();
        self.check_running()?;
        let levels = self.state.load().version.metas();
        let choice = choose(&levels, &self.compaction_config(), &self.damaged.lock());
        match choice {
            Some(choice) => self.compact_and_note(&choice, &mut unwatched).map(|()| true),
            None => Ok(false),
        }
    }

    /// Merges all tables into one sorted run.
    pub(crate) fn compact_all(&self, progress: OnProgress<'_>) -> Result<(), Error> {
        let _compacting = self.compacting.lock();
        self.check_running()?;
        let levels = self.state.load().version.metas();
        match choose_all(&levels) {
            Some(choice) => self.compact_and_note(&choice, progress),
            None => Ok(()),
        }
    }

    /// Carries out a compaction. An input that cannot be read is noted as damaged, so that the
    /// next choice leaves it out.
    fn compact_and_note(&self, choice: &Choice, progress: OnProgress<'_>) -> Result<(), Error> {
        compact::compact(self, choice, progress).inspect_err(|error| {
            let path = match error {
                Error::Corruption { file, .. } => file,
                Error::Io { action: "read", path, .. } => path,
                _ => return,
            };
            let number = choice.inputs.iter().map(|&(_, number)| number);
            if let Some(number) = number.into_iter().find(|&n| table_path(&self.options.dir, n) == *path) {
                self.damaged.lock().insert(number);
            }
        })
    }
}
