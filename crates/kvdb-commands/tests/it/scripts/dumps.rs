//! Values on their way from a Redis server to a store and back, as DUMP and RESTORE carry them.

use std::fmt::Write;

use kvdb_resp::{OwnedArgs, Value};

use super::local::Local;
use super::notation::show;
use super::oracle::Oracle;

/// What makes values of every encoding under the key `k`, and how each is read, in an order that is the same everywhere.
fn values() -> Vec<(Vec<Vec<String>>, &'static [&'static str])> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let many = |command: &str, count: usize, element: &dyn Fn(usize) -> String| {
        vec![words(command).into_iter().chain((0..count).map(element)).collect::<Vec<_>>()]
    };
    let long = |i: usize| format!("{i}{}", "x".repeat(i % 90));
    let lists = [3, 500, 5000].map(|count| (many("RPUSH k", count, &long), &["LRANGE k 0 -1"][..]));
    let numbers = [7, 900].map(|count| {
        let number = |i: usize| ((i as i64 - 3) * 77_777_777_777 * (i as i64 % 3)).to_string();
        (many("SADD k", count, &number), &["SCARD k", "SORT k"][..])
    });
    let sets = [3, 300].map(|count| (many("SADD k", count, &long), &["SCARD k", "SORT k ALPHA"][..]));
    let hashes = [4, 2000].map(|count| {
        (many("HSET k", count, &long), &["HLEN k", "HMGET k 0 2xx 1998 44 990xxxxxxxxxxx", "HGET k 2xx"][..])
    });
    let sorted = [4, 800].map(|count| {
        let part = |i: usize| if i.is_multiple_of(2) { format!("{}", i as f64 / 8.0 - 7.0) } else { long(i) };
        (many("ZADD k", count, &part), &["ZRANGE k 0 -1 WITHSCORES"][..])
    });
    let streams = [5, 700].map(|count| {
        let mut all = Vec::new();
        for i in 1..=count {
            let (fields, id) = (["a 1 b", "a", "c 3 d 4 e"][i % 7 % 3], format!("{}-{}", 10 + i / 4, i));
            all.push(words(&format!("XADD k {id} {fields} {}", long(i))));
        }
        for command in [
            "XDEL k 10-2 10-3",
            "XGROUP CREATE k g 10-1 ENTRIESREAD 1",
            "XGROUP CREATE k empty $",
            "XREADGROUP GROUP g one COUNT 2 STREAMS k >",
            "XREADGROUP GROUP g two STREAMS k >",
            "XACK k g 11-5",
            "XCLAIM k g one 0 11-4 RETRYCOUNT 5",
        ] {
            all.push(words(command));
        }
        let reads = &["XRANGE k - +", "XPENDING k g - + 1000", "XINFO GROUPS k"][..];
        (all, reads)
    });
    let all = lists.into_iter().chain(numbers).chain(sets).chain(hashes).chain(sorted).chain(streams);
    all.collect()
}

/// Carries every value from the server to a store and back, and tells where one is not the same any more.
pub(super) fn compare(address: &str) -> Result<(), String> {
    let (mut local, mut oracle) = (Local::new(), Oracle::connect(address));
    // Redis is to look at all that it is given.
    let strict = ["CONFIG", "SET", "sanitize-dump-payload", "yes"];
    assert_eq!(oracle.run(OwnedArgs::from_iter(strict).as_args()), Value::simple("OK"));
    let mut differences = String::new();
    for (commands, reads) in values() {
        oracle.run(OwnedArgs::from_iter(["DEL", "k"]).as_args());
        for command in &commands {
            let reply = oracle.run(OwnedArgs::from_iter(command).as_args());
            assert!(!matches!(reply, Value::Error(_)), "{command:?}: {reply:?}");
        }
        let name: String = commands[0].iter().take(5).map(|word| format!("{word} ")).collect();
        let mut note = |what: &str, reply: &Value| {
            // A reply may go on for pages.
            let shown: Vec<String> = show(reply).into_iter().take(5).collect();
            writeln!(differences, "{name}… ({}): {what}: {shown:?}", commands[0].len())
                .expect("text takes text");
        };
        let from_redis = oracle.run(OwnedArgs::from_iter(["DUMP", "k"]).as_args());
        let restored = restore(&from_redis, |args| local.run(args.as_args()).expect("RESTORE replies"));
        if restored != Value::simple("OK") {
            note("the store restores", &restored);
            continue;
        }
        let back = local.run(OwnedArgs::from_iter(["DUMP", "k"]).as_args()).expect("DUMP replies");
        // What is read before is what it was; what is read behind is what came back.
        let read = |oracle: &mut Oracle| {
            let run = |read: &&str| {
                let reply = oracle.run(OwnedArgs::from_iter(read.split(' ')).as_args());
                assert!(!matches!(reply, Value::Error(_)), "{read}: {reply:?}");
                without_times(show(&reply))
            };
            reads.iter().map(run).collect::<Vec<_>>()
        };
        let before = read(&mut oracle);
        let restored = restore(&back, |args| oracle.run(args.as_args()));
        if restored != Value::simple("OK") {
            note("Redis restores", &restored);
            continue;
        }
        let after = read(&mut oracle);
        for (before, after) in before.iter().zip(&after) {
            if before != after {
                let first = before.iter().zip(after).find(|(before, after)| before != after);
                note(&format!("first difference {first:?}"), &Value::Integer(after.len() as i64));
            }
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

fn restore(dump: &Value, run: impl FnOnce(OwnedArgs) -> Value) -> Value {
    let Value::Bulk(payload) = dump else { return dump.clone() };
    let args: [&[u8]; 5] = [b"RESTORE", b"k", b"0", payload, b"REPLACE"];
    run(OwnedArgs::from_iter(args))
}

/// How long entries have waited is what XPENDING replies with third; it goes on.
fn without_times(mut lines: Vec<String>) -> Vec<String> {
    lines.retain(|line| {
        !line.starts_with("   3) (integer)") && !line.trim_start().starts_with("3) (integer)")
    });
    lines
}
