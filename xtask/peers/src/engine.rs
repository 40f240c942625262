//! What every engine can do, in the smallest common form.

use std::fmt;
use std::path::PathBuf;

/// What a write has survived when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Durability {
    /// The end of the process: it was handed to the operating system.
    Process,
    /// The end of the machine: it was synced.
    Disk,
}

/// How an engine is opened.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where its files go.
    pub dir: PathBuf,
    /// The memory that it may use for data.
    pub budget_bytes: usize,
    /// When a write returns.
    pub durability: Durability,
}

/// An engine failed; there is nothing to do but to say so.
#[derive(Debug)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Turns any error into a [`Failure`].
pub fn failed(error: impl fmt::Display) -> Failure {
    Failure(error.to_string())
}

/// An open engine. Methods may be called from several threads at once.
pub trait Engine: Send + Sync {
    /// Sets a key.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure>;
    /// Sets many keys at once.
    fn put_all(&self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Failure>;
    /// Removes a key.
    fn delete(&self, key: &[u8]) -> Result<(), Failure>;
    /// The length of a key's value, which was copied out or at least touched.
    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure>;
    /// Reads up to `count` entries from `key` on; returns how many there were.
    fn scan(&self, key: &[u8], count: usize) -> Result<usize, Failure>;
    /// Writes what is in memory to tables, and waits until nothing is left to do in the background.
    fn settle(&self) -> Result<(), Failure>;
}
