//! A store, a session and a server in this process, and the way of a command through them.

use std::sync::Arc;
use std::sync::mpsc;

use kvdb_commands::exec::{self, Missing, Outcome};
use kvdb_commands::{
    CommandError, CommandSpec, Handler, KeyspaceCx, KeyspaceOutcome, Session, SessionCx, Then, errors, find,
    find_subcommand,
};
use kvdb_resp::{Args, Reply, ReplyDecoder, ReplyLimits, Value};
use kvdb_store::io::Waiter;
use kvdb_store::{Env, Pins, Scratch, Store, WriteCx, testing};
use tempfile::TempDir;

use super::notation::Directive;
use super::server::FakeServer;

/// How often a command may find that yet another of its keys has to be loaded.
const MAX_LOADS: usize = 1000;

/// One client of a store of its own.
pub(super) struct Local {
    dir: TempDir,
    /// `None` only while the store is being reopened.
    store: Option<Arc<Store>>,
    server: FakeServer,
    session: Session,
    scratch: Scratch,
    random: u64,
}

impl Local {
    /// A client of an empty store.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = Some(testing::open_store(dir.path()));
        let (server, session) = (FakeServer::new(), Session::new(1, true));
        Self { dir, store, server, session, scratch: Scratch::default(), random: 1 }
    }

    /// The reply to a command; `None` where there is none.
    pub(super) fn run(&mut self, args: Args<'_>) -> Option<Value> {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, self.session.protocol);
        if let Err(error) = self.dispatch(args, &mut reply) {
            assert!(reply.is_empty(), "a command that fails leaves nothing else in the reply");
            reply.error(error.text());
        }
        self.delete_dead();
        if out.is_empty() {
            return None;
        }
        let decoded = ReplyDecoder::default().decode(&out, &ReplyLimits::default()).expect("a reply is RESP");
        let (value, consumed) = decoded.expect("a reply is complete");
        assert_eq!(consumed, out.len(), "a command has one reply");
        Some(value)
    }

    /// The bytes appended to the log since the store was opened.
    pub(super) fn logged_bytes(&self) -> u64 {
        self.store().rows().stats().log.appended_bytes
    }

    /// Does what a directive says.
    pub(super) fn direct(&mut self, directive: Directive) {
        match directive {
            Directive::Advance(milliseconds) => self.server.advance(milliseconds),
            Directive::Protocol(protocol) => self.session.protocol = protocol,
            Directive::Evict => self.evict(),
            Directive::Reopen => {
                self.close();
                self.store = Some(testing::open_store(self.dir.path()));
            }
            Directive::Oracle(_) => {}
        }
    }

    /// Closes the store and the database under it, so that everything is on disk.
    fn close(&mut self) {
        let store = self.store.take().expect("a store is open between steps");
        store.close();
        let rows = store.rows().clone();
        assert_eq!(Arc::strong_count(&store), 1, "nobody else holds the store");
        drop(store);
        let rows = Arc::into_inner(rows).expect("nobody else holds the rows");
        rows.close().expect("a sound database closes");
    }

    /// Drops every object from memory, and has the rows written to tables, so that loading means reading files.
    fn evict(&mut self) {
        self.store().rows().flush().expect("a sound database can be flushed");
        let (now, mut rounds) = (self.server.now_ms(), 0);
        while self.store().resident_keys() > 0 {
            let random = self.next_random();
            self.store().evict_to_disk(0, self.store().appended(), now, random);
            rounds += 1;
            assert!(rounds < 1000, "every object can be dropped");
        }
    }

    fn store(&self) -> &Arc<Store> {
        self.store.as_ref().expect("a store is open between steps")
    }

    fn next_random(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random ^ (self.random >> 29)
    }

    fn env(&mut self) -> Env {
        let mut env = Env::at(self.server.now_ms());
        env.random = self.next_random();
        env.touch = !self.session.no_touch;
        env.limits = self.server.limits();
        env
    }

    fn dispatch(&mut self, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
        let spec = resolve(args)?;
        let env = self.env();
        match spec.handler {
            Handler::Read(_) | Handler::Write(_) => self.run_keyed(spec, env, args, reply),
            Handler::Keyspace(handler) => {
                let mut cx = KeyspaceCx { store: self.store(), db: self.session.db, env, may_wait: true };
                let outcome = handler(&mut cx, args, reply)?;
                assert!(
                    matches!(outcome, KeyspaceOutcome::Done(_)),
                    "a command that may wait does not ask to"
                );
                Ok(())
            }
            Handler::Session(handler) => {
                let store = self.store.as_ref().expect("a store is open between steps");
                let session = &mut self.session;
                let mut cx =
                    SessionCx { session, server: &self.server, store, env, then: None, depends_on: 0 };
                handler(&mut cx, args, reply)?;
                if let Some(Then::Offload(work)) = cx.then {
                    match (work.0)() {
                        Ok(status) => reply.simple(&status),
                        Err(error) => reply.error(error),
                    }
                }
                Ok(())
            }
            Handler::Container => Err(errors::wrong_arity(spec.name)),
        }
    }

    fn run_keyed(
        &mut self,
        spec: &CommandSpec,
        env: Env,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), CommandError> {
        let (store, db) = (self.store().clone(), self.session.db);
        let mut waiting_for = Pins::new(&store);
        for _ in 0..MAX_LOADS {
            match exec::run(spec, &store, db, env, &mut self.scratch, args, reply)? {
                Outcome::Done(_) => return Ok(()),
                Outcome::NeedIo(Missing { db, key, pins }) => {
                    waiting_for.extend(pins);
                    assert!(reply.is_empty(), "nothing is written before every key is there");
                    let (done, loaded) = mpsc::channel();
                    let wake = move |result| {
                        // The only reader waits just below.
                        let _: Result<_, _> = done.send(result);
                    };
                    store.request_load(db, &key, env.now, Waiter::new(wake));
                    let result = loaded.recv().expect("a load ends");
                    result.map_err(|message| CommandError::new(format!("ERR {message}")))?;
                }
            }
        }
        panic!("the keys of one command were evicted while it loaded them")
    }

    /// Deletes the keys that a reader found past their deadline, as a worker does between commands.
    fn delete_dead(&mut self) {
        let env = self.env();
        for (db, key) in std::mem::take(&mut self.scratch.dead) {
            let store = self.store.as_ref().expect("a store is open between steps");
            let guards = store.latch(store.place(&key));
            let mut cx = WriteCx::new(store, guards, &mut self.scratch, env, db);
            assert!(cx.get(&key).is_none(), "time does not go back");
            cx.commit().expect("the log takes what was admitted");
        }
    }
}

/// The row of the table that a request means.
fn resolve(args: Args<'_>) -> Result<&'static CommandSpec, CommandError> {
    let unknown = || errors::unknown_command(args.name(), args);
    let (_, spec) = find(args.name()).ok_or_else(unknown)?;
    if let (false, Some(name)) = (spec.subcommands.is_empty(), args.get(1)) {
        let sub = find_subcommand(spec, name).ok_or_else(|| errors::unknown_subcommand(spec.name, name))?;
        let full_name = format!("{}|{}", spec.name, sub.name);
        return if sub.takes(args.len()) { Ok(sub) } else { Err(errors::wrong_arity(&full_name)) };
    }
    if spec.takes(args.len()) { Ok(spec) } else { Err(errors::wrong_arity(spec.name)) }
}

impl Drop for Local {
    fn drop(&mut self) {
        // After a failure in between, the store is left to itself.
        if !std::thread::panicking() {
            self.close();
        }
    }
}
