//! Streams behave as maps, and their rows say the same.

use std::collections::{BTreeMap, BTreeSet};

use kvdb_lsm::batch::{Op, WriteBatch};
use proptest::prelude::*;

use super::{AutoClaimed, Claim, Field, Keep, Stream, StreamId, Trim, bytes_of};
use crate::context::text_of;
use crate::edit::{Edit, RowSink};
use crate::types::{Elements, Layout};

const fn id(ms: u64, seq: u64) -> StreamId {
    StreamId { ms, seq }
}

/// A stream with the rows that its changes have written.
struct Rig {
    stream: Stream,
    layout: Layout,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    extra: Vec<u8>,
    /// Rows that the last change wrote or deleted, and whether the meta row is one of them.
    touched: (usize, bool),
}

impl Rig {
    fn new(stream_entries: usize) -> Self {
        let layout = Layout { stream_entries, ..Layout::with_seed(1) };
        let stream = Stream::default();
        let extra = stream.extra();
        Self { stream, layout, rows: BTreeMap::new(), extra, touched: (0, false) }
    }

    fn edit<R>(&mut self, change: impl FnOnce(&mut Edit<'_, Stream>) -> R) -> R {
        let mut batch = WriteBatch::new();
        let rows = RowSink::new(&mut batch, &[]);
        let mut edit = Edit { value: &mut self.stream, layout: self.layout, rows };
        let result = change(&mut edit);
        let meta_changed = edit.rows.meta_changed;
        if meta_changed {
            self.extra = self.stream.extra();
        }
        self.touched = (0, meta_changed);
        for op in batch.iter() {
            self.touched.0 += 1;
            match op {
                Op::Put { key, value } => drop(self.rows.insert(key.to_vec(), value.to_vec())),
                Op::Delete { key } => drop(self.rows.remove(key)),
                _ => panic!("a change to elements writes and deletes rows"),
            }
        }
        result
    }

    fn add(&mut self, id: StreamId) {
        self.edit(|stream| stream.append(id, &[(b"field", b"value")]));
    }

    /// The stream as its rows tell it.
    fn loaded(&self) -> Stream {
        let mut loaded = Stream::default();
        loaded.load_extra(&self.extra).expect("the meta row reads back");
        for (row, value) in &self.rows {
            loaded.load(row, value, &self.layout).expect("rows read back in their order");
        }
        loaded
    }

    /// Checks everything that holds at any time.
    fn check(&self) {
        check_sums(&self.stream);
        assert_eq!(self.stream.len(), self.rows.len());
        let loaded = self.loaded();
        check_sums(&loaded);
        assert_eq!(describe(&loaded), describe(&self.stream));
        let copy = self.stream.clone();
        check_sums(&copy);
        assert_eq!(describe(&copy), describe(&self.stream));
        let mut again = Stream::default();
        again.load_extra(&self.stream.extra()).expect("what is written reads back");
        self.stream.rows(&mut |row, value| {
            assert!(self.rows.contains_key(row));
            again.load(row, value, &self.layout).expect("rows are shown in an order that can be loaded");
        });
        assert_eq!(describe(&again), describe(&self.stream));
    }
}

fn check_sums(stream: &Stream) {
    stream.0.log.entries.check();
    let groups = || stream.0.groups.iter();
    assert_eq!(stream.0.group_rows, groups().map(|(_, group)| group.rows()).sum::<usize>());
    assert_eq!(stream.0.group_bytes, groups().map(|(name, group)| bytes_of(name, group)).sum::<usize>());
    for (_, group) in groups() {
        let waiting: usize = group.consumers().map(|consumer| consumer.waiting()).sum();
        assert_eq!(waiting, group.pending_len());
        for (id, pending) in group.pending(StreamId::MIN..=StreamId::MAX) {
            assert_eq!(group.consumer_of(pending).waiting_from(id).next(), Some(id));
        }
    }
}

/// Everything that a client can see of a stream, but for when consumers were seen.
fn describe(stream: &Stream) -> String {
    let mut out = format!(
        "{} {} {} {} {}\n",
        stream.last_id(),
        stream.first_id(),
        stream.max_deleted_id(),
        stream.entries_added(),
        stream.count()
    );
    for entry in stream.range(StreamId::MIN..=StreamId::MAX) {
        out += &format!("{}: {:?}\n", entry.id, contents(&entry));
    }
    for (name, group) in stream.groups() {
        out += &format!(
            "group {name:?} {} {:?} {:?}\n",
            group.last_id(),
            group.entries_read(),
            stream.lag(group)
        );
        for consumer in group.consumers() {
            out += &format!("  {:?} {:?} {}\n", consumer.name(), consumer.active_at(), consumer.waiting());
        }
        for (id, pending) in group.pending(StreamId::MIN..=StreamId::MAX) {
            let (at, deliveries) = (pending.delivered_at, pending.deliveries);
            out += &format!("  {id} {at} {deliveries} {:?}\n", group.consumer_of(pending).name());
        }
    }
    out
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn contents(entry: &super::Entry<'_>) -> Fields {
    assert_eq!(entry.fields().count(), entry.len());
    entry.fields().map(|(name, value)| (text_of(name), text_of(value))).collect()
}

#[derive(Debug, Clone)]
enum Change {
    Append(u64, u64, Fields),
    Many(u64),
    Delete(prop::sample::Index),
    Trim(prop::sample::Index, bool, bool, usize),
    SetLastId(u64, Option<u64>),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    let text = || {
        prop_oneof![
            4 => prop::collection::vec(b'a'..b'd', 0..4),
            2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            1 => (100usize..2000).prop_map(|len| vec![b'x'; len]),
        ]
    };
    let same = prop_oneof![Just(vec![b"f".to_vec()]), Just(vec![b"f".to_vec(), b"7".to_vec()])];
    let fields = prop_oneof![
        2 => (same, text()).prop_map(|(names, value)| names.into_iter().map(|name| (name, value.clone())).collect()),
        1 => prop::collection::vec((text(), text()), 1..4),
    ];
    prop_oneof![
        6 => (0u64..3, 0u64..3, fields).prop_map(|(ms, seq, fields)| Change::Append(ms, seq, fields)),
        1 => (1u64..30).prop_map(Change::Many),
        3 => index().prop_map(Change::Delete),
        1 => (index(), any::<bool>(), any::<bool>(), 0usize..40)
            .prop_map(|(at, by_id, by_blocks, limit)| Change::Trim(at, by_id, by_blocks, limit)),
        1 => (0u64..3, prop::option::of(0u64..50)).prop_map(|(ms, added)| Change::SetLastId(ms, added)),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_map_and_its_rows_say_the_same(
        stream_entries in 1usize..12,
        changes in prop::collection::vec(change(), 1..60),
    ) {
        let (mut rig, mut model) = (Rig::new(stream_entries), BTreeMap::<StreamId, Fields>::new());
        let (mut added, mut max_deleted) = (0, StreamId::MIN);
        for change in changes {
            let last = rig.stream.last_id();
            match change {
                Change::Append(ms, seq, fields) => {
                    let new = id(last.ms + ms, if ms == 0 { last.seq + 1 + seq } else { seq });
                    let slices: Vec<Field<'_>> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
                    rig.edit(|stream| stream.append(new, &slices));
                    prop_assert_eq!(rig.touched, (1, false), "an entry is one row");
                    model.insert(new, fields);
                    added += 1;
                }
                Change::Many(count) => {
                    for i in 1..=count {
                        let new = id(last.ms + i, 0);
                        rig.add(new);
                        model.insert(new, vec![(b"field".to_vec(), b"value".to_vec())]);
                        added += 1;
                    }
                }
                Change::Delete(at) => {
                    let gone = model.keys().nth(at.index(model.len() + 1)).copied().unwrap_or(id(last.ms, 1000));
                    prop_assert_eq!(rig.stream.get(gone).is_some(), model.contains_key(&gone));
                    let deleted = rig.edit(|stream| stream.delete(gone));
                    prop_assert_eq!(deleted, model.remove(&gone).is_some());
                    if deleted {
                        max_deleted = max_deleted.max(gone);
                    }
                }
                Change::Trim(at, by_id, by_blocks, limit) => {
                    let at = at.index(model.len() + 1);
                    let keep = if by_id {
                        Keep::From(model.keys().nth(at).copied().unwrap_or(StreamId::MAX))
                    } else {
                        Keep::Newest(model.len() - at)
                    };
                    let limit = if by_blocks { limit } else { 0 };
                    let removed = rig.edit(|stream| stream.trim(&Trim { keep, by_blocks, limit }));
                    prop_assert!(removed == at || (by_blocks && removed < at));
                    prop_assert!(limit == 0 || removed <= limit);
                    prop_assert!(at - removed < stream_entries || limit > 0, "{removed} of {at}");
                    model = model.into_iter().skip(removed).collect();
                }
                Change::SetLastId(ms, new_added) => {
                    let new_added = new_added.map(|more| model.len() as u64 + more);
                    rig.edit(|stream| stream.set_last_id(id(last.ms + ms, last.seq), new_added, None));
                    added = new_added.unwrap_or(added);
                }
            }
            rig.check();
            let entries: BTreeMap<StreamId, Fields> =
                rig.stream.range(StreamId::MIN..=StreamId::MAX).map(|e| (e.id, contents(&e))).collect();
            prop_assert_eq!(&entries, &model);
            prop_assert_eq!(rig.stream.entries_added(), added);
            prop_assert_eq!(rig.stream.max_deleted_id(), max_deleted);
            prop_assert_eq!(rig.stream.last_entry(), model.keys().next_back().copied());
            let all: Vec<StreamId> = model.keys().copied().collect();
            let (from, to) = (all.get(all.len() / 3).copied().unwrap_or(id(1, 0)), id(last.ms, last.seq));
            let wanted: Vec<StreamId> = all.into_iter().filter(|at| (from..=to).contains(at)).collect();
            let mut back: Vec<StreamId> = rig.stream.range_back(from..=to).map(|e| e.id).collect();
            back.reverse();
            prop_assert_eq!(&rig.stream.range(from..=to).map(|e| e.id).collect::<Vec<_>>(), &wanted);
            prop_assert_eq!(back, wanted);
        }
    }

    #[test]
    fn groups_behave_as_maps_and_their_rows_say_the_same(
        ops in prop::collection::vec((0u8..12, 0usize..3, 0usize..3, 0usize..20, 1usize..5), 1..60),
    ) {
        let (groups, consumers) = ([&b"g"[..], b"group", b""], [&b"alice"[..], b"bob", b"\xff"]);
        let mut rig = Rig::new(3);
        // Groups that are there, and what is pending in them.
        let mut model = BTreeMap::<&[u8], BTreeMap<StreamId, (&[u8], u64)>>::new();
        let mut members = BTreeSet::<(&[u8], &[u8])>::new();
        for now in 1..=20 {
            rig.add(id(now, 0));
        }
        for (now, (op, group, consumer, at, count)) in (100u64..).zip(ops) {
            let (group, consumer) = (groups[group], consumers[consumer]);
            let there = members.contains(&(group, consumer));
            let ids: Vec<StreamId> = (at..at + count).map(|ms| id(ms as u64, 0)).collect();
            let present: Vec<StreamId> = ids.iter().copied().filter(|&i| rig.stream.get(i).is_some()).collect();
            match op {
                0 | 1 => {
                    let is_new = rig.edit(|stream| stream.create_group(group, ids[0], None));
                    prop_assert_eq!(is_new, !model.contains_key(group));
                    model.entry(group).or_default();
                }
                2 => {
                    let was = rig.edit(|stream| stream.destroy_group(group));
                    prop_assert_eq!(was, model.remove(group).is_some());
                    members.retain(|member| member.0 != group);
                }
                3 | 4 => {
                    let is_new = rig.edit(|stream| stream.create_consumer(group, consumer, now));
                    prop_assert_eq!(is_new, model.contains_key(group) && !there);
                    if model.contains_key(group) {
                        members.insert((group, consumer));
                    }
                }
                5 => {
                    let gone = rig.edit(|stream| stream.delete_consumer(group, consumer));
                    let pending = model.entry(group).or_default();
                    let before = pending.len();
                    pending.retain(|_, (owner, _)| *owner != consumer);
                    prop_assert_eq!(gone, before - pending.len());
                    members.remove(&(group, consumer));
                    model.retain(|name, _| rig.stream.group(name).is_some());
                }
                6 | 7 if there => {
                    rig.edit(|stream| stream.deliver(group, consumer, &present, now, op == 7));
                    let pending = model.get_mut(group).expect("it has a member");
                    pending.extend(present.iter().filter(|_| op == 6).map(|&i| (i, (consumer, 1))));
                }
                8 => {
                    let acked = rig.edit(|stream| ids.iter().filter(|&&i| stream.acknowledge(group, i)).count());
                    let was = ids.iter().filter(|i| model.get_mut(group).and_then(|p| p.remove(i)).is_some()).count();
                    prop_assert_eq!(acked, was);
                }
                9 if there => {
                    let claim = Claim { delivered_at: now, force: at % 2 == 0, ..Claim::default() };
                    let claimed = rig.edit(|stream| stream.claim(group, consumer, &ids, &claim, now));
                    let pending = model.get_mut(group).expect("it has a member");
                    let mut expected = Vec::new();
                    for i in ids {
                        let before = pending.remove(&i).map(|(_, deliveries)| deliveries);
                        let before = before.or(claim.force.then_some(1));
                        if let (Some(before), true) = (before, present.contains(&i)) {
                            pending.insert(i, (consumer, before + 1));
                            expected.push(i);
                        }
                    }
                    prop_assert_eq!(claimed, expected);
                }
                10 if there => {
                    let claim = Claim { delivered_at: now, just_id: true, ..Claim::default() };
                    let done = rig.edit(|stream| stream.auto_claim(group, consumer, ids[0], count, &claim, now));
                    let pending = model.get_mut(group).expect("it has a member");
                    let from: Vec<StreamId> = pending.range(ids[0]..).map(|(i, _)| *i).take(count + 1).collect();
                    let mut expected = AutoClaimed::default();
                    for (nth, &i) in from.iter().enumerate() {
                        if nth == count {
                            expected.next = i;
                        } else if rig.stream.get(i).is_some() {
                            pending.get_mut(&i).expect("it is there").0 = consumer;
                            expected.claimed.push(i);
                        } else {
                            pending.remove(&i);
                            expected.deleted.push(i);
                        }
                    }
                    prop_assert_eq!(done, expected);
                }
                11 => {
                    rig.edit(|stream| stream.delete(ids[0]));
                }
                _ => {}
            }
            rig.check();
            for (name, pending) in &model {
                let group = rig.stream.group(name).expect("it is there");
                let found: BTreeMap<StreamId, (&[u8], u64)> = group
                    .pending(StreamId::MIN..=StreamId::MAX)
                    .map(|(i, p)| (i, (group.consumer_of(p).name(), p.deliveries)))
                    .collect();
                prop_assert_eq!(&found, pending);
            }
            prop_assert_eq!(rig.stream.groups().len(), model.len());
        }
    }
}

#[test]
fn the_meta_row_is_written_only_when_entries_do_not_tell() {
    let mut rig = Rig::new(100);
    (1..=10).for_each(|ms| rig.add(id(ms, 0)));
    rig.edit(|stream| stream.delete(id(5, 0)));
    assert_eq!(rig.touched, (1, true), "the greatest removed id is new");
    rig.edit(|stream| stream.delete(id(3, 0)));
    assert_eq!(rig.touched, (1, false));
    rig.edit(|stream| stream.trim(&Trim { keep: Keep::Newest(2), by_blocks: false, limit: 0 }));
    assert_eq!(rig.touched, (6, false));
    rig.edit(|stream| stream.trim(&Trim { keep: Keep::Newest(0), by_blocks: false, limit: 0 }));
    assert_eq!(rig.touched, (2, true), "nothing is left to tell the last id");
    let loaded = rig.loaded();
    assert_eq!((loaded.last_id(), loaded.entries_added(), loaded.count()), (id(10, 0), 10, 0));
    rig.add(id(11, 0));
    assert_eq!(rig.touched, (1, false));
    assert_eq!((rig.loaded().last_id(), rig.loaded().entries_added()), (id(11, 0), 11));
}

#[test]
fn ids_are_given_by_the_clock_and_never_twice() {
    let mut rig = Rig::new(100);
    assert_eq!(rig.stream.next_id(7), Some(id(7, 0)));
    assert_eq!(rig.stream.next_id(0), Some(id(0, 1)), "no entry has 0-0");
    rig.add(id(7, 3));
    assert_eq!((rig.stream.next_id(7), rig.stream.next_id(5)), (Some(id(7, 4)), Some(id(7, 4))));
    rig.add(StreamId::MAX);
    assert_eq!(rig.stream.next_id(8), None);
}

#[test]
fn entries_with_the_same_fields_cost_little_beside_their_values() {
    let mut rig = Rig::new(100);
    for ms in 1..=100_000u64 {
        let value = format!("value{ms:07}");
        let fields = [(&b"temperature"[..], value.as_bytes()), (&b"humidity"[..], &value.as_bytes()[..4])];
        rig.edit(|stream| stream.append(id(1_700_000_000_000 + ms, 0), &fields));
    }
    let per_entry = rig.stream.memory_bytes() as f64 / 100_000.0;
    assert!(per_entry < 26.0, "{per_entry} bytes for values of 16");
    rig.edit(|stream| stream.trim(&Trim { keep: Keep::Newest(10), by_blocks: false, limit: 0 }));
    assert!(rig.stream.memory_bytes() < 3000, "{} bytes for ten entries", rig.stream.memory_bytes());
}

#[test]
fn rows_that_are_not_of_a_stream_are_refused() {
    let layout = Layout::with_seed(1);
    let mut rig = Rig::new(100);
    rig.add(id(1, 1));
    rig.edit(|stream| stream.create_group(b"g", id(0, 0), Some(3)));
    rig.edit(|stream| stream.create_consumer(b"g", b"c", 1));
    rig.edit(|stream| stream.deliver(b"g", b"c", &[id(1, 1)], 5, false));
    let rows: Vec<(Vec<u8>, Vec<u8>)> = rig.rows.into_iter().collect();
    assert_eq!(rows.len(), 4);
    for at in 0..rows.len() {
        let mut stream = Stream::default();
        for (nth, (row, value)) in rows.iter().enumerate().filter(|&(nth, _)| nth != at) {
            // Without the group there is nobody for the consumer, and without that nothing waits.
            let is_orphan = (at == 1 && nth > 1) || (at == 2 && nth == 3);
            assert_eq!(stream.load(row, value, &layout).is_none(), is_orphan);
        }
    }
    let mut stream = Stream::default();
    for (row, value) in &rows {
        assert!(stream.load(row, value, &layout).is_some());
        let twice = stream.clone().load(row, value, &layout);
        assert_eq!(twice.is_some(), row[0] == 4, "only a pending entry may be said again");
        assert!(stream.clone().load(row, &value[..value.len().min(1)], &layout).is_none());
    }
    assert!(stream.load(b"\x09", b"", &layout).is_none() && stream.load(b"", b"", &layout).is_none());
}

#[test]
fn rows_are_those_of_the_documentation() {
    let mut rig = Rig::new(100);
    rig.add(id(1, 0));
    rig.add(id(2, 0));
    rig.edit(|stream| stream.append(id(5, 1), &[(b"a", b"bc")]));
    rig.edit(|stream| stream.create_group(b"gg", id(4, 3), None));
    rig.edit(|stream| stream.create_consumer(b"gg", b"c", 6));
    rig.edit(|stream| stream.deliver(b"gg", b"c", &[id(5, 1)], 7, false));
    rig.edit(|stream| stream.delete(id(1, 0)));
    let le = |numbers: &[i64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let entry = [1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(rig.rows[&entry[..]], [3, 1, b'a', 2, b'b', b'c']);
    assert_eq!(rig.rows[&b"\x02gg"[..]], le(&[5, 1, 3]));
    assert_eq!(rig.rows[&b"\x03\x02ggc"[..]], le(&[6, 7]));
    let pending = [&b"\x04\x02gg"[..], &entry[1..]].concat();
    assert_eq!(rig.rows[&pending], [&le(&[7, 1])[..], b"c"].concat());
    assert_eq!(rig.extra, le(&[5, 1, 3, 1, 0]));
}
