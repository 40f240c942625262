//! Carrying out a compaction.

use std::sync::Arc;

use super::core::Core;
use super::outputs::Outputs;
use crate::compaction::Choice;
use crate::error::Error;
use crate::merge::{LevelIter, Merge, Source};
use crate::progress::{OnProgress, Watch};
use crate::sabotage::{self, Bug};
use crate::table::{Fill, TableIter};
use crate::version::{LEVELS, Version, VersionEdit, VersionFile};

/// Merges the chosen tables and installs the result. The caller is the only one who compacts.
pub(super) fn compact(core: &Core, choice: &Choice, progress: OnProgress<'_>) -> Result<(), Error> {
    let version = Arc::clone(&core.state.load().version);
    let inputs = |level: usize| -> Vec<VersionFile> {
        let files = version.level(level).iter();
        files.filter(|file| choice.inputs.contains(&(level, file.meta.number))).cloned().collect()
    };
    if choice.is_move {
        return move_tables(core, choice, &(0..LEVELS).flat_map(inputs).collect::<Vec<_>>());
    }
    let mut outputs = Outputs::new(core, choice.output_level);
    let mut sources = Vec::new();
    let (mut read, mut entries) = (0, 0);
    for level in 0..LEVELS {
        let files = inputs(level);
        read += files.iter().map(|file| file.meta.size).sum::<u64>();
        entries += files.iter().map(|file| file.meta.entries).sum::<u64>();
        if level == 0 {
            for file in files {
                sources.push(Source::Table(TableIter::new(file.table, Fill::Bypass)));
            }
        } else if !files.is_empty() {
            if level == LEVELS - 1 {
                // These do not store the sequences of their entries.
                files.iter().for_each(|file| outputs.cover_seqs_of(&file.table));
            }
            sources.push(Source::Level(LevelIter::new(Arc::new(files), Fill::Bypass)));
        }
    }
    let mut merge = Merge::over(sources);
    // Before anything else: a source that cannot be read must not look like a disk without room.
    merge.seek_first()?;
    leave_room(core, read)?;
    let mut below = Below::new(&version, choice.output_level);
    let mut watch = Watch::begin(read, progress)?;
    while let Some(entry) = merge.entry() {
        watch.add(read / entries.max(1))?;
        // No view is in the way: a view reads the tables it was made over.
        let keeps_tombstones = !sabotage::has(Bug::EarlyTombstone);
        if entry.value.is_some() || (keeps_tombstones && below.may_hold(entry.key)) {
            outputs.add(entry)?;
        }
        merge.advance()?;
    }
    outputs.finish()?;
    let edit =
        VersionEdit { added: outputs.added(), removed: choice.inputs.clone(), ..VersionEdit::default() };
    let installed = core.install(edit, &outputs.tables(), None);
    if installed.is_ok() || core.stop_reason().is_some() {
        outputs.keep();
    }
    watch.end();
    core.activity.compacted(read, outputs.bytes());
    installed
}

/// Refuses a compaction that could take the space that a flush needs. A flush can free log
/// segments and so end a full disk; a compaction that fails half way only stands in its way.
fn leave_room(core: &Core, bytes: u64) -> Result<(), Error> {
    let dir = core.table_dir();
    let free = core.options.vfs.free_bytes(&dir).map_err(Error::io("measure", &dir))?;
    if free < bytes.saturating_add(core.options.write_buffer_bytes as u64) {
        return Err(Error::io("make room for a compaction in", &dir)(std::io::ErrorKind::StorageFull.into()));
    }
    Ok(())
}

fn move_tables(core: &Core, choice: &Choice, files: &[VersionFile]) -> Result<(), Error> {
    let metas = files.iter();
    let edit = VersionEdit {
        added: metas.map(|file| (choice.output_level, file.meta.as_ref().clone())).collect(),
        removed: choice.inputs.clone(),
        ..VersionEdit::default()
    };
    let tables: Vec<_> = files.iter().map(|file| Arc::clone(&file.table)).collect();
    core.install(edit, &tables, None)
}

/// Tells whether a key may have older versions below a level. Keys are asked in ascending order.
struct Below<'a> {
    levels: &'a Version,
    first: usize,
    /// Per level, the first table that does not end before the last key asked.
    at: [usize; LEVELS],
}

impl<'a> Below<'a> {
    const fn new(levels: &'a Version, level: usize) -> Self {
        Self { levels, first: level + 1, at: [0; LEVELS] }
    }

    fn may_hold(&mut self, key: &[u8]) -> bool {
        (self.first..LEVELS).any(|level| {
            let files = self.levels.level(level);
            let at = &mut self.at[level];
            while files.get(*at).is_some_and(|file| file.meta.largest.as_slice() < key) {
                *at += 1;
            }
            files.get(*at).is_some_and(|file| file.meta.smallest.as_slice() <= key)
        })
    }
}
