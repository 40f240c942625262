//! A store, a session and a server in this process, and the way of a command through them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use kvdb_commands::acl::Accounts;
use kvdb_commands::exec::{self, Missing, Outcome};
use kvdb_commands::transaction::{self, Around, Queued, Unfinished};
use kvdb_commands::{
    CmdResult, CommandError, CommandSpec, Flags, Handler, KeyspaceCx, KeyspaceOutcome, Session, SessionCx,
    Then, errors, find, find_subcommand,
};
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::vfs::SimVfs;
use kvdb_lsm::{Db, Options};
use kvdb_resp::{Args, OwnedArgs, Reply, ReplyDecoder, ReplyLimits, Value};
use kvdb_store::io::Waiter;
use kvdb_store::{
    Audience, ColdWalk, Env, EventClasses, Eviction, News, Order, Pins, ReadCx, Scratch, Store, Walk,
    WriteCx, row, testing,
};
use tempfile::TempDir;

use super::contents::Described;
use super::notation::{Directive, show_event};
use super::server::FakeServer;

/// How often a command may find that yet another of its keys has to be loaded.
const MAX_LOADS: usize = 1000;

/// What the rows of a store are on.
enum Disk {
    Real(TempDir),
    /// One that loses what was not synced when the power fails; nothing happens on it but what a test does.
    Simulated(SimVfs, SyncPolicy),
}

impl Disk {
    fn open(&self) -> Arc<Store> {
        match self {
            Self::Real(dir) => testing::open_store(dir.path()),
            Self::Simulated(vfs, sync) => {
                let mut options = Options::new("/data");
                options.vfs = Arc::new(vfs.clone());
                options.sync = *sync;
                options.partitioning = row::PARTITIONING;
                options.background = false;
                options.segment_bytes = 128 << 10;
                options.write_buffer_bytes = 64 << 10;
                options.table_bytes = 32 << 10;
                options.level0_depth = 3;
                options.base_level_bytes = 64 << 10;
                options.max_frozen = 64;
                testing::open_store_over(Db::open(options).expect("what a power cut leaves can be opened"))
            }
        }
    }
}

/// One client of a store of its own.
pub(super) struct Local {
    disk: Disk,
    /// `None` only while the store is being reopened.
    store: Option<Arc<Store>>,
    server: FakeServer,
    session: Session,
    scratch: Scratch,
    random: u64,
    events: Arc<Mutex<Vec<String>>>,
}

/// Keeps what there is to hear until it is shown.
struct Listener(Arc<Mutex<Vec<String>>>);

impl Audience for Listener {
    fn hear(&self, news: &[News]) {
        let shown = news.iter().filter_map(|news| match news {
            News::Event { event, db, key, .. } => Some(show_event(*db, event.name, key)),
            News::Stale { .. } | News::Changed { .. } | News::Emptied => None,
        });
        self.0.lock().expect("nobody panics with it").extend(shown);
    }
}

impl Local {
    /// A client of an empty store.
    pub(super) fn new() -> Self {
        Self::over(Disk::Real(tempfile::tempdir().expect("there is room for temporary files")))
    }

    /// A client of an empty store on a simulated disk.
    pub(super) fn on(vfs: SimVfs, sync: SyncPolicy) -> Self {
        Self::over(Disk::Simulated(vfs, sync))
    }

    fn over(disk: Disk) -> Self {
        let server = FakeServer::new();
        let session = Session::new(1, &Accounts::default());
        let (scratch, events) = (Scratch::default(), Arc::default());
        let mut local = Self { disk, store: None, server, session, scratch, random: 1, events };
        local.open();
        local
    }

    /// Opens the store.
    fn open(&mut self) {
        let store = self.disk.open();
        store.set_audience(Box::new(Listener(self.events.clone())));
        self.store = Some(store);
    }

