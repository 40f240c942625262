//! What a command on whole databases may touch.

use std::sync::Arc;

use kvdb_store::{Env, Store};

/// A run over databases: no latch is held for long, so it is not atomic, as SCAN and KEYS need not be.
pub struct KeyspaceCx<'r> {
    /// The keyspace.
    pub store: &'r Arc<Store>,
    /// The selected database.
    pub db: u16,
    /// Time, randomness and limits.
    pub env: Env,
    /// Whether this thread may wait for the disk. Where it may not, a handler answers NeedIo and is run again where it
    /// may.
    pub may_wait: bool,
}
