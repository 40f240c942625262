//! A turn: what one batch of bytes from a client comes to.
//!
//! [`turn`] is the seam between the sockets and everything else. It parses the commands that the input holds, runs each
//! one to its end, and appends the replies to the worker's output, in order. No socket is inside, so it is tested and
//! measured without a network. Where a command cannot run to its end at once, because a key is on disk or the command is
//! to wait, the turn stops there and says so ([`Park`]); the connection goes on when the wait is over.

use std::sync::atomic::Ordering;
use std::time::Instant;

use kvdb_commands::blocking::{self, Wait};
use kvdb_commands::exec::{self, Missing, Outcome};
use kvdb_commands::families::wait::Acks;
use kvdb_commands::session::Offload;
use kvdb_commands::{CommandError, CommandSpec, Flags, Handler, ReplyMode, Session, errors};
use kvdb_resp::{Args, Decoder, Limits, OwnedArgs, Reply};
use kvdb_store::{Env, Waiter};

mod http;
mod lookup;
mod room;
mod session;
mod transaction;

use self::transaction::Before;
use crate::clients::ClientInfo;
use crate::redact;
use crate::scripting::{self, Aftermath};
use crate::window::{End, Window};
use crate::worker::Worker;

/// Commands that one turn runs before other connections get theirs.
const COMMANDS_PER_TURN: usize = 1024;
/// Bytes of replies after which a turn ends.
const OUTPUT_PER_TURN: usize = 256 * 1024;

/// A connection without its socket.
pub struct Conn {
    /// What it remembers.
    pub session: Session,
    /// The parser of its requests.
    pub decoder: Decoder,
    /// What other connections see of it.
    pub info: std::sync::Arc<ClientInfo>,
}

/// Why a turn stopped before the end of its input.
pub enum Park {
    /// A key of a database has to be loaded; the command then runs again.
    Load(u16, Vec<u8>),
    /// Clients are paused; the command then runs again.
    Paused,
    /// A script is busy; the command then runs again.
    Busy,
    /// The command waits for a key, and its reply is what it comes to then.
    Blocked(Running, Wait),
    /// The command replies when what was written up to this sequence is safe, or its time is over.
    Acks(Running, Acks, u64),
    /// The command replies after so many microseconds.
    Sleep(Running, u64),
    /// The command's reply is what this returns, run where waiting for the disk is allowed.
    Offload(Running, Offload),
    /// The command has to run where waiting for the disk is allowed.
    Keyspace(Running),
}

/// A command that ends after its turn. It is counted then, and not by the turn.
pub struct Running {
    /// The command.
    pub spec: &'static CommandSpec,
    /// Its arguments.
    pub args: OwnedArgs,
    /// When it was begun.
    pub began: Instant,
}

impl Running {
    fn new(spec: &'static CommandSpec, args: Args<'_>) -> Self {
        Self { spec, args: OwnedArgs::from(args), began: Instant::now() }
    }
}

/// What a turn came to.
#[derive(Default)]
pub struct Turn {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// The sequence that must be safe before the replies leave.
    pub gate: u64,
    /// The wait before the rest.
    pub park: Option<Park>,
    /// Whether the connection ends once the replies have left.
    pub close: bool,
    /// Whether the budget ran out with input left.
    pub more: bool,
}

/// How a command went.
enum Flow {
    Next,
    /// Stop; the command is done.
    After(Park),
    /// Stop; the command is to run again.
    Again(Park),
}