    /// The events since they were shown last.
    pub(super) fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().expect("nobody panics with it"))
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
        let queues = self.session.transaction.is_some();
        if let Some(tracking) = &mut self.session.tracking {
            tracking.ran(args.name(), queues);
        }
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
                let events = self.store().events();
                self.close();
                self.open();
                self.store().set_events(events);
            }
            Directive::Events(classes) => self.store().set_events(classes.and(EventClasses::KEYEVENT)),
            Directive::Expire => self.expire(),
            Directive::Oracle(_) => {}
        }
    }

    /// The power of a simulated disk fails, and comes back.
    pub(super) fn lose_power(&mut self, seed: u64) {
        let Disk::Simulated(vfs, sync) = &self.disk else { panic!("the disk is a real one") };
        self.disk = Disk::Simulated(vfs.crash(seed), *sync);
        // What happens on the disk as it was is of no consequence any more.
        self.store().close();
        self.store = None;
        (self.session.transaction, self.session.watches, self.session.db) = (None, None, 0);
        self.scratch = Scratch::default();
        self.open();
    }

    /// The database under the store.
    pub(super) fn rows(&self) -> &Arc<Db> {
        self.store().rows()
    }

    /// Now, in Unix milliseconds.
    pub(super) fn now(&self) -> u64 {
        self.server.now_ms()
    }

    /// Loads every key, so that the store knows that it has them all.
    pub(super) fn warm_up(&self) {
        self.store().warm_up(usize::MAX, || 0).expect("rows are sound");
    }

    /// Loads every key, and describes them, those past their deadline included.
    pub(super) fn contents(&mut self) -> BTreeMap<(u16, Vec<u8>), Described> {
        let store = self.store.as_ref().expect("a store is open between steps");
        let mut contents = BTreeMap::new();
        for db in 0..store.databases() {
            let mut cursor = 0;
            loop {
                let walk = store.walk(db, cursor, 1000, 0, true).expect("rows are sound");
                let Walk::Keys(keys, next) = walk else { panic!("a walk that may wait does not ask to") };
                for (key, _) in keys {
                    let env = Env { touch: false, ..Env::at(0) };
                    store.load_and_wait(db, &key, 0).expect("rows are sound");
                    let guards = store.latch(store.place(&key));
                    let mut cx = ReadCx::new(store, guards, &mut self.scratch, env, db);
                    let described = Described::of(&cx.get(&key).expect("it is in memory"));
                    contents.insert((db, key), described);
                }
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        contents
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
        self.drop_objects();
    }

    /// Drops every object from memory.
    pub(super) fn drop_objects(&mut self) {
        let (now, mut rounds) = (self.server.now_ms(), 0);
        while self.store().resident_keys() > 0 {
            let random = self.next_random();
            self.store().evict_to_disk(0, self.store().appended(), now, random);
            rounds += 1;
            assert!(rounds < 1000, "every object can be dropped");
        }
    }

    /// Deletes keys as if there were hardly any room; all of them, where any may go.
    pub(super) fn make_room(&mut self, expiring_only: bool, order: usize) {
        let order = [Order::Use, Order::Random, Order::Deadline][order];
        // What never dies has no place in the order of deadlines.
        let expiring_only = expiring_only || order == Order::Deadline;
        let how = Eviction { expiring_only, order, samples: 5 };
        let env = self.env();
        let store = self.store.as_ref().expect("a store is open between steps");
        store.set_counting(true);
        store.census();
        let deleted = store.evict(&how, 0, env, &mut self.scratch, || true).expect("the log takes deletions");
        assert!(!deleted.passed_over, "nobody else is there");
        assert!(expiring_only || store.resident_keys() == 0, "{} keys are left", store.resident_keys());
        self.scratch.ready.clear();
    }

    /// Deletes what is past its deadline, in memory and on disk, as a server does in the background.
    pub(super) fn expire(&mut self) {
        let now = self.server.now_ms();
        let store = self.store.as_ref().expect("a store is open between steps");
        store.expire_due(now, 0, &mut self.scratch, || true).expect("the log takes what was admitted");
        let mut walk = ColdWalk::default();
        while walk.is_due(store, now) {
            walk.step(store, now, 100, &mut self.scratch).expect("the log takes what was admitted");
        }
        self.scratch.ready.clear();
    }

    /// Counts anew what the store holds.
    pub(super) fn check_accounts(&self) {
        testing::check_accounts(self.store());
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
        (env.client, env.keeps) = (self.session.id, self.session.keeps());
        env.limits = self.server.limits();
        env
    }

    fn dispatch(&mut self, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
        let spec = resolve(args).inspect_err(|_| {
            if let Some(transaction) = &mut self.session.transaction {
                transaction.break_it();
            }
        })?;
        let env = self.env();
        if let Some(transaction) = &mut self.session.transaction
            && !spec.flags.has(Flags::NOT_QUEUED)
        {
            if spec.flags.has(Flags::NO_MULTI) {
                transaction.break_it();
                return Err(errors::NOT_IN_TRANSACTION);
            }
            transaction.push(Queued { index: 0, spec, args: OwnedArgs::from(args), place: None }, 1 << 30)?;
            reply.simple("QUEUED");
            return Ok(());
        }
        match spec.handler {
            Handler::Read(_) | Handler::Write(_) => self.run_keyed(spec, env, args, reply),
            Handler::Keyspace(handler) => {
                let mut cx = KeyspaceCx::alone(self.store(), self.session.db, env, true);
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
                let mut cx = SessionCx {
                    session,
                    server: &self.server,
                    store,
                    env,
                    seen: 0,
                    in_transaction: false,
                    then: None,
                    depends_on: 0,
                };
                handler(&mut cx, args, reply)?;
                if let Some(Then::Offload(work)) = cx.then {
                    match (work.0)() {
                        Ok(status) => reply.simple(&status),
                        Err(error) => reply.error(error),
                    }
                }
                Ok(())
            }
            Handler::Exec => self.exec(env, reply),
            Handler::Script => Err(CommandError::fixed("ERR there are no scripts here")),
            Handler::Container => Err(errors::wrong_arity(spec.name)),
        }
    }

    fn exec(&mut self, env: Env, reply: &mut Reply<'_>) -> Result<(), CommandError> {
        let transaction = self.session.transaction.take().ok_or(errors::EXEC_WITHOUT_MULTI)?;
        let watches = self.session.watches.take();
        if transaction.is_broken() {
            return Err(errors::EXEC_ABORT);
        }
        let (store, db) = (self.store().clone(), self.session.db);
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut waiting_for = Pins::new(&store);
        for _ in 0..MAX_LOADS {
            let (watches, around) = (watches.as_ref(), &mut Alone(self, env));
            let outcome =
                transaction::run(&transaction, watches, &store, db, env, &mut scratch, reply, around)?;
            match outcome {
                transaction::Outcome::Done(_, db) => self.session.db = db,
                transaction::Outcome::Touched(_) => reply.null_array(),
                transaction::Outcome::NeedIo(Missing { db, key, others, pins }) => {
                    waiting_for.extend(pins);
                    for (db, key) in std::iter::once((db, key)).chain(others) {
                        store.load_and_wait(db, &key, env.now).expect("rows are sound");
                    }
                    continue;
                }
            }
            self.scratch = scratch;
            return Ok(());
        }
        panic!("the keys of one transaction were evicted while it loaded them")
    }

    fn run_keyed(
        &mut self,
        spec: &'static CommandSpec,
        env: Env,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), CommandError> {
        let (store, db) = (self.store().clone(), self.session.db);
        let mut waiting_for = Pins::new(&store);
        for _ in 0..MAX_LOADS {
            match exec::run(spec, &store, db, env, &mut self.scratch, args, reply)? {
                Outcome::Done(_) => return Ok(()),
                // Nobody else is there who could change anything, so the time is soon over.
                Outcome::Waits(_) => {
                    reply.null_array();
                    return Ok(());
                }
                Outcome::NeedIo(Missing { db, key, pins, .. }) => {
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
        let store = self.store.as_ref().expect("a store is open between steps");
        store.expire_dead(env.now, &mut self.scratch, false).expect("the log takes what was admitted");
    }
}

/// A client alone, running its transaction.
struct Alone<'l>(&'l mut Local, Env);

impl Around for Alone<'_> {
    fn may_run(&mut self, _queued: &Queued) -> CmdResult {
        Ok(())
    }

    fn session(&mut self, queued: &Queued, reply: &mut Reply<'_>) -> CmdResult {
        let Handler::Session(handler) = queued.spec.handler else { return Err(errors::NOT_IN_TRANSACTION) };
        let store = self.0.store().clone();
        let (session, env) = (&mut self.0.session, self.1);
        let mut cx = SessionCx {
            session,
            server: &self.0.server,
            store: &store,
            env,
            seen: 0,
            in_transaction: true,
            then: None,
            depends_on: 0,
        };
        handler(&mut cx, queued.args.as_args(), reply)
    }

    fn begin(&mut self) {}

    fn manners(&self) -> (bool, bool) {
        (self.0.session.keeps(), !self.0.session.no_touch)
    }

    fn script(
        &mut self,
        _queued: &Queued,
        _cx: &mut WriteCx<'_>,
        _reply: &mut Reply<'_>,
    ) -> Result<bool, Unfinished> {
        Err(CommandError::fixed("ERR there are no scripts here").into())
    }

    fn appended(&mut self, _seq: u64) {}

    fn moment(&mut self, _queued: &Queued) -> Option<Duration> {
        None
    }

    fn ran(&mut self, _queued: &Queued, _failed: Option<&CommandError>, _took: Option<Duration>) {}
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
