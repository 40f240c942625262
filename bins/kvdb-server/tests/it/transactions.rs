//! Transactions of several clients: each is seen as a whole or not at all, and a watched key is not overtaken.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kvdb_resp::Value;

use crate::harness::{Client, Setup, bulk, error, int, nil, ok, simple, text};

#[test]
fn a_transaction_is_seen_as_a_whole() {
    let server = Setup::new().with("workers", "3").with("appendfsync", "everysec").start();
    assert_eq!(server.client().run("MSET a 0 b 0 c 0 d 0"), ok());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = [["a", "b", "c", "d"], ["d", "b", "a", "c"]]
            .into_iter()
            .map(|order| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = server.client();
                    let commands = order.map(|key| format!("INCR {key}"));
                    for _ in 0..500 {
                        let mut all = vec!["MULTI".to_owned()];
                        all.extend(commands.iter().cloned());
                        all.insert(3, "PING".to_owned());
                        all.push("EXEC".to_owned());
                        let replies = client.pipeline(&all);
                        let values = replies[6].as_elements().expect("EXEC answers an array");
                        assert!([0, 1, 3, 4].iter().all(|&at| values[at] == values[0]), "{values:?}");
                        assert_eq!(values[2], simple("PONG"));
                    }
                })
            })
            .collect();
        for command in ["MGET a b c d", "MGET d c b a"] {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let mut client = server.client();
                while !done.load(Ordering::Relaxed) {
                    let reply = client.run(command);
                    let values = reply.as_elements().expect("MGET answers an array");
                    assert!(values.iter().all(|value| *value == values[0]), "{reply:?}");
                }
            });
        }
        for writer in writers {
            writer.join().expect("a writer's replies are as they should be");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(text(&server.restart().client().run("GET c")), "1000");
}

/// The classic use of WATCH: read, compute, write if nobody was quicker; with a command on a key, a script that declares the
/// key, one that does not, and behind a command on a whole database.
#[test]
fn nobody_overtakes_a_watched_key() {
    const CLIENTS: u64 = 4;
    const ROUNDS: u64 = 50;
    let server = Setup::new().with("workers", "3").with("appendfsync", "everysec").start();
    let writes: [&[&str]; 4] = [
        &["SET n NEW"],
        &["EVAL return{redis.call('SET',KEYS[1],ARGV[1])} 1 n NEW"],
        &["EVAL return{redis.call('SET','n',ARGV[1])} 0 NEW"],
        &["DBSIZE", "SET n NEW"],
    ];
    for write in writes {
        let lost = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = server.client();
                    for _ in 0..ROUNDS {
                        while !try_to_increment(&mut client, write) {
                            lost.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let mut client = server.client();
        assert_eq!(text(&client.run("GET n")), (CLIENTS * ROUNDS).to_string(), "{write:?}");
        assert_eq!(client.run("DEL n"), int(1));
        println!("{} of {} tries lost: {write:?}", lost.load(Ordering::Relaxed), CLIENTS * ROUNDS);
    }
}

fn try_to_increment(client: &mut Client, write: &[&str]) -> bool {
    let replies = client.pipeline(&["WATCH n", "GET n"]);
    let old: u64 = if replies[1] == nil() { 0 } else { text(&replies[1]).parse().expect("a number was set") };
    let new = (old + 1).to_string();
    let write = write.iter().map(|command| command.replace("NEW", &new));
    let commands: Vec<String> =
        std::iter::once("MULTI".into()).chain(write).chain(std::iter::once("EXEC".into())).collect();
    *client.pipeline(&commands).last().expect("EXEC has a reply") != nil()
}

/// Commands on keys and on whole databases, and scripts, in one transaction: one batch, and nobody sees a part of it.
#[test]
fn a_transaction_with_scripts_and_commands_on_databases_is_seen_as_a_whole() {
    let server = Setup::new().with("workers", "3").with("appendfsync", "everysec").start();
    assert_eq!(server.client().run("MSET a 0 b 0 c 0 d 0"), ok());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = server.client();
            for round in 1..=200 {
                let script = format!("EVAL return{{redis.call('SET','b','{round}')}} 0");
                let (of_a, of_c) = (format!("SET a {round}"), format!("SET c {round}"));
                let of_d = format!("EVAL redis.call('FLUSHALL');redis.call('MSET','a',{round},'b',{round},'c',{round},'d',{round}) 0");
                let commands =
                    ["MULTI", "FLUSHDB", &of_a, &script, "DBSIZE", "PING", &of_c, "KEYS *", &of_d, "DBSIZE", "EXEC"];
                let replies = client.pipeline(&commands);
                let replies = replies[10].as_elements().expect("EXEC answers an array");
                assert_eq!((&replies[3], &replies[4], &replies[8]), (&int(2), &simple("PONG"), &int(4)));
                assert_eq!(replies[6].as_elements().map(<[Value]>::len), Some(3));
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = server.client();
                while !done.load(Ordering::Relaxed) {
                    let reply = client.run("MGET a b c d");
                    let values = reply.as_elements().expect("MGET answers an array");
                    assert!(values.iter().all(|value| *value == values[0] && *value != nil()), "{reply:?}");
                }
            });
        }
        let written = writer.join();
        done.store(true, Ordering::Relaxed);
        written.expect("the writer's replies are as they should be");
    });
    let server = server.restart();
    let mut client = server.client();
    assert_eq!(client.run("MGET a d"), Value::Array(vec![bulk("200"), bulk("200")]));
    assert_eq!(client.run("DBSIZE"), int(4));
}

