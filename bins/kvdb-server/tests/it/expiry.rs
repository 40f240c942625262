//! Keys with a deadline: they go by themselves, and their deadlines outlive the process.

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, bulk, int, nil, ok, text, wait_until};

#[test]
fn keys_go_when_their_time_has_come_though_nobody_asks_for_them() {
    const KEYS: usize = 50_000;
    let server = Setup::new().with("appendfsync", "everysec").start();
    let mut client = server.client();
    assert_eq!(client.run("SET stays 1"), ok());
    assert_eq!(client.run("SET later 1 EX 1000"), ok());
    for chunk in 0..KEYS / 1_000 {
        let commands: Vec<String> =
            (0..1_000).map(|i| format!("SET key:{chunk}:{i} v PX {}", 300 + i)).collect();
        assert!(client.pipeline(&commands).iter().all(|reply| *reply == ok()));
    }
    wait_until("all are gone", || client.run("DBSIZE") == int(2));
    assert_eq!(client.info("expired_keys"), KEYS.to_string());
    assert_eq!(client.info("db0").split(',').next(), Some("keys=2"));
    let server = server.restart();
    assert_eq!(server.client().run("DBSIZE"), int(2));
}

/// A client that hears of every key that expires in the first database, and of what is published on `done`.
fn listener(server: &Server) -> Client {
    let mut listener = server.client();
    listener.send("SUBSCRIBE __keyevent@0__:expired done");
    (0..2).for_each(|_| drop(listener.reply()));
    listener
}

