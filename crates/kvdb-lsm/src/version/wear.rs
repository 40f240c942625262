//! Noticing tables that readers look into in vain.
//!
//! A lookup that has read a block of a table, has not found its key there and has gone on to older
//! tables took a detour. A table that causes many detours is worth merging with what lies behind
//! it. Counting each would have all cores write one cache line, so threads count for themselves and
//! report one lookup in sixteen.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// A thread reports one vain lookup in so many.
const SAMPLE: u32 = 16;
/// A detour costs a reader about as much as a compaction does for this many bytes (LevelDB's
/// estimate for a seek).
const BYTES_PER_DETOUR: u64 = 16 << 10;
/// Detours that even a small table may cause.
const MIN_DETOURS: u64 = 100;

/// How often readers looked into a table in vain, by their samples.
#[derive(Debug, Default)]
pub(crate) struct Wear(AtomicU32);

impl Wear {
    /// Adds a sample; returns whether the table, of `size` bytes, has now caused more detours than
    /// compacting it would cost.
    pub(crate) fn add_sample(&self, size: u64) -> bool {
        let before = self.0.fetch_add(SAMPLE, Ordering::Relaxed);
        !exceeds(before, size) && exceeds(before.saturating_add(SAMPLE), size)
    }

    /// Whether the table has caused more detours than compacting it would cost.
    pub(crate) fn is_worn(&self, size: u64) -> bool {
        exceeds(self.0.load(Ordering::Relaxed), size)
    }
}

fn exceeds(detours: u32, size: u64) -> bool {
    u64::from(detours) >= (size / BYTES_PER_DETOUR).clamp(MIN_DETOURS, u64::from(u32::MAX / 2))
}

/// Counts a vain lookup of the calling thread; returns whether it is one to report.
pub(crate) fn note_vain_lookup() -> bool {
    thread_local! {
        static LOOKUPS: Cell<u32> = const { Cell::new(0) };
    }
    LOOKUPS.with(|lookups| {
        let next = (lookups.get() + 1) % SAMPLE;
        lookups.set(next);
        next == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_worn_once_when_the_detours_outweigh_its_size() {
        let wear = Wear::default();
        let size = 200 * BYTES_PER_DETOUR;
        let crossings = (0..40).filter(|_| wear.add_sample(size)).count();
        assert_eq!(crossings, 1);
        assert!(wear.is_worn(size) && wear.is_worn(0) && !wear.is_worn(1 << 40));
    }

    #[test]
    fn one_lookup_in_sixteen_is_reported() {
        assert_eq!((0..160).filter(|_| note_vain_lookup()).count(), 10);
    }
}
