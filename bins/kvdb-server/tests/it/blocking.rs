//! Commands that wait for keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, bulk, error, int, nil, ok};

fn array(elements: &[&str]) -> Value {
    Value::Array(elements.iter().map(bulk).collect())
}

/// Waits until so many clients are blocked.
fn wait_for_blocked(server: &Server, clients: usize) {
    let mut operator = server.client();
    while operator.info("blocked_clients") != clients.to_string() {
        std::thread::yield_now();
    }
}

/// A client that waits, after those that do already.
fn blocked(server: &Server, command: &str, before: usize) -> Client {
    let mut client = server.client();
    client.send(command);
    wait_for_blocked(server, before + 1);
    client
}

#[test]
fn elements_go_to_those_who_have_waited_the_longest() {
    let server = Setup::new().with("workers", "3").start();
    let mut waiting: Vec<Client> = (0..4).map(|n| blocked(&server, "BLPOP k other 0", n)).collect();
    let mut client = server.client();
    // Whoever pushes and then looks finds what Redis would show.
    let replies = client.pipeline(&["RPUSH k a b", "LLEN k", "LPUSH other c", "EXISTS k other"]);
    assert_eq!(replies, [int(2), int(0), int(1), int(0)]);
    assert_eq!(waiting[0].reply(), array(&["k", "a"]));
    assert_eq!(waiting[1].reply(), array(&["k", "b"]));
    assert_eq!(waiting[2].reply(), array(&["other", "c"]));
    wait_for_blocked(&server, 1);
    assert_eq!(client.pipeline(&["MULTI", "RPUSH k x", "DEL k", "EXEC", "RPUSH k y"])[4], int(1));
    assert_eq!(waiting[3].reply(), array(&["k", "y"]));
    wait_for_blocked(&server, 0);
}

#[test]
fn moves_are_linked() {
    let server = Setup::new().with("workers", "3").start();
    let mut first = blocked(&server, "BLMOVE a b LEFT RIGHT 0", 0);
    let mut second = blocked(&server, "BRPOPLPUSH b c 0", 1);
    let mut third = blocked(&server, "BLMPOP 0 2 nothing c LEFT COUNT 9", 2);
    let mut client = server.client();
    assert_eq!(client.pipeline(&["RPUSH a x", "EXISTS a b c"]), [int(1), int(0)]);
    assert_eq!((first.reply(), second.reply()), (bulk("x"), bulk("x")));
    assert_eq!(third.reply(), Value::Array(vec![bulk("c"), array(&["x"])]));
}

#[test]
fn a_wait_ends_with_its_time_or_by_another_client() {
    let server = Setup::new().start();
    let mut client = server.client();
    assert_eq!(client.run("BLPOP k 0.02"), nil());
    assert_eq!(client.run("BLMOVE k l LEFT LEFT 0.001"), nil());
    let mut other = server.client();
    let Value::Integer(id) = other.run("CLIENT ID") else { panic!("CLIENT ID answers a number") };
    assert_eq!(client.run(&format!("CLIENT UNBLOCK {id}")), int(0));
    for (reason, reply) in
        [("", nil()), ("TIMEOUT", nil()), ("ERROR", error("UNBLOCKED client unblocked via CLIENT UNBLOCK"))]
    {
        other.send("BLPOP k 0");
        wait_for_blocked(&server, 1);
        let clients = client.run("CLIENT LIST");
        assert!(format!("{clients:?}").contains("flags=b"), "{clients:?}");
        assert_eq!(client.run(&format!("CLIENT UNBLOCK {id} {reason}")), int(1));
        assert_eq!(other.reply(), reply);
    }
    // What came behind the command runs after it, in order.
    other.send("BLPOP k 0");
    wait_for_blocked(&server, 1);
    other.send("PING");
    other.send("LLEN k");
    assert_eq!(client.run("RPUSH k 1 2"), int(2));
    assert_eq!(other.reply(), array(&["k", "1"]));
    assert_eq!(other.reply(), Value::Simple("PONG".into()));
    assert_eq!(other.reply(), int(1));
}

#[test]
fn who_is_gone_takes_nothing() {
    let server = Setup::new().with("workers", "3").start();
    let gone = blocked(&server, "BLPOP k 0", 0);
    let mut killed = server.client();
    let Value::Integer(id) = killed.run("CLIENT ID") else { panic!("CLIENT ID answers a number") };
    killed.send("BLPOP k 0");
    wait_for_blocked(&server, 2);
    drop(gone);
    wait_for_blocked(&server, 1);
    let mut client = server.client();
    assert_eq!(client.run(&format!("CLIENT KILL ID {id}")), int(1));
    assert!(killed.try_reply().is_none());
    wait_for_blocked(&server, 0);
    let mut client = server.client();
    assert_eq!(client.pipeline(&["RPUSH k a", "LLEN k"]), [int(1), int(1)]);
}

