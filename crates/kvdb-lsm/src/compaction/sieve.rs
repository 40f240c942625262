//! What becomes of an entry in a compaction.

use crate::entry::{Content, Entry};
use crate::filter::{CompactionFilter, Judge};

/// The fate of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays as it is.
    Keep,
    /// It goes, but must go on hiding older versions: a tombstone takes its place unless there can
    /// be none.
    Bury,
    /// It goes without a trace.
    Vanish,
}

/// Judges entries by a filter.
#[derive(Debug)]
pub(crate) struct Sieve<'a> {
    filter: &'a dyn CompactionFilter,
    judge: &'a dyn Judge,
    horizon: u64,
    /// The class of the last key, and whether it is dead: neighbours are mostly of one class.
    last: Option<(u32, bool)>,
    /// Entries not kept.
    pub(crate) dropped: u64,
}

impl<'a> Sieve<'a> {
    pub(crate) fn new(filter: &'a dyn CompactionFilter, judge: &'a dyn Judge) -> Self {
        Self { filter, judge, horizon: judge.horizon(), last: None, dropped: 0 }
    }

    /// Judges the newest version of a key.
    pub(crate) fn fate(&mut self, entry: Entry<'_>) -> Fate {
        let fate = self.judge(entry);
        self.dropped += u64::from(fate != Fate::Keep);
        fate
    }

    fn judge(&mut self, entry: Entry<'_>) -> Fate {
        if let Some(class) = self.filter.class(entry.key) {
            let is_dead = match self.last {
                Some((last, is_dead)) if last == class => is_dead,
                _ => self.judge.is_class_dead(class),
            };
            self.last = Some((class, is_dead));
            if is_dead {
                return Fate::Vanish;
            }
        }
        let value = match entry.content {
            Content::Value(value) => value,
            // The filter does not read values, or this one cannot be read.
            Content::Blob(_) if self.filter.reads_values() => return Fate::Keep,
            Content::Blob(_) => &[],
            Content::Tombstone => return Fate::Keep,
        };
        let expired =
            || self.filter.deadline(entry.key, value).is_some_and(|deadline| deadline <= self.horizon);
        if expired() || self.judge.is_dead(entry.key, value) { Fate::Bury } else { Fate::Keep }
    }
}
