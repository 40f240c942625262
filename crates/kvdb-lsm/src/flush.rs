//! Flush: a frozen memtable becomes tables of level 0.
//!
//! Each step is durable before the next begins:
//!
//! 1. sync the log up to the newest write in the memtable, since otherwise a crash could keep these
//!    writes and lose older ones that other memtables hold; first, because a log that cannot write
//!    would make the tables for nothing;
//! 2. write the tables, sync them and their directory;
//! 3. append the edit to the manifest and sync it;
//! 4. only now remove the log segments that the edit made obsolete.

use std::sync::Arc;

use crate::db::core::Core;
use crate::db::outputs::Outputs;
use crate::db::state::Frozen;
use crate::entry::{KeyRange, NEWEST};
use crate::error::Error;
use crate::version::VersionEdit;

/// Flushes one frozen memtable: the oldest, because flushed writes must be a prefix.
pub(crate) fn flush(core: &Core, frozen: &Arc<Frozen>) -> Result<(), Error> {
    core.log.sync()?;
    let mut outputs = Outputs::new(core, 0);
    let mut cursor = frozen.memtable.cursor(KeyRange::all(), NEWEST);
    cursor.seek_first();
    while let Some(entry) = cursor.entry() {
        outputs.add(entry)?;
        cursor.advance();
    }
    outputs.finish()?;

    let mut counters = core.state.load().totals.as_ref().clone();
    frozen.memtable.add_counters_to(&mut counters);
    let edit = VersionEdit {
        added: outputs.added(),
        min_segment: Some(frozen.next_segment),
        flushed_seq: Some(frozen.last_seq),
        counters: Some(counters),
        ..VersionEdit::default()
    };
    let installed = core.install(edit, &outputs.tables(), Some(frozen));
    if installed.is_ok() || core.stop_reason().is_some() {
        outputs.keep();
    }
    installed?;
    core.activity.flushed(outputs.bytes());
    core.log.remove_before(frozen.next_segment);
    Ok(())
}
