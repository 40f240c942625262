//! HyperLogLog: counting distinct elements in 12 KiB, with a standard error of 0.81 %.
//!
//! A sketch is an ordinary string, so GET, SET and DUMP carry it between servers. Its bytes are
//! those of Redis: a header of 16 bytes, then 16384 registers.
//!
//! ```text
//! "HYLL"  encoding  0 0 0  cardinality (u64, little-endian; its highest bit set: stale)  registers
//! ```
//!
//! An element's 64-bit hash chooses a register by its low 14 bits; the register keeps the largest
//! position of the lowest set bit among the other 50 that it has seen. The registers are *dense*
//! (six bits each) or *sparse* (runs of equal registers, a few bytes while there are few elements).
//! A sparse sketch becomes dense when it outgrows a limit or a register passes 32, and never goes
//! back.
//!
//! Strings come from clients, who may write anything into them: nothing here trusts more than what
//! [`check`] has seen, and a run list that does not add up is [`HllError::Corrupted`].

mod dense;
mod hash;
mod registers;
mod sparse;

pub use registers::Registers;

use std::fmt;

/// How many registers a sketch has.
pub const REGISTER_COUNT: usize = 1 << INDEX_BITS;
/// The usual limit of the sparse encoding in bytes, with its header: `hll-sparse-max-bytes`.
pub const SPARSE_MAX_BYTES: usize = 3000;

/// How many bits of the hash choose the register.
const INDEX_BITS: u32 = 14;
/// How many bits of the hash are left for the register's value, which is at most one more.
const VALUE_BITS: u32 = 64 - INDEX_BITS;

const MAGIC: &[u8; 4] = b"HYLL";
const HEADER_BYTES: usize = 16;
const ENCODING_AT: usize = 4;
const CARDINALITY_AT: usize = 8;
/// Set in the last byte of the cardinality when it is stale.
const STALE: u8 = 0x80;

/// How the registers of a sketch are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Six bits for every register.
    Dense,
    /// Runs of equal registers.
    Sparse,
}

/// Why a string is no sketch. `Display` is the error reply, code first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HllError {
    /// The string has not the form of a sketch.
    NotASketch,
    /// The registers of a sparse sketch do not add up.
    Corrupted,
}

impl fmt::Display for HllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotASketch => "WRONGTYPE Key is not a valid HyperLogLog string value.",
            Self::Corrupted => "INVALIDOBJ Corrupted HLL object detected",
        })
    }
}

impl std::error::Error for HllError {}

impl Encoding {
    /// The name that `PFDEBUG ENCODING` replies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Sparse => "sparse",
        }
    }
}

/// A new sketch of nothing, sparse, whose cardinality is to be computed.
#[must_use]
pub fn empty() -> Vec<u8> {
    let mut sketch = header(Encoding::Sparse);
    sparse::push_zeros(&mut sketch, REGISTER_COUNT);
    set_stale(&mut sketch);
    sketch
}

/// Looks at the header and the length of a string, as every command on sketches does first.
///
/// # Errors
/// [`HllError::NotASketch`].
pub fn check(sketch: &[u8]) -> Result<Encoding, HllError> {
    if sketch.len() < HEADER_BYTES || !sketch.starts_with(MAGIC) {
        return Err(HllError::NotASketch);
    }
    match sketch[ENCODING_AT] {
        0 if sketch.len() == HEADER_BYTES + dense::BYTES => Ok(Encoding::Dense),
        1 => Ok(Encoding::Sparse),
        _ => Err(HllError::NotASketch),
    }
}

/// Adds an element; whether that changed a register. The string is unchanged where it did not, and
/// after an error. Where it did, the cardinality is stale.
///
/// A sparse sketch that would be longer than `sparse_max_bytes` becomes dense.
///
/// # Errors
/// The string is not a sketch, or its runs end before the element's register.
pub fn add(sketch: &mut Vec<u8>, element: &[u8], sparse_max_bytes: usize) -> Result<bool, HllError> {
    let (register, value) = hash::register_and_value(element);
    raise(sketch, register, value, sparse_max_bytes)
}

/// The cardinality that the header holds, unless it is stale.
///
/// # Errors
/// The string is not a sketch.
pub fn cached_cardinality(sketch: &[u8]) -> Result<Option<u64>, HllError> {
    check(sketch)?;
    let (stored, _) =
        sketch[CARDINALITY_AT..HEADER_BYTES].split_first_chunk().expect("the cardinality has eight bytes");
    let stored = u64::from_le_bytes(*stored);
    Ok((stored.leading_zeros() > 0).then_some(stored))
}

