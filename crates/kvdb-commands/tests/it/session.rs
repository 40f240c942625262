//! Commands about the connection and the server: what they leave in the session, what they ask of the server, and what
//! they leave to the worker.

mod recorder;

use std::sync::{Arc, mpsc};

use kvdb_commands::server::ClientProperty;
use kvdb_commands::{
    CommandSpec, Handler, ReplyMode, Server, Session, SessionCx, Then, find, find_subcommand,
};
use kvdb_resp::{OwnedArgs, Protocol, Reply};
use kvdb_store::{Effect, Env, Scratch, Store, StringValue, Waiter, WriteCx, testing};
use tempfile::TempDir;

use recorder::Recorder;

struct Client {
    _dir: TempDir,
    store: Arc<Store>,
    server: Recorder,
    session: Session,
    /// What the last reply depends on.
    depends_on: u64,
}

impl Client {
    fn new(server: Recorder) -> Self {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = testing::open_store(dir.path());
        let session = Session::new(7, server.accounts());
        Self { _dir: dir, store, server, session, depends_on: 0 }
    }

    /// Runs a command; its reply with `|` for the ends of lines, and what is left to the worker.
    fn run(&mut self, line: &str) -> (String, Option<Then>) {
        let args: OwnedArgs = line.split(' ').collect();
        let args = args.as_args();
        let (_, spec) = find(args.name()).expect("the command exists");
        let spec: &CommandSpec = args.get(1).and_then(|sub| find_subcommand(spec, sub)).unwrap_or(spec);
        let Handler::Session(handler) = spec.handler else { panic!("{line} is about keys") };
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, self.session.protocol);
        let env = Env { random: 5, ..Env::at(1_000_000) };
        let mut cx = SessionCx {
            session: &mut self.session,
            server: &self.server,
            store: &self.store,
            env,
            seen: 0,
            in_transaction: false,
            then: None,
            depends_on: 0,
        };
        if let Err(error) = handler(&mut cx, args, &mut reply) {
            reply.error(error.text());
        }
        let then = cx.then.take();
        self.depends_on = cx.depends_on;
        (String::from_utf8(out).expect("these replies are text").replace("\r\n", "|"), then)
    }

    fn says(&mut self, line: &str) -> String {
        self.run(line).0
    }

    fn calls(&self) -> Vec<String> {
        self.server.calls.take()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.store.close();
    }
}

fn property(property: ClientProperty) -> String {
    format!("set 7 {property:?}")
}

#[test]
fn hello_needs_authentication_and_brings_it_along() {
    let mut client = Client::new(Recorder { password: Some("secret"), ..Recorder::default() });
    assert!(client.says("HELLO 3").starts_with("-NOAUTH HELLO must be called"));
    assert!(client.says("HELLO 3 SETNAME me").starts_with("-NOAUTH HELLO must be called"));
    assert_eq!(
        client.says("HELLO 3 AUTH default wrong SETNAME me"),
        "-WRONGPASS invalid username-password pair or user is disabled.|"
    );
    assert!(!client.session.authenticated && client.session.protocol == Protocol::Resp2);
    let only_looks = |call: &String| call.starts_with("clients ");
    assert!(client.calls().iter().all(only_looks), "a failed handshake changes nothing");

    let reply = client.says("HELLO 3 AUTH default secret SETNAME me");
    assert_eq!(
        reply,
        "%7|$6|server|$5|redis|$7|version|$5|7.2.4|$5|proto|:3|$2|id|:7|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0|",
        "the reply is in the protocol that was asked for"
    );
    assert!(client.session.authenticated && client.session.protocol == Protocol::Resp3);
    let user = ClientProperty::User(client.session.account.clone());
    let name = ClientProperty::Name("me".to_owned());
    assert_eq!(client.calls(), [property(user), property(name), property(ClientProperty::Protocol(3))]);
    assert!(client.says("HELLO 2").starts_with("*14|"));
}

#[test]
fn auth_keeps_who_was_there_when_it_fails() {
    let mut client = Client::new(Recorder { password: Some("secret"), ..Recorder::default() });
    assert_eq!(client.says("AUTH wrong"), "-WRONGPASS invalid username-password pair or user is disabled.|");
    assert!(!client.session.authenticated);
    assert_eq!(client.says("AUTH secret"), "+OK|");
    assert!(client.session.authenticated);
    assert!(client.says("AUTH default wrong").starts_with("-WRONGPASS"));
    assert!(client.session.authenticated);
}

