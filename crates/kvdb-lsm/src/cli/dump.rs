//! `kvdb-lsm dump`: one line for each record of a file.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;

use super::{DAMAGED, End};
use crate::batch::Op;
use crate::dump::{
    self, BlobDescription, BlobEntry, EditDescription, EntryContent, LogEntry, ManifestEntry, Readable,
    TableDescription,
};
use crate::error::Error;
use crate::vfs::OsVfs;

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// The name of the manifest in use.
    Current {
        /// The database.
        db: PathBuf,
    },
    /// The edits of a manifest.
    Manifest {
        /// The manifest.
        file: PathBuf,
    },
    /// The batches of a segment of the log.
    Wal {
        /// The segment.
        file: PathBuf,
        /// Show values as well, not only their lengths.
        #[arg(long)]
        values: bool,
    },
    /// The records of a blob file.
    Blob {
        /// The blob file.
        file: PathBuf,
        /// Show values as well, not only their lengths.
        #[arg(long)]
        values: bool,
    },
    /// The entries of a table.
    Sst {
        /// The table.
        file: PathBuf,
        /// Show values as well, not only their lengths.
        #[arg(long)]
        values: bool,
    },
}

pub(super) fn run(what: &What, out: &mut dyn Write) -> Result<u8, End> {
    match what {
        What::Current { db } => {
            writeln!(out, "{}", dump::current(&OsVfs, db)?)?;
            Ok(0)
        }
        What::Manifest { file } => {
            let mut code = 0;
            for entry in dump::manifest(&OsVfs, file)? {
                match entry {
                    ManifestEntry::Edit { offset, durable, edit } => {
                        writeln!(out, "{offset}: edit, durable to {durable}")?;
                        show_edit(&edit, out)?;
                    }
                    ManifestEntry::Mark { offset, durable } => {
                        writeln!(out, "{offset}: mark, durable to {durable}")?;
                    }
                    ManifestEntry::Unreadable { offset, len, why } => {
                        code = DAMAGED;
                        writeln!(out, "{offset}: unreadable, {len} bytes: {why}")?;
                    }
                }
            }
            Ok(code)
        }
        What::Wal { file, values } => {
            let mut code = 0;
            let mut failed = None;
            let walked = dump::log(&OsVfs, file, &mut |entry| {
                if matches!(entry, LogEntry::Unreadable { .. }) {
                    code = DAMAGED;
                }
                show_log_entry(&entry, *values, out).map_err(|error| {
                    failed = Some(error);
                    Error::Canceled
                })
            });
            match failed {
                Some(error) => Err(error.into()),
                None => Ok(walked.map(|()| code)?),
            }
        }
        What::Sst { file, values } => {
            let table = dump::table(&OsVfs, file)?;
            show_table(&table.description, out)?;
            for entry in table {
                let entry = entry?;
                write!(out, "{} \"{}\"", entry.seq, Readable(&entry.key))?;
                match entry.content {
                    EntryContent::Value(value) => show_value(&value, *values, out)?,
                    EntryContent::Blob { file, offset, len, value_len } => {
                        write!(
                            out,
                            " = {value_len} bytes in blob file {file} at {offset}, {len} bytes there"
                        )?;
                    }
                    EntryContent::Deleted => write!(out, " deleted")?,
                }
                writeln!(out)?;
            }
            Ok(0)
        }
        What::Blob { file, values } => {
            let mut code = 0;
            let mut failed = None;
            let walked = dump::blob(&OsVfs, file, &mut |entry| {
                if matches!(entry, BlobEntry::Unreadable { .. }) {
                    code = DAMAGED;
                }
                show_blob_entry(&entry, *values, out).map_err(|error| {
                    failed = Some(error);
                    Error::Canceled
                })
            });
            match failed {
                Some(error) => Err(error.into()),
                None => Ok(walked.map(|()| code)?),
            }
        }
    }
}

fn show_blob_entry(entry: &BlobEntry, values: bool, out: &mut dyn Write) -> std::io::Result<()> {
    match entry {
        BlobEntry::Record { offset, len, key, value } => {
            write!(out, "{offset}: {len} bytes, \"{}\"", Readable(key))?;
            show_value(value, values, out)?;
            writeln!(out)
        }
        BlobEntry::Unreadable { offset, len, why } => {
            writeln!(out, "{offset}: unreadable, {len} bytes: {why}")
        }
    }
}

fn show_value(value: &[u8], whole: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if whole { write!(out, " = \"{}\"", Readable(value)) } else { write!(out, " = {} bytes", value.len()) }
}

fn show_table(table: &TableDescription, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        out,
        "table {}: {} bytes, crc {:08x}, {} entries, {} tombstones, sequences to {}, \"{}\" to \"{}\"",
        table.number,
        table.size,
        table.crc,
        table.entries,
        table.tombstones,
        table.max_seq,
        Readable(&table.smallest),
        Readable(&table.largest)
    )?;
    for (number, records, bytes) in &table.blobs {
        writeln!(out, "    refers to {records} records of blob file {number}, {bytes} bytes")?;
    }
    Ok(())
}

fn show_edit(edit: &EditDescription, out: &mut dyn Write) -> std::io::Result<()> {
    for (level, number) in &edit.removed {
        writeln!(out, "  - level {level} table {number}")?;
    }
    for blob in &edit.blobs {
        let BlobDescription { number, size, crc, records } = blob;
        writeln!(out, "  + blob file {number}: {size} bytes, crc {crc:08x}, {records} records")?;
    }
    for (level, table) in &edit.added {
        write!(out, "  + level {level} ")?;
        show_table(table, out)?;
    }
    for (name, value) in [
        ("first log segment", edit.min_segment),
        ("next file", edit.next_file),
        ("flushed to sequence", edit.flushed_seq),
        ("applied to index", edit.applied_index),
    ] {
        if let Some(value) = value {
            writeln!(out, "  {name} {value}")?;
        }
    }
    if let Some([compat, ro_compat, incompat]) = edit.features {
        writeln!(out, "  features {compat:#x}, to read {ro_compat:#x}, incompatible {incompat:#x}")?;
    }
    for (id, total) in edit.counters.iter().flatten() {
        writeln!(out, "  counter {id} = {total}")?;
    }
    Ok(())
}

fn show_log_entry(entry: &LogEntry, values: bool, out: &mut dyn Write) -> std::io::Result<()> {
    match entry {
        LogEntry::Head { offset, next_seq } => writeln!(out, "{offset}: head, next sequence {next_seq}"),
        LogEntry::Trailer { offset, last_seq } => {
            writeln!(out, "{offset}: trailer, last sequence {last_seq}")
        }
        LogEntry::Unreadable { offset, why } => writeln!(out, "{offset}: unreadable: {why}"),
        LogEntry::Batch { offset, synced, first_seq, batch } => {
            writeln!(out, "{offset}: batch from sequence {first_seq}, durable to {synced}")?;
            let mut seq = *first_seq;
            for op in batch {
                match op {
                    Op::Put { key, value } => {
                        write!(out, "  {seq} \"{}\"", Readable(key))?;
                        show_value(value, values, out)?;
                        writeln!(out)?;
                        seq += 1;
                    }
                    Op::Delete { key } => {
                        writeln!(out, "  {seq} \"{}\" deleted", Readable(key))?;
                        seq += 1;
                    }
                    Op::Counter { id, delta } => writeln!(out, "  counter {id} {delta:+}")?,
                }
            }
            Ok(())
        }
    }
}
