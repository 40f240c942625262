//! The policies that delete keys where memory is used up, and what is refused then.

use kvdb_resp::Value;

use crate::harness::{Client, Setup, bulk, error, int, nil, ok, simple, text, wait_until};

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
const LIMIT: usize = 4 << 20;

fn cache(policy: &str) -> Setup {
    let setup = Setup::new().with("appendfsync", "everysec").with("maxmemory", "4mb");
    setup.with("maxmemory-policy", policy).with("maxmemory-samples", "10").with("storage-block-cache", "1mb")
}

fn number(client: &mut Client, field: &str) -> usize {
    client.info(field).parse().expect("a number")
}

fn size(client: &mut Client) -> i64 {
    match client.run("DBSIZE") {
        Value::Integer(n) => n,
        other => panic!("{other:?}"),
    }
}

/// Sets keys of 4000 bytes each; returns how many were accepted.
fn fill(client: &mut Client, prefix: &str, count: usize, options: impl Fn(usize) -> String) -> usize {
    let value = "v".repeat(4_000);
    let commands: Vec<String> =
        (0..count).map(|i| format!("SET {prefix}:{i} {value}{}", options(i))).collect();
    commands.chunks(50).flat_map(|chunk| client.pipeline(chunk)).filter(|reply| *reply == ok()).count()
}

fn count(client: &mut Client, prefix: &str, range: std::ops::Range<usize>) -> usize {
    let commands: Vec<String> = range.map(|i| format!("EXISTS {prefix}:{i}")).collect();
    client.pipeline(&commands).iter().filter(|reply| **reply == int(1)).count()
}

#[test]
fn every_policy_that_deletes_keeps_a_cache_near_its_limit() {
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        let server = cache(policy).start();
        let mut client = server.client();
        assert_eq!(client.run("CONFIG GET maxmemory-policy").as_elements().expect("pairs")[1], bulk(policy));
        assert_eq!(client.info("maxmemory_policy"), policy);
        let set = fill(&mut client, "key", 3_000, |i| format!(" EX {}", 10_000 + i));
        assert_eq!(set, 3_000, "{policy}: nothing is refused where there is something to delete");
        wait_until("what was above the limit is deleted", || {
            number(&mut client, "used_memory_dataset") <= LIMIT
        });
        let (kept, evicted) = (size(&mut client) as usize, number(&mut client, "evicted_keys"));
        assert_eq!(kept + evicted, 3_000, "{policy}");
        assert!(kept > 600, "{policy}: only {kept} keys are left, which is not near the limit");
        assert_eq!(number(&mut client, "storage_keys_evicted_to_disk"), 0, "{policy}");
        // What is deleted is deleted for good.
        let server = server.restart();
        let mut client = server.client();
        assert_eq!(size(&mut client) as usize, kept, "{policy}");
    }
}

#[test]
fn what_was_used_lately_is_kept() {
    let server = cache("allkeys-lru").start();
    let mut client = server.client();
    fill(&mut client, "old", 600, |_| String::new());
    wait_until(
        "the clock of uses has moved on",
        || matches!(client.run("OBJECT IDLETIME old:0"), Value::Integer(idle) if idle >= 2),
    );
    let touch: Vec<String> = (0..60).map(|i| format!("GET old:{i}")).collect();
    client.pipeline(&touch);
    assert_eq!(fill(&mut client, "new", 500, |_| String::new()), 500);
    let (used, unused) = (count(&mut client, "old", 0..60), count(&mut client, "old", 60..600));
    assert!(used >= 57, "{used} of 60 keys in use were kept");
    assert!(unused < 400, "{unused} of 540 unused keys were kept");
}

#[test]
fn what_is_used_often_is_kept() {
    let server = cache("allkeys-lfu").with("lfu-log-factor", "0").start();
    let mut client = server.client();
    fill(&mut client, "old", 600, |_| String::new());
    for _ in 0..20 {
        client.pipeline(&(0..60).map(|i| format!("GET old:{i}")).collect::<Vec<_>>());
    }
    assert_eq!(fill(&mut client, "new", 1_000, |_| String::new()), 1_000);
    let often = count(&mut client, "old", 0..60);
    assert!(often >= 57, "{often} of 60 keys that are used often were kept");
}

