//! The only place that asks the system for the time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in Unix milliseconds.
#[inline]
pub fn unix_millis() -> u64 {
    unix_micros() / 1000
}

/// Now, in Unix microseconds; 0 on a clock before 1970.
#[inline]
pub fn unix_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
