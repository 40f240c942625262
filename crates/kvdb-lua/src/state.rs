//! What the functions of a VM share during a run.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use kvdb_resp::{OwnedArgs, Protocol};
use mlua::{Function, Lua};

use crate::api::random::Lrand48;
use crate::host::{Host, Stop, with_host};
use crate::libraries::cjson::Config;
use crate::sandbox::Names;
use crate::thrown::{OUT_OF_MEMORY, ReplyError, Thrown, innermost_position};

/// A handle to it; every function of this crate that Lua can call owns one.
#[derive(Clone)]
pub(crate) struct RunState(Rc<Shared>);

pub(crate) struct Shared {
    /// The strings that conversions look for in tables.
    pub(crate) names: Names,
    /// Lua's own `next`.
    next: Function,
    /// Bytes that Lua may use, and that no function of this crate may make it use.
    memory_limit: usize,
    /// The protocol of the replies to `redis.call`: `redis.setresp` changes it.
    pub(crate) protocol: Cell<Protocol>,
    /// Set once the run has to end; it cannot be caught away.
    stopped: Cell<Option<Stop>>,
    /// The error that ends the run, noted where it is thrown: later its place is unknown.
    pub(crate) failure: RefCell<Option<Failure>>,
    /// `math.random`: none until a run draws a number.
    pub(crate) random: Cell<Option<Lrand48>>,
    /// The options of the `cjson` that scripts find.
    pub(crate) cjson: Rc<Config>,
    /// Which globals `load` gives to what it compiles.
    pub(crate) scope: Cell<Scope>,
    /// A panic of the host, which goes on once Lua has been left.
    panic: Cell<Option<Box<dyn Any + Send>>>,
    /// Room for the arguments of a command.
    pub(crate) words: RefCell<OwnedArgs>,
    /// Room for the reply of a command.
    pub(crate) reply: RefCell<Vec<u8>>,
    /// The functions that the library being loaded has registered; none when no library is.
    pub(crate) registrations: RefCell<Option<crate::function::Registrations>>,
}

/// Which code is running, and so which globals there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Scope {
    /// A script: EVAL.
    #[default]
    Script,
    /// A function: FCALL.
    Function,
}

/// How a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: ReplyError,
    /// The place in the script, where there is one: chunk and line.
    pub(crate) position: Option<(String, usize)>,
}

impl std::ops::Deref for RunState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl RunState {
    pub(crate) fn new(names: Names, next: Function, memory_limit: usize) -> Self {
        Self(Rc::new(Shared {
            names,
            next,
            memory_limit,
            protocol: Cell::default(),
            stopped: Cell::default(),
            failure: RefCell::default(),
            random: Cell::default(),
            cjson: Rc::default(),
            scope: Cell::default(),
            panic: Cell::default(),
            words: RefCell::default(),
            reply: RefCell::default(),
            registrations: RefCell::default(),
        }))
    }

    /// Forgets the last run.
    pub(crate) fn begin(&self, scope: Scope) {
        self.protocol.set(Protocol::Resp2);
        self.stopped.set(None);
        self.random.set(None);
        self.cjson.reset();
        self.scope.set(scope);
    }

    /// Why the run has to end, if it has to.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.stopped.get()
    }

    /// Ends the run: the error is to be returned at once.
    pub(crate) fn stop(&self, stop: Stop) -> mlua::Error {
        if self.stopped.get().is_none() {
            self.stopped.set(Some(stop));
        }
        Thrown::Stopped.into()
    }

    /// Lua's own `next`, for walking through a table step by step.
    pub(crate) fn next(&self) -> &Function {
        &self.next
    }

    /// Refuses to go on where so many bytes more would pass the memory limit.
    pub(crate) fn check_room(&self, lua: &Lua, bytes: usize) -> mlua::Result<()> {
        if lua.used_memory().saturating_add(bytes) > self.memory_limit {
            return Err(Thrown::Message(OUT_OF_MEMORY.into()).into());
        }
        Ok(())
    }

    /// Asks the host something. A panic of the host ends the run like an interruption; it must not pass through Lua, where
    /// a script could catch it.
    pub(crate) fn ask<R>(&self, ask: impl FnOnce(&mut dyn Host) -> R) -> mlua::Result<R> {
        catch_unwind(AssertUnwindSafe(|| with_host(ask))).map_err(|panic| {
            self.panic.set(Some(panic));
            self.stop(Stop::Interrupt)
        })
    }

    /// Goes on with the host's panic, if there was one.
    pub(crate) fn resume_panic(&self) {
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
    }

    /// Asks the host whether the run may go on.
    pub(crate) fn poll(&self, lua: &Lua) -> mlua::Result<()> {
        let stop = match self.stopped() {
            None => self.ask(|host| host.should_stop())?,
            stopped => stopped,
        };
        let Some(stop) = stop else { return Ok(()) };
        if stop == Stop::Kill && self.stopped().is_none() {
            // Once the error has gone through the script's handlers, the place is lost.
            self.failure.replace(Some(self.kill_failure(lua)));
        }
        Err(self.stop(stop))
    }

    fn kill_failure(&self, lua: &Lua) -> Failure {
        let command = if self.scope.get() == Scope::Script { "SCRIPT" } else { "FUNCTION" };
        let message = format!("ERR Script killed by user with {command} KILL.").into_bytes();
        let position = innermost_position(lua).map(|position| (position.source, position.line));
        Failure { error: ReplyError { message, counted: false }, position }
    }
}
