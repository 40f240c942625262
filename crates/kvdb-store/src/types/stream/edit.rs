//! Effects on the entries of a stream: what changes the structure and records the changed rows.

use super::block::Field;
use super::id::StreamId;
use super::{Stream, rows};
use crate::edit::Edit;

/// What a trim leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So many, the newest.
    Newest(usize),
    /// Those from an id on.
    From(StreamId),
}

/// How a stream is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    /// What is left.
    pub keep: Keep,
    /// Whether only whole blocks go, so that a few entries more may be left.
    pub by_blocks: bool,
    /// The most entries that go; 0 for no limit.
    pub limit: usize,
}

impl Edit<'_, Stream> {
    /// Adds an entry, whose id must be greater than [`Stream::last_id`].
    pub fn append(&mut self, id: StreamId, fields: &[Field<'_>]) {
        debug_assert!(id > self.last_id());
        let layout = self.layout;
        let log = &mut self.value.0.log;
        log.entries.append(id, fields, &layout);
        (log.last_id, log.added) = (id, log.added.saturating_add(1));
        let added = log.added;
        self.record(&rows::entry_key(id), |out| rows::write_entry(out, added, fields.iter().copied()));
    }

    /// Removes an entry; tells whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let log = &mut self.value.0.log;
        if !log.entries.remove(id) {
            return false;
        }
        let tells = id == log.last_id || id > log.max_deleted;
        log.max_deleted = log.max_deleted.max(id);
        self.erase(&rows::entry_key(id));
        if tells {
            self.record_meta();
        }
        true
    }

    /// Removes entries from the first on; returns how many.
    pub fn trim(&mut self, trim: &Trim) -> usize {
        let mut removed = 0;
        loop {
            let log = &self.value.0.log;
            let (count, Some((in_block, end))) = (log.entries.len(), log.entries.first_block_end()) else {
                break;
            };
            if trim.limit > 0 && removed + in_block > trim.limit {
                break;
            }
            let (whole, part) = match trim.keep {
                Keep::Newest(newest) => {
                    (count.saturating_sub(in_block) >= newest, count.saturating_sub(newest))
                }
                Keep::From(id) => {
                    (end < id, log.entries.first_block().take_while(|&first| first < id).count())
                }
            };
            let gone = if whole { in_block } else { part };
            if gone == 0 || (trim.by_blocks && !whole) {
                break;
            }
            for id in self.value.0.log.entries.first_block().take(gone) {
                self.rows.delete(&rows::entry_key(id));
            }
            self.value.0.log.entries.remove_first(gone);
            removed += gone;
            if !whole {
                break;
            }
        }
        // With the last entry goes what told the last id.
        if removed > 0 && self.count() == 0 {
            self.record_meta();
        }
        removed
    }

    /// Sets the greatest id that was given, and what else is given here.
    pub fn set_last_id(&mut self, last_id: StreamId, added: Option<u64>, max_deleted: Option<StreamId>) {
        let log = &mut self.value.0.log;
        log.last_id = last_id;
        log.added = added.unwrap_or(log.added);
        log.max_deleted = max_deleted.unwrap_or(log.max_deleted);
        self.record_meta();
    }
}
