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
use crate::scripting::{Aftermath, Lent};
use crate::stats::{WorkerStats, index_of};
use crate::turn::Running;
use crate::window::Window;

/// Bytes that are received at a time.
pub const READ_BUFFER: usize = 64 * 1024;

/// The state of one worker thread. Nothing here is shared: what a connection keeps is its own and moves with it.
pub struct Worker {
    /// The server.
    pub node: Arc<Node>,
    /// Which worker this is.
    pub index: usize,
    /// Connections that have followed a change of the number of workers here.
    followed: usize,
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
    /// Whether its turns run inside a command of another one, which may hold latches: whatever needs a key is refused as
    /// while a script is busy, even where that script has ended meanwhile.
    pub is_inside: bool,
    /// Whether keys are deleted, or commands refused, where there is no room.
    pub is_cache: bool,
    /// Whether the times of commands are kept.
    tracking: bool,
    values: ValueLimits,
    random: u64,
    last: (&'static [u8], usize, &'static CommandSpec),
    settings_seen: u64,
    /// Commands of this turn that were not timed on their own: index and number.
    calls: Vec<(usize, u64)>,
    /// What there is to tell of the script under way.
    aftermath: Aftermath,
    /// The last command of this turn.
    last_ran: Option<usize>,
    /// Time of this turn that went to commands which were.
    timed: Duration,
}

impl Worker {
    /// The worker with this number; `seed` makes its random numbers its own.
    pub fn new(node: Arc<Node>, index: usize, seed: u64) -> Self {
        let stats = node.workers[index].clone();
        let (ping, spec) = table::find(b"ping").expect("PING is in the table");
        let mut worker = Self {
            node,
            index,
            followed: 0,
            read_buffer: vec![0; READ_BUFFER].into(),
            out: Vec::with_capacity(READ_BUFFER),
            window: Window::default(),
            scratch: Scratch::default(),
            stats,
            limits: Limits::default(),
            precise: false,
            is_inside: false,
            is_cache: false,
            tracking: true,
            values: ValueLimits::default(),
            random: seed | 1,
            last: (spec.name.as_bytes(), ping, spec),
            settings_seen: u64::MAX,
            calls: Vec::new(),
            aftermath: Aftermath::default(),
            last_ran: None,
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
            max_reply_bytes: hot.output_buffer.load(Ordering::Relaxed),
        };
        self.precise = hot.is_precise();
        self.is_cache = hot.cache_limit().is_some();
        self.tracking = hot.latency_tracking.load(Ordering::Relaxed);
    }

    /// The moment, manners and limits of a turn.
    #[inline]
    pub fn env(&mut self, no_touch: bool) -> Env {
        self.refresh_settings();
        Env { random: self.draw(), touch: !no_touch, limits: self.values, ..Env::at(unix_millis()) }
    }

    /// Where a connection goes that follows this plan and has followed the other before, if it does not stay here.
    #[cold]
    pub fn follow(&mut self, plan: u64, before: u64) -> Option<usize> {
        let to = self.node.placement.destination(plan, self.index, self.followed, before);
        self.followed = self.followed.wrapping_add(1);
        to
    }

    /// Random bits.
    pub fn draw(&mut self) -> u64 {
        // xorshift64*: good enough for RANDOMKEY and sampling, never for secrets.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
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

    /// What a script is lent, for a client that has seen this sequence; with it, the server and where the reply goes.
    pub fn lend(&mut self, seen: u64) -> (&Arc<Node>, &mut Vec<u8>, Lent<'_>) {
        let Self { node, out, scratch, stats, tracking, aftermath, .. } = self;
        (node, out, Lent { scratch, stats, track: *tracking, aftermath, seen })
    }

    /// Tells what there is to tell of a script, which has run at this moment; nobody may see what it published before this
    /// sequence is safe.
    pub fn tell(&self, aftermath: &mut Aftermath, now: u64, depends_on: u64) {
        aftermath.tell(&self.node, &self.stats, self.tracking, now, depends_on);
    }

    /// Counts a command that ran, with its own time where it was taken.
    #[inline]
    pub fn ran(&mut self, index: usize, spec: &CommandSpec, took: Option<Duration>) {
        self.last_ran = Some(index);
        if let Some(took) = took {
            self.stats.timed(index, took, self.tracking);
            self.node.latency.note(spec, took);
            self.timed += took;
            return;
        }
        match self.calls.last_mut() {
            Some((last, n)) if *last == index => *n += 1,
            _ => match self.calls.iter_mut().find(|(other, _)| *other == index) {
                Some((_, n)) => *n += 1,
                None => self.calls.push((index, 1)),
            },
        }
    }

    /// Notes a command that will end after its turn.
    pub fn begun(&mut self, index: usize) {
        self.last_ran = Some(index);
    }

    /// Counts a command that ended after its turn, once its reply is there.
    pub fn finished(&mut self, running: &Running, reply: &[u8], info: &ClientInfo) {
        let took = running.began.elapsed();
        let index = index_of(running.spec);
        self.stats.timed(index, took, self.tracking);
        self.node.latency.note(running.spec, took);
        self.node.slowlog.note(running.spec, running.args.as_args(), took, info, unix_millis());
        if let [b'-', error @ ..] = reply {
            let code = error.split(|byte| *byte == b' ').next().unwrap_or_default();
            self.stats.error(&String::from_utf8_lossy(code));
            self.stats.failed(index);
        }
    }

    /// Counts what a turn came to.
    #[inline]
    pub fn end_turn(&mut self, info: &ClientInfo, session: &Session, now: u64, took: Duration) {
        self.stats.turn(&self.calls, took.saturating_sub(std::mem::take(&mut self.timed)), self.tracking);
        self.calls.clear();
        self.stats.lookups(std::mem::take(&mut self.scratch.hits), std::mem::take(&mut self.scratch.misses));
        info.seen(session, now, self.last_ran.take());
    }
}
