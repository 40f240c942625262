//! The log in a repair: left alone if it is sound, otherwise read as far as it can be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::RepairReport;
use super::builder::Builder;
use crate::batch::{Seq, WriteBatch};
use crate::db::files::LOG_DIR;
use crate::dump::{self, LogEntry};
use crate::entry::{KeyRange, NEWEST};
use crate::error::Error;
use crate::memtable::Memtable;
use crate::version::Snapshot;
use crate::wal::format::{parse_segment_name, segment_path};
use crate::wal::recovery;

/// Brings what the log has into `state`, or leaves a sound log as it is. Returns the segments that
/// are not part of the database any more.
pub(super) fn repair(
    builder: &mut Builder<'_>,
    state: &mut Snapshot,
    manifest_is_known: bool,
    report: &mut RepairReport,
) -> Result<Vec<PathBuf>, Error> {
    let dir = builder.dir().join(LOG_DIR);
    if manifest_is_known && goes_on_behind(builder, state)? {
        return Ok(Vec::new());
    }
    let names = builder.vfs().list(&dir).map_err(Error::io("list", &dir))?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    // Lower ones are obsolete: all that was in them is in tables.
    numbers.retain(|&number| number >= state.min_segment);
    numbers.sort_unstable();
    for pair in numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1) {
        report.losses.push(format!("log segments are missing between {} and {}", pair[0], pair[1]));
    }
    let memtable = Arc::new(Memtable::new(builder.options().partitioning));
    let mut last_seq = state.flushed_seq;
    for &number in &numbers {
        let path = segment_path(&dir, number);
        dump::log(builder.vfs(), &path, &mut |entry| {
            match entry {
                LogEntry::Batch { offset, first_seq, batch, .. } => {
                    // Without a manifest it is not known where the tables end.
                    let begins = report.log_batches == 0 && !manifest_is_known;
                    if first_seq > last_seq + 1 && !begins {
                        let (path, to) = (path.display(), first_seq - 1);
                        let from = last_seq + 1;
                        report.losses.push(format!(
                            "{path} at offset {offset}: the writes {from} to {to} are not there"
                        ));
                    }
                    report.log_batches += u64::from(apply(&memtable, &mut last_seq, first_seq, &batch));
                }
                LogEntry::Unreadable { offset, why } => report
                    .losses
                    .push(format!("{} at offset {offset}: {why}; what was there is lost", path.display())),
                LogEntry::Head { .. } | LogEntry::Trailer { .. } => {}
            }
            Ok(())
        })?;
    }
    // One table, so that it is there wholly or not at all when a repair is interrupted: its largest
    // sequence tells the next one what of the log is in tables.
    let mut cursor = memtable.cursor(KeyRange::all(), NEWEST);
    cursor.seek_first();
    while let Some(entry) = cursor.entry() {
        builder.add(entry)?;
        cursor.advance();
    }
    if let Some(file) = builder.cut()? {
        // It has the highest number, so it is the newest of level 0.
        state.files.insert(file.meta.number, (0, file.meta.as_ref().clone()));
    }
    let mut counters: BTreeMap<u16, i64> = std::mem::take(&mut state.counters);
    memtable.add_counters_to(&mut counters);
    state.counters = counters;
    state.flushed_seq = last_seq;
    state.min_segment = 0;
    Ok(numbers.into_iter().map(|number| segment_path(&dir, number)).collect())
}

/// Whether an ordinary opening would take the log as it is.
fn goes_on_behind(builder: &Builder<'_>, state: &Snapshot) -> Result<bool, Error> {
    let start = recovery::Start { min_segment: state.min_segment, first_seq: state.flushed_seq + 1 };
    let dir = builder.dir().join(LOG_DIR);
    let mut expected = state.flushed_seq + 1;
    let replayed = recovery::replay_only(builder.vfs(), &dir, start, &mut |_, batch| {
        if batch.first_seq() != expected {
            return Err(Error::corruption(&dir, 0, "the log does not go on where the tables end"));
        }
        expected = batch.last_seq() + 1;
        Ok(())
    });
    match replayed {
        Ok(recovered) => Ok(recovered.last_seq + 1 == expected),
        Err(Error::Corruption { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Applies a batch, if it is not in tables yet; returns whether it did.
fn apply(memtable: &Memtable, last_seq: &mut Seq, first_seq: Seq, batch: &WriteBatch) -> bool {
    let end = first_seq + u64::from(batch.count());
    // A batch that takes no sequence belongs behind the one before it.
    let is_next = batch.count() == 0 && first_seq == *last_seq + 1;
    if end <= *last_seq + 1 && !is_next {
        return false;
    }
    memtable.insert(first_seq, batch.iter(), 0);
    *last_seq = end - 1;
    true
}