#[test]
fn what_dies_first_goes_first_and_what_never_dies_stays() {
    let server = cache("volatile-ttl").start();
    let mut client = server.client();
    assert_eq!(fill(&mut client, "forever", 200, |_| String::new()), 200);
    assert_eq!(fill(&mut client, "late", 200, |i| format!(" EX {}", 90_000 + i)), 200);
    assert_eq!(fill(&mut client, "soon", 1_000, |i| format!(" EX {}", 1_000 + i)), 1_000);
    assert_eq!(count(&mut client, "forever", 0..200), 200);
    let late = count(&mut client, "late", 0..200);
    assert!(late >= 190, "{late} of 200 keys that die late were kept");
    assert!(count(&mut client, "soon", 0..1_000) < 600);
}

#[test]
fn where_nothing_may_be_deleted_what_grows_is_refused() {
    for policy in ["noeviction", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let server = cache(policy).start();
        let mut client = server.client();
        assert_eq!(client.run("SET early v"), ok());
        let set = fill(&mut client, "key", 2_000, |_| String::new());
        assert!((700..1_100).contains(&set), "{policy}: {set} of 2000 keys fit into 4 MiB");
        assert_eq!(client.run("SET one more"), error(OOM), "{policy}");
        assert_eq!(client.run("LPUSH list element"), error(OOM));
        assert_eq!(client.run("GET early"), bulk("v"));
        assert_eq!(number(&mut client, "evicted_keys"), 0);
        assert_eq!(client.run("EXPIRE early 1000"), int(1));
        assert_ne!(client.info("errorstat_OOM"), "count=0");
        if policy == "noeviction" {
            let keys: String = (0..set).map(|i| format!(" key:{i}")).collect();
            assert_eq!(client.run(&format!("DEL{keys}")), int(set as i64));
        } else {
            // There is one key with a deadline now, and it goes; the next write has nothing to delete again.
            client.run("SET one more");
            assert_eq!(client.run("EXISTS early"), int(0), "{policy}");
            assert_eq!(client.run("FLUSHALL"), ok());
        }
        assert_eq!(client.run("SET one more"), ok(), "{policy}: there is room at once");
    }
}

#[test]
fn transactions_and_scripts_are_refused_as_in_redis() {
    let server = cache("noeviction").start();
    let mut client = server.client();
    client.send("MULTI");
    client.send("SET queued v");
    assert_eq!((client.reply(), client.reply()), (ok(), simple("QUEUED")));
    let mut other = server.client();
    fill(&mut other, "key", 2_000, |_| String::new());
    let refused = format!("EXECABORT Transaction discarded because of: {OOM}");
    assert_eq!(client.run("EXEC"), error(&refused));
    assert_eq!(client.run("EXEC"), error("ERR EXEC without MULTI"));
    assert_eq!(client.run("MULTI"), ok());
    assert_eq!(client.run("SET k v"), error(OOM));
    assert_eq!(client.run("GET k"), error(OOM), "what is queued takes memory too");
    assert_eq!(client.run("MULTI"), error(OOM));
    assert_eq!(client.run("EXEC"), error("EXECABORT Transaction discarded because of previous errors."));
    let mut eval = |script: &str| {
        let length = script.len();
        client.write(format!("*3\r\n$4\r\nEVAL\r\n${length}\r\n{script}\r\n$1\r\n0\r\n").as_bytes());
        client.reply()
    };
    let Value::Error(failed) = eval("return redis.call('SET', 'k', 'v')") else { panic!("it is refused") };
    let failed = String::from_utf8_lossy(&failed).into_owned();
    assert!(failed.starts_with(&format!("{OOM} script: ")), "{failed}");
    assert_eq!(eval("return redis.call('GET', 'k')"), nil());
    assert_eq!(eval("redis.call('DEL', 'key:0') return redis.call('SET', 'k', 'v')"), ok(), "it has begun");
    assert_eq!(eval("redis.call('DEL', 'k') redis.call('SET', 'key:0', ('v'):rep(9000)) return 1"), int(1));
    assert_eq!(eval("#!lua\nreturn redis.call('SET', 'k', 'v')"), error(OOM));
    // A script that has called something that writes goes on, whether or not that has changed anything.
    assert_eq!(eval("redis.call('DEL', 'none') return redis.call('SET', 'small', 'v')"), ok());
    assert_eq!(eval("#!lua flags=no-writes\nreturn redis.call('GET', 'k')"), nil());
    assert_eq!(eval("#!lua flags=allow-oom\nreturn redis.call('SET', 'k', 'v')"), ok());
}

