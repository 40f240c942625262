//! More data than memory.

use std::sync::atomic::{AtomicBool, Ordering};

use kvdb_resp::Value;

use crate::harness::{Client, Setup, bulk, int, nil, ok, simple, text, wait_until};

const KEYS: usize = 10_000;

fn value(i: usize) -> String {
    format!("{i:07}:").repeat(500)
}

fn number(client: &mut Client, field: &str) -> usize {
    client.info(field).parse().expect("a number")
}

#[track_caller]
fn assert_all(client: &mut Client) {
    for chunk in 0..KEYS / 100 {
        let keys = chunk * 100..(chunk + 1) * 100;
        let commands: Vec<String> = keys.clone().map(|i| format!("GET key:{i}")).collect();
        for (i, reply) in keys.zip(client.pipeline(&commands)) {
            assert_eq!(reply, bulk(value(i)), "key:{i}");
        }
    }
    assert_eq!(client.run("DBSIZE"), int(KEYS as i64));
    let mut seen = vec![false; KEYS];
    let mut cursor = "0".to_owned();
    loop {
        let reply = client.run(&format!("SCAN {cursor} COUNT 500"));
        let parts = reply.as_elements().expect("SCAN answers an array");
        for key in parts[1].as_elements().expect("keys are an array") {
            let key = text(key);
            let i: usize = key.strip_prefix("key:").and_then(|i| i.parse().ok()).expect("a key of the test");
            seen[i] = true;
        }
        cursor = text(&parts[0]);
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.iter().filter(|seen| !**seen).count(), 0, "keys that SCAN does not show");
}

/// Sets all keys.
fn fill(client: &mut Client) {
    for chunk in 0..KEYS / 100 {
        let commands: Vec<String> =
            (chunk * 100..(chunk + 1) * 100).map(|i| format!("SET key:{i} {}", value(i))).collect();
        assert!(client.pipeline(&commands).iter().all(|reply| *reply == ok()));
    }
}

#[test]
fn data_beyond_memory_is_there_before_and_after_a_restart() {
    let setup = Setup::new()
        .with("appendfsync", "everysec")
        .with("maxmemory", "4mb")
        .with("storage-block-cache", "1mb");
    let server = setup.start();
    let mut client = server.client();
    fill(&mut client);
    wait_until("values have left memory", || number(&mut client, "storage_resident_keys") < KEYS / 2);
    assert_ne!(client.info("storage_keys_evicted_to_disk"), "0");
    assert_eq!(client.info("evicted_keys"), "0", "nothing is deleted");
    assert_all(&mut client);
    // Changing what is on disk works as well.
    for i in [0, KEYS / 2, KEYS - 1] {
        assert_eq!(client.run(&format!("STRLEN key:{i}")), int(4_000));
        assert_eq!(client.run(&format!("APPEND key:{i} !")), int(4_001));
        assert_eq!(client.run(&format!("SETRANGE key:{i} 0 {}", value(i))), int(4_001));
        assert_eq!(client.run(&format!("GETRANGE key:{i} -2 -1")), bulk(":!"));
        assert_eq!(client.run(&format!("SET key:{i} {}", value(i))), ok());
    }
    server.stop();
    let server = setup.with("warm-up", "no").start();
    assert_all(&mut server.client());
}

#[test]
fn a_command_of_more_keys_than_memory_may_hold_ends() {
    let setup = Setup::new().with("appendfsync", "everysec").with("maxmemory", "4mb").with("hz", "500");
    let setup = setup.with("storage-block-cache", "1mb").with("warm-up", "no");
    let server = setup.start();
    let mut client = server.client();
    fill(&mut client);
    assert_eq!(client.run("SAVE"), ok());
    let server = server.restart();
    let mut client = server.client();
    // Every second key of the command does not exist: those leave nothing in memory that could be remembered.
    let all: String = (0..KEYS).map(|i| format!(" key:{i} absent:{i}")).collect();
    let reply = client.run(&format!("MGET{all}"));
    let values = reply.as_elements().expect("MGET answers an array");
    assert_eq!(values.len(), 2 * KEYS);
    for (i, pair) in values.chunks(2).enumerate() {
        assert_eq!(pair, [bulk(value(i)), nil()], "key:{i}");
    }
    wait_until("they have left memory", || number(&mut client, "storage_resident_keys") < KEYS / 2);
    assert_eq!(client.run(&format!("DEL{all}")), int(KEYS as i64));
}

#[test]
fn buffers_leave_room_for_objects_within_maxmemory() {
    // As large as buffers are by themselves on a machine of any size.
    let setup = Setup::new().with("appendfsync", "everysec").with("maxmemory", "80mb");
    let server = setup.with("storage-write-buffer", "0").start();
    let mut client = server.client();
    let values: Vec<String> = (0..100).map(|_| "v".repeat(10_000)).collect();
    for round in 0..100 {
        let commands: Vec<String> =
            values.iter().enumerate().map(|(i, v)| format!("SET key:{round}:{i} {v}")).collect();
        assert!(client.pipeline(&commands).iter().all(|reply| *reply == ok()));
    }
    // A hundred megabytes of values: most of the limit holds objects once the rest has left.
    wait_until("values have left memory", || number(&mut client, "storage_resident_keys") < KEYS);
    wait_until("the memtables are flushed", || number(&mut client, "used_memory") < 84 << 20);
    let resident = number(&mut client, "storage_resident_keys");
    assert!(resident > 1_000, "{resident} of {KEYS} keys are in memory");
}

#[test]
fn reads_from_disk_do_not_hold_up_other_clients_of_the_worker() {
    let setup = Setup::new().with("appendfsync", "everysec").with("workers", "1").with("warm-up", "no");
    let server = setup.start();
    let mut client = server.client();
    fill(&mut client);
    assert_eq!(client.run("SAVE"), ok());
    let server = server.restart();
    let finished = AtomicBool::new(false);
    let mut reader = server.client();
    let mut other = server.client();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let commands: Vec<String> = (0..KEYS).map(|i| format!("GET key:{i}")).collect();
            let replies = reader.pipeline(&commands);
            finished.store(true, Ordering::SeqCst);
            replies
        });
        let mut answered = 0;
        while !finished.load(Ordering::SeqCst) {
            assert_eq!(other.run("PING"), simple("PONG"));
            answered += 1;
        }
        assert!(answered > 1, "the other client waited for all reads");
        for (i, reply) in reading.join().expect("the reader gets its replies").into_iter().enumerate() {
            assert_eq!(reply, Value::bulk(value(i)), "key:{i}");
        }
    });
}
