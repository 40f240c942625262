//! Loads, warm-ups and evictions one by one.

use std::sync::Arc;
use std::sync::mpsc;

use kvdb_store::io::Waiter;
use kvdb_store::{Effect, Env, Residency, Usage};

use crate::client::Client;

/// Whether a key is resident or known to be absent without a look at the disk.
fn is_ready(client: &Client, key: &[u8]) -> bool {
    let mut guards = client.store.latch(client.store.place(key));
    client.store.ensure_resident(&mut guards, 0, key, &Env::at(1)) == Ok(Residency::Ready)
}

#[test]
fn a_load_that_comes_too_late_finds_the_key_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    client.put(0, b"k", b"old", None, 1);
    client.store.rows().flush().expect("the disk is sound");
    client.evict_all(1);
    client.load(0, b"k", 1);
    // Somebody missed the key before that load and asks for one now.
    let (go, gate) = mpsc::channel::<()>();
    client.store.io().submit(move || gate.recv().expect("the test goes on"));
    let (done, loaded) = mpsc::channel();
    client.store.request_load(
        0,
        b"k",
        1,
        Waiter::new(move |result| done.send(result).expect("the test waits")),
    );
    loaded.try_recv().expect("there is nothing to wait for").expect("rows are sound");
    client.delete(0, b"k", 1);
    go.send(()).expect("the thread waits");
    assert_eq!(client.get(0, b"k", 1), None);
}

#[test]
fn requests_for_one_key_share_a_read() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    client.put(0, b"k", &vec![1; 100_000], None, 1);
    client.evict_all(1);
    let (go, gate) = mpsc::channel::<()>();
    client.store.io().submit(move || gate.recv().expect("the test goes on"));
    let (done, loaded) = mpsc::channel();
    for _ in 0..5 {
        let done = done.clone();
        client.store.request_load(
            0,
            b"k",
            1,
            Waiter::new(move |result| done.send(result).expect("the test waits")),
        );
    }
    assert!(!is_ready(&client, b"k"));
    go.send(()).expect("the thread waits");
    for _ in 0..5 {
        loaded.recv().expect("a load ends").expect("rows are sound");
    }
    assert!(is_ready(&client, b"k"));
    assert_eq!(client.store.stats.loads.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_warm_up_does_not_call_a_slot_complete_while_a_key_of_it_is_being_loaded() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    client.put(0, b"{t}a", &vec![1; 100_000], None, 1);
    client.put(0, b"{t}b", b"v", None, 1);
    client.evict_all(1);
    let (go, gate) = mpsc::channel::<()>();
    client.store.io().submit(move || gate.recv().expect("the test goes on"));
    let (done, loaded) = mpsc::channel();
    client.store.request_load(
        0,
        b"{t}a",
        1,
        Waiter::new(move |result| done.send(result).expect("the test waits")),
    );
    client.store.warm_up(usize::MAX, || 1).expect("rows are sound");
    assert!(is_ready(&client, b"{t}b"));
    assert!(!is_ready(&client, b"{t}a"), "it is not absent");
    go.send(()).expect("the thread waits");
    loaded.recv().expect("a load ends").expect("rows are sound");
    assert_eq!(client.get(0, b"{t}a", 1), Some((vec![1; 100_000], None)));
}

#[test]
fn a_load_is_void_when_databases_are_exchanged_twice_meanwhile() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    client.put(0, b"k", &vec![1; 100_000], None, 1);
    client.evict_all(1);
    let (go, gate) = mpsc::channel::<()>();
    client.store.io().submit(move || gate.recv().expect("the test goes on"));
    let (done, loaded) = mpsc::channel();
    client.store.request_load(
        0,
        b"k",
        1,
        Waiter::new(move |result| done.send(result).expect("the test waits")),
    );
    client.exchange(0, 1);
    // Nobody loads the key under this number, so a warm-up may bring it, and it may change.
    client.store.warm_up(usize::MAX, || 1).expect("rows are sound");
    client.delete(1, b"k", 1);
    client.exchange(0, 1);
    go.send(()).expect("the thread waits");
    loaded.recv().expect("a load ends").expect("rows are sound");
    assert_eq!(client.get(0, b"k", 1), None);
}

