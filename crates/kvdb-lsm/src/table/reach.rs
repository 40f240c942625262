//! How far a lookup in a table goes, and what it comes to.

/// The answer of a lookup that must not touch the file.
#[derive(Debug)]
pub(crate) enum CacheOnly<R> {
    /// What the table knows about the key.
    Known(Option<R>),
    /// The block that would tell is not in memory.
    NeedIo,
}

/// The answer of a lookup that may read the file.
#[derive(Debug)]
pub(crate) struct Looked<R> {
    /// What the table knows about the key.
    pub(crate) found: Option<R>,
    /// Whether something had to be read from the file for it.
    pub(crate) has_read: bool,
}

/// Whether a block that had to be read stays in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    /// It does.
    Cache,
    /// It does not: compaction and verification would only push out what readers use.
    Bypass,
}

/// How far a lookup may go, and whether it went there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// To the file, and what becomes of a block that was read; `None` if only to what is in memory.
    file: Option<Fill>,
    /// Whether something was read from the file.
    pub(super) has_read: bool,
}

impl Reach {
    /// To what is in memory.
    pub(super) const fn cache() -> Self {
        Self { file: None, has_read: false }
    }

    /// To the file.
    pub(super) const fn file(fill: Fill) -> Self {
        Self { file: Some(fill), has_read: false }
    }

    /// Notes a read from the file, if that is within reach; returns what becomes of the block.
    pub(super) fn read(&mut self) -> Option<Fill> {
        self.has_read = self.file.is_some();
        self.file
    }
}
