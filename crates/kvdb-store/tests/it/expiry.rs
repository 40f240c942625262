//! Active expiry: every key goes when its time has come, and the index does not outgrow the keys.

use kvdb_store::{ColdWalk, Effect};

use crate::client::{Client, Random, twins};

#[test]
fn every_key_is_deleted_soon_after_its_deadline() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    let mut random = Random(5);
    let mut deadlines = Vec::new();
    for i in 0..3000u64 {
        let deadline = 1000 + random.below(100_000);
        // Half of them in one slot, where tags collide now and then.
        let key = if i % 2 == 0 { format!("{{t}}{i}") } else { format!("{i}") };
        client.put((i % 3) as u16, key.as_bytes(), b"v", Some(deadline), 1000);
        deadlines.push(deadline);
        if i % 10 == 0 {
            client.apply((i % 3) as u16, key.as_bytes(), Effect::SetDeadline(None), 1000);
            client.apply((i % 3) as u16, key.as_bytes(), Effect::SetDeadline(Some(deadline)), 1000);
        }
    }
    client.exchange(0, 2);
    for now in (1000..=102_000).step_by(500) {
        client.store.expire_due(now, 0, &mut client.scratch, || true).expect("the log takes everything");
        // The index may be late by its finest bucket.
        let left: u64 = (0..3).map(|db| client.store.counts(db).keys).sum();
        let alive = |at: u64| deadlines.iter().filter(|&&d| d > at).count() as u64;
        assert!((alive(now)..=alive(now - 100)).contains(&left), "at {now}: {left} of {}", alive(now));
    }
}

#[test]
fn a_cycle_that_is_cut_short_says_so_and_goes_on_later() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    for i in 0..500u64 {
        client.put(0, format!("{{t}}{i}").as_bytes(), b"v", Some(1000), 1);
    }
    let cycle =
        client.store.expire_due(5000, 0, &mut client.scratch, || false).expect("the log takes everything");
    assert!(cycle.cut_short && (1..500).contains(&cycle.expired), "{cycle:?}");
    let rest =
        client.store.expire_due(5000, 0, &mut client.scratch, || true).expect("the log takes everything");
    assert_eq!((cycle.expired + rest.expired, rest.cut_short), (500, false));
    assert_eq!(client.store.counts(0), kvdb_store::DbCounts::default());
}

#[test]
fn a_key_that_leaves_memory_behind_a_walk_is_deleted_in_time() {
    fn evict_all(client: &Client) {
        let mut random = 1;
        while client.store.resident_keys() > 0 {
            client.store.evict_to_disk(0, client.store.appended(), 1, random);
            random += 1;
        }
    }
    fn walk_all(walk: &mut ColdWalk, client: &mut Client, now: u64) -> usize {
        let mut deleted = 0;
        while walk.is_due(&client.store, now) {
            deleted +=
                walk.step(&client.store, now, 10, &mut client.scratch).expect("the log takes everything");
        }
        deleted
    }
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let (mut client, mut walk) = (Client::open(dir.path()), ColdWalk::default());
    client.put(0, b"lasting", b"v", Some(1_000_000), 0);
    evict_all(&client);
    assert_eq!(walk_all(&mut walk, &mut client, 1_000), 0);
    client.put(0, b"brief", b"v", Some(5_000), 1_000);
    evict_all(&client);
    assert_eq!(walk_all(&mut walk, &mut client, 4_999), 0);
    assert_eq!(walk_all(&mut walk, &mut client, 5_000), 1);
    assert_eq!(client.store.counts(0).keys, 1);
}

#[test]
fn keys_of_one_tag_do_not_multiply_their_tokens() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    let (twins, year) = (twins(&client), 365 * 86_400_000);
    for key in &twins {
        client.put(0, key, b"v", Some(year), 0);
    }
    let before = client.store.census();
    let mut now = 0;
    while now < year - 1000 {
        now += (year - now) / 20 + 1;
        let now = now.min(year - 1000);
        client.store.expire_due(now, 0, &mut client.scratch, || true).expect("the log takes everything");
    }
    let after = client.store.census();
    assert!(after < before + before / 4, "{before} bytes became {after}");
    client.store.expire_due(year + 1000, 0, &mut client.scratch, || true).expect("the log takes everything");
    assert_eq!(client.store.counts(0).keys, 0);
}
