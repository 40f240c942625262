//! Dump payloads: round trips, and bodies with a right checksum and anything inside.

use std::collections::{BTreeMap, BTreeSet};

use kvdb_commands::values::rdb::{
    RdbError, TYPE_STRING, dump_collection, dump_string, restore, seal, write_length, write_string,
};
use kvdb_store::types::sorted_set::Gathered;
use kvdb_store::types::stream::StreamId;
use kvdb_store::types::{Collection, Elements, Hash, Layout, List, Set, SortedSet, Stream};
use kvdb_store::{CarriedValue, text_of};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

const MAX: usize = 1 << 20;
const NOW: u64 = 1_700_000_000_000;

fn layout() -> Layout {
    Layout { hash_entries: 8, set_intset: 8, set_entries: 8, sorted_set_entries: 8, ..Layout::with_seed(7) }
}

fn restore_string(payload: &[u8], max_bytes: usize) -> Result<Vec<u8>, RdbError> {
    match restore(payload, max_bytes, &layout())? {
        CarriedValue::Bytes(bytes) => Ok(bytes),
        CarriedValue::Int(integer) => Ok(integer.to_string().into_bytes()),
        CarriedValue::Collection(collection) => panic!("{collection:?} is no string"),
    }
}

fn restore_collection(payload: &[u8]) -> Result<Collection, RdbError> {
    match restore(payload, MAX, &layout())? {
        CarriedValue::Collection(collection) => Ok(collection),
        string => panic!("{string:?} is no collection"),
    }
}

/// What was dumped, restored.
fn carried<T: Elements>(value: T) -> T {
    let payload = dump_collection(&value.into_collection(), NOW).expect("it is not too large");
    let restored = restore_collection(&payload).expect("what is dumped is restored");
    T::of(&restored).expect("it has the same type").clone()
}

/// The rows of a value, in their order, with what the meta row says.
fn rows(value: &impl Elements) -> (Fields, Vec<u8>) {
    let mut rows = Vec::new();
    value.rows(&mut |key, row| rows.push((key.to_vec(), row.to_vec())));
    rows.sort();
    (rows, value.extra())
}

/// A compressed string of literals alone.
fn literal_lzf(value: &[u8]) -> Vec<u8> {
    let pieces = value.chunks(32).map(|piece| [&[piece.len() as u8 - 1], piece].concat());
    let compressed = pieces.collect::<Vec<_>>().concat();
    let mut body = vec![TYPE_STRING, 0xc3];
    write_length(&mut body, compressed.len() as u64);
    write_length(&mut body, value.len() as u64);
    body.extend(compressed);
    seal(body)
}

/// Texts of numbers, short strings and long ones.
fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any::<i64>().prop_map(|i| (i >> (i & 63)).to_string().into_bytes()),
        4 => vec(any::<u8>(), 0..8),
        1 => vec(any::<u8>(), 50..200),
    ]
}

