//! Disks that are full and disks that fail.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use kvdb_resp::Value;
use rustix::process::Signal;

use crate::harness::{Client, Server, Setup, bulk, is_root, ok, skipped, wait_until};

/// A small file system of its own, in memory; gone when dropped.
pub(crate) struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// `None`, with the reason printed, where this process may not mount.
    pub(crate) fn mount(at: &Path, size: &str) -> Option<Self> {
        if !is_root() {
            skipped("only root may mount a small file system");
            return None;
        }
        std::fs::create_dir_all(at).expect("the test's own directory can be written");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "kvdb-test"])
            .arg(at)
            .status();
        if !status.is_ok_and(|status| status.success()) {
            skipped("mounting a small file system is not allowed here");
            return None;
        }
        Some(Self { at: at.into() })
    }

    fn resize(&self, size: &str) {
        self.remount(&format!("size={size}"));
    }

    pub(crate) fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        let status =
            Command::new("mount").args(["-o", &option]).arg(&self.at).status().expect("mount is there");
        assert!(status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// Nine thousand letters that no compression makes shorter by much.
fn value(i: usize) -> String {
    let mut random = Random::new(i as u64 + 1);
    let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    (0..9_000).map(|_| char::from(letters[(random.next() % 64) as usize])).collect()
}

/// Xorshift: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 20
    }
}

/// Writes fresh keys until one is refused; tells how many were acknowledged, and the refusal.
fn fill(client: &mut Client, from: usize) -> (usize, String) {
    for i in from..100_000 {
        match client.run(&format!("SET key:{i} {}", value(i))) {
            reply if reply == ok() => {}
            Value::Error(text) => return (i, String::from_utf8_lossy(&text).into_owned()),
            other => panic!("{other:?}"),
        }
    }
    panic!("the disk does not fill");
}

