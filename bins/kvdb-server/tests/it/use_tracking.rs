//! What OBJECT FREQ and IDLETIME tell under each policy, and what RESTORE keeps.

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, error, nil, ok};

const NO_LFU: &str = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                      switching between policies at runtime LRU and LFU data will take some time to adjust.";
const NO_LRU: &str = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
                      between policies at runtime LRU and LFU data will take some time to adjust.";

fn frequency(client: &mut Client, key: &str) -> i64 {
    client.run(&format!("OBJECT FREQ {key}")).as_integer().expect("uses are counted")
}

fn restore(client: &mut Client, key: &str, option: [&str; 2]) {
    let dump = client.run("DUMP source");
    let Some(dump) = dump.as_bytes() else { panic!("DUMP answers a string: {dump:?}") };
    let args = [&b"RESTORE"[..], key.as_bytes(), b"0", dump, option[0].as_bytes(), option[1].as_bytes()];
    assert_eq!(client.run_args(&args), ok());
}

#[test]
fn the_policy_decides_what_is_remembered() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run("SET source v"), ok());
    assert_eq!(client.run("OBJECT FREQ source"), error(NO_LFU));
    assert_eq!(client.run("OBJECT FREQ missing"), nil());
    restore(&mut client, "idle", ["IDLETIME", "1000"]);
    assert!(matches!(client.run("OBJECT IDLETIME idle"), Value::Integer(1000..=1030)));
    restore(&mut client, "uncounted", ["FREQ", "100"]);
    assert!(matches!(client.run("OBJECT IDLETIME uncounted"), Value::Integer(0..=30)));

    for policy in ["allkeys-lfu", "volatile-lfu"] {
        assert_eq!(client.run(&format!("CONFIG SET maxmemory-policy {policy}")), ok());
        assert_eq!(client.run("OBJECT IDLETIME source"), error(NO_LRU));
        assert_eq!(client.run("OBJECT IDLETIME missing"), nil());
        assert_eq!(client.run("OBJECT FREQ missing"), nil());
        assert_eq!(client.run(&format!("SET new:{policy} v")), ok());
        assert_eq!(frequency(&mut client, &format!("new:{policy}")), 5);
    }
    restore(&mut client, "counted", ["FREQ", "100"]);
    assert_eq!(frequency(&mut client, "counted"), 100);
    assert_eq!(client.run("CONFIG SET maxmemory-policy allkeys-lru"), ok());
    assert_eq!(client.run("OBJECT FREQ source"), error(NO_LFU));
}

#[test]
fn uses_are_counted_one_for_each_command() {
    let setup = Setup::new().with("maxmemory-policy", "allkeys-lfu").with("lfu-log-factor", "0");
    let server = setup.with("lfu-decay-time", "0").start();
    let mut client = server.client();
    // With a factor of zero every use adds one.
    assert_eq!(client.run("SET k 1"), ok());
    let commands =
        ["GET k", "INCR k", "APPEND k 5", "SET k 7", "GETSET k 8", "EXPIRE k 100", "SETRANGE k 0 4"];
    for (uses, command) in (1..).zip(commands) {
        client.run(command);
        assert_eq!(frequency(&mut client, "k"), 5 + uses, "after {command}");
    }
    let before = frequency(&mut client, "k");
    for asks in ["EXISTS k", "TYPE k", "TTL k", "OBJECT ENCODING k", "OBJECT REFCOUNT k"] {
        client.run(asks);
        assert_eq!(frequency(&mut client, "k"), before, "{asks} is no use");
    }
    assert_eq!(client.run("CLIENT NO-TOUCH ON"), ok());
    client.run("GET k");
    assert_eq!(frequency(&mut client, "k"), before);
    client.run("TOUCH k");
    assert_eq!(frequency(&mut client, "k"), before + 1);
    assert_eq!(client.run("CLIENT NO-TOUCH OFF"), ok());
    // A counter has eight bits.
    client.pipeline(&vec!["GET k"; 300]);
    assert_eq!(frequency(&mut client, "k"), 255);
}

#[test]
fn a_pipeline_counts_by_chance_and_not_all_or_nothing() {
    let server = Setup::new().with("maxmemory-policy", "allkeys-lfu").start();
    let mut client = server.client();
    assert_eq!(client.run("SET k v"), ok());
    client.pipeline(&vec!["GET k"; 1_000]);
    let counter = frequency(&mut client, "k");
    assert!((10..40).contains(&counter), "a thousand uses make about 18: {counter}");
}
