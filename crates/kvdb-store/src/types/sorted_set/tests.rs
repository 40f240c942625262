//! Sorted sets against a map and a sorted list.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Model = BTreeMap<Vec<u8>, f64>;

fn sorted(model: &Model) -> Vec<(Vec<u8>, f64)> {
    let mut all: Vec<_> = model.iter().map(|(member, score)| (member.clone(), *score)).collect();
    all.sort_by(|a, b| a.1.partial_cmp(&b.1).expect("scores are numbers").then_with(|| a.0.cmp(&b.0)));
    all
}

fn owned((member, score): Scored<'_>) -> (Vec<u8>, f64) {
    (text_of(member), score)
}

/// Looks at everything that can be asked.
fn check(set: &SortedSet, model: &Model) {
    let all = sorted(model);
    assert_eq!(set.len(), all.len());
    assert_eq!(set.iter().map(owned).collect::<Vec<_>>(), all);
    let mut back: Vec<_> = set.range(0..all.len(), true).map(owned).collect();
    back.reverse();
    assert_eq!(back, all);
    for (rank, (member, score)) in all.iter().enumerate() {
        assert_eq!((set.score(member), set.rank(member)), (Some(*score), Some((rank, *score))));
        assert_eq!(set.range(rank..rank + 1, false).next().map(owned).as_ref(), all.get(rank));
    }
    let unordered: Model = set.iter_unordered().map(owned).collect();
    assert_eq!(&unordered, model);
    if let Shape::Large(large) = &set.0 {
        let slots = large.slab().iter().zip(0u32..);
        slots.for_each(|(slot, id)| {
            assert_eq!(large.slab().get(id).member.as_bytes(), slot.member.as_bytes())
        });
        assert_eq!(large.order().count(|_| true), all.len());
    }
    for score in [-1.0, 0.0, 2.0, f64::INFINITY] {
        for (above_min, below_max) in [(false, false), (true, false), (false, true), (true, true)] {
            let range = ScoreRange { min: score, above_min, max: score + 3.0, below_max };
            let inside = |s: f64| {
                (if above_min { s > range.min } else { s >= range.min })
                    && (if below_max { s < range.max } else { s <= range.max })
            };
            let expected: Vec<_> = all.iter().filter(|(_, s)| inside(*s)).cloned().collect();
            let ranks = set.ranks_by_score(&range, usize::MAX);
            assert_eq!(all[ranks.clone()].to_vec(), expected, "{range:?}");
            for most in 0..3 {
                let some = set.ranks_by_score(&range, most);
                assert!(
                    some.start == ranks.start && some.len() >= most.min(ranks.len()),
                    "{range:?}, {most}"
                );
                assert!(some.end <= ranks.end, "{range:?}, {most}");
            }
        }
    }
}

