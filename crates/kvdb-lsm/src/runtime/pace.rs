//! How much of the processor a compaction takes.
//!
//! On two cores a compaction that runs at full speed takes half of the machine from those who wait
//! for replies. While nothing presses it rests in between, so that it takes a share of a core; the
//! nearer level 0 comes to the depth at which writes have to be held back, the less it rests.

use std::time::Duration;

/// Bytes that a compaction reads between two looks at the clock.
pub(crate) const CHECK_BYTES: u64 = 256 << 10;
/// Rests shorter than this are put off: the thread would hardly sleep.
const SHORTEST: Duration = Duration::from_millis(1);
/// A rest is never longer, so that a compaction notices when things begin to press.
const LONGEST: Duration = Duration::from_millis(50);

/// How long to rest after `worked` of processor time, to take a `share` of a core. `urgency` is how
/// far things are on the way to where writes are held back, from 0 to 1; from 1 there is no rest.
pub(crate) fn rest(worked: Duration, share: f32, urgency: f32) -> Duration {
    let share = share.clamp(0.01, 1.0);
    let share = share + (1.0 - share) * urgency.clamp(0.0, 1.0);
    let rest = worked.mul_f32((1.0 - share) / share);
    if rest < SHORTEST { Duration::ZERO } else { rest.min(LONGEST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_leaves_the_share() {
        let worked = Duration::from_millis(10);
        assert_eq!(rest(worked, 1.0, 0.0), Duration::ZERO);
        assert_eq!(rest(worked, 0.5, 0.0).as_millis(), 10);
        assert!(rest(worked, 0.25, 0.0).abs_diff(Duration::from_millis(30)) < Duration::from_micros(10));
    }

    #[test]
    fn urgency_shortens_the_rest_and_ends_it() {
        let worked = Duration::from_millis(10);
        let rests: Vec<_> = (0..=10).map(|n| rest(worked, 0.25, n as f32 / 10.0)).collect();
        assert!(rests.windows(2).all(|pair| pair[0] >= pair[1]));
        assert_eq!(rests[10], Duration::ZERO);
    }

    #[test]
    fn a_rest_is_neither_tiny_nor_long() {
        assert_eq!(rest(Duration::from_micros(500), 0.5, 0.0), Duration::ZERO);
        assert_eq!(rest(Duration::from_secs(60), 0.5, 0.0), LONGEST);
    }
}
