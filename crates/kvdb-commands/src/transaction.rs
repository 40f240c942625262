//! Transactions: commands that are queued by MULTI and run as one by EXEC.
//!
//! The commands on keys and whole databases, and the scripts, of a transaction are one run: it has the latches of all keys
//! that they declare, or all latches where a command on a whole database is among them, and what they change is appended
//! to the log as one batch. Nobody sees a part of it, neither another client nor a start after a crash, and no watched key
//! can change once it has been looked at. A command that fails does not take back the others, as in Redis.
//!
//! Commands about the connection and the server touch no keys; they run when those before and behind them have, but for
//! those that say what is noted of what the commands behind them read (SELECT, CLIENT TRACKING and its like). Some decide what
//! becomes of commands behind them: what the user may do (AUTH, ACL SETUSER …), or which scripts there are and how they run
//! (SCRIPT, FUNCTION, CONFIG, DEBUG). The commands behind are a run of their own then, and others may see what came before
//! it. These are the only exceptions from the above.

mod queue;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kvdb_resp::Reply;
use kvdb_store::{Env, Guards, Lack, Pins, Place, Residency, Scratch, Store, Watches, WriteCx};
use smallvec::SmallVec;

pub use self::queue::{Queued, Transaction};

use self::queue::{Declared, first_part, is_on_session};
use crate::blocking;
use crate::errors::{self, CmdResult, CommandError};
use crate::exec::{Beside, Failed, MAX_KEY_BYTES, Missing, note_reads};
use crate::keyspace_cx::KeyspaceCx;
use crate::spec::Handler;

/// Keys that are loaded before the transaction is tried again.
const LOADS_AT_A_TIME: usize = 256;

type Keys<'q> = SmallVec<[Declared<'q>; 16]>;

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
    /// A run begins, or begins again: what the scripts of a run that was not appended have left is to be forgotten, and what
    /// commands about the connection in it have set is to be set back.
    fn begin(&mut self);
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
    /// Whether what the client reads from here on is kept by it, and whether it counts as use of keys.
    fn manners(&self) -> (bool, bool);
    /// Runs a script as a part of a run, in its database; tells whether it has called commands that write.
    ///
    /// # Errors
    /// Why it did not run to its end.
    fn script(
        &mut self,
        queued: &Queued,
        cx: &mut WriteCx<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<bool, Unfinished>;
    /// The time on a stopwatch, where the command is one that is timed on its own.
    fn moment(&mut self, queued: &Queued) -> Option<Duration>;
    /// The run has been appended: whatever is told of it depends on this sequence.
    fn appended(&mut self, seq: u64);
    /// Notes that a command has run, and how long that took where it was timed.
    fn ran(&mut self, queued: &Queued, failed: Option<&CommandError>, took: Option<Duration>);
}

/// Why a command of a run has not run to its end.
#[derive(Debug)]
pub enum Unfinished {
    /// It has failed; this is its reply.
    Failed(CommandError),
    /// The run has to begin again, with what it lacks.
    Lacks(Lack),
    /// Nothing of the run is to stay.
    Undone(CommandError),
}

impl From<CommandError> for Unfinished {
    fn from(error: CommandError) -> Self {
        Self::Failed(error)
    }
}

/// A transaction under way.
struct Run<'r> {
    store: &'r Arc<Store>,
    env: Env,
    db: u16,
    depends_on: u64,
    /// Bytes that commands may still reply with; see [`ValueLimits::max_reply_bytes`](kvdb_store::ValueLimits).
    room: usize,
}

