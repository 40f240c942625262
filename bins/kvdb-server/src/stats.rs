//! What is counted, by each worker on its own lines, and summed when somebody asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use kvdb_commands::{CommandSpec, table};
use parking_lot::Mutex;

use crate::timing::CommandTimes;

/// Different error codes that are counted; a flood of made-up codes does not grow without a limit.
const MAX_ERROR_CODES: usize = 128;

/// Every command and subcommand with the name that INFO shows: `get`, `client|list`.
static NAMES: LazyLock<Vec<(String, &'static CommandSpec)>> = LazyLock::new(|| {
    let mut names: Vec<_> = table::all().map(|spec| (spec.name.to_string(), spec)).collect();
    for spec in table::all() {
        names.extend(spec.subcommands.iter().map(|sub| (format!("{}|{}", spec.name, sub.name), sub)));
    }
    names
});

static INDEX: LazyLock<HashMap<usize, usize>> = LazyLock::new(|| {
    NAMES.iter().enumerate().map(|(i, (_, spec))| (std::ptr::from_ref(*spec).addr(), i)).collect()
});

/// The name that INFO shows for a command by its index.
pub fn command_name(index: usize) -> &'static str {
    NAMES.get(index).map_or("unknown", |(name, _)| name)
}

/// The index of a command or subcommand; that of a command is its place in the table.
pub fn index_of(spec: &'static CommandSpec) -> usize {
    let index = INDEX.get(&std::ptr::from_ref(spec).addr());
    *index.expect("a command is a row of the table, of which there is one")
}

/// The number of commands and subcommands.
pub fn command_count() -> usize {
    NAMES.len()
}

/// What is known of one command.
#[derive(Debug, Default)]
pub struct CommandCounts {
    /// Times it ran.
    pub calls: AtomicU64,
    /// Nanoseconds it took.
    pub nanos: AtomicU64,
    /// Times it ended in an error.
    pub failed: AtomicU64,
    /// Times it was refused before it ran.
    pub rejected: AtomicU64,
}

/// The counters of one worker. Only the worker writes, so adding is a load and a store.
#[derive(Default)]
pub struct WorkerStats {
    commands: Box<[CommandCounts]>,
    /// How long the commands took.
    pub times: CommandTimes,
    /// Commands run.
    pub processed: AtomicU64,
    /// Lookups that found a key.
    pub hits: AtomicU64,
    /// Lookups that found none.
    pub misses: AtomicU64,
    /// Bytes received.
    pub net_in: AtomicU64,
    /// Bytes sent.
    pub net_out: AtomicU64,
    /// Receive calls that brought bytes.
    pub reads: AtomicU64,
    /// Send calls.
    pub writes: AtomicU64,
    /// Connections that the worker serves.
    pub connections: AtomicUsize,
    /// The system's number of the worker's thread; 0 before it has begun.
    pub task: AtomicI32,
    errors: Mutex<BTreeMap<String, u64>>,
}

#[inline]
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

impl WorkerStats {
    /// Counters at zero.
    pub fn new() -> Self {
        Self { commands: (0..command_count()).map(|_| CommandCounts::default()).collect(), ..Self::default() }
    }

    /// Counts a run that was timed on its own; `track` says whether its time is kept.
    pub fn timed(&self, index: usize, took: Duration, track: bool) {
        add(&self.commands[index].calls, 1);
        add(&self.commands[index].nanos, took.as_nanos() as u64);
        add(&self.processed, 1);
        if track {
            self.times.note(&[(index, 1)], took);
        }
    }

    /// Counts a run that failed.
    pub fn failed(&self, index: usize) {
        add(&self.commands[index].failed, 1);
    }

    /// Counts runs that failed, and commands that were refused before they ran.
    pub fn refused(&self, index: usize, failed: u64, rejected: u64) {
        add(&self.commands[index].failed, failed);
        add(&self.commands[index].rejected, rejected);
    }

    /// Counts a command that was refused before it ran.
    pub fn rejected(&self, index: usize) {
        add(&self.commands[index].rejected, 1);
    }

