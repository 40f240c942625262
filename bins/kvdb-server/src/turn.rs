//! A turn: what one batch of bytes from a client comes to.
//!
//! [`turn`] is the seam between the sockets and everything else. It parses the commands that the input holds, runs each
//! one to its end, and appends the replies to the worker's output, in order. No socket is inside, so it is tested and
//! measured without a network. Where a command cannot run to its end at once, because a key is on disk or the command is
//! to wait, the turn stops there and says so ([`Park`]); the connection goes on when the wait is over.

use std::sync::atomic::Ordering;
use std::time::Instant;

use kvdb_commands::exec::{self, Missing, Outcome};
use kvdb_commands::session::{Offload, Then};
use kvdb_commands::{
    CommandError, CommandSpec, Flags, Handler, KeyspaceCx, KeyspaceOutcome, ReplyMode, Session, SessionCx,
    errors, table,
};
use kvdb_resp::{Args, Decoder, Limits, OwnedArgs, Reply};
use kvdb_store::Env;

use crate::clients::ClientInfo;
use crate::redact;
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
        let env = Env { located: request.located, ..env };
        let unread = input.len() - (turn.consumed - before);
        let mut run = Run { session, info, worker, env, unread, gate: &mut turn.gate };
        match run.command(request.args(input)) {
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
}