#[track_caller]
fn assert_all(client: &mut Client, keys: usize) {
    for i in 0..keys {
        assert_eq!(client.run(&format!("GET key:{i}")), bulk(value(i)), "key:{i} of {keys}");
    }
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers_by_itself() {
    for policy in ["everysec", "always"] {
        let setup = Setup::new().with("appendfsync", policy);
        let small = setup.home().join("small");
        let Some(disk) = SmallDisk::mount(&small, "40m") else { return };
        let setup = setup.in_dir(&small);
        let server = setup.start();
        let mut client = server.client();
        let (keys, refusal) = fill(&mut client, 0);
        assert!(refusal.starts_with("MISCONF ") && refusal.contains("disk"), "{refusal}");
        assert!(keys > 200, "{keys} keys of 9 kB fit on 40 MB");
        // Reads go on, of what is in memory and of what is not.
        assert_all(&mut client, keys);
        assert_eq!(client.run("PING"), crate::harness::simple("PONG"));
        // Deleting is refused in so many words or works; either way the connection goes on.
        match client.run("DEL key:0") {
            Value::Integer(1) => assert_eq!(client.run("GET key:0"), Value::Null),
            Value::Error(text) => {
                assert!(text.starts_with(b"MISCONF "), "{}", text.escape_ascii());
                assert_eq!(client.run("GET key:0"), bulk(value(0)), "a refused write changes nothing");
            }
            other => panic!("{other:?}"),
        }
        disk.resize("200m");
        wait_until("writes are taken again", || client.run(&format!("SET key:0 {}", value(0))) == ok());
        for i in keys..keys + 200 {
            assert_eq!(client.run(&format!("SET key:{i} {}", value(i))), ok());
        }
        assert_all(&mut client, keys + 200);
        server.crash();
        let server = setup.start();
        assert_all(&mut server.client(), keys + 200);
        server.stop();
        let server = setup.start();
        assert_all(&mut server.client(), keys + 200);
    }
}

#[test]
fn a_server_that_is_killed_on_a_full_disk_starts_again() {
    let setup = Setup::new().with("appendfsync", "everysec");
    let small = setup.home().join("small");
    let Some(disk) = SmallDisk::mount(&small, "40m") else { return };
    let setup = setup.in_dir(&small);
    let server = setup.start();
    let (keys, _) = fill(&mut server.client(), 0);
    server.crash();
    // With no more room than before it either serves what it has or says that the disk is full.
    match setup.try_start() {
        Ok(server) => assert_all(&mut server.client(), keys),
        Err(failed) => {
            assert_eq!(failed.status.code(), Some(1));
            assert!(failed.log.contains("No space left") || failed.log.contains("full"), "{}", failed.log);
        }
    }
    disk.resize("200m");
    let server = setup.start();
    let mut client = server.client();
    assert_all(&mut client, keys);
    assert_eq!(client.run("SET after 1"), ok());
}

/// A tracer of a server that interferes with its system calls.
struct Tracer {
    process: Child,
}

impl Tracer {
    /// `None`, with the reason printed, where a process may not be traced.
    fn attach(server: &Server, inject: &str) -> Option<Self> {
        let said = server.setup().home().join("strace");
        let errors = File::create(&said).expect("the test's own directory can be written");
        let pid = server.pid().to_string();
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject, "-p", &pid])
            .stderr(errors);
        let Ok(mut process) = strace.spawn() else {
            skipped("strace is not installed");
            return None;
        };
        let said = || std::fs::read_to_string(&said).unwrap_or_default();
        wait_until("strace is attached or has given up", || {
            said().contains("attached") || process.try_wait().is_ok_and(|ended| ended.is_some())
        });
        if !said().contains("attached") {
            skipped(format_args!("tracing is not allowed here: {}", said().trim()));
            return None;
        }
        Some(Self { process })
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It may have ended with the server. What it held back goes on without it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_sync_that_fails_is_the_end_and_nothing_is_acknowledged_after_it() {
    for policy in ["always", "everysec"] {
        let setup = Setup::new().with("appendfsync", policy);
        let mut server = setup.start();
        let mut client = server.client();
        // One failure: a second attempt would succeed, and must not be made.
        let Some(_tracer) = Tracer::attach(&server, "inject=fdatasync:error=EIO:when=2") else { return };
        let (mut acknowledged, mut refused) = (0, false);
        while let Some(reply) = {
            client.send(&format!("SET key:{acknowledged} v"));
            client.try_reply()
        } {
            if reply == ok() {
                assert!(!refused, "the log works again after a failed sync");
                acknowledged += 1;
            } else {
                assert!(matches!(reply, Value::Error(_)), "{reply:?}");
                refused = true;
            }
        }
        assert_eq!(server.wait().code(), Some(1));
        assert!(server.log().contains("the log has failed"), "{}", server.log());
        let server = setup.start();
        let mut client = server.client();
        for i in 0..acknowledged {
            assert_eq!(client.run(&format!("GET key:{i}")), bulk("v"), "key:{i} of {acknowledged}");
        }
    }
}

#[test]
fn a_second_signal_does_not_wait_for_the_disk() {
    let setup = Setup::new().with("appendfsync", "everysec");
    let mut server = setup.start();
    let mut client = server.client();
    // Every sync takes two minutes, which is longer than the test waits.
    let Some(tracer) = Tracer::attach(&server, "inject=fdatasync:delay_enter=120000000") else { return };
    for i in 0..20 {
        assert_eq!(client.run(&format!("SET key:{i} v")), ok());
    }
    server.signal(Signal::TERM);
    server.wait_for_log("SIGTERM: stopping");
    wait_until("the second signal is noticed", || {
        // The first one's watcher has to be replaced first; until then a signal counts as the first again.
        server.try_signal(Signal::TERM);
        server.log().contains("second signal")
    });
    drop(tracer);
    assert_eq!(server.wait().code(), Some(1));
    let server = setup.start();
    assert_eq!(server.client().run("GET key:19"), bulk("v"));
}
