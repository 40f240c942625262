//! Scripts and functions: the Lua machines of the workers, what they share, and how a run is put between the latches.
//!
//! A script runs under the latches of the keys that it declares, as one run: what it changes is one batch. It may touch
//! other keys too, and whole databases. It then tries to get their latches without waiting, since who holds some must not
//! wait for others. Where that fails, or such a key is on disk, what the script has changed is forgotten and it begins
//! again, with every latch or with the key loaded. Nobody has seen anything of the first try: messages that it published
//! are sent at its end. In a transaction it is a part of the transaction's run, which begins again as a whole.

mod aftermath;
mod functions;
mod host;
mod libraries;
mod running;
mod tally;

use std::cell::RefCell;
use std::sync::Arc;

use kvdb_commands::exec::{MAX_KEY_BYTES, Missing};
use kvdb_commands::transaction::Unfinished;
use kvdb_commands::values::number::parse_i64;
use kvdb_commands::{CommandError, CommandSpec, Flags, Handler, Session, blocking, errors};
use kvdb_lua::{
    CacheLimits, Ending, Flags as ScriptFlags, FunctionRegistry, Origin, Ready, RegisteredFunction,
    ScriptCache, Sha, Vm, VmOptions,
};
use kvdb_resp::{Args, Reply};
use kvdb_store::{Env, Lack, Pins, Place, Residency, Scratch, WriteCx};
use smallvec::SmallVec;

use crate::node::Node;
use crate::stats::WorkerStats;
pub use aftermath::Aftermath;
use host::{ScriptHost, Why};
use running::Begun;
pub use running::Running;

const NEGATIVE_KEYS: CommandError = CommandError::fixed("ERR Number of keys can't be negative");
const BAD_NUMBER_OF_KEYS: CommandError = CommandError::fixed("ERR Bad number of keys provided");
const TOO_MANY_KEYS: CommandError =
    CommandError::fixed("ERR Number of keys can't be greater than number of args");
const NO_SCRIPT: CommandError = CommandError::fixed("NOSCRIPT No matching script. Please use EVAL.");
const NO_FUNCTION: CommandError = CommandError::fixed("ERR Function not found");
const STOPPING: CommandError = CommandError::fixed("ERR The server is shutting down; the script was undone");
const WRITES_IN_RO: CommandError =
    CommandError::fixed("ERR Can not execute a script with write flag using *_ro command.");

/// What all workers share of scripts.
pub struct Scripting {
    /// The scripts that EVALSHA finds.
    pub cache: ScriptCache,
    /// The libraries.
    pub functions: FunctionRegistry,
    /// Those that run.
    pub running: Running,
}

impl Scripting {
    /// No scripts.
    pub fn new() -> Self {
        Self {
            cache: ScriptCache::new(CacheLimits::default()),
            functions: FunctionRegistry::default(),
            running: Running::default(),
        }
    }
}

impl Default for Scripting {
    fn default() -> Self {
        Self::new()
    }
}

thread_local! {
    /// The machine of this thread, made when the first script comes.
    static VM: RefCell<Option<Vm>> = const { RefCell::new(None) };
}

/// Does something with the machine of this thread.
pub(crate) fn with_vm<R>(run: impl FnOnce(&mut Vm) -> R) -> R {
    VM.with_borrow_mut(|vm| run(vm.get_or_insert_with(|| Vm::new(VmOptions::default()))))
}

/// The text of an error reply.
fn error(text: &[u8]) -> CommandError {
    CommandError::new(String::from_utf8_lossy(text).into_owned())
}

/// What a worker lends to a script, and where what the script runs is counted.
pub struct Lent<'c> {
    /// Buffers.
    pub scratch: &'c mut Scratch,
    /// The statistics of the worker that runs it.
    pub stats: &'c WorkerStats,
    /// Whether times are kept.
    pub track: bool,
    /// What is not told yet.
    pub aftermath: &'c mut Aftermath,
    /// The highest sequence that the client has seen.
    pub seen: u64,
}

/// How a script ended.
pub enum Outcome {
    /// The reply is written and may leave when this sequence is safe.
    Done(u64),
    /// Keys have to be loaded first; nothing has been written or changed.
    NeedIo(Missing),
}

