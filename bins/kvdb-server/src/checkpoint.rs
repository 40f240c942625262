//! SAVE, BGSAVE and BGREWRITEAOF: make the tables complete up to now.
//!
//! Every acknowledged write is in the log already, so nothing has to be saved to be kept. What SAVE does here is to sync
//! the log and to write the memtable out as tables: afterwards the tables hold everything up to the call, the log before
//! it can go, and a start has next to nothing to replay. A rewrite of the log is the same thing under another name; like
//! Redis, the server does not run both at a time, but the second one behind the first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvdb_commands::server::{Begun, CheckpointKind};
use kvdb_lsm::Db;
use kvdb_store::Store;
use parking_lot::Mutex;
use tracing::{error, info};

use crate::clock::unix_millis;
use crate::node::Node;

const ALREADY_RUNNING: &str = "Background save already in progress";

/// What is known of the checkpoints since start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoints {
    /// What the one that is running was asked for as, and when it began.
    pub running: Option<(CheckpointKind, Instant)>,
    /// Those that begin when it has ended.
    pub scheduled: Scheduled,
    /// When the last one that ended began, in Unix milliseconds.
    pub last_attempt_ms: Option<u64>,
    /// When the last one that succeeded ended, in Unix milliseconds.
    pub last_success_ms: Option<u64>,
    /// Whether the last one that ended failed.
    pub last_failed: bool,
    /// How long the last one that ended took.
    pub last_took: Option<Duration>,
    /// How many have succeeded as saves.
    pub saves: u64,
    /// How many have succeeded as rewrites of the log.
    pub rewrites: u64,
}

/// Checkpoints that wait for another one to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduled {
    /// A save.
    pub save: bool,
    /// A rewrite of the log.
    pub rewrite: bool,
}

impl Scheduled {
    fn take(&mut self) -> Option<CheckpointKind> {
        if std::mem::take(&mut self.rewrite) {
            return Some(CheckpointKind::Rewrite);
        }
        std::mem::take(&mut self.save).then_some(CheckpointKind::Save)
    }
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Checkpoints>,
}

/// The state of checkpoints, for INFO and LASTSAVE.
///
/// # Invariants
///
/// * At most one checkpoint runs; `running` is set exactly while a `Run` exists.
/// * Something is scheduled only while one runs: whoever ends it begins what is.
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
    fn begin(&self, kind: CheckpointKind) -> Option<Run> {
        let mut seen = self.shared.seen.lock();
        if seen.running.is_some() {
            return None;
        }
        let began = Instant::now();
        seen.running = Some((kind, began));
        Some(Run { shared: self.shared.clone(), kind, began, began_ms: unix_millis(), outcome: None })
    }

    /// Has a checkpoint begin when the one that is running ends, if that is one of another kind.
    fn schedule(&self, kind: CheckpointKind, may_wait: bool) -> Option<Begun> {
        let mut seen = self.shared.seen.lock();
        let (running, _) = seen.running?;
        if running == kind {
            return Some(Begun::AlreadyRuns);
        }
        if !may_wait {
            return Some(Begun::OtherRuns);
        }
        match kind {
            CheckpointKind::Save => seen.scheduled.save = true,
            CheckpointKind::Rewrite => seen.scheduled.rewrite = true,
        }
        Some(Begun::Scheduled)
    }
}

/// A checkpoint under way. However it ends, even by being dropped, the next one can begin.
struct Run {
    shared: Arc<Shared>,
    kind: CheckpointKind,
    began: Instant,
    began_ms: u64,
    /// Whether it went well; `None` when it never ran to its end.
    outcome: Option<bool>,
}

impl Run {
    /// Does the work and notes how it went. Behind it comes what was scheduled meanwhile.
    fn run(mut self, work: impl FnOnce() -> Result<(), String>) -> (Result<(), String>, Option<Self>) {
        let result = work();
        self.outcome = Some(result.is_ok());
        (result, self.end())
    }