#[test]
fn a_script_finds_what_its_transaction_has_loaded_and_selected() {
    let server = Setup::new().start();
    let mut client = server.client();
    client.run("MULTI");
    client.run_args(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=l\nredis.register_function('f', function() return 5 end)",
    ]);
    client.run("FCALL f 0");
    client.run("SELECT 1");
    client.run_args(&[
        "EVAL",
        "redis.call('SET', 'k', 'in 1') redis.call('SELECT', 2) return redis.call('SET', 'k', 'in 2')",
        "0",
    ]);
    client.run("APPEND k !");
    client.run_args(&["EVAL", "return redis.call('NOSUCH')", "0"]);
    client.run("EVALSHA 0000000000000000000000000000000000000000 0");
    client.run("SWAPDB 1 2");
    client.run("GET k");
    let replies = client.run("EXEC");
    let replies = replies.as_elements().expect("EXEC answers an array");
    assert_eq!((&replies[1], &replies[4]), (&int(5), &int(5)));
    assert!(matches!(replies[5], Value::Error(_)) && matches!(replies[6], Value::Error(_)), "{replies:?}");
    assert_eq!(replies[8], bulk("in 2"));
    assert_eq!(client.run("GET k"), bulk("in 2"));
    assert_eq!(client.run("SELECT 2"), ok());
    assert_eq!(client.run("GET k"), bulk("in 1!"));
}

#[test]
fn a_long_reply_in_a_transaction_is_an_error() {
    let server = Setup::new().start();
    let mut client = server.client();
    assert_eq!(client.run_args(&["CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0"]), ok());
    let long = error("ERR the reply is longer than client-output-buffer-limit allows");
    let (text, much) = ("v".repeat(700_000), "return string.rep('x', 2000000)");
    let writes = "redis.call('SET', 'l', 'made') return string.rep('x', 300000)";
    assert_eq!(client.run_args(&["SET", "k", &text]), ok());
    for mixed in [false, true] {
        client.run("MULTI");
        if mixed {
            client.run("PING");
        }
        client.run_args(&["EVAL", much, "0"]);
        client.run_args(&["EVAL", "return 'a'", "0"]);
        client.run("GET k");
        client.run("GET k");
        client.run_args(&["EVAL", writes, "0"]);
        client.run_args(&["EVAL", "return string.rep('x', 100000)", "0"]);
        client.run("SETRANGE k 0 w");
        client.run("SET m new GET");
        client.run("KEYS *");
        client.run("FLUSHDB");
        client.run("PING");
        client.run("ECHO text");
        let replies = client.run("EXEC");
        let replies = replies.as_elements().expect("EXEC answers an array");
        let replies = &replies[usize::from(mixed)..];
        assert_eq!((&replies[0], &replies[1]), (&long, &bulk("a")));
        assert_eq!(replies[2], bulk(&text));
        assert_eq!(replies[3], long, "there is no room for another one");
        assert_eq!(replies[4].as_bytes().map(<[u8]>::len), Some(300_000));
        assert_eq!(replies[5], long, "there is hardly any room left");
        assert_eq!(replies[6], int(700_000));
        assert_eq!(replies[7], nil());
        assert_eq!((replies[8].as_elements().map(<[Value]>::len), &replies[9]), (Some(3), &ok()));
        assert_eq!((&replies[10], &replies[11]), (&simple("PONG"), &bulk("text")));
        assert_eq!(client.run("DBSIZE"), int(0));
        assert_eq!(client.run_args(&["SET", "k", &text]), ok());
    }
}