    /// Counts the commands of a turn and shares its time out among those that were not timed on their own; `track` says
    /// whether their times are kept.
    #[inline]
    pub fn turn(&self, calls: &[(usize, u64)], took: Duration, track: bool) {
        let commands: u64 = calls.iter().map(|(_, n)| n).sum();
        let Some(nanos) = (took.as_nanos() as u64).checked_div(commands) else { return };
        for &(index, n) in calls {
            add(&self.commands[index].calls, n);
            add(&self.commands[index].nanos, nanos * n);
        }
        add(&self.processed, commands);
        if track {
            self.times.note(calls, Duration::from_nanos(nanos));
        }
    }

    /// Counts lookups.
    #[inline]
    pub fn lookups(&self, hits: u64, misses: u64) {
        add(&self.hits, hits);
        add(&self.misses, misses);
    }

    /// Counts an error reply by its code.
    #[cold]
    pub fn error(&self, code: &str) {
        self.errors(code, 1);
    }

    /// Counts several error replies of one code.
    #[cold]
    pub fn errors(&self, code: &str, n: u64) {
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(code) {
            *count += n;
        } else if errors.len() < MAX_ERROR_CODES {
            errors.insert(code.chars().take(64).collect(), n);
        }
    }

    /// Counts received bytes.
    #[inline]
    pub fn received(&self, bytes: usize) {
        add(&self.net_in, bytes as u64);
        add(&self.reads, 1);
    }

    /// Counts sent bytes.
    #[inline]
    pub fn sent(&self, bytes: usize) {
        add(&self.net_out, bytes as u64);
        add(&self.writes, 1);
    }

    /// Sets everything but the number of connections to zero. Counts made at the same moment may survive.
    pub fn reset(&self) {
        for command in &self.commands {
            command.calls.store(0, Ordering::Relaxed);
            command.nanos.store(0, Ordering::Relaxed);
            command.failed.store(0, Ordering::Relaxed);
            command.rejected.store(0, Ordering::Relaxed);
        }
        for counter in [
            &self.processed,
            &self.hits,
            &self.misses,
            &self.net_in,
            &self.net_out,
            &self.reads,
            &self.writes,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        self.errors.lock().clear();
        self.times.reset();
    }
}

/// What is known of one command, summed over all workers.
#[derive(Debug, Default, Clone, Copy)]
pub struct CommandTotals {
    /// Times it ran.
    pub calls: u64,
    /// Nanoseconds it took.
    pub nanos: u64,
    /// Times it ended in an error.
    pub failed: u64,
    /// Times it was refused before it ran.
    pub rejected: u64,
}

/// The sum over all workers.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// What is known of each command, by its index.
    pub commands: Vec<CommandTotals>,
    /// Error replies by code.
    pub errors: BTreeMap<String, u64>,
    /// Commands run.
    pub processed: u64,
    /// Lookups that found a key.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Bytes received.
    pub net_in: u64,
    /// Bytes sent.
    pub net_out: u64,
    /// Receive calls.
    pub reads: u64,
    /// Send calls.
    pub writes: u64,
}

/// Sums the counters of all workers.
pub fn totals<'a>(workers: impl Iterator<Item = &'a WorkerStats>) -> Totals {
    let mut sum = Totals { commands: vec![CommandTotals::default(); command_count()], ..Totals::default() };
    for worker in workers {
        for (total, one) in sum.commands.iter_mut().zip(&worker.commands) {
            total.calls += one.calls.load(Ordering::Relaxed);
            total.nanos += one.nanos.load(Ordering::Relaxed);
            total.failed += one.failed.load(Ordering::Relaxed);
            total.rejected += one.rejected.load(Ordering::Relaxed);
        }
        for (code, count) in worker.errors.lock().iter() {
            *sum.errors.entry(code.clone()).or_default() += count;
        }
        sum.processed += worker.processed.load(Ordering::Relaxed);
        sum.hits += worker.hits.load(Ordering::Relaxed);
        sum.misses += worker.misses.load(Ordering::Relaxed);
        sum.net_in += worker.net_in.load(Ordering::Relaxed);
        sum.net_out += worker.net_out.load(Ordering::Relaxed);
        sum.reads += worker.reads.load(Ordering::Relaxed);
        sum.writes += worker.writes.load(Ordering::Relaxed);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_counted_under_its_name() {
        for (index, spec) in table::all().enumerate() {
            let (found, row) = table::find(spec.name.as_bytes()).expect("it is in the table");
            assert_eq!((found, index_of(row), command_name(index)), (index, index, spec.name));
        }
    }
}
