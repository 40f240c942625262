//! Collections: what is left of them when they go, and what large ones cost those who wait.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use kvdb_lsm::Db;
use kvdb_store::types::hash::FieldDeadline;
use kvdb_store::types::{Elements, Hash, Set};
use kvdb_store::{
    Edit, Env, LocalLog, Scratch, Store, StoreOptions, StringValue, WriteCx, WrongType, testing,
};

use crate::client::Client;

fn put_fields(client: &mut Client, key: &[u8], count: u32) {
    let edited = client.run(0, &[key], 1, |cx| {
        cx.edit(key, |hash: &mut Edit<'_, Hash>| {
            (0..count).filter(|i| hash.put(&i.to_be_bytes(), b"value", FieldDeadline::Clear)).count()
        })
    });
    assert_eq!(edited.expect("the log takes everything").0, Ok(count as usize));
}

/// A store whose compactions drop dead rows.
fn open_filtered(dir: &Path) -> Client {
    let (rows, filter) = testing::open_filtered_rows(dir);
    let rows = Arc::new(rows);
    let log = Arc::new(LocalLog::new(rows.clone()));
    let options = StoreOptions { databases: 16, fresh_seed: 42, io_threads: 1 };
    let store = Store::open(rows, log, &options).expect("a sound database opens");
    store.tell(filter).expect("rows can be read");
    Client::of(Arc::new(store))
}

/// The rows that the database has, those of the store itself aside.
fn rows_of_keys(rows: &Db) -> usize {
    let view = rows.view();
    rows.iter((Bound::Unbounded, Bound::Excluded(&b"\xff\xff"[..])), &view).count()
}

#[test]
fn the_last_element_takes_the_key_with_it() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    put_fields(&mut client, b"k", 3);
    let left = client.run(0, &[b"k"], 1, |cx| {
        cx.edit(b"k", |hash: &mut Edit<'_, Hash>| {
            (0..3u32).for_each(|i| assert!(hash.remove(&i.to_be_bytes())));
            hash.len()
        })
    });
    assert_eq!(left.expect("the log takes everything").0, Ok(0));
    assert_eq!(client.store.counts(0).keys, 0);
    assert_eq!(rows_of_keys(client.store.rows()), 0);
    client.close();
}

#[test]
fn a_value_of_another_type_is_left_alone() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    client.put(0, b"k", b"text", None, 1);
    let edited = client.run(0, &[b"k"], 1, |cx| {
        cx.edit(b"k", |hash: &mut Edit<'_, Hash>| hash.put(b"f", b"v", FieldDeadline::Clear))
    });
    assert_eq!(edited.expect("the log takes everything").0, Err(WrongType));
    assert_eq!(client.get(0, b"k", 1), Some((b"text".to_vec(), None)));
    client.close();
}

#[test]
fn the_rows_of_a_large_collection_go_with_compactions_and_then_nothing_is_left() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = open_filtered(dir.path());
    put_fields(&mut client, b"k", 5_000);
    client.store.rows().flush().expect("the disk is sound");
    assert!(client.delete(0, b"k", 1).0);
    assert!(rows_of_keys(client.store.rows()) >= 5_000, "deleting touches no element");
    // The same key again, and what is known of the dead ones survives a restart.
    put_fields(&mut client, b"k", 100);
    client.close();
    let mut client = open_filtered(dir.path());
    assert_eq!(client.store.bury(10), Ok(0), "rows are still there");
    client.store.rows().flush().expect("the disk is sound");
    client.store.rows().compact().expect("the disk is sound");
    assert_eq!(rows_of_keys(client.store.rows()), 101);
    assert_eq!(client.store.bury(10), Ok(1));
    assert_eq!(client.store.bury(10), Ok(0));
    let len = client.run(0, &[b"k"], 1, |cx| cx.get(b"k").and_then(|o| o.elements::<Hash>().map(Hash::len)));
    assert_eq!(len.expect("nothing is written").0, Some(100));
    client.close();
}

