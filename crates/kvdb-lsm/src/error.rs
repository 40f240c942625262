//! What can go wrong, by what the caller must do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A failed operation of the engine.
#[derive(Debug)]
pub enum Error {
    /// The file system refused an operation. Nothing was lost; the caller may try again later or
    /// report it.
    Io {
        /// What was being done, as a verb: "open", "sync".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Stored data is not what was written. The store must not be used until an operator decides.
    Corruption {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// A sync or a metadata write failed earlier, so the state on disk is unknown: nothing later
    /// can be acknowledged. Restarting is the only way to go on.
    Poisoned(String),
    /// The caller asked for something that cannot be: options that contradict each other, a
    /// directory that is in use by another process.
    Invalid(String),
    /// The caller ended a long operation through its progress callback. What was begun is undone
    /// or is harmless, as the operation says.
    Canceled,
}

/// How bad an error is, by what helps against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The operation failed and nothing else did: it can be tried again, or asked differently.
    Soft,
    /// Part of the data cannot be read, or there is no space. What is not concerned goes on.
    Hard,
    /// Nothing can be written until the database is opened anew.
    Fatal,
}

impl Error {
    /// How bad the error is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Invalid(_) | Self::Canceled => Severity::Soft,
            Self::Io { .. } if self.is_no_space() => Severity::Hard,
            Self::Io { .. } => Severity::Soft,
            Self::Corruption { .. } => Severity::Hard,
            Self::Poisoned(_) => Severity::Fatal,
        }
    }

    /// Whether the disk has no space for it.
    pub(crate) fn is_no_space(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    /// An [`Error::Io`], for `map_err`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// An [`Error::Corruption`].
    pub fn corruption(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corruption { file: file.to_owned(), offset, what: what.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            Self::Corruption { file, offset, what } => {
                write!(f, "{} is corrupt at offset {offset}: {what}", file.display())
            }
            Self::Poisoned(why) => {
                write!(f, "the store stopped after a failed write to the disk: {why}")
            }
            Self::Invalid(why) => f.write_str(why),
            Self::Canceled => f.write_str("the operation was canceled"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