impl Run<'_> {
    #[inline]
    fn command(&mut self, args: Args<'_>) -> Flow {
        let mark = self.worker.out.len();
        if self.session.reply_mode == ReplyMode::SkipNext {
            self.session.reply_mode = ReplyMode::Skip;
        }
        let flow = self.dispatch(args);
        if self.session.reply_mode != ReplyMode::On {
            self.worker.out.truncate(mark);
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

    #[inline]
    fn dispatch(&mut self, args: Args<'_>) -> Flow {
        let (index, spec) = match self.find(args) {
            Ok(found) => found,
            Err(error) => return self.refuse(&error),
        };
        if self.worker.node.is_paused(self.env.now, spec) && self.session.authenticated {
            return Flow::Again(Park::Paused);
        }
        let short = spec.flags.has(Flags::FAST) || spec.flags.has(Flags::CHEAP);
        let timed = (self.worker.precise || !short).then(Instant::now);
        let result = match spec.handler {
            Handler::Read(_) | Handler::Write(_) => self.keyed(spec, args),
            Handler::Keyspace(handler) => self.keyspace(spec, handler, args),
            Handler::Session(handler) => {
                self.info.runs(index, self.unread);
                self.session(spec, handler, args)
            }
            Handler::Container => Err(errors::wrong_arity(spec.name)),
        };
        if let Ok(Flow::Again(park)) = result {
            return Flow::Again(park);
        }
        // As in Redis, what operators do is not shown.
        if self.worker.node.monitors.load(Ordering::Relaxed) != 0 && !spec.flags.has(Flags::ADMIN) {
            let shown = redact::shown(spec, args);
            self.worker.node.show_monitors(self.session, self.info, &shown, self.env.now);
        }
        if !matches!(result, Ok(Flow::After(_))) {
            let took = timed.map(|began| began.elapsed());
            self.worker.ran(index, spec, took);
            if let Some(took) = took {
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

    /// The command's row, if the client may use it and its arguments have the right number.
    #[inline]
    fn find(&mut self, args: Args<'_>) -> Result<(usize, &'static CommandSpec), CommandError> {
        let name = args.name();
        let Some((index, spec)) = self.worker.lookup(name) else {
            if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
                // A browser that was tricked into talking to the port: nothing it sends may run.
                self.session.close = true;
                self.worker.node.warn_of_http(&self.info.addr);
            }
            if !self.session.authenticated {
                return Err(errors::NO_AUTH);
            }
            return Err(errors::unknown_command(name, args));
        };
        if !self.session.authenticated && !spec.flags.has(Flags::NO_AUTH) {
            self.worker.stats.rejected(index);
            return Err(errors::NO_AUTH);
        }
        if spec.subcommands.is_empty() || args.len() == 1 {
            return if spec.takes(args.len()) {
                Ok((index, spec))
            } else {
                self.worker.stats.rejected(index);
                Err(errors::wrong_arity(spec.name))
            };
        }
        match table::find_subcommand(spec, &args[1]) {
            Some(sub) if sub.takes(args.len()) => Ok((self.worker.stats.index_of(sub), sub)),
            Some(sub) => {
                self.worker.stats.rejected(self.worker.stats.index_of(sub));
                Err(errors::wrong_arity(&format!("{}|{}", spec.name, sub.name)))
            }
            // A container that also works by itself (COMMAND, for one) takes only its own number of arguments.
            None => Err(errors::unknown_subcommand(spec.name, &args[1])),
        }
    }

    #[cold]
    fn refuse(&mut self, error: &CommandError) -> Flow {
        Reply::new(&mut self.worker.out, self.session.protocol).error(error.text());
        self.worker.stats.error(error.code());
        Flow::Next
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
                Ok(Flow::Next)
            }
            Ok(Outcome::NeedIo(Missing { db, key, pins })) => {
                self.session.pin(pins);
                Ok(Flow::Again(Park::Load(db, key)))
            }
            Err(failed) => {
                self.session.unpin();
                *self.gate = (*self.gate).max(failed.depends_on);
                Err(failed.error)
            }
        }
    }

    /// Deletes the keys that a reader found past their deadline. Where the log refuses, they read as absent all the same.
    #[cold]
    fn bury_dead(&mut self) {
        for (db, key) in std::mem::take(&mut self.worker.scratch.dead) {
            let store = self.worker.node.store.clone();
            if store.expire_key(db, &key, self.env.now, &mut self.worker.scratch).is_err() {
                break;
            }
        }
    }

    fn keyspace(
        &mut self,
        spec: &'static CommandSpec,
        handler: fn(&mut KeyspaceCx<'_>, Args<'_>, &mut Reply<'_>) -> kvdb_commands::KeyspaceResult,
        args: Args<'_>,
    ) -> Result<Flow, CommandError> {
        if spec.flags.has(Flags::SLOW) {
            return Ok(Flow::After(Park::Keyspace(Running::new(spec, args))));
        }
        // Commands of one turn have their moment in common, but not their luck.
        let env = Env { random: self.worker.draw(), ..self.env };
        let Worker { node, out, .. } = &mut *self.worker;
        let mut cx = KeyspaceCx { store: &node.store, db: self.session.db, env, may_wait: false };
        let mark = out.len();
        let mut reply = Reply::new(out, self.session.protocol);
        match handler(&mut cx, args, &mut reply) {
            Ok(KeyspaceOutcome::Done(seq)) => {
                *self.gate = (*self.gate).max(seq);
                Ok(Flow::Next)
            }
            Ok(KeyspaceOutcome::NeedIo) => {
                reply.truncate(mark);
                Ok(Flow::After(Park::Keyspace(Running::new(spec, args))))
            }
            Err(error) => {
                reply.truncate(mark);
                Err(error)
            }
        }
    }

    fn session(
        &mut self,
        spec: &'static CommandSpec,
        handler: fn(&mut SessionCx<'_>, Args<'_>, &mut Reply<'_>) -> kvdb_commands::CmdResult,
        args: Args<'_>,
    ) -> Result<Flow, CommandError> {
        let node = self.worker.node.clone();
        let out = &mut self.worker.out;
        let mark = out.len();
        let mut reply = Reply::new(out, self.session.protocol);
        reply.limit(self.env.limits.max_reply_bytes);
        let mut cx = SessionCx {
            session: self.session,
            server: &*node,
            store: &node.store,
            env: self.env,
            then: None,
            depends_on: 0,
        };
        let result = handler(&mut cx, args, &mut reply);
        let (then, depends_on) = (cx.then, cx.depends_on);
        *self.gate = (*self.gate).max(depends_on);
        let result = if reply.is_full() { Err(errors::REPLY_TOO_LONG) } else { result };
        if let Err(error) = result {
            reply.truncate(mark);
            return Err(error);
        }
        self.info.mirror(self.session);
        self.session.close |= self.info.is_closing();
        Ok(match then {
            None => Flow::Next,
            Some(Then::Load(db, key)) => {
                self.worker.out.truncate(mark);
                Flow::Again(Park::Load(db, key))
            }
            Some(Then::Sleep { micros }) => {
                // The reply is made when the time is over.
                self.worker.out.truncate(mark);
                Flow::After(Park::Sleep(Running::new(spec, args), micros))
            }
            Some(Then::Offload(job)) => Flow::After(Park::Offload(Running::new(spec, args), job)),
        })
    }
}
