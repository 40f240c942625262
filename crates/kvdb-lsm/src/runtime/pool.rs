//! The threads that work for the databases of a runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::clock;
use super::schedule::{Kind, Next, Tasks, next};

/// The time after which failed work is tried again, and the retired is looked at again.
const RETRY: Duration = Duration::from_millis(200);

/// How a piece of work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is nothing more to do.
    Done,
    /// There may be more to do.
    More,
    /// It failed, and is to be tried again after a while.
    Failed,
}

/// What the threads do for a database.
pub(crate) trait Background: Send + Sync {
    /// Writes memtables out, if any is due. [`Outcome::More`] asks for a look at compactions.
    fn flush(&self) -> Outcome;

    /// Does one compaction, if any is due.
    fn compact(&self) -> Outcome;

    /// Lets go of what no reader uses any more. [`Outcome::More`] means that something is left.
    fn sweep(&self) -> Outcome;

    /// A thread panicked at the work.
    fn panicked(&self, work: &str);
}

struct Client {
    id: u64,
    database: Arc<dyn Background>,
    tasks: Tasks,
}

#[derive(Default)]
struct State {
    clients: Vec<Client>,
    next_id: u64,
    /// The place of the database that was served last.
    last: usize,
    stopping: bool,
}

/// # Invariants
/// A thread holds on to a database only while one of its tasks is running.
pub(crate) struct Pool {
    compactions: usize,
    state: Mutex<State>,
    changed: Condvar,
}

