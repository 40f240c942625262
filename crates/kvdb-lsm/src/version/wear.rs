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

impl Wear {
    /// Adds a detour; returns whether the table, of `size` bytes, has now caused more of them than
    /// compacting it would cost.
    pub(crate) fn add(&self, size: u64) -> bool {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        !exceeds(before, size) && exceeds(before.saturating_add(1), size)
    }

    /// Whether the table has caused more detours than compacting it would cost.
    pub(crate) fn is_worn(&self, size: u64) -> bool {
        exceeds(self.0.load(Ordering::Relaxed), size)
    }
}

fn exceeds(detours: u32, size: u64) -> bool {
    u64::from(detours) >= (size / BYTES_PER_DETOUR).clamp(MIN_DETOURS, u64::from(u32::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_worn_once_when_the_detours_outweigh_its_size() {
        let wear = Wear::default();
        let size = 200 * BYTES_PER_DETOUR;
        let crossings: Vec<_> = (1..400).filter(|_| wear.add(size)).collect();
        assert_eq!(crossings, [200]);
        assert!(wear.is_worn(size) && wear.is_worn(0) && !wear.is_worn(1 << 40));
    }
}
