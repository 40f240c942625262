//! What a run has beside its keys: the time and its manners, and buffers that it borrows.
//!
//! A run is a command under the latches of every key that it declared: [`ReadCx`](crate::ReadCx) shows objects,
//! [`WriteCx`](crate::WriteCx) changes them by effects. So a command is atomic for every observer. All declared keys are
//! resident before a handler runs (see [`crate::cold`]), so handlers never wait and never fail half-way.

use kvdb_lsm::batch::WriteBatch;

use crate::entry::{Entry, ValueRef};
use crate::expiry::Dead;
use crate::key::{Located, Place};
use crate::news::Told;
use crate::store::Store;

/// Buffers that a worker lends to every run, so that none allocates.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) batch: WriteBatch,
    pub(crate) changed: Vec<Change>,
    /// The key of a row of a part of a value.
    pub(crate) row_key: Vec<u8>,
    /// What the keys of rows begin with that the run leaves to compactions.
    pub(crate) dead_parts: Vec<Vec<u8>>,
    /// Keys that a reader found past their deadline: they are deleted when the latches have been given back.
    pub dead: Vec<Dead>,
    /// Places of databases that runs have changed and for which somebody waits.
    pub ready: Vec<(u16, Place)>,
    /// What others are to be told when the run ends.
    pub(crate) told: Vec<Told>,
    /// Random numbers drawn so far.
    pub(crate) draws: u64,
    /// Lookups that found a key, since the owner last took the number.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
}

/// A key that a run has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) db: u16,
    pub(crate) place: Place,
    /// Whether it counts as unchanged for those who watch it or keep what they have read of it.
    pub(crate) quiet: bool,
}

/// What a key was before a change, as far as it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    pub(crate) deadline: Option<u64>,
    /// See [`Entry::fades`].
    pub(crate) fades: bool,
}

impl Before {
    #[inline]
    pub(crate) fn of(entry: &Entry) -> Self {
        Self { deadline: entry.deadline(), fades: entry.fades() }
    }
}

/// Limits on values that commands keep, and on what they reply with.
#[derive(Debug, Clone, Copy)]
pub struct ValueLimits {
    /// The longest string, in bytes (`proto-max-bulk-len`).
    pub max_string_bytes: usize,
    /// The longest sparse HyperLogLog, in bytes (`hll-sparse-max-bytes`).
    pub hll_sparse_max_bytes: usize,
    /// The longest reply, in bytes (`client-output-buffer-limit`): a short request may ask for one value a million times.
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
    /// The client that it is for; 0 where it is for none.
    pub client: u64,
    /// Whether the client keeps what it reads and is to be told when that changes.
    pub keeps: bool,
    /// Whether keys past their deadline stay, although they read as absent: nothing is to change while clients are paused.
    /// Only for a run that changes nothing.
    pub keeps_dead: bool,
    /// How often the command has asked for loads so far, this run being the one after.
    pub rounds: u8,
    /// Whether memory is used up, so that a script must not begin to write what makes it grow.
    pub is_full: bool,
    /// A key of the run whose place is known already.
    pub located: Option<Located>,
}

impl Env {
    /// The place of a key.
    #[inline]
    pub fn place(&self, store: &Store, key: &[u8]) -> Place {
        self.located.and_then(|located| located.place_of(key)).unwrap_or_else(|| store.place(key))
    }

    /// A run at a moment, with everything else as it usually is.
    pub fn at(now: u64) -> Self {
        let limits = ValueLimits::default();
        Self {
            now,
            random: 0,
            touch: true,
            limits,
            client: 0,
            keeps: false,
            keeps_dead: false,
            rounds: 0,
            is_full: false,
            located: None,
        }
    }
}

/// The text of a value.
pub fn text_of(value: ValueRef<'_>) -> Vec<u8> {
    match value {
        ValueRef::Bytes(b) => b.to_vec(),
        ValueRef::Int(i) => i.to_string().into_bytes(),
    }
}
