//! Many clients at once: nothing is lost between them, and no command is seen half done.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Client, Setup, int, ok, text};

#[test]
fn increments_of_many_clients_add_up() {
    const CLIENTS: i64 = 8;
    const ROUNDS: i64 = 25;
    const PIPELINE: i64 = 20;
    for policy in ["always", "everysec"] {
        let server = Setup::new().with("workers", "3").with("appendfsync", policy).start();
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = server.client();
                    let mut last = 0;
                    for _ in 0..ROUNDS {
                        for reply in client.pipeline(&vec!["INCR counter"; PIPELINE as usize]) {
                            let value = reply.as_integer().expect("INCR answers a number");
                            assert!(value > last, "{value} after {last}");
                            last = value;
                        }
                    }
                });
            }
        });
        let sum = (CLIENTS * ROUNDS * PIPELINE).to_string();
        assert_eq!(text(&server.client().run("GET counter")), sum);
        assert_eq!(text(&server.restart().client().run("GET counter")), sum);
    }
}

#[test]
fn several_keys_change_at_once() {
    let server = Setup::new().with("workers", "3").with("appendfsync", "everysec").start();
    let mut client = server.client();
    assert_eq!(client.run("MSET a 0 b 0 c 0 d 0"), ok());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = server.client();
                    for i in 0..1_500 {
                        let n = i * 2 + writer;
                        // In either order: latches are taken in one.
                        let command = if writer == 0 {
                            format!("MSET a {n} b {n} c {n} d {n}")
                        } else {
                            format!("MSET d {n} c {n} b {n} a {n}")
                        };
                        assert_eq!(client.run(&command), ok());
                    }
                })
            })
            .collect();
        for reader in 0..3 {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let mut client = server.client();
                let command = if reader == 0 { "MGET d a c b" } else { "MGET a b c d" };
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
}

#[test]
fn one_of_many_takes_a_lock() {
    let server = Setup::new().with("workers", "3").with("appendfsync", "everysec").start();
    for round in 0..30 {
        let taken: i64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|i| {
                    let mut client = server.client();
                    scope.spawn(move || {
                        i64::from(client.run(&format!("SET lock:{round} {i} NX PX 100000")) == ok())
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a client's reply is as it should be"))
                .sum()
        });
        assert_eq!(taken, 1);
    }
}

#[test]
fn a_swap_or_a_flush_is_seen_whole() {
    let server = Setup::new().with("workers", "3").with("appendfsync", "everysec").start();
    let mut client = server.client();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flusher = scope.spawn(|| {
            let mut client = server.client();
            for i in 0..60 {
                assert_eq!(client.run(&format!("MSET x {i} y {i} z {i}")), ok());
                assert_eq!(client.run("SWAPDB 0 1"), ok());
                assert_eq!(client.run("FLUSHDB"), ok());
                assert_eq!(client.run("SWAPDB 0 1"), ok());
                assert_eq!(client.run("FLUSHDB"), ok());
            }
        });
        let reader = scope.spawn(|| {
            let mut client: Client = server.client();
            while !done.load(Ordering::Relaxed) {
                let reply = client.run("MGET x y z");
                let values = reply.as_elements().expect("MGET answers an array");
                assert!(values.iter().all(|value| *value == values[0]), "{reply:?}");
            }
        });
        let flushed = flusher.join();
        done.store(true, Ordering::Relaxed);
        flushed.expect("the flusher's replies are as they should be");
        reader.join().expect("keys that are written together are seen together");
    });
    assert_eq!(client.run("DBSIZE"), int(0));
}
