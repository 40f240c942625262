//! The command line `kvdb-lsm`, as a function: arguments and the time in, text and an exit code out.
//!
//! Exit codes: 0 if all is well, 1 if an operation failed, 2 for arguments that make no sense, 3 if
//! damage or loss was found and reported.

mod dump;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::backup::{BackupInfo, Backups};
use crate::blob::{BlobFile, BlobSet};
use crate::cache::BlockCache;
use crate::db::files::{BLOB_DIR, parse_blob_name};
use crate::entry::Content;
use crate::error::Error;
use crate::progress::unwatched;
use crate::repair::{self, QUARANTINE_DIR};
use crate::table::Fill;
use crate::verify::Report;
use crate::vfs::{OsVfs, Vfs};
use crate::{Compression, Db, Options, ReadOnlyDb, SstWriter};

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const DAMAGED: u8 = 3;

/// Looks into, backs up, checks and repairs databases of the KVDB storage engine.
///
/// A database is a directory with a file CURRENT: the directory `data` of a server. Nothing here
/// works on a database that a server has open.
#[derive(Debug, Parser)]
#[command(name = "kvdb-lsm", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads a database completely and checks it. Changes nothing.
    ///
    /// The manifest, the log, every blob file, and every block of every table are read and compared
    /// with their checksums. The exit code is 3 if something is damaged.
    #[command(after_help = "Example:\n  kvdb-lsm verify /var/lib/kvdb/data")]
    Verify {
        /// The database.
        db: PathBuf,
    },
    /// Shows what is in a file, record by record, also in one that is damaged. Changes nothing.
    #[command(after_help = "Examples:\n  kvdb-lsm dump current /var/lib/kvdb/data\n  \
        kvdb-lsm dump manifest /var/lib/kvdb/data/MANIFEST-000007\n  \
        kvdb-lsm dump wal /var/lib/kvdb/data/wal/000012.wal\n  \
        kvdb-lsm dump sst /var/lib/kvdb/data/sst/000009.sst --values\n  \
        kvdb-lsm dump blob /var/lib/kvdb/data/blob/000010.blob")]
    Dump {
        #[command(subcommand)]
        what: dump::What,
    },
    /// Copies a database to an empty directory, sharing its files by hard links where it can.
    #[command(after_help = "Example:\n  kvdb-lsm checkpoint /var/lib/kvdb/data /var/lib/kvdb/copy")]
    Checkpoint {
        /// The database.
        db: PathBuf,
        /// Where the copy goes.
        to: PathBuf,
    },
    /// Makes, lists, checks, deletes and restores incremental backups.
    #[command(after_help = "Examples:\n  kvdb-lsm backup create /var/lib/kvdb/data /backup/kvdb\n  \
        kvdb-lsm backup list /backup/kvdb\n  \
        kvdb-lsm backup verify /backup/kvdb 3\n  \
        kvdb-lsm backup delete /backup/kvdb 1\n  \
        kvdb-lsm backup restore /backup/kvdb 3 /var/lib/kvdb/data")]
    Backup {
        #[command(subcommand)]
        what: Backup,
    },
    /// Makes a database that can be opened out of what can be read of a damaged one.
    ///
    /// Make a copy of the directory first. The result is the best that can be had, not the state of
    /// one moment: older versions of lost keys, deleted ones too, can come back. What is known to
    /// be lost is printed, and the exit code is 3 then. Damaged files are moved to the directory
    /// `quarantine` in the database; nothing is deleted.
    #[command(after_help = "Example:\n  cp -a /var/lib/kvdb/data /elsewhere/data\n  \
        kvdb-lsm repair /var/lib/kvdb/data")]
    Repair {
        /// The database.
        db: PathBuf,
    },
    /// Writes what can be read of one damaged table into a new table.
    ///
    /// The new table can be looked at with `dump sst`, and ingested. Mind that what is ingested is
    /// newer than everything that is there. Values in blob files are looked for in the directory
    /// `blob` beside that of the damaged table, and are in the new table themselves.
    #[command(after_help = "Example:\n  kvdb-lsm salvage data/quarantine/000009.sst /tmp/readable.sst")]
    Salvage {
        /// The damaged table.
        table: PathBuf,
        /// The new one.
        to: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum Backup {
    /// Backs up a database; copies only the tables and blob files that no earlier backup has.
    Create {
        /// The database.
        db: PathBuf,
        /// The directory of the backups.
        backups: PathBuf,
    },
    /// Lists the backups.
    List {
        /// The directory of the backups.
        backups: PathBuf,
    },
    /// Reads a backup completely and checks it.
    Verify {
        /// The directory of the backups.
        backups: PathBuf,
        /// The number of the backup.
        id: u64,
    },
    /// Deletes a backup, and the files that no other one holds.
    Delete {
        /// The directory of the backups.
        backups: PathBuf,
        /// The number of the backup.
        id: u64,
    },
    /// Restores a backup into an empty directory, checking every byte.
    Restore {
        /// The directory of the backups.
        backups: PathBuf,
        /// The number of the backup.
        id: u64,
        /// The new database.
        db: PathBuf,
    },
}

/// Why a command ended.
enum End {
    Failed(Error),
    /// The output cannot be written; a reader that has enough is no failure.
    Output(io::Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs the command line; `now` is in milliseconds since 1970. Returns the exit code.
pub fn run<I>(arguments: I, now: u64, out: &mut dyn Write, err: &mut dyn Write) -> u8
where
    I: IntoIterator<Item: Into<OsString> + Clone>,
{
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for, and no errors.
            let (to, code): (&mut dyn Write, _) = if error.use_stderr() { (err, USAGE) } else { (out, 0) };
            let _ = write!(to, "{error}");
            return code;
        }
    };
    let done = execute(arguments.command, now, out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    match done {
        Ok(code) => code,
        Err(End::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(End::Output(error)) => {
            let _ = writeln!(err, "cannot write the output: {error}");
            FAILED
        }
        Err(End::Failed(error)) => {
            let _ = writeln!(err, "{error}");
            if matches!(error, Error::Corruption { .. }) { DAMAGED } else { FAILED }
        }
    }
}

/// Options for a command that does its work and ends.
fn options(db: PathBuf) -> Options {
    Options { background: false, ..Options::new(db) }
}

fn backups(dir: PathBuf) -> Result<Backups, Error> {
    Backups::open(Arc::new(OsVfs), dir)
}

/// Refuses to make a new database of a directory that was mistyped.
fn open_existing(db: PathBuf) -> Result<Db, Error> {
    let path = db.join("CURRENT");
    if !OsVfs.exists(&path).map_err(Error::io("look for", &path))? {
        return Err(Error::Invalid(format!("there is no database in {}", db.display())));
    }
    Db::open(options(db))
}

fn execute(command: Command, now: u64, out: &mut dyn Write) -> Result<u8, End> {
    match command {
        Command::Verify { db } => verify(db, out),
        Command::Dump { what } => dump::run(&what, out),
        Command::Checkpoint { db, to } => {
            let db = open_existing(db)?;
            let seq = db.checkpoint(&to)?;
            db.close()?;
            writeln!(out, "{} is a database with everything up to sequence {seq}", to.display())?;
            Ok(0)
        }
        Command::Backup { what } => backup(what, now, out),
        Command::Repair { db } => repair_database(db, out),
        Command::Salvage { table, to } => salvage(&table, &to, out),
    }
}

fn verify(db: PathBuf, out: &mut dyn Write) -> Result<u8, End> {
    let db = ReadOnlyDb::open(&Options { quarantine: true, ..options(db) })?;
    let recovered = db.recovered();
    writeln!(
        out,
        "log: {} segments, {} batches, up to sequence {}",
        recovered.segments,
        recovered.batches,
        db.seq()
    )?;
    if let Some(tail) = &recovered.torn_tail {
        writeln!(
            out,
            "log: {} ends in an unfinished write of {} bytes at offset {}, as after a power failure",
            tail.file.display(),
            tail.bytes,
            tail.offset
        )?;
    }
    show_report(&db.verify(&mut unwatched)?, out)
}

fn show_report(report: &Report, out: &mut dyn Write) -> Result<u8, End> {
    for problem in &report.problems {
        writeln!(out, "{problem}")?;
    }
    let Report { tables, blobs, entries, bytes, .. } = report;
    writeln!(
        out,
        "{tables} tables with {entries} entries and {blobs} blob files were read, {bytes} bytes together"
    )?;
    if report.problems.is_empty() {
        writeln!(out, "nothing is damaged")?;
        return Ok(0);
    }
    writeln!(out, "{} files are damaged", report.problems.len())?;
    Ok(DAMAGED)
}

fn show_backup(info: &BackupInfo, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "backup {}  time {}  sequence {}  tables {}  blob files {}  bytes {}",
        info.id,
        Utc(info.time),
        info.seq,
        info.tables,
        info.blobs,
        info.bytes
    )
}

fn backup(what: Backup, now: u64, out: &mut dyn Write) -> Result<u8, End> {
    match what {
        Backup::Create { db, backups: dir } => {
            let db = open_existing(db)?;
            let made = backups(dir)?.create(&db, now, &mut unwatched)?;
            db.close()?;
            show_backup(&made.backup, out)?;
            writeln!(
                out,
                "copied {} tables and {} blob files with {} bytes",
                made.copied_tables, made.copied_blobs, made.copied_bytes
            )?;
        }
        Backup::List { backups: dir } => {
            let list = backups(dir)?.list()?;
            for info in &list.backups {
                show_backup(info, out)?;
            }
            for error in &list.damaged {
                writeln!(out, "{error}")?;
            }
            if !list.damaged.is_empty() {
                return Ok(DAMAGED);
            }
        }
        Backup::Verify { backups: dir, id } => {
            return show_report(&backups(dir)?.verify(id, &mut unwatched)?, out);
        }
        Backup::Delete { backups: dir, id } => {
            backups(dir)?.delete(id)?;
            writeln!(out, "backup {id} is deleted")?;
        }
        Backup::Restore { backups: dir, id, db } => {
            let info = backups(dir)?.restore(id, &OsVfs, &db, &mut unwatched)?;
            show_backup(&info, out)?;
            writeln!(out, "{} is a database now", db.display())?;
        }
    }
    Ok(0)
}

fn repair_database(db: PathBuf, out: &mut dyn Write) -> Result<u8, End> {
    let options = options(db);
    let report = repair::repair(&options, &mut unwatched)?;
    for loss in &report.losses {
        writeln!(out, "{loss}")?;
    }
    for path in &report.quarantined {
        writeln!(out, "moved aside: {}", path.display())?;
    }
    match &report.manifest {
        Some(path) => writeln!(out, "the tables are those of {}", path.display())?,
        None => writeln!(out, "the tables are all that were found")?,
    }
    writeln!(
        out,
        "{} tables, {} of them written anew; {} batches of the log were put into a table",
        report.tables, report.rewritten, report.log_batches
    )?;
    if report.losses.is_empty() {
        writeln!(out, "nothing is known to be lost")?;
        return Ok(0);
    }
    writeln!(out, "{} losses; damaged files are in {QUARANTINE_DIR}/", report.losses.len())?;
    Ok(DAMAGED)
}

fn salvage(table: &Path, to: &Path, out: &mut dyn Write) -> Result<u8, End> {
    let (source, _) = crate::dump::open_table(&OsVfs, table)?;
    let mut writer = SstWriter::create(&OsVfs, to, Compression::Lz4)?;
    let blobs = blobs_beside(table)?;
    let mut values = Vec::new();
    let lost = source.salvage(&mut |entry| match entry.content {
        Content::Value(value) => writer.put(entry.key, value),
        Content::Tombstone => writer.delete(entry.key),
        Content::Blob(reference) => match blobs.value(entry.key, &reference, Fill::Bypass) {
            Ok(blob) => writer.put(entry.key, blob.value()),
            Err(why) => {
                values.push((entry.key.to_vec(), why));
                Ok(())
            }
        },
    })?;
    let written = writer.finish()?;
    for range in &lost {
        let upto = range
            .to
            .as_deref()
            .map_or("the end".to_owned(), |to| format!("before \"{}\"", crate::dump::Readable(to)));
        writeln!(out, "lost from \"{}\" to {upto}: {}", crate::dump::Readable(&range.from), range.why)?;
    }
    for (key, why) in &values {
        writeln!(out, "lost the value of \"{}\": {why}", crate::dump::Readable(key))?;
    }
    writeln!(out, "{} entries are in {}", written.entries, to.display())?;
    Ok(if lost.is_empty() && values.is_empty() { 0 } else { DAMAGED })
}

/// The blob files of the database in which a table lies, as far as they can be opened.
fn blobs_beside(table: &Path) -> Result<BlobSet, Error> {
    let Some(dir) = table.parent().and_then(Path::parent).map(|db| db.join(BLOB_DIR)) else {
        return Ok(BlobSet::default());
    };
    if !OsVfs.exists(&dir).map_err(Error::io("look for", &dir))? {
        return Ok(BlobSet::default());
    }
    let cache = Arc::new(BlockCache::new(0, 4 << 10));
    let names = OsVfs.list(&dir).map_err(Error::io("list", &dir))?;
    let files = names.iter().filter_map(|name| {
        let (number, path) = (parse_blob_name(name)?, dir.join(name));
        BlobFile::open_unsealed(&OsVfs, &path, number, Arc::clone(&cache)).ok().map(Arc::new)
    });
    Ok(files.collect())
}

/// A time in milliseconds since 1970, as `YYYY-MM-DDThh:mm:ssZ`.
struct Utc(u64);

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0 / 1000;
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Civil date from days, by eras of 400 years that begin in March (H. Hinnant).
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_civil() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(Utc(ms).to_string(), text);
        }
    }
}