#[test]
fn an_evicted_key_is_told_to_those_who_listen_and_those_who_keep_it() {
    let server = cache("allkeys-random").with("notify-keyspace-events", "Ee").start();
    let (mut listener, mut keeper) = (server.client(), server.client());
    listener.run("SUBSCRIBE __keyevent@0__:evicted");
    keeper.run("HELLO 3");
    assert_eq!(keeper.run("CLIENT TRACKING ON BCAST PREFIX key:"), ok());
    let mut client = server.client();
    assert_eq!(fill(&mut client, "other", 900, |_| String::new()), 900);
    assert_eq!(fill(&mut client, "other2", 900, |_| String::new()), 900);
    let message = listener.reply();
    let message = message.as_elements().expect("a message");
    assert_eq!(message[..2], [bulk("message"), bulk("__keyevent@0__:evicted")]);
    assert!(text(&message[2]).starts_with("other"));
    // Every new key is told once when it is set; one that goes, a second time.
    assert_eq!(client.run("SET key:0 v"), ok());
    let told = |keeper: &mut Client| match keeper.reply() {
        Value::Push(parts) => parts[1].as_elements().expect("names").to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&mut keeper), [bulk("key:0")]);
    let gone = (0..100).any(|round| {
        fill(&mut client, &format!("round{round}"), 200, |_| String::new());
        client.run("EXISTS key:0") == int(0)
    });
    assert!(gone, "twenty thousand keys have come, and it is still one of a thousand that are left");
    assert_eq!(told(&mut keeper), [bulk("key:0")]);
}

#[test]
fn data_beyond_the_limit_goes_when_a_policy_is_chosen() {
    let setup = cache("tiered").with("hz", "100");
    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.info("maxmemory_policy"), "noeviction", "nothing is deleted");
    assert_eq!(fill(&mut client, "key", 3_000, |_| String::new()), 3_000);
    wait_until("values have left memory", || number(&mut client, "storage_resident_keys") < 2_000);
    assert_eq!(size(&mut client), 3_000);
    assert_eq!(client.run("CONFIG SET maxmemory-policy allkeys-lru"), ok());
    wait_until("only what fits is left", || {
        let kept = size(&mut client) as usize;
        kept < 1_100 && number(&mut client, "storage_resident_keys") == kept
    });
    assert!(size(&mut client) > 600);
}

#[test]
fn data_that_may_not_be_deleted_is_readable_and_memory_stays_bounded() {
    let server = cache("tiered").with("hz", "100").start();
    let mut client = server.client();
    assert_eq!(fill(&mut client, "key", 3_000, |_| String::new()), 3_000);
    assert_eq!(client.run("CONFIG SET maxmemory-policy noeviction"), ok());
    for _ in 0..2 {
        assert_eq!(count(&mut client, "key", 0..3_000), 3_000);
        let lengths = client.pipeline(&(0..3_000).map(|i| format!("STRLEN key:{i}")).collect::<Vec<_>>());
        assert!(lengths.iter().all(|length| *length == int(4_000)));
    }
    wait_until("what reads brought in goes back", || {
        number(&mut client, "used_memory_dataset") <= LIMIT + LIMIT / 8
    });
    assert_eq!(size(&mut client), 3_000);
}

/// Keys whose latches others have are passed over, which is no sign that nothing can be deleted.
#[test]
fn nothing_is_refused_while_others_have_the_keys_that_could_go() {
    let server = cache("allkeys-random").with("workers", "2").with("appendfsync", "no").start();
    let many = |client: &mut Client| {
        // Many keys at a time, so that their latches are held for long, of twice as many as there is room for.
        let value = "v".repeat(4_000);
        let commands: Vec<String> = (0..100)
            .map(|round| {
                let keys = (0..60).map(|i| format!(" key:{} {value}", (round * 60 + i) % 2_000));
                format!("MSET{}", keys.collect::<String>())
            })
            .collect();
        commands.iter().map(|command| client.run(command)).filter(|reply| *reply != ok()).count()
    };
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mut client = server.client();
            std::thread::spawn(move || many(&mut client))
        })
        .collect();
    let refused: usize = threads.into_iter().map(|thread| thread.join().expect("it only writes")).sum();
    assert_eq!(refused, 0);
}
