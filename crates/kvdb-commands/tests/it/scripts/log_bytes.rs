//! What commands cost in the log: a change costs what it touches, not what it changes a part of.

use super::local::Local;

/// More than the rows of one chunk with their keys, and far less than a string of several megabytes.
const ONE_CHUNK: u64 = 5_000;

/// The bytes that a command appends to the log.
fn cost(local: &mut Local, command: &str) -> u64 {
    let before = local.logged_bytes();
    let args: kvdb_resp::OwnedArgs = command.split(' ').collect();
    local.run(args.as_args());
    local.logged_bytes() - before
}

#[test]
fn a_change_of_a_long_string_logs_the_chunks_that_it_touches() {
    let mut local = Local::new();
    cost(&mut local, "SETRANGE k 5000000 x");
    for (command, chunks) in [
        ("SETBIT k 16000000 1", 1),
        ("SETRANGE k 100000 abc", 1),
        ("SETRANGE k 102399 abc", 2),
        ("APPEND k more", 1),
        ("BITFIELD k SET u8 0 1 INCRBY u8 0 1 INCRBY u8 8 1 SET u16 32000000 9", 2),
        ("EXPIRE k 100", 1),
    ] {
        let bytes = cost(&mut local, command);
        assert!((1..=chunks * ONE_CHUNK).contains(&bytes), "{command} logs {bytes} bytes");
    }
}

#[test]
fn what_changes_nothing_logs_nothing() {
    let mut local = Local::new();
    for command in ["SETRANGE b 10 x", "SETBIT b 3 1", "PFADD h a", "SET k v"] {
        assert!(cost(&mut local, command) > 0, "{command}");
    }
    assert!(cost(&mut local, "PFCOUNT h") > 0, "the first count is kept");
    for command in [
        "SETBIT b 3 1",
        "PFCOUNT h",
        "SETRANGE b 0 ",
        "BITFIELD b GET u8 0",
        "PFADD h a",
        "PFCOUNT h none",
        "PFCOUNT none",
        "SET k w NX",
        "SET none w XX",
        "MSETNX k 1 none 2",
        "GETEX k",
        "GETEX k PERSIST",
        "GETDEL none",
        "INCR k",
        "INCRBYFLOAT k 1",
        "SETBIT b 1 2",
        "BITOP OR none missing",
    ] {
        assert_eq!(cost(&mut local, command), 0, "{command}");
    }
}
