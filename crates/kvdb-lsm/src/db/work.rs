//! The units of background work: one flush, one compaction. The threads do them when they are due,
//! an explicit call does them at once.

use std::sync::Arc;

use super::compact::{self, Knowledge};
use super::core::Core;
use super::files::{blob_path, table_path};
use crate::compaction::{
    self, Choice, Picture, Work, choose, choose_all, choose_blobs, choose_down, choose_fitting,
    choose_rewrite, deepest, due_blobs, due_bytes, in_range,
};
use crate::entry::KeyRange;
use crate::error::Error;
use crate::flush;
use crate::log::{FullReason, LogState};
use crate::progress::{OnProgress, unwatched};
use crate::sync::MutexGuard;
use crate::version::{NewFiles, VersionEdit, VersionFile};

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
        if self.journal.state() == LogState::Full(FullReason::NoSpace) {
            return !self.state.load().active.is_untouched();
        }
        self.state.load().active.allocated() >= self.options.write_buffer_bytes
            || self.memory.should_flush(&self.member)
            || self.journal.stats().live_bytes >= self.options.wal_limit_bytes
    }

    /// Flushes the frozen memtables, oldest first. `flushing` is held.
    fn flush_frozen(&self) -> Result<(), Error> {
        loop {
            // Those that a reader held on to when they had been flushed.
            self.free_memtables();
            let oldest = self.state.load().frozen.last().map(Arc::clone);
            let Some(oldest) = oldest else {
                return Ok(());
            };
            flush::flush(self, oldest)?;
        }
    }

    /// Does the most urgent compaction; returns whether there was one.
    pub(crate) fn compact_once(&self) -> Result<bool, Error> {
        let _compacting = self.compacting.lock();
        self.check_running()?;
        let mut chosen = None;
        let result = self.compact_as(|picture| {
            chosen = choose(picture);
            chosen.clone()
        });
        match result {
            // The log refuses for now, or there is no space: what needs neither can be done.
            Err(error) if error.is_no_space() || matches!(error, Error::Invalid(_)) => {
                if self.compact_what_fits(chosen.as_ref())? { Ok(true) } else { Err(error) }
            }
            other => other,
        }
    }

    /// Does the most urgent compaction for which there is space, other than `failed`; returns whether
    /// there was one.
    fn compact_what_fits(&self, failed: Option<&Choice>) -> Result<bool, Error> {
        let free = self.measure_disk()?;
        self.compact_as(|picture| {
            let due = due_blobs(picture.blobs, picture.config, picture.damaged);
            choose_fitting(picture, |choice| {
                let tables = choice.tables(picture.levels);
                let bytes = tables.map(|meta| meta.size.saturating_add(due_bytes(meta, &due))).sum();
                let needed = compact::room_for(self, bytes);
                Some(choice) != failed && (choice.work != Work::Merge || free >= needed)
            })
        })
    }

    /// Does the compaction that `choose` chooses; returns whether there was one. `compacting` is
    /// held.
    fn compact_as(&self, choose: impl FnOnce(&Picture<'_>) -> Option<Choice>) -> Result<bool, Error> {
        let version = Arc::clone(&self.state.load().version);
        let (levels, targets) = (version.metas(), self.targets(&version));
        let knowledge = self.knowledge();
        let choice = choose(&Picture {
            levels: &levels,
            targets: &targets,
            config: &self.compaction_config(),
            damaged: &self.damage.marked(),
            judge: knowledge.as_ref().map(|knowledge| &*knowledge.judge),
            blobs: version.blob_states(),
            worn: &version.worn(),
        });
        match choice {
            Some(choice) => self.compact_and_note(&choice, knowledge.as_ref(), &mut unwatched),
            None => Ok(false),
        }
    }

    /// Compacts the tables with keys in a range, as they are now, level by level down to the
    /// deepest that has any, and drops there what can be dropped.
    pub(crate) fn compact_range(&self, range: &KeyRange) -> Result<(), Error> {
        let metas = || self.state.load().version.metas();
        let mut level = 0;
        while let Some(last) = deepest(&metas(), range) {
            // What comes to a level meanwhile is not waited for, or this might never end.
            let left = in_range(&metas(), level, range);
            let step = |picture: &Picture<'_>| {
                if level == last && level > 0 {
                    choose_rewrite(picture, level, &left)
                } else {
                    choose_down(picture, level, &left)
                }
            };
            while self.step_of_range(step)? {}
            // What was on level 0 alone is on another now.
            if level >= last && level > 0 {
                break;
            }
            level += 1;
        }
        Ok(())
    }

    /// A step of the compaction of a range: between two, more urgent ones can be done.
    fn step_of_range(&self, choose: impl FnOnce(&Picture<'_>) -> Option<Choice>) -> Result<bool, Error> {
        let _compacting = self.compacting.lock();
        self.check_running()?;
        self.compact_as(choose)
    }

    /// Removes the tables that lie wholly in a range; returns their bytes.
    pub(crate) fn drop_range_files(&self, range: &KeyRange) -> Result<u64, Error> {
        let _compacting = self.compacting.lock();
        self.check_running()?;
        let version = Arc::clone(&self.state.load().version);
        let removed = compaction::inside(&version.metas(), range);
        if removed.is_empty() {
            return Ok(0);
        }
        let goes = |(level, file): &(usize, &VersionFile)| removed.contains(&(*level, file.meta.number));
        let bytes = version.files().filter(goes).map(|(_, file)| file.meta.size).sum();
        // The caller's reason must not be lost where its consequence is kept.
        compact::make_durable(self, self.journal.appended())?;
        let tables = removed.len() as u64;
        self.install(VersionEdit { removed, ..VersionEdit::default() }, &NewFiles::default(), None)?;
        self.activity.removed(tables);
        Ok(bytes)
    }

    /// Merges all tables into one sorted run, and then empties the blob files that are due.
    pub(crate) fn compact_all(&self, progress: OnProgress<'_>) -> Result<(), Error> {
        let _compacting = self.compacting.lock();
        self.check_running()?;
        let levels = self.state.load().version.metas();
        let knowledge = self.knowledge();
        if let Some(choice) = choose_all(&levels, knowledge.is_some())
            && !self.compact_and_note(&choice, knowledge.as_ref(), progress)?
        {
            return Ok(());
        }
        while self.compact_as(choose_blobs)? {}
        Ok(())
    }

    /// What the filter knows now.
    fn knowledge(&self) -> Option<Knowledge> {
        let judge = self.options.filter.as_ref()?.begin();
        Some(Knowledge { judge, seq: self.journal.appended() })
    }

    /// Carries out a compaction; returns false if it was given up, because the database is being
    /// closed. An input that cannot be read is noted as damaged, so that the
    /// next choice leaves it out.
    fn compact_and_note(
        &self,
        choice: &Choice,
        knowledge: Option<&Knowledge>,
        progress: OnProgress<'_>,
    ) -> Result<bool, Error> {
        compact::compact(self, choice, knowledge, progress).inspect_err(|error| {
            let path = match error {
                Error::Corruption { file, .. } => file,
                Error::Io { action: "read", path, .. } => path,
                _ => return,
            };
            let dir = &self.options.dir;
            let version = Arc::clone(&self.state.load().version);
            let mut tables = choice.inputs.iter().map(|&(_, number)| number);
            let mut blobs = version.blob_states().keys().copied();
            let table = tables.find(|&number| table_path(dir, number) == *path);
            let met = table.or_else(|| blobs.find(|&number| blob_path(dir, number) == *path));
            if let Some(number) = met {
                self.damage.marked().insert(number);
            }
        })
    }
}