#[test]
fn another_client_and_the_end_of_time_touch_a_watched_key() {
    let server = Setup::new().start();
    let (mut one, mut other) = (server.client(), server.client());
    assert_eq!(one.run("WATCH k"), ok());
    assert_eq!(other.run("SET k 1"), ok());
    assert_eq!(one.pipeline(&["MULTI", "PING", "EXEC"])[2], nil());
    assert_eq!(one.run("WATCH k"), ok());
    assert_eq!(other.pipeline(&["MULTI", "INCR k", "EXEC"])[1], simple("QUEUED"));
    assert_eq!(one.pipeline(&["MULTI", "PING", "EXEC"])[2], nil());
    // A client that is gone watches nothing: nobody is told, and nothing is left of it.
    assert_eq!(one.run("WATCH k"), ok());
    drop(one);
    assert_eq!(other.run("INCR k"), int(3));
}

#[test]
fn a_transaction_waits_for_the_end_of_a_pause_and_for_cold_keys() {
    let server = Setup::new().with("maxmemory", "4mb").start();
    let mut client = server.client();
    let value = "v".repeat(100_000);
    for i in 0..100 {
        assert_eq!(client.run(&format!("SET key{i} {value}")), ok());
    }
    // Not all of them fit.
    let mut commands = vec!["MULTI".to_owned()];
    commands.extend((0..100).map(|i| format!("STRLEN key{i}")));
    commands.push("EXEC".to_owned());
    let replies = client.pipeline(&commands);
    let lengths = replies.last().and_then(|reply| reply.as_elements()).expect("EXEC answers an array");
    assert_eq!(lengths.len(), 100);
    assert!(lengths.iter().all(|len| *len == int(100_000)), "{lengths:?}");
    let mut operator = server.client();
    assert_eq!(operator.run("CLIENT PAUSE 600000 WRITE"), ok());
    assert_eq!(client.pipeline(&["MULTI", "GET nothing", "EXEC"]).len(), 3);
    client.send("MULTI");
    client.send("SET k v");
    client.send("EXEC");
    assert_eq!((client.reply(), client.reply()), (ok(), simple("QUEUED")));
    assert_eq!(operator.run("GET k"), nil());
    assert_eq!(operator.run("CLIENT UNPAUSE"), ok());
    assert_eq!(client.reply().as_elements().expect("EXEC answers an array"), [ok()]);
    assert_eq!(operator.run("GET k"), bulk("v"));
    assert_eq!(client.run("EXEC"), error("ERR EXEC without MULTI"));
}

#[test]
fn an_exec_with_arguments_ends_the_transaction() {
    let server = Setup::new().start();
    let mut client = server.client();
    let refused = "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    assert_eq!(client.run("EXEC now"), error(refused));
    assert_eq!(client.run("MULTI"), ok());
    assert_eq!(client.run("SET k v"), simple("QUEUED"));
    assert_eq!(client.run("EXEC now"), error(refused));
    assert_eq!(client.run("EXEC"), error("ERR EXEC without MULTI"));
    assert_eq!(client.run("GET k"), nil());
}

/// Which commands count as a change for those who watch the key: as redis-server 7.0.15 replies to each of these.
#[test]
fn some_changes_are_none_for_those_who_watch() {
    let server = Setup::new().start();
    let (mut one, mut other) = (server.client(), server.client());
    for made in ["XADD s 1-1 a b", "SET b ab", "SET n 12", "SET x 12", "SET y 12", "ZADD z 1 a"] {
        other.run(made);
    }
    let mut touches = |command: &str, key: &str| {
        assert_eq!(one.run(&format!("WATCH {key}")), ok());
        let reply = other.run(command);
        assert!(!matches!(reply, Value::Error(_)), "{command}: {reply:?}");
        one.pipeline(&["MULTI", "PING", "EXEC"])[2] == nil()
    };
    for (command, key) in [
        ("XGROUP CREATE s g 0", "s"),
        ("XGROUP SETID s g 0", "s"),
        ("XGROUP CREATECONSUMER s g c", "s"),
        ("XREADGROUP GROUP g d STREAMS s >", "s"),
        ("XCLAIM s g c 0 1-1", "s"),
        ("XAUTOCLAIM s g d 0 0", "s"),
        ("XACK s g 1-1", "s"),
        ("XGROUP DELCONSUMER s g c", "s"),
        ("XGROUP DESTROY s g", "s"),
        ("XSETID s 5-5", "s"),
        // The second is kept otherwise from then on: its digits were a number.
        ("SETBIT b 1 1", "b"),
        ("SETBIT n 2 1", "n"),
        ("BITFIELD x SET u8 0 49", "x"),
        ("BITFIELD y OVERFLOW FAIL INCRBY u8 80 300", "y"),
        ("ZADD z 1 a", "z"),
    ] {
        assert!(!touches(command, key), "{command}");
    }
    for (command, key) in [
        ("XGROUP CREATE new g 0 MKSTREAM", "new"),
        ("XADD s 6-1 a b", "s"),
        ("XDEL s 1-1", "s"),
        ("SETBIT n 0 1", "n"),
        ("BITFIELD x SET u8 0 50", "x"),
        ("APPEND b x", "b"),
    ] {
        assert!(touches(command, key), "{command}");
    }
}

