//! A limit on what background work writes to the disk.
//!
//! A token bucket that holds ten milliseconds' worth: coarser slices would let a small disk be busy
//! for so long that a sync of the log waits behind them. Whoever takes more than there is owes it,
//! and waits until the debt is paid. Flushes go first: a compaction waits while a flush does, but
//! not for ever, or the levels would never be put in order on a disk that is only just fast enough.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::clock;

/// The time for which tokens gather, and that a taker waits for at once.
const SLICE: Duration = Duration::from_millis(10);
/// Flushes go before a compaction this many times in a row.
const PATIENCE: u32 = 10;

/// What a write is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A flush, which lets writes go on.
    Flush,
    /// A compaction.
    Compaction,
}

/// # Invariants
/// `tokens` is never above what a slice holds, and negative by what is owed, as of `at`.
#[derive(Debug, Default)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// Takes `bytes`; returns how long the taker has to wait.
    fn take(&mut self, bytes: u64, rate: u64, now: Duration) -> Duration {
        let rate = rate.max(1) as f64;
        let gathered = now.saturating_sub(self.at).as_secs_f64() * rate;
        self.at = self.at.max(now);
        self.tokens = (self.tokens + gathered).min(rate * SLICE.as_secs_f64()) - bytes as f64;
        Duration::try_from_secs_f64((-self.tokens / rate).max(0.0)).unwrap_or(Duration::MAX)
    }
}

/// Paces writes. Shared by all databases of a runtime.
#[derive(Debug)]
pub(crate) struct Limiter {
    /// Bytes per second; 0 for no limit.
    rate: AtomicU64,
    bucket: Mutex<Bucket>,
    /// Flushes that wait.
    flushes: Mutex<usize>,
    changed: Condvar,
}

impl Limiter {
    pub(super) fn new(rate: u64) -> Self {
        Self {
            rate: AtomicU64::new(rate),
            bucket: Mutex::default(),
            flushes: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn set_rate(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Waits until `bytes` may be written.
    pub(crate) fn acquire(&self, mut bytes: u64, purpose: Purpose) {
        while bytes > 0 {
            let rate = self.rate.load(Ordering::Relaxed);
            if rate == 0 {
                return;
            }
            let slice = (rate as f64 * SLICE.as_secs_f64()).max(4096.0) as u64;
            let part = bytes.min(slice);
            bytes -= part;
            self.acquire_part(part, rate, purpose);
        }
    }

    fn acquire_part(&self, bytes: u64, rate: u64, purpose: Purpose) {
        let mut flushes = self.flushes.lock();
        if purpose == Purpose::Compaction {
            for _ in 0..PATIENCE {
                if *flushes == 0 {
                    break;
                }
                self.changed.wait_for(&mut flushes, SLICE);
            }
        } else {
            *flushes += 1;
        }
        let wait = self.bucket.lock().take(bytes, rate, clock::now());
        let until = clock::now() + wait;
        while self.rate.load(Ordering::Relaxed) != 0 {
            let left = until.saturating_sub(clock::now());
            if left.is_zero() {
                break;
            }
            self.changed.wait_for(&mut flushes, left);
        }
        if purpose == Purpose::Flush {
            *flushes -= 1;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 1_000_000;

    #[test]
    fn what_is_taken_beyond_the_rate_is_waited_for() {
        let mut bucket = Bucket::default();
        let mut now = Duration::from_secs(5);
        let mut taken = 0;
        // A slice has gathered before the beginning.
        assert_eq!(bucket.take(10_000, RATE, now), Duration::ZERO);
        let start = now;
        while taken < RATE {
            now += bucket.take(10_000, RATE, now);
            taken += 10_000;
        }
        assert_eq!((now - start).as_millis(), 1000);
    }

    #[test]
    fn tokens_do_not_gather_beyond_a_slice() {
        let mut bucket = Bucket::default();
        bucket.take(0, RATE, Duration::from_secs(3600));
        assert_eq!(bucket.take(20_000, RATE, Duration::from_secs(7200)).as_millis(), 10);
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        Limiter::new(0).acquire(u64::MAX, Purpose::Compaction);
    }

    #[test]
    fn lifting_the_limit_ends_the_wait() {
        let limiter = Limiter::new(1);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| limiter.acquire(1 << 40, Purpose::Flush));
            while *limiter.flushes.lock() == 0 {
                std::thread::yield_now();
            }
            limiter.set_rate(0);
            waits.join().expect("the wait ends");
        });
    }
}