#[test]
fn reset_undoes_what_the_connection_became() {
    let mut client = Client::new(Recorder { password: Some("secret"), ..Recorder::default() });
    for line in ["AUTH secret", "HELLO 3", "SELECT 3", "MONITOR", "CLIENT NO-TOUCH on", "CLIENT REPLY SKIP"] {
        client.says(line);
    }
    assert!(client.session.monitor && client.session.no_touch && client.session.db == 3);
    client.calls();
    assert_eq!(client.says("RESET"), "+RESET|");
    let session = &client.session;
    assert!(!session.authenticated && !session.monitor && !session.no_touch && !session.close);
    assert_eq!((session.db, session.protocol, session.reply_mode), (0, Protocol::Resp2, ReplyMode::On));
    assert!(client.calls().contains(&property(ClientProperty::Monitor(false))));
}

#[test]
fn select_and_monitor_tell_the_server_once() {
    let mut client = Client::new(Recorder::default());
    for line in ["SELECT 2", "SELECT 2", "MONITOR", "MONITOR"] {
        assert_eq!(client.says(line), "+OK|");
    }
    assert_eq!(client.calls(), [property(ClientProperty::Db(2)), property(ClientProperty::Monitor(true))]);
    assert_eq!(client.says("QUIT"), "+OK|");
    assert!(client.session.close);
}

#[test]
fn replies_are_turned_off_without_a_reply() {
    let mut client = Client::new(Recorder::default());
    for (line, reply, mode) in [
        ("CLIENT REPLY SKIP", "", ReplyMode::SkipNext),
        ("CLIENT REPLY OFF", "", ReplyMode::Off),
        ("CLIENT REPLY SKIP", "", ReplyMode::Off),
        ("CLIENT REPLY ON", "+OK|", ReplyMode::On),
    ] {
        assert_eq!((client.says(line).as_str(), client.session.reply_mode), (reply, mode), "{line}");
    }
}

#[test]
fn kill_filters_reach_the_server_as_one() {
    let mut client = Client::new(Recorder::default());
    assert_eq!(client.says("CLIENT KILL 10.0.0.1:5"), "+OK|");
    assert_eq!(
        client.says("CLIENT KILL ID 4 TYPE normal ADDR 10.0.0.1:5 LADDR 10.0.0.2:6 USER default MAXAGE 60"),
        ":2|"
    );
    assert_eq!(client.says("CLIENT KILL TYPE master SKIPME NO"), ":2|");
    let [old, all, master] = client.calls().try_into().expect("three calls");
    assert!(old.contains("addr: Some(\"10.0.0.1:5\")") && old.contains("not: None"), "{old}");
    for part in [
        "ids: Some([4])",
        "addr: Some(\"10.0.0.1:5\")",
        "laddr: Some(\"10.0.0.2:6\")",
        "user: Some(Account(\"default\"))",
        "kind: Some(Normal)",
        "not: Some(7)",
        "min_age_seconds: Some(60)",
    ] {
        assert!(all.contains(part), "{part} in {all}");
    }
    assert!(master.contains("kind: Some(Primary)") && master.contains("not: None"), "{master}");
}

#[test]
fn a_pause_ends_at_a_moment() {
    let mut client = Client::new(Recorder::default());
    for line in ["CLIENT PAUSE 500", "CLIENT PAUSE 250 WRITE", "CLIENT PAUSE 0", "CLIENT UNPAUSE"] {
        assert_eq!(client.says(line), "+OK|");
    }
    assert_eq!(client.calls(), ["pause 1000500 false", "pause 1000250 true", "pause 0 false"]);
    assert_eq!(client.says("CLIENT UNBLOCK 3 ERROR"), ":1|");
    assert_eq!(client.calls(), ["unblock 3 true"]);
}

#[test]
fn shutdown_says_how_and_does_not_reply() {
    let mut client = Client::new(Recorder::default());
    assert_eq!(client.says("SHUTDOWN"), "");
    assert_eq!(client.says("SHUTDOWN NOSAVE NOW FORCE"), "");
    assert_eq!(client.says("SHUTDOWN SAVE"), "");
    assert_eq!(client.says("SHUTDOWN ABORT"), "+OK|");
    let [plain, hard, save, abort] = client.calls().try_into().expect("four calls");
    assert_eq!(plain, "shutdown Some(ShutdownMode { now: false, force: false, nosave: false })");
    assert_eq!(hard, "shutdown Some(ShutdownMode { now: true, force: true, nosave: true })");
    assert_eq!((save, abort.as_str()), (plain, "shutdown None"));
}

