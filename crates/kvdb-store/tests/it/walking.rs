//! Walks: complete under change, of bounded steps, and cheap over emptiness.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kvdb_store::{Draw, Walk};

use crate::client::{Client, Random, twins};

#[test]
fn keys_that_stay_are_found_whatever_comes_and_goes() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    let stay: BTreeSet<Vec<u8>> =
        (0..600u32).map(|i| format!("{{{}}}stay{i}", i % 40).into_bytes()).collect();
    for key in &stay {
        client.put(0, key, b"v", None, 1);
    }
    let (store, stop) = (client.store.clone(), AtomicBool::new(false));
    thread::scope(|scope| {
        for seed in 0..2 {
            let (store, stop) = (store.clone(), &stop);
            scope.spawn(move || {
                let (mut client, mut random) = (Client::of(store), Random(seed));
                while !stop.load(Ordering::Relaxed) {
                    let number = random.below(2000);
                    let key = format!("{{{}}}go{number}", number % 40).into_bytes();
                    match random.below(40) {
                        0 => {
                            client.store.evict_to_disk(0, client.store.appended(), 1, random.next());
                        }
                        1 => {
                            client.store.warm_up(usize::MAX, || 1).expect("rows are sound");
                        }
                        2..20 => {
                            client.delete(0, &key, 1);
                        }
                        _ => {
                            client.put(0, &key, b"v", None, 1);
                        }
                    }
                }
            });
        }
        let mut random = Random(9);
        for _ in 0..30 {
            let found = client.walk(0, 1 + random.below(60) as usize, 1);
            let distinct: BTreeSet<Vec<u8>> = found.iter().cloned().collect();
            let missing: Vec<_> = stay.difference(&distinct).collect();
            if !missing.is_empty() || distinct.len() != found.len() {
                stop.store(true, Ordering::Relaxed);
                panic!("{} keys were missed, {} found twice", missing.len(), found.len() - distinct.len());
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_few_keys_are_walked_in_one_step() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    for db in 0..4 {
        for i in 0..5u32 {
            client.put(db, &i.to_le_bytes(), b"v", None, 1);
        }
    }
    for cold in [false, true] {
        match client.store.walk(2, 0, 10, 1, cold) {
            Ok(Walk::Keys(keys, 0)) => assert_eq!(keys.len(), 5),
            other => panic!("{other:?}"),
        }
        client.evict_all(1);
        let beyond = client.store.walk(2, u64::MAX, 10, 1, false);
        assert!(matches!(beyond, Ok(Walk::Keys(keys, 0)) if keys.is_empty()));
    }
    assert!(matches!(client.store.walk(2, 0, 10, 1, false), Ok(Walk::NeedIo)));
}

#[test]
fn steps_are_about_as_long_as_asked() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    for i in 0..3000u32 {
        client.put(0, format!("{{{}}}{i}", i % 3).as_bytes(), b"v", None, 1);
    }
    for cold in [false, true] {
        let (mut cursor, mut steps, mut total) = (0, 0, 0);
        loop {
            let Ok(Walk::Keys(keys, next)) = client.store.walk(0, cursor, 50, 1, true) else {
                panic!("it may wait")
            };
            assert!(keys.len() <= 53, "{} keys in a step, cold: {cold}", keys.len());
            (steps, total, cursor) = (steps + 1, total + keys.len(), next);
            if next == 0 {
                break;
            }
        }
        assert_eq!(total, 3000);
        assert!((55..70).contains(&steps), "{steps} steps, cold: {cold}");
        client.evict_all(1);
    }
    assert!(
        matches!(client.store.walk(0, 0, usize::MAX, 1, true), Ok(Walk::Keys(keys, 0)) if keys.len() == 3000)
    );
}

#[test]
fn the_dead_are_not_found_and_do_not_hold_a_walk_up() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    for i in 0..9000u32 {
        let deadline = (!i.is_multiple_of(1000)).then_some(10);
        client.put(0, &i.to_le_bytes(), b"v", deadline, 1);
    }
    assert_eq!(client.walk(0, 10, 20).len(), 9);
    client.evict_all(20);
    assert_eq!(client.walk(0, 10, 20).len(), 9);
    let Ok(Walk::Keys(keys, next)) = client.store.walk(0, 0, 1, 20, true) else { panic!("it may wait") };
    assert!(next != 0 && keys.len() <= 1, "one step does not read all rows");
    for random in 0..20 {
        assert!(matches!(client.store.random_key(0, 20, random << 58, true), Ok(Draw::Key(_))));
    }
}

#[test]
fn chunks_of_large_strings_are_passed_over() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    for i in 0..10u32 {
        client.put(0, format!("{{t}}{i}").as_bytes(), &vec![1; 1 << 20], None, 1);
    }
    client.evict_all(1);
    assert!(matches!(client.store.walk(0, 0, 100, 1, true), Ok(Walk::Keys(keys, 0)) if keys.len() == 10));
}

#[test]
fn keys_of_one_tag_are_returned_together_and_once() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    let twins: BTreeSet<Vec<u8>> = twins(&client).into_iter().collect();
    for key in &twins {
        client.put(0, key, b"v", None, 1);
    }
    for _ in 0..2 {
        let found = client.walk(0, 1, 1);
        assert_eq!(found.len(), twins.len(), "nothing is found twice");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), twins);
        client.evict_all(1);
    }
}

#[test]
fn a_step_looks_at_no_more_than_a_share_of_the_dead() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    for i in 0..20_000u32 {
        client.put(0, &i.to_le_bytes(), b"v", Some(10), 1);
    }
    let Ok(Walk::Keys(keys, next)) = client.store.walk(0, 0, 10, 10, false) else {
        panic!("all is resident")
    };
    assert!(keys.is_empty() && next != 0, "{} keys, on at {next}", keys.len());
    assert_eq!(client.store.random_key(0, 10, 7, false), Ok(Draw::NeedIo), "it takes a while to find none");
    assert_eq!(client.store.random_key(0, 10, 7, true), Ok(Draw::Empty));
    client.put(0, b"{t}alive", b"v", None, 1);
    assert_eq!(client.walk(0, 10, 10), [b"{t}alive"]);
}