/// Runs the commands in `input`; the replies are appended to `worker.out`.
pub fn turn(conn: &mut Conn, input: &[u8], worker: &mut Worker) -> Turn {
    let mut turn = Turn::default();
    let began = Instant::now();
    let env = worker.env(conn.session.no_touch);
    let mut window = std::mem::take(&mut worker.window);
    let mut commands = 0;
    loop {
        if commands >= COMMANDS_PER_TURN || worker.out.len() >= OUTPUT_PER_TURN {
            turn.more = turn.consumed < input.len();
            break;
        }
        let limits = Limits { authenticated: conn.session.authenticated, ..worker.limits };
        // The first command of a client that has not authenticated decides how the next one is read.
        let width = if conn.session.authenticated { window.width() } else { 1 };
        let end = window.fill(&mut conn.decoder, &input[turn.consumed..], width, &limits);
        window.prefetch(&input[turn.consumed..], &worker.node.store, conn.session.db);
        commands += window.len();
        let stopped = run_window(conn, input, worker, env, &window, &mut turn);
        window.shrink();
        if stopped {
            // What is left of the window is read again later.
            conn.decoder.reset();
            break;
        }
        match end {
            End::Full => {}
            End::Partial => break,
            End::Broken(error) => {
                Reply::new(&mut worker.out, conn.session.protocol).error(format!("ERR {error}"));
                worker.stats.error("ERR");
                turn.consumed = input.len();
                turn.close = true;
                break;
            }
        }
    }
    worker.window = window;
    conn.session.seen = conn.session.seen.max(turn.gate);
    conn.info.query_bytes.store(input.len() - turn.consumed, Ordering::Relaxed);
    worker.end_turn(&conn.info, &conn.session, env.now, began.elapsed());
    turn
}

/// Runs the commands of a window; tells whether the turn ends before the end of the window.
fn run_window(
    conn: &mut Conn,
    input: &[u8],
    worker: &mut Worker,
    env: Env,
    window: &Window,
    turn: &mut Turn,
) -> bool {
    let Conn { session, info, .. } = conn;
    let input = &input[turn.consumed..];
    let before = turn.consumed;
    for request in window.iter() {
        let (located, rounds) = (request.located, session.rounds());
        let (keeps, touch) = (session.keeps(), !session.no_touch);
        let env = Env { located, client: session.id, keeps, touch, rounds, ..env };
        let unread = input.len() - (turn.consumed - before);
        let args = request.args(input);
        if request.is_line(input) && http::is_request(args) {
            worker.node.warn_of_http(&info.addr);
            turn.consumed = before + request.end;
            turn.close = true;
            return true;
        }
        let (gate, scripts) = (&mut turn.gate, Vec::new());
        let mut run = Run { session, info, worker, env, unread, gate, began: None, scripts, before: None };
        match run.command(args) {
            Flow::Next => {}
            Flow::After(park) => turn.park = Some(park),
            Flow::Again(park) => {
                turn.park = Some(park);
                return true;
            }
        }
        turn.consumed = before + request.end;
        turn.close |= session.close;
        if turn.close || turn.park.is_some() {
            return true;
        }
    }
    turn.consumed = before + window.end();
    false
}

/// One command of a turn.
struct Run<'t> {
    session: &'t mut Session,
    info: &'t ClientInfo,
    worker: &'t mut Worker,
    env: Env,
    /// Bytes of the input from this command on.
    unread: usize,
    gate: &'t mut u64,
    /// When the EXEC under way began, if it is timed.
    began: Option<Instant>,
    /// What there is to tell of the scripts of that EXEC.
    scripts: Vec<Aftermath>,
    /// What is set back if the commands that have been run in that EXEC come to nothing.
    before: Option<Before>,
}

