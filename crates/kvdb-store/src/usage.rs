//! What is remembered of a key's use: the moment of the last one, or how often there were any.
//!
//! An entry has 24 bits for it. By *moment* they are a clock of seconds. By *frequency* they are what Redis keeps under its
//! LFU policies: the upper sixteen are a clock of minutes, the lower eight a counter. The counter is logarithmic: the more
//! it has, the less likely a use adds one. It loses one in every `decay_minutes` that pass, which is worked out when it is
//! read and written down at the next use.
//!
//! ```text
//! chance of adding one  =  1 / ((counter - 5) × log_factor + 1)      (1 while the counter is below 5)
//! ```
//!
//! Which of the two it is may change while the server runs. Then the bits are read as what they are not until each key has
//! been used again, as in Redis.

use crate::entry::ACCESS_MASK;

/// What a new key's counter has, so that it is not the first to go before it could be used.
const INITIAL: u8 = 5;
const COUNTER_BITS: u32 = 8;
const MINUTES_MASK: u64 = 0xffff;
const MILLIS_PER_MINUTE: u64 = 60_000;

/// How use is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Usage {
    /// As the second of the last use.
    #[default]
    Moment,
    /// As a logarithmic counter that decays.
    Frequency {
        /// The larger, the more uses it takes to add one to a high counter (`lfu-log-factor`); below 2^31.
        log_factor: u32,
        /// Minutes in which a counter loses one (`lfu-decay-time`); 0 for never; below 2^31.
        decay_minutes: u32,
    },
}

impl Usage {
    /// What a key that has just been made, or loaded, has.
    #[inline]
    pub fn fresh(self, now: u64) -> u32 {
        match self {
            Self::Moment => moment(now),
            Self::Frequency { .. } => counted(INITIAL, now),
        }
    }

    /// What a key has after a use; `random` decides whether that counts.
    #[inline]
    pub fn used(self, access: u32, now: u64, random: u64) -> u32 {
        match self {
            Self::Moment => moment(now),
            Self::Frequency { log_factor, .. } => {
                let counter = self.counter(access, now);
                counted(raised(counter, log_factor, random), now)
            }
        }
    }

    /// What a key has that was last used so many seconds ago; nothing where moments are not remembered.
    pub fn idle_for(self, seconds: u64, now: u64) -> Option<u32> {
        let seconds = seconds.min(u64::from(ACCESS_MASK)) as u32;
        (self == Self::Moment).then(|| moment(now).wrapping_sub(seconds) & ACCESS_MASK)
    }

    /// What a key has whose counter is this; nothing where uses are not counted.
    pub fn with_counter(self, counter: u8, now: u64) -> Option<u32> {
        (self != Self::Moment).then(|| counted(counter, now))
    }

    /// What a key has that nobody has used for as long as can be told.
    pub fn least(self, now: u64) -> u32 {
        match self {
            Self::Moment => moment(now).wrapping_sub(ACCESS_MASK / 2) & ACCESS_MASK,
            Self::Frequency { .. } => counted(0, now),
        }
    }

    /// The counter that these bits mean now.
    pub fn counter(self, access: u32, now: u64) -> u8 {
        let Self::Frequency { decay_minutes, .. } = self else { return 0 };
        let then = u64::from(access >> COUNTER_BITS);
        let passed = minutes(now).wrapping_sub(then) & MINUTES_MASK;
        let lost = passed.checked_div(u64::from(decay_minutes)).unwrap_or(0);
        (access as u8).saturating_sub(u8::try_from(lost).unwrap_or(u8::MAX))
    }

    /// How little a key is worth keeping in memory: the larger, the sooner it goes.
    pub fn coldness(self, access: u32, now: u64) -> u32 {
        match self {
            Self::Moment => idle_seconds(access, now),
            Self::Frequency { .. } => u32::from(u8::MAX - self.counter(access, now)),
        }
    }

    /// As one word, 0 for moments.
    pub(crate) fn to_bits(self) -> u64 {
        match self {
            Self::Moment => 0,
            Self::Frequency { log_factor, decay_minutes } => {
                (1 << 63) | (u64::from(log_factor & FIELD) << 31) | u64::from(decay_minutes & FIELD)
            }
        }
    }

    /// The opposite of [`Self::to_bits`].
    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        if bits == 0 {
            return Self::Moment;
        }
        Self::Frequency { log_factor: (bits >> 31) as u32 & FIELD, decay_minutes: bits as u32 & FIELD }
    }
}

/// The bits of a factor or a number of minutes.
const FIELD: u32 = (1 << 31) - 1;

