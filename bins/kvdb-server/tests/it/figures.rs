//! Figures of INFO: each is provoked, and goes back when its cause is gone.

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, bulk, int, ok, wait_until};

/// A field of INFO as a number.
fn number(client: &mut Client, field: &str) -> u64 {
    client.info(field).parse().expect("a number")
}

#[test]
fn listeners_and_watchers_are_counted() {
    let server = Server::start();
    let (mut one, mut two, mut operator) = (server.client(), server.client(), server.client());
    let figures = ["pubsub_clients", "watching_clients", "total_watched_keys"];
    let mut look = || figures.map(|field| number(&mut operator, field));
    assert_eq!(look(), [0, 0, 0]);
    assert_eq!(one.run("WATCH a b"), ok());
    assert_eq!(two.run("WATCH b c"), ok());
    assert_eq!(look(), [0, 2, 3]);
    assert_eq!(one.run("UNWATCH"), ok());
    assert_eq!(look(), [0, 1, 2]);
    assert_eq!(two.pipeline(&["MULTI", "EXEC"]), [ok(), Value::Array(Vec::new())]);
    assert_eq!(look(), [0, 0, 0]);
    one.run("SUBSCRIBE channel");
    two.run("PSUBSCRIBE pattern*");
    assert_eq!(look(), [2, 0, 0]);
    one.run("UNSUBSCRIBE");
    drop(two);
    wait_until("nobody listens", || look() == [0, 0, 0]);
}

#[test]
fn waits_for_keys_are_counted() {
    let server = Server::start();
    let (mut popper, mut reader, mut operator) = (server.client(), server.client(), server.client());
    assert_eq!(operator.run("XGROUP CREATE s g $ MKSTREAM"), ok());
    popper.send("BLPOP a b 0");
    reader.send("XREADGROUP GROUP g me BLOCK 1000000 STREAMS s >");
    wait_until("both wait", || operator.info("blocked_clients") == "2");
    let figures = ["total_blocking_keys", "total_blocking_keys_on_nokey", "clients_in_timeout_table"];
    let mut look = || figures.map(|field| number(&mut operator, field));
    assert_eq!(look(), [3, 1, 1]);
    let mut other = server.client();
    assert_eq!(other.run("DEL s"), int(1));
    let gone = reader.reply();
    assert!(matches!(&gone, Value::Error(text) if text.starts_with(b"NOGROUP ")), "{gone:?}");
    assert_eq!(other.run("RPUSH b 1"), int(1));
    assert_eq!(popper.reply(), Value::Array(vec![bulk("b"), bulk("1")]));
    wait_until("nobody waits", || look() == [0, 0, 0]);
}

#[test]
fn clients_that_are_closed_at_a_limit_are_counted() {
    let server = Setup::new()
        .with("client-query-buffer-limit", "1mb")
        .with("client-output-buffer-limit", "pubsub 1kb 0 0")
        .start();
    let mut operator = server.client();
    let figures = ["client_query_buffer_limit_disconnections", "client_output_buffer_limit_disconnections"];
    let mut look = || figures.map(|field| number(&mut operator, field));
    let mut talker = server.client();
    talker.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3000000\r\n");
    talker.write(&vec![b'v'; 2 << 20]);
    assert_eq!(talker.rest(), "");
    assert_eq!(look(), [1, 0]);
    let (mut listener, mut publisher) = (server.client(), server.client());
    listener.run("SUBSCRIBE channel");
    publisher.run(&format!("PUBLISH channel {}", "m".repeat(2_000)));
    assert_eq!(listener.rest(), "");
    assert_eq!(look(), [1, 1]);
    assert_eq!(publisher.run("CONFIG RESETSTAT"), ok());
    assert_eq!(look(), [0, 0]);
}

#[test]
fn the_time_that_keys_have_left_is_told_and_the_time_that_their_end_takes() {
    let server = Setup::new().with("appendfsync", "no").start();
    let mut client = server.client();
    assert_eq!(client.pipeline(&["SET a 1 EX 1000", "SET b 1 EX 3000", "SET c 1"]), [ok(), ok(), ok()]);
    let line = client.info("db0");
    let left = line.strip_prefix("keys=3,expires=2,avg_ttl=").expect("three keys, two with a deadline");
    let left: u64 = left.parse().expect("a number");
    assert!((1_800_000..=2_200_000).contains(&left), "{left}");
    assert_eq!(client.run("CONFIG RESETSTAT"), ok());
    let dying: Vec<String> = (0..10_000).map(|i| format!("SET dead:{i} v PX 1")).collect();
    // However fast keys are deleted, it takes a millisecond some time.
    wait_until("it has taken time", || {
        client.pipeline(&dying);
        client.info("expire_cycle_cpu_milliseconds") != "0"
    });
}

#[test]
fn memory_stats_tells_what_each_database_takes_to_find_its_keys() {
    let server = Server::start();
    let mut client = server.client();
    let commands = ["SET a 1", "SET b 1 EX 1000", "SELECT 3", "SET c 1", "SELECT 0"];
    assert!(client.pipeline(&commands).iter().all(|reply| *reply == ok()));
    let reply = client.run("MEMORY STATS");
    let figures = reply.as_elements().expect("names and figures");
    let of_database = |db: &str| -> Option<Vec<Value>> {
        let at = figures.iter().position(|name| *name == bulk(db))?;
        Some(figures[at + 1].as_elements().expect("two parts with names").to_vec())
    };
    let [main, tables, expires, index] = &of_database("db.0").expect("it has keys")[..] else {
        panic!("there are two parts");
    };
    assert_eq!((main, expires), (&bulk("overhead.hashtable.main"), &bulk("overhead.hashtable.expires")));
    for bytes in [tables, index] {
        assert!(bytes.as_integer().is_some_and(|bytes| bytes > 0), "{bytes:?}");
    }
    assert_eq!(of_database("db.3").expect("it has a key")[3], int(0), "no key of it has a deadline");
    assert_eq!(of_database("db.1"), None);
}