#[test]
fn a_value_of_another_type_wakes_nobody_and_a_cold_list_serves() {
    let server = Setup::new().with("maxmemory", "4mb").start();
    let mut waiting = blocked(&server, "BLPOP k 0", 0);
    let mut client = server.client();
    assert_eq!(client.pipeline(&["SET k text", "DEL k", "HSET k f v"]), [ok(), int(1), int(1)]);
    wait_for_blocked(&server, 1);
    assert_eq!(client.pipeline(&["DEL k", "RPUSH k a"]), [int(1), int(1)]);
    assert_eq!(waiting.reply(), array(&["k", "a"]));
    // The list to move to leaves memory while the command waits.
    assert_eq!(client.run("RPUSH target old"), int(1));
    let mut moving = blocked(&server, "BLMOVE source target LEFT LEFT 0", 0);
    let value = "v".repeat(100_000);
    for i in 0..100 {
        assert_eq!(client.run(&format!("SET key{i} {value}")), ok());
    }
    assert_eq!(client.run("RPUSH source new"), int(1));
    assert_eq!(moving.reply(), bulk("new"));
    assert_eq!(client.run("LRANGE target 0 -1"), array(&["new", "old"]));
}

#[test]
fn what_is_stored_in_place_of_another_value_is_served() {
    let server = Setup::new().start();
    let mut client = server.client();
    assert_eq!(client.pipeline(&["RPUSH l b a", "ZADD z 1 m"]), [int(2), int(1)]);
    let mut for_list = blocked(&server, "BLPOP k 0", 0);
    assert_eq!(
        client.pipeline(&["SET k x", "SORT l ALPHA STORE k", "LRANGE k 0 -1"])[1..],
        [int(2), array(&["b"])]
    );
    assert_eq!(for_list.reply(), array(&["k", "a"]));
    let mut for_set = blocked(&server, "BZPOPMIN s 0", 0);
    assert_eq!(client.pipeline(&["SET s x", "ZRANGESTORE s z 0 -1", "EXISTS s"])[1..], [int(1), int(0)]);
    assert_eq!(for_set.reply(), array(&["s", "m", "1"]));
    wait_for_blocked(&server, 0);
}

#[test]
fn a_key_that_has_become_something_else_is_passed_over() {
    let server = Setup::new().start();
    let mut client = server.client();
    let entry = Value::Array(vec![bulk("1-1"), array(&["f", "v"])]);
    let cases = [
        ("BLPOP a b 0", "RPUSH b 1", array(&["b", "1"])),
        ("BRPOP a b 0", "RPUSH b 1", array(&["b", "1"])),
        ("BLMPOP 0 2 a b LEFT", "RPUSH b 1", Value::Array(vec![bulk("b"), array(&["1"])])),
        ("BZPOPMIN a b 0", "ZADD b 1 m", array(&["b", "m", "1"])),
        ("BZPOPMAX a b 0", "ZADD b 1 m", array(&["b", "m", "1"])),
        (
            "BZMPOP 0 2 a b MIN",
            "ZADD b 1 m",
            Value::Array(vec![bulk("b"), Value::Array(vec![array(&["m", "1"])])]),
        ),
        (
            "XREAD BLOCK 0 STREAMS a b $ $",
            "XADD b 1-1 f v",
            Value::Array(vec![Value::Array(vec![bulk("b"), Value::Array(vec![entry])])]),
        ),
    ];
    for (command, change, reply) in cases {
        let mut waiting = blocked(&server, command, 0);
        client.pipeline(&["SET a text", change]);
        assert_eq!(waiting.reply(), reply, "{command}");
        // Who has not waited is told.
        assert_eq!(
            waiting.run(command),
            error("WRONGTYPE Operation against a key holding the wrong kind of value")
        );
        client.run("DEL a b");
    }
    // An element that has nowhere to go is not taken.
    let mut moving = blocked(&server, "BLMOVE a b LEFT LEFT 0", 0);
    client.pipeline(&["SET a text", "DEL a", "SET b text", "RPUSH a 1"]);
    assert_eq!(moving.reply(), error("WRONGTYPE Operation against a key holding the wrong kind of value"));
    assert_eq!(client.run("LLEN a"), int(1));
}

#[test]
fn many_workers_push_and_pop_and_nothing_is_lost() {
    const ELEMENTS: usize = 2_000;
    let server = Setup::new().with("workers", "3").with("appendfsync", "everysec").start();
    std::thread::scope(|scope| {
        let poppers: Vec<_> = (0..6)
            .map(|n| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = server.client();
                    let command = if n % 2 == 0 { "BLPOP q r 0" } else { "BRPOP r q 0" };
                    let mut popped = Vec::new();
                    loop {
                        let reply = client.run(command);
                        let element = reply.as_elements().expect("an array")[1].clone();
                        if element == bulk("end") {
                            return popped;
                        }
                        popped.push(crate::harness::text(&element));
                    }
                })
            })
            .collect();
        let pushers: Vec<_> = ["q", "r"]
            .into_iter()
            .map(|key| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = server.client();
                    for i in 0..ELEMENTS / 2 {
                        client.run(&format!("RPUSH {key} {key}{i}"));
                    }
                })
            })
            .collect();
        pushers.into_iter().for_each(|pusher| pusher.join().expect("pushes succeed"));
        let mut client = server.client();
        while client.run("EXISTS q r") != int(0) {}
        for _ in 0..6 {
            client.run("RPUSH q end");
        }
        let mut all: Vec<String> =
            poppers.into_iter().flat_map(|p| p.join().expect("pops succeed")).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), ELEMENTS);
    });
}