#[test]
fn a_warmed_up_store_knows_every_key() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    for i in 0..2000u32 {
        client.put(0, &i.to_le_bytes(), &i.to_le_bytes(), None, 1);
    }
    client.close();
    let mut client = Client::open(dir.path());
    assert_eq!(client.store.warm_up(usize::MAX, || 1), Ok(2000));
    assert!(is_ready(&client, b"absent") && client.store.resident_keys() == 2000);
    assert_eq!(client.store.warm_up(usize::MAX, || 1), Ok(0));
    // Memory is the limit: about half of the keys fit.
    client.evict_all(1);
    let empty = client.store.census();
    let each =
        (client.store.warm_up(usize::MAX, || 1).map(|_| client.store.census()).expect("rows are sound")
            - empty)
            / 2000;
    client.evict_all(1);
    let loaded = client.store.warm_up(empty + each * 1000, || 1).expect("rows are sound");
    assert!((900..1300).contains(&loaded), "{loaded}");
    client.get(0, &7u32.to_le_bytes(), 1).expect("it is there");
}

#[test]
fn what_is_not_settled_stays_in_memory() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    let settled = client.put(0, b"{t}a", b"v", None, 1);
    client.put(0, b"{t}b", b"v", None, 1);
    // One call comes to every slot.
    assert_eq!(client.store.evict_to_disk(0, settled, 1, 7), 1);
    assert_eq!(client.store.evict_to_disk(0, settled, 1, 8), 0);
    assert_eq!(client.store.resident_keys(), 1);
    assert!(client.get_and_seq(0, b"{t}b", 1).1 > settled);
}

/// How many of these keys are in memory.
fn resident(client: &Client, keys: &[Vec<u8>]) -> usize {
    let is_resident = |key: &&Vec<u8>| {
        let place = client.store.place(key);
        client.store.latch(place).shard(place).table(0, place).find(place.tag(), key).is_some()
    };
    keys.iter().filter(is_resident).count()
}

#[test]
fn what_was_used_least_leaves_memory_first() {
    // By the moment, the hundred keys are used last; by frequency they are used often, but all others after them.
    let often = Usage::Frequency { log_factor: 1, decay_minutes: 1 };
    for (usage, uses, used_at) in [(Usage::Moment, 1, 3_000), (often, 100, 1_000)] {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let mut client = Client::open(dir.path());
        client.store.set_usage(usage);
        let keys: Vec<Vec<u8>> = (0..4_000).map(|i| format!("key:{i}").into_bytes()).collect();
        for key in &keys {
            client.put(0, key, &[b'v'; 1000], None, 1_000);
        }
        let (hot, cold) = keys.split_at(100);
        for key in hot {
            (0..uses).for_each(|_| drop(client.get(0, key, used_at)));
        }
        for key in cold {
            client.get(0, key, 2_000);
        }
        let appended = client.store.appended();
        let target = client.store.census() - 1_500_000;
        let dropped = client.store.evict_to_disk(target, appended, 4_000, 7);
        assert!((1_400..2_200).contains(&dropped), "{usage:?}: {dropped}");
        let kept = resident(&client, hot);
        assert!(
            kept > 90,
            "{usage:?}: {kept} of 100 keys that are in use, {} others",
            resident(&client, cold)
        );
    }
}

#[test]
fn a_bit_far_out_costs_little_on_disk_and_reads_back() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    let offset = 30 << 20;
    client.apply(0, b"bitmap", Effect::WriteRange { offset, bytes: b"x" }, 1);
    assert!(client.store.rows().log().appended() < 100, "zeros are not written");
    client.apply(0, b"bitmap", Effect::WriteRange { offset: 5, bytes: b"y" }, 1);
    client.evict_all(1);
    let (value, _) = client.get(0, b"bitmap", 1).expect("it is there");
    assert_eq!((value.len(), value[5], value[offset]), (offset + 1, b'y', b'x'));
    assert_eq!(value.iter().filter(|&&b| b != 0).count(), 2);
}

#[test]
fn the_store_closes_while_loads_are_queued() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    for i in 0..100u32 {
        client.put(0, &i.to_le_bytes(), &vec![1; 70_000], None, 1);
    }
    client.evict_all(1);
    let woken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for i in 0..100u32 {
        let woken = woken.clone();
        let count = move |_| {
            woken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        };
        client.store.request_load(0, &i.to_le_bytes(), 1, Waiter::new(count));
    }
    client.close();
    assert_eq!(woken.load(std::sync::atomic::Ordering::Relaxed), 100);
}
