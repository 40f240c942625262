//! What a reply depends on: the write that it shows must be safe before it leaves.

use crate::client::Client;

#[test]
fn a_reader_depends_on_what_it_sees() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    let put = client.put(0, b"k", b"v", None, 1);
    assert_eq!(client.get_and_seq(0, b"k", 1).1, put);
    client.put(0, b"other", b"v", None, 1);
    assert_eq!(client.get_and_seq(0, b"k", 1).1, put, "and on nothing else");
}

#[test]
fn who_misses_a_key_depends_on_its_removal() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    assert_eq!(client.get_and_seq(0, b"k", 1), (None, 0));
    client.put(0, b"k", b"v", None, 1);
    let (_, deleted) = client.delete(0, b"k", 1);
    assert_eq!(client.get_and_seq(0, b"k", 1), (None, deleted));
    let (done, seq) = client.delete(0, b"k", 1);
    assert_eq!((done, seq), (false, deleted), "a writer that finds nothing to do, too");
}

#[test]
fn a_key_that_died_is_missed_at_its_removal() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    let put = client.put(0, b"k", b"v", Some(10), 1);
    assert_eq!(client.get_and_seq(0, b"k", 10), (None, put));
    client.store.expire_due(1000, 0, &mut client.scratch, || true).expect("the log takes everything");
    let (held, seq) = client.get_and_seq(0, b"k", 1000);
    assert!(held.is_none() && seq == client.store.appended());
}

#[test]
fn everybody_depends_on_a_flush_and_on_an_exchange() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = Client::open(dir.path());
    client.put(0, b"a", b"v", None, 1);
    client.put(1, b"b", b"v", None, 1);
    let swapped = client.exchange(0, 1);
    assert_eq!(client.get_and_seq(0, b"b", 1), (Some((b"v".to_vec(), None)), swapped));
    assert_eq!(client.get_and_seq(0, b"a", 1), (None, swapped));
    let flushed = client.empty(&[0]);
    assert!(flushed > swapped);
    assert_eq!(client.get_and_seq(0, b"b", 1), (None, flushed));
}
