//! Transactions: commands that are queued by MULTI and run as one by EXEC.
//!
//! The commands on keys run under the latches of all keys of the transaction, and what they change is appended to the log
//! as one batch: nobody sees a part of it, neither another client nor a start after a crash. A command that fails does
//! not take back the others, as in Redis.
//!
//! Commands about the connection and the server touch no keys; they run when those before and behind them have. A command
//! on a whole database (FLUSHDB, SCAN …), and a script, latches what it needs itself, so it ends one batch and begins
//! another: between the two, others may see what came before it. So does a command on keys behind one that changes what
//! users may do (AUTH, ACL SETUSER …): it runs with the rights that it has then. These are the only exceptions from the above.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kvdb_resp::{OwnedArgs, Reply};
use kvdb_store::{Env, Guards, Lack, Pins, Place, Residency, Scratch, Store, Watches, WriteCx};
use smallvec::SmallVec;

use crate::acl;
use crate::blocking;
use crate::errors::{self, CmdResult, CommandError};
use crate::exec::{Beside, Failed, MAX_KEY_BYTES, Missing, note_reads};
use crate::families::generic::in_other_database;
use crate::keyspace_cx::KeyspaceCx;
use crate::spec::{CommandSpec, Flags, Handler, KeyspaceOutcome};

/// Bytes of arguments that a transaction may queue.
const MAX_QUEUED_BYTES: usize = 1 << 30;
/// Keys that are loaded before the transaction is tried again.
const LOADS_AT_A_TIME: usize = 256;

/// A command that waits for EXEC.
#[derive(Debug)]
pub struct Queued {
    /// Its index in the table.
    pub index: usize,
    /// Its row of the table.
    pub spec: &'static CommandSpec,
    /// Its arguments.
    pub args: OwnedArgs,
}

/// What a connection has queued since MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    queue: Vec<Queued>,
    bytes: usize,
    broken: bool,
}

impl Transaction {
    /// Adds a command.
    ///
    /// # Errors
    /// When more is queued than may be; the transaction is broken then.
    pub fn push(&mut self, queued: Queued) -> CmdResult {
        self.bytes += queued.args.as_args().iter().map(<[u8]>::len).sum::<usize>() + size_of::<Queued>();
        if self.bytes > MAX_QUEUED_BYTES {
            self.broken = true;
            self.queue = Vec::new();
            return Err(errors::TRANSACTION_TOO_LARGE);
        }
        self.queue.push(queued);
        Ok(())
    }

    /// Notes that a command was refused, so that EXEC will run none.
    pub fn break_it(&mut self) {
        self.broken = true;
    }

    /// Whether a command was refused.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The commands.
    pub fn queue(&self) -> &[Queued] {
        &self.queue
    }

    /// Bytes of memory of what is queued, about.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether some command may make memory grow.
    pub fn grows(&self) -> bool {
        self.queue.iter().any(|queued| queued.spec.flags.has(Flags::DENYOOM))
    }

    /// Whether some command may store something.
    pub fn may_write(&self) -> bool {
        self.queue.iter().any(|queued| queued.spec.may_write())
    }
}

/// How a transaction ended.
#[derive(Debug)]
pub enum Outcome {
    /// All commands ran. The reply may leave when this sequence is safe, and this is the selected database now.
    Done(u64, u16),
    /// A watched key was changed; none ran. The reply may leave when this sequence is safe.
    Touched(u64),
    /// Keys have to be loaded first; nothing has been written or changed.
    NeedIo(Missing),
}

