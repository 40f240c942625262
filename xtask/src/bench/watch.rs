//! Other clients: connections that read small keys all the time, and the longest that one of them waited for a reply.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::failure::{Outcome, fail};
use crate::wire::{Connection, Reply};

/// So many connections, so that every worker of a small machine has some.
const WATCHERS: usize = 4;
/// How often each asks.
const EVERY: Duration = Duration::from_millis(1);
/// Small keys, which lie in many places of the keyspace.
const KEYS: usize = 1000;

/// What the watchers saw since they were last asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) longest: Duration,
    /// How often a reply took more than 20 ms.
    pub(super) over: u64,
    /// How much too late the watchers themselves woke up, at most: what the machine adds to every figure.
    pub(super) overslept: Duration,
}

/// A reply that takes longer is a pause.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Seen {
    /// Nanoseconds.
    longest: AtomicU64,
    over: AtomicU64,
    overslept: AtomicU64,
    stop: AtomicBool,
    failure: Mutex<Option<String>>,
}

pub(super) struct Watch {
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Writes the small keys, unless they are there, and begins to read them.
    pub(super) fn begin(port: u16) -> Outcome<Self> {
        let mut connection = Connection::open(port)?;
        for key in 0..KEYS {
            connection.call(&[b"SET", format!("small:{key}").as_bytes(), b"value"])?;
        }
        let seen = Arc::new(Seen::default());
        let mut threads = Vec::new();
        for number in 0..WATCHERS {
            let connection = Connection::open(port)?;
            let seen = seen.clone();
            threads.push(thread::spawn(move || {
                if let Err(failure) = ask(connection, number, &seen) {
                    seen.failure.lock().expect("no watcher panics").get_or_insert(failure.to_string());
                }
            }));
        }
        Ok(Self { seen, threads })
    }

    /// What was seen since the last call.
    pub(super) fn take(&self) -> Outcome<Waits> {
        if let Some(failure) = self.seen.failure.lock().expect("no watcher panics").as_ref() {
            fail!("a client that watched failed: {failure}");
        }
        let nanos = |value: &AtomicU64| Duration::from_nanos(value.swap(0, Ordering::Relaxed));
        Ok(Waits {
            longest: nanos(&self.seen.longest),
            over: self.seen.over.swap(0, Ordering::Relaxed),
            overslept: nanos(&self.seen.overslept),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Its failure, if any, was noted; nobody asks any more.
            let _ = thread.join();
        }
    }
}

fn ask(mut connection: Connection, number: usize, seen: &Seen) -> Outcome {
    let mut key = number * KEYS / WATCHERS;
    while !seen.stop.load(Ordering::Relaxed) {
        key = (key + 1) % KEYS;
        let start = Instant::now();
        let reply = connection.call(&[b"GET", format!("small:{key}").as_bytes()])?;
        let took = start.elapsed();
        // Where everything was flushed, there is none.
        if reply != Reply::Bulk(b"value".to_vec()) && reply != Reply::Nil {
            fail!("small:{key} is {reply:?}");
        }
        seen.longest.fetch_max(u64::try_from(took.as_nanos())?, Ordering::Relaxed);
        seen.over.fetch_add(u64::from(took > PAUSE), Ordering::Relaxed);
        let asleep = Instant::now();
        thread::sleep(EVERY);
        let late = asleep.elapsed().saturating_sub(EVERY);
        seen.overslept.fetch_max(u64::try_from(late.as_nanos())?, Ordering::Relaxed);
    }
    Ok(())
}
