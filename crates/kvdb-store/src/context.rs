//! What a run has beside its keys: the time and its manners, and buffers that it borrows.
//!
//! A run is a command under the latches of every key that it declared: [`ReadCx`](crate::ReadCx) shows objects,
//! [`WriteCx`](crate::WriteCx) changes them by effects. So a command is atomic for every observer. All declared keys are
//! resident before a handler runs (see [`crate::cold`]), so handlers never wait and never fail half-way.

use kvdb_lsm::batch::WriteBatch;

use crate::entry::ValueRef;
use crate::key::{Located, Place};
use crate::store::Store;

/// Buffers that a worker lends to every run, so that none allocates.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) batch: WriteBatch,
    pub(crate) changed: Vec<(u16, Place)>,
    /// Keys that a reader found past their deadline: they are deleted when the latches have been given back.
    pub dead: Vec<(u16, Vec<u8>)>,
    /// Lookups that found a key, since the owner last took the number.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
}

/// Limits on values that commands keep, and on what they reply with.
#[derive(Debug, Clone, Copy)]
pub struct ValueLimits {
    /// The longest string, in bytes (`proto-max-bulk-len`).
    pub max_string_bytes: usize,
    /// The longest sparse HyperLogLog, in bytes (`hll-sparse-max-bytes`).
    pub hll_sparse_max_bytes: usize,
    /// The longest reply of a command that only reads, in bytes (`client-output-buffer-limit`): a short request may ask
    /// for one value a million times.
    pub max_reply_bytes: usize,
}

impl Default for ValueLimits {
    fn default() -> Self {
        Self { max_string_bytes: 512 * 1024 * 1024, hll_sparse_max_bytes: 3000, max_reply_bytes: 1 << 30 }
    }
}

/// The time and the manners of a run.
#[derive(Debug, Clone, Copy)]
pub struct Env {
    /// Now, in Unix milliseconds; one run has one moment.
    pub now: u64,
    /// Random bits for this run.
    pub random: u64,
    /// Whether lookups count as use of a key (CLIENT NO-TOUCH turns it off).
    pub touch: bool,
    /// Limits on values.
    pub limits: ValueLimits,
    /// A key of the run whose place is known already.
    pub located: Option<Located>,
}

impl Env {
    /// The place of a key.
    #[inline]
    pub(crate) fn place(&self, store: &Store, key: &[u8]) -> Place {
        self.located.and_then(|located| located.place_of(key)).unwrap_or_else(|| store.place(key))
    }

    /// A run at a moment, with everything else as it usually is.
    pub fn at(now: u64) -> Self {
        Self { now, random: 0, touch: true, limits: ValueLimits::default(), located: None }
    }
}

/// The text of a value.
pub fn text_of(value: ValueRef<'_>) -> Vec<u8> {
    match value {
        ValueRef::Bytes(b) => b.to_vec(),
        ValueRef::Int(i) => i.to_string().into_bytes(),
    }
}