fn id() -> impl Strategy<Value = StreamId> {
    prop_oneof![
        (1..5_u64, any::<u64>()).prop_map(|(ms, seq)| StreamId { ms, seq }),
        (any::<u64>(), 1..5_u64).prop_map(|(ms, seq)| StreamId { ms, seq }),
    ]
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;
type Waiting = BTreeMap<StreamId, (u64, u64)>;
type Consumers = BTreeMap<Vec<u8>, (u64, Waiting)>;

/// The parts of a stream: its entries, and groups with their consumers. An entry waits for one consumer of a group.
#[derive(Debug, Clone)]
struct Parts {
    entries: BTreeMap<StreamId, Fields>,
    log: (StreamId, u64, StreamId),
    groups: BTreeMap<Vec<u8>, (StreamId, Option<i64>, Consumers)>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let name = || prop::sample::select(vec![b"a".to_vec(), b"bc".to_vec(), b"7".to_vec()]);
    let entries = btree_map(id(), vec((name(), element()), 1..4), 0..250);
    let waiting = btree_map(id(), (any::<u64>(), any::<u64>()), 0..10);
    let consumers = btree_map(element(), (0..u64::MAX, waiting), 0..4);
    let count = prop_oneof![Just(None), (0..i64::MAX).prop_map(Some)];
    let groups = btree_map(element(), (id(), count, consumers), 0..4);
    (entries, id(), any::<u64>(), id(), groups).prop_map(|(entries, last, added, deleted, mut groups)| {
        for (_, _, consumers) in groups.values_mut() {
            let mut seen = BTreeSet::new();
            consumers.values_mut().for_each(|(_, waiting)| waiting.retain(|id, _| seen.insert(*id)));
        }
        let last = entries.keys().last().map_or(last, |&entry| entry.max(last));
        Parts { entries, log: (last, added, deleted), groups }
    })
}

fn stream(parts: &Parts) -> Stream {
    let mut stream = Stream::default();
    for (id, fields) in &parts.entries {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        stream.restore_entry(*id, &fields, &layout()).expect("ids rise");
    }
    let (last, added, deleted) = parts.log;
    stream.restore_log(last, added, deleted).expect("no entry is behind the last");
    for (name, (last, count, consumers)) in &parts.groups {
        stream.restore_group(name, *last, *count).expect("names differ");
        for (consumer, (seen, waiting)) in consumers {
            let waiting: Vec<_> = waiting.iter().map(|(&id, &(at, count))| (id, at, count)).collect();
            stream.restore_consumer(name, consumer, (*seen, Some(*seen)), &waiting).expect("names differ");
        }
    }
    stream
}

/// One payload of each type.
fn samples(elements: &BTreeSet<Vec<u8>>, parts: &Parts) -> Vec<Vec<u8>> {
    let elements = || elements.iter().map(Vec::as_slice);
    let (mut hash, mut set, mut scored) = (Hash::default(), Set::default(), SortedSet::default());
    for element in elements() {
        hash.insert(element, element, &layout());
        set.insert(element, &layout());
        scored.insert(element, element.len() as f64 / 3.0, &layout());
    }
    let list = List::of(elements(), &layout());
    let all = [
        hash.into_collection(),
        list.into_collection(),
        set.into_collection(),
        scored.into_collection(),
        stream(parts).into_collection(),
    ];
    all.iter().map(|value| dump_collection(value, NOW).expect("it is not too large")).collect()
}

proptest! {
    #[test]
    fn strings_round_trip(value in vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(restore_string(&dump_string(&value), MAX), Ok(value.clone()));
        prop_assert_eq!(restore_string(&literal_lzf(&value), MAX), Ok(value));
    }

    #[test]
    fn integers_round_trip(value: i64, shift in 0..64_u32) {
        let text = (value >> shift).to_string().into_bytes();
        let payload = dump_string(&text);
        prop_assert!(payload.len() <= 12 + text.len());
        prop_assert_eq!(restore_string(&payload, MAX), Ok(text));
    }

    #[test]
    fn hashes_round_trip(model in btree_map(element(), element(), 1..30)) {
        let mut hash = Hash::default();
        model.iter().for_each(|(name, value)| prop_assert_new(hash.insert(name, value, &layout())));
        let restored = carried(hash.clone());
        prop_assert_eq!(restored.encoding(), hash.encoding());
        let read: BTreeMap<_, _> =
            restored.live(NOW).iter().map(|(name, value)| (text_of(name), text_of(value))).collect();
        prop_assert_eq!(read, model);
    }

    #[test]
    fn lists_round_trip(model in vec(element(), 1..60), size in prop::sample::select(&[-2, 3][..])) {
        let layout = Layout { list_size: size, ..layout() };
        let list = carried(List::of(model.iter().map(Vec::as_slice), &layout));
        prop_assert_eq!(list.values(0).map(text_of).collect::<Vec<_>>(), model);
    }

    #[test]
    fn sets_round_trip(model in btree_set(element(), 1..30)) {
        let mut set = Set::default();
        model.iter().for_each(|member| prop_assert_new(set.insert(member, &layout())));
        prop_assert_eq!(carried(set).iter().map(text_of).collect::<BTreeSet<_>>(), model);
    }

    #[test]
    fn sorted_sets_round_trip(model in btree_map(element(), any::<f64>(), 1..30)) {
        let mut set = Gathered::new(&layout());
        for (member, score) in &model {
            set.add(member, if score.is_nan() { -0.0 } else { *score }, |before, _| before);
        }
        let set = set.finish(&layout());
        let read = |set: &SortedSet| set.iter().map(|(m, score)| (text_of(m), score.to_bits())).collect::<Vec<_>>();
        let before = read(&set);
        prop_assert_eq!(before.len(), model.len());
        prop_assert_eq!(read(&carried(set)), before);
    }

    #[test]
    fn streams_round_trip(parts in parts()) {
        let stream = stream(&parts);
        prop_assert_eq!(stream.count(), parts.entries.len());
        prop_assert_eq!(rows(&carried(stream.clone())), rows(&stream));
    }

    #[test]
    fn no_body_panics(body in vec(any::<u8>(), 0..60), kind in 0..23_u8, form in prop::sample::select(&[0xc3_u8, 0x80, 0x81, 0x40][..])) {
        let restored = restore_string(&seal([&[TYPE_STRING, form], &body[..]].concat()), MAX);
        prop_assert!(restored.map_or(0, |value| value.len()) <= MAX);
        let _ = restore(&seal([&[kind], &body[..]].concat()), MAX, &layout());
        let _ = restore(&seal(body.clone()), MAX, &layout());
        let _ = restore(&body, MAX, &layout());
    }

    #[test]
    fn damaged_bodies_do_not_panic(
        elements in btree_set(element(), 1..12),
        parts in parts(),
        damages in vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..4),
    ) {
        for payload in samples(&elements, &parts) {
            let mut body = payload[..payload.len() - 10].to_vec();
            for (at, byte, cut) in &damages {
                let at = at.index(body.len());
                body[at] = *byte;
                if *cut {
                    body.truncate(at.max(1));
                }
            }
            if let Ok(CarriedValue::Collection(restored)) = restore(&seal(body), MAX, &layout()) {
                let again = dump_collection(&restored, NOW).expect("it is not too large");
                let again = restore_collection(&again).expect("what is dumped is restored");
                prop_assert_eq!(again.len(), restored.len());
            }
        }
    }

    #[test]
    fn nothing_may_be_missing_or_follow(elements in btree_set(element(), 1..12), parts in parts(), cut: prop::sample::Index) {
        for payload in samples(&elements, &parts) {
            let body = &payload[..payload.len() - 10];
            let longer = seal([body, b"\0"].concat());
            prop_assert_eq!(restore_collection(&longer).map(|value| value.len()), Err(RdbError::BadData));
            let shorter = seal(body[..1 + cut.index(body.len() - 1)].to_vec());
            prop_assert_eq!(restore_collection(&shorter).map(|value| value.len()), Err(RdbError::BadData));
        }
    }
}

