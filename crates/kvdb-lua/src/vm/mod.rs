//! The virtual machine: compiles scripts and libraries, and runs them.

mod compiled;
mod functions;
mod recent;

use std::fmt;
use std::sync::Arc;

use kvdb_resp::Reply;
use mlua::{Function, HookTriggers, Table, Value, VmState};

use crate::builder::set_limit;
use crate::cache::{Origin, ScriptCache};
use crate::convert::{WriteError, write_error, write_value};
use crate::function::Library;
use crate::host::{Host, Stop, host_is_set, set_host};
use crate::sandbox::{Sandbox, compile, failed_reply};
use crate::script::{Script, Sha};
use crate::stack;
use crate::state::{Failure, RunState, Scope};
use crate::thrown::{ReplyError, Thrown};
use compiled::Compiled;
pub use recent::Ready;
use recent::Recent;

/// Bounds on what scripts may take.
#[derive(Debug, Clone, Copy)]
pub struct VmOptions {
    /// Bytes that Lua may use, all scripts and what they have left to collect included. An allocation beyond them fails
    /// with "not enough memory", which a script may catch.
    pub memory_limit: usize,
    /// Bytes of the reply that a script returns.
    pub max_reply: usize,
}

impl Default for VmOptions {
    fn default() -> Self {
        Self { memory_limit: 256 << 20, max_reply: 512 << 20 }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ending {
    /// What the script returned is written as the reply.
    Returned,
    /// The script failed or was killed, and an error reply is written. `counted`: the error is one that the host made as
    /// the reply of a command, and so has counted already.
    Failed {
        /// See above.
        counted: bool,
    },
    /// The host ended it, by [`Interrupt`](crate::Interrupt) or [`Stop::Interrupt`]. Nothing is written.
    Interrupted,
}

/// What a string in a list takes beside its text, roughly.
const BYTES_PER_ELEMENT: usize = 40;

/// What a list of strings takes, roughly.
fn bytes_of(elements: &[&[u8]]) -> usize {
    elements.iter().map(|element| BYTES_PER_ELEMENT + element.len()).sum()
}

/// Lua instructions between two questions whether to go on: some microseconds.
const INSTRUCTIONS_PER_POLL: u32 = 2000;

/// A Lua virtual machine. It belongs to one thread, and a server has one for each that runs scripts; what they share are
/// [`ScriptCache`] and [`FunctionRegistry`](crate::FunctionRegistry).
///
/// # Invariants
/// Between runs no memory limit is set, so that what happens then cannot fail for want of memory.
pub struct Vm {
    sandbox: Sandbox,
    state: RunState,
    options: VmOptions,
    /// Scripts as functions.
    scripts: Compiled<Sha, Script>,
    recent: Recent,
    /// For each library that was needed, a table of its functions.
    libraries: Compiled<String, Library>,
    /// The memory in use at which all garbage is collected after a run.
    collect_at: usize,
}

impl Vm {
    /// A machine without scripts.
    ///
    /// # Panics
    /// If there is not even memory for the libraries.
    #[must_use]
    pub fn new(options: VmOptions) -> Self {
        Self::build(options).expect("the environment of scripts is built from fixed text")
    }

    fn build(options: VmOptions) -> mlua::Result<Self> {
        let (sandbox, state) = Sandbox::new(options.memory_limit)?;
        let lua = &sandbox.lua;
        let run = state.clone();
        let triggers = HookTriggers::new().every_nth_instruction(INSTRUCTIONS_PER_POLL);
        lua.set_global_hook(triggers, move |lua, _| {
            if host_is_set() {
                run.poll(lua)?;
            }
            Ok(VmState::Continue)
        })?;
        Ok(Self {
            state,
            options,
            scripts: Compiled::new(lua)?,
            recent: Recent::default(),
            libraries: Compiled::new(lua)?,
            collect_at: options.memory_limit / 4,
            sandbox,
        })
    }

    /// The script with this text: from the cache, or new, compiled and put into the cache.
    ///
    /// # Errors
    /// The error reply for a text that has a wrong first line or does not compile.
    pub fn script(&mut self, cache: &ScriptCache, text: &[u8], origin: Origin) -> Result<Ready, Vec<u8>> {
        if origin == Origin::Eval {
            if let Some(ready) = self.recent.find(cache, |script| script.text() == text) {
                return Ok(ready);
            }
            if let Some(ready) = self.in_cache(cache, &Sha::of(text))? {
                return Ok(ready);
            }
        }
        let script = Script::new(text)?;
        let function = self.compile_script(&script)?;
        let script = cache.insert(script, origin);
        self.scripts.keep(script.sha(), &script, &function).map_err(|error| self.failure(&error))?;
        Ok(Ready::new(script, function))
    }

    /// The script with this digest, if the cache has it.
    ///
    /// # Errors
    /// The error reply for one that does not compile.
    pub fn known(&mut self, cache: &ScriptCache, sha: &Sha) -> Result<Option<Ready>, Vec<u8>> {
        match self.recent.find(cache, |script| script.sha() == *sha) {
            Some(ready) => Ok(Some(ready)),
            None => self.in_cache(cache, sha),
        }
    }

    /// A script of the cache that was not asked for recently.
    fn in_cache(&mut self, cache: &ScriptCache, sha: &Sha) -> Result<Option<Ready>, Vec<u8>> {
        // What is forgotten between the two is known to be: the version is older then.
        let version = cache.version();
        let Some(script) = cache.get(sha) else { return Ok(None) };
        let function = self.compiled(&script)?;
        let ready = Ready::new(script, function);
        self.recent.keep(cache, version, &ready);
        Ok(Some(ready))
    }

    /// Runs a script of this machine: EVAL and EVALSHA. `KEYS` and `ARGV` hold `keys` and `args`. The reply, if there is
    /// one, is appended to `reply`.
    pub fn eval(
        &mut self,
        host: &mut dyn Host,
        script: &Ready,
        keys: &[&[u8]],
        args: &[&[u8]],
        reply: &mut Reply<'_>,
    ) -> Ending {
        self.state.begin(Scope::Script);
        if let Err(error) = self.set_arguments(keys, args) {
            return self.refuse(&self.failure(&error), reply);
        }
        let sandbox = &self.sandbox;
        let result = self.run(host, || stack::call(&sandbox.lua, script.function(), &sandbox.note_failure));
        self.state.resume_panic();
        self.finish(host, &script.sha(), result, reply)
    }

    /// Bytes that Lua uses at the moment.
    #[must_use]
    pub fn used_memory(&self) -> usize {
        self.sandbox.lua.used_memory()
    }

    fn compile_script(&self, script: &Script) -> Result<Function, Vec<u8>> {
        let compiled = compile(&self.sandbox.lua, Scope::Script, script.code(), b"@user_script");
        compiled
            .map_err(|message| [b"ERR Error compiling script (new function): ", message.as_slice()].concat())
    }

    /// The script as a function, compiled now if it was not yet.
    fn compiled(&mut self, script: &Arc<Script>) -> Result<Function, Vec<u8>> {
        let known = self.scripts.get(&script.sha(), script).map_err(|error| self.failure(&error))?;
        if let Some(function) = known {
            return Ok(function);
        }
        let function = self.compile_script(script)?;
        self.scripts.keep(script.sha(), script, &function).map_err(|error| self.failure(&error))?;
        Ok(function)
    }

    fn set_arguments(&mut self, keys: &[&[u8]], args: &[&[u8]]) -> mlua::Result<()> {
        let bytes = bytes_of(keys) + bytes_of(args);
        if let Err(error) = self.state.check_room(&self.sandbox.lua, bytes) {
            if bytes > self.options.memory_limit {
                return Err(error);
            }
            // Mostly it is the arguments of the last run that are in the way.
            self.collect_all()?;
            self.state.check_room(&self.sandbox.lua, bytes)?;
        }
        self.fill_arguments(keys, args)
    }

    fn fill_arguments(&self, keys: &[&[u8]], args: &[&[u8]]) -> mlua::Result<()> {
        let (lua, globals, names) = (&self.sandbox.lua, &self.sandbox.script_globals, &self.state.names);
        stack::set_list(lua, globals, &names.keys, keys)?;
        stack::set_list(lua, globals, &names.argv, args)
    }

    fn list(&self, elements: &[&[u8]]) -> mlua::Result<Table> {
        self.state.check_room(&self.sandbox.lua, bytes_of(elements))?;
        stack::list(&self.sandbox.lua, elements)
    }

    /// Runs Lua code under the limits and with a host, whose panic, if it panics, is left to the caller to resume.
    fn run(
        &self,
        host: &mut dyn Host,
        body: impl FnOnce() -> mlua::Result<(bool, Value)>,
    ) -> mlua::Result<(bool, Value)> {
        self.state.failure.take();
        set_limit(&self.sandbox.lua, self.options.memory_limit);
        let result = set_host(host, body);
        set_limit(&self.sandbox.lua, 0);
        result
    }

    /// Writes the reply of a run of the script or function called `name`.
    fn finish(
        &mut self,
        host: &mut dyn Host,
        name: &dyn fmt::Display,
        result: mlua::Result<(bool, Value)>,
        reply: &mut Reply<'_>,
    ) -> Ending {
        let ending = match (self.state.stopped(), result) {
            (Some(Stop::Interrupt), _) => Ending::Interrupted,
            (None, Ok((true, value))) => self.write(host, name, &value, reply),
            (_, result) => self.write_failure(name, self.take_failure(result), reply),
        };
        self.collect_garbage();
        ending
    }

    /// Writes what a script has returned.
    fn write(
        &self,
        host: &mut dyn Host,
        name: &dyn fmt::Display,
        value: &Value,
        reply: &mut Reply<'_>,
    ) -> Ending {
        let (lua, state) = (&self.sandbox.lua, &self.state);
        let mark = reply.len();
        let written = set_host(host, || write_value(lua, state, value, self.options.max_reply, reply));
        state.resume_panic();
        let Err(error) = written else { return Ending::Returned };
        reply.truncate(mark);
        match (error, state.stopped()) {
            (WriteError::TooLarge, _) => self.refuse(b"ERR reached lua stack limit", reply),
            (WriteError::Stopped, Some(Stop::Interrupt)) => Ending::Interrupted,
            (WriteError::Stopped, _) => {
                self.write_failure(name, self.take_failure(Ok((false, Value::Nil))), reply)
            }
        }
    }

    fn write_failure(&self, name: &dyn fmt::Display, failure: Failure, reply: &mut Reply<'_>) -> Ending {
        let Failure { error, position } = failure;
        let mut message = error.message;
        if let Some((source, line)) = position {
            message.extend_from_slice(format!(" script: {name}, on {source}:{line}.").as_bytes());
        }
        write_error(&message, reply);
        Ending::Failed { counted: error.counted }
    }

    /// What ended a run: as it was noted, or, where nothing could be noted, by what the run returned.
    fn take_failure(&self, result: mlua::Result<(bool, Value)>) -> Failure {
        let noted = self.state.failure.take();
        noted.unwrap_or_else(|| {
            let error = match result {
                Ok((_, value)) => failed_reply(&self.sandbox.lua, &self.state, &value),
                Err(error) => ReplyError { message: self.failure(&error), counted: false },
            };
            Failure { error, position: None }
        })
    }

    /// An error outside of a script's code, as an error reply.
    fn failure(&self, error: &mlua::Error) -> Vec<u8> {
        match Thrown::of(error) {
            Thrown::Reply(error) => error.message,
            Thrown::Message(message) => [b"ERR ", message.as_slice()].concat(),
            Thrown::Stopped => b"ERR the script was stopped".to_vec(),
        }
    }

    fn refuse(&self, message: &[u8], reply: &mut Reply<'_>) -> Ending {
        write_error(message, reply);
        Ending::Failed { counted: false }
    }

    /// Leaves no large garbage to the next run: Lua does not collect when it is out of memory, it fails.
    fn collect_garbage(&mut self) {
        if self.used_memory() > self.collect_at {
            // It fails only where a finalizer does, and no script can have one.
            let _ = self.collect_all();
        }
    }

    /// Collects all garbage, the arguments of the last run included.
    fn collect_all(&mut self) -> mlua::Result<()> {
        self.fill_arguments(&[], &[])?;
        let collected = self.sandbox.lua.gc_collect();
        let used = self.used_memory();
        // Below the limit, whatever is kept: what a run leaves never grows beyond that.
        self.collect_at = used + self.options.memory_limit.saturating_sub(used) / 4;
        collected
    }
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Vm({} scripts, {} libraries, {} bytes)",
            self.scripts.len(),
            self.libraries.len(),
            self.used_memory()
        )
    }
}