impl Pool {
    /// A pool of which so many threads may compact at once.
    pub(super) fn new(compactions: usize) -> Self {
        Self { compactions, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Adds a database; returns its number in the pool.
    pub(crate) fn attach(&self, database: Arc<dyn Background>) -> u64 {
        let mut state = self.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.clients.push(Client { id, database, tasks: Tasks::default() });
        id
    }

    /// Removes a database, when no thread works for it any more.
    pub(crate) fn detach(&self, id: u64) {
        let mut state = self.state.lock();
        while let Some(at) = state.clients.iter().position(|client| client.id == id) {
            if !state.clients[at].tasks.is_running() {
                state.clients.remove(at);
                return;
            }
            // Nothing new begins.
            state.clients[at].tasks.flush.wanted = false;
            state.clients[at].tasks.compaction.wanted = false;
            state.clients[at].tasks.sweep.wanted = false;
            self.changed.wait(&mut state);
        }
    }

    /// Asks for a look whether a database has to flush.
    pub(crate) fn request_flush(&self, id: u64) {
        self.request(id, Kind::Flush);
    }

    /// Asks for a look whether a database has to compact.
    pub(crate) fn request_compaction(&self, id: u64) {
        self.request(id, Kind::Compaction);
    }

    fn request(&self, id: u64, kind: Kind) {
        let mut state = self.state.lock();
        if let Some(client) = state.clients.iter_mut().find(|client| client.id == id) {
            client.tasks.task_mut(kind).wanted = true;
            // All, because those that wait for a time and those that wait to detach do so here too.
            self.changed.notify_all();
        }
    }

    /// Ends the threads.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }

    /// What a thread does until the pool is stopped.
    pub(super) fn run(&self) {
        let mut state = self.state.lock();
        while !state.stopping {
            let tasks: Vec<&Tasks> = state.clients.iter().map(|client| &client.tasks).collect();
            let now = clock::now();
            match next(&tasks, state.last, self.compactions, now) {
                Next::Run(at, kind) => {
                    state.last = at;
                    let client = &mut state.clients[at];
                    let task = client.tasks.task_mut(kind);
                    (task.wanted, task.running, task.not_before) = (false, true, None);
                    let (id, database) = (client.id, Arc::clone(&client.database));
                    drop(state);
                    let outcome = work(&*database, kind);
                    drop(database);
                    state = self.state.lock();
                    if let Some(client) = state.clients.iter_mut().find(|client| client.id == id) {
                        finish(&mut client.tasks, kind, outcome, clock::now());
                    }
                    self.changed.notify_all();
                }
                Next::Wait(None) => self.changed.wait(&mut state),
                Next::Wait(Some(time)) => {
                    self.changed.wait_for(&mut state, time.saturating_sub(now));
                }
            }
        }
    }
}

/// Works for a database; a panic ends its writing, not the thread.
fn work(database: &dyn Background, kind: Kind) -> Outcome {
    let (name, work): (_, fn(&dyn Background) -> Outcome) = match kind {
        Kind::Flush => ("flush", |database| database.flush()),
        Kind::Compaction => ("compaction", |database| database.compact()),
        Kind::Sweep => ("removal of old tables", |database| database.sweep()),
    };
    catch_unwind(AssertUnwindSafe(|| work(database))).unwrap_or_else(|_| {
        database.panicked(name);
        Outcome::Done
    })
}

/// Notes that a piece of work has ended, and what follows from it.
fn finish(tasks: &mut Tasks, kind: Kind, outcome: Outcome, now: Duration) {
    tasks.task_mut(kind).running = false;
    match (kind, outcome) {
        (_, Outcome::Failed) | (Kind::Sweep, Outcome::More) => {
            let task = tasks.task_mut(kind);
            (task.wanted, task.not_before) = (true, Some(now + RETRY));
        }
        (Kind::Flush | Kind::Compaction, Outcome::More) => tasks.compaction.wanted = true,
        (_, Outcome::Done) => {}
    }
    if kind != Kind::Sweep {
        // Work leaves something behind, whatever an earlier sweep has to wait for.
        (tasks.sweep.wanted, tasks.sweep.not_before) = (true, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A database whose flushes go as told.
    struct Fake {
        outcome: fn() -> Outcome,
        flushes: AtomicUsize,
        compactions: AtomicUsize,
        panics: AtomicUsize,
    }

    impl Fake {
        fn new(outcome: fn() -> Outcome) -> Arc<Self> {
            let count = || AtomicUsize::new(0);
            Arc::new(Self { outcome, flushes: count(), compactions: count(), panics: count() })
        }
    }

    impl Background for Fake {
        fn flush(&self) -> Outcome {
            self.flushes.fetch_add(1, Ordering::SeqCst);
            (self.outcome)()
        }

        fn compact(&self) -> Outcome {
            self.compactions.fetch_add(1, Ordering::SeqCst);
            Outcome::Done
        }

        fn sweep(&self) -> Outcome {
            Outcome::Done
        }

        fn panicked(&self, work: &str) {
            assert_eq!(work, "flush");
            self.panics.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn wait_for(what: impl Fn() -> bool) {
        while !what() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_failing_and_a_panicking_database_do_not_stop_the_others() {
        let pool = Pool::new(1);
        let failing = Fake::new(|| Outcome::Failed);
        let panicking = Fake::new(|| panic!("on purpose"));
        let sound = Fake::new(|| Outcome::More);
        let ids = [&failing, &panicking, &sound].map(|fake| pool.attach(Arc::clone(fake) as _));
        std::thread::scope(|scope| {
            scope.spawn(|| pool.run());
            for round in 1..=20 {
                ids.iter().for_each(|id| pool.request_flush(*id));
                wait_for(|| sound.flushes.load(Ordering::SeqCst) >= round);
            }
            wait_for(|| sound.compactions.load(Ordering::SeqCst) > 0);
            wait_for(|| panicking.panics.load(Ordering::SeqCst) > 0);
            // It is tried again without being asked.
            let tried = failing.flushes.load(Ordering::SeqCst);
            wait_for(|| failing.flushes.load(Ordering::SeqCst) > tried);
            ids.iter().for_each(|id| pool.detach(*id));
            pool.stop();
        });
        assert_eq!(Arc::strong_count(&failing), 1, "nobody holds on to a database that is detached");
    }

    #[test]
    fn what_follows_from_an_outcome() {
        let mut tasks = Tasks::default();
        finish(&mut tasks, Kind::Flush, Outcome::More, Duration::ZERO);
        assert!(tasks.compaction.wanted && !tasks.flush.wanted && tasks.sweep.wanted);
        let mut tasks = Tasks::default();
        finish(&mut tasks, Kind::Compaction, Outcome::Failed, Duration::ZERO);
        assert_eq!((tasks.compaction.wanted, tasks.compaction.not_before), (true, Some(RETRY)));
        let mut tasks = Tasks::default();
        finish(&mut tasks, Kind::Sweep, Outcome::Done, Duration::ZERO);
        assert_eq!(tasks, Tasks::default());
        finish(&mut tasks, Kind::Sweep, Outcome::More, Duration::ZERO);
        assert_eq!((tasks.sweep.wanted, tasks.sweep.not_before), (true, Some(RETRY)));
        finish(&mut tasks, Kind::Compaction, Outcome::Done, Duration::ZERO);
        assert_eq!((tasks.sweep.wanted, tasks.sweep.not_before), (true, None));
    }
}