#[test]
fn exchanging_databases_is_no_change_where_nothing_lives_before_and_after() {
    let server = Setup::new().with("enable-debug-command", "yes").start();
    let (mut one, mut other) = (server.client(), server.client());
    assert_eq!(other.run("DEBUG SET-ACTIVE-EXPIRE 0"), ok());
    let stale = |client: &mut Client, db: &str| {
        assert_eq!(client.run(&format!("SELECT {db}")), ok());
        assert_eq!(client.run("SET k v PX 1"), ok());
        assert_eq!(client.run("DEBUG SLEEP 0.005"), ok());
    };
    // There is none, then one past its deadline, then another such, then none, then one.
    stale(&mut other, "1");
    stale(&mut other, "2");
    assert_eq!(one.run("WATCH k"), ok());
    assert_eq!(other.run("SWAPDB 0 1"), ok());
    assert_eq!(one.pipeline(&["MULTI", "PING", "EXEC"])[2], Value::Array(vec![simple("PONG")]));
    stale(&mut other, "1");
    assert_eq!(one.run("WATCH k"), ok());
    assert_eq!(other.run("SWAPDB 0 1"), ok());
    assert_eq!(other.run("SWAPDB 0 2"), ok());
    assert_eq!(other.run("SWAPDB 0 3"), ok());
    assert_eq!(one.pipeline(&["MULTI", "PING", "EXEC"])[2], Value::Array(vec![simple("PONG")]));
    assert_eq!(other.run("SELECT 3"), ok());
    assert_eq!(other.run("SET k lives"), ok());
    assert_eq!(one.run("WATCH k"), ok());
    assert_eq!(other.run("SWAPDB 0 3"), ok());
    assert_eq!(one.pipeline(&["MULTI", "PING", "EXEC"])[2], nil());
    assert_eq!(one.run("WATCH k"), ok());
    assert_eq!(other.run("SWAPDB 0 3"), ok());
    assert_eq!(one.pipeline(&["MULTI", "PING", "EXEC"])[2], nil());
}

#[test]
fn what_the_commands_of_a_transaction_reply_has_one_limit() {
    let server = Setup::new().with("client-output-buffer-limit", "normal 1mb 0 0").start();
    let mut client = server.client();
    let too_long = || error("ERR the reply is longer than client-output-buffer-limit allows");
    let value = "v".repeat(10_000);
    assert_eq!(client.run(&format!("SET k {value}")), ok());
    for _ in 0..200 {
        client.run(&format!("RPUSH l {value}"));
    }
    let mget = format!("MGET{}", " k".repeat(200));
    // Beside a command about the connection, what is replied of keys is set aside first.
    for (beside, reply) in [("PING", simple("PONG")), ("EXISTS k", int(1))] {
        let replies = client.pipeline(&["MULTI", beside, &mget, "STRLEN k", "EXEC"]);
        assert_eq!(replies[4], Value::Array(vec![reply, too_long(), int(10_000)]), "{beside}");
    }
    let echo = format!("ECHO {}", "e".repeat(600_000));
    let replies = client.pipeline(&["MULTI", &echo, &echo, "PING", "KEYS *", "EXEC"]);
    let replies = replies[5].as_elements().expect("EXEC answers an array");
    assert_eq!(replies[1..3], [too_long(), simple("PONG")]);
    // What was taken out and cannot be replied with would be lost.
    for beside in ["PING", "EXISTS k"] {
        let replies =
            client.pipeline(&["MULTI", "INCR n", beside, "LPOP l 150", "EXEC", "LLEN l", "EXISTS n"]);
        assert_eq!(replies[4..], [too_long(), int(200), int(0)], "{beside}");
    }
    client.pipeline(&[&format!("XADD s 1-1 f {value}"), "XGROUP CREATE s g 0"]);
    let replies = client.pipeline(&[
        "MULTI",
        "LRANGE l 0 103",
        "XREADGROUP GROUP g c STREAMS s >",
        "EXEC",
        "XPENDING s g - + 9",
    ]);
    assert_eq!(replies[3..], [too_long(), Value::Array(vec![])], "nothing was delivered");
    for call in ["call", "pcall"] {
        let script = format!("redis.call('INCR', 'n') return #redis.{call}('LPOP', KEYS[1], 150)");
        assert_eq!(client.run_args(&["EVAL", &script, "1", "l"]), too_long(), "{call}");
        assert_eq!(client.pipeline(&["LLEN l", "EXISTS n"]), [int(200), int(0)], "{call}");
    }
}
