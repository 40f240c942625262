//! redis-rs as its users write it: typed commands over RESP2 and RESP3, pipelines and scans, with assertions on every
//! answer.

use std::collections::HashSet;
use std::env;
use std::time::{Duration, Instant};

use redis::{Client, Commands, Connection, RedisResult};

fn main() -> RedisResult<()> {
    let port: u16 = env::var("KVDB_PORT").expect("KVDB_PORT is set").parse().expect("KVDB_PORT is a port");
    let password = env::var("KVDB_PASSWORD").ok().filter(|password| !password.is_empty());
    let login = password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
    if password.is_some() {
        assert!(connect(&format!("redis://127.0.0.1:{port}/")).and_then(|mut r| r.get::<_, Option<String>>("x")).is_err());
        assert!(connect(&format!("redis://:wrong@127.0.0.1:{port}/")).is_err());
    }
    for settings in ["", "?protocol=resp3", "2"] {
        let mut r = connect(&format!("redis://{login}127.0.0.1:{port}/{settings}"))?;
        let _: () = redis::cmd("FLUSHALL").query(&mut r)?;
        strings(&mut r)?;
        binary(&mut r)?;
        expiry(&mut r)?;
        bits_and_sketches(&mut r)?;
        keys(&mut r)?;
        let _: () = redis::cmd("FLUSHALL").query(&mut r)?;
    }
    Ok(())
}

fn connect(url: &str) -> RedisResult<Connection> {
    Client::open(url)?.get_connection_with_timeout(Duration::from_secs(5))
}

fn strings(r: &mut Connection) -> RedisResult<()> {
    let _: () = r.set("greeting", "hello")?;
    assert_eq!(r.get::<_, String>("greeting")?, "hello");
    assert_eq!(r.get::<_, Option<String>>("nothing")?, None);
    assert!(!r.set_nx::<_, _, bool>("greeting", "x")?);
    assert_eq!(r.append::<_, _, i64>("greeting", "!")?, 6);
    assert_eq!(r.getrange::<_, String>("greeting", -2, -1)?, "o!");
    assert_eq!(r.incr::<_, _, i64>("n", 42)?, 42);
    assert!((r.incr::<_, _, f64>("f", 10.5)? - 10.5).abs() < 1e-9);
    let _: () = r.mset(&[("a", 1), ("b", 2)])?;
    assert_eq!(r.mget::<_, Vec<Option<i64>>>(&["a", "missing", "b"])?, [Some(1), None, Some(2)]);
    assert_eq!(r.get_del::<_, Option<i64>>("a")?, Some(1));
    let error = r.incr::<_, _, i64>("greeting", 1).expect_err("not a number");
    assert!(error.to_string().contains("not an integer or out of range"), "{error}");
    Ok(())
}

fn binary(r: &mut Connection) -> RedisResult<()> {
    let all: Vec<u8> = (0..=255).collect();
    let key = b"key\r\n\0\xff".to_vec();
    let _: () = r.set(&key, &all)?;
    assert_eq!(r.get::<_, Vec<u8>>(&key)?, all);
    let large = all.repeat(10_000);
    let _: () = r.set("large", &large)?;
    assert_eq!(r.get::<_, Vec<u8>>("large")?, large);
    Ok(())
}

fn expiry(r: &mut Connection) -> RedisResult<()> {
    let _: () = r.set_ex("mortal", "v", 100)?;
    assert!((1..=100).contains(&r.ttl::<_, i64>("mortal")?));
    assert!(r.persist::<_, bool>("mortal")?);
    assert_eq!(r.ttl::<_, i64>("mortal")?, -1);
    let _: () = r.pset_ex("brief", "v", 30)?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while r.exists::<_, bool>("brief")? {
        assert!(Instant::now() < deadline, "a key outlived its expiry by seconds");
    }
    Ok(())
}

fn bits_and_sketches(r: &mut Connection) -> RedisResult<()> {
    assert!(!r.setbit::<_, bool>("bits", 7, true)?);
    assert!(r.getbit::<_, bool>("bits", 7)?);
    assert_eq!(r.bitcount::<_, i64>("bits")?, 1);
    let members: Vec<u32> = (0..1000).collect();
    assert!(r.pfadd::<_, _, bool>("visitors", &members)?);
    assert!(r.pfcount::<_, i64>("visitors")?.abs_diff(1000) < 30);
    Ok(())
}

fn keys(r: &mut Connection) -> RedisResult<()> {
    let _: () = redis::cmd("FLUSHDB").query(r)?;
    let mut pipe = redis::pipe();
    for i in 0..2500 {
        pipe.set(format!("scan:{i}"), i).ignore();
    }
    let answer: (i64,) = pipe.get("scan:17").query(r)?;
    assert_eq!(answer.0, 17);
    let scanned: HashSet<String> = r.scan_match::<_, String>("scan:*")?.collect::<RedisResult<_>>()?;
    assert_eq!(scanned.len(), 2500);
    let _: () = r.rename("scan:1", "renamed")?;
    assert_eq!(r.unlink::<_, i64>(&["renamed", "scan:2", "gone"])?, 2);
    Ok(())
}
