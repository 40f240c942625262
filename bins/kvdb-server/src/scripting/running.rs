//! Scripts that run: how others see that one takes long, and how they end it.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use kvdb_commands::{CommandError, errors};
use kvdb_resp::{Args, OwnedArgs};
use parking_lot::Mutex;

const NOT_BUSY: CommandError = CommandError::fixed("NOTBUSY No scripts in execution right now.");
const UNKILLABLE: CommandError = CommandError::fixed(
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
);

/// It runs and has not written.
const RUNS: u8 = 0;
/// It has called a command that writes, and is not to be ended any more: a half of what it does must not stay.
const WRITES: u8 = 1;
/// Somebody has ended it, and it is not to write any more.
const KILLED: u8 = 2;

/// One that runs, as others see it.
pub struct Run {
    began: Instant,
    is_function: bool,
    command: OnceLock<OwnedArgs>,
    /// [`RUNS`], [`WRITES`] or [`KILLED`].
    state: AtomicU8,
    /// Whether others are told that it is busy.
    is_busy: AtomicBool,
}

impl Run {
    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The command that runs it, once it is one that others are told of.
    pub fn command(&self) -> Option<&OwnedArgs> {
        self.command.get()
    }

    /// Whether it has called a command that writes.
    fn writes(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WRITES
    }

    /// Whether somebody has ended it.
    pub(super) fn is_killed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == KILLED
    }

    /// Has it write from now on, unless somebody has ended it; tells whether it may.
    fn begin_to_write(&self) -> bool {
        self.state.compare_exchange(RUNS, WRITES, Ordering::Relaxed, Ordering::Relaxed) != Err(KILLED)
    }

    /// Ends it, unless it has begun to write; tells whether it ends.
    fn kill(&self) -> bool {
        self.state.compare_exchange(RUNS, KILLED, Ordering::Relaxed, Ordering::Relaxed) != Err(WRITES)
    }

    /// Tells others that it is busy, and which command runs it; tells whether they did not know.
    pub(super) fn tell_busy(&self, command: Args<'_>) -> bool {
        self.command.get_or_init(|| OwnedArgs::from(command));
        !self.is_busy.swap(true, Ordering::Relaxed)
    }

    /// Whether it is a function.
    pub fn is_function(&self) -> bool {
        self.is_function
    }
}

/// Parts of those that run: workers have to do with different ones, so that none waits for another's.
const PARTS: usize = 16;

/// Those that run and that others see, at most one on each worker.
#[derive(Default)]
pub struct Running([Part; PARTS]);

/// Those that threads of some numbers run, on a cache line of their own.
#[derive(Default)]
#[repr(align(128))]
struct Part(Mutex<Vec<Arc<Run>>>);

/// Which part is this thread's.
fn own_part() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| number % PARTS)
}

/// Commands that one may call before others see it. Each may take as long as its reply is large.
const UNSEEN_COMMANDS: u32 = 4;

/// One that runs, for as long as this lives, as its own thread sees it. Others see it from when it is first asked whether
/// it goes on, or has called some commands: most have ended before, and cost nobody a lock or an allocation.
pub(super) struct Begun<'r> {
    running: &'r Running,
    began: Instant,
    is_function: bool,
    /// Whether it has called a command that writes, before others see it.
    writes: Cell<bool>,
    /// How many commands it has called.
    commands: Cell<u32>,
    /// As others see it, with the number of the part in which it is.
    shown: OnceCell<(usize, Arc<Run>)>,
}

