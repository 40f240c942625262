//! What an operator should hear about a configuration that is valid all the same.

use std::fmt;

/// The reason for a warning: what the reader of the log would filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Concern {
    /// The server is reachable by more people than may be meant, or a secret is exposed.
    Security,
    /// A failure may lose acknowledged writes.
    Durability,
    /// A value has no effect because of another one.
    NoEffect,
    /// A directive of Redis that KVDB does not act on.
    Compatibility,
}

/// One warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its reason.
    pub concern: Concern,
    /// The setting, or the variable of the environment, that it is about.
    pub about: String,
    /// A sentence for the operator, which names the setting.
    pub text: String,
}

impl Warning {
    pub(super) fn new(concern: Concern, about: &str, text: impl Into<String>) -> Self {
        Self { concern, about: about.to_owned(), text: text.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