#[track_caller]
fn prop_assert_new(is_new: bool) {
    assert!(is_new, "the elements of a model differ");
}

#[test]
fn lengths_of_every_form() {
    for length in [0, 63, 64, 16_383, 16_384, 100_000] {
        let value = vec![b'x'; length];
        assert_eq!(restore_string(&dump_string(&value), MAX), Ok(value));
    }
}

/// A body of a type byte, a length and strings.
fn plain(kind: u8, length: u64, strings: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![kind];
    write_length(&mut body, length);
    strings.iter().for_each(|string| write_string(&mut body, string));
    body
}

#[test]
fn what_makes_no_sense_is_refused() {
    let double = |score: f64| [&b"\x05\x01\x01a"[..], &score.to_le_bytes()].concat();
    let ints = |size: u32, count: u32, ints: &[u8]| {
        plain(11, 0, &[])[..1]
            .iter()
            .copied()
            .chain([ints.len() as u8 + 8])
            .chain(size.to_le_bytes())
            .chain(count.to_le_bytes())
            .chain(ints.iter().copied())
            .collect::<Vec<u8>>()
    };
    let sound = [plain(4, 1, &[b"a", b"b"]), double(1.5), ints(2, 2, &[1, 0, 2, 0]), plain(18, 1, &[])];
    for body in &sound[..3] {
        assert!(restore_collection(&seal(body.clone())).is_ok(), "{body:x?}");
    }
    for body in [
        plain(1, 0, &[]),
        plain(2, 0, &[]),
        plain(4, 0, &[]),
        plain(5, 0, &[]),
        plain(18, 0, &[]),
        plain(2, 2, &[b"a", b"a"]),
        plain(4, 2, &[b"a", b"1", b"a", b"2"]),
        plain(4, 1 << 63, &[b"a", b"1"]),
        plain(2, u64::MAX, &[b"a"]),
        double(f64::NAN),
        ints(2, 2, &[2, 0, 1, 0]),
        ints(2, 2, &[1, 0, 1, 0]),
        ints(3, 2, &[1, 0, 0, 2, 0, 0]),
        ints(2, 3, &[1, 0, 2, 0]),
        ints(8, u32::MAX, &[1, 0, 2, 0]),
        ints(2, 0, &[]),
        plain(18, 1, &[b"\x03", b"a"]),
        plain(15, 0, &[]),
    ] {
        let restored = restore_collection(&seal(body.clone()));
        assert_eq!(restored.map(|value| value.len()), Err(RdbError::BadData), "{body:x?}");
    }
}

