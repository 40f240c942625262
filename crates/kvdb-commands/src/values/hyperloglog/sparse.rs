//! The sparse encoding: runs of equal registers, one or two bytes each.
//!
//! ```text
//! 00nnnnnn           n + 1 registers (1..=64) are zero
//! 01nnnnnn nnnnnnnn  n + 1 registers (1..=16384) are zero
//! 1vvvvvnn           n + 1 registers (1..=4) are v + 1 (1..=32)
//! ```
//!
//! Where a register changes, its run is split, and values that have become equal are joined again,
//! in the very steps of Redis: two servers that were given the same elements in the same order hold
//! the same bytes.

use super::{HllError, REGISTER_COUNT};
use std::fmt;

const SHORT_ZEROS: usize = 64;
const MAX_VALUE: u8 = 32;
const MAX_VALUES: usize = 4;
/// How many runs, from the one before a change on, are looked at to join values.
const JOIN_STEPS: usize = 5;

/// Registers that follow each other and have the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) value: u8,
    pub(super) length: usize,
    /// How many bytes encode the run.
    bytes: usize,
}

/// What [`raise`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raised {
    /// Nothing: the register was high enough.
    No,
    /// The register has the value now.
    Yes,
    /// Nothing: the value or the length is beyond this encoding.
    OutgrewTheEncoding,
}

/// As `PFDEBUG DECODE` writes it.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { value: 0, length, bytes: 1 } => write!(f, "z:{length}"),
            Self { value: 0, length, .. } => write!(f, "Z:{length}"),
            Self { value, length, .. } => write!(f, "v:{value},{length}"),
        }
    }
}

/// The first run; `None` at the end and for half a run.
fn first(runs: &[u8]) -> Option<Run> {
    match *runs {
        [byte, ..] if byte & 0x80 != 0 => {
            let value = ((byte >> 2) & 0x1f) + 1;
            Some(Run { value, length: usize::from(byte & 0x03) + 1, bytes: 1 })
        }
        [high, low, ..] if high & 0x40 != 0 => {
            let length = usize::from(u16::from_be_bytes([high & 0x3f, low])) + 1;
            Some(Run { value: 0, length, bytes: 2 })
        }
        [byte, ..] if byte & 0x40 == 0 => Some(Run { value: 0, length: usize::from(byte) + 1, bytes: 1 }),
        _ => None,
    }
}

/// All runs, which together are exactly the registers of a sketch.
pub(super) fn whole(runs: &[u8]) -> Result<impl Iterator<Item = Run>, HllError> {
    let mut end = 0;
    let mut registers = 0;
    for run in iterate(runs) {
        end += run.bytes;
        registers += run.length;
    }
    if end != runs.len() || registers != REGISTER_COUNT {
        return Err(HllError::Corrupted);
    }
    Ok(iterate(runs))
}

/// The runs in words, also where they are not those of a sketch. Half a run at the end counts as one with a zero byte
/// behind it, which is what Redis finds there.
pub(super) fn describe(runs: &[u8]) -> String {
    let end: usize = iterate(runs).map(|run| run.bytes).sum();
    let half = runs.get(end).and_then(|&high| first(&[high, 0]));
    let words: Vec<_> = iterate(runs).chain(half).map(|run| run.to_string()).collect();
    words.join(" ")
}

fn iterate(mut runs: &[u8]) -> impl Iterator<Item = Run> {
    std::iter::from_fn(move || {
        let run = first(runs)?;
        runs = &runs[run.bytes..];
        Some(run)
    })
}

/// Appends a run of zero registers, in its shorter form where there is one.
pub(super) fn push_zeros(runs: &mut Vec<u8>, length: usize) {
    match length {
        0 => {}
        1..=SHORT_ZEROS => runs.push((length - 1) as u8),
        _ => runs.extend_from_slice(&(0x4000 | (length - 1) as u16).to_be_bytes()),
    }
}

/// Appends a run of at most four registers of `value`.
fn push_values(runs: &mut Vec<u8>, value: u8, length: usize) {
    if length > 0 {
        runs.push(values(value, length));
    }
}

fn values(value: u8, length: usize) -> u8 {
    0x80 | ((value - 1) << 2) | (length - 1) as u8
}

/// Raises one register of the runs that begin at `start` of `sketch`, if it is lower than `value`,
/// unless they would have more than `max_bytes`.
pub(super) fn raise(
    sketch: &mut Vec<u8>,
    start: usize,
    register: usize,
    value: u8,
    max_bytes: usize,
) -> Result<Raised, HllError> {
    if value > MAX_VALUE {
        return Ok(Raised::OutgrewTheEncoding);
    }
    let runs = &sketch[start..];
    let mut before = 0; // where the run before this one begins
    let mut at = 0;
    let mut first_register = 0;
    let run = loop {
        let run = first(&runs[at..]).ok_or(HllError::Corrupted)?;
        if register < first_register + run.length {
            break run;
        }
        before = at;
        at += run.bytes;
        first_register += run.length;
    };
    if run.value >= value {
        return Ok(Raised::No);
    }
    let (left, right) = (register - first_register, first_register + run.length - 1 - register);
    let mut replacement = Vec::with_capacity(5);
    if run.value == 0 {
        push_zeros(&mut replacement, left);
        push_values(&mut replacement, value, 1);
        push_zeros(&mut replacement, right);
    } else {
        push_values(&mut replacement, run.value, left);
        push_values(&mut replacement, value, 1);
        push_values(&mut replacement, run.value, right);
    }
    let length = runs.len() - run.bytes + replacement.len();
    if replacement.len() > run.bytes && length > max_bytes {
        return Ok(Raised::OutgrewTheEncoding);
    }
    sketch.splice(start + at..start + at + run.bytes, replacement);
    join(sketch, start + before);
    Ok(Raised::Yes)
}

/// Joins neighbouring runs of the same value, in the few runs from `at` on.
fn join(sketch: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_STEPS {
        let Some(run) = first(&sketch[at..]) else {
            return;
        };
        if run.value != 0
            && let Some(next) = first(&sketch[at + 1..])
            && next.value == run.value
            && run.length + next.length <= MAX_VALUES
        {
            sketch[at + 1] = values(run.value, run.length + next.length);
            sketch.remove(at);
        } else {
            at += run.bytes;
        }
    }
}
