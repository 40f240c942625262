//! The memory of all clients together.

use kvdb_resp::Value;

use crate::harness::{Setup, int, ok, simple, wait_until};

#[test]
fn the_largest_client_is_closed_unless_it_may_not_be() {
    let server = Setup::new().with("maxmemory-clients", "1mb").with("hz", "100").start();
    let (mut small, mut kept, mut large) = (server.client(), server.client(), server.client());
    assert_eq!(kept.run("CLIENT NO-EVICT ON"), ok());
    // Commands that do not end: what was sent of them is kept.
    let begun = |bytes: usize| {
        let mut part = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000000\r\n".to_vec();
        part.resize(part.len() + bytes, b'v');
        part
    };
    kept.write(&begun(700_000));
    large.write(&begun(600_000));
    assert_eq!(large.rest(), "", "it is closed without a word");
    wait_until("it is counted", || small.info("evicted_clients") == "1");
    wait_until("it is gone", || small.info("connected_clients") == "2");
    // What is below the limit again stays, and the one that may not be closed could go above it.
    assert_eq!(small.run("CONFIG SET maxmemory-clients 0"), ok());
    kept.write(&vec![b'v'; 3_300_000]);
    kept.write(b"\r\n");
    assert_eq!(kept.reply(), ok());
    assert_eq!(small.run("STRLEN k"), int(4_000_000));
}

#[test]
fn a_share_of_maxmemory_is_a_limit_too() {
    let setup = Setup::new().with("maxmemory", "10mb").with("maxmemory-clients", "10%").with("hz", "100");
    let server = setup.start();
    let (mut small, mut large) = (server.client(), server.client());
    large.write(b"*2\r\n$4\r\nECHO\r\n$4000000\r\n");
    large.write(&vec![b'v'; 1_500_000]);
    assert_eq!(large.rest(), "");
    wait_until("it is counted", || small.info("evicted_clients") == "1");
}

#[test]
fn what_a_transaction_has_queued_and_watches_counts() {
    let server = Setup::new().with("maxmemory-clients", "1mb").with("hz", "100").start();
    let (mut small, mut large) = (server.client(), server.client());
    assert_eq!(large.run("WATCH watched"), ok());
    assert_eq!(large.run("MULTI"), ok());
    assert_eq!(large.run(&format!("SET k {}", "v".repeat(100_000))), simple("QUEUED"));
    let Value::Bulk(list) = small.run("CLIENT LIST") else { panic!("a list is text") };
    let list = String::from_utf8_lossy(&list).into_owned();
    let line = list.lines().find(|line| line.contains(" multi=1 ")).expect("it has queued a command");
    assert!(line.contains(" flags=x "), "{line}");
    let field = |name: &str| -> usize {
        let value = line.split(' ').find_map(|field| field.strip_prefix(name)).expect("it is a field");
        value.parse().expect("it is a number")
    };
    assert!((100_000..101_000).contains(&field("multi-mem=")), "{line}");
    assert!(field("tot-mem=") > 100_000, "{line}");
    for _ in 0..10 {
        large.write(format!("SET k {}\r\n", "v".repeat(60_000)).as_bytes());
        large.write(format!("SET k {}\r\n", "v".repeat(60_000)).as_bytes());
    }
    wait_until("it is closed", || small.info("evicted_clients") == "1");
}
