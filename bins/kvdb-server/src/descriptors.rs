//! File descriptors: as many as the system lets the process have, and some that clients never get.
//!
//! A server that has given its last descriptor to a client cannot open a table any more, and then fails those whom it
//! has. So clients get part of what there is, whatever `maxclients` says.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Descriptors that are kept for files: a quarter of all, within these bounds.
const FEWEST_FOR_FILES: u64 = 64;
const MOST_FOR_FILES: u64 = 4096;

/// What the process may open, once the limit has been raised.
static LIMIT: OnceLock<u64> = OnceLock::new();

/// How many clients there can be, whatever the settings allow. The first call raises the process' own limit as far as it
/// may go.
pub fn room_for_clients() -> usize {
    let limit = *LIMIT.get_or_init(raise);
    usize::try_from(limit - for_files(limit)).unwrap_or(usize::MAX)
}

/// Says so when clients cannot become as many as the settings allow.
pub fn warn_if_short(maxclients: usize) {
    let room = room_for_clients();
    if room < maxclients {
        warn!(
            maxclients,
            room, "the limit on open files (ulimit -n) leaves room for fewer clients than maxclients"
        );
    }
}

fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let reached = if setrlimit(Resource::Nofile, all).is_ok() { limit.maximum } else { limit.current };
    reached.unwrap_or(u64::MAX)
}

fn for_files(limit: u64) -> u64 {
    (limit / 4).clamp(FEWEST_FOR_FILES, MOST_FOR_FILES).min(limit)
}

#[cfg(test)]
mod tests {
    use super::for_files;

    #[test]
    fn files_get_their_share() {
        assert_eq!(for_files(1 << 20), 4096);
        assert_eq!(for_files(1024), 256);
        assert_eq!(for_files(100), 64);
        assert_eq!(for_files(10), 10);
    }
}
