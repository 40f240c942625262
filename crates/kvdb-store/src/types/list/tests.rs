//! Lists behave as vectors, and their rows say the same.

use std::collections::BTreeMap;
use std::ops::Range;

use kvdb_lsm::batch::{Op, WriteBatch};
use proptest::prelude::*;

use super::positions::{GAP, MIDDLE};
use super::{End, List, Shape};
use crate::context::text_of;
use crate::edit::{Edit, RowSink};
use crate::types::pack::Needle;
use crate::types::{Elements, Layout};

/// A list with the rows that its changes have written.
struct Rig {
    list: List,
    layout: Layout,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Rows that the last change wrote or deleted.
    touched: usize,
}

impl Rig {
    fn new(list_size: i32) -> Self {
        let layout = Layout { list_size, ..Layout::with_seed(1) };
        Self { list: List::default(), layout, rows: BTreeMap::new(), touched: 0 }
    }

    /// A list with elements at these positions.
    fn with(list_size: i32, elements: &[(u64, &str)]) -> Self {
        let mut rig = Self::new(list_size);
        for (position, element) in elements {
            let (row, value) = (position.to_be_bytes(), element.as_bytes());
            rig.list.load(&row, value, &rig.layout).expect("positions ascend");
            rig.rows.insert(row.to_vec(), value.to_vec());
        }
        rig
    }

    fn edit<R>(&mut self, change: impl FnOnce(&mut Edit<'_, List>) -> R) -> R {
        let mut batch = WriteBatch::new();
        let rows = RowSink::new(&mut batch, &[]);
        let result = change(&mut Edit { value: &mut self.list, layout: self.layout, rows });
        self.touched = 0;
        for op in batch.iter() {
            self.touched += 1;
            match op {
                Op::Put { key, value } => drop(self.rows.insert(key.to_vec(), value.to_vec())),
                Op::Delete { key } => drop(self.rows.remove(key)),
                _ => panic!("a change to elements writes and deletes rows"),
            }
        }
        result
    }

    fn push(&mut self, end: End, elements: &[&[u8]]) {
        self.edit(|list| list.push(end, elements.iter().copied()));
    }

    /// Checks everything that holds at any time.
    fn check(&self, model: &[Vec<u8>]) {
        assert_eq!(texts(&self.list), model);
        let mut back: Vec<_> = self.list.values_back(model.len().saturating_sub(1)).map(text_of).collect();
        back.reverse();
        assert_eq!(back, model);
        assert_eq!(self.list.len(), model.len());
        assert!(self.rows.values().eq(model), "rows are in the order of the list");
        let mut shown = BTreeMap::new();
        self.list.rows(&mut |row, value| drop(shown.insert(row.to_vec(), value.to_vec())));
        assert_eq!(shown, self.rows);
        if let Shape::Many(chunks) = &self.list.0 {
            chunks.check();
        }
        let copy = self.list.clone();
        assert_eq!((texts(&copy), copy.encoding()), (model.to_vec(), self.list.encoding()));
        if let Shape::Many(chunks) = &copy.0 {
            chunks.check();
        }
        let mut loaded = List::default();
        for (row, value) in &self.rows {
            loaded.load(row, value, &self.layout).expect("rows read back in their order");
        }
        assert_eq!(texts(&loaded), model);
        let mut again = BTreeMap::new();
        loaded.rows(&mut |row, value| drop(again.insert(row.to_vec(), value.to_vec())));
        assert_eq!(again, self.rows);
    }
}

fn texts(list: &List) -> Vec<Vec<u8>> {
    list.values(0).map(text_of).collect()
}

#[derive(Debug, Clone)]
enum Change {
    Push(End, Vec<Vec<u8>>),
    Insert(prop::sample::Index, Vec<u8>),
    Set(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    RemoveEqual(prop::sample::Index, usize, End),
    Slice(prop::sample::Index, usize),
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0u32..12).prop_map(|n| n.to_string().into_bytes()),
        3 => prop::collection::vec(b'a'..b'd', 0..3),
        2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => (100usize..3000).prop_map(|len| vec![b'x'; len]),
        1 => (3000usize..10_000).prop_map(|len| vec![b'y'; len]),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let end = || prop_oneof![Just(End::Head), Just(End::Tail)];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (end(), prop::collection::vec(element(), 1..4)).prop_map(|(end, e)| Change::Push(end, e)),
        1 => (end(), prop::collection::vec(element(), 40..80)).prop_map(|(end, e)| Change::Push(end, e)),
        4 => (index(), element()).prop_map(|(at, element)| Change::Insert(at, element)),
        2 => (index(), element()).prop_map(|(at, element)| Change::Set(at, element)),
        3 => (index(), 1usize..4).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (index(), 20usize..90).prop_map(|(at, count)| Change::Remove(at, count)),
        2 => (index(), 1usize..40, end()).prop_map(|(at, limit, end)| Change::RemoveEqual(at, limit, end)),
        1 => (index(), 0usize..80).prop_map(|(at, count)| Change::Slice(at, count)),
    ]
}

