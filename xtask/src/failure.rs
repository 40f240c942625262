//! What a command returns when it cannot go on: one sentence for the person who ran it.

use std::fmt;

/// Why a command stopped. It deliberately is not a `std::error::Error`, so that `?` can turn any of those into it.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// What every command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// A failure about which everything has been said already.
    pub(crate) fn told() -> Self {
        Self(String::new())
    }

    pub(crate) fn is_told(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// `Err` with a formatted sentence.
macro_rules! fail {
    ($($part:tt)*) => { return Err($crate::failure::Failure::new(format!($($part)*))) };
}
pub(crate) use fail;

/// Says what was being done when something failed.
pub(crate) trait While<T> {
    /// Prefixes the failure with `doing()`.
    fn while_doing(self, doing: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Into<Failure>> While<T> for Result<T, E> {
    fn while_doing(self, doing: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{}: {}", doing(), error.into())))
    }
}