/// Computes the cardinality from the registers.
///
/// # Errors
/// The string is not a sketch, or is corrupted.
pub fn estimate(sketch: &[u8]) -> Result<u64, HllError> {
    let mut histogram = registers::Histogram::default();
    match check(sketch)? {
        Encoding::Dense => dense::values(&sketch[HEADER_BYTES..]).for_each(|value| histogram.count(value, 1)),
        Encoding::Sparse => {
            for run in sparse::whole(&sketch[HEADER_BYTES..])? {
                histogram.count(run.value, run.length);
            }
        }
    }
    Ok(histogram.estimate())
}

/// Puts a computed cardinality into the header, so that it is no longer stale.
///
/// # Errors
/// The string is not a sketch.
pub fn store_cardinality(sketch: &mut [u8], cardinality: u64) -> Result<(), HllError> {
    check(sketch)?;
    let cardinality = cardinality & (u64::MAX >> 1);
    sketch[CARDINALITY_AT..HEADER_BYTES].copy_from_slice(&cardinality.to_le_bytes());
    Ok(())
}

/// Raises the registers of `sketch` to those of `registers`, where they are lower, and marks its
/// cardinality stale. With `dense` the sketch becomes dense before.
///
/// This is the second half of PFMERGE: `registers` is the union of all sources, of which the
/// destination is one, and `dense` tells whether any of them was dense.
///
/// # Errors
/// The string is not a sketch, or is corrupted; some registers may have been raised already. A
/// string that went into the union before is neither.
pub fn merge(
    sketch: &mut Vec<u8>,
    registers: &Registers,
    dense: bool,
    sparse_max_bytes: usize,
) -> Result<(), HllError> {
    if dense {
        make_dense(sketch)?;
    }
    for (register, value) in registers.values().iter().enumerate() {
        if *value != 0 {
            raise(sketch, register, *value, sparse_max_bytes)?;
        }
    }
    check(sketch)?;
    set_stale(sketch);
    Ok(())
}

/// Makes a sketch dense; whether it was not before. The cardinality stays.
///
/// # Errors
/// The string is not a sketch, or is corrupted.
pub fn make_dense(sketch: &mut Vec<u8>) -> Result<bool, HllError> {
    if check(sketch)? == Encoding::Dense {
        return Ok(false);
    }
    let mut dense = sketch[..HEADER_BYTES].to_vec();
    dense[ENCODING_AT] = 0;
    dense.resize(HEADER_BYTES + dense::BYTES, 0);
    let mut register = 0;
    for run in sparse::whole(&sketch[HEADER_BYTES..])? {
        if run.value != 0 {
            for at in register..register + run.length {
                dense::put(&mut dense[HEADER_BYTES..], at, run.value);
            }
        }
        register += run.length;
    }
    *sketch = dense;
    Ok(true)
}

/// The runs of a sparse sketch as `PFDEBUG DECODE` replies them, or `None` for a dense one, which
/// stands for the error "HLL encoding is not sparse". Runs that are too many or too few are replied as well, so that one
/// sees what is wrong with them.
///
/// # Errors
/// The string is not a sketch.
pub fn describe_sparse(sketch: &[u8]) -> Result<Option<String>, HllError> {
    match check(sketch)? {
        Encoding::Dense => Ok(None),
        Encoding::Sparse => Ok(Some(sparse::describe(&sketch[HEADER_BYTES..]))),
    }
}

/// Raises one register to `value` if it is lower; whether it was.
fn raise(
    sketch: &mut Vec<u8>,
    register: usize,
    value: u8,
    sparse_max_bytes: usize,
) -> Result<bool, HllError> {
    if check(sketch)? == Encoding::Sparse {
        let room = sparse_max_bytes.saturating_sub(HEADER_BYTES);
        match sparse::raise(sketch, HEADER_BYTES, register, value, room)? {
            sparse::Raised::No => return Ok(false),
            sparse::Raised::Yes => {
                set_stale(sketch);
                return Ok(true);
            }
            sparse::Raised::OutgrewTheEncoding => {
                make_dense(sketch)?;
            }
        }
    }
    let registers = &mut sketch[HEADER_BYTES..];
    if dense::get(registers, register) >= value {
        return Ok(false);
    }
    dense::put(registers, register, value);
    set_stale(sketch);
    Ok(true)
}

fn header(encoding: Encoding) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.push(match encoding {
        Encoding::Dense => 0,
        Encoding::Sparse => 1,
    });
    header.resize(HEADER_BYTES, 0);
    header
}

fn set_stale(sketch: &mut [u8]) {
    sketch[HEADER_BYTES - 1] |= STALE;
}
