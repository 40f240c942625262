//! Races between loads and what changes a database as a whole.

use std::sync::mpsc;
use std::thread;

use kvdb_store::io::Waiter;
use kvdb_store::{DbCounts, Effect, Env, Scratch, StringValue, WriteCx};

use crate::client::Client;

#[test]
fn a_load_that_a_flush_overtook_brings_nothing_back() {
    for _ in 0..3 {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let mut client = Client::open(dir.path());
        let value = vec![1; 16 << 20];
        client.put(0, b"{t}k", b"old", None, 1);
        client.put(0, b"{t}other", b"v", None, 1);
        client.evict_all(1);
        let (go, gate) = mpsc::channel::<()>();
        client.store.io().submit(move || gate.recv().expect("the test goes on"));
        let (done, loaded) = mpsc::channel();
        let waiter = Waiter::new(move |result| done.send(result).expect("the test waits"));
        client.store.request_load(0, b"{t}k", 1, waiter);
        // The database is emptied before the load has begun, gets the key anew, and loses a neighbour from memory.
        client.empty(&[0]);
        let settled = client.put(0, b"{t}other", b"v", None, 1);
        client.put(0, b"{t}k", &value, None, 1);
        let mut random = 1;
        while client.store.resident_keys() > 1 {
            client.store.evict_to_disk(0, settled, 1, random);
            random += 1;
        }
        go.send(()).expect("the thread waits");
        // Time enough for a load to see the key's row, not enough to read all of it.
        (0..100).for_each(|_| thread::yield_now());
        client.delete(0, b"{t}k", 1);
        loaded.recv().expect("a load ends").expect("rows are sound");
        assert_eq!(client.get(0, b"{t}k", 1).map(|(value, _)| value.len()), None, "it was deleted");
        assert_eq!(client.store.counts(0).keys, 1);
    }
}

#[test]
fn a_key_that_is_renamed_while_keys_are_counted_is_counted_once() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    client.put(0, b"foo", b"v", None, 1);
    let store = client.store.clone();
    let (foo, bar) = (store.place(b"foo"), store.place(b"bar"));
    assert_ne!(foo.shard(), bar.shard());
    let renaming = thread::spawn(move || {
        let mut scratch = Scratch::default();
        for round in 0..20_000 {
            let (from, to): (&[u8], &[u8]) = if round % 2 == 0 { (b"foo", b"bar") } else { (b"bar", b"foo") };
            let mut run = WriteCx::new(&store, store.latch_many(&[foo, bar]), &mut scratch, Env::at(1), 0);
            run.apply(from, Effect::Delete);
            run.apply(to, Effect::PutString { value: StringValue::Bytes(b"v"), deadline: None });
            run.commit().expect("the log takes everything");
        }
    });
    while !renaming.is_finished() {
        assert_eq!(client.store.counts(0), DbCounts { keys: 1, expires: 0 });
    }
    renaming.join().expect("every rename succeeds");
}