/// The body of a payload.
fn body(value: Collection) -> Vec<u8> {
    let mut payload = dump_collection(&value, NOW).expect("it is not too large");
    payload.truncate(payload.len() - 10);
    payload
}

#[test]
fn streams_of_every_version_of_redis_are_read() {
    let id = |ms, seq| StreamId { ms, seq };
    let mut stream = Stream::default();
    for seq in 1..4 {
        stream.restore_entry(id(5, seq), &[(b"f", b"v")], &layout()).expect("ids rise");
    }
    stream.restore_log(id(5, 3), 3, StreamId::MIN).expect("it is the last");
    let mut oldest = body(stream.clone().into_collection());
    // Behind what was read in Redis 5 to 6.2 stand five numbers and the number of groups.
    oldest[0] = 15;
    oldest.truncate(oldest.len() - 6);
    oldest.extend(b"\x01\x01g\x05\x01\x00\x00");
    let restored = restore_collection(&seal(oldest)).expect("it is a stream");
    let restored = Stream::of(&restored).expect("it is a stream");
    assert_eq!((restored.count(), restored.entries_added(), restored.last_id()), (3, 3, id(5, 3)));
    let group = restored.group(b"g").expect("it has a group");
    assert_eq!((group.last_id(), group.entries_read()), (id(5, 1), Some(1)));

    stream.restore_group(b"g", id(5, 3), None).expect("there is none");
    stream.restore_consumer(b"g", b"c", (NOW, Some(NOW)), &[]).expect("there is none");
    let with_consumer = body(stream.into_collection());
    for active_at in [Some(NOW - 5), None] {
        let mut newest = with_consumer.clone();
        newest[0] = 21;
        // Nothing waits, which is the last that is said.
        newest.pop();
        newest.extend(active_at.unwrap_or(u64::MAX).to_le_bytes());
        newest.push(0);
        let restored = restore_collection(&seal(newest)).expect("it is a stream");
        let group = Stream::of(&restored).and_then(|stream| stream.group(b"g")).expect("it has a group");
        let consumer = group.consumer(b"c").expect("it has a consumer");
        assert_eq!((consumer.seen_at(), consumer.active_at()), (NOW, active_at));
        assert_eq!(group.entries_read(), None);
    }
}