/// What the next message says, and on which channel.
#[track_caller]
fn heard(listener: &mut Client) -> (String, String) {
    match listener.reply() {
        Value::Array(message) => match &message[..] {
            [_, channel, payload] => (text(channel), text(payload)),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_finds_a_key_dead_is_not_ahead_of_those_who_listen() {
    let server = Setup::new().with("workers", "2").with("notify-keyspace-events", "Ex").start();
    let (mut listener, mut reader) = (listener(&server), server.client());
    for round in 0..20 {
        let key = format!("hot:{round}");
        assert_eq!(reader.run(&format!("SET {key} v PX 10")), ok());
        while reader.run(&format!("GET {key}")) != nil() {}
        reader.run(&format!("PUBLISH done {key}"));
        assert_eq!(heard(&mut listener), ("__keyevent@0__:expired".into(), key.clone()));
        assert_eq!(heard(&mut listener), ("done".into(), key));
    }
}

#[test]
fn those_who_listen_hear_of_a_dead_key_before_the_next_ones_die() {
    let server = Setup::new().with("appendfsync", "everysec").with("notify-keyspace-events", "Ex").start();
    let (mut listener, mut client) = (listener(&server), server.client());
    // Nobody asks for them. What is late by more than a second is out of order.
    let of_wave =
        |wave: usize| (0..100).map(move |i| format!("SET wave:{wave}:{i} v PX {}", 300 + 1_000 * wave));
    let commands: Vec<String> = (0..3).flat_map(of_wave).collect();
    assert!(client.pipeline(&commands).iter().all(|reply| *reply == ok()));
    for wave in 0..3 {
        let mut keys: Vec<String> = (0..100).map(|_| heard(&mut listener).1).collect();
        keys.sort();
        keys.dedup();
        let expected = format!("wave:{wave}:");
        assert!(keys.len() == 100 && keys.iter().all(|key| key.starts_with(&expected)), "{keys:?}");
    }
}

#[test]
fn keys_on_disk_go_though_nobody_asks_for_them() {
    const KEYS: usize = 3_000;
    for warm_up in ["yes", "no"] {
        let setup = Setup::new().with("appendfsync", "everysec").with("warm-up", warm_up).with("hz", "100");
        let server = setup.start();
        let mut client = server.client();
        // A large string has rows of its own for its parts.
        assert_eq!(client.run("SETRANGE large 300000 x"), int(300_001));
        assert_eq!(client.run("PEXPIRE large 1500"), int(1));
        assert_eq!(client.run("SET stays 1"), ok());
        assert_eq!(client.run("SET later 1 EX 1000"), ok());
        let commands: Vec<String> =
            (0..KEYS).map(|i| format!("SET key:{i} v PX {}", 1_000 + i % 1_000)).collect();
        assert!(client.pipeline(&commands).iter().all(|reply| *reply == ok()));
        assert_eq!(client.run("SELECT 3"), ok());
        assert_eq!(client.run("SET other v PX 1500"), ok());
        let server = server.restart();
        let mut client = server.client();
        wait_until("all are gone", || client.run("DBSIZE") == int(2));
        assert_eq!(client.info("db0").split(',').nth(1), Some("expires=1"));
        assert_eq!(client.run("SELECT 3"), ok());
        wait_until("the other database's is gone", || client.run("DBSIZE") == int(0));
        assert_eq!(client.run("SELECT 0"), ok());
        assert_eq!(client.run("GET stays"), bulk("1"));
        assert!(remaining(&mut client, "later") > 900_000);
    }
}

#[test]
fn keys_that_left_memory_go_though_nobody_asks_for_them() {
    const KEYS: usize = 4_000;
    let setup = Setup::new().with("appendfsync", "everysec").with("maxmemory", "4mb").with("hz", "100");
    let server = setup.with("storage-block-cache", "1mb").start();
    let mut client = server.client();
    let value = "v".repeat(4_000);
    for chunk in 0..KEYS / 100 {
        let commands: Vec<String> = (0..100).map(|i| format!("SET key:{chunk}:{i} {value} EX 2")).collect();
        assert!(client.pipeline(&commands).iter().all(|reply| *reply == ok()));
    }
    wait_until("all are gone", || client.run("DBSIZE") == int(0));
    assert_ne!(client.info("storage_keys_evicted_to_disk"), "0");
    assert_eq!(client.info("expired_keys"), KEYS.to_string());
}

/// The remaining time of a key in milliseconds.
#[track_caller]
fn remaining(client: &mut Client, key: &str) -> i64 {
    client.run(&format!("PTTL {key}")).as_integer().expect("PTTL answers a number")
}

#[test]
fn deadlines_outlive_the_process() {
    for crash in [false, true] {
        let setup = Setup::new();
        let server = setup.start();
        let mut client = server.client();
        for command in [
            "SET plain v EX 1000",
            "SET kept v EX 1000",
            "SET kept w KEEPTTL",
            "SET dropped v EX 1000",
            "SET dropped w",
            "SET at v PXAT 4102444800000",
            "SET soon v PX 200",
            "SET old v EX 1000",
        ] {
            assert_eq!(client.run(command), ok(), "{command}");
        }
        assert_eq!(client.run("PERSIST old"), int(1));
        assert_eq!(client.run("APPEND plain !"), int(2));
        assert_eq!(client.run("GETEX plain EX 500"), bulk("v!"));
        assert_eq!(client.run("COPY plain copied"), int(1));
        assert_eq!(client.run("RENAME copied renamed"), ok());
        if crash {
            server.crash();
        } else {
            server.stop();
        }
        let server = setup.start();
        let mut client = server.client();
        for (key, most) in [("plain", 500_000), ("kept", 1_000_000), ("renamed", 500_000)] {
            let left = remaining(&mut client, key);
            assert!((most - 60_000..=most).contains(&left), "{key}: {left}");
        }
        assert_eq!(client.run("PEXPIRETIME at"), int(4_102_444_800_000));
        for key in ["dropped", "old"] {
            assert_eq!(remaining(&mut client, key), -1, "{key}");
        }
        assert_eq!(client.run("GET kept"), bulk("w"));
        wait_until("the short one is gone", || client.run("EXISTS soon") == int(0));
        assert_eq!(remaining(&mut client, "soon"), -2);
        assert_eq!(client.run("DBSIZE"), int(6));
        assert_eq!(client.run("GET soon"), nil());
    }
}

#[test]
fn what_expires_while_the_server_is_down_is_gone_when_it_is_back() {
    let setup = Setup::new();
    let server = setup.start();
    let mut client = server.client();
    for i in 0..500 {
        assert_eq!(client.run(&format!("SET key:{i} v PX 1")), ok());
    }
    assert_eq!(client.run("SET stays v"), ok());
    server.crash();
    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.run("EXISTS key:0 key:499"), int(0));
    wait_until("the keys are no longer counted", || client.run("DBSIZE") == int(1));
}

#[test]
fn nothing_is_deleted_while_clients_are_paused() {
    let server = Setup::new().with("workers", "2").with("enable-debug-command", "yes").start();
    let (mut client, mut other) = (server.client(), server.client());
    assert_eq!(client.run("DEBUG SET-ACTIVE-EXPIRE 0"), ok());
    assert_eq!(client.run("SET short v PX 30"), ok());
    assert_eq!(client.run("RPUSH list 1"), int(1));
    assert_eq!(client.run("PEXPIRE list 30"), int(1));
    assert_eq!(client.run("SET long v"), ok());
    assert_eq!(client.run("CLIENT PAUSE 100000 WRITE"), ok());
    assert_eq!(client.run("DEBUG SET-ACTIVE-EXPIRE 1"), ok());
    wait_until("its time has come", || client.run("GET short") == nil());
    wait_until("its time has come", || client.run("EXISTS list") == int(0));
    assert_eq!(client.run("MGET short long"), Value::Array(vec![nil(), bulk("v")]));
    assert_eq!(other.run_args(&["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "short"]), nil());
    assert_eq!(other.run("SORT_RO list BY nosort GET short"), Value::Array(vec![]));
    let replies = vec![int(0), int(0), int(-2)];
    let commands = ["MULTI", "LLEN list", "STRLEN short", "TTL short", "EXEC"];
    assert_eq!(other.pipeline(&commands).pop(), Some(Value::Array(replies)));
    assert_eq!(client.run("DBSIZE"), int(3), "it is not deleted");
    assert_eq!(client.info("expired_keys"), "0");
    other.send("INCR short");
    while client.info("blocked_clients") == "0" {}
    assert_eq!(client.run("CLIENT UNPAUSE"), ok());
    assert_eq!(other.reply(), int(1));
    wait_until("it is deleted", || client.info("expired_keys") == "2");
    assert_eq!(client.run("DBSIZE"), int(2));
}
