//! Operating a database: compaction on request, copies, verification.

use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

use super::Db;
use crate::batch::Seq;
use crate::checkpoint;
use crate::entry::KeyRange;
use crate::error::Error;
use crate::ingest;
use crate::progress::{OnProgress, unwatched};
use crate::scrub::{self, Scrub, ScrubStep};
use crate::verify::{self, Report};
use crate::vfs::Vfs;

impl Db {
    /// Flushes, and merges all tables into one sorted run without tombstones. Large values that a table
    /// still has itself go to blob files on the way, and blob files that are due are emptied.
    pub fn compact(&self) -> Result<(), Error> {
        self.compact_with(&mut unwatched)
    }

    /// As [`Db::compact`], watched. When it is canceled, the tables are as they were; the emptying of blob
    /// files at the end is not watched.
    pub fn compact_with(&self, progress: OnProgress<'_>) -> Result<(), Error> {
        let core = self.core();
        core.flush_all()?;
        core.compact_all(progress)?;
        core.sweep();
        Ok(())
    }

    /// Flushes, and brings the rows of a range to the deepest level that has any of them: versions
    /// that are superseded and tombstones are gone from it afterwards, and what the
    /// [filter](super::Options::filter) calls dead. Goes in steps, between which other compactions
    /// can be done.
    pub fn compact_range(&self, range: impl RangeBounds<[u8]>) -> Result<(), Error> {
        let core = self.core();
        core.flush_all()?;
        core.compact_range(&KeyRange::new(&range))?;
        core.sweep();
        Ok(())
    }

    /// Asks the background threads to look whether something should be compacted. They do so by
    /// themselves after every flush; this is for when the [filter](super::Options::filter) has
    /// learned of a class that died.
    pub fn request_compaction(&self) {
        self.core().signals.request_compaction();
    }

    /// Removes the tables that lie wholly inside a range, in one step and without reading them;
    /// returns their bytes. Waits for a compaction in progress.
    ///
    /// This is no deletion. Rows in memory stay, and so do rows in tables that reach beyond the
    /// range; where such a table has an older version of a row that was removed, that one comes to
    /// light. It is for ranges that nobody reads any more, before the rest is deleted row by row.
    /// What was appended before, the reason for this for instance, is durable first.
    pub fn drop_range_files(&self, range: impl RangeBounds<[u8]>) -> Result<u64, Error> {
        let core = self.core();
        let bytes = core.drop_range_files(&KeyRange::new(&range))?;
        core.sweep();
        Ok(bytes)
    }

    /// Makes a copy of the database in `dir`, which must be empty or not exist: a database of its
    /// own with everything appended before the call. Tables and blob files are shared as hard links
    /// where the file system allows it. Returns the last sequence in the copy.
    ///
    /// Appends, flushes and compactions go on meanwhile.
    ///
    /// # Errors
    /// The directory may hold part of a copy then, which cannot be opened.
    pub fn checkpoint(&self, dir: &Path) -> Result<Seq, Error> {
        self.checkpoint_with(dir, &mut unwatched)
    }

    /// As [`Db::checkpoint`], watched. When it is canceled, what was copied is removed.
    pub fn checkpoint_with(&self, dir: &Path, progress: OnProgress<'_>) -> Result<Seq, Error> {
        let core = self.core();
        core.flush_all()?;
        let seq = checkpoint::write(core, dir, progress);
        core.sweep();
        seq
    }

    /// Reads every table and every blob file completely and checks them against their checksums, their
    /// order, what they refer to, and the manifest.
    pub fn verify(&self) -> Result<Report, Error> {
        self.verify_with(&mut unwatched)
    }

    /// As [`Db::verify`], watched.
    pub fn verify_with(&self, progress: OnProgress<'_>) -> Result<Report, Error> {
        let version = Arc::clone(&self.core().state.load().version);
        let report = verify::verify(&version, progress);
        drop(version);
        self.core().sweep();
        report
    }

    /// Makes tables that [`SstWriter`](crate::SstWriter) built part of the database, all at once.
    /// The files are read and left as they are. Their keys must not overlap. Returns the sequence
    /// that the entries get.
    ///
    /// Everything appended before the call is older than the entries. What is appended during the
    /// call is newer: a key that is written meanwhile keeps that. The entries become visible at
    /// the end, all of them at one moment, and are durable when this returns. Counters do not
    /// change. Appends and flushes go on meanwhile, compactions wait.
    ///
    /// # Errors
    /// Nothing was taken, or, after [`Error::Poisoned`] and a failed write of the manifest, it is
    /// unknown until the database is opened again. [`Error::Corruption`] names a file that is
    /// damaged, [`Error::Invalid`] files that overlap.
    pub fn ingest<P: AsRef<Path>>(&self, files: &[P]) -> Result<Seq, Error> {
        let vfs = Arc::clone(&self.core().options.vfs);
        self.ingest_with(&*vfs, files, &mut unwatched)
    }

    /// As [`Db::ingest`], of files on any file system, and watched. When it is canceled, nothing
    /// was taken.
    pub fn ingest_with<P: AsRef<Path>>(
        &self,
        vfs: &dyn Vfs,
        files: &[P],
        progress: OnProgress<'_>,
    ) -> Result<Seq, Error> {
        let core = self.core();
        let seq = ingest::ingest(core, vfs, &ingest::to_paths(files), progress)?;
        core.sweep();
        core.signals.request_compaction();
        Ok(seq)
    }

    /// Reads about `budget` bytes of tables and blob files from the disk, to find damage early. Where it stands is
    /// in `scrub`; see [`Scrub`]. A caller that gives so many bytes a second bounds the rate.
    pub fn scrub_step(&self, scrub: &mut Scrub, budget: u64) -> ScrubStep {
        let version = Arc::clone(&self.core().state.load().version);
        let step = scrub::step(self.core(), &version, scrub, budget);
        drop(version);
        self.core().sweep();
        step
    }

    /// A [`Scrub`] that begins with the file which lies behind so large a part of all bytes, from 0 to 1:
    /// for an owner that is started anew more often than a scrub goes once through everything.
    #[must_use]
    pub fn scrub_from(&self, share: f64) -> Scrub {
        let version = Arc::clone(&self.core().state.load().version);
        let scrub = scrub::from(&version, share);
        drop(version);
        self.core().sweep();
        scrub
    }

    /// The numbers of the tables and blob files that are known to be damaged: from the opening with
    /// [`Options::quarantine`](super::Options::quarantine), from compactions, from reads and from scrubbing,
    /// which also takes them from the list again when it finds all of a file to be right. They are part of the database as before: no compaction takes such a table or moves values out of
    /// such a blob file.
    #[must_use]
    pub fn quarantined(&self) -> Vec<u64> {
        self.core().quarantined()
    }
}
