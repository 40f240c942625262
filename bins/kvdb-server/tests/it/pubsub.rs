//! Publishing and subscribing between connections.

use kvdb_resp::Value;

use crate::harness::{Server, Setup, bulk, error, int, nil, ok, simple};

fn message(parts: &[&str]) -> Value {
    Value::Array(parts.iter().map(bulk).collect())
}

fn confirmation(word: &str, name: &str, count: i64) -> Value {
    Value::Array(vec![bulk(word), bulk(name), int(count)])
}

#[test]
fn messages_reach_those_who_listen_once_for_each_way() {
    let server = Setup::new().with("workers", "3").start();
    let (mut anna, mut bert, mut clara) = (server.client(), server.client(), server.client());
    anna.send("SUBSCRIBE news other");
    assert_eq!(anna.reply(), confirmation("subscribe", "news", 1));
    assert_eq!(anna.reply(), confirmation("subscribe", "other", 2));
    bert.send("PSUBSCRIBE n*");
    assert_eq!(bert.reply(), confirmation("psubscribe", "n*", 1));
    bert.send("SUBSCRIBE news");
    assert_eq!(bert.reply(), confirmation("subscribe", "news", 2));
    assert_eq!(clara.run("PUBLISH news hello"), int(3));
    assert_eq!(clara.run("PUBLISH nothing hello"), int(1));
    assert_eq!(clara.run("PUBLISH silence hello"), int(0));
    assert_eq!(anna.reply(), message(&["message", "news", "hello"]));
    assert_eq!(bert.reply(), message(&["message", "news", "hello"]));
    assert_eq!(bert.reply(), message(&["pmessage", "n*", "news", "hello"]));
    assert_eq!(bert.reply(), message(&["pmessage", "n*", "nothing", "hello"]));
    assert_eq!(clara.run("PUBSUB NUMSUB news other none"), {
        Value::Array(vec![bulk("news"), int(2), bulk("other"), int(1), bulk("none"), int(0)])
    });
    assert_eq!(clara.run("PUBSUB NUMPAT"), int(1));
    assert_eq!(clara.run("PUBSUB CHANNELS o*"), message(&["other"]));
    assert_eq!((clara.info("pubsub_channels"), clara.info("pubsub_patterns")), ("2".into(), "1".into()));
    // A transaction publishes when it runs.
    assert_eq!(clara.pipeline(&["MULTI", "PUBLISH other later", "EXEC"])[2], Value::Array(vec![int(1)]));
    assert_eq!(anna.reply(), message(&["message", "other", "later"]));
    // Who is gone listens to nothing.
    drop(anna);
    while clara.run("PUBSUB NUMSUB other") != Value::Array(vec![bulk("other"), int(0)]) {}
}

#[test]
fn a_connection_with_subscriptions_only_listens_unless_it_speaks_resp3() {
    let server = Setup::new().start();
    let (mut listener, mut client) = (server.client(), server.client());
    listener.send("SUBSCRIBE a");
    assert_eq!(listener.reply(), confirmation("subscribe", "a", 1));
    let refused = "ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    assert_eq!(listener.run("GET k"), error(refused));
    assert_eq!(listener.run("PING"), message(&["pong", ""]));
    assert_eq!(listener.run("PING x"), message(&["pong", "x"]));
    listener.send("UNSUBSCRIBE");
    assert_eq!(listener.reply(), confirmation("unsubscribe", "a", 0));
    assert_eq!(listener.run("PING"), simple("PONG"));
    listener.send("UNSUBSCRIBE");
    assert_eq!(listener.reply(), Value::Array(vec![bulk("unsubscribe"), nil(), int(0)]));
    listener.run("HELLO 3");
    listener.send("SSUBSCRIBE a");
    assert_eq!(listener.reply(), Value::Push(vec![bulk("ssubscribe"), bulk("a"), int(1)]));
    assert_eq!(client.run("PUBLISH a x"), int(0));
    assert_eq!(client.run("SPUBLISH a x"), int(1));
    assert_eq!(listener.reply(), Value::Push(vec![bulk("smessage"), bulk("a"), bulk("x")]));
    assert_eq!(listener.run("SET k v"), ok());
    assert_eq!(listener.run("SPUBLISH a y"), int(1));
    assert_eq!(listener.reply(), Value::Push(vec![bulk("smessage"), bulk("a"), bulk("y")]));
    assert_eq!(listener.run("RESET"), simple("RESET"));
    assert_eq!(client.run("SPUBLISH a x"), int(0));
}

fn wait_for_clients(server: &Server, clients: usize) {
    let mut operator = server.client();
    while operator.info("connected_clients") != clients.to_string() {
        std::thread::yield_now();
    }
}

#[test]
fn a_listener_that_does_not_read_is_closed_and_holds_nobody_up() {
    let server = Setup::new().with("client-output-buffer-limit", "pubsub 1mb 0 0").start();
    let mut deaf = server.client();
    deaf.send("SUBSCRIBE a");
    assert_eq!(deaf.reply(), confirmation("subscribe", "a", 1));
    let mut client = server.client();
    let command = format!("PUBLISH a {}", "x".repeat(100_000));
    let mut sent = 0;
    while client.run(&command) == int(1) {
        sent += 1;
        assert!(sent < 10_000, "a limit of a megabyte is passed at last");
    }
    wait_for_clients(&server, 2);
}
