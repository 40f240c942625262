//! What packs promise.

use super::*;
use crate::context::text_of;
use proptest::prelude::*;

fn texts<const N: usize, const BACK: bool>(pack: &Pack<N, BACK>) -> Vec<Vec<u8>> {
    pack.iter().flatten().map(text_of).collect()
}

fn backwards<const N: usize>(pack: &Pack<N, true>) -> Vec<Vec<u8>> {
    let mut cursor = pack.end();
    let mut records: Vec<_> = std::iter::from_fn(|| cursor.back()).collect();
    records.reverse();
    records.into_iter().flatten().map(text_of).collect()
}

fn offset_of<const N: usize, const BACK: bool>(pack: &Pack<N, BACK>, index: usize) -> usize {
    let mut cursor = pack.first();
    assert!((0..index).all(|_| cursor.pass()));
    cursor.offset()
}

/// Elements as records.
fn records<const N: usize>(elements: &[Vec<u8>]) -> Vec<[&[u8]; N]> {
    elements.as_chunks().0.iter().map(|record| record.each_ref().map(Vec::as_slice)).collect()
}

fn is_found_where_it_stands_first<const N: usize>(
    elements: &[Vec<u8>],
    wanted: &[u8],
) -> Result<(), TestCaseError> {
    let (mut pack, records) = (Pack::<N>::new(), records(elements));
    records.iter().for_each(|record| pack.push_back(*record));
    let place = records.iter().position(|record| record[0] == wanted);
    let found = pack.find(wanted);
    prop_assert_eq!(found.map(|(nth, _)| nth), place);
    if let Some((nth, mut before)) = found {
        prop_assert_eq!(before.offset(), offset_of(&pack, nth));
        prop_assert_eq!(
            before.next().map(|record| record.map(text_of)),
            Some(records[nth].map(<[u8]>::to_vec))
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn an_element_is_found_where_it_stands_first(
        elements in prop::collection::vec(prop_oneof![element(), "([ab]{0,2}|member:0{10}[01]{2})".prop_map(String::into_bytes)], 0..20),
        which in any::<prop::sample::Index>(),
    ) {
        let wanted = if elements.is_empty() { &b"absent"[..] } else { which.get(&elements) };
        is_found_where_it_stands_first::<1>(&elements, wanted)?;
        is_found_where_it_stands_first::<2>(&elements, wanted)?;
    }

    #[test]
    fn the_second_element_of_a_record_is_read_without_the_first(first in element(), second in element()) {
        let mut pack = Pack::<2>::new();
        prop_assert!(pack.first().second().is_none());
        pack.push_back([&first, &second]);
        prop_assert_eq!(pack.first().second().map(text_of), Some(second.clone()));
        let mut cursor = pack.first();
        prop_assert_eq!(cursor.next_second().map(text_of), Some(second));
        prop_assert_eq!((cursor.offset(), cursor.next_second().is_none()), (pack.len_bytes(), true));
    }
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 120..140),
        1 => prop::collection::vec(any::<u8>(), 16_370..16_390),
        4 => any::<i64>().prop_map(|i| i.to_string().into_bytes()),
        2 => (0u32..64).prop_flat_map(|bits| (Just(bits), any::<bool>(), -1i64..2))
            .prop_map(|(bits, negative, by)| {
                let power = (1i64 << bits.min(62)).wrapping_add(by);
                (if negative { -power } else { power }).to_string().into_bytes()
            }),
    ]
}

proptest! {
    #[test]
    fn elements_are_read_forwards_without_what_lets_them_be_read_backwards(
        elements in prop::collection::vec(element(), 0..20),
    ) {
        let mut bytes = Vec::new();
        elements.iter().for_each(|element| write_forward(&mut bytes, element));
        prop_assert_eq!(bytes.len(), elements.iter().map(|element| forward_len(element)).sum::<usize>());
        let mut rest = &bytes[..];
        for element in elements {
            let (value, len) = read_forward(rest);
            prop_assert_eq!(text_of(value), element);
            rest = &rest[len..];
        }
    }

    #[test]
    fn behaves_as_a_vector(ops in prop::collection::vec((0u8..9, any::<prop::sample::Index>(), element(), element()), 1..60)) {
        let ones = || ops.iter().map(|(op, index, element, _)| (*op, *index, [&element[..]]));
        let twos = || ops.iter().map(|(op, index, first, second)| (*op, *index, [&first[..], &second[..]]));
        behaves_as_a_vector_of(ones(), backwards)?;
        behaves_as_a_vector_of(twos(), backwards)?;
        behaves_as_a_vector_of(ones(), texts::<1, false>)?;
        behaves_as_a_vector_of(twos(), texts::<2, false>)?;
    }
}

