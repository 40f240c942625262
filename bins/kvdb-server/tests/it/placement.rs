//! Connections that move between workers, with whatever they keep.

use std::sync::atomic::{AtomicBool, Ordering};

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, bulk, int, nil, ok, simple, wait_until};

/// Has this many workers serve.
#[track_caller]
fn serve_with(operator: &mut Client, workers: usize) {
    assert_eq!(operator.run(&format!("CONFIG SET active-workers {workers}")), ok());
    wait_until("another number of workers serves", || {
        operator.info("kvdb_active_workers") == workers.to_string()
    });
}

fn moved(operator: &mut Client) -> u64 {
    operator.info("kvdb_moved_connections").parse().expect("a number")
}

/// Runs something before and after each of some changes of the number of workers, with which connections move.
#[track_caller]
fn across_moves(server: &Server, mut once: impl FnMut(usize)) {
    let mut operator = server.client();
    let before = moved(&mut operator);
    for (round, workers) in [1, 3, 1, 2, 3, 2, 1].into_iter().enumerate() {
        serve_with(&mut operator, workers);
        once(round);
    }
    assert!(moved(&mut operator) > before, "nothing has moved");
}

#[test]
fn nothing_is_lost_or_doubled_while_connections_move() {
    const CLIENTS: usize = 6;
    let server = Setup::new().with("workers", "3").with("appendfsync", "everysec").start();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let counts: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (server, over) = (&server, &over);
                scope.spawn(move || {
                    let mut own = server.client();
                    let mut n = 0;
                    while !over.load(Ordering::Relaxed) {
                        let count = format!("INCR own{client}");
                        let replies = own.pipeline(&["MULTI", "INCR all", &count, "EXEC", &count]);
                        let Value::Array(inside) = &replies[3] else { panic!("{replies:?}") };
                        assert_eq!(inside[1], int(n + 1));
                        assert_eq!(replies[4], int(n + 2));
                        n += 2;
                    }
                    n
                })
            })
            .collect();
        let mut operator = server.client();
        let mut workers = [1, 2, 3, 2, 1, 3].into_iter().cycle();
        // Every connection moves every other time or so.
        while moved(&mut operator) < 60 {
            serve_with(&mut operator, workers.next().expect("a cycle has no end"));
        }
        over.store(true, Ordering::Relaxed);
        let total: i64 = counts.into_iter().map(|count| count.join().expect("its replies were right")).sum();
        assert_eq!(operator.run("GET all"), bulk((total / 2).to_string()));
    });
}

#[test]
fn what_a_connection_has_said_of_itself_moves_with_it() {
    let server = Setup::new().with("workers", "3").start();
    let mut client = server.client();
    client.run("HELLO 3 SETNAME anna");
    client.run("SELECT 5");
    let id = client.run("CLIENT ID");
    across_moves(&server, |round| {
        assert_eq!(client.run(&format!("SET k {round}")), ok());
        assert_eq!(client.run("CLIENT GETNAME"), bulk("anna"));
        assert_eq!(client.run("CLIENT ID"), id);
        assert_eq!(client.run("GET absent"), nil());
        assert!(matches!(client.run("CONFIG GET port"), Value::Map(_)), "it speaks RESP3");
    });
    let mut other = server.client();
    assert_eq!(other.run("SELECT 5"), ok());
    assert_eq!(other.run("GET k"), bulk("6"));
    // Who is gone is not counted, wherever it went.
    drop(client);
    wait_until("its connection has ended", || other.info("connected_clients") == "1");
}

