//! How much of the machine active expiry may take.
//!
//! The cycle runs ten times a second and stops after a slice of time. The slice grows while a cycle ends with work left
//! over and shrinks when it does not, between the floor and the ceiling that `active-expire-effort` (1 to 10) sets, as
//! Redis' own setting does: effort 1 may take a quarter of a core at the most.

/// The time that an expiry cycle may take.
///
/// # Invariants
///
/// * `floor_us <= slice_us <= ceiling_us`.
#[derive(Debug, Clone)]
pub struct Pace {
    slice_us: u64,
    floor_us: u64,
    ceiling_us: u64,
}

impl Pace {
    /// A pace for an effort of 1 to 10 and a cycle that is run every `period_ms` milliseconds.
    pub fn new(effort: u8, period_ms: u64) -> Self {
        let effort = u64::from(effort.clamp(1, 10));
        let ceiling_us = period_ms * 1000 * (25 + 2 * (effort - 1)) / 100;
        let floor_us = (ceiling_us / 25).max(100).min(ceiling_us);
        Self { slice_us: floor_us, floor_us, ceiling_us }
    }

    /// Microseconds that the next cycle may take.
    pub fn slice_us(&self) -> u64 {
        self.slice_us
    }

    /// Tells how the cycle ended: `exhausted` when time ran out before the work did.
    pub fn finished(&mut self, exhausted: bool) {
        let next = if exhausted { self.slice_us * 2 } else { self.slice_us * 3 / 4 };
        self.slice_us = next.clamp(self.floor_us, self.ceiling_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slice_follows_the_work_within_its_bounds() {
        let mut pace = Pace::new(1, 100);
        assert_eq!(pace.slice_us(), 1000);
        for _ in 0..20 {
            pace.finished(true);
        }
        assert_eq!(pace.slice_us(), 25_000, "a quarter of a core");
        for _ in 0..40 {
            pace.finished(false);
        }
        assert_eq!(pace.slice_us(), 1000);
    }

    #[test]
    fn more_effort_is_more_time_and_odd_values_are_clamped() {
        assert!(Pace::new(10, 100).ceiling_us > Pace::new(1, 100).ceiling_us);
        assert_eq!(Pace::new(200, 100).ceiling_us, Pace::new(10, 100).ceiling_us);
        assert_eq!(Pace::new(0, 100).ceiling_us, Pace::new(1, 100).ceiling_us);
    }
}
