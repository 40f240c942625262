//! What a script may ask of the server.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvdb_commands::acl::Context;
use kvdb_commands::exec::MAX_KEY_BYTES;
use kvdb_commands::families::generic::in_other_database;
use kvdb_commands::{
    CmdResult, CommandError, CommandSpec, Flags, Handler, KeyspaceCx, Session, SessionCx, errors, table,
};
use kvdb_lua::{Host, Interrupt, LogLevel, Permission, Stop};
use kvdb_resp::{Args, OwnedArgs, Protocol, Reply};
use kvdb_store::{Env, Lack, WriteCx};

use super::STOPPING;
use super::aftermath::Aftermath;
use super::running::Begun;
use super::tally::Fate;
use crate::attendant;
use crate::node::Node;
use crate::stats::index_of;

const UNKNOWN: CommandError = CommandError::fixed("ERR Unknown Redis command called from script");
const WRONG_ARITY: CommandError =
    CommandError::fixed("ERR Wrong number of args calling Redis command from script");
const NOT_ALLOWED: CommandError = CommandError::fixed("ERR This Redis command is not allowed from script");
const READS_ONLY: CommandError =
    CommandError::fixed("ERR Write commands are not allowed from read-only scripts.");

/// The script was ended just as it was about to write.
const KILLED: CommandError = CommandError::fixed("ERR Script killed by user.");

/// Why a script ends early and comes to nothing.
pub(super) enum Why {
    /// The run that it is a part of has to begin again.
    Lacks(Lack),
    /// Nothing of the run is to stay; this is its reply.
    Undone(CommandError),
}

/// A script's side of the server.
pub(super) struct ScriptHost<'h, 'r> {
    node: &'h Arc<Node>,
    session: &'h mut Session,
    env: Env,
    /// The run that it is a part of.
    cx: &'h mut WriteCx<'r>,
    reads_only: bool,
    run: &'h Begun<'h>,
    /// The command that runs it.
    command: Args<'h>,
    /// The keys that it declared.
    declared: &'h [&'h [u8]],
    /// After so long others are told that it is busy.
    busy_after: Duration,
    why: Option<Why>,
    /// Whether a command has read something.
    has_read: bool,
    aftermath: &'h mut Aftermath,
}