#[test]
fn sets_in_listpacks_are_read() {
    let listpack = b"\x0f\x00\x00\x00\x03\x00\x81f\x02\x01\x01\x81n\x02\xff";
    let restored = restore_collection(&seal(
        plain(20, listpack.len() as u64, &[]).into_iter().chain(*listpack).collect(),
    ))
    .expect("it is a set");
    let members: BTreeSet<_> = Set::of(&restored).expect("it is a set").iter().map(text_of).collect();
    assert_eq!(members, [b"f", b"1", b"n"].map(|member| member.to_vec()).into());
    let twice = b"\x0d\x00\x00\x00\x02\x00\x81f\x02\x81f\x02\xff";
    for (kind, listpack) in [(20, &twice[..]), (16, listpack), (17, listpack), (16, b"\x07\0\0\0\0\0\xff")] {
        let body = plain(kind, listpack.len() as u64, &[]).into_iter().chain(listpack.iter().copied());
        let restored = restore_collection(&seal(body.collect()));
        assert_eq!(restored.map(|value| value.len()), Err(RdbError::BadData), "{kind}");
    }
}

#[test]
fn a_long_name_is_not_repeated_without_limit() {
    // One long field, and entries that are nothing but a value of it.
    let name = vec![b'n'; 60_000];
    let mut node: Vec<u8> = Vec::new();
    let mut element = |encoding: &[u8], backwards: &[u8]| {
        node.extend_from_slice(encoding);
        node.extend_from_slice(backwards);
    };
    let entries = 1000_u16;
    element(&[0xf1, entries as u8, (entries >> 8) as u8], &[3]);
    element(&[0], &[1]);
    element(&[1], &[1]);
    let encoded = name.len() + 5;
    let backwards = [(encoded >> 14) as u8, (encoded >> 7) as u8 & 0x7f | 0x80, encoded as u8 & 0x7f | 0x80];
    element(&[&[0xf0][..], &(name.len() as u32).to_le_bytes(), &name].concat(), &backwards);
    element(&[0], &[1]);
    for seq in 0..entries {
        element(&[2], &[1]);
        element(&[0], &[1]);
        element(&[0xf1, seq as u8, (seq >> 8) as u8], &[3]);
        element(&[7], &[1]);
        element(&[4], &[1]);
    }
    let listpack =
        [&(node.len() as u32 + 7).to_le_bytes()[..], &u16::MAX.to_le_bytes(), &node, &[0xff]].concat();
    let first = [&1_u64.to_be_bytes()[..], &0_u64.to_be_bytes()].concat();
    let mut body = plain(19, 1, &[&first, &listpack]);
    for number in [u64::from(entries), 1, 999, 1, 0, 0, 0, u64::from(entries), 0] {
        write_length(&mut body, number);
    }
    let restored = restore_collection(&seal(body));
    assert_eq!(restored.map(|value| value.len()), Err(RdbError::TooLarge));
}

/// A ziplist of short strings and small integers.
fn ziplist(values: &[&str]) -> Vec<u8> {
    let (mut body, mut tail) = (Vec::new(), 0);
    for value in values {
        let before = (body.len() - tail) as u8;
        tail = body.len();
        body.push(before);
        match value.parse::<u8>() {
            Ok(number @ 0..=12) => body.push(0xf1 + number),
            _ => {
                body.push(value.len() as u8);
                body.extend_from_slice(value.as_bytes());
            }
        }
    }
    let (total, tail) = (body.len() as u32 + 11, tail as u32 + 10);
    [&total.to_le_bytes()[..], &tail.to_le_bytes(), &(values.len() as u16).to_le_bytes(), &body, b"\xff"]
        .concat()
}

/// A payload of a type whose value is made of these strings.
fn of_strings(kind: u8, count: Option<u64>, strings: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![kind];
    if let Some(count) = count {
        write_length(&mut body, count);
    }
    strings.iter().for_each(|string| write_string(&mut body, string));
    seal(body)
}

