//! The entries of a stream, and what is remembered of those that are gone.
//!
//! A group counts the entries that it has read, and its *lag* is how many are left. Whether such a count is true depends
//! on what was removed from the middle. What is known is how many entries were ever added and the greatest id that was
//! removed by name, and from that the count of some ids follows. The rules are those of Redis 7.

use super::entries::Entries;
use super::group::Group;
use super::id::StreamId;

/// Entries with their history.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) entries: Entries,
    /// The greatest id that was ever given.
    pub(super) last_id: StreamId,
    /// How many entries were ever added.
    pub(super) added: u64,
    /// The greatest id that was removed by name.
    pub(super) max_deleted: StreamId,
}

impl Log {
    /// The id of the first entry, or [`StreamId::MIN`].
    pub(super) fn first_id(&self) -> StreamId {
        self.entries.first().unwrap_or(StreamId::MIN)
    }

    /// Whether an entry at or behind this id may have been removed from between others.
    pub(super) fn has_gap_from(&self, id: StreamId) -> bool {
        self.entries.len() > 0 && self.first_id() <= self.max_deleted && id <= self.max_deleted
    }

    /// How many entries had been added when this one was, as far as that is known.
    pub(super) fn count_up_to(&self, id: StreamId) -> Option<i64> {
        let added = self.added as i64;
        if added == 0 || (self.entries.len() == 0 && id <= self.last_id) || id == self.last_id {
            return Some(added);
        }
        let first = self.first_id();
        if id > self.last_id || id > first {
            return None;
        }
        let has_no_gap = self.max_deleted == StreamId::MIN || self.max_deleted < first;
        let before_first = added.wrapping_sub(self.entries.len() as i64);
        has_no_gap.then_some(before_first.wrapping_add(i64::from(id == first)))
    }

    /// How many entries a group has not read yet, as far as that is known.
    pub(super) fn lag(&self, group: &Group) -> Option<i64> {
        if self.added == 0 {
            return Some(0);
        }
        let read = match group.entries_read() {
            Some(read) if !self.has_gap_from(group.last_id()) => Some(read),
            _ => self.count_up_to(group.last_id()),
        };
        read.map(|read| (self.added as i64).wrapping_sub(read))
    }
}
