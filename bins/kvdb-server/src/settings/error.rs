//! Why a configuration stops the start, in the words Redis' operators know.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::source::{Directive, Origin};
use super::values::Invalid;

/// The exit codes of a start that ends before it serves.
pub mod exit {
    /// All is well: `--help`, `--version`, `--print-config`, or `--check-config` found no error.
    pub const OK: u8 = 0;
    /// The configuration is wrong and the server did not start. Redis has the same code.
    pub const BAD_CONFIGURATION: u8 = 1;
    /// `--check-config` found an error: `EX_CONFIG` of sysexits.h.
    pub const CHECK_FAILED: u8 = 78;
}

/// An error in the configuration. Its text is for standard error, as it is.
#[derive(Debug)]
pub enum StartError {
    /// A line or an option is wrong.
    Directive {
        /// Where it stands.
        origin: Origin,
        /// The line, without secrets.
        shown: String,
        /// What is wrong with it.
        reason: Invalid,
        /// The known name nearest to an unknown one.
        nearest: Option<&'static str>,
    },
    /// A file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Standard input cannot be read.
    Stdin(io::Error),
    /// A file or standard input is not UTF-8.
    NotUtf8 {
        /// The first line that is not.
        origin: Origin,
    },
    /// An argument of the command line is not UTF-8.
    Argument(String),
    /// A variable of the environment is wrong.
    Variable {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: Invalid,
    },
    /// Two settings contradict each other.
    Conflict(String),
}

impl StartError {
    pub(super) fn directive(directive: &Directive, reason: Invalid) -> Self {
        Self::Directive {
            origin: directive.origin.clone(),
            shown: directive.shown.clone(),
            reason,
            nearest: None,
        }
    }
}

/// The first lines of every such error.
fn banner(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n*** FATAL CONFIG FILE ERROR (KVDB {}) ***", env!("CARGO_PKG_VERSION"))
}

/// The line that says where the error is.
fn place(origin: &Origin, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match origin {
        Origin::File { path, line } => {
            writeln!(f, "Reading the configuration file, at line {line}")?;
            writeln!(f, "In {}", path.display())
        }
        Origin::Stdin { line } => {
            writeln!(f, "Reading the configuration file, at line {line}")?;
            writeln!(f, "In standard input")
        }
        Origin::Environment(variable) => writeln!(f, "Reading the environment variable {variable}"),
        Origin::CommandLine | Origin::Default | Origin::Runtime => writeln!(f, "Reading the command line"),
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directive { origin, shown, reason, nearest } => {
                banner(f)?;
                place(origin, f)?;
                writeln!(f, ">>> '{shown}'")?;
                write!(f, "{reason}")?;
                match nearest {
                    Some(name) => write!(f, "\nDid you mean '{name}'?"),
                    None => Ok(()),
                }
            }
            Self::Unreadable { path, error } => {
                write!(f, "Fatal error, can't open config file '{}': {error}", path.display())
            }
            Self::Stdin(error) => {
                write!(f, "Fatal error, can't read the configuration from standard input: {error}")
            }
            Self::NotUtf8 { origin } => {
                banner(f)?;
                place(origin, f)?;
                f.write_str("The line is not UTF-8")
            }
            Self::Argument(shown) => {
                banner(f)?;
                write!(f, "Reading the command line\n>>> '{shown}'\nThe argument is not UTF-8")
            }
            Self::Variable { name, reason } => {
                banner(f)?;
                write!(f, "Reading the environment variable {name}\n{reason}")
            }
            Self::Conflict(text) => {
                banner(f)?;
                f.write_str(text)
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } | Self::Stdin(error) => Some(error),
            Self::Directive { reason, .. } | Self::Variable { reason, .. } => Some(reason),
            Self::NotUtf8 { .. } | Self::Argument(_) | Self::Conflict(_) => None,
        }
    }
}
