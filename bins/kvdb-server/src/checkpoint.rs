//! SAVE and BGSAVE: makes the tables complete up to now.
//!
//! Every acknowledged write is in the log already, so nothing has to be saved to be kept. What SAVE does here is to sync
//! the log and to write the memtable out as tables: afterwards the tables hold everything up to the call, the log before
//! it can go, and a start has next to nothing to replay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvdb_commands::CommandError;
use kvdb_lsm::Db;
use parking_lot::Mutex;
use tracing::{error, info};

use crate::clock::unix_millis;
use crate::node::Node;

const ALREADY_RUNNING: &str = "Background save already in progress";

/// What is known of the checkpoints since start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoints {
    /// When the one that is running began.
    pub running_since: Option<Instant>,
    /// When the last one that ended began, in Unix milliseconds.
    pub last_attempt_ms: Option<u64>,
    /// When the last one that succeeded ended, in Unix milliseconds.
    pub last_success_ms: Option<u64>,
    /// Whether the last one that ended failed.
    pub last_failed: bool,
    /// How long the last one that ended took.
    pub last_took: Option<Duration>,
    /// How many have succeeded.
    pub succeeded: u64,
}

#[derive(Default)]
struct Shared {
    running: AtomicBool,
    seen: Mutex<Checkpoints>,
}

/// The state of checkpoints, for INFO and LASTSAVE.
///
/// # Invariants
///
/// * At most one checkpoint runs; `running` is set exactly while a `Run` exists.
#[derive(Default)]
pub struct CheckpointState {
    shared: Arc<Shared>,
}

impl CheckpointState {
    /// What is known at this moment.
    pub fn seen(&self) -> Checkpoints {
        self.shared.seen.lock().clone()
    }

    /// When the tables were last made complete, in Unix milliseconds; the start of the server counts, since what it
    /// found was complete.
    pub fn last_success_ms(&self, started_ms: u64) -> u64 {
        self.shared.seen.lock().last_success_ms.unwrap_or(started_ms)
    }

    /// Claims the right to run a checkpoint, unless one is running.
    fn begin(&self) -> Option<Run> {
        if self.shared.running.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (began, began_ms) = (Instant::now(), unix_millis());
        self.shared.seen.lock().running_since = Some(began);
        Some(Run { shared: self.shared.clone(), began, began_ms, outcome: None })
    }
}

/// A checkpoint under way. However it ends, even by being dropped, the next one can begin.
struct Run {
    shared: Arc<Shared>,
    began: Instant,
    began_ms: u64,
    /// Whether it went well; `None` when it never ran to its end.
    outcome: Option<bool>,
}

impl Run {
    /// Does the work and notes how it went.
    fn run(mut self, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let result = work();
        self.outcome = Some(result.is_ok());
        result
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut seen = self.shared.seen.lock();
        seen.running_since = None;
        seen.last_attempt_ms = Some(self.began_ms);
        seen.last_took = Some(self.began.elapsed());
        seen.last_failed = self.outcome != Some(true);
        if self.outcome == Some(true) {
            seen.last_success_ms = Some(unix_millis());
            seen.succeeded += 1;
        }
        drop(seen);
        self.shared.running.store(false, Ordering::Release);
    }
}

/// Makes everything appended before the call durable, and part of the tables.
fn complete_tables(rows: &Db) -> Result<(), String> {
    let began = Instant::now();
    let result = rows
        .log()
        .sync()
        .map_err(|error| error.to_string())
        .and_then(|seq| rows.flush().map(|()| seq).map_err(|error| error.to_string()));
    match result {
        Ok(seq) => {
            info!(seq, took_ms = began.elapsed().as_millis() as u64, "the tables are complete");
            Ok(())
        }
        Err(why) => {
            error!(why, "the tables could not be completed; nothing is lost, the log has what is missing");
            Err(why)
        }
    }
}

/// SAVE: what is to be run on a thread that may wait for the disk. Fails at once where a checkpoint is running when the
/// job is.
pub fn job(node: &Node) -> Box<dyn FnOnce() -> Result<(), String> + Send> {
    let state = CheckpointState { shared: node.checkpoint.shared.clone() };
    let rows = node.rows.clone();
    Box::new(move || {
        let run = state.begin().ok_or_else(|| ALREADY_RUNNING.to_owned())?;
        run.run(|| complete_tables(&rows))
    })
}

/// BGSAVE: has the same done by the threads that may wait; how it went is in INFO and in the server's log.
///
/// # Errors
/// When a checkpoint is running.
pub fn in_background(node: &Node) -> Result<(), CommandError> {
    let run = node
        .checkpoint
        .begin()
        .ok_or_else(|| CommandError::fixed("ERR Background save already in progress"))?;
    let rows = node.rows.clone();
    node.store.io().submit(move || {
        // Told to the log by then, and to INFO.
        let _ = run.run(|| complete_tables(&rows));
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_lsm::Options;
    use kvdb_lsm::batch::WriteBatch;
    use kvdb_lsm::vfs::SimVfs;

    #[test]
    fn only_one_runs_at_a_time_and_how_it_went_is_remembered() {
        let state = CheckpointState::default();
        assert_eq!(state.last_success_ms(42), 42);
        let run = state.begin().expect("none is running");
        assert!(state.seen().running_since.is_some());
        assert!(state.begin().is_none());
        assert_eq!(run.run(|| Err("disk full".into())), Err("disk full".to_owned()));
        let failed = state.seen();
        assert!(failed.last_failed && failed.running_since.is_none() && failed.last_took.is_some());
        assert_eq!((failed.succeeded, failed.last_success_ms), (0, None));

        state.begin().expect("the first one has ended").run(|| Ok(())).expect("it does nothing");
        let done = state.seen();
        assert!(!done.last_failed);
        assert_eq!(done.succeeded, 1);
        assert!(state.last_success_ms(0) >= done.last_attempt_ms.expect("two have ended"));
    }

    #[test]
    fn one_that_is_dropped_unrun_has_failed_and_blocks_nobody() {
        let state = CheckpointState::default();
        drop(state.begin());
        assert!(state.seen().last_failed);
        assert!(state.begin().is_some());
    }

    #[test]
    fn afterwards_the_tables_have_everything() {
        let mut options = Options::new("/data");
        options.vfs = Arc::new(SimVfs::new());
        let rows = Db::open(options).expect("a simulated disk opens");
        let mut batch = WriteBatch::new();
        batch.put(b"apple", b"red");
        let seq = rows.append(&batch).expect("the log takes it");
        assert!(rows.stats().flushed_seq < seq);
        complete_tables(&rows).expect("the simulated disk does not fail");
        let stats = rows.stats();
        assert!(stats.flushed_seq >= seq && rows.log().durable() >= seq);
        assert_eq!(stats.tables.iter().sum::<usize>(), 1);
    }
}
