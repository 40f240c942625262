//! What the batches of one memtable added to the durable counters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

/// Counters below this have a slot of their own, so that adding to them takes no lock.
const DIRECT: usize = 64;

/// The sum of the deltas, by counter.
#[derive(Debug)]
pub(super) struct Counters {
    direct: [AtomicI64; DIRECT],
    others: Mutex<BTreeMap<u16, i64>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self { direct: [const { AtomicI64::new(0) }; DIRECT], others: Mutex::default() }
    }
}

impl Counters {
    /// Adds to a counter; wraps around at the ends of the range, as the totals do.
    pub(super) fn add(&self, id: u16, delta: i64) {
        match self.direct.get(usize::from(id)) {
            Some(slot) => {
                slot.fetch_add(delta, Ordering::Relaxed);
            }
            None => {
                let mut others = self.others.lock();
                let sum = others.entry(id).or_default();
                *sum = sum.wrapping_add(delta);
            }
        }
    }

    /// The sum for one counter.
    pub(super) fn get(&self, id: u16) -> i64 {
        match self.direct.get(usize::from(id)) {
            Some(slot) => slot.load(Ordering::Relaxed),
            None => self.others.lock().get(&id).copied().unwrap_or_default(),
        }
    }

    /// Adds every sum to `totals`.
    pub(super) fn add_to(&self, totals: &mut BTreeMap<u16, i64>) {
        let direct = (0u16..).zip(&self.direct);
        let mut add = |id: u16, delta: i64| {
            if delta != 0 {
                let total = totals.entry(id).or_default();
                *total = total.wrapping_add(delta);
            }
        };
        for (id, slot) in direct {
            add(id, slot.load(Ordering::Relaxed));
        }
        for (&id, &delta) in self.others.lock().iter() {
            add(id, delta);
        }
    }
}