/// What a transaction needs of who runs it.
pub trait Around {
    /// Whether the user may still run a command.
    ///
    /// # Errors
    /// The error to reply with when not.
    fn may_run(&mut self, queued: &Queued) -> CmdResult;
    /// Runs a command about the connection or the server.
    ///
    /// # Errors
    /// Those of the command.
    fn session(&mut self, queued: &Queued, reply: &mut Reply<'_>) -> CmdResult;
    /// Runs a script in a database; returns the sequence that its reply depends on.
    ///
    /// # Errors
    /// Those of the script.
    fn script(&mut self, queued: &Queued, db: u16, reply: &mut Reply<'_>) -> Result<u64, CommandError>;
    /// The time on a stopwatch, where the command is one that is timed on its own.
    fn moment(&mut self, queued: &Queued) -> Option<Duration>;
    /// Notes that a command has run, and how long that took where it was timed.
    fn ran(&mut self, queued: &Queued, failed: Option<&CommandError>, took: Option<Duration>);
}

/// A transaction under way.
struct Run<'r> {
    store: &'r Arc<Store>,
    env: Env,
    db: u16,
    depends_on: u64,
}

/// Runs a transaction whose commands were all accepted, in a database. On an error nothing is in `reply`.
///
/// # Errors
/// When the log refuses the changes, or there is no room for a reply that comes with one; then none of them has happened.
#[expect(clippy::too_many_arguments, reason = "they are what a run needs, and there are two callers")]
pub fn run(
    transaction: &Transaction,
    watches: Option<&Watches>,
    store: &Arc<Store>,
    db: u16,
    env: Env,
    scratch: &mut Scratch,
    reply: &mut Reply<'_>,
    around: &mut dyn Around,
) -> Result<Outcome, Failed> {
    let queue = transaction.queue();
    let mark = reply.len();
    let mut run = Run { store, env: Env { located: None, ..env }, db, depends_on: 0 };
    let (keyed, mut rest) = first_part(queue);
    let mut beside = Beside::Nothing;
    let mut done = loop {
        let latches = || run.latch(queue, watches, store, &beside);
        let keys = || run.keys(queue).into_iter().map(|(db, key)| (db, store.place(key)));
        let mut guards = blocking::latch_in_turn(store, run.env, scratch, latches, keys)?;
        if watches.is_some_and(|watches| watches.are_touched(&guards, env.now)) {
            return Ok(Outcome::Touched(store.appended()));
        }
        if let Some(missing) = run.missing(queue, &mut guards)? {
            return Ok(Outcome::NeedIo(missing));
        }
        reply.limit(env.limits.max_reply_bytes);
        reply.array(queue.len());
        match run.keyed(keyed, store, guards, scratch, reply, around) {
            Ok(None) => break Ok(()),
            Ok(Some(lack)) => {
                reply.truncate(mark);
                match lack {
                    Lack::Latches(places) => beside = beside.and(places),
                    Lack::Loads(db, keys) => return Ok(Outcome::NeedIo(Missing::lacked(store, db, keys))),
                }
            }
            Err(error) => break Err(error),
        }
    };
    while let (Ok(()), Some((next, behind))) = (&done, rest.split_first()) {
        if is_on_databases(next) {
            run.on_databases(next, reply, around);
            rest = behind;
        }
        let (keyed, others) = first_part(rest);
        rest = others;
        done = run.keyed_later(keyed, store, scratch, reply, around);
    }
    if let Err(error) = done {
        reply.truncate(mark);
        return Err(error.into());
    }
    Ok(Outcome::Done(run.depends_on, run.db))
}

/// The commands that run as one batch, and those behind them: from the first on that is on whole databases, or on keys
/// behind a change of rights.
fn first_part(queue: &[Queued]) -> (&[Queued], &[Queued]) {
    let mut rights_changed = false;
    let end = queue.iter().position(|queued| {
        rights_changed |= changes_rights(queued);
        is_on_databases(queued) || (rights_changed && !is_on_session(queued))
    });
    queue.split_at(end.unwrap_or(queue.len()))
}

fn is_on_databases(queued: &Queued) -> bool {
    matches!(queued.spec.handler, Handler::Keyspace(_) | Handler::Script)
}

/// Whether a command may change what the connection may do.
fn changes_rights(queued: &Queued) -> bool {
    let names = ["auth", "hello", "acl|setuser", "acl|deluser", "acl|load"];
    is_on_session(queued) && names.contains(&acl::full_name(queued.spec))
}

/// Whether a command is about the connection or the server, SELECT aside.
fn is_on_session(queued: &Queued) -> bool {
    matches!(queued.spec.handler, Handler::Session(_)) && queued.spec.name != "select"
}

/// The database that a queued SELECT selects.
fn selected(queued: &Queued, store: &Store) -> Result<u16, CommandError> {
    crate::families::connection::database(&queued.args.as_args()[1], store)
}

impl Run<'_> {
    /// The keys of commands with their databases, SELECT taken into account.
    fn keys<'q>(&self, queue: &'q [Queued]) -> Vec<(u16, &'q [u8])> {
        let mut db = self.db;
        let mut keys = Vec::new();
        for queued in queue {
            let args = queued.args.as_args();
            if queued.spec.name == "select" {
                db = selected(queued, self.store).unwrap_or(db);
            }
            keys.extend(
                queued
                    .spec
                    .key_positions(args)
                    .into_iter()
                    .map(move |at| (db, args.get(at).unwrap_or_default())),
            );
            keys.extend(in_other_database(queued.spec, args, self.store.databases()));
        }
        keys
    }

    fn latch<'g>(
        &self,
        queue: &[Queued],
        watches: Option<&Watches>,
        store: &'g Store,
        beside: &Beside,
    ) -> Option<Guards<'g>> {
        let keys = self.keys(queue);
        let places = keys.iter().map(|&(db, key)| (db, store.place(key)));
        let places: SmallVec<[(u16, Place); 16]> = places.collect();
        let watched = watches.into_iter().flat_map(Watches::places);
        let guards = beside.latch(store, places.iter().map(|&(_, place)| place).chain(watched))?;
        let here = places.iter().filter(|&&(db, _)| db == self.db).map(|&(_, place)| place);
        guards.prefetch(self.db, &here.collect::<SmallVec<[Place; 16]>>());
        Some(guards)
    }

    /// The keys that have to be loaded before anything runs.
    fn missing(&self, queue: &[Queued], guards: &mut Guards<'_>) -> Result<Option<Missing>, CommandError> {
        let mut missing: Vec<(u16, &[u8])> = Vec::new();
        for (db, key) in self.keys(queue) {
            if key.len() > MAX_KEY_BYTES {
                return Err(errors::KEY_TOO_LONG);
            }
            let residency = self.store.ensure_resident(guards, db, key, self.env.now);
            match residency.map_err(|message| CommandError::new(format!("ERR {message}")))? {
                Residency::Ready => {}
                Residency::NeedIo if missing.len() < LOADS_AT_A_TIME => missing.push((db, key)),
                Residency::NeedIo => break,
            }
        }
        let Some(&(db, key)) = missing.last() else { return Ok(None) };
        let mut pins = Pins::new(self.store);
        missing.iter().for_each(|&(db, key)| pins.add(guards, db, key));
        Ok(Some(Missing { db, key: key.to_vec(), others: missing.into_iter().map(own).collect(), pins }))
    }

    /// Latches the keys of a later part of a transaction, which cannot begin again: what has left memory meanwhile is
    /// loaded by this thread.
    fn latch_loaded<'g>(
        &self,
        queue: &[Queued],
        store: &'g Store,
        beside: &Beside,
    ) -> Result<Guards<'g>, CommandError> {
        loop {
            let mut guards = self.latch(queue, None, store, beside).ok_or(errors::BUSY_SCRIPT)?;
            let Some(missing) = self.missing(queue, &mut guards)? else { return Ok(guards) };
            drop(guards);
            missing.others.iter().try_for_each(|(db, key)| self.load(*db, key))?;
        }
    }

    fn load(&self, db: u16, key: &[u8]) -> CmdResult {
        let loaded = self.store.load_and_wait(db, key, self.env.now);
        loaded.map_err(|message| CommandError::new(format!("ERR {message}")))
    }

    /// Runs commands of a later part of a transaction, as often as they lack something: what has to be loaded for that is
    /// loaded by this thread.
    fn keyed_later(
        &mut self,
        queue: &[Queued],
        store: &Store,
        scratch: &mut Scratch,
        reply: &mut Reply<'_>,
        around: &mut dyn Around,
    ) -> CmdResult {
        let (mark, mut beside) = (reply.len(), Beside::Nothing);
        loop {
            let guards = self.latch_loaded(queue, store, &beside)?;
            match self.keyed(queue, store, guards, scratch, reply, around)? {
                None => return Ok(()),
                Some(Lack::Latches(places)) => beside = beside.and(places),
                Some(Lack::Loads(db, keys)) => {
                    self.env.rounds = self.env.rounds.saturating_add(1);
                    keys.iter().try_for_each(|key| self.load(db, key))?;
                }
            }
            reply.truncate(mark);
        }
    }

    /// Runs commands that are not on whole databases: those on keys as one batch, then the others. Where one of them
    /// lacks something, none has run.
    fn keyed<'g>(
        &mut self,
        queue: &[Queued],
        store: &'g Store,
        guards: Guards<'g>,
        scratch: &'g mut Scratch,
        reply: &mut Reply<'_>,
        around: &mut dyn Around,
    ) -> Result<Option<Lack>, CommandError> {
        let mixed = queue.iter().any(is_on_session);
        let mut aside = Vec::new();
        let mut aside_reply = Reply::new(&mut aside, reply.protocol());
        aside_reply.limit(reply.room());
        let mut spans: Vec<Range<usize>> = Vec::new();
        let mut cx = WriteCx::new(store, guards, scratch, self.env, self.db);
        let mut ended = Vec::new();
        for queued in queue.iter().filter(|queued| !is_on_session(queued)) {
            let may_run = around.may_run(queued);
            let began = around.moment(queued);
            let result = if mixed {
                let from = aside_reply.len();
                let result = one(queued, may_run, &mut cx, self.store, &mut aside_reply);
                spans.push(from..aside_reply.len());
                result
            } else {
                one(queued, may_run, &mut cx, self.store, reply)
            };
            if result.is_err()
                && let Some(lack) = cx.lack()
            {
                cx.abandon();
                return Ok(Some(lack));
            }
            // What it has taken out would be lost.
            if queued.spec.is_write() && result == Err(errors::REPLY_TOO_LONG) {
                cx.abandon();
                return Err(errors::REPLY_TOO_LONG);
            }
            ended.push((result.err(), took(began, queued, around)));
        }
        // Only now it is sure that they have run.
        for (queued, (failure, took)) in queue.iter().filter(|queued| !is_on_session(queued)).zip(&ended) {
            around.ran(queued, failure.as_ref(), *took);
        }
        self.db = cx.db();
        let seq = cx.commit().map_err(|refusal| CommandError::new(refusal.to_string()))?;
        self.depends_on = self.depends_on.max(seq);
        let mut spans = spans.into_iter();
        for queued in queue.iter().filter(|_| mixed) {
            if !is_on_session(queued) {
                reply.raw(&aside[spans.next().unwrap_or_default()]);
                continue;
            }
            let (mark, began) = (reply.len(), around.moment(queued));
            let result = around.may_run(queued).and_then(|()| around.session(queued, reply));
            settle(queued, result, (mark, began), reply, around);
        }
        Ok(None)
    }

    fn on_databases(&mut self, queued: &Queued, reply: &mut Reply<'_>, around: &mut dyn Around) {
        let start = (reply.len(), around.moment(queued));
        if let Err(error) = around.may_run(queued) {
            return settle(queued, Err(error), start, reply, around);
        }
        let Handler::Keyspace(handler) = queued.spec.handler else {
            let result = around.script(queued, self.db, reply).map(|seq| {
                self.depends_on = self.depends_on.max(seq);
            });
            return settle(queued, result, start, reply, around);
        };
        let mut cx = KeyspaceCx { store: self.store, db: self.db, env: self.env, may_wait: true };
        let result = handler(&mut cx, queued.args.as_args(), reply).map(|outcome| {
            if let KeyspaceOutcome::Done(seq) = outcome {
                self.depends_on = self.depends_on.max(seq);
            }
        });
        settle(queued, result, start, reply, around);
    }
}

