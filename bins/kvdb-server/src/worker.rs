//! What a worker owns: buffers that every connection of it borrows for a turn, and the numbers it counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvdb_commands::{CommandSpec, Session, table};
use kvdb_resp::Limits;
use kvdb_store::{Env, Scratch, ValueLimits};

use crate::clients::ClientInfo;
use crate::clock::unix_millis;
use crate::node::Node;
use crate::stats::WorkerStats;
use crate::window::Window;

/// Bytes that are received at a time.
pub const READ_BUFFER: usize = 64 * 1024;

/// The state of one worker thread. Connections never move between workers, so nothing here is shared.
pub struct Worker {
    /// The server.
    pub node: Arc<Node>,
    /// Where bytes are received; every connection uses it for as long as a turn takes.
    pub read_buffer: Box<[u8]>,
    /// Replies of the turn under way.
    pub out: Vec<u8>,
    /// Commands read ahead.
    pub window: Window,
    /// Buffers for runs.
    pub scratch: Scratch,
    /// What it counts; others read it.
    pub stats: Arc<WorkerStats>,
    /// Limits on requests, as the settings have them.
    pub limits: Limits,
    /// Whether every command is timed on its own.
    pub precise: bool,
    values: ValueLimits,
    random: u64,
    last: (&'static [u8], usize, &'static CommandSpec),
    settings_seen: u64,
    /// Commands of this turn that were not timed on their own: index and number, run by run.
    calls: Vec<(usize, u64)>,
    /// Time of this turn that went to commands which were.
    timed: Duration,
}

impl Worker {
    /// A worker; `seed` makes its random numbers its own.
    pub fn new(node: Arc<Node>, stats: Arc<WorkerStats>, seed: u64) -> Self {
        let (index, spec) = table::find(b"ping").expect("PING is in the table");
        let mut worker = Self {
            node,
            read_buffer: vec![0; READ_BUFFER].into(),
            out: Vec::with_capacity(READ_BUFFER),
            window: Window::default(),
            scratch: Scratch::default(),
            stats,
            limits: Limits::default(),
            precise: false,
            values: ValueLimits::default(),
            random: seed | 1,
            last: (spec.name.as_bytes(), index, spec),
            settings_seen: u64::MAX,
            calls: Vec::new(),
            timed: Duration::ZERO,
        };
        worker.refresh_settings();
        worker
    }

    /// Takes over the settings if they have changed.
    pub fn refresh_settings(&mut self) {
        let hot = &self.node.hot;
        let version = hot.version.load(Ordering::Acquire);
        if version == self.settings_seen {
            return;
        }
        self.settings_seen = version;
        let max_bulk = hot.max_bulk.load(Ordering::Relaxed);
        self.limits = Limits { max_bulk, ..Limits::default() };
        self.values = ValueLimits {
            max_string_bytes: max_bulk,
            hll_sparse_max_bytes: hot.hll_sparse_max_bytes.load(Ordering::Relaxed),
        };
        self.precise = hot.is_precise();
    }

    /// The moment, manners and limits of a turn.
    #[inline]
    pub fn env(&mut self, no_touch: bool) -> Env {
        self.refresh_settings();
        // xorshift64*: good enough for RANDOMKEY and sampling, never for secrets.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let random = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d);
        Env { now: unix_millis(), random, touch: !no_touch, limits: self.values, located: None }
    }

    /// The row of a command. Pipelines repeat their commands, so the last one is remembered.
    #[inline]
    pub fn lookup(&mut self, name: &[u8]) -> Option<(usize, &'static CommandSpec)> {
        if name.eq_ignore_ascii_case(self.last.0) {
            return Some((self.last.1, self.last.2));
        }
        let (index, spec) = table::find(name)?;
        self.last = (spec.name.as_bytes(), index, spec);
        Some((index, spec))
    }

    /// Counts a command that ran, with its own time where it was taken.
    #[inline]
    pub fn ran(&mut self, index: usize, spec: &CommandSpec, took: Option<Duration>) {
        if let Some(took) = took {
            self.stats.timed(index, took);
            self.node.latency.note(spec, took);
            self.timed += took;
            return;
        }
        match self.calls.last_mut() {
            Some((last, n)) if *last == index => *n += 1,
            _ => self.calls.push((index, 1)),
        }
    }

    /// Counts what a turn came to.
    #[inline]
    pub fn end_turn(&mut self, info: &ClientInfo, session: &Session, now: u64, took: Duration) {
        self.stats.turn(&self.calls, took.saturating_sub(std::mem::take(&mut self.timed)));
        let last = self.calls.last().map(|(index, _)| *index);
        self.calls.clear();
        self.stats.lookups(std::mem::take(&mut self.scratch.hits), std::mem::take(&mut self.scratch.misses));
        info.seen(session, now, last);
    }
}