    /// Notes the end, and claims the right to run what was scheduled.
    fn end(&self) -> Option<Self> {
        let mut seen = self.shared.seen.lock();
        // Once only: it may be dropped behind this.
        seen.running.take_if(|(kind, began)| (*kind, *began) == (self.kind, self.began))?;
        seen.last_attempt_ms = Some(self.began_ms);
        seen.last_took = Some(self.began.elapsed());
        seen.last_failed = self.outcome != Some(true);
        if self.outcome == Some(true) {
            seen.last_success_ms = Some(unix_millis());
            match self.kind {
                CheckpointKind::Save => seen.saves += 1,
                CheckpointKind::Rewrite => seen.rewrites += 1,
            }
        }
        let kind = seen.scheduled.take()?;
        let began = Instant::now();
        seen.running = Some((kind, began));
        Some(Self { shared: self.shared.clone(), kind, began, began_ms: unix_millis(), outcome: None })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // What was scheduled behind one that was dropped unrun will not run either.
        drop(self.end());
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
    let (rows, store) = (node.rows.clone(), node.store.clone());
    Box::new(move || {
        let run = state.begin(CheckpointKind::Save).ok_or_else(|| ALREADY_RUNNING.to_owned())?;
        let (result, next) = run.run(|| complete_tables(&rows));
        if let Some(next) = next {
            submit(next, rows, &store);
        }
        result
    })
}

/// BGSAVE and BGREWRITEAOF: have the same done by the threads that may wait; how it went is in INFO and in the server's
/// log. `may_wait` lets it begin later where a checkpoint of the other kind is running.
pub fn in_background(node: &Node, kind: CheckpointKind, may_wait: bool) -> Begun {
    loop {
        if let Some(run) = node.checkpoint.begin(kind) {
            submit(run, node.rows.clone(), &node.store);
            return Begun::Started;
        }
        // The one that was running may just have ended.
        if let Some(begun) = node.checkpoint.schedule(kind, may_wait) {
            return begun;
        }
    }
}

/// Has a thread that may wait run a checkpoint and what is scheduled behind it.
fn submit(run: Run, rows: Arc<Db>, store: &Store) {
    store.io().submit(move || {
        let mut run = Some(run);
        while let Some(this) = run {
            // How it went is told to the log by then, and to INFO.
            run = this.run(|| complete_tables(&rows)).1;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_lsm::Options;
    use kvdb_lsm::batch::WriteBatch;
    use kvdb_lsm::vfs::SimVfs;

    use CheckpointKind::{Rewrite, Save};

    #[test]
    fn only_one_runs_at_a_time_and_how_it_went_is_remembered() {
        let state = CheckpointState::default();
        assert_eq!(state.last_success_ms(42), 42);
        let run = state.begin(Save).expect("none is running");
        assert!(state.seen().running.is_some());
        assert!(state.begin(Rewrite).is_none());
        let (result, next) = run.run(|| Err("disk full".into()));
        assert_eq!(result, Err("disk full".to_owned()));
        assert!(next.is_none());
        let failed = state.seen();
        assert!(failed.last_failed && failed.running.is_none() && failed.last_took.is_some());
        assert_eq!((failed.saves, failed.last_success_ms), (0, None));

        state.begin(Save).expect("the first one has ended").run(|| Ok(())).0.expect("it does nothing");
        let done = state.seen();
        assert!(!done.last_failed);
        assert_eq!((done.saves, done.rewrites), (1, 0));
        assert!(state.last_success_ms(0) >= done.last_attempt_ms.expect("two have ended"));
    }

    #[test]
    fn one_of_the_other_kind_is_scheduled_behind_the_one_that_runs() {
        let state = CheckpointState::default();
        assert_eq!(state.schedule(Save, true), None, "nothing runs that it could wait for");
        let run = state.begin(Save).expect("none is running");
        assert_eq!(state.schedule(Save, true), Some(Begun::AlreadyRuns));
        assert_eq!(state.schedule(Rewrite, false), Some(Begun::OtherRuns));
        assert_eq!(state.schedule(Rewrite, true), Some(Begun::Scheduled));
        assert!(state.seen().scheduled.rewrite);
        let (_, next) = run.run(|| Ok(()));
        let next = next.expect("the rewrite is next");
        let seen = state.seen();
        assert_eq!(seen.running.map(|(kind, _)| kind), Some(Rewrite));
        assert_eq!(seen.scheduled, Scheduled::default());
        assert!(next.run(|| Ok(())).1.is_none());
        assert_eq!((state.seen().saves, state.seen().rewrites), (1, 1));
    }

    #[test]
    fn one_that_is_dropped_unrun_has_failed_and_blocks_nobody() {
        let state = CheckpointState::default();
        drop(state.begin(Save));
        assert!(state.seen().last_failed);
        let run = state.begin(Save);
        assert!(run.is_some());
        assert_eq!(state.schedule(Rewrite, true), Some(Begun::Scheduled));
        drop(run);
        assert_eq!((state.seen().running, state.seen().scheduled), (None, Scheduled::default()));
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