/// What is run.
enum Subject {
    Script(Ready),
    Function(RegisteredFunction),
}

/// What the arguments of EVAL and its like say.
struct Call<'a> {
    subject: Subject,
    /// Keys, of which there are `count`, then arguments.
    words: SmallVec<[&'a [u8]; 8]>,
    count: usize,
    reads_only: bool,
    /// Where it has any, if none of them.
    flags: Option<ScriptFlags>,
}

impl<'a> Call<'a> {
    fn parse(node: &Node, spec: &CommandSpec, args: Args<'a>) -> Result<Self, CommandError> {
        let must_read = spec.flags.has(Flags::READONLY);
        let function = if spec.name.starts_with("fcall") {
            Some(node.scripting.functions.find(&args[1]).ok_or(NO_FUNCTION)?)
        } else {
            None
        };
        let not_a_number = if function.is_some() { BAD_NUMBER_OF_KEYS } else { errors::NOT_INTEGER };
        let count = parse_i64(&args[2]).ok_or(not_a_number)?;
        let count = usize::try_from(count).map_err(|_| NEGATIVE_KEYS)?;
        if count > args.len() - 3 {
            return Err(TOO_MANY_KEYS);
        }
        let subject = if let Some(function) = function {
            Subject::Function(function)
        } else if spec.name.starts_with("evalsha") {
            let cache = &node.scripting.cache;
            let sha = Sha::parse(&args[1]).ok_or(NO_SCRIPT)?;
            let found = with_vm(|vm| vm.known(cache, &sha)).map_err(|text| error(&text))?;
            Subject::Script(found.ok_or(NO_SCRIPT)?)
        } else {
            let cache = &node.scripting.cache;
            let script = with_vm(|vm| vm.script(cache, &args[1], Origin::Eval));
            Subject::Script(script.map_err(|text| error(&text))?)
        };
        let flags = match &subject {
            Subject::Script(script) => script.flags(),
            Subject::Function(function) => Some(function.info().flags),
        };
        let declares_reads = flags.is_some_and(|flags| flags.contains(ScriptFlags::NO_WRITES));
        if must_read && flags.is_some() && !declares_reads {
            return Err(WRITES_IN_RO);
        }
        let reads_only = must_read || declares_reads;
        Ok(Self { subject, words: args.tail(3).iter().collect(), count, reads_only, flags })
    }

    /// The keys that it declares.
    fn declared(&self) -> &[&'a [u8]] {
        &self.words[..self.count]
    }

    /// The manners of its run.
    fn env(&self, env: Env) -> Result<Env, CommandError> {
        // A script with a first line of flags says whether it makes memory grow.
        let allows_oom = self.flags.map(|flags| flags.contains(ScriptFlags::ALLOW_OOM));
        if env.is_full && allows_oom == Some(false) && !self.reads_only {
            return Err(errors::OUT_OF_MEMORY);
        }
        Ok(Env { is_full: env.is_full && allows_oom != Some(true), ..env })
    }

    /// Notes that it runs from now on: what it has waited for is not its time.
    fn begin<'n>(&self, node: &'n Node) -> Begun<'n> {
        node.scripting.running.begin(matches!(self.subject, Subject::Function(_)))
    }

    /// Runs it as a part of a run; why it comes to nothing, if it does.
    #[expect(clippy::too_many_arguments, reason = "they are what a script needs, and there are two callers")]
    fn run(
        &self,
        node: &Arc<Node>,
        session: &mut Session,
        (spec, args): (&'static CommandSpec, Args<'_>),
        env: Env,
        cx: &mut WriteCx<'_>,
        running: &Begun<'_>,
        aftermath: &mut Aftermath,
        reply: &mut Reply<'_>,
    ) -> Option<Why> {
        let (db, mark) = (cx.db(), reply.len());
        aftermath.clear();
        let (declared, arguments) = self.words.split_at(self.count);
        let mut host =
            ScriptHost::new(node, session, env, cx, self.reads_only, (running, args, declared), aftermath);
        let ending = with_vm(|vm| match &self.subject {
            Subject::Script(script) => vm.eval(&mut host, script, declared, arguments, reply),
            Subject::Function(function) => vm.call(&mut host, function, declared, arguments, reply),
        });
        let why = host.end(ending == Ending::Interrupted);
        // What it has selected is its own.
        cx.select(db);
        aftermath.ended(spec, running.elapsed(), reply.since(mark));
        why
    }
}

