//! Carrying out a compaction.

use std::sync::Arc;

use super::background::Pace;
use super::blob_moves::BlobMoves;
use super::core::Core;
use super::outputs::Outputs;
use crate::batch::Seq;
use crate::compaction::{Choice, Cuts, Fate, Sieve, Work};
use crate::entry::{Content, Entry};
use crate::error::Error;
use crate::filter::Judge;
use crate::merge::{LevelIter, Merge, Source};
use crate::progress::{OnProgress, Watch};
use crate::sabotage::{self, Bug};
use crate::table::{Fill, TableIter};
use crate::version::{LAST_LEVEL, LEVELS, NewFiles, Version, VersionEdit, VersionFile};

/// What the filter knew at a moment.
pub(super) struct Knowledge {
    pub(super) judge: Box<dyn Judge>,
    /// A sequence up to which everything was appended that it rests on.
    pub(super) seq: Seq,
}

/// Does what was chosen and installs the result. The caller is the only one who compacts;
/// `knowledge` is what the filter knew when the choice was made. Returns false if the work was given
/// up, because the database is being closed.
pub(super) fn compact(
    core: &Core,
    choice: &Choice,
    knowledge: Option<&Knowledge>,
    progress: OnProgress<'_>,
) -> Result<bool, Error> {
    let version = Arc::clone(&core.state.load().version);
    let inputs = |level: usize| -> Vec<VersionFile> {
        let files = version.level(level).iter();
        files.filter(|file| choice.inputs.contains(&(level, file.meta.number))).cloned().collect()
    };
    match choice.work {
        Work::Merge => {}
        Work::Move => return move_tables(core, choice, &(0..LEVELS).flat_map(inputs).collect::<Vec<_>>()),
        Work::Remove => return remove_tables(core, choice, knowledge),
    }
    let (level, base) = (choice.output_level, core.targets(&version).base);
    let grandparents = version.metas().into_iter().nth(level + 1).unwrap_or_default();
    let cuts = Cuts::new(core.table_bytes(&version, level, base), grandparents, None);
    let mut outputs = Outputs::new(core, level, core.table_options(level, base), cuts);
    let mut moves = BlobMoves::new(core, &version);
    let mut moving = 0;
    let mut sources = Vec::new();
    let mut entries = 0;
    let mut read = [0; LEVELS];
    for (level, read) in read.iter_mut().enumerate() {
        let files = inputs(level);
        *read = files.iter().map(|file| file.meta.size).sum::<u64>();
        entries += files.iter().map(|file| file.meta.entries).sum::<u64>();
        moving += files.iter().map(|file| moves.bytes_of(&file.meta)).sum::<u64>();
        if level == 0 {
            for file in files {
                sources.push(Source::Table(TableIter::new(file.table, Fill::Bypass)));
            }
        } else if !files.is_empty() {
            if level == LAST_LEVEL {
                // These do not store the sequences of their entries.
                files.iter().for_each(|file| outputs.cover_seqs_of(&file.table));
            }
            sources.push(Source::Level(LevelIter::new(Arc::new(files), Fill::Bypass)));
        }
    }
    let mut merge = Merge::over(sources);
    // Before anything else: a source that cannot be read must not look like a disk without room.
    merge.seek_first()?;
    let bytes: u64 = read.iter().sum();
    leave_room(core, bytes.saturating_add(moving))?;
    let mut below = Below::new(&version, choice.output_level);
    let filter = core.options.filter.as_deref().zip(knowledge);
    let mut sieve = filter.map(|(filter, knowledge)| Sieve::new(filter, &*knowledge.judge));
    let mut pace = Pace::new(core, choice);
    let mut watch = Watch::begin(bytes, progress)?;
    let keeps_tombstones = !sabotage::has(Bug::EarlyTombstone);
    while let Some(entry) = merge.entry() {
        watch.add(bytes / entries.max(1))?;
        let read_before = moves.read();
        let blob = moves.value_to_judge(entry)?;
        let content = blob.as_ref().map_or(entry.content, |blob| Content::Value(blob.value()));
        let seen = Entry { content, ..entry };
        // No view is in the way: a view reads the tables it was made over.
        let fate = sieve.as_mut().map_or(Fate::Keep, |sieve| sieve.fate(seen));
        let (kept, seen) = match fate {
            Fate::Keep => (Some(entry), seen),
            Fate::Bury => {
                let tombstone = Entry { content: Content::Tombstone, ..entry };
                (Some(tombstone), tombstone)
            }
            Fate::Vanish => (None, seen),
        };
        let is_needed = |entry: &Entry<'_>| {
            !entry.content.is_tombstone() || (keeps_tombstones && below.may_hold(entry.key))
        };
        if let Some(kept) = kept.filter(is_needed) {
            moves.add(&mut outputs, kept, seen)?;
        }
        let worked = entry.key.len() as u64 + entry.content.inline_len() + moves.read() - read_before;
        if !pace.go_on(worked) {
            core.check_running()?;
            return Ok(false);
        }
        merge.advance()?;
    }
    outputs.finish()?;
    let dropped = sieve.map_or(0, |sieve| sieve.dropped);
    if let Some(knowledge) = knowledge.filter(|_| dropped > 0) {
        make_durable(core, knowledge.seq)?;
    }
    let edit = VersionEdit {
        blobs: outputs.blobs(),
        added: outputs.added(),
        removed: choice.inputs.clone(),
        ..VersionEdit::default()
    };
    let installed = core.install(edit, &outputs.files(), None);
    if installed.is_ok() || core.stop_reason().is_some() {
        outputs.keep();
    }
    installed?;
    watch.end();
    core.activity.compacted(&read, level, outputs.bytes(), dropped);
    core.activity.moved_blobs(moves.moved());
    Ok(true)
}

