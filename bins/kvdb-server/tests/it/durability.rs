//! What was acknowledged is there afterwards, however the process ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;

use rustix::process::Signal;

use crate::harness::{Client, Server, Setup, bulk, error, int, nil, ok, wait_until};

/// Clients that each count a key of their own up, and remember what was acknowledged.
struct Load {
    acknowledged: Vec<Arc<AtomicI64>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(server: &Server, clients: usize) -> Self {
        let mut load = Self { acknowledged: Vec::new(), threads: Vec::new() };
        for name in 0..clients {
            let acknowledged = Arc::new(AtomicI64::new(0));
            load.acknowledged.push(acknowledged.clone());
            let mut client = server.client();
            load.threads.push(std::thread::spawn(move || {
                // Ten at a time, and every one of their replies counts.
                while client.try_write(format!("INCR counter:{name}\r\n").repeat(10).as_bytes()).is_ok() {
                    for _ in 0..10 {
                        let Some(reply) = client.try_reply() else { return };
                        let value = reply.as_integer().expect("INCR answers a number");
                        assert_eq!(value, acknowledged.fetch_add(1, Ordering::SeqCst) + 1);
                    }
                }
            }));
        }
        load
    }

    fn total(&self) -> i64 {
        self.acknowledged.iter().map(|n| n.load(Ordering::SeqCst)).sum()
    }

    #[track_caller]
    fn run_until(&self, total: i64) {
        wait_until("the load has got so far", || {
            self.total() >= total && self.acknowledged.iter().all(|n| n.load(Ordering::SeqCst) > 0)
        });
    }

    /// Waits for the clients and compares what they were told with what is there.
    #[track_caller]
    fn check(self, client: &mut Client) {
        for thread in self.threads {
            thread.join().expect("a client of the load saw a wrong reply");
        }
        for (name, acknowledged) in self.acknowledged.iter().enumerate() {
            let told = acknowledged.load(Ordering::SeqCst);
            let stored = crate::harness::text(&client.run(&format!("GET counter:{name}")));
            let stored: i64 = stored.parse().expect("a counter");
            // What was under way may have happened or not.
            assert!((told..=told + 10).contains(&stored), "{told} acknowledged, {stored} stored");
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    for policy in ["always", "everysec", "no"] {
        let setup = Setup::new().with("appendfsync", policy);
        let server = setup.start();
        let load = Load::start(&server, 4);
        load.run_until(1_000);
        server.crash();
        let server = setup.start();
        load.check(&mut server.client());
    }
}

#[test]
fn a_terminated_process_ends_in_order_under_load() {
    for policy in ["always", "everysec"] {
        let setup = Setup::new().with("appendfsync", policy);
        let mut server = setup.start();
        let load = Load::start(&server, 4);
        load.run_until(500);
        server.signal(Signal::TERM);
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "{}", server.log());
        assert!(server.log().contains("everything is safe"), "{}", server.log());
        let server = setup.start();
        load.check(&mut server.client());
    }
}

#[test]
fn shutdown_ends_the_server_and_keeps_everything() {
    for command in ["SHUTDOWN", "SHUTDOWN NOSAVE", "SHUTDOWN SAVE", "SHUTDOWN NOW FORCE"] {
        let setup = Setup::new().with("appendfsync", "everysec");
        let mut server = setup.start();
        let mut client = server.client();
        assert_eq!(client.run("SHUTDOWN ABORT"), error("ERR No shutdown in progress."));
        assert_eq!(client.run("SHUTDOWN NOSAVE SAVE"), error("ERR syntax error"));
        assert_eq!(client.run("SET k v"), ok());
        client.send(command);
        assert_eq!(client.rest(), "", "{command}");
        assert_eq!(server.wait().code(), Some(0), "{command}");
        assert_eq!(setup.start().client().run("GET k"), bulk("v"), "{command}");
    }
}

#[test]
fn databases_that_are_out_of_reach_keep_their_keys() {
    let setup = Setup::new();
    let server = setup.start();
    let mut client = server.client();
    for db in [0, 3, 15] {
        assert_eq!(client.run(&format!("SELECT {db}")), ok());
        assert_eq!(client.run(&format!("SET where {db}")), ok());
    }
    server.stop();
    let server = setup.clone().with("databases", "4").start();
    let mut client = server.client();
    assert_eq!(client.run("SELECT 3"), ok());
    assert_eq!(client.run("GET where"), bulk("3"));
    assert_eq!(client.run("SELECT 15"), error("ERR DB index is out of range"));
    server.stop();
    let server = setup.with("databases", "64").start();
    let mut client = server.client();
    assert_eq!(client.run("SELECT 63"), ok());
    assert_eq!(client.run("DBSIZE"), int(0));
    assert_eq!(client.run("SELECT 15"), ok());
    assert_eq!(client.run("GET where"), bulk("15"));
    assert_eq!(client.run("DBSIZE"), int(1));
}

#[test]
fn flushed_and_deleted_keys_stay_away() {
    let setup = Setup::new();
    let server = setup.start();
    let mut client = server.client();
    for i in 0..100 {
        assert_eq!(client.run(&format!("SET key:{i} {i}")), ok());
    }
    assert_eq!(client.run("SAVE"), ok());
    assert_eq!(client.run("DEL key:1 key:2"), int(2));
    assert_eq!(client.run("RENAME key:3 renamed"), ok());
    server.crash();
    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.run("EXISTS key:1 key:2 key:3"), int(0));
    assert_eq!(client.run("GET renamed"), bulk("3"));
    assert_eq!(client.run("DBSIZE"), int(98));
    assert_eq!(client.run("FLUSHALL"), ok());
    assert_eq!(client.run("SET new 1"), ok());
    server.crash();
    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.run("DBSIZE"), int(1));
    assert_eq!(client.run("GET key:50"), nil());
    assert_eq!(client.run("GET new"), bulk("1"));
}