#[test]
fn what_waits_for_the_disk_is_left_to_the_worker() {
    let mut client = Client::new(Recorder::default());
    for (line, made) in [("SAVE", Ok("OK")), ("DEBUG RELOAD", Ok("OK"))] {
        let (reply, then) = client.run(line);
        let Some(Then::Offload(work)) = then else { panic!("{line} is work for a thread that may wait") };
        assert_eq!((reply.as_str(), (work.0)().as_deref().map_err(String::as_str)), ("", made), "{line}");
    }
    client.server.checkpoint_fails = true;
    let (_, Some(Then::Offload(work))) = client.run("SAVE") else {
        panic!("SAVE is work for a thread that may wait")
    };
    assert_eq!((work.0)(), Err("ERR the disk is full".to_owned()));

    let (reply, then) = client.run("DEBUG SLEEP 0.25");
    assert!(reply == "+OK|" && matches!(then, Some(Then::Sleep { micros: 250_000 })));
}

#[test]
fn debug_is_off_unless_the_settings_allow_it() {
    let mut client = Client::new(Recorder { debug_refused: true, ..Recorder::default() });
    for line in ["DEBUG SLEEP 1", "DEBUG HELP", "DEBUG nosuch"] {
        let (reply, then) = client.run(line);
        assert!(reply.starts_with(
            "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\","
        ));
        assert!(then.is_none());
    }
}

#[test]
fn arguments_of_figures_reach_the_server() {
    let mut client = Client::new(Recorder::default());
    for line in [
        "SLOWLOG GET",
        "SLOWLOG GET 3",
        "SLOWLOG GET -1",
        "LATENCY histogram get SET",
        "INFO",
        "INFO Server cpu",
    ] {
        client.says(line);
    }
    let expected = [
        "slowlog Some(10)",
        "slowlog Some(3)",
        "slowlog None",
        "latency histogram [\"get\", \"SET\"]",
        "info [\"default\"]",
        "info [\"server\", \"cpu\"]",
    ];
    assert_eq!(client.calls(), expected);
}

#[test]
fn what_debug_object_shows_depends_on_the_write() {
    let mut client = Client::new(Recorder::default());
    let mut scratch = Scratch::default();
    let guards = client.store.latch(client.store.place(b"k"));
    let mut run = WriteCx::new(&client.store, guards, &mut scratch, Env::at(1_000_000), 0);
    run.apply(b"k", Effect::PutString { value: StringValue::Bytes(b"v"), deadline: None });
    let written = run.commit().expect("the log takes writes");
    assert!(client.says("DEBUG OBJECT k").starts_with("+Value"));
    assert_eq!(client.depends_on, written);
    let guards = client.store.latch(client.store.place(b"k"));
    let mut run = WriteCx::new(&client.store, guards, &mut scratch, Env::at(1_000_000), 0);
    run.apply(b"k", Effect::Delete);
    let deleted = run.commit().expect("the log takes writes");
    assert_eq!(client.says("DEBUG OBJECT k"), "-ERR no such key|");
    assert_eq!(client.depends_on, deleted);
}

#[test]
fn debug_object_waits_for_a_key_that_is_not_in_memory() {
    let mut client = Client::new(Recorder::default());
    // A string in chunks is never taken from caches alone.
    let long = vec![b'x'; 100 * 1024];
    let mut scratch = Scratch::default();
    let env = Env::at(1_000_000);
    let guards = client.store.latch(client.store.place(b"long"));
    let mut run = WriteCx::new(&client.store, guards, &mut scratch, env, 0);
    run.apply(b"long", Effect::PutString { value: StringValue::Bytes(&long), deadline: None });
    let written = run.commit().expect("the log takes writes");
    while client.store.evict_to_disk(0, written, env.now, 3) > 0 {}

    let (reply, then) = client.run("DEBUG OBJECT long");
    let Some(Then::Load(db, key)) = then else { panic!("the key is not in memory") };
    assert_eq!((reply.as_str(), db, key.as_slice()), ("", 0, &b"long"[..]));
    let (done, loaded) = mpsc::channel();
    let waiter = Waiter::new(move |result| done.send(result).expect("the test waits"));
    client.store.request_load(db, &key, env.now, waiter);
    loaded.recv().expect("a load ends").expect("the rows are sound");
    assert!(
        client
            .says("DEBUG OBJECT long")
            .starts_with("+Value at:0x0 refcount:1 encoding:raw serializedlength:102405 ")
    );
}