impl Run<'_> {
    /// The highest sequence that the client has seen, or sees with the replies before this one.
    fn seen(&self) -> u64 {
        self.session.seen.max(*self.gate)
    }

    /// Whether a command is timed on its own: one that may take long, or every one where the settings want that.
    #[inline]
    fn is_timed(&self, spec: &CommandSpec) -> bool {
        self.worker.precise || !(spec.flags.has(Flags::FAST) || spec.flags.has(Flags::CHEAP))
    }

    #[inline]
    fn command(&mut self, args: Args<'_>) -> Flow {
        let mark = self.worker.out.len();
        if self.session.reply_mode == ReplyMode::SkipNext {
            self.session.reply_mode = ReplyMode::Skip;
        }
        let flow = self.dispatch(args);
        if self.session.tracking.is_some() {
            self.note_tracking(args.name(), &flow);
        }
        if self.session.reply_mode != ReplyMode::On {
            if !self.is_push(args.name(), mark) {
                self.worker.out.truncate(mark);
            }
            if self.session.reply_mode == ReplyMode::Skip {
                self.session.reply_mode = match flow {
                    Flow::Next => ReplyMode::On,
                    // The reply comes from elsewhere and is dropped there.
                    Flow::After(_) => ReplyMode::Skip,
                    Flow::Again(_) => ReplyMode::SkipNext,
                };
            }
        }
        flow
    }

    /// Whether what has been written from `mark` on is no reply: a client without replies still hears what it subscribes to.
    #[cold]
    fn is_push(&self, name: &[u8], mark: usize) -> bool {
        const ABOUT_CHANNELS: [&str; 6] =
            ["subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe"];
        ABOUT_CHANNELS.iter().any(|about| name.eq_ignore_ascii_case(about.as_bytes()))
            && self.worker.out.get(mark).is_some_and(|first| *first != b'-')
    }

    /// Notes that a client that is told of changes of keys has run a command, if it has.
    #[cold]
    fn note_tracking(&mut self, name: &[u8], flow: &Flow) {
        let queues = self.session.transaction.is_some();
        if let (Some(tracking), Flow::Next | Flow::After(_)) = (&mut self.session.tracking, flow) {
            tracking.ran(name, queues);
        }
    }

    #[inline]
    fn dispatch(&mut self, args: Args<'_>) -> Flow {
        let (index, spec) = match self.find(args) {
            Ok(found) => found,
            Err(error) => {
                if self.session.close {
                    // It speaks HTTP.
                    return Flow::Next;
                }
                if let Some(transaction) = &mut self.session.transaction {
                    transaction.break_it();
                }
                return self.refuse(&error);
            }
        };
        if let Err(refused) = self.check_access(spec, args) {
            return self.deny(index, spec, refused);
        }
        if (self.worker.is_inside || self.worker.node.store.is_busy())
            && let Some(flow) = self.while_busy(spec)
        {
            return flow;
        }
        if self.session.only_listens() && !spec.flags.has(Flags::WHILE_SUBSCRIBED) {
            return self.refuse(&errors::only_listens(spec.name));
        }
        if self.worker.is_cache
            && let Some(flow) = self.without_room(index, spec)
        {
            return flow;
        }
        if self.session.transaction.is_some() && !spec.flags.has(Flags::NOT_QUEUED) {
            return self.queue(index, spec, args);
        }
        if self.worker.node.is_paused(self.env.now, spec)
            && self.session.authenticated
            && !(self.worker.node.pause.is_of_writes()
                && scripting::only_reads(&self.worker.node, spec, args))
        {
            return Flow::Again(Park::Paused);
        }
        self.env.keeps_dead =
            self.worker.node.is_paused_for_writes(self.env.now) && !self.may_write(spec, args);
        let timed = self.is_timed(spec).then(Instant::now);
        let result = match spec.handler {
            Handler::Read(_) | Handler::Write(_) => self.keyed(spec, args),
            Handler::Keyspace(handler) => self.keyspace(spec, handler, args),
            Handler::Session(handler) => {
                self.info.runs(index, self.unread);
                self.session(spec, handler, args)
            }
            Handler::Exec => {
                self.began = timed;
                self.exec()
            }
            Handler::Script => {
                // What it runs is shown behind it. It is shown again when it begins again behind a load.
                self.show(spec, args);
                self.script(spec, args)
            }
            Handler::Container => Err(errors::wrong_arity(spec.name)),
        };
        if let Ok(Flow::Again(park)) = result {
            return Flow::Again(park);
        }
        if !matches!(spec.handler, Handler::Script) {
            self.show(spec, args);
        }
        if matches!(result, Ok(Flow::After(_))) {
            self.worker.begun(index);
        } else {
            let took = timed.map(|began| began.elapsed());
            self.worker.ran(index, spec, took);
            // As in Redis, what a transaction runs is in the slow log, and EXEC itself is not.
            if let Some(took) = took.filter(|_| !matches!(spec.handler, Handler::Exec)) {
                self.worker.node.slowlog.note(spec, args, took, self.info, self.env.now);
            }
        }
        match result {
            Ok(flow) => flow,
            Err(error) => {
                self.worker.stats.failed(index);
                self.refuse(&error)
            }
        }
    }

    /// Shows a command to those who watch. As in Redis, what operators do is not shown.
    #[inline]
    fn show(&self, spec: &CommandSpec, args: Args<'_>) {
        if self.worker.node.monitors.load(Ordering::Relaxed) != 0 && !spec.flags.has(Flags::ADMIN) {
            let shown = redact::shown(spec, args);
            self.worker.node.show_monitors(self.session.db, &self.info.addr, &shown, self.env.now);
        }
    }

    #[inline]
    fn keyed(&mut self, spec: &'static CommandSpec, args: Args<'_>) -> Result<Flow, CommandError> {
        let Worker { node, out, scratch, .. } = &mut *self.worker;
        let mut reply = Reply::new(out, self.session.protocol);
        let outcome = exec::run(spec, &node.store, self.session.db, self.env, scratch, args, &mut reply);
        if !scratch.dead.is_empty() {
            self.bury_dead();
        }
        match outcome {
            Ok(Outcome::Done(depends_on)) => {
                self.session.unpin();
                *self.gate = (*self.gate).max(depends_on);
                self.serve_sleepers();
                Ok(Flow::Next)
            }
            Ok(Outcome::NeedIo(missing)) => Ok(self.load(missing)),
            Ok(Outcome::Waits(wait)) => {
                self.session.unpin();
                wait.belongs_to(&self.session.account);
                self.info.unblock().begins(&wait);
                if self.info.is_killed() {
                    self.info.unblock().call_off();
                }
                Ok(Flow::After(Park::Blocked(Running::new(spec, args), wait)))
            }
            Err(failed) => {
                self.session.unpin();
                *self.gate = (*self.gate).max(failed.depends_on);
                Err(failed.error)
            }
        }
    }

    /// Lets commands run that have waited for what was changed.
    #[inline]
    fn serve_sleepers(&mut self) {
        let Worker { node, scratch, .. } = &mut *self.worker;
        if !scratch.ready.is_empty() {
            blocking::serve(&node.store, self.env, scratch);
        }
    }

    /// Waits for keys; the command then runs again.
    #[cold]
    fn load(&mut self, missing: Missing) -> Flow {
        let Missing { db, key, others, pins } = missing;
        self.session.pin(pins);
        for (db, key) in others {
            // Whether it could be loaded shows when the command runs again.
            self.worker.node.store.request_load(db, &key, self.env.now, Waiter::new(|_| ()));
        }
        Flow::Again(Park::Load(db, key))
    }

    /// Whether a command may change keys; EXEC by itself does not.
    #[cold]
    fn may_write(&self, spec: &'static CommandSpec, args: Args<'_>) -> bool {
        spec.may_write() && !scripting::only_reads(&self.worker.node, spec, args)
    }

    /// Runs a script or a function.
    fn script(&mut self, spec: &'static CommandSpec, args: Args<'_>) -> Result<Flow, CommandError> {
        let env = Env { random: self.worker.draw(), ..self.env };
        let seen = self.seen();
        let (node, out, lent) = self.worker.lend(seen);
        let mut reply = Reply::new(out, self.session.protocol);
        let outcome = scripting::run(node, self.session, spec, env, lent, args, &mut reply);
        if !self.worker.scratch.dead.is_empty() {
            self.bury_dead();
        }
        self.serve_sleepers();
        match outcome {
            Ok(scripting::Outcome::Done(seq)) => {
                self.session.unpin();
                *self.gate = (*self.gate).max(seq);
                Ok(Flow::Next)
            }
            Ok(scripting::Outcome::NeedIo(missing)) => Ok(self.load(missing)),
            Err(error) => {
                self.session.unpin();
                Err(error)
            }
        }
    }

    /// Deletes the keys that a reader found past their deadline. Where the log refuses, or clients are paused, they read
    /// as absent all the same.
    #[cold]
    fn bury_dead(&mut self) {
        let Worker { node, scratch, .. } = &mut *self.worker;
        let is_paused = node.is_paused_for_writes(self.env.now);
        if let Err(refusal) = node.store.expire_dead(self.env.now, scratch, is_paused) {
            tracing::debug!(%refusal, "keys that have expired are not deleted now");
        }
    }
}
