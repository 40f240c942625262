//! A small event store: streams of events that are appended to, read from both ends, and rebuilt
//! into a state, with a copy made while it is in use.
//!
//! `cargo run -p kvdb-lsm --example events [directory]`

use std::error::Error;
use std::path::Path;

use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::{Db, Iter, Options, ReadView};

/// The counter that knows how many events there are.
const EVENTS: u16 = 1;

/// Events by stream and version.
///
/// Keys are `stream 0x00 version`, the version in big-endian order, so that a stream is a prefix and
/// its events are in order. The version of the last event is found by going back from the end of
/// the prefix; no row has to be kept for it.
struct EventStore {
    db: Db,
}

fn prefix_of(stream: &str) -> Vec<u8> {
    [stream.as_bytes(), &[0]].concat()
}

fn key_of(stream: &str, version: u64) -> Vec<u8> {
    [stream.as_bytes(), &[0], &version.to_be_bytes()].concat()
}

fn version_of(key: &[u8]) -> u64 {
    key.last_chunk().map_or(0, |version| u64::from_be_bytes(*version))
}

impl EventStore {
    fn open(dir: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(Self { db: Db::open(Options::new(dir))? })
    }

    fn events(&self, stream: &str, view: &ReadView) -> Iter {
        self.db.iter_prefix(&prefix_of(stream), view)
    }

    /// The version of the last event of a stream; 0 if it has none.
    fn version(&self, stream: &str) -> Result<u64, Box<dyn Error>> {
        let mut events = self.events(stream, &self.db.view());
        Ok(events.seek_last()?.map_or(0, |(key, _)| version_of(key)))
    }

    /// Appends events, all or none, and waits until they are durable. The caller is the only one who
    /// writes to the stream.
    fn append(&self, stream: &str, events: &[&str]) -> Result<u64, Box<dyn Error>> {
        let mut version = self.version(stream)?;
        let mut batch = WriteBatch::new();
        for event in events {
            version += 1;
            batch.put(&key_of(stream, version), event.as_bytes());
            batch.add_counter(EVENTS, 1);
        }
        let seq = self.db.append(&batch)?;
        while self.db.log().durable() < seq {
            self.db.log().sync()?;
        }
        Ok(version)
    }

    /// Folds the events of a stream into a state, in order, as a view sees them.
    fn fold<S>(
        &self,
        stream: &str,
        view: &ReadView,
        mut state: S,
        apply: impl Fn(&mut S, &str),
    ) -> Result<S, Box<dyn Error>> {
        let mut events = self.events(stream, view);
        while let Some((_, event)) = events.next_entry()? {
            apply(&mut state, str::from_utf8(event)?);
        }
        Ok(state)
    }

    /// The last events of a stream, the newest first.
    fn latest(&self, stream: &str, count: usize) -> Result<Vec<String>, Box<dyn Error>> {
        let newest_first = self.events(stream, &self.db.view()).descending().take(count);
        newest_first.map(|row| Ok(String::from_utf8(row?.1)?)).collect()
    }
}

/// An account is the sum of what came and went.
fn balance(total: &mut i64, event: &str) {
    *total += event.parse::<i64>().unwrap_or_default();
}

fn run(dir: &Path) -> Result<(), Box<dyn Error>> {
    let (data, copy) = (dir.join("data"), dir.join("copy"));
    let store = EventStore::open(&data)?;
    store.append("account-1", &["+100", "-30"])?;
    store.append("account-10", &["+7"])?;
    let view = store.db.view();
    store.append("account-1", &["+5", "-1"])?;

    // The view still shows the moment between; a prefix does not run into the next stream.
    let (then, now) = (store.fold("account-1", &view, 0, balance)?, store.db.view());
    let now = store.fold("account-1", &now, 0, balance)?;
    println!("account-1 had {then} and has {now}");
    assert_eq!((then, now), (70, 74));
    assert_eq!(store.latest("account-1", 3)?, ["-1", "+5", "-30"]);
    assert_eq!(store.version("account-10")?, 1);
    assert_eq!(store.version("account-2")?, 0);

    // The tables of a copy are hard links: making one costs hardly any space.
    drop(view);
    let seq = store.db.checkpoint(&copy)?;
    println!("a copy of everything up to sequence {seq}");
    store.append("account-10", &["-7"])?;
    store.db.close()?;

    let (store, copy) = (EventStore::open(&data)?, EventStore::open(&copy)?);
    assert_eq!((store.db.counter(EVENTS), copy.db.counter(EVENTS)), (6, 5));
    assert_eq!((store.version("account-10")?, copy.version("account-10")?), (2, 1));
    println!("{} events, {} in the copy", store.db.counter(EVENTS), copy.db.counter(EVENTS));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        Some(dir) => run(Path::new(&dir)),
        None => run(tempfile::tempdir()?.path()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_does_what_it_says() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        super::run(dir.path()).expect("the example runs");
    }
}
