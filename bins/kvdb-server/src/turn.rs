//! A turn: what one batch of bytes from a client comes to.
//!
//! [`turn`] is the seam between the sockets and everything else. It parses the commands that the input holds, runs each
//! one to its end, and appends the replies to the worker's output, in order. No socket is inside, so it is tested and
//! measured without a network. Where a command cannot run to its end at once, because a key is on disk or the command is
//! to wait, the turn stops there and says so ([`Park`]); the connection goes on when the wait is over.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kvdb_commands::acl::Context;
use kvdb_commands::blocking::{self, Wait};
use kvdb_commands::exec::{self, Missing, Outcome};
use kvdb_commands::families::wait::Acks;
use kvdb_commands::session::{Offload, Then};
use kvdb_commands::tracking::Tracking;
use kvdb_commands::transaction::{self, Around, Queued, Unfinished};
use kvdb_commands::{
    CmdResult, CommandError, CommandSpec, Flags, Handler, KeyspaceCx, KeyspaceOutcome, ReplyMode, Session,
    SessionCx, errors, table,
};
use kvdb_resp::{Args, Decoder, Limits, OwnedArgs, Reply};
use kvdb_store::{Env, Waiter, WriteCx};

mod http;
mod room;

use crate::access::Refused;
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

impl Around for Run<'_> {
    fn begin(&mut self) {
        self.scripts.clear();
        self.set_back();
    }

    fn may_run(&mut self, queued: &Queued) -> CmdResult {
        let (node, args) = (&self.worker.node, queued.args.as_args());
        let checked = node.check_access(self.session, Some(self.info), Context::Multi, queued.spec, args);
        checked.map_err(Refused::error_in_exec)
    }

    fn manners(&self) -> (bool, bool) {
        (self.session.keeps(), !self.session.no_touch)
    }

    fn session(&mut self, queued: &Queued, reply: &mut Reply<'_>) -> CmdResult {
        let Handler::Session(handler) = queued.spec.handler else { return Err(errors::NOT_IN_TRANSACTION) };
        // Those that run behind a run do not touch what is set back.
        if self.before.is_none() {
            self.before =
                Some(Before { tracking: self.session.tracking.clone(), no_touch: self.session.no_touch });
        }
        let (node, seen) = (self.worker.node.clone(), self.seen());
        let mut cx = SessionCx {
            session: self.session,
            server: &*node,
            store: &node.store,
            env: self.env,
            seen,
            in_transaction: true,
            then: None,
            depends_on: 0,
        };
        let mark = reply.len();
        handler(&mut cx, queued.args.as_args(), reply)?;
        let (then, depends_on) = (cx.then, cx.depends_on);
        *self.gate = (*self.gate).max(depends_on);
        self.info.mirror(self.session);
        match then {
            None => Ok(()),
            // DEBUG SLEEP; nothing else is to happen in between.
            Some(Then::Sleep { micros }) => {
                std::thread::sleep(Duration::from_micros(micros));
                reply.truncate(mark);
                reply.ok();
                Ok(())
            }
            Some(Then::Acks(acks)) => {
                acks.reply(node.rows.log().durable() >= self.seen(), reply);
                Ok(())
            }
            // Whatever would have to go on elsewhere cannot: the transaction ends here and now.
            Some(_) => Err(errors::NOT_IN_TRANSACTION),
        }
    }

    fn script(
        &mut self,
        queued: &Queued,
        cx: &mut WriteCx<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<bool, Unfinished> {
        let (node, mut aftermath) = (self.worker.node.clone(), Aftermath::default());
        let command = (queued.spec, queued.args.as_args());
        let wrote = scripting::run_within(&node, self.session, command, cx, &mut aftermath, reply)?;
        self.scripts.push(aftermath);
        Ok(wrote)
    }

    fn appended(&mut self, seq: u64) {
        self.before = None;
        *self.gate = (*self.gate).max(seq);
        let seen = self.seen();
        for mut aftermath in self.scripts.drain(..) {
            self.worker.tell(&mut aftermath, self.env.now, seen);
        }
    }

    fn moment(&mut self, queued: &Queued) -> Option<Duration> {
        let began = self.began?;
        self.is_timed(queued.spec).then(|| began.elapsed())
    }

    fn ran(&mut self, queued: &Queued, failed: Option<&CommandError>, took: Option<Duration>) {
        let args = queued.args.as_args();
        self.show(queued.spec, args);
        self.worker.ran(queued.index, queued.spec, took);
        if let Some(took) = took {
            self.worker.node.slowlog.note(queued.spec, args, took, self.info, self.env.now);
        }
        if let Some(error) = failed {
            self.worker.stats.failed(queued.index);
            self.worker.stats.error(error.code());
        }
    }
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

/// What commands about the connection change that are run among those on keys.
struct Before {
    tracking: Option<Box<Tracking>>,
    no_touch: bool,
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

    /// What becomes of a command while a script is busy; `None` when it runs.
    #[cold]
    fn while_busy(&mut self, spec: &'static CommandSpec) -> Option<Flow> {
        // Watching begins and ends at keys, which the script may hold.
        let ends_watching = matches!(spec.name, "exec" | "discard" | "unwatch" | "reset");
        if spec.name == "watch" || (ends_watching && self.session.watches.is_some()) {
            return Some(Flow::Again(Park::Busy));
        }
        if spec.flags.has(Flags::ALLOW_BUSY) {
            return None;
        }
        let function = self.worker.node.scripting.running.longest().is_some_and(|run| run.is_function());
        if matches!(spec.handler, Handler::Exec) && self.session.transaction.take().is_some() {
            let error = if function { errors::EXEC_ABORT_BUSY_FUNCTION } else { errors::EXEC_ABORT_BUSY };
            return Some(self.refuse(&error));
        }
        if let Some(transaction) = &mut self.session.transaction {
            transaction.break_it();
        }
        let error = if function { errors::BUSY_FUNCTION } else { errors::BUSY_SCRIPT };
        Some(self.refuse(&error))
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
    fn check_access(&self, spec: &'static CommandSpec, args: Args<'_>) -> Result<(), Refused> {
        let context = if self.session.transaction.is_some() { Context::Multi } else { Context::TopLevel };
        self.worker.node.check_access(self.session, Some(self.info), context, spec, args)
    }

    /// Refuses what the user may not do; a transaction comes to nothing then.
    #[cold]
    fn deny(&mut self, index: usize, spec: &CommandSpec, refused: Refused) -> Flow {
        self.worker.stats.rejected(index);
        let error = refused.error();
        if matches!(spec.handler, Handler::Exec) && self.session.transaction.take().is_some() {
            self.session.watches = None;
            return self.refuse(&errors::exec_abort(&error));
        }
        if let Some(transaction) = &mut self.session.transaction {
            transaction.break_it();
        }
        self.refuse(&error)
    }

    /// The command's row, if the client may use it and its arguments have the right number.
    #[inline]
    fn find(&mut self, args: Args<'_>) -> Result<(usize, &'static CommandSpec), CommandError> {
        let name = args.name();
        let Some((index, spec)) = self.worker.lookup(name) else {
            if http::is_name(name) {
                self.session.close = true;
                self.worker.node.warn_of_http(&self.info.addr);
            }
            if !self.session.authenticated && self.worker.node.accounts.requires_auth() {
                return Err(errors::NO_AUTH);
            }
            return Err(errors::unknown_command(name, args));
        };
        if !self.session.authenticated
            && !spec.flags.has(Flags::NO_AUTH)
            && self.worker.node.accounts.requires_auth()
        {
            self.worker.stats.rejected(index);
            return Err(errors::NO_AUTH);
        }
        if spec.subcommands.is_empty() || args.len() == 1 {
            return if spec.takes(args.len()) {
                Ok((index, spec))
            } else {
                self.worker.stats.rejected(index);
                Err(self.wrong_arity(spec))
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
    fn wrong_arity(&mut self, spec: &CommandSpec) -> CommandError {
        let error = errors::wrong_arity(spec.name);
        if !matches!(spec.handler, Handler::Exec) {
            return error;
        }
        self.session.transaction = None;
        self.session.watches = None;
        errors::exec_abort(&error)
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

    /// Queues a command of a transaction.
    fn queue(&mut self, index: usize, spec: &'static CommandSpec, args: Args<'_>) -> Flow {
        let Some(transaction) = &mut self.session.transaction else { return Flow::Next };
        // They wait as what has not been run does, and are limited as that is.
        let limit = self.worker.node.hot.query_buffer.load(Ordering::Relaxed);
        let queued = if spec.flags.has(Flags::NO_MULTI) {
            transaction.break_it();
            Err(errors::NOT_IN_TRANSACTION)
        } else {
            transaction.push(Queued { index, spec, args: OwnedArgs::from(args) }, limit)
        };
        match queued {
            Ok(()) => {
                Reply::new(&mut self.worker.out, self.session.protocol).simple("QUEUED");
                Flow::Next
            }
            Err(error) => self.refuse(&error),
        }
    }

    /// Whether a command may change keys; EXEC by itself does not.
    #[cold]
    fn may_write(&self, spec: &'static CommandSpec, args: Args<'_>) -> bool {
        spec.may_write() && !scripting::only_reads(&self.worker.node, spec, args)
    }

    /// Runs the commands of a transaction.
    fn exec(&mut self) -> Result<Flow, CommandError> {
        let Some(transaction) = self.session.transaction.take() else {
            return Err(errors::EXEC_WITHOUT_MULTI);
        };
        if transaction.is_broken() {
            self.session.watches = None;
            return Err(errors::EXEC_ABORT);
        }
        let node = self.worker.node.clone();
        if self.env.keeps_dead || node.is_paused_for_writes(self.env.now) {
            let may_write = |queued: &Queued| self.may_write(queued.spec, queued.args.as_args());
            if transaction.queue().iter().any(may_write) {
                self.session.transaction = Some(transaction);
                return Ok(Flow::Again(Park::Paused));
            }
        }
        let mut out = std::mem::take(&mut self.worker.out);
        let mut scratch = std::mem::take(&mut self.worker.scratch);
        let mut reply = Reply::new(&mut out, self.session.protocol);
        let watches = self.session.watches.take();
        let (db, env) = (self.session.db, Env { random: self.worker.draw(), ..self.env });
        let outcome = transaction::run(
            &transaction,
            watches.as_ref(),
            &node.store,
            db,
            env,
            &mut scratch,
            &mut reply,
            self,
        );
        let flow = match outcome {
            Ok(transaction::Outcome::Done(seq, db)) => {
                self.session.unpin();
                *self.gate = (*self.gate).max(seq);
                if db != self.session.db {
                    self.session.db = db;
                    self.info.mirror(self.session);
                }
                Ok(Flow::Next)
            }
            Ok(transaction::Outcome::Touched(seq)) => {
                self.session.unpin();
                *self.gate = (*self.gate).max(seq);
                reply.null_array();
                Ok(Flow::Next)
            }
            Ok(transaction::Outcome::NeedIo(missing)) => {
                self.session.transaction = Some(transaction);
                self.session.watches = watches;
                Ok(self.load(missing))
            }
            Err(failed) => {
                self.session.unpin();
                Err(failed.error)
            }
        };
        self.worker.out = out;
        self.worker.scratch = scratch;
        self.set_back();
        self.serve_sleepers();
        if !self.worker.scratch.dead.is_empty() {
            self.bury_dead();
        }
        flow
    }

    /// Sets back what was set in a run of a transaction that has come to nothing.
    fn set_back(&mut self) {
        let Some(Before { tracking, no_touch }) = self.before.take() else { return };
        if self.session.tracking != tracking {
            kvdb_commands::Server::track(&*self.worker.node, self.session.id, tracking.as_deref());
            self.session.tracking = tracking;
        }
        self.session.no_touch = no_touch;
        self.info.mirror(self.session);
    }

    /// Runs a script or a function.
    fn script(&mut self, spec: &'static CommandSpec, args: Args<'_>) -> Result<Flow, CommandError> {
        let node = self.worker.node.clone();
        let env = Env { random: self.worker.draw(), ..self.env };
        let mut out = std::mem::take(&mut self.worker.out);
        let mut scratch = std::mem::take(&mut self.worker.scratch);
        let mut reply = Reply::new(&mut out, self.session.protocol);
        let seen = self.seen();
        let lent = self.worker.lend(&mut scratch, seen);
        let outcome = scripting::run(&node, self.session, spec, env, lent, args, &mut reply);
        self.worker.out = out;
        self.worker.scratch = scratch;
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

    fn keyspace(
        &mut self,
        spec: &'static CommandSpec,
        handler: fn(&mut KeyspaceCx<'_, '_>, Args<'_>, &mut Reply<'_>) -> kvdb_commands::KeyspaceResult,
        args: Args<'_>,
    ) -> Result<Flow, CommandError> {
        if spec.flags.has(Flags::SLOW) {
            return Ok(Flow::After(Park::Keyspace(Running::new(spec, args))));
        }
        // Commands of one turn have their moment in common, but not their luck.
        let env = Env { random: self.worker.draw(), ..self.env };
        let Worker { node, out, .. } = &mut *self.worker;
        let mut cx = KeyspaceCx::alone(&node.store, self.session.db, env, false);
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
        handler: fn(&mut SessionCx<'_>, Args<'_>, &mut Reply<'_>) -> CmdResult,
        args: Args<'_>,
    ) -> Result<Flow, CommandError> {
        let node = self.worker.node.clone();
        let out = &mut self.worker.out;
        let mark = out.len();
        let mut reply = Reply::new(out, self.session.protocol);
        reply.limit(self.env.limits.max_reply_bytes);
        let seen = self.session.seen.max(*self.gate);
        let mut cx = SessionCx {
            session: self.session,
            server: &*node,
            store: &node.store,
            env: self.env,
            seen,
            in_transaction: false,
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
        // The rights may have changed between the check and the subscription: nobody would look at it again.
        if spec.flags.has(Flags::PUBSUB)
            && !self.session.account.is_unrestricted()
            && self.session.account.user().check(spec, args).is_err()
        {
            self.info.close_after_reply();
        }
        self.session.close |= self.info.is_closing();
        Ok(match then {
            None => Flow::Next,
            Some(Then::Load(db, key)) => {
                self.worker.out.truncate(mark);
                Flow::Again(Park::Load(db, key))
            }
            Some(Then::Acks(acks)) => {
                let seen = self.seen();
                let is_durable = node.rows.log().durable() >= seen;
                if !acks.are_there(is_durable) {
                    return Ok(Flow::After(Park::Acks(Running::new(spec, args), acks, seen)));
                }
                acks.reply(is_durable, &mut Reply::new(&mut self.worker.out, self.session.protocol));
                Flow::Next
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