#[test]
fn info_tells_what_a_crash_would_replay() {
    let setup = Setup::new();
    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.run("SET first 1"), ok());
    let changes = |client: &mut Client| -> u64 {
        client.info("rdb_changes_since_last_save").parse().expect("a number of changes")
    };
    let before = changes(&mut client);
    for i in 0..10 {
        assert_eq!(client.run(&format!("SET key:{i} {i}")), ok());
    }
    assert_eq!(client.info("aof_enabled"), "1");
    assert_eq!(client.info("aof_last_write_status"), "ok");
    assert_eq!(changes(&mut client), before + 10);
    assert_ne!(client.info("aof_current_size"), "0");
    assert_eq!(client.run("SAVE"), ok());
    assert_eq!(client.info("rdb_changes_since_last_save"), "0");
    assert_eq!(client.info("rdb_last_bgsave_status"), "ok");
    assert_eq!(client.info("loading"), "0");
}

#[test]
fn a_directory_has_one_server_at_a_time() {
    let server = Setup::new().start();
    let failed = server.setup().fail();
    assert_eq!(failed.status.code(), Some(1));
    let dir = server.dir().display().to_string();
    assert!(failed.log.contains(&dir) && failed.log.contains("is locked by process"), "{}", failed.log);
    // The one that was there first is not disturbed.
    assert_eq!(server.client().run("SET k v"), ok());
}

#[test]
fn a_port_has_one_server_at_a_time() {
    let server = Setup::new().start();
    let port = server.addr().port();
    let failed = Setup::new().at(port).fail();
    assert_eq!(failed.status.code(), Some(1));
    assert!(failed.log.contains(&format!("cannot listen on 127.0.0.1 port {port}")), "{}", failed.log);
    let holder = format!("by process {} (kvdb-server)", server.pid());
    assert!(failed.log.contains(&holder), "{holder}: {}", failed.log);
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let setup = Setup::new();
    let file = setup.home().join("a-file");
    std::fs::write(&file, "not a directory").expect("the test's own directory can be written");
    let failed = setup.in_dir(&file).fail();
    assert_eq!(failed.status.code(), Some(1));
    assert!(failed.log.contains("a-file"), "{}", failed.log);
}