/// Runs a transaction whose commands were all accepted, in a database. On an error nothing is in `reply`.
///
/// # Errors
/// When the log refuses the changes, or there is no room for a reply that comes with one; then none of them has happened.
/// Where a later part comes to that, its commands and those behind it reply so.
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
    let mut run =
        Run { store, env: Env { located: None, ..env }, db, depends_on: 0, room: env.limits.max_reply_bytes };
    let (part, mut rest) = first_part(queue);
    let (mut beside, keys) = (latches_beside(part), run.keys(queue));
    let done = loop {
        let latches = || run.latch(&keys, watches, store, &beside);
        let places = || keys.iter().map(|declared| (declared.db, declared.place));
        let mut guards = blocking::latch_in_turn(store, run.env, scratch, latches, places)?;
        if watches.is_some_and(|watches| watches.are_touched(&guards, env.now)) {
            return Ok(Outcome::Touched(store.appended()));
        }
        if let Some(missing) = run.missing(&keys, &mut guards)? {
            return Ok(Outcome::NeedIo(missing));
        }
        reply.array(queue.len());
        match run.part(part, store, guards, scratch, reply, around) {
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
    if let Err(error) = done {
        reply.truncate(mark);
        return Err(error.into());
    }
    while !rest.is_empty() {
        let (part, behind) = first_part(rest);
        let mark = reply.len();
        if let Err(error) = run.later_part(part, store, scratch, reply, around) {
            // What stands before has happened: its replies stay.
            reply.truncate(mark);
            rest.iter().for_each(|_| reply.error(error.text()));
            break;
        }
        rest = behind;
    }
    Ok(Outcome::Done(run.depends_on, run.db))
}

/// The latches that commands need beside those of their keys.
fn latches_beside(queue: &[Queued]) -> Beside {
    let is_on_databases = |queued: &Queued| matches!(queued.spec.handler, Handler::Keyspace(_));
    if queue.iter().any(is_on_databases) { Beside::Everything } else { Beside::Nothing }
}

/// The database that a queued SELECT selects.
fn selected(queued: &Queued, store: &Store) -> Result<u16, CommandError> {
    crate::families::connection::database(&queued.args.as_args()[1], store)
}

impl Run<'_> {
    /// The keys of commands with their databases, SELECT taken into account.
    fn keys<'q>(&self, queue: &'q [Queued]) -> Keys<'q> {
        let (mut db, store) = (self.db, self.store);
        let mut keys = Keys::new();
        for queued in queue {
            if queued.spec.name == "select" {
                db = selected(queued, store).unwrap_or(db);
            }
            keys.extend(queued.declared(db, store));
        }
        keys
    }

    fn latch<'g>(
        &self,
        keys: &[Declared<'_>],
        watches: Option<&Watches>,
        store: &'g Store,
        beside: &Beside,
    ) -> Option<Guards<'g>> {
        let watched = watches.into_iter().flat_map(Watches::places);
        let guards = beside.latch(store, keys.iter().map(|declared| declared.place).chain(watched))?;
        let here = keys.iter().filter(|declared| declared.db == self.db).map(|declared| declared.place);
        guards.prefetch(self.db, &here.collect::<SmallVec<[Place; 16]>>());
        Some(guards)
    }

    /// The keys that have to be loaded before anything runs.
    fn missing(
        &self,
        keys: &[Declared<'_>],
        guards: &mut Guards<'_>,
    ) -> Result<Option<Missing>, CommandError> {
        let mut missing: Vec<(u16, &[u8])> = Vec::new();
        for &Declared { db, key, place } in keys {
            if key.len() > MAX_KEY_BYTES {
                return Err(errors::KEY_TOO_LONG);
            }
            let residency = self.store.ensure_resident_at(guards, db, key, place, self.env.now);
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
        let keys = self.keys(queue);
        loop {
            let mut guards = self.latch(&keys, None, store, beside).ok_or(errors::BUSY_SCRIPT)?;
            let Some(missing) = self.missing(&keys, &mut guards)? else { return Ok(guards) };
            drop(guards);
            missing.others.iter().try_for_each(|(db, key)| self.load(*db, key))?;
        }
    }

    fn load(&self, db: u16, key: &[u8]) -> CmdResult {
        let loaded = self.store.load_and_wait(db, key, self.env.now);
        loaded.map_err(|message| CommandError::new(format!("ERR {message}")))
    }

    /// Runs a later part of a transaction, as often as it lacks something: what has to be loaded for that is loaded by this
    /// thread.
    fn later_part(
        &mut self,
        queue: &[Queued],
        store: &Store,
        scratch: &mut Scratch,
        reply: &mut Reply<'_>,
        around: &mut dyn Around,
    ) -> CmdResult {
        let (mark, mut beside) = (reply.len(), latches_beside(queue));
        loop {
            let guards = self.latch_loaded(queue, store, &beside)?;
            match self.part(queue, store, guards, scratch, reply, around)? {
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

    /// Runs commands: first, as one run, those that are not about the connection or the server, or have to run where they
    /// stand, then the others. Where one of them lacks something, none has run.
    fn part<'g>(
        &mut self,
        queue: &[Queued],
        store: &'g Store,
        guards: Guards<'g>,
        scratch: &'g mut Scratch,
        reply: &mut Reply<'_>,
        around: &mut dyn Around,
    ) -> Result<Option<Lack>, CommandError> {
        around.begin();
        let mixed = queue.iter().any(is_on_session);
        let (mut aside, mut spans, room) = (Vec::new(), Vec::<Range<usize>>::new(), self.room);
        let mut cx = WriteCx::new(store, guards, scratch, self.env, self.db);
        let (mut ended, mut is_astray) = (Vec::with_capacity(queue.len()), false);
        for queued in queue.iter().filter(|queued| !is_on_session(queued)) {
            let began = around.moment(queued);
            let from = aside.len();
            let result = if mixed {
                let aside_reply = &mut Reply::new(&mut aside, reply.protocol());
                self.one(queued, is_astray, &mut cx, around, aside_reply)
            } else {
                self.one(queued, is_astray, &mut cx, around, reply)
            };
            let failure = match result {
                Ok(()) => None,
                Err(Unfinished::Failed(error)) => Some(error),
                Err(Unfinished::Lacks(lack)) => {
                    cx.abandon();
                    self.room = room;
                    return Ok(Some(lack));
                }
                Err(Unfinished::Undone(error)) => {
                    cx.abandon();
                    return Err(error);
                }
            };
            if mixed {
                spans.push(from..aside.len());
            }
            // Keys were made resident in the databases that were to be selected.
            is_astray |= failure.is_some() && queued.spec.name == "select";
            ended.push((failure, took(began, queued, around)));
        }
        self.db = cx.db();
        (self.env.keeps, self.env.touch) = (cx.env().keeps, cx.env().touch);
        let seq = cx.commit().map_err(|refusal| CommandError::new(refusal.to_string()))?;
        self.depends_on = self.depends_on.max(seq);
        // Only now it is sure that they have run.
        around.appended(self.depends_on);
        for (queued, (failure, took)) in queue.iter().filter(|queued| !is_on_session(queued)).zip(&ended) {
            around.ran(queued, failure.as_ref(), *took);
        }
        let mut spans = spans.into_iter();
        for queued in queue.iter().filter(|_| mixed) {
            if !is_on_session(queued) {
                reply.raw(&aside[spans.next().unwrap_or_default()]);
                continue;
            }
            let (mark, began) = (reply.len(), around.moment(queued));
            reply.lift_limit();
            reply.limit(self.room);
            let result = around.may_run(queued).and_then(|()| around.session(queued, reply));
            let failure = self.end_reply(result, false, mark, reply).err();
            let took = took(began, queued, around);
            around.ran(queued, failure.as_ref(), took);
        }
        Ok(None)
    }

    /// Runs a command of a run, if it may run; where it fails, the error is its reply.
    fn one(
        &mut self,
        queued: &Queued,
        is_astray: bool,
        cx: &mut WriteCx<'_>,
        around: &mut dyn Around,
        reply: &mut Reply<'_>,
    ) -> Result<(), Unfinished> {
        let mark = reply.len();
        // A script's reply is limited by the memory that it may take, and comes with what it has changed.
        let is_script = matches!(queued.spec.handler, Handler::Script);
        reply.lift_limit();
        if !is_script {
            reply.limit(self.room);
        }
        match (queued.spec.only_key(queued.args.as_args()), queued.place) {
            (Some(key), Some(place)) => cx.locate_at(key, place),
            (key, _) => cx.locate(key),
        }
        let result = match around.may_run(queued) {
            Ok(()) => self.carry_out(queued, is_astray, cx, around, reply),
            Err(denied) => Err(denied.into()),
        };
        cx.locate(None);
        let is_too_long = match &result {
            Ok(_) => self.is_too_long(mark, reply),
            Err(Unfinished::Failed(error)) => *error == errors::REPLY_TOO_LONG,
            Err(_) => false,
        };
        if is_too_long && !is_script && queued.spec.is_write() {
            // What it has taken out would be lost.
            return Err(Unfinished::Undone(errors::REPLY_TOO_LONG));
        }
        let result = match result {
            Ok(wrote) => self.end_reply(Ok(()), wrote, mark, reply),
            Err(Unfinished::Failed(error)) => match cx.lack() {
                Some(lack) => return Err(Unfinished::Lacks(lack)),
                None => self.end_reply(Err(error), false, mark, reply),
            },
            Err(other) => return Err(other),
        };
        Ok(result?)
    }

    /// Has a command do what it does; tells whether it may have written.
    fn carry_out(
        &self,
        queued: &Queued,
        is_astray: bool,
        cx: &mut WriteCx<'_>,
        around: &mut dyn Around,
        reply: &mut Reply<'_>,
    ) -> Result<bool, Unfinished> {
        let args = queued.args.as_args();
        if is_astray || cx.has_moved_databases() {
            for Declared { db, key, .. } in queued.declared(cx.db(), self.store) {
                let ready =
                    cx.reach(db, key).map_err(|message| CommandError::new(format!("ERR {message}")))?;
                if !ready {
                    return Err(errors::NEEDS_LOAD.into());
                }
            }
        }
        let result = match queued.spec.handler {
            Handler::Read(handler) => cx.read(|cx| handler(cx, args, reply)),
            Handler::Write(handler) => handler(cx, args, reply),
            Handler::Keyspace(handler) => {
                handler(&mut KeyspaceCx::within(self.store, cx), args, reply).map(drop)
            }
            Handler::Script => return around.script(queued, cx, reply),
            Handler::Session(_) if queued.spec.name != "select" => {
                let done = around.session(queued, reply);
                let (keeps, touch) = around.manners();
                cx.set_manners(keeps, touch);
                done
            }
            _ => selected(queued, self.store).map(|db| {
                cx.select(db);
                reply.ok();
            }),
        };
        note_reads(cx, queued.spec, args);
        result?;
        Ok(queued.spec.may_write())
    }

    /// Whether something of a reply may have been left out for want of room. Of a line nothing ever is.
    fn is_too_long(&self, mark: usize, reply: &Reply<'_>) -> bool {
        let is_line = match reply.since(mark) {
            [b'+' | b':' | b'-' | b'_' | b',' | b'#' | b'(', ..] => true,
            whole => whole == b"$-1\r\n" || whole == b"*-1\r\n",
        };
        reply.len() - mark >= self.room && !is_line
    }

    /// Ends the reply of a command. Where it has failed, or replies with more than there is room for, the error is its
    /// reply; not where it has written, which must not be denied.
    fn end_reply(&mut self, result: CmdResult, wrote: bool, mark: usize, reply: &mut Reply<'_>) -> CmdResult {
        let result = match result {
            Ok(()) if !wrote && self.is_too_long(mark, reply) => Err(errors::REPLY_TOO_LONG),
            result => result,
        };
        if let Err(error) = &result {
            reply.truncate(mark);
            reply.error(error.text());
        }
        self.room = self.room.saturating_sub(reply.len() - mark);
        result
    }
}

fn own((db, key): (u16, &[u8])) -> (u16, Vec<u8>) {
    (db, key.to_vec())
}

/// How long a command took that is timed.
fn took(began: Option<Duration>, queued: &Queued, around: &mut dyn Around) -> Option<Duration> {
    began.and_then(|began| Some(around.moment(queued)?.saturating_sub(began)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_resp::{OwnedArgs, Protocol};
    use kvdb_store::testing;

    /// Somebody who may not select databases.
    struct Restricted;

    impl Around for Restricted {
        fn begin(&mut self) {}

        fn may_run(&mut self, queued: &Queued) -> CmdResult {
            if queued.spec.name == "select" { Err(CommandError::fixed("NOPERM")) } else { Ok(()) }
        }

        fn session(&mut self, _queued: &Queued, reply: &mut Reply<'_>) -> CmdResult {
            reply.ok();
            Ok(())
        }

        fn manners(&self) -> (bool, bool) {
            (false, true)
        }

        fn script(
            &mut self,
            _queued: &Queued,
            _cx: &mut WriteCx<'_>,
            _reply: &mut Reply<'_>,
        ) -> Result<bool, Unfinished> {
            unreachable!("there are no scripts here")
        }

        fn moment(&mut self, _queued: &Queued) -> Option<Duration> {
            None
        }

        fn appended(&mut self, _seq: u64) {}

        fn ran(&mut self, _queued: &Queued, _failed: Option<&CommandError>, _took: Option<Duration>) {}
    }

    /// What a transaction replies; what it needs is loaded, and nothing else stays in memory meanwhile.
    fn exec(store: &Arc<Store>, commands: &[&str]) -> String {
        exec_within(store, commands, 1 << 20)
    }

    /// As [`exec`], with room for so many bytes of replies.
    fn exec_within(store: &Arc<Store>, commands: &[&str], room: usize) -> String {
        let mut transaction = Transaction::default();
        for command in commands {
            let args: OwnedArgs = command.split(' ').collect();
            let (index, spec) = crate::table::find(args.as_args().name()).expect("the command is there");
            transaction
                .push(Queued { index, spec, args, place: None }, 1 << 20)
                .expect("there is room for it");
        }
        let (mut out, mut scratch, mut env) = (Vec::new(), Scratch::default(), Env::at(1));
        env.limits.max_reply_bytes = room;
        let mut pins = Pins::new(store);
        loop {
            let mut reply = Reply::new(&mut out, Protocol::Resp2);
            let around = &mut Restricted;
            match run(&transaction, None, store, 0, env, &mut scratch, &mut reply, around)
                .expect("the log is sound")
            {
                Outcome::NeedIo(missing) => {
                    for (db, key) in std::iter::once((missing.db, missing.key)).chain(missing.others) {
                        store.load_and_wait(db, &key, 1).expect("rows are sound");
                    }
                    pins.extend(missing.pins);
                }
                _ => return String::from_utf8_lossy(&out).replace("\r\n", " "),
            }
        }
    }

    fn evict_all(store: &Store) {
        store.rows().flush().expect("the disk is sound");
        let mut random = 1;
        while store.resident_keys() > 0 {
            store.evict_to_disk(0, store.appended(), 1, random);
            random += 1;
        }
    }

    /// A store whose key `k` is 41 in the first database and `other` in the second, on disk alone.
    fn cold_store(dir: &std::path::Path) -> Arc<Store> {
        let store = testing::open_store(dir);
        exec(&store, &["set k other", "swapdb 0 1", "set k 41"]);
        evict_all(&store);
        store
    }

    #[test]
    fn a_database_that_may_not_be_selected_is_not_where_the_keys_are() {
        for commands in [&["select 1", "incr k"][..], &["auth u pw", "select 1", "incr k"]] {
            let dir = tempfile::tempdir().expect("there is room for temporary files");
            let store = cold_store(dir.path());
            let replies = exec(&store, commands);
            assert!(replies.ends_with("-NOPERM :42 "), "{replies}");
            store.close();
        }
    }

    #[test]
    fn a_reply_without_room_is_an_error() {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = testing::open_store(dir.path());
        let commands = ["set k 0123456789", "get k", "get k", "lpush l 0123456789", "get k"];
        let others = ["dbsize", "keys *", "echo 1", "flushdb"];
        let all: Vec<&str> = commands.into_iter().chain(others).collect();
        let long = format!("-{}", String::from_utf8_lossy(errors::REPLY_TOO_LONG.text()));
        let expected = format!("*9 +OK $10 0123456789 {long} :1 {long} :2 {long} +OK +OK ");
        assert_eq!(exec_within(&store, &all, 39), expected);
        store.close();
    }

    #[test]
    fn keys_are_found_where_a_transaction_has_moved_them() {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = cold_store(dir.path());
        assert_eq!(exec(&store, &["swapdb 0 1", "append k !"]), "*2 +OK :6 ");
        evict_all(&store);
        assert_eq!(
            exec(&store, &["get k", "flushdb", "get k", "swapdb 1 0", "get k"]),
            "*5 $6 other! +OK $-1 +OK $2 41 "
        );
        assert_eq!(exec(&store, &["dbsize", "swapdb 0 1", "dbsize"]), "*3 :1 +OK :0 ");
        store.close();
    }
}