fn behaves_as_a_vector_of<'e, const N: usize, const BACK: bool>(
    ops: impl Iterator<Item = (u8, prop::sample::Index, [&'e [u8]; N])>,
    read_otherwise: impl Fn(&Pack<N, BACK>) -> Vec<Vec<u8>>,
) -> Result<(), TestCaseError> {
    let (mut pack, mut model) = (Pack::<N, BACK>::new(), Vec::<[&[u8]; N]>::new());
    for (op, index, record) in ops {
        let at = index.index(model.len() + 1);
        match op {
            0 => {
                pack.push_back(record);
                model.push(record);
            }
            1 => {
                pack.push_front(record);
                model.insert(0, record);
            }
            2 => {
                pack.insert(offset_of(&pack, at), record);
                model.insert(at, record);
            }
            3 if at < model.len() => {
                pack.replace(offset_of(&pack, at), record);
                model[at] = record;
            }
            4 if at < model.len() => {
                pack.remove(offset_of(&pack, at), 2);
                model.drain(at..(at + 2).min(model.len()));
            }
            5 => {
                let mut tail = pack.split_off(offset_of(&pack, at));
                let model_tail = model.split_off(at);
                prop_assert_eq!(texts(&tail), model_tail.concat());
                prop_assert_eq!(tail.count(), model_tail.len());
                // Put together the other way round.
                tail.append(&pack);
                pack = tail;
                model = [model_tail, model].concat();
            }
            6 => {
                let keeps = |text: &[u8]| text.len() % 3 != at % 3;
                pack.retain(|record| keeps(&text_of(record[0])));
                model.retain(|record| keeps(record[0]));
            }
            7 => {
                pack.fit();
                prop_assert_eq!(pack.memory_bytes(), size_class::of(pack.len_bytes()));
            }
            _ => pack = pack.clone(),
        }
        prop_assert_eq!(texts(&pack), model.concat());
        prop_assert_eq!(read_otherwise(&pack), model.concat());
        prop_assert_eq!(pack.count(), model.len());
        prop_assert_eq!(pack.is_empty(), model.is_empty());
        prop_assert_eq!(pack.memory_bytes(), size_class::of(pack.memory_bytes()));
    }
    Ok(())
}

#[test]
fn small_elements_cost_little_beside_their_bytes() {
    let len = |element: &str| {
        let (mut pack, mut forwards) = (Pack::<1, true>::new(), Pack::<1>::new());
        pack.push_back([element.as_bytes()]);
        forwards.push_back([element.as_bytes()]);
        assert!(forwards.len_bytes() < pack.len_bytes());
        pack.len_bytes()
    };
    let lens =
        ["", "a", "0", "63", "64", "-1", "127", "128", "32767", "123456", "9223372036854775807"].map(len);
    assert_eq!(lens, [2, 3, 2, 2, 3, 3, 3, 4, 4, 5, 10]);
    assert_eq!((len(&"x".repeat(126)), len(&"x".repeat(127)), len(&"x".repeat(128))), (128, 130, 133));
}

#[test]
fn records_that_are_added_leave_no_room_to_spare() {
    for (front, back) in [(true, false), (false, true), (true, true)] {
        let mut pack = Pack::<2>::new();
        for _ in 0..100 {
            if front {
                pack.push_front([b"a member of a set", b"17"]);
            }
            if back {
                pack.push_back([b"a member of a set", b"17"]);
            }
            assert_eq!(pack.memory_bytes(), size_class::of(pack.len_bytes()));
        }
    }
    assert_eq!(size_of::<Pack<1>>(), 24);
    assert_eq!(size_of::<Option<Pack<1, true>>>(), 24);
}

#[test]
fn adding_to_the_front_does_not_move_everything_every_time() {
    let mut pack = Pack::<1>::new();
    (0..100).for_each(|_| pack.push_front([b"element"]));
    let before = pack.gap();
    pack.push_front([b"element"]);
    assert!(pack.gap() < before || before < 9);
    assert_eq!(texts(&pack).len(), 101);
}