/// Whether a command runs a script or function that has declared to write nothing. One that is not there is none.
pub fn only_reads(node: &Node, spec: &CommandSpec, args: Args<'_>) -> bool {
    matches!(spec.handler, Handler::Script) && Call::parse(node, spec, args).is_ok_and(|call| call.reads_only)
}

/// Runs EVAL, EVALSHA, FCALL and their read-only forms. What they run is counted, and where the reply is an error, that
/// the script has failed.
///
/// # Errors
/// The error to reply with, where nothing has run, or nothing that has run was kept.
pub fn run(
    node: &Arc<Node>,
    session: &mut Session,
    spec: &'static CommandSpec,
    env: Env,
    lent: Lent<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, CommandError> {
    let Lent { scratch, stats, track, aftermath, seen } = lent;
    let call = Call::parse(node, spec, args)?;
    let (store, env, mark) = (&node.store, call.env(env)?, reply.len());
    let mut everything = false;
    loop {
        // Here already, since it has to outlive the latches.
        let running;
        let places: SmallVec<[Place; 8]> = call.declared().iter().map(|key| env.place(store, key)).collect();
        let latches = || {
            if everything { store.latch_all_unless_busy() } else { store.latch_unless_busy(&places) }
        };
        let keys = || places.iter().map(|&place| (session.db, place));
        let mut guards = blocking::latch_in_turn(store, env, scratch, latches, keys)?;
        for key in call.declared() {
            if key.len() > MAX_KEY_BYTES {
                return Err(errors::KEY_TOO_LONG);
            }
            let residency = store.ensure_resident(&mut guards, session.db, key, &env);
            if residency.map_err(|message| CommandError::new(format!("ERR {message}")))? == Residency::NeedIo
            {
                let mut pins = Pins::new(store);
                call.declared().iter().for_each(|key| pins.add(&mut guards, session.db, key));
                let missing = Missing { db: session.db, key: key.to_vec(), others: Vec::new(), pins };
                return Ok(Outcome::NeedIo(missing));
            }
        }
        running = call.begin(node);
        let mut cx = WriteCx::new(store, guards, scratch, env, session.db);
        match call.run(node, session, (spec, args), env, &mut cx, &running, aftermath, reply) {
            None => {
                let committed = cx.commit();
                let seq = committed.map_err(|refusal| {
                    reply.truncate(mark);
                    CommandError::new(refusal.to_string())
                })?;
                aftermath.tell(node, stats, track, env.now, seq.max(seen));
                return Ok(Outcome::Done(seq));
            }
            Some(why) => {
                cx.abandon();
                reply.truncate(mark);
                match why {
                    Why::Lacks(Lack::Latches(_)) => everything = true,
                    Why::Lacks(Lack::Loads(db, keys)) => {
                        return Ok(Outcome::NeedIo(Missing::lacked(store, db, keys)));
                    }
                    Why::Undone(error) => return Err(error),
                }
            }
        }
    }
}

/// As [`run`], as a part of the run of a transaction; tells whether it has called commands that write. When that has been
/// appended, what is in `aftermath` is to be told.
///
/// # Errors
/// Why it has not run to its end.
pub fn run_within(
    node: &Arc<Node>,
    session: &mut Session,
    (spec, args): (&'static CommandSpec, Args<'_>),
    cx: &mut WriteCx<'_>,
    aftermath: &mut Aftermath,
    reply: &mut Reply<'_>,
) -> Result<bool, Unfinished> {
    let call = Call::parse(node, spec, args)?;
    let env = call.env(Env { random: cx.random(), ..cx.env() })?;
    let running = call.begin(node);
    match call.run(node, session, (spec, args), env, cx, &running, aftermath, reply) {
        None => Ok(running.writes()),
        Some(Why::Lacks(lack)) => Err(Unfinished::Lacks(lack)),
        Some(Why::Undone(error)) => Err(Unfinished::Undone(error)),
    }
}