fn remove_equal(model: &mut Vec<Vec<u8>>, element: &[u8], limit: usize, end: End) -> usize {
    let mut found: Vec<usize> = (0..model.len()).filter(|&i| model[i] == element).collect();
    if end == End::Tail {
        found.reverse();
    }
    found.truncate(limit);
    found.sort_unstable();
    found.iter().rev().for_each(|&i| drop(model.remove(i)));
    found.len()
}

proptest! {
    #[test]
    fn behaves_as_a_vector_and_its_rows_say_the_same(
        list_size in prop::sample::select(vec![-5, -2, -1, 0, 1, 3, 16]),
        changes in prop::collection::vec(change(), 1..40),
    ) {
        let (mut rig, mut model) = (Rig::new(list_size), Vec::<Vec<u8>>::new());
        for change in changes {
            match change {
                Change::Push(end, elements) => {
                    let slices: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
                    rig.push(end, &slices);
                    for element in elements {
                        model.insert(if end == End::Head { 0 } else { model.len() }, element);
                    }
                }
                Change::Insert(at, element) => {
                    let at = at.index(model.len() + 1);
                    rig.edit(|list| list.insert(at, &element));
                    model.insert(at, element);
                }
                Change::Set(at, element) if !model.is_empty() => {
                    let at = at.index(model.len());
                    rig.edit(|list| list.set(at, &element));
                    prop_assert_eq!(rig.touched, 1);
                    model[at] = element;
                }
                Change::Remove(at, count) if !model.is_empty() => {
                    let at = at.index(model.len());
                    let range = at..(at + count).min(model.len());
                    rig.edit(|list| list.remove(range.clone()));
                    prop_assert_eq!(rig.touched, range.len());
                    model.drain(range);
                }
                Change::RemoveEqual(at, limit, end) if !model.is_empty() => {
                    let element = model[at.index(model.len())].clone();
                    prop_assert_eq!(rig.list.index_of(&element), model.iter().position(|e| *e == element));
                    let removed = rig.edit(|list| list.remove_equal(&element, limit, end));
                    prop_assert_eq!(removed, remove_equal(&mut model, &element, limit, end));
                    prop_assert_eq!(rig.touched, removed);
                }
                Change::Slice(at, count) => {
                    let at = at.index(model.len() + 1);
                    let range = at..(at + count).min(model.len());
                    let slice = rig.list.slice(range.clone(), &rig.layout);
                    prop_assert_eq!(texts(&slice), &model[range]);
                }
                _ => {}
            }
            rig.check(&model);
            for index in [0, model.len() / 2, model.len()] {
                prop_assert_eq!(rig.list.get(index).map(text_of), model.get(index).cloned());
            }
        }
    }

    /// Gaps are used up quickly where the same place is hit again and again, at an end of all positions too.
    #[test]
    fn there_is_always_room(
        start in prop::sample::select(vec![0, 3, GAP, MIDDLE, u64::MAX - 5, u64::MAX - 1]),
        targets in prop::collection::vec(0usize..4, 1..6),
    ) {
        let mut rig = Rig::with(-2, &[(start, "first"), (start + 1, "second")]);
        let mut model = vec![b"first".to_vec(), b"second".to_vec()];
        for i in 0..600 {
            let at = match targets[i % targets.len()] {
                0 => 0,
                1 => model.len(),
                2 => 1,
                _ => model.len() / 2,
            };
            let element = i.to_string().into_bytes();
            rig.edit(|list| list.insert(at, &element));
            model.insert(at, element);
        }
        rig.check(&model);
    }
}

#[test]
fn an_insertion_writes_one_row_and_few_when_a_gap_is_used_up() {
    let mut rig = Rig::new(-2);
    let elements: Vec<Vec<u8>> = (0..5000u32).map(|i| i.to_string().into_bytes()).collect();
    let slices: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
    rig.push(End::Tail, &slices);
    rig.edit(|list| list.insert(2500, b"between"));
    assert_eq!(rig.touched, 1);
    let mut written = 0;
    for _ in 0..1000 {
        rig.edit(|list| list.insert(2500, b"again"));
        written += rig.touched;
    }
    assert!(written < 30_000, "{written} rows for a thousand insertions at one place");
}