fn own((db, key): (u16, &[u8])) -> (u16, Vec<u8>) {
    (db, key.to_vec())
}

/// Runs a command on keys, if it may run; where it fails, the error is its reply.
fn one(
    queued: &Queued,
    may_run: CmdResult,
    cx: &mut WriteCx<'_>,
    store: &Store,
    reply: &mut Reply<'_>,
) -> CmdResult {
    let (args, mark) = (queued.args.as_args(), reply.len());
    cx.locate(queued.spec.only_key(args));
    let result = may_run.and_then(|()| {
        let result = match queued.spec.handler {
            Handler::Read(handler) => cx.read(|cx| handler(cx, args, reply)),
            Handler::Write(handler) => handler(cx, args, reply),
            _ => selected(queued, store).map(|db| {
                cx.select(db);
                reply.ok();
            }),
        };
        note_reads(cx, queued.spec, args);
        result
    });
    cx.locate(None);
    let result = unless_full(result, reply);
    reply_failure(&result, mark, reply);
    result
}

/// What came of a command, whose reply may be too long.
fn unless_full(result: CmdResult, reply: &Reply<'_>) -> CmdResult {
    if reply.is_full() { Err(errors::REPLY_TOO_LONG) } else { result }
}

/// Where a command has failed, the error is its reply.
fn reply_failure(result: &CmdResult, mark: usize, reply: &mut Reply<'_>) {
    if let Err(error) = result {
        reply.truncate(mark);
        reply.error(error.text());
    }
}

/// Ends a command: where it failed, the error is its reply.
fn settle(
    queued: &Queued,
    result: CmdResult,
    (mark, began): (usize, Option<Duration>),
    reply: &mut Reply<'_>,
    around: &mut dyn Around,
) {
    let result = unless_full(result, reply);
    reply_failure(&result, mark, reply);
    let took = took(began, queued, around);
    around.ran(queued, result.as_ref().err(), took);
}

/// How long a command took that is timed.
fn took(began: Option<Duration>, queued: &Queued, around: &mut dyn Around) -> Option<Duration> {
    began.and_then(|began| Some(around.moment(queued)?.saturating_sub(began)))
}
