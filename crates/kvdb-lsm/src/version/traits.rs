//! What a [filter](crate::filter) said about the rows of a table, summed up.

use std::collections::BTreeMap;

use crate::entry::{Content, Entry};
use crate::filter::CompactionFilter;

/// Classes that are told apart in one table; the rows of others count as without a class.
pub(crate) const MAX_CLASSES: usize = 64;

/// Entries, and the bytes of their keys and values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Weight {
    fn add(&mut self, entry: Entry<'_>) {
        self.entries += 1;
        self.bytes += entry.key.len() as u64 + entry.content.value_len();
    }
}

impl std::iter::Sum for Weight {
    fn sum<I: Iterator<Item = Self>>(weights: I) -> Self {
        weights.fold(Self::default(), |sum, weight| Self {
            entries: sum.entries.saturating_add(weight.entries),
            bytes: sum.bytes.saturating_add(weight.bytes),
        })
    }
}

/// # Invariants
/// Every entry is counted in `classes` or in `unclassed`. Every value has a deadline within
/// `deadlines` or is counted in `undying`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// Entries by class.
    pub(crate) classes: BTreeMap<u32, Weight>,
    /// Entries of no class, or of one that is not told apart.
    pub(crate) unclassed: Weight,
    /// The first and the last deadline.
    pub(crate) deadlines: Option<(u64, u64)>,
    /// Values without a deadline.
    pub(crate) undying: u64,
}

impl Traits {
    /// All entries.
    pub(crate) fn total(&self) -> Weight {
        self.classes.values().chain([&self.unclassed]).copied().sum()
    }

    /// Counts an entry.
    pub(crate) fn note(&mut self, filter: &dyn CompactionFilter, entry: Entry<'_>) {
        match filter.class(entry.key) {
            Some(class) if self.classes.len() < MAX_CLASSES || self.classes.contains_key(&class) => {
                self.classes.entry(class).or_default().add(entry);
            }
            _ => self.unclassed.add(entry),
        }
        let value = match entry.content {
            Content::Value(value) => value,
            // One that cannot be read.
            Content::Blob(_) if filter.reads_values() => {
                self.undying += 1;
                return;
            }
            Content::Blob(_) => &[],
            Content::Tombstone => return,
        };
        match filter.deadline(entry.key, value) {
            Some(deadline) => {
                let (first, last) = self.deadlines.unwrap_or((deadline, deadline));
                self.deadlines = Some((first.min(deadline), last.max(deadline)));
            }
            None => self.undying += 1,
        }
    }
}
