//! Planned I/O faults of the simulated file system.

use std::io;

/// What a faulty I/O call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The call fails with an I/O error. A failed sync also forgets the pages, as Linux does.
    Io,
    /// The call fails as on a full device.
    NoSpace,
    /// A read or write transfers only half of its bytes; any other call fails with an I/O error.
    Short,
}

impl FaultKind {
    /// The error of the call, for those that cannot be short.
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Io | Self::Short => io::Error::other("simulated I/O error"),
            Self::NoSpace => io::ErrorKind::StorageFull.into(),
        }
    }
}

/// Which of the coming I/O calls fail.
///
/// Calls are counted from 1 after the plan is set. Every call of [`Vfs`](super::Vfs) and
/// [`VfsFile`](super::VfsFile) that can fail counts, hints included; see
/// [`SimVfs::operations`](super::SimVfs::operations).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    /// The first call that fails.
    pub nth: u64,
    /// Whether all later calls fail too.
    pub from_then_on: bool,
    /// How it fails.
    pub kind: FaultKind,
}

impl FaultPlan {
    /// Only the `nth` call fails.
    #[must_use]
    pub const fn once(nth: u64, kind: FaultKind) -> Self {
        Self { nth, from_then_on: false, kind }
    }

    /// The `nth` call and all later ones fail.
    #[must_use]
    pub const fn from(nth: u64, kind: FaultKind) -> Self {
        Self { nth, from_then_on: true, kind }
    }

    /// Whether call number `call` fails.
    pub(super) const fn hits(&self, call: u64) -> bool {
        call == self.nth || (self.from_then_on && call > self.nth)
    }
}
