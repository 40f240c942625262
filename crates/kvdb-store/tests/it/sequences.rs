//! Lists and streams in a store: whatever is done to them, they are the same when they have to be read from their rows.

use std::collections::HashMap;
use std::sync::Arc;

use kvdb_store::types::list::End;
use kvdb_store::types::stream::{Keep, StreamId, Trim};
use kvdb_store::types::{Elements, List, Stream};
use kvdb_store::{
    Carried, CarriedValue, Edit, Effect, LocalLog, Store, StoreOptions, WriteCx, testing, text_of,
};
use tempfile::TempDir;

use crate::client::{Client, Random, bytes_of};

const NOW: u64 = 1_000_000;
/// Keys that are used.
const KEYS: u64 = 6;

fn open(dir: &TempDir) -> Client {
    let (rows, dead_rows) = testing::open_filtered_rows(dir.path());
    let rows = Arc::new(rows);
    let log = Arc::new(LocalLog::new(rows.clone()));
    let options = StoreOptions { databases: 16, fresh_seed: 42, io_threads: 1 };
    let store = Store::open(rows, log, &options).expect("a sound database opens");
    store.tell(dead_rows).expect("rows can be read");
    Client::of(Arc::new(store))
}

/// All that is to be known of a key: its rows, what its meta row says, and the elements of a list in their order.
fn describe(client: &mut Client, key: &[u8]) -> Option<String> {
    let run = client.run(0, &[key], NOW, |cx| {
        let object = cx.get(key)?;
        let extra = object.collection().map(|collection| collection.extra());
        let list = object.elements::<List>().map(|list| list.values(0).map(text_of).collect::<Vec<_>>());
        let stream = object.elements::<Stream>().map(|s| (s.last_id(), s.entries_added(), s.count()));
        Some(format!("{} {extra:?} {list:?} {stream:?}", String::from_utf8_lossy(&bytes_of(&object))))
    });
    run.expect("the log takes everything").0
}

fn change_list(list: &mut Edit<'_, List>, random: &mut Random) {
    let element = vec![b'a' + random.below(26) as u8; random.below(60) as usize];
    let len = list.len() as u64;
    match random.below(8) {
        0..3 => {
            let end = if random.below(2) == 0 { End::Head } else { End::Tail };
            let count = [1, 3, 200][random.below(3) as usize];
            list.push(end, std::iter::repeat_n(&element[..], count));
        }
        3 => (0..30).for_each(|_| list.insert((len / 2) as usize, &element)),
        4 if len > 0 => list.set(random.below(len) as usize, &element),
        5 if len > 0 => {
            let start = random.below(len);
            let end = (start + [1, 5, 1000][random.below(3) as usize]).min(len);
            list.remove(start as usize..end as usize);
        }
        6 if len > 0 => {
            let element = text_of(list.get(random.below(len) as usize).expect("it is there"));
            list.remove_equal(&element, 3, End::Tail);
        }
        _ => {}
    }
}

fn change_stream(stream: &mut Edit<'_, Stream>, random: &mut Random) {
    let (last, groups) = (stream.last_id(), [&b"g"[..], b"group"]);
    let some_id = StreamId { ms: last.ms.saturating_sub(random.below(20)), seq: 0 };
    let group = groups[random.below(2) as usize];
    match random.below(12) {
        0..4 => (1..=[1, 3, 150][random.below(3) as usize]).for_each(|more| {
            stream.append(StreamId { ms: last.ms + more, seq: 0 }, &[(b"field", b"value"), (b"n", b"5")]);
        }),
        4 => {
            stream.delete(some_id);
        }
        5 => {
            stream.delete(last);
        }
        6 => {
            let keep = Keep::Newest(random.below(10) as usize);
            stream.trim(&Trim { keep, by_blocks: random.below(2) == 0, limit: 0 });
        }
        7 => stream.set_last_id(StreamId { ms: last.ms + 1, seq: 0 }, None, None),
        8 => {
            stream.create_group(group, some_id, None);
            stream.create_consumer(group, b"alice", NOW);
        }
        9 => {
            stream.destroy_group(group);
        }
        10 if stream.group(group).is_some() => {
            let ids: Vec<StreamId> =
                stream.range(some_id..=StreamId::MAX).map(|entry| entry.id).take(5).collect();
            stream.deliver(group, b"alice", &ids, NOW, false);
        }
        _ => {
            stream.acknowledge(group, some_id);
        }
    }
}

/// Changes a key, or makes another one of it.
fn change(cx: &mut WriteCx<'_>, key: &[u8], other: &[u8], random: &mut Random) {
    let is_list = cx.get(key).map_or(random.below(2) == 0, |object| object.elements::<List>().is_some());
    match random.below(20) {
        0 => {
            cx.apply(key, Effect::Delete);
        }
        1 if key != other => {
            if let Some(carried) = cx.take(key) {
                cx.put(other, carried);
            }
        }
        2 if is_list => {
            let layout = cx.layout();
            let Some(object) = cx.get(key) else { return };
            let (deadline, list) = (object.deadline(), object.elements::<List>().expect("it is one"));
            let part = list.slice(list.len() / 3..list.len(), &layout);
            let value = CarriedValue::Collection(part.into_collection());
            cx.put(key, Carried { value, deadline });
        }
        3 => {
            cx.apply(key, Effect::SetDeadline(Some(NOW + 1 + random.below(1000))));
        }
        _ if is_list => cx.edit(key, |list| change_list(list, random)).expect("it is a list"),
        _ => cx.edit(key, |stream| change_stream(stream, random)).expect("it is a stream"),
    }
}

#[test]
fn lists_and_streams_are_the_same_when_they_are_read_from_their_rows() {
    for seed in 0..2 {
        let (dir, mut random) = (tempfile::tempdir().expect("there is room"), Random(seed));
        let mut client = open(&dir);
        let mut known = HashMap::<Vec<u8>, Option<String>>::new();
        for step in 0..400u64 {
            let [key, other] = [0, 1].map(|_| format!("key{}", random.below(KEYS)).into_bytes());
            let changed = client.run(0, &[&key, &other], NOW, |cx| {
                (0..1 + random.below(3)).for_each(|_| change(cx, &key, &other, &mut random));
            });
            changed.expect("the log takes everything");
            for key in [key, other] {
                known.insert(key.clone(), describe(&mut client, &key));
            }
            match random.below(60) {
                0..4 => client.evict_all(NOW),
                4 => client.store.rows().flush().expect("the disk is sound"),
                5 => client.store.rows().compact().expect("the disk is sound"),
                6 => assert!(client.store.bury(100).is_ok()),
                7 => {
                    client.close();
                    client = open(&dir);
                }
                _ => continue,
            }
            for (key, expected) in &known {
                let found = describe(&mut client, key);
                assert_eq!(&found, expected, "seed {seed}, step {step}, {}", String::from_utf8_lossy(key));
            }
        }
        client.close();
    }
}
