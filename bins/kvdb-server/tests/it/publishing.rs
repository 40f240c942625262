//! What is published leaves no earlier than what the publisher has seen is safe, since whoever hears it may count on it.

use std::sync::Arc;

use kvdb_commands::Session;
use kvdb_commands::acl::Accounts;
use kvdb_lsm::{Db, Options};
use kvdb_resp::{Decoder, encode_command};
use kvdb_server::clients::ClientInfo;
use kvdb_server::node::{Node, Parts};
use kvdb_server::settings::{Start, start};
use kvdb_server::turn::{Conn, turn};
use kvdb_server::worker::Worker;
use kvdb_store::{LocalLog, Store, StoreOptions, row};

/// A worker without sockets, one who publishes and one who listens.
struct Pair {
    worker: Worker,
    publisher: Conn,
    listener: Conn,
    _home: tempfile::TempDir,
}

fn connect(node: &Node, id: u64) -> Conn {
    let info = Arc::new(ClientInfo::new(id, format!("127.0.0.1:{id}"), "127.0.0.1:9".into(), false, 0));
    node.clients.add(info.clone());
    Conn { session: Session::new(id, &Accounts::default()), decoder: Decoder::default(), info }
}

impl Pair {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory for the test");
        let start = start(Vec::new(), Vec::new(), &mut &b""[..], &mut Vec::new(), &mut Vec::new());
        let Start::Serve(config, _) = start else { panic!("the defaults are a configuration") };
        let mut options = Options::new(home.path().join("data"));
        options.partitioning = row::PARTITIONING;
        let rows = Arc::new(Db::open(options).expect("an empty directory opens"));
        let log = Arc::new(LocalLog::new(rows.clone()));
        let options = StoreOptions { databases: 1, fresh_seed: 1, io_threads: 1 };
        let store = Arc::new(Store::open(rows.clone(), log, &options).expect("an empty keyspace opens"));
        let (accounts, run_id) = (Accounts::default(), "0".repeat(40));
        let node = Node::new(Parts { store, rows, config: *config, accounts, workers: 1, run_id, secret: 1 });
        let node = Arc::new(node);
        let (publisher, mut listener) = (connect(&node, 1), connect(&node, 2));
        let mut worker = Worker::new(node, 0, 1);
        run(&mut worker, &mut listener, &[&["SUBSCRIBE", "c"]]);
        Self { worker, publisher, listener, _home: home }
    }

    /// Runs commands of the publisher; answers what they depend on, and on what the messages that came of them do.
    fn run(&mut self, commands: &[&[&str]]) -> (u64, u64) {
        let gate = run(&mut self.worker, &mut self.publisher, commands);
        let pushed = self.listener.info.take_pushed().expect("a message has come");
        (gate, pushed.depends_on)
    }
}

/// Runs commands as one pipeline; answers what the replies depend on.
fn run(worker: &mut Worker, conn: &mut Conn, commands: &[&[&str]]) -> u64 {
    let mut input = Vec::new();
    commands.iter().for_each(|command| encode_command(&mut input, *command));
    let done = turn(conn, &input, worker);
    assert!(done.park.is_none() && !done.close && done.consumed == input.len());
    done.gate
}

#[test]
fn a_message_waits_for_what_its_publisher_has_seen() {
    let mut pair = Pair::new();
    assert_eq!(pair.run(&[&["PUBLISH", "c", "hello"]]), (0, 0), "there is nothing to wait for");
    let (written, message) = pair.run(&[&["SET", "k", "1"], &["PUBLISH", "c", "k is 1"]]);
    assert!(written > 0 && message == written);
    // Read or written before: the client has not been told of it until now.
    assert_eq!(pair.run(&[&["PUBLISH", "c", "k is 1"]]), (0, written));
    let script = "redis.call('PUBLISH', 'c', redis.call('INCR', 'k'))";
    let (written, message) = pair.run(&[&["EVAL", script, "0"]]);
    assert_eq!(message, written);
    let last = run(&mut pair.worker, &mut pair.publisher, &[&["SET", "other", "1"]]);
    let (_, message) = pair.run(&[&["EVAL", "redis.call('PUBLISH', 'c', 'x')", "0"]]);
    assert_eq!(message, last);
    for publishes in [&["PUBLISH", "c", "x"][..], &["EVAL", "redis.call('PUBLISH', 'c', 'x')", "0"]] {
        let (written, message) = pair.run(&[&["MULTI"], &["INCR", "k"], publishes, &["EXEC"]]);
        assert!(written > last && message == written, "{publishes:?}");
    }
}

#[test]
fn every_message_of_a_row_goes_to_those_who_listen_then() {
    let mut pair = Pair::new();
    let mut late = connect(&pair.worker.node, 3);
    let publish: &[&[&str]] = &[&["PUBLISH", "c", "x"], &["PUBLISH", "c", "x"], &["PUBLISH", "c", "x"]];
    let messages = |conn: &Conn| {
        let text = conn.info.take_pushed().map_or(Vec::new(), |pushed| pushed.text);
        text.split(|byte| *byte == b'*').count() - 1
    };
    run(&mut pair.worker, &mut pair.publisher, publish);
    assert_eq!((messages(&pair.listener), messages(&late)), (3, 0));
    run(&mut pair.worker, &mut late, &[&["PSUBSCRIBE", "?"], &["SUBSCRIBE", "c"]]);
    run(&mut pair.worker, &mut pair.publisher, publish);
    assert_eq!((messages(&pair.listener), messages(&late)), (3, 6));
    run(&mut pair.worker, &mut pair.listener, &[&["UNSUBSCRIBE"]]);
    late.session.end();
    run(&mut pair.worker, &mut pair.publisher, publish);
    assert_eq!((messages(&pair.listener), messages(&late)), (0, 0));
}