#[test]
fn the_encoding_is_that_of_redis() {
    let encodings = |list_size, elements: &[&[u8]], removed: Range<usize>| {
        let mut rig = Rig::new(list_size);
        rig.push(End::Tail, elements);
        let before = rig.list.encoding();
        rig.edit(|list| list.remove(removed));
        (before, rig.list.encoding())
    };
    // By bytes: the head of seven, and the bytes of all arguments as they are.
    let (fits, too_long) = (vec![b'x'; 8185], vec![b'x'; 8186]);
    assert_eq!(encodings(-2, &[&fits], 0..0), ("listpack", "listpack"));
    assert_eq!(encodings(-2, &[&too_long], 0..0), ("quicklist", "quicklist"));
    let thousand = vec![b'x'; 1000];
    assert_eq!(encodings(-1, &[&thousand[..]; 4], 0..1), ("listpack", "listpack"));
    assert_eq!(encodings(-1, &[&thousand[..]; 5], 0..2), ("quicklist", "quicklist"));
    assert_eq!(encodings(-1, &[&thousand[..]; 5], 0..4), ("quicklist", "listpack"));
    // By number.
    assert_eq!(encodings(4, &[&b"x"[..]; 4], 0..0), ("listpack", "listpack"));
    assert_eq!(encodings(4, &[&b"x"[..]; 5], 0..2), ("quicklist", "quicklist"));
    assert_eq!(encodings(4, &[&b"x"[..]; 5], 1..4), ("quicklist", "listpack"));
    // In a listpack such an element has two bytes, but when it is added its text counts.
    let small = vec![&b"100"[..]; 4092];
    assert_eq!(encodings(-2, &small[..2728], 0..0), ("listpack", "listpack"));
    let mut rig = Rig::new(-2);
    small.iter().for_each(|element| rig.push(End::Tail, &[element]));
    assert_eq!(rig.list.encoding(), "listpack");
    rig.push(End::Tail, &[b"100"]);
    assert_eq!((rig.list.encoding(), rig.list.len()), ("quicklist", 4093));
}

#[test]
fn rows_that_are_not_of_a_list_are_refused() {
    let layout = Layout::with_seed(1);
    let mut list = List::default();
    assert!(list.load(&[0; 7], b"x", &layout).is_none() && list.load(&[0; 9], b"x", &layout).is_none());
    assert!(list.load(&5u64.to_be_bytes(), b"x", &layout).is_some());
    assert!(list.load(&5u64.to_be_bytes(), b"y", &layout).is_none(), "two elements at one position");
    assert!(list.load(&4u64.to_be_bytes(), b"y", &layout).is_none());
    assert_eq!(texts(&list), [b"x"]);
}

#[test]
fn elements_cost_about_their_bytes_and_a_queue_stays_small() {
    assert_eq!(size_of::<List>(), 40);
    let mut rig = Rig::new(-2);
    for i in 0..100_000u32 {
        let element = format!("element{i:05}");
        let end = if i % 3 == 0 { End::Head } else { End::Tail };
        rig.push(end, &[element.as_bytes()]);
    }
    let per_element = rig.list.memory_bytes() as f64 / 100_000.0;
    assert!(per_element < 14.5, "{per_element} bytes for an element of 12");
    rig.edit(|list| list.remove(10..100_000));
    assert!(rig.list.memory_bytes() < 1000, "{} bytes for ten elements", rig.list.memory_bytes());
    let mut queue = Rig::new(-2);
    for i in 0..20_000u32 {
        queue.push(End::Tail, &[&i.to_le_bytes()]);
        if i >= 100 {
            queue.edit(|list| list.remove(0..1));
            assert_eq!(queue.touched, 1);
        }
    }
    assert_eq!(queue.list.len(), 100);
    assert!(queue.list.memory_bytes() < 3000, "{} bytes for a hundred elements", queue.list.memory_bytes());
}

#[test]
fn elements_are_found_whatever_form_they_are_kept_in() {
    let list = List::of([&b"a"[..], b"12", b"012", b"", b"12"], &Layout::with_seed(1));
    assert_eq!(list.index_of(b"12"), Some(1));
    assert_eq!(list.index_of(b"012"), Some(2));
    assert_eq!(list.index_of(b""), Some(3));
    assert_eq!(list.index_of(b"13"), None);
    let needle = Needle::of(b"12");
    assert_eq!(list.values_back(4).position(|value| needle.is(value)), Some(0));
    assert_eq!(list.values_back(3).position(|value| needle.is(value)), Some(2));
}

#[test]
fn rows_are_those_of_the_documentation() {
    let mut rig = Rig::new(-2);
    rig.push(End::Tail, &[b"x", b"y"]);
    rig.push(End::Head, &[b"w"]);
    let positions = [MIDDLE - GAP, MIDDLE, MIDDLE + GAP].map(|position| position.to_be_bytes().to_vec());
    assert!(rig.rows.keys().eq(&positions));
    assert_eq!(rig.rows[&[0x80, 0, 0, 0, 0, 0, 0, 0][..]], b"x");
}
