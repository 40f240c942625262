//! How much of the machine active expiry may take.
//!
//! A cycle stops after a slice of time. Where it ended with work left over, the next one follows after a rest, and both
//! slices and rests are such that expiry takes at most a share of one core; the share grows with `active-expire-effort`
//! (1 to 10). Where it ended with nothing left, the next one comes with the owner's next round. So keys that die in a
//! flood are gone soon, and a quiet database pays next to nothing.

use std::time::Duration;

/// The longest slice: nobody meets a latch or a busy core for longer because of expiry.
const CEILING: Duration = Duration::from_millis(25);
const FLOOR: Duration = Duration::from_millis(4);
/// Per cent of a core at effort 1, and what each further step adds.
const SHARE: u32 = 50;
const SHARE_STEP: u32 = 5;

/// The time that expiry may take.
///
/// # Invariants
///
/// * `slice` is between the floor and the ceiling, `share` between 1 and 99.
#[derive(Debug, Clone)]
pub struct Pace {
    slice: Duration,
    share: u32,
}

impl Pace {
    /// A pace for an effort of 1 to 10; other values count as the nearest.
    pub fn new(effort: u8) -> Self {
        let effort = u32::from(effort.clamp(1, 10));
        Self { slice: FLOOR, share: SHARE + SHARE_STEP * (effort - 1) }
    }

    /// How long the next cycle may take.
    pub fn slice(&self) -> Duration {
        self.slice
    }

    /// Tells how the cycle ended: `exhausted` when time ran out before the work did. Returns the rest before the next one
    /// in that case.
    pub fn finished(&mut self, exhausted: bool) -> Option<Duration> {
        if !exhausted {
            self.slice = (self.slice / 2).max(FLOOR);
            return None;
        }
        let rest = self.slice * (100 - self.share) / self.share;
        self.slice = (self.slice * 2).min(CEILING);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slice_follows_the_work_within_its_bounds() {
        let mut pace = Pace::new(1);
        for _ in 0..20 {
            assert!(pace.finished(true).is_some());
        }
        assert_eq!(pace.slice(), CEILING);
        assert_eq!(pace.finished(true), Some(CEILING), "half a core");
        for _ in 0..20 {
            assert_eq!(pace.finished(false), None);
        }
        assert_eq!(pace.slice(), FLOOR);
    }

    #[test]
    fn more_effort_is_less_rest_and_odd_values_are_clamped() {
        let rest = |effort| Pace::new(effort).finished(true).expect("exhausted");
        assert!(rest(10) < rest(1));
        assert!(rest(10) > Duration::ZERO);
        assert_eq!((rest(200), rest(0)), (rest(10), rest(1)));
    }
}
