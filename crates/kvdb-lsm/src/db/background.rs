//! The threads that flush and compact, and how they are woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::core::Core;
use crate::error::Error;

/// The time after which failed work is tried again, and the retired is looked at again.
const RETRY: Duration = Duration::from_millis(200);
/// This many failures in a row, for another reason than space, end all writing.
const MAX_FAILURES: u32 = 3;

#[derive(Debug, Default)]
struct Requests {
    flush: bool,
    compact: bool,
    stop: bool,
}

/// What the threads are asked to do.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    requests: Mutex<Requests>,
    changed: Condvar,
}

impl Signals {
    /// Asks for a look whether the memtable must be flushed.
    pub(crate) fn request_flush(&self) {
        self.requests.lock().flush = true;
        self.changed.notify_all();
    }

    /// Asks for a look whether a level is due.
    pub(crate) fn request_compaction(&self) {
        self.requests.lock().compact = true;
        self.changed.notify_all();
    }

    fn is_stopping(&self) -> bool {
        self.requests.lock().stop
    }

    fn stop(&self) {
        self.requests.lock().stop = true;
        self.changed.notify_all();
    }

    /// Waits until `take` finds a request, or for `timeout`. Returns false when it is time to end.
    fn wait(&self, timeout: Option<Duration>, mut take: impl FnMut(&mut Requests) -> bool) -> bool {
        let mut requests = self.requests.lock();
        loop {
            if requests.stop {
                return false;
            }
            if take(&mut requests) {
                return true;
            }
            match timeout {
                Some(timeout) => {
                    if self.changed.wait_for(&mut requests, timeout).timed_out() {
                        return !requests.stop;
                    }
                }
                None => self.changed.wait(&mut requests),
            }
        }
    }
}

/// The running threads.
#[derive(Debug)]
pub(super) struct Threads {
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn start(core: &Arc<Core>) -> Result<Self, Error> {
        let mut threads = Self { handles: Vec::new() };
        let flush: fn(&Core) = flush_loop;
        for (name, work) in [("kvdb-flush", flush), ("kvdb-compact", compact_loop)] {
            let shared = Arc::clone(core);
            let builder = std::thread::Builder::new().name(name.to_owned());
            let work = move || {
                // Without its thread the database would fill up and say only that it is behind.
                if catch_unwind(AssertUnwindSafe(|| work(&shared))).is_err() {
                    shared.stop(&format!("the thread {name} panicked"));
                }
            };
            match builder.spawn(work) {
                Ok(handle) => threads.handles.push(handle),
                Err(source) => {
                    threads.stop(core);
                    return Err(Error::io("start a thread for", &core.options.dir)(source));
                }
            }
        }
        Ok(threads)
    }

    /// Ends the threads; work in progress is completed.
    pub(super) fn stop(&mut self, core: &Core) {
        core.signals.stop();
        for handle in self.handles.drain(..) {
            // A panic of the thread was reported by the panic hook.
            let _ = handle.join();
        }
    }
}

fn flush_loop(core: &Core) {
    let mut failures = 0;
    loop {
        let again = failures > 0 || core.has_retired();
        let take = |requests: &mut Requests| std::mem::take(&mut requests.flush);
        if !core.signals.wait(again.then_some(RETRY), take) {
            return;
        }
        if core.stop_reason().is_none() {
            match core.flush_if_due() {
                Ok(flushed) => {
                    failures = 0;
                    if flushed {
                        core.signals.request_compaction();
                    }
                }
                Err(error) => note_failure(core, &error, &mut failures),
            }
        }
        core.sweep();
    }
}

fn compact_loop(core: &Core) {
    let mut failures = 0;
    loop {
        let take = |requests: &mut Requests| std::mem::take(&mut requests.compact);
        if !core.signals.wait((failures > 0).then_some(RETRY), take) {
            return;
        }
        while core.stop_reason().is_none() && !core.signals.is_stopping() {
            let damaged = core.damaged_tables();
            match core.compact_once() {
                Ok(true) => {
                    failures = 0;
                    core.sweep();
                }
                Ok(false) => {
                    failures = 0;
                    break;
                }
                Err(_) if core.damaged_tables() > damaged => {
                    // The inputs stay, and readers of the damaged block are told. The others are
                    // compacted without that table.
                    core.activity.failed();
                }
                Err(error) => {
                    note_failure(core, &error, &mut failures);
                    break;
                }
            }
        }
    }
}

/// Counts a failure. A full disk may get room again; anything else that persists ends all writing.
fn note_failure(core: &Core, error: &Error, failures: &mut u32) {
    core.activity.failed();
    let is_space = match error {
        Error::Io { source, .. } => {
            source.kind() == std::io::ErrorKind::StorageFull
                || source.kind() == std::io::ErrorKind::QuotaExceeded
        }
        Error::Corruption { .. } | Error::Poisoned(_) => false,
        // The log refuses for now.
        _ => true,
    };
    *failures = if is_space { 1 } else { *failures + 1 };
    if *failures >= MAX_FAILURES || matches!(error, Error::Poisoned(_)) {
        core.stop(&error.to_string());
    }
}
