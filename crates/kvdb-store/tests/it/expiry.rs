//! Active expiry: every key goes when its time has come, and the index does not outgrow the keys.

use std::ops::Bound;

use kvdb_store::types::hash::FieldDeadline;
use kvdb_store::types::{Elements, Hash};
use kvdb_store::{ColdWalk, Edit, Effect, row, testing};

use crate::client::{Client, Random, twins};

/// Gives a hash fields that die at these moments.
fn put_fields(client: &mut Client, key: &[u8], deadlines: impl Iterator<Item = u64>, now: u64) {
    let edited = client.run(0, &[key], now, |cx| {
        cx.edit(key, |hash: &mut Edit<'_, Hash>| {
            for (field, at) in (hash.len()..).zip(deadlines) {
                hash.put(&field.to_be_bytes(), b"value", FieldDeadline::At(at));
            }
        })
    });
    edited.expect("the log takes everything").0.expect("it is a hash");
}

/// Walks over the keys on disk as long as that is due.
fn walk_all(walk: &mut ColdWalk, client: &mut Client, now: u64) -> usize {
    let mut deleted = 0;
    while walk.is_due(&client.store, now) {
        deleted += walk.step(&client.store, now, 10, &mut client.scratch).expect("the log takes everything");
    }
    deleted
}

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
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let (mut client, mut walk) = (Client::open(dir.path()), ColdWalk::default());
    client.put(0, b"lasting", b"v", Some(1_000_000), 0);
    client.evict_all(1);
    assert_eq!(walk_all(&mut walk, &mut client, 1_000), 0);
    client.put(0, b"brief", b"v", Some(5_000), 1_000);
    client.evict_all(1);
    assert_eq!(walk_all(&mut walk, &mut client, 4_999), 0);
    assert_eq!(walk_all(&mut walk, &mut client, 5_000), 1);
    assert_eq!(client.store.counts(0).keys, 1);
}

#[test]
fn fields_of_hashes_on_disk_are_removed_in_time_and_the_last_takes_the_key_with_it() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let (mut client, mut walk) = (Client::open(dir.path()), ColdWalk::default());
    put_fields(&mut client, b"early", [4_000, 5_000].into_iter(), 0);
    put_fields(&mut client, b"mixed", [4_000, 90_000].into_iter(), 0);
    put_fields(&mut client, b"late", [90_000].into_iter(), 0);
    client.put(0, b"lasting", b"v", None, 0);
    client.evict_all(1);
    assert_eq!(walk_all(&mut walk, &mut client, 3_999), 0);
    assert_eq!(walk_all(&mut walk, &mut client, 5_000), 2);
    testing::check_accounts(&client.store);
    assert_eq!(client.store.counts(0).keys, 3);
    client.close();
    // What has never been in memory since the start, too.
    let (mut client, mut walk) = (Client::open(dir.path()), ColdWalk::default());
    assert_eq!(walk_all(&mut walk, &mut client, 80_000), 0);
    assert_eq!(client.store.resident_keys(), 0, "what is not dead is not loaded");
    assert_eq!(walk_all(&mut walk, &mut client, 90_000), 2);
    assert_eq!(client.store.counts(0).keys, 1);
    assert_eq!(client.walk(0, 10, 90_000), [b"lasting"]);
    assert!(!walk.is_due(&client.store, 1 << 40), "nothing is left to be looked for");
    client.close();
}

#[test]
fn a_cycle_removes_many_fields_and_counts_them() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    put_fields(&mut client, b"h", (0..5_000).map(|i| 1_000 + i % 2), 1);
    let cut = client.store.expire_due(2_000, 0, &mut client.scratch, || false);
    let cut = cut.expect("the log takes everything");
    assert!(cut.cut_short && cut.found_dead() && (1..1_000).contains(&cut.elements), "{cut:?}");
    let rest = client.store.expire_due(2_000, 0, &mut client.scratch, || true);
    let rest = rest.expect("the log takes everything");
    assert_eq!((cut.elements + rest.elements, rest.cut_short), (5_000, false));
    assert_eq!(client.store.counts(0), kvdb_store::DbCounts::default());
    testing::check_accounts(&client.store);
}

#[test]
fn the_meta_row_says_when_the_first_field_dies() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    let told = |client: &Client| {
        let (rows, place) = (client.store.rows(), client.store.place(b"h"));
        let from = row::lower_bound(place, 0);
        let view = rows.view();
        let mut rows = rows.iter((Bound::Included(&from[..]), Bound::Unbounded), &view);
        let (_, value) = rows.next().expect("there is a row").expect("it can be read");
        row::decode_meta(&value).expect("it is a meta row").body.next_deadline()
    };
    let edit = |client: &mut Client, change: &dyn Fn(&mut Edit<'_, Hash>)| {
        let edited = client.run(0, &[b"h"], 1, |cx| cx.edit(b"h", |hash: &mut Edit<'_, Hash>| change(hash)));
        edited.expect("the log takes everything").0.expect("it is a hash");
    };
    edit(&mut client, &|hash| assert!(hash.put(b"a", b"1", FieldDeadline::Clear)));
    assert_eq!(told(&client), None);
    edit(&mut client, &|hash| assert!(hash.put(b"b", b"1", FieldDeadline::At(50))));
    assert_eq!(told(&client), Some(50));
    edit(&mut client, &|hash| assert!(hash.put(b"c", b"1", FieldDeadline::At(40))));
    assert_eq!(told(&client), Some(40));
    client.apply(0, b"h", Effect::SetDeadline(Some(100)), 1);
    assert_eq!(told(&client), Some(40));
    edit(&mut client, &|hash| assert!(hash.remove(b"c")));
    assert_eq!(told(&client), Some(50));
    edit(&mut client, &|hash| hash.set_deadline(b"b", None));
    assert_eq!(told(&client), None);
    client.evict_all(1);
    testing::check_accounts(&client.store);
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
