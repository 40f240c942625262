//! An emptied database gives its disk space back, and nothing of the others is lost by it.

use std::sync::Arc;

use kvdb_store::{Effect, LocalLog, Store, StoreOptions, StringValue, testing};

use crate::client::Client;

const NOW: u64 = 1_000_000;

fn open(dir: &std::path::Path) -> Client {
    let (rows, dead_rows) = testing::open_filtered_rows(dir);
    let rows = Arc::new(rows);
    let log = Arc::new(LocalLog::new(rows.clone()));
    let options = StoreOptions { databases: 4, fresh_seed: 42, io_threads: 1 };
    let store = Store::open(rows, log, &options).expect("a store opens over a sound database");
    store.tell(dead_rows).expect("rows can be read");
    Client::of(Arc::new(store))
}

fn fill(client: &mut Client, db: u16, keys: u32, len: usize) {
    for n in 0..keys {
        let value = vec![n as u8; len];
        let effect = Effect::PutString { value: StringValue::Bytes(&value), deadline: None };
        client.try_apply(db, &n.to_be_bytes(), effect, NOW).expect("the log takes it");
    }
}

/// The bytes of the tables, when there is nothing more to compact.
fn table_bytes(client: &Client) -> u64 {
    let rows = client.store.rows();
    rows.flush().expect("the disk is sound");
    while rows.compact_step().expect("the disk is sound") {}
    rows.stats().table_bytes.iter().sum()
}

#[test]
fn the_rows_of_an_emptied_database_leave_the_disk() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let mut client = open(dir.path());
    fill(&mut client, 0, 2000, 300);
    // Large values, whose chunks are rows of their own.
    fill(&mut client, 1, 20, 90_000);
    let full = table_bytes(&client);
    client.exchange(0, 2);
    client.empty(&[1]);
    let without_chunks = table_bytes(&client);
    assert!(without_chunks < full, "{without_chunks} of {full}");
    for n in 0..2000u32 {
        let held = client.get(2, &n.to_be_bytes(), NOW).expect("it was only moved");
        assert_eq!(held.0, vec![n as u8; 300]);
    }
    client.empty(&[0, 2]);
    let empty = table_bytes(&client);
    assert!(empty < 10_000, "{empty} of {full} bytes are left");
    client.close();
    let client = open(dir.path());
    for db in 0..4 {
        assert_eq!(client.store.counts(db).keys, 0);
    }
}
