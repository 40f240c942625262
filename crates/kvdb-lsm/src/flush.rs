//! Flush: a frozen memtable becomes tables of level 0.
//!
//! Each step is durable before the next begins:
//!
//! 1. sync the log up to the newest write in the memtable, since otherwise a crash could keep these
//!    writes and lose older ones that other memtables hold; first, because a log that cannot write
//!    would make the tables for nothing;
//! 2. write the large values to blob files, and sync these and their directory; write the tables, which
//!    refer to them, and sync these and their directory;
//! 3. append the edit to the manifest and sync it;
//! 4. only now free the memtable, and remove the log segments that the edit made obsolete.
//!
//! Without a log the first step is the owner's, and the edit says up to which index its log has been
//! applied.

use std::sync::Arc;

use crate::compaction::{Cuts, Grouping};
use crate::db::core::Core;
use crate::db::outputs::Outputs;
use crate::db::state::Frozen;
use crate::entry::{KeyRange, NEWEST};
use crate::error::Error;
use crate::version::VersionEdit;

/// Flushes one frozen memtable: the oldest, because flushed writes must be a prefix.
pub(crate) fn flush(core: &Core, frozen: Arc<Frozen>) -> Result<(), Error> {
    core.journal.sync()?;
    let mut outputs = outputs(core, frozen.memtable.allocated());
    let mut cursor = frozen.memtable.cursor(KeyRange::all(), NEWEST);
    cursor.seek_first();
    while let Some(entry) = cursor.entry() {
        outputs.add(entry)?;
        cursor.advance();
    }
    drop(cursor);
    outputs.finish()?;

    let mut counters = core.state.load().totals.as_ref().clone();
    frozen.memtable.add_counters_to(&mut counters);
    let edit = VersionEdit {
        blobs: outputs.blobs(),
        added: outputs.added(),
        min_segment: Some(frozen.cut.next_segment),
        flushed_seq: Some(frozen.cut.last_seq),
        applied_index: frozen.cut.applied,
        counters: Some(counters),
        ..VersionEdit::default()
    };
    let installed = core.install(edit, &outputs.files(), Some(&frozen));
    if installed.is_ok() || core.stop_reason().is_some() {
        outputs.keep();
    }
    installed?;
    core.activity.flushed(outputs.bytes());
    let next_segment = frozen.cut.next_segment;
    // Writes go on already, and take memory of their own.
    drop(frozen);
    core.free_memtables();
    core.journal.remove_before(next_segment);
    // Only the pressure is computed from it.
    let _ = core.measure_disk();
    Ok(())
}

/// Tables above which a flush does not cut at groups of partitions for the sake of a column: more
/// would only be files.
const COLUMNS: usize = 16;

/// The tables of a flush of about `bytes`: cut between groups of partitions, so that the tables of
/// successive flushes stand in columns, and above the tables that they will be merged with.
fn outputs(core: &Core, bytes: usize) -> Outputs<'_> {
    let version = Arc::clone(&core.state.load().version);
    let base = core.targets(&version).base;
    let partitioning = core.options.partitioning;
    let grouping = Grouping {
        partition_of: partitioning.of,
        group: partitioning.count.div_ceil(COLUMNS),
        min_bytes: (bytes / (2 * COLUMNS)).max(8 * core.options.block_bytes) as u64,
    };
    let below = version.metas()[base].clone();
    let cuts = Cuts::new(core.table_bytes(&version, 0, base), below, Some(grouping));
    Outputs::new(core, 0, core.table_options(0, base), cuts)
}
