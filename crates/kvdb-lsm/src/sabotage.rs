//! Bugs built in on purpose, to see that the tests notice them.
//!
//! They exist in builds with `--cfg kvdb_broken` alone; there the environment variable `KVDB_BREAK`
//! names the one that is active. `cargo xtask broken` goes through them.

/// A bug that a test must catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(kvdb_broken), allow(dead_code, reason = "without the bugs nobody asks for their names"))]
pub(crate) enum Bug {
    /// A compaction drops tombstones although older versions lie deeper.
    EarlyTombstone,
    /// Recovery takes the end of the log for torn too early.
    DroppedTail,
    /// A view sees what is written after it was made.
    LeakyView,
    /// A merge that turns around moves only the source it stands on.
    CarelessTurn,
    /// Closing the gate does not wait for the appends inside.
    OpenGate,
    /// Tables refer to blob files that are not synced.
    UnsyncedBlob,
    /// The description of a table does not say to which blob files it refers.
    LostReferences,
    /// The new version replaces the state without the memtable that was frozen meanwhile.
    LostFreeze,
    /// A sync calls durable what was written while it ran.
    EarlyDurable,
    /// The log's thread can be woken between its last look and its sleep, and not notice.
    LostWake,
}

/// Whether the build has this bug.
#[cfg(not(kvdb_broken))]
#[inline(always)]
pub(crate) const fn has(_: Bug) -> bool {
    false
}

/// Whether the build has this bug.
#[cfg(kvdb_broken)]
pub(crate) fn has(bug: Bug) -> bool {
    static ACTIVE: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let active = ACTIVE.get_or_init(|| std::env::var("KVDB_BREAK").ok());
    let name = match bug {
        Bug::EarlyTombstone => "early-tombstone",
        Bug::DroppedTail => "dropped-tail",
        Bug::LeakyView => "leaky-view",
        Bug::CarelessTurn => "careless-turn",
        Bug::OpenGate => "open-gate",
        Bug::UnsyncedBlob => "unsynced-blob",
        Bug::LostReferences => "lost-references",
        Bug::LostFreeze => "lost-freeze",
        Bug::EarlyDurable => "early-durable",
        Bug::LostWake => "lost-wake",
    };
    active.as_deref() == Some(name)
}
