//! Registers laid out one to a byte, for unions, and the estimate of a cardinality.
//!
//! The estimator is the one of Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog
//! sketches" (2017): it needs the histogram of the register values alone, and neither a table of
//! corrections nor thresholds between several formulas.

use super::{Encoding, HEADER_BYTES, HllError, REGISTER_COUNT, VALUE_BITS, check, dense, sparse};

/// The registers of a sketch, or of the union of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    values: Box<[u8; REGISTER_COUNT]>,
}

impl Default for Registers {
    fn default() -> Self {
        Self { values: Box::new([0; REGISTER_COUNT]) }
    }
}

impl Registers {
    /// Takes the larger of each register and the sketch's.
    ///
    /// # Errors
    /// The string is not a sketch, or is corrupted.
    pub fn union(&mut self, sketch: &[u8]) -> Result<(), HllError> {
        let body = sketch.get(HEADER_BYTES..).unwrap_or(&[]);
        match check(sketch)? {
            Encoding::Dense => {
                for (mine, value) in self.values.iter_mut().zip(dense::values(body)) {
                    *mine = value.max(*mine);
                }
            }
            Encoding::Sparse => {
                let mut register = 0;
                for run in sparse::whole(body)? {
                    let end = register + run.length;
                    if run.value != 0 {
                        for mine in &mut self.values[register..end] {
                            *mine = run.value.max(*mine);
                        }
                    }
                    register = end;
                }
            }
        }
        Ok(())
    }

    /// The values, in order.
    #[must_use]
    pub fn values(&self) -> &[u8; REGISTER_COUNT] {
        &self.values
    }

    /// The cardinality that the registers tell.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        let mut histogram = Histogram::default();
        self.values.iter().for_each(|value| histogram.count(*value, 1));
        histogram.estimate()
    }
}

/// How many registers have each value.
pub(super) struct Histogram {
    counts: [u32; 64],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; 64] }
    }
}

impl Histogram {
    /// Counts `registers` more that have `value`, below 64.
    pub(super) fn count(&mut self, value: u8, registers: usize) {
        self.counts[usize::from(value)] += registers as u32;
    }

    /// The estimate, rounded to the nearest integer.
    pub(super) fn estimate(&self) -> u64 {
        // 1 / (2 ln 2), to the digits that Redis has.
        const ALPHA: f64 = 0.721_347_520_444_481_7;
        let registers = REGISTER_COUNT as f64;
        let count = |value: u32| f64::from(self.counts[value as usize]);
        let mut z = registers * tau((registers - count(VALUE_BITS + 1)) / registers);
        for value in (1..=VALUE_BITS).rev() {
            z = (z + count(value)) * 0.5;
        }
        z += registers * sigma(count(0) / registers);
        // Registers that no hash can produce make `z` zero; the cast saturates.
        (ALPHA * registers * registers / z).round() as u64
    }
}

/// The share of the registers at the largest value in the sum.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let mut weight = 1.0;
    let mut sum = 1.0 - x;
    loop {
        x = x.sqrt();
        weight *= 0.5;
        let previous = sum;
        sum -= (1.0 - x).powi(2) * weight;
        if sum == previous {
            return sum / 3.0;
        }
    }
}

/// The share of the registers at zero in the sum.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let mut weight = 1.0;
    let mut sum = x;
    loop {
        x *= x;
        let previous = sum;
        sum += x * weight;
        weight += weight;
        if sum == previous {
            return sum;
        }
    }
}