#[test]
fn members_and_entries_are_waited_for() {
    let server = Setup::new().with("workers", "3").start();
    let mut client = server.client();
    let mut waiting = blocked(&server, "BZPOPMIN z other 0", 0);
    assert_eq!(client.run("ZADD z 2 b 1 a"), int(2));
    assert_eq!(waiting.reply(), array(&["z", "a", "1"]));
    assert_eq!(client.run("ZCARD z"), int(1));
    // Those who read take nothing away: everybody gets the entry, behind what was the last when they began.
    client.run("XADD s 1-1 f old");
    let mut readers: Vec<Client> =
        (0..2).map(|n| blocked(&server, "XREAD BLOCK 0 STREAMS other s 0 $", n)).collect();
    client.run("XADD s 2-1 f new");
    let entry = Value::Array(vec![bulk("2-1"), array(&["f", "new"])]);
    let served = Value::Array(vec![Value::Array(vec![bulk("s"), Value::Array(vec![entry])])]);
    for reader in &mut readers {
        assert_eq!(reader.reply(), served);
    }
    // An entry goes to one consumer.
    client.run("XGROUP CREATE s g $");
    let mut one = blocked(&server, "XREADGROUP GROUP g one BLOCK 0 STREAMS s >", 0);
    let mut two = blocked(&server, "XREADGROUP GROUP g two BLOCK 0 STREAMS s >", 1);
    client.run("XADD s 3-1 f first");
    client.run("XADD s 4-1 f second");
    let first = one.reply();
    assert!(format!("{first:?}").contains("3-1"), "{first:?}");
    let second = two.reply();
    assert!(format!("{second:?}").contains("4-1"), "{second:?}");
    assert_eq!(client.run("XREAD BLOCK 1 STREAMS s $"), nil());
    let mut left = blocked(&server, "XREADGROUP GROUP g one BLOCK 0 STREAMS s >", 0);
    assert_eq!(client.run("DEL s"), int(1));
    assert!(matches!(left.reply(), Value::Error(_)), "the group is gone");
}

/// What is pushed when a wait has been ended is not for who has waited, whichever worker that client is with.
#[test]
fn who_was_killed_or_unblocked_gets_nothing_any_more() {
    let server = Setup::new().with("workers", "2").with("appendfsync", "no").start();
    let mut operators = [server.client(), server.client()];
    for round in 0..100 {
        let mut waiter = server.client();
        let id = waiter.run("CLIENT ID");
        let Value::Integer(id) = id else { panic!("{id:?}") };
        waiter.send("BLPOP queue 0");
        let operator = &mut operators[round % 2];
        while operator.info("blocked_clients") != "1" {}
        let ends =
            if round % 4 < 2 { format!("CLIENT KILL ID {id}") } else { format!("CLIENT UNBLOCK {id}") };
        let replies = operator.pipeline(&[ends.as_str(), "RPUSH queue element", "LPOP queue"]);
        assert_eq!(replies, [int(1), int(1), bulk("element")], "{ends}");
        while operator.info("blocked_clients") != "0" {}
    }
}

/// What is pushed is for who has waited, and not for who comes along before that client has been served.
#[test]
fn nobody_takes_what_others_have_waited_for() {
    let server = Setup::new().with("workers", "2").with("appendfsync", "no").start();
    let over = Arc::new(AtomicBool::new(false));
    let thieves: Vec<_> = ["LPOP queue", "EVAL 0", "MULTI"]
        .map(|how| {
            let (mut thief, over) = (server.client(), over.clone());
            std::thread::spawn(move || {
                let mut stolen = 0;
                while !over.load(Ordering::Relaxed) {
                    let reply = match how {
                        "MULTI" => thief.pipeline(&["MULTI", "LPOP queue", "EXEC"]).pop(),
                        "EVAL 0" => Some(thief.run_args(&[
                            "EVAL",
                            "return redis.call('LPOP', KEYS[1])",
                            "1",
                            "queue",
                        ])),
                        command => Some(thief.run(command)),
                    };
                    stolen += usize::from(
                        !matches!(reply, Some(Value::Null)) && reply != Some(Value::Array(vec![nil()])),
                    );
                }
                stolen
            })
        })
        .into();
    let (mut waiter, mut pusher) = (server.client(), server.client());
    for _ in 0..200 {
        waiter.send("BLPOP queue 5");
        while pusher.info("blocked_clients") == "0" {}
        pusher.run("RPUSH queue element");
        waiter.reply();
    }
    over.store(true, Ordering::Relaxed);
    let stolen: usize = thieves.into_iter().map(|thief| thief.join().expect("it only pops")).sum();
    assert_eq!(stolen, 0);
}