#[test]
fn a_transaction_and_its_watched_keys_move() {
    let server = Setup::new().with("workers", "3").start();
    let (mut client, mut other) = (server.client(), server.client());
    across_moves(&server, |round| {
        assert_eq!(client.run("WATCH k"), ok());
        assert_eq!(client.run("MULTI"), ok());
        assert_eq!(client.run("INCR n"), simple("QUEUED"));
        if round % 2 == 0 {
            assert_eq!(other.run(&format!("SET k {round}")), ok());
            assert_eq!(client.run("EXEC"), nil());
        } else {
            assert_eq!(client.run("EXEC"), Value::Array(vec![int(round as i64 / 2 + 1)]));
        }
    });
    // The queue itself, too: begun before the moves and ended after them.
    assert_eq!(client.pipeline(&["MULTI", "INCR m"])[1], simple("QUEUED"));
    let mut queued = 1;
    across_moves(&server, |_| {
        assert_eq!(client.run("INCR m"), simple("QUEUED"));
        queued += 1;
    });
    let counted = (1..=queued).map(int).collect();
    assert_eq!(client.run("EXEC"), Value::Array(counted));
}

#[test]
fn part_of_a_request_moves() {
    let server = Setup::new().with("workers", "3").start();
    let mut client = server.client();
    let request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n0123456789\r\n";
    across_moves(&server, |round| {
        let (begin, end) = request.split_at(4 * round + 3);
        client.write(begin);
        client.write(end);
        assert_eq!(client.reply(), ok());
        // And in the middle of one, while the number changes.
        client.write(begin);
        let mut operator = server.client();
        serve_with(&mut operator, 1 + round % 3);
        client.write(end);
        assert_eq!(client.reply(), ok());
    });
}

#[test]
fn who_listens_and_moves_misses_no_message() {
    let server = Setup::new().with("workers", "3").start();
    let (mut listener, mut publisher) = (server.client(), server.client());
    listener.send("SUBSCRIBE news");
    listener.reply();
    across_moves(&server, |round| {
        for n in 0..20 {
            let text = format!("{round}-{n}");
            assert_eq!(publisher.run(&format!("PUBLISH news {text}")), int(1));
            assert_eq!(listener.reply(), Value::Array(vec![bulk("message"), bulk("news"), bulk(text)]));
        }
    });
}

#[test]
fn who_waits_for_a_key_is_served_where_it_waits_and_moves_afterwards() {
    let server = Setup::new().with("workers", "3").start();
    let (mut sleeper, mut pusher) = (server.client(), server.client());
    across_moves(&server, |round| {
        sleeper.send("BLPOP list 0");
        let mut operator = server.client();
        wait_until("it waits", || operator.info("blocked_clients") == "1");
        serve_with(&mut operator, 1 + (round + 1) % 3);
        assert_eq!(pusher.run(&format!("RPUSH list {round}")), int(1));
        assert_eq!(sleeper.reply(), Value::Array(vec![bulk("list"), bulk(round.to_string())]));
    });
}

#[test]
fn a_client_that_has_moved_can_be_closed_by_others() {
    let server = Setup::new().with("workers", "3").start();
    let mut clients: Vec<_> = (0..6).map(|_| server.client()).collect();
    let mut operator = server.client();
    for workers in [1, 3, 2] {
        serve_with(&mut operator, workers);
        for client in &mut clients {
            assert_eq!(client.run("PING"), simple("PONG"));
        }
    }
    assert!(moved(&mut operator) > 0, "nothing has moved");
    assert_eq!(operator.run("CLIENT KILL TYPE normal SKIPME yes"), int(6));
    for client in &mut clients {
        assert_eq!(client.rest(), "");
    }
    wait_until("all of them have ended", || operator.info("connected_clients") == "1");
}

#[test]
fn writes_of_moving_connections_are_safe_when_they_are_acknowledged() {
    let server = Setup::new().with("workers", "3").start();
    let mut client = server.client();
    let mut n = 0;
    across_moves(&server, |_| {
        for _ in 0..5 {
            n += 1;
            assert_eq!(client.run("INCR n"), int(n));
        }
    });
    let setup = server.setup().clone();
    server.crash();
    assert_eq!(setup.start().client().run("GET n"), bulk(n.to_string()));
}