/// Seconds between a remembered moment and now.
pub fn idle_seconds(access: u32, now: u64) -> u32 {
    moment(now).wrapping_sub(access) & ACCESS_MASK
}

fn moment(now: u64) -> u32 {
    (now / 1000) as u32 & ACCESS_MASK
}

fn minutes(now: u64) -> u64 {
    (now / MILLIS_PER_MINUTE) & MINUTES_MASK
}

fn counted(counter: u8, now: u64) -> u32 {
    ((minutes(now) as u32) << COUNTER_BITS) | u32::from(counter)
}

fn raised(counter: u8, log_factor: u32, random: u64) -> u8 {
    let excess = u64::from(counter.saturating_sub(INITIAL));
    // A chance of one in so many, in whole numbers: a random fraction times the number is below one.
    let one_in = excess * u64::from(log_factor) + 1;
    let adds = (u128::from(random) * u128::from(one_in)) >> 64 == 0;
    counter.saturating_add(u8::from(adds))
}

/// Random bits for one use, from those of the run and what tells the use from others of the run.
#[inline]
pub(crate) fn scatter(random: u64, use_number: u64) -> u64 {
    // SplitMix64's finaliser.
    let mut z = random.wrapping_add(use_number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = MILLIS_PER_MINUTE;
    const LFU: Usage = Usage::Frequency { log_factor: 10, decay_minutes: 1 };

    fn after(uses: u64, usage: Usage) -> u8 {
        let access = (0..uses).fold(usage.fresh(0), |access, i| usage.used(access, 0, scatter(7, i)));
        usage.counter(access, 0)
    }

    #[test]
    fn the_counter_grows_as_the_table_in_redis_conf_says() {
        // Hits 100, 1000 and 100 000 for the factors 0, 1, 10 and 100.
        for (factor, expected) in
            [(0, [104, 255, 255]), (1, [18, 49, 255]), (10, [10, 18, 142]), (100, [8, 11, 49])]
        {
            let usage = Usage::Frequency { log_factor: factor, decay_minutes: 1 };
            for (hits, expected) in [100, 1000, 100_000].into_iter().zip(expected) {
                let counter = after(hits, usage);
                let tolerance = 2 + expected / 5;
                assert!(counter.abs_diff(expected) <= tolerance, "factor {factor}, {hits} hits: {counter}");
            }
        }
    }

    #[test]
    fn a_counter_decays_with_the_minutes_and_never_below_zero() {
        let access = LFU.with_counter(200, 0).expect("uses are counted");
        assert_eq!(LFU.counter(access, MINUTE - 1), 200);
        assert_eq!(LFU.counter(access, 3 * MINUTE), 197);
        assert_eq!(LFU.counter(access, 500 * MINUTE), 0);
        let slow = Usage::Frequency { log_factor: 10, decay_minutes: 10 };
        assert_eq!(slow.counter(access, 39 * MINUTE), 197);
        let never = Usage::Frequency { log_factor: 10, decay_minutes: 0 };
        assert_eq!(never.counter(access, 60_000 * MINUTE), 200);
        // The clock of minutes wraps.
        let late = LFU.with_counter(200, 65_535 * MINUTE).expect("uses are counted");
        assert_eq!(LFU.counter(late, 65_537 * MINUTE), 198);
    }

    #[test]
    fn each_way_of_remembering_takes_only_what_it_knows() {
        let now = 1_700_000_000_000;
        assert_eq!(idle_seconds(Usage::Moment.idle_for(77, now).expect("a moment"), now), 77);
        assert_eq!((Usage::Moment.with_counter(9, now), LFU.idle_for(77, now)), (None, None));
        assert_eq!(LFU.counter(LFU.fresh(now), now), INITIAL);
    }

    #[test]
    fn what_is_used_less_goes_first() {
        let rare = LFU.with_counter(3, 0).expect("uses are counted");
        let often = LFU.with_counter(90, 0).expect("uses are counted");
        assert!(LFU.coldness(rare, MINUTE) > LFU.coldness(often, MINUTE));
        let (old, young) = (Usage::Moment.fresh(5_000), Usage::Moment.fresh(9_000));
        assert!(Usage::Moment.coldness(old, 10_000) > Usage::Moment.coldness(young, 10_000));
    }

    #[test]
    fn a_word_holds_every_way() {
        for usage in [
            Usage::Moment,
            LFU,
            Usage::Frequency { log_factor: 0, decay_minutes: 0 },
            Usage::Frequency { log_factor: FIELD, decay_minutes: FIELD },
        ] {
            assert_eq!(Usage::from_bits(usage.to_bits()), usage);
        }
    }
}