/// The elements of a list, the members of a set, or the pairs of a hash or sorted set in their order, in brackets.
fn shown(payload: &[u8]) -> Result<String, RdbError> {
    let text = |value| String::from_utf8(text_of(value)).expect("the samples are text");
    Ok(match restore_collection(payload)? {
        Collection::List(list) => list.values(0).map(text).collect::<Vec<_>>().join(" "),
        Collection::Hash(hash) => {
            let pairs: BTreeSet<_> =
                hash.live(NOW).iter().map(|(name, value)| (text(name), text(value))).collect();
            format!("{pairs:?}")
        }
        Collection::SortedSet(set) => {
            format!("{:?}", set.iter().map(|(member, score)| (text(member), score)).collect::<Vec<_>>())
        }
        other => panic!("{other:?} is in no sample"),
    })
}

#[test]
fn payloads_of_redis_before_7_are_restored() {
    // From the documentation of RESTORE.
    let list = b"\n\x17\x17\x00\x00\x00\x12\x00\x00\x00\x03\x00\x00\xc0\x01\x00\x04\xc0\x02\x00\x04\xc0\x03\x00\xff\x04\x00u#<\xc0;.\xe9\xdd";
    assert_eq!(shown(list).as_deref(), Ok("1 2 3"));
    let ends = ziplist(&["a", "7", "bc"]);
    assert_eq!(shown(&of_strings(10, None, &[&ends])).as_deref(), Ok("a 7 bc"));
    let pieces = [&ziplist(&["a", "7"])[..], &ziplist(&[]), &ziplist(&["bc"])];
    assert_eq!(shown(&of_strings(14, Some(3), &pieces)).as_deref(), Ok("a 7 bc"));
    let hash = of_strings(13, None, &[&ziplist(&["f", "1", "g", "v"])]);
    let fields = Ok(r#"{("f", "1"), ("g", "v")}"#);
    assert_eq!(shown(&hash).as_deref(), fields);
    assert_eq!(shown(&of_strings(9, None, &[b"\x02\x01f\x01\x001\x01g\x01\x02v..\xff"])).as_deref(), fields);
    let scores = Ok(r#"[("m", -1.5), ("n", 3.0), ("o", inf)]"#);
    assert_eq!(
        shown(&of_strings(12, None, &[&ziplist(&["m", "-1.5", "n", "3", "o", "inf"])])).as_deref(),
        scores
    );
    let body = [&b"\x03\x03\x01o\xfe\x01n\x013\x01m\x04-1.5"[..]].concat();
    assert_eq!(shown(&seal(body)).as_deref(), scores);
}

#[test]
fn payloads_of_redis_before_7_that_lie_are_refused() {
    let twice = ziplist(&["f", "1", "f", "2"]);
    for (what, payload) in [
        ("a field twice", of_strings(13, None, &[&twice])),
        ("a name without a value", of_strings(13, None, &[&ziplist(&["f"])])),
        ("a field twice", of_strings(9, None, &[b"\x02\x01f\x01\x001\x01f\x01\x002\xff"])),
        ("a member twice", of_strings(12, None, &[&ziplist(&["m", "1", "m", "2"])])),
        ("members in another order", of_strings(12, None, &[&ziplist(&["m", "2", "n", "1"])])),
        ("a score that is none", of_strings(12, None, &[&ziplist(&["m", "x"])])),
        ("a score that is none", seal(b"\x03\x01\x01m\xfd".to_vec())),
        ("nothing", of_strings(10, None, &[&ziplist(&[])])),
        ("nothing", of_strings(14, Some(0), &[])),
        ("fewer pieces than are said", of_strings(14, Some(2), &[&ziplist(&["a"])])),
        ("something behind", of_strings(10, None, &[&ziplist(&["a"]), b"b"])),
        ("another block", of_strings(13, None, &[b"\x01\x01f\x01\x001\xff"])),
    ] {
        assert_eq!(shown(&payload), Err(RdbError::BadData), "{what}");
    }
}