fn member(number: u32, kind: u8) -> Vec<u8> {
    match kind {
        0 => number.to_string().into_bytes(),
        1 => format!("member{number}").into_bytes(),
        _ => vec![b'x'; number as usize],
    }
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-3i32..6).prop_map(f64::from),
        2 => (-30i32..60).prop_map(|tenths| f64::from(tenths) / 10.0),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0), Just(1e300)],
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_map_and_is_the_same_after_a_load(
        ops in prop::collection::vec((0u8..4, 0u32..60, 0u8..3, score()), 1..250),
        entries in 0usize..40,
        bits: u64,
    ) {
        let layout = Layout { sorted_set_entries: entries, sorted_set_value: 40, ..Layout::with_seed(7) };
        let (mut set, mut model) = (SortedSet::default(), Model::new());
        for (op, number, kind, score) in ops {
            let member = member(number, kind);
            if op == 0 {
                prop_assert_eq!(set.remove(&member), model.remove(&member));
            } else {
                let before = model.get(&member).copied();
                prop_assert_eq!(set.insert(&member, score, &layout), before);
                if before != Some(score) {
                    model.insert(member, score);
                }
            }
        }
        check(&set, &model);
        let mut rows = BTreeMap::new();
        set.rows(&mut |element, value| assert!(rows.insert(element.to_vec(), value.to_vec()).is_none()));
        for by_name in [true, false] {
            let mut loaded = SortedSet::default();
            let mut rows: Vec<_> = rows.iter().collect();
            if !by_name {
                rows.reverse();
            }
            rows.into_iter().for_each(|(element, value)| loaded.load(element, value, &layout).expect("a row reads back"));
            loaded.loaded();
            check(&loaded, &model);
        }
        check(&set.clone(), &model);
        let (mut walked, mut cursor) = (Model::new(), 0);
        loop {
            cursor = set.walk(cursor, 3, |found| walked.extend([owned(found)]));
            if cursor == 0 { break }
        }
        prop_assert_eq!(&walked, &model);
        let mut random = Random::new(bits);
        for count in [0, 1, model.len() / 4, model.len() / 2, model.len(), model.len() + 1] {
            let sample: Model = set.sample(count, &mut random).into_iter().map(owned).collect();
            prop_assert_eq!(sample.len(), count.min(model.len()));
            prop_assert!(sample.iter().all(|(member, score)| model.get(member) == Some(score)));
        }
        prop_assert_eq!(set.random(&mut random).is_none(), model.is_empty());
    }

    #[test]
    fn what_is_gathered_is_sorted_in_the_end(
        members in prop::collection::vec((0u32..60, 0u8..3, score()), 0..200),
        entries in 0usize..40,
    ) {
        let layout = Layout { sorted_set_entries: entries, sorted_set_value: 40, ..Layout::with_seed(7) };
        let (mut gathered, mut model) = (Gathered::new(&layout), Model::new());
        for (number, kind, score) in members {
            let member = member(number, kind);
            gathered.add(&member, score, f64::max);
            model.entry(member).and_modify(|old| *old = old.max(score)).or_insert(score);
        }
        let set = gathered.finish(&layout);
        check(&set, &model);
        let small = model.len() <= entries && model.keys().all(|member| member.len() <= 40);
        prop_assert_eq!(set.encoding(), if small { "listpack" } else { "skiplist" });
    }

    #[test]
    fn parts_between_members_are_found(
        members in prop::collection::btree_set("[a-c]{0,3}", 0..60),
        min in "[a-c]{0,3}", max in "[a-c]{0,3}",
        kinds in (0u8..4, 0u8..4),
        entries in prop_oneof![Just(0usize), Just(100)],
    ) {
        let layout = Layout { sorted_set_entries: entries, ..Layout::with_seed(7) };
        let mut set = SortedSet::default();
        members.iter().for_each(|m| assert_eq!(set.insert(m.as_bytes(), 1.0, &layout), None));
        let end = |kind, member| match kind {
            0 => LexEnd::First,
            1 => LexEnd::Last,
            2 => LexEnd::At(member),
            _ => LexEnd::Beside(member),
        };
        let range = LexRange { min: end(kinds.0, min.as_bytes()), max: end(kinds.1, max.as_bytes()) };
        let above = |m: &&String| match kinds.0 { 0 => true, 1 => false, 2 => **m >= min, _ => **m > min };
        let below = |m: &&String| match kinds.1 { 0 => false, 1 => true, 2 => **m <= max, _ => **m < max };
        let expected: Vec<Vec<u8>> =
            members.iter().filter(above).filter(below).map(|m| m.clone().into_bytes()).collect();
        let ranks = set.ranks_by_member(&range, usize::MAX);
        let found: Vec<Vec<u8>> =
            set.range(ranks, false).map(|(m, _)| text_of(m)).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_score_that_is_no_number_is_no_row() {
    let layout = Layout::with_seed(1);
    let mut set = SortedSet::default();
    for value in [&[][..], b"1234567", b"123456789", &f64::NAN.to_le_bytes()] {
        assert_eq!(set.load(b"m", value, &layout), None);
    }
}

#[test]
fn the_encoding_is_that_of_redis() {
    let layout = Layout::with_seed(1);
    let mut set = SortedSet::default();
    (0..128u32).for_each(|i| assert_eq!(set.insert(&i.to_le_bytes(), 0.0, &layout), None));
    assert_eq!(set.encoding(), "listpack");
    assert_eq!(set.insert(b"one more", 0.0, &layout), None);
    assert_eq!(set.encoding(), "skiplist");
    let mut long = SortedSet::default();
    assert_eq!(long.insert(&[b'm'; 65], 0.0, &layout), None);
    assert_eq!(long.encoding(), "skiplist");
}

#[test]
fn a_member_of_a_large_sorted_set_costs_less_than_in_redis() {
    let layout = Layout::with_seed(1);
    let mut set = SortedSet::default();
    let random = &mut Random::new(1);
    for i in 0..200_000u32 {
        set.insert(format!("member{i:04}").as_bytes(), random.below(1 << 30) as f64, &layout);
    }
    let per_member = set.memory_bytes() / set.len();
    assert!(per_member <= 64, "{per_member} bytes");
}

#[test]
fn every_member_is_as_likely_as_another() {
    let layout = Layout::with_seed(3);
    for members in [10u32, 400] {
        let mut set = SortedSet::default();
        (0..members).for_each(|i| assert_eq!(set.insert(&i.to_le_bytes(), f64::from(i), &layout), None));
        let (mut random, mut counts) = (Random::new(1), vec![0u32; members as usize]);
        for _ in 0..1_000 * members {
            let (_, score) = set.random(&mut random).expect("there are some");
            counts[score as usize] += 1;
        }
        // Six times the standard deviation.
        assert!(counts.iter().all(|count| (810..1190).contains(count)), "{counts:?}");
    }
}
