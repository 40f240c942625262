//! The engines.

mod fjall;
mod kvdb;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;

use crate::engine::{Engine, Failure, Setup};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Kvdb,
    #[cfg(feature = "rocksdb")]
    Rocksdb,
    Fjall,
    Redb,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvdb => "kvdb",
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => "rocksdb",
            Self::Fjall => "fjall",
            Self::Redb => "redb",
        }
    }

    pub fn open(self, setup: &Setup) -> Result<Box<dyn Engine>, Failure> {
        Ok(match self {
            Self::Kvdb => Box::new(kvdb::Kvdb::open(setup)?),
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => Box::new(rocksdb::Rocks::open(setup)?),
            Self::Fjall => Box::new(fjall::Fjall::open(setup)?),
            Self::Redb => Box::new(redb::Redb::open(setup)?),
        })
    }
}

/// Waits until an engine that can only be asked has had nothing to do for half a second.
fn wait_until_idle(is_idle: impl Fn() -> bool) {
    const LOOK: std::time::Duration = std::time::Duration::from_millis(50);
    let mut quiet = 0;
    while quiet < 10 {
        std::thread::sleep(LOOK);
        quiet = if is_idle() { quiet + 1 } else { 0 };
    }
}
