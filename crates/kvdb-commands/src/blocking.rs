//! Commands that wait: those that found nothing and run again when a key they named has been changed.
//!
//! Such a command is kept whole, with its arguments, and whoever changes a key that it waits for runs it again on the spot
//! ([`serve`]), after the change and before the next command. So an element that is pushed goes to the client that has
//! waited the longest, and a client that pushes and then looks finds what Redis would show it. What the command replied is
//! handed to the thread that owns the connection.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use kvdb_resp::{OwnedArgs, Protocol, Reply};
use kvdb_store::{Env, Guards, Place, Scratch, Sleeper, Store};
use parking_lot::Mutex;

use crate::acl::{Account, Denied};
use crate::errors::{self, CommandError};
use crate::exec::{self, Attempt, Failed, Missing};
use crate::spec::CommandSpec;

/// A command that waits.
pub struct Sleeping {
    /// Its row of the table.
    pub spec: &'static CommandSpec,
    args: OwnedArgs,
    db: u16,
    protocol: Protocol,
    /// For whom it runs, and with which manners.
    env: Env,
    /// The user for whom it waits, once it does.
    account: OnceLock<Arc<Account>>,
    /// Whether it is not to run any more.
    is_called_off: AtomicBool,
    state: Mutex<State>,
}

enum State {
    /// It waits; this is to be called when it need not any more.
    Waiting(Option<Box<dyn FnOnce() + Send>>),
    /// It has run.
    Served(Served),
    /// It could run if these keys were loaded.
    Cold(Missing),
    /// It could run if no script were busy.
    Held,
    /// Nobody waits for it any more.
    Over,
}

/// What a command that has waited replied.
#[derive(Debug, PartialEq, Eq)]
pub struct Served {
    /// The reply.
    pub reply: Vec<u8>,
    /// The sequence that must be safe before it may leave.
    pub depends_on: u64,
    /// What the user is denied, where the reply is a refusal: to be noted by whoever waits.
    pub denied: Option<Denied>,
}

impl Served {
    /// A reply to a command that was not denied.
    pub fn replied(reply: Vec<u8>, depends_on: u64) -> Self {
        Self { reply, depends_on, denied: None }
    }
}

/// Why a wait was interrupted.
#[derive(Debug)]
pub enum Wake {
    /// The command has run.
    Served(Served),
    /// Keys have to be loaded, and [`Wait::try_again`] be called then.
    Cold(Missing),
    /// A script is busy; [`Wait::try_again`] is to be called when none is.
    Held,
    /// Nothing has happened.
    Nothing,
}

impl Sleeper for Sleeping {
    fn minds_absence(&self) -> bool {
        // Who reads for a group is told that the stream and its groups are gone.
        self.spec.name == "xreadgroup"
    }
}

impl Sleeping {
    pub(crate) fn new(
        spec: &'static CommandSpec,
        args: OwnedArgs,
        db: u16,
        protocol: Protocol,
        env: Env,
    ) -> Self {
        Self {
            spec,
            args,
            db,
            protocol,
            env,
            account: OnceLock::new(),
            is_called_off: AtomicBool::new(false),
            state: Mutex::new(State::Waiting(None)),
        }
    }

    /// What the user is denied who may not run the command any more, and the error that says so.
    fn denied(&self) -> Option<(Denied, CommandError)> {
        let account = self.account.get().filter(|account| !account.is_unrestricted())?;
        let denied = account.user().check(self.spec, self.args.as_args()).err()?;
        Some((denied, errors::no_permission(&denied.sentence(account.name(), self.spec))))
    }

    /// Runs the command again, if it still waits.
    fn try_again(&self, store: &Arc<Store>, env: Env, scratch: &mut Scratch) {
        let mut state = self.state.lock();
        let State::Waiting(wake) = &mut *state else { return };
        if self.is_called_off.load(Ordering::Acquire) {
            return;
        }
        let Env { touch, client, keeps, .. } = self.env;
        let env = Env { touch, client, keeps, located: None, ..env };
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, self.protocol);
        let denied = self.denied();
        let attempt = match &denied {
            Some((_, error)) => Err(Failed::from(error.clone())),
            None => exec::run_again(self.spec, store, self.db, env, scratch, self.args.as_args(), &mut reply),
        };
        let wake = wake.take();
        *state = match attempt {
            Ok(Attempt::Done(depends_on)) => State::Served(Served::replied(out, depends_on)),
            Ok(Attempt::NeedIo(missing)) => State::Cold(missing),
            Ok(Attempt::Waits) => {
                *state = State::Waiting(wake);
                return;
            }
            Err(failed) if failed.error == errors::BUSY_SCRIPT => State::Held,
            Err(failed) => {
                reply.truncate(0);
                reply.error(failed.error.text());
                let denied = denied.map(|(denied, _)| denied);
                State::Served(Served { reply: out, depends_on: failed.depends_on, denied })
            }
        };
        drop(state);
        if let Some(wake) = wake {
            wake();
        }
    }
}