impl<'h, 'r> ScriptHost<'h, 'r> {
    pub(super) fn new(
        node: &'h Arc<Node>,
        session: &'h mut Session,
        env: Env,
        cx: &'h mut WriteCx<'r>,
        reads_only: bool,
        (run, command, declared): (&'h Begun<'h>, Args<'h>, &'h [&'h [u8]]),
        aftermath: &'h mut Aftermath,
    ) -> Self {
        let busy_after = Duration::from_millis(node.hot.busy_millis.load(Ordering::Relaxed));
        let (why, has_read) = (None, false);
        Self {
            node,
            session,
            env,
            cx,
            reads_only,
            run,
            command,
            declared,
            busy_after,
            why,
            has_read,
            aftermath,
        }
    }

    /// Ends the script; why it comes to nothing, if it does.
    pub(super) fn end(mut self, interrupted: bool) -> Option<Why> {
        if self.run.is_busy() {
            self.node.store.end_busy();
            self.node.script_ended.notify_waiters();
        }
        // What it has read last is as it has left it.
        self.note_reads();
        self.why.filter(|_| interrupted)
    }

    /// A client that keeps what a script replies keeps it for the keys that it declared, as in Redis, if it has read.
    fn note_reads(&mut self) {
        if self.has_read && self.env.keeps {
            self.declared.iter().for_each(|key| self.cx.note_read(key));
        }
    }

    /// The command, with its index in the statistics.
    fn find(args: Args<'_>) -> Option<(usize, &'static CommandSpec)> {
        let (index, spec) = table::find(args.name())?;
        match args.get(1).and_then(|name| table::find_subcommand(spec, name)) {
            Some(sub) => Some((index_of(sub), sub)),
            None if matches!(spec.handler, Handler::Container) => None,
            None => Some((index, spec)),
        }
    }

    /// Runs a command and counts it.
    fn run_counted(&mut self, args: Args<'_>, reply: &mut Reply<'_>) -> Result<CmdResult, Interrupt> {
        let Some((index, spec)) = Self::find(args) else { return Ok(Err(UNKNOWN)) };
        let refused = if spec.takes(args.len()) { self.may_run(spec, args).err() } else { Some(WRONG_ARITY) };
        if let Some(error) = refused {
            self.aftermath.tally.note(index, Fate::Rejected);
            return Ok(Err(error));
        }
        let result = self.run_command(spec, args, reply)?;
        self.aftermath.tally.note(index, if result.is_ok() { Fate::Ran } else { Fate::Failed });
        Ok(result)
    }

    /// Whether it is a command for tests that scripts have been allowed to run.
    fn may_debug(&self, spec: &CommandSpec, args: Args<'_>) -> bool {
        spec.name == "debug"
            && self.node.debug_in_scripts.load(Ordering::Relaxed)
            && args.get(1).is_some_and(|name| name.eq_ignore_ascii_case(b"PROTOCOL"))
    }

    /// Whether a script may run a command at all.
    fn may_run(&self, spec: &'static CommandSpec, args: Args<'_>) -> CmdResult {
        if spec.flags.has(Flags::NOSCRIPT) && !self.may_debug(spec, args) {
            return Err(NOT_ALLOWED);
        }
        if let Err(refused) = self.node.check_access(self.session, None, Context::Script, spec, args) {
            return Err(refused.error_in_script());
        }
        let tells_others = matches!(spec.name, "pfcount" | "publish" | "spublish");
        if self.reads_only && (spec.is_write() || tells_others) {
            return Err(READS_ONLY);
        }
        // What has begun to write goes on, even if what it called first has changed nothing.
        if self.env.is_full && spec.flags.has(Flags::DENYOOM) && !self.run.writes() {
            return Err(errors::OUT_OF_MEMORY);
        }
        Ok(())
    }

    fn run_command(
        &mut self,
        spec: &'static CommandSpec,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<CmdResult, Interrupt> {
        if spec.is_write() && !self.run.begin_to_write() {
            return Ok(Err(KILLED));
        }
        if matches!(spec.name, "xread" | "xreadgroup") && would_block(args) {
            let text = format!("ERR {} command is not allowed with BLOCK option from scripts", spec.name);
            return Ok(Err(CommandError::new(text)));
        }
        if self.node.monitors.load(Ordering::Relaxed) != 0 {
            self.aftermath.shown.push((self.cx.db(), OwnedArgs::from(args)));
        }
        // What is not quick may take longer than many instructions of Lua, at which the script is shown otherwise.
        self.run.calls(!(spec.flags.has(Flags::FAST) || spec.flags.has(Flags::CHEAP)));
        match spec.handler {
            Handler::Read(_) | Handler::Write(_) => self.keyed(spec, args, reply),
            Handler::Session(_) if spec.name == "select" => Ok(self.select(args, reply)),
            Handler::Session(_) if matches!(spec.name, "publish" | "spublish") => {
                let shard = spec.name == "spublish";
                let receivers = kvdb_commands::Server::receivers(&**self.node, &args[1], shard);
                self.aftermath.published.push((args[1].to_vec(), args[2].to_vec(), shard));
                reply.integer(receivers as i64);
                Ok(Ok(()))
            }
            // They look at no key, and so need no latch that is held.
            Handler::Session(handler)
                if matches!(spec.name, "ping" | "echo" | "time" | "lolwut" | "debug") =>
            {
                let mut cx = SessionCx {
                    session: self.session,
                    server: &**self.node,
                    store: &self.node.store,
                    env: self.env,
                    seen: 0,
                    in_transaction: false,
                    then: None,
                    depends_on: 0,
                };
                Ok(handler(&mut cx, args, reply))
            }
            Handler::Keyspace(handler) => {
                if !self.cx.reach_everything() {
                    return Err(self.interrupt());
                }
                Ok(handler(&mut KeyspaceCx::within(&self.node.store, self.cx), args, reply).map(drop))
            }
            Handler::Session(_) | Handler::Exec | Handler::Script | Handler::Container => {
                Ok(Err(NOT_ALLOWED))
            }
        }
    }

    fn select(&mut self, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
        let index = kvdb_commands::values::number::parse_i64(&args[1]).ok_or(errors::NOT_INTEGER)?;
        let db = u16::try_from(index).ok().filter(|&db| db < self.cx.databases()).ok_or(errors::DB_INDEX)?;
        self.cx.select(db);
        reply.ok();
        Ok(())
    }

    fn keyed(
        &mut self,
        spec: &'static CommandSpec,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<CmdResult, Interrupt> {
        match (spec.only_key(args), self.declared.first()) {
            // Its place is mostly known already.
            (Some(key), Some(first)) if key == *first => {
                self.cx.locate_at(key, self.env.place(&self.node.store, first));
            }
            (key, _) => self.cx.locate(key),
        }
        let result = self.run_keyed(spec, args, reply);
        self.cx.locate(None);
        result
    }

    fn run_keyed(
        &mut self,
        spec: &'static CommandSpec,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<CmdResult, Interrupt> {
        let db = self.cx.db();
        let elsewhere = in_other_database(spec, args, self.cx.databases());
        let keys = spec.key_positions(args).into_iter().filter_map(|at| args.get(at)).map(|key| (db, key));
        for (key_db, key) in keys.chain(elsewhere) {
            if key.len() > MAX_KEY_BYTES {
                return Ok(Err(errors::KEY_TOO_LONG));
            }
            match self.cx.reach(key_db, key) {
                Ok(true) => {}
                Ok(false) => return Err(self.interrupt()),
                Err(message) => return Ok(Err(CommandError::new(format!("ERR {message}")))),
            }
        }
        let result = match spec.handler {
            Handler::Read(handler) => {
                if !std::mem::replace(&mut self.has_read, true) {
                    self.note_reads();
                }
                self.cx.read(|cx| handler(cx, args, reply))
            }
            Handler::Write(handler) => handler(self.cx, args, reply),
            _ => Err(NOT_ALLOWED),
        };
        if result.is_err()
            && let Some(lack) = self.cx.lack()
        {
            self.why = Some(Why::Lacks(lack));
            return Err(Interrupt);
        }
        Ok(result)
    }

    /// Ends the script, so that it begins again with what the run lacks.
    fn interrupt(&mut self) -> Interrupt {
        self.why = self.cx.lack().map(Why::Lacks);
        Interrupt
    }
}

impl Host for ScriptHost<'_, '_> {
    fn call(&mut self, args: Args<'_>, protocol: Protocol, out: &mut Vec<u8>) -> Result<(), Interrupt> {
        let mark = out.len();
        let mut reply = Reply::new(out, protocol);
        reply.limit(self.env.limits.max_reply_bytes);
        let result = self.run_counted(args, &mut reply).inspect_err(|_| reply.truncate(mark))?;
        let result = if reply.is_full() { Err(errors::REPLY_TOO_LONG) } else { result };
        if let Err(error) = result {
            let is_write = || Self::find(args).is_some_and(|(_, spec)| spec.is_write());
            if error == errors::REPLY_TOO_LONG && is_write() {
                // What it has taken out would be lost.
                self.why = Some(Why::Undone(error));
                return Err(Interrupt);
            }
            reply.truncate(mark);
            reply.error(error.text());
            self.aftermath.tally.error(error.text());
        }
        Ok(())
    }

    fn check_permission(&mut self, args: Args<'_>) -> Permission {
        match Self::find(args) {
            Some((_, spec)) if spec.takes(args.len()) => {
                match self.session.account.user().check(spec, args) {
                    Ok(()) => Permission::Granted,
                    Err(_) => Permission::Denied,
                }
            }
            _ => Permission::NoSuchCommand,
        }
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        let message = String::from_utf8_lossy(message);
        match level {
            LogLevel::Debug => tracing::debug!(target: "script", "{message}"),
            LogLevel::Verbose | LogLevel::Notice => tracing::info!(target: "script", "{message}"),
            LogLevel::Warning => tracing::warn!(target: "script", "{message}"),
        }
    }

    fn should_stop(&mut self) -> Option<Stop> {
        let run = self.run.show();
        if run.is_killed() {
            return Some(Stop::Kill);
        }
        if self.node.is_stopping() {
            // Half of what it does must not stay.
            self.why = Some(Why::Undone(STOPPING));
            return Some(Stop::Interrupt);
        }
        if run.elapsed() >= self.busy_after {
            if run.tell_busy(self.command) {
                self.node.store.begin_busy();
            }
            attendant::attend();
        }
        None
    }

    fn seed(&mut self) -> i32 {
        // Any bits of it will do.
        self.env.random as i32
    }

    fn cpu_seconds(&mut self) -> f64 {
        self.run.elapsed().as_secs_f64()
    }
}

/// Whether an XREAD or XREADGROUP has the option BLOCK.
fn would_block(args: Args<'_>) -> bool {
    let mut at = 1;
    while let Some(option) = args.get(at) {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("BLOCK") || is("STREAMS") {
            return is("BLOCK");
        }
        at += if is("GROUP") {
            3
        } else if is("COUNT") {
            2
        } else {
            1
        };
    }
    false
}
