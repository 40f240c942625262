//! Operations and bytes a second, as INFO shows them: the mean of the last samples.
//!
//! The maintenance thread hands in the totals every tenth of a second; the rate between two calls is one sample, and the
//! mean over `SAMPLES` of them is what anybody is told. A short burst therefore shows for about a second and a half.

use parking_lot::Mutex;

/// Samples that the mean is over, as in Redis.
const SAMPLES: usize = 16;

/// What is sampled: operations, bytes received, bytes sent.
const METRICS: usize = 3;

#[derive(Default)]
struct Window {
    /// When the last sample was taken, and the totals then.
    last: Option<(u64, [u64; METRICS])>,
    /// A second's worth by each sample; zero until it was taken.
    rates: [[u64; METRICS]; SAMPLES],
    next: usize,
}

/// See the module's text. Nothing has been sampled at first, and all rates are 0.
///
/// # Invariants
///
/// * `next` is below `SAMPLES`.
#[derive(Default)]
pub struct Rates {
    window: Mutex<Window>,
}

impl Rates {
    /// Takes a sample: the totals of operations and bytes at a moment, in milliseconds since any fixed one.
    ///
    /// A total that is lower than before was reset; its sample is 0. A call at the moment of the last one is ignored.
    pub fn sample(&self, now_ms: u64, ops: u64, bytes_in: u64, bytes_out: u64) {
        let totals = [ops, bytes_in, bytes_out];
        let mut window = self.window.lock();
        let Some((at, before)) = window.last else {
            window.last = Some((now_ms, totals));
            return;
        };
        if now_ms <= at {
            // The clock may have been set back; the next sample then counts from here.
            window.last = Some((now_ms, if now_ms == at { before } else { totals }));
            return;
        }
        let next = window.next;
        for ((rate, total), before) in window.rates[next].iter_mut().zip(totals).zip(before) {
            *rate = total.saturating_sub(before).saturating_mul(1000) / (now_ms - at);
        }
        window.next = (next + 1) % SAMPLES;
        window.last = Some((now_ms, totals));
    }

    fn mean(&self, metric: usize) -> f64 {
        let window = self.window.lock();
        let sum: f64 = window.rates.iter().map(|rates| rates[metric] as f64).sum();
        sum / SAMPLES as f64
    }

    /// Commands a second.
    pub fn ops_per_second(&self) -> u64 {
        self.mean(0) as u64
    }

    /// KiB a second received.
    pub fn input_kbps(&self) -> f64 {
        self.mean(1) / 1024.0
    }

    /// KiB a second sent.
    pub fn output_kbps(&self) -> f64 {
        self.mean(2) / 1024.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_load_is_its_own_mean() {
        let rates = Rates::default();
        assert_eq!(rates.ops_per_second(), 0);
        for i in 0..=SAMPLES as u64 {
            rates.sample(1_000 + i * 100, i * 50, i * 1024, i * 2048);
        }
        assert_eq!(rates.ops_per_second(), 500);
        assert_eq!(rates.input_kbps(), 10.0);
        assert_eq!(rates.output_kbps(), 20.0);
    }

    #[test]
    fn a_burst_fades_out_after_as_many_samples_as_the_mean_is_over() {
        let rates = Rates::default();
        rates.sample(0, 0, 0, 0);
        rates.sample(100, 1600, 0, 0);
        for i in 2..=SAMPLES as u64 {
            rates.sample(i * 100, 1600, 0, 0);
            assert_eq!(rates.ops_per_second(), 1000);
        }
        rates.sample(1700, 1600, 0, 0);
        assert_eq!(rates.ops_per_second(), 0);
    }

    #[test]
    fn totals_that_were_reset_and_clocks_that_were_set_back_do_no_harm() {
        let rates = Rates::default();
        rates.sample(1000, 1_000_000, 0, 0);
        rates.sample(1100, 10, 0, 0);
        assert_eq!(rates.ops_per_second(), 0);
        rates.sample(1100, 20, 0, 0);
        rates.sample(500, 30, 0, 0);
        rates.sample(600, 190, 0, 0);
        assert_eq!(rates.ops_per_second(), 100);
    }
}