/// Takes the latches of a run that may change keys, once nobody waits for one of these keys who has not tried again since it
/// was changed: those come first.
///
/// # Errors
/// A busy script has one of the latches.
#[inline]
pub fn latch_in_turn<'s, K: Iterator<Item = (u16, Place)>>(
    store: &'s Arc<Store>,
    env: Env,
    scratch: &mut Scratch,
    latch: impl Fn() -> Option<Guards<'s>>,
    keys: impl Fn() -> K,
) -> Result<Guards<'s>, CommandError> {
    loop {
        let guards = latch().ok_or(errors::BUSY_SCRIPT)?;
        if !guards.has_sleepers() {
            return Ok(guards);
        }
        let before = scratch.ready.len();
        scratch.ready.extend(keys().filter(|&(db, place)| guards.unserved(db, place)));
        if scratch.ready.len() == before {
            return Ok(guards);
        }
        drop(guards);
        serve(store, Env { located: None, ..env }, scratch);
    }
}

/// How somebody else ends a wait at once: what is changed from then on is not for who has waited.
#[derive(Clone)]
pub struct CallOff(Arc<Sleeping>);

impl std::fmt::Debug for CallOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CallOff").field(&self.0.spec).finish()
    }
}

impl CallOff {
    /// Has the command not run any more, unless it is running at this moment. May be called from within what it runs.
    pub fn call_off(&self) {
        self.0.is_called_off.store(true, Ordering::Release);
    }

    /// As [`Self::call_off`], and tells whether the command has not run. Waits where it is running.
    pub fn call_off_waiting(&self) -> bool {
        let state = self.0.state.lock();
        let waits = !matches!(*state, State::Served(_));
        if waits {
            self.call_off();
        }
        waits
    }
}

/// A wait, for as long as this lives.
pub struct Wait {
    store: Arc<Store>,
    sleeping: Arc<Sleeping>,
    places: Vec<Place>,
    /// When it ends, in Unix milliseconds; never without.
    pub deadline: Option<u64>,
}

impl std::fmt::Debug for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait")
            .field("command", &self.sleeping.spec)
            .field("deadline", &self.deadline)
            .finish()
    }
}

impl Wait {
    pub(crate) fn new(
        store: &Arc<Store>,
        sleeping: Arc<Sleeping>,
        places: Vec<Place>,
        deadline: Option<u64>,
    ) -> Self {
        Self { store: store.clone(), sleeping, places, deadline }
    }

    /// Says who waits: the command runs only while that user may run it.
    pub fn belongs_to(&self, account: &Arc<Account>) {
        self.sleeping.account.get_or_init(|| account.clone());
    }

    /// How somebody else ends it.
    pub fn call_off(&self) -> CallOff {
        CallOff(self.sleeping.clone())
    }

    /// What has happened so far; where nothing has, `wake` is called once when something does.
    pub fn look(&self, wake: impl FnOnce() + Send + 'static) -> Wake {
        let mut state = self.sleeping.state.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Waiting(_) => {
                *state = State::Waiting(Some(Box::new(wake)));
                Wake::Nothing
            }
            State::Cold(missing) => {
                *state = State::Waiting(None);
                Wake::Cold(missing)
            }
            State::Held => {
                *state = State::Waiting(None);
                Wake::Held
            }
            State::Served(served) => Wake::Served(served),
            State::Over => Wake::Nothing,
        }
    }

    /// Runs the command again: keys that it needs have been loaded.
    pub fn try_again(&self, env: Env, scratch: &mut Scratch) {
        self.sleeping.try_again(&self.store, env, scratch);
    }

    /// Ends the wait; what the command replied, if it has run meanwhile.
    pub fn give_up(&self) -> Option<Served> {
        match std::mem::replace(&mut *self.sleeping.state.lock(), State::Over) {
            State::Served(served) => Some(served),
            State::Waiting(_) | State::Cold(_) | State::Held | State::Over => None,
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        *self.sleeping.state.lock() = State::Over;
        let sleeper: Arc<dyn Sleeper> = self.sleeping.clone();
        for &place in &self.places {
            self.store.forget_sleeper(self.sleeping.db, place, &sleeper);
        }
    }
}

/// Lets those try again who wait for keys that runs have changed, the longest-waiting first.
pub fn serve(store: &Arc<Store>, env: Env, scratch: &mut Scratch) {
    while !scratch.ready.is_empty() {
        let (db, place) = scratch.ready.remove(0);
        let (sleepers, changes) = store.sleepers(db, place);
        for sleeper in sleepers {
            let sleeper: Arc<dyn Any + Send + Sync> = sleeper;
            if let Ok(sleeping) = sleeper.downcast::<Sleeping>() {
                sleeping.try_again(store, env, scratch);
            }
        }
        store.sleepers_served(db, place, changes);
    }
}
