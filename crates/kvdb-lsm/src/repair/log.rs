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
use crate::version::{Snapshot, VersionFile};
use crate::wal::SegmentNumber;
use crate::wal::format::{parse_segment_name, segment_path};
use crate::wal::recovery;

/// What could be read of a log.
pub(super) struct Replayed {
    /// All of its rows that count, as a table.
    pub(super) table: Option<VersionFile>,
    /// The last sequence in the log, or that behind which it was read.
    pub(super) last_seq: Seq,
    /// What it added to the counters.
    memtable: Arc<Memtable>,
    /// Its segments, which are not part of the database any more.
    pub(super) segments: Vec<PathBuf>,
}

impl Replayed {
    pub(super) fn add_counters_to(&self, counters: &mut BTreeMap<u16, i64>) {
        self.memtable.add_counters_to(counters);
    }
}

/// Brings what the log has into `state`, or leaves a sound log as it is. Returns the segments that
/// are not part of the database any more.
pub(super) fn repair(
    builder: &mut Builder<'_>,
    state: &mut Snapshot,
    report: &mut RepairReport,
) -> Result<Vec<PathBuf>, Error> {
    if goes_on_behind(builder, state)? {
        return Ok(Vec::new());
    }
    let known = Known { min_segment: state.min_segment, flushed_seq: state.flushed_seq };
    let replayed = replay(builder, Ok(known), report)?;
    if let Some(file) = &replayed.table {
        // It has the highest number, so it is the newest of level 0.
        state.files.insert(file.meta.number, (0, file.meta.as_ref().clone()));
    }
    replayed.add_counters_to(&mut state.counters);
    state.flushed_seq = replayed.last_seq;
    state.min_segment = 0;
    Ok(replayed.segments)
}

/// What a manifest says about the log.
pub(super) struct Known {
    min_segment: SegmentNumber,
    flushed_seq: Seq,
}

/// Reads everything that the log has and the tables have not. Without a manifest (`Err`, with the
/// largest sequence of any table) that is everything: a flush that was not completed can have left
/// some of its tables, so the largest sequence in tables does not tell which writes are in them.
pub(super) fn replay(
    builder: &mut Builder<'_>,
    known: Result<Known, Seq>,
    report: &mut RepairReport,
) -> Result<Replayed, Error> {
    let dir = builder.dir().join(LOG_DIR);
    let names = builder.vfs().list(&dir).map_err(Error::io("list", &dir))?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    // Lower ones are obsolete: all that was in them is in tables.
    numbers.retain(|&number| known.as_ref().map_or(true, |known| number >= known.min_segment));
    numbers.sort_unstable();
    if let Ok(known) = &known
        && let Some(loss) = missing_in_front(known, numbers.first().copied())
    {
        report.losses.push(loss);
    }
    for pair in numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1) {
        report.losses.push(format!("log segments are missing between {} and {}", pair[0], pair[1]));
    }
    let memtable = Arc::new(Memtable::new(builder.options().partitioning));
    let mut last_seq = known.as_ref().map_or(0, |known| known.flushed_seq);
    for &number in &numbers {
        let path = segment_path(&dir, number);
        dump::log(builder.vfs(), &path, &mut |entry| {
            match entry {
                LogEntry::Batch { offset, first_seq, batch, .. } => {
                    let place = format!("{} at offset {offset}", path.display());
                    // Where the tables end, is a guess without a manifest.
                    let begins = known.as_ref().err().filter(|_| report.log_batches == 0);
                    let (from, to) = (begins.unwrap_or(&last_seq) + 1, first_seq.saturating_sub(1));
                    if from <= to {
                        report.losses.push(match begins {
                            Some(_) => {
                                format!(
                                    "{place}: whether the writes {from} to {to} are in tables is not known"
                                )
                            }
                            None => format!("{place}: the writes {from} to {to} are not there"),
                        });
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
    drop(cursor);
    let segments = numbers.into_iter().map(|number| segment_path(&dir, number)).collect();
    Ok(Replayed { table: builder.cut()?, last_seq, memtable, segments })
}

/// Says so if the log does not begin where the manifest says that it does.
fn missing_in_front(known: &Known, first: Option<SegmentNumber>) -> Option<String> {
    let Known { min_segment, flushed_seq } = *known;
    // Without a number, there may be no log.
    if min_segment == 0 || first == Some(min_segment) {
        return None;
    }
    Some(match first {
        Some(first) => format!(
            "log segments {min_segment} to {} are missing: the writes in them are lost, if there were any",
            first - 1
        ),
        None => format!(
            "the log is missing, from segment {min_segment} on: all writes behind {flushed_seq} are lost, if \
             there were any"
        ),
    })
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