/// Two generations of one key in one run have the same number, and the rows of the second must survive the first.
#[test]
fn a_large_collection_that_is_made_again_in_the_same_run_keeps_its_rows() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    let run = client.run(0, &[b"k"], 1, |cx| {
        for value in [b"first", b"other"] {
            cx.apply(b"k", kvdb_store::Effect::Delete);
            let edited = cx.edit(b"k", |hash: &mut Edit<'_, Hash>| {
                (0..500u32).for_each(|i| assert!(hash.put(&i.to_be_bytes(), value, FieldDeadline::Clear)));
            });
            assert_eq!(edited, Ok(()));
        }
    });
    run.expect("the log takes everything");
    let before = client.get(0, b"k", 1);
    client.store.rows().flush().expect("the disk is sound");
    client.store.rows().compact().expect("the disk is sound");
    client.evict_all(1);
    assert!(before.is_some() && client.get(0, b"k", 1) == before);
    client.close();
}

/// What a run makes under a latch that it got late must have nothing in common with what others made there since it began.
#[test]
fn what_a_run_makes_is_new_for_keys_that_it_latched_late() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = open_filtered(dir.path());
    let add = |cx: &mut WriteCx<'_>, key: &[u8], members: std::ops::Range<u32>| {
        let added =
            cx.edit(key, |set: &mut Edit<'_, Set>| members.for_each(|i| assert!(set.add(&i.to_be_bytes()))));
        assert_eq!(added, Ok(()));
    };
    let store = client.store.clone();
    let (mut other, mut scratch) = (Client::of(store.clone()), Scratch::default());
    let mut run = WriteCx::new(&store, store.latch(store.place(b"a")), &mut scratch, Env::at(1), 0);
    add(&mut run, b"a", 0..1);
    other.run(0, &[b"b"], 1, |cx| add(cx, b"b", 100..200)).expect("the log takes everything");
    assert!(other.delete(0, b"b", 1).0);
    assert_eq!(run.reach(0, b"b"), Ok(true));
    add(&mut run, b"b", 0..1);
    run.commit().expect("the log takes everything");
    let members = |client: &mut Client| {
        let len = |cx: &mut WriteCx<'_>| cx.get(b"b").and_then(|o| o.elements::<Set>().map(Set::len));
        client.run(0, &[b"b"], 1, len).expect("nothing is written").0
    };
    client.evict_all(1);
    assert_eq!(members(&mut client), Some(1));
    client.store.rows().flush().expect("the disk is sound");
    client.store.rows().compact().expect("the disk is sound");
    client.evict_all(1);
    assert_eq!(members(&mut client), Some(1));
}

/// The rows of a key that a run has deleted are there until the run is appended: they must not bring it back.
#[test]
fn a_run_does_not_find_again_what_it_has_deleted() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    client.put(0, b"{t}k", b"v", None, 1);
    client.put(0, b"{t}other", b"v", None, 1);
    client.evict_all(1);
    let run = client.run(0, &[b"{t}k"], 1, |cx| {
        assert!(cx.apply(b"{t}k", kvdb_store::Effect::Delete));
        assert_eq!((cx.reach(0, b"{t}k"), cx.reach(0, b"{t}other")), (Ok(true), Ok(true)));
        (cx.get(b"{t}k").is_some(), cx.get(b"{t}other").is_some())
    });
    assert_eq!(run.expect("the log takes everything").0, (false, true));
    client.close();
}

#[test]
fn a_string_over_a_large_collection_leaves_only_the_string() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    put_fields(&mut client, b"k", 5_000);
    let bytes = client.store.census();
    let value = StringValue::Bytes(b"text");
    client.apply(0, b"k", kvdb_store::Effect::PutString { value, deadline: None }, 1);
    assert!(client.store.census() < bytes / 2, "the elements do not count any more");
    client.evict_all(1);
    assert_eq!(client.get(0, b"k", 1), Some((b"text".to_vec(), None)));
    client.close();
}
