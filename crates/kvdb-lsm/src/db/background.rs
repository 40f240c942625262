//! What a database does on the threads of its runtime, and how it asks for it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::core::Core;
use crate::compaction::Choice;
use crate::error::Error;
use crate::runtime::{Background, Outcome, Pool, pace, thread_time};

/// This many failures in a row, for another reason than space, end all writing.
const MAX_FAILURES: u32 = 3;

/// Where a database asks its runtime for work. A database without threads asks nobody.
#[derive(Default)]
pub(crate) struct Signals {
    pool: OnceLock<(Arc<Pool>, u64)>,
    closing: AtomicBool,
    resting: Mutex<()>,
    closed: Condvar,
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").field("closing", &self.closing).finish_non_exhaustive()
    }
}

impl Signals {
    /// Asks for a look whether the memtable must be flushed.
    pub(crate) fn request_flush(&self) {
        if let Some((pool, id)) = self.pool.get() {
            pool.request_flush(*id);
        }
    }

    /// Asks for a look whether something should be compacted.
    pub(crate) fn request_compaction(&self) {
        if let Some((pool, id)) = self.pool.get() {
            pool.request_compaction(*id);
        }
    }

    /// Whether there are threads that listen.
    pub(crate) fn has_threads(&self) -> bool {
        self.pool.get().is_some()
    }

    /// Whether the database is being closed, and long work should be given up.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Waits for `time`, or until the database is being closed.
    fn rest(&self, time: Duration) {
        let mut resting = self.resting.lock();
        if !self.is_closing() {
            self.closed.wait_for(&mut resting, time);
        }
    }
}

/// Has the threads of a pool work for a database.
pub(super) fn attach(core: &Arc<Core>, pool: &Arc<Pool>) {
    let database: Arc<dyn Background> = Arc::clone(core) as _;
    core.signals.pool.get_or_init(|| (Arc::clone(pool), pool.attach(database)));
    core.signals.request_flush();
    core.signals.request_compaction();
}

/// Ends that. A flush in progress is completed, a compaction is given up.
pub(super) fn detach(core: &Core) {
    {
        let _resting = core.signals.resting.lock();
        core.signals.closing.store(true, Ordering::Release);
    }
    core.signals.closed.notify_all();
    if let Some((pool, id)) = core.signals.pool.get() {
        pool.detach(*id);
    }
}

/// Failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Failures(AtomicU32);

impl Failures {
    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Counts a failure. A full disk may get room again; anything else that persists ends all
    /// writing.
    fn note(&self, core: &Core, error: &Error) -> Outcome {
        core.activity.failed();
        let is_space = match error {
            Error::Io { .. } => error.is_no_space(),
            Error::Corruption { .. } | Error::Poisoned(_) => false,
            // The log refuses for now.
            _ => true,
        };
        let before = self.0.load(Ordering::Relaxed);
        let failures = if is_space { 1 } else { before + 1 };
        self.0.store(failures, Ordering::Relaxed);
        if failures >= MAX_FAILURES || matches!(error, Error::Poisoned(_)) {
            core.stop(&error.to_string());
            return Outcome::Done;
        }
        Outcome::Failed
    }
}

impl Background for Core {
    fn flush(&self) -> Outcome {
        if self.stop_reason().is_some() {
            return Outcome::Done;
        }
        match self.flush_if_due() {
            Ok(flushed) => {
                self.flush_failures.clear();
                if flushed { Outcome::More } else { Outcome::Done }
            }
            Err(error) => self.flush_failures.note(self, &error),
        }
    }

    fn compact(&self) -> Outcome {
        if self.stop_reason().is_some() || self.signals.is_closing() {
            return Outcome::Done;
        }
        let damaged = self.damaged_tables();
        match self.compact_once() {
            Ok(worked) => {
                self.compaction_failures.clear();
                if worked { Outcome::More } else { Outcome::Done }
            }
            Err(_) if self.damaged_tables() > damaged => {
                // The inputs stay, and readers of the damaged block are told. The others are
                // compacted without that table.
                self.activity.failed();
                Outcome::More
            }
            Err(error) => self.compaction_failures.note(self, &error),
        }
    }

    fn sweep(&self) -> Outcome {
        Self::sweep(self);
        if self.has_retired() && self.stop_reason().is_none() { Outcome::More } else { Outcome::Done }
    }

    fn panicked(&self, work: &str) {
        // Without it the database would fill up and say only that it is behind.
        self.stop(&format!("a thread panicked during a {work}"));
    }
}

/// Keeps a compaction within the processor time that it may take.
pub(super) struct Pace<'a> {
    core: &'a Core,
    /// What is asked for is not held back, nor is work without threads.
    is_paced: bool,
    bytes: u64,
    worked: Duration,
    since: Duration,
}

impl<'a> Pace<'a> {
    pub(super) fn new(core: &'a Core, choice: &Choice) -> Self {
        let is_paced = core.signals.has_threads() && !choice.is_asked_for();
        let since = if is_paced { thread_time() } else { Duration::ZERO };
        Self { core, is_paced, bytes: 0, worked: Duration::ZERO, since }
    }

    /// Notes that `bytes` were merged, and rests if it is time. Returns whether to go on: not when
    /// the database is being closed, or has stopped.
    pub(super) fn go_on(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        if self.bytes < pace::CHECK_BYTES {
            return true;
        }
        self.bytes = 0;
        if self.is_paced {
            let now = thread_time();
            self.worked += now.saturating_sub(self.since);
            self.since = now;
            let rest = pace::rest(self.worked, self.core.cpu_share, self.core.urgency());
            if !rest.is_zero() {
                self.worked = Duration::ZERO;
                self.core.signals.rest(rest);
            }
        }
        !self.core.signals.is_closing() && self.core.stop_reason().is_none()
    }
}
