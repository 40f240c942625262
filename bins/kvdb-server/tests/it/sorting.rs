//! SORT on a whole server: keys that only patterns name, while others change them and while they are on disk.

use std::sync::atomic::{AtomicBool, Ordering};

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, bulk, int, ok, wait_until};

const ELEMENTS: usize = 64;

fn replies(client: &mut Client, ways: &str) -> Value {
    match ways {
        "alone" => client.run("SORT l BY nosort GET w_*"),
        "read-only" => client.run("SORT_RO l BY w_* GET w_*"),
        "in a script" => {
            client.run_args(&["EVAL", "return redis.call('SORT', 'l', 'BY', 'w_*', 'GET', 'w_*')", "0"])
        }
        _ => {
            assert_eq!(client.run("MULTI"), ok());
            client.run("INCR runs");
            client.run("SORT l BY w_* GET w_*");
            client.run("SORT l BY w_* STORE stored");
            let reply = client.run("EXEC");
            let parts = reply.as_elements().expect("EXEC answers an array");
            assert_eq!(parts[2], int(ELEMENTS as i64));
            parts[1].clone()
        }
    }
}

/// All weights are the same at any one moment, so a SORT that replies with different ones has seen two.
fn assert_one_moment(server: &Server) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for ways in ["alone", "read-only", "in a script", "in a transaction"] {
            let done = &done;
            scope.spawn(move || {
                let mut client = server.client();
                while !done.load(Ordering::Relaxed) {
                    let reply = replies(&mut client, ways);
                    let values = reply.as_elements().expect("SORT answers an array");
                    assert_eq!(values.len(), ELEMENTS, "{ways}");
                    assert!(values.iter().all(|value| *value == values[0]), "{ways}: {reply:?}");
                }
            });
        }
        let mut client = server.client();
        for round in 0..300 {
            let weights: String = (0..ELEMENTS).map(|i| format!(" w_{i} {round}")).collect();
            assert_eq!(client.run(&format!("MSET{weights}")), ok());
        }
        done.store(true, Ordering::Relaxed);
    });
}

fn fill(client: &mut Client) {
    let elements: String = (0..ELEMENTS).map(|i| format!(" {i}")).collect();
    assert_eq!(client.run(&format!("RPUSH l{elements}")), int(ELEMENTS as i64));
    let weights: String = (0..ELEMENTS).map(|i| format!(" w_{i} 0")).collect();
    assert_eq!(client.run(&format!("MSET{weights}")), ok());
}

#[test]
fn a_sort_sees_one_moment_of_keys_that_it_did_not_declare() {
    let server = Setup::new().with("workers", "3").with("appendfsync", "everysec").start();
    fill(&mut server.client());
    assert_one_moment(&server);
    let mut client = server.client();
    let stored = client.run("LRANGE stored 0 -1");
    assert_eq!(stored.as_elements().map(<[Value]>::len), Some(ELEMENTS));
}

#[test]
fn keys_that_patterns_name_are_read_from_the_disk() {
    let setup = Setup::new()
        .with("appendfsync", "everysec")
        .with("maxmemory", "4mb")
        .with("storage-block-cache", "1mb");
    let server = setup.start();
    let mut client = server.client();
    let filler = "f".repeat(4_000);
    for chunk in 0..20 {
        let commands: Vec<String> = (chunk * 100..(chunk + 1) * 100)
            .flat_map(|i| {
                [format!("RPUSH l {i}"), format!("HSET o:{i} weight {} filler {filler}", 2_000 - i)]
            })
            .collect();
        client.pipeline(&commands);
    }
    wait_until("objects have left memory", || {
        client.info("storage_resident_keys").parse::<usize>().expect("a number") < 1_000
    });
    let expected: Vec<Value> = (0..2_000).rev().map(|i| bulk(i.to_string())).collect();
    let sorted = "SORT l BY o:*->weight";
    assert_eq!(client.run(sorted), Value::Array(expected.clone()));
    let script = "return redis.call('SORT', KEYS[1], 'BY', 'o:*->weight')";
    assert_eq!(client.run_args(&["EVAL", script, "1", "l"]), Value::Array(expected.clone()));
    // Within a transaction, before and behind a command that is on a whole database.
    assert_eq!(client.run("MULTI"), ok());
    for command in ["SET o:0 x", sorted, "DBSIZE", "INCR runs", sorted] {
        client.run(command);
    }
    let reply = client.run("EXEC");
    let parts = reply.as_elements().expect("EXEC answers an array");
    let mut without: Vec<Value> = expected[..1_999].to_vec();
    without.insert(0, bulk("0"));
    assert_eq!(parts[1], Value::Array(without.clone()));
    assert_eq!((&parts[3], &parts[4]), (&int(1), &Value::Array(without)));
}
