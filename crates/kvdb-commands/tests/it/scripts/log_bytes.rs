//! What commands cost in the log: a change costs what it touches, not what it changes a part of.

use kvdb_resp::OwnedArgs;

use super::local::Local;
use super::notation::{Directive, show};

/// More than the rows of one chunk with their keys, and far less than a string of several megabytes.
const ONE_CHUNK: u64 = 5_000;

/// More than a few rows with their keys.
const FEW_ROWS: u64 = 700;

/// The elements of a large collection.
const MANY: u64 = 100_000;

/// The bytes that a command appends to the log.
fn cost(local: &mut Local, command: &str) -> u64 {
    let before = local.logged_bytes();
    let args: OwnedArgs = command.split(' ').collect();
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

/// Adds many elements, a thousand at a time.
fn fill(local: &mut Local, command: &str, element: impl Fn(u64) -> String) {
    for first in (0..MANY).step_by(1000) {
        let elements: String = (first..first + 1000).map(|number| format!(" {}", element(number))).collect();
        cost(local, &format!("{command}{elements}"));
    }
}

#[test]
fn a_change_of_a_large_collection_logs_the_rows_that_it_touches() {
    let mut local = Local::new();
    fill(&mut local, "HSET h", |n| format!("field{n} value{n}"));
    fill(&mut local, "RPUSH l", |n| format!("element{n}"));
    fill(&mut local, "SADD s", |n| format!("member{n}"));
    fill(&mut local, "ZADD z", |n| format!("{n} member{n}"));
    fill(&mut local, "GEOADD g", |n| format!("{}.{} {} member{n}", n % 170, n, n % 80));
    for command in [
        "HSET h field50000 other",
        "HSET h new value",
        "HSETNX h newer value",
        "HINCRBY h number 1",
        "HDEL h field7",
        "HEXPIRE h 100 FIELDS 1 field8",
        "HPERSIST h FIELDS 1 field8",
        "LPUSH l first",
        "RPUSH l last",
        "LSET l 50000 other",
        "LINSERT l BEFORE element70000 between",
        "LINSERT l AFTER element30000 between",
        "LREM l 1 element60000",
        "LREM l -1 element40000",
        "LREM l 0 element45000",
        "LPOP l",
        "RPOP l",
        "LMOVE l l LEFT RIGHT",
        "LTRIM l 1 -2",
        "SADD s new",
        "SREM s member5",
        "SPOP s",
        "SMOVE s other member6",
        "ZADD z 5.5 new",
        "ZADD z 5.5 member90000",
        "ZINCRBY z 1000 member80000",
        "ZREM z member4",
        "ZPOPMIN z",
        "ZREMRANGEBYRANK z 50000 50001",
        "GEOADD g 13.361389 38.115556 Palermo",
        "GEOADD g 15.087269 37.502669 member9",
        "EXPIRE h 100",
        "EXPIRE l 100",
    ] {
        let bytes = cost(&mut local, command);
        assert!((1..=FEW_ROWS).contains(&bytes), "{command} logs {bytes} bytes");
    }
}

#[test]
fn elements_that_go_to_one_place_of_a_large_list_log_few_rows_each() {
    let mut local = Local::new();
    fill(&mut local, "RPUSH l", |n| format!("element{n}"));
    let commands = 300;
    let bytes: u64 =
        (0..commands).map(|n| cost(&mut local, &format!("LINSERT l BEFORE element50000 new{n}"))).sum();
    // Where no position is left between two elements, some of their neighbours get new ones.
    assert!(bytes <= commands * 2 * FEW_ROWS, "{commands} commands log {bytes} bytes");
}

#[test]
fn a_change_of_a_large_stream_logs_the_rows_that_it_touches() {
    let mut local = Local::new();
    for n in 1..=MANY {
        cost(&mut local, &format!("XADD x {n}-0 field value{n}"));
    }
    cost(&mut local, "XGROUP CREATE x g 0");
    cost(&mut local, &format!("XREADGROUP GROUP g anna COUNT {} STREAMS x >", MANY - 10));
    for command in [
        "XADD x * field value",
        "XADD x MAXLEN = 100000 * field value",
        "XREADGROUP GROUP g anna COUNT 1 STREAMS x >",
        "XACK x g 50000-0",
        "XCLAIM x g bob 0 60000-0",
        "XDEL x 70000-0",
        "XTRIM x MAXLEN 99998",
        "XGROUP CREATE x other $",
        "XGROUP SETID x g 99999-0",
    ] {
        let bytes = cost(&mut local, command);
        assert!((1..=FEW_ROWS).contains(&bytes), "{command} logs {bytes} bytes");
    }
}

#[test]
fn a_command_does_not_pay_for_all_fields_that_have_died_together() {
    let mut local = Local::new();
    for first in (0..20_000).step_by(1000) {
        let pairs: String = (first..first + 1000).map(|field| format!(" field{field} value")).collect();
        cost(&mut local, &format!("HSETEX h PX 10 FIELDS 1000{pairs}"));
    }
    cost(&mut local, "HSET h lasting value");
    local.direct(Directive::Advance(20));
    for command in
        ["HSET h field7 again", "HDEL h field8 lasting", "HINCRBY h field9 2", "HPERSIST h FIELDS 1 field10"]
    {
        let bytes = cost(&mut local, command);
        assert!((1..10_000).contains(&bytes), "{command} logs {bytes} bytes");
    }
    let show = |local: &mut Local, command: &str| {
        show(&local.run(command.split(' ').collect::<OwnedArgs>().as_args()).expect("there is a reply"))
    };
    assert_eq!(show(&mut local, "HLEN h"), ["(integer) 2"]);
    assert_eq!(show(&mut local, "HMGET h field7 field8 field9"), ["1) \"again\"", "2) (nil)", "3) \"2\""]);
    assert_eq!(show(&mut local, "HSETNX h field11 new"), ["(integer) 1"]);
    local.expire();
    assert_eq!(show(&mut local, "HKEYS h").len(), 3);
    local.check_accounts();
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
