//! Noticing tables that readers look into in vain.
//!
//! A lookup that has read from a table's file, has not found its key there and has gone on to older
//! tables took a detour. A table that causes many detours is worth merging with what lies behind
//! it. A lookup that the filter or a block in memory answers takes none: it costs a reader about a
//! hundredth of what rewriting [`BYTES_PER_DETOUR`] costs the compaction.

use std::sync::atomic::{AtomicU32, Ordering};

/// A detour costs a reader about as much as a compaction does for this many bytes (LevelDB's
/// estimate for a seek).
const BYTES_PER_DETOUR: u64 = 16 << 10;
/// Detours that even a small table may cause.
const MIN_DETOURS: u64 = 100;

/// How often readers took a detour to a table.
#[derive(Debug, Default)]
pub(crate) struct Wear(AtomicU32);

/// A table that readers have often looked into in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Worn {
    /// Its level.
    pub(crate) level: usize,
    /// Its number.
    pub(crate) number: u64,
    /// As many bytes as can be rewritten for what the detours have cost.
    pub(crate) worth: u64,
}

impl Wear {
    /// Adds a detour; returns whether it is time to look whether merging the table, of `size` bytes,
    /// pays: whenever the detours have cost as much again as rewriting it alone would.
    pub(crate) fn add(&self, size: u64) -> bool {
        let detours = u64::from(self.0.fetch_add(1, Ordering::Relaxed)) + 1;
        detours.is_multiple_of(least(size))
    }

    /// The bytes that can be rewritten for what the detours have cost; `None` as long as that is less
    /// than the table itself, of `size` bytes.
    pub(crate) fn worth(&self, size: u64) -> Option<u64> {
        let detours = u64::from(self.0.load(Ordering::Relaxed));
        (detours >= least(size)).then_some(detours * BYTES_PER_DETOUR)
    }
}

fn least(size: u64) -> u64 {
    (size / BYTES_PER_DETOUR).max(MIN_DETOURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_worn_whenever_the_detours_outweigh_its_size_again() {
        let wear = Wear::default();
        let size = 200 * BYTES_PER_DETOUR;
        let crossings: Vec<_> = (1..600).filter(|_| wear.add(size)).collect();
        assert_eq!(crossings, [200, 400]);
        let worth = Some(599 * BYTES_PER_DETOUR);
        assert_eq!([wear.worth(size), wear.worth(0), wear.worth(1 << 40)], [worth, worth, None]);
    }
}