impl Begun<'_> {
    /// How long it has run.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Notes that it calls a command, one that may take long or one that hardly does.
    pub(super) fn calls(&self, may_take_long: bool) {
        let commands = self.commands.get().saturating_add(1);
        self.commands.set(commands);
        if may_take_long || commands == UNSEEN_COMMANDS {
            self.show();
        }
    }

    /// Shows it to others.
    pub(super) fn show(&self) -> &Run {
        let (_, run) = self.shown.get_or_init(|| {
            let run = Arc::new(Run {
                began: self.began,
                is_function: self.is_function,
                command: OnceLock::new(),
                state: AtomicU8::new(if self.writes.get() { WRITES } else { RUNS }),
                is_busy: AtomicBool::new(false),
            });
            let part = own_part();
            self.running.0[part].0.lock().push(run.clone());
            (part, run)
        });
        run
    }

    /// Whether it has called a command that writes.
    pub(super) fn writes(&self) -> bool {
        self.shown.get().map_or_else(|| self.writes.get(), |(_, run)| run.writes())
    }

    /// Has it write from now on, unless somebody has ended it; tells whether it may.
    pub(super) fn begin_to_write(&self) -> bool {
        match self.shown.get() {
            Some((_, run)) => run.begin_to_write(),
            None => {
                self.writes.set(true);
                true
            }
        }
    }

    /// Whether others are told that it is busy.
    pub(super) fn is_busy(&self) -> bool {
        self.shown.get().is_some_and(|(_, run)| run.is_busy.load(Ordering::Relaxed))
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some((part, run)) = self.shown.take() {
            self.running.0[part].0.lock().retain(|other| !Arc::ptr_eq(other, &run));
        }
    }
}

impl Running {
    /// One that runs from now on.
    pub(super) fn begin(&self, is_function: bool) -> Begun<'_> {
        let (writes, commands, shown) = (Cell::new(false), Cell::new(0), OnceCell::new());
        Begun { running: self, began: Instant::now(), is_function, writes, commands, shown }
    }

    /// The one that has run the longest.
    pub fn longest(&self) -> Option<Arc<Run>> {
        let all = self.0.iter().flat_map(|part| part.0.lock().clone());
        all.min_by_key(|run| run.began)
    }

    /// Ends the one that has run the longest of those that have not written, if it is a function, or a script, as is wished.
    ///
    /// # Errors
    /// When there is none or only others, or each has written.
    pub fn kill(&self, function: bool) -> Result<(), CommandError> {
        let mut all: Vec<Arc<Run>> = self.0.iter().flat_map(|part| part.0.lock().clone()).collect();
        all.sort_by_key(|run| run.began);
        // Who asks has heard of one that is busy, if there is one: no other is to end for that.
        let some_are_busy = all.iter().any(|run| run.is_busy.load(Ordering::Relaxed));
        let meant = |run: &&Arc<Run>| run.is_busy.load(Ordering::Relaxed) == some_are_busy;
        if all.iter().filter(meant).any(|run| run.is_function == function && run.kill()) {
            return Ok(());
        }
        Err(match all.iter().filter(meant).find(|run| !run.writes()) {
            Some(_) if function => errors::BUSY_SCRIPT,
            Some(_) => errors::BUSY_FUNCTION,
            None if all.is_empty() => NOT_BUSY,
            None => UNKILLABLE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_seen_once_it_is_shown_and_until_it_has_ended() {
        let running = Running::default();
        let run = running.begin(false);
        assert!(running.longest().is_none() && running.kill(false) == Err(NOT_BUSY));
        run.show();
        assert!(running.longest().is_some_and(|run| !run.is_function()));
        assert!(running.kill(true) == Err(errors::BUSY_SCRIPT) && running.kill(false).is_ok());
        assert!(run.show().is_killed() && !run.begin_to_write() && !run.writes());
        drop(run);
        assert!(running.longest().is_none());
    }

    #[test]
    fn one_is_shown_that_calls_what_may_take_long_or_several_commands() {
        let running = Running::default();
        let run = running.begin(false);
        run.calls(true);
        assert!(running.longest().is_some());
        drop(run);
        let run = running.begin(false);
        for seen in [false, false, false, true, true] {
            run.calls(false);
            assert_eq!(running.longest().is_some(), seen);
        }
    }

    #[test]
    fn one_that_has_written_before_it_was_shown_is_not_ended() {
        let running = Running::default();
        let run = running.begin(true);
        assert!(run.begin_to_write() && run.writes());
        run.show();
        assert!(running.kill(true) == Err(UNKILLABLE));
        assert!(run.begin_to_write() && run.writes() && !run.show().is_killed());
    }
}