/// Before rows are dropped: makes the reason durable, which was appended up to `seq`, since a crash
/// must not bring back a state in which they are alive, and sees to it that no copy of the database
/// has the one without the other.
pub(super) fn make_durable(core: &Core, seq: Seq) -> Result<(), Error> {
    core.note_dropped(seq);
    core.journal.sync()
}

/// Removes tables without reading them.
fn remove_tables(core: &Core, choice: &Choice, knowledge: Option<&Knowledge>) -> Result<bool, Error> {
    if let Some(knowledge) = knowledge {
        make_durable(core, knowledge.seq)?;
    }
    let edit = VersionEdit { removed: choice.inputs.clone(), ..VersionEdit::default() };
    core.install(edit, &NewFiles::default(), None)?;
    core.activity.removed(choice.inputs.len() as u64);
    Ok(true)
}

/// Refuses a compaction that could take the space that a flush needs. A flush can free log
/// segments and so end a full disk; a compaction that fails half way only stands in its way.
fn leave_room(core: &Core, bytes: u64) -> Result<(), Error> {
    if core.measure_disk()? < room_for(core, bytes) {
        return Err(Error::io("make room for a compaction in", &core.table_dir())(
            std::io::ErrorKind::StorageFull.into(),
        ));
    }
    Ok(())
}

/// The space that must be free for a compaction that writes so many bytes.
pub(super) const fn room_for(core: &Core, bytes: u64) -> u64 {
    bytes.saturating_add(core.options.write_buffer_bytes as u64)
}

fn move_tables(core: &Core, choice: &Choice, files: &[VersionFile]) -> Result<bool, Error> {
    let metas = files.iter();
    let edit = VersionEdit {
        added: metas.map(|file| (choice.output_level, file.meta.as_ref().clone())).collect(),
        removed: choice.inputs.clone(),
        ..VersionEdit::default()
    };
    let tables: Vec<_> = files.iter().map(|file| Arc::clone(&file.table)).collect();
    core.install(edit, &NewFiles { tables, ..NewFiles::default() }, None)?;
    core.activity.moved(files.len() as u64);
    Ok(true)
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
