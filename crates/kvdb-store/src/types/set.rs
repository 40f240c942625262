//! Sets: members, each once.
//!
//! An element row is the member, with an empty value. A set of integers alone is an [`IntSet`] while it is not too large;
//! any other small set is a pack of its members in the order in which they came; a large one is a table of [`Member`]s.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::int_set::IntSet;
use super::member::Member;
use super::pack::{Cursor, MAX_BYTES, MAX_RECORDS, Pack};
use super::table::ElementTable;
use super::{Collection, Elements, Layout};
use crate::context::text_of;
use crate::edit::Edit;
use crate::entry::ValueRef;
use crate::object::canonical_int;
use crate::random::Random;
use crate::row::Type;

/// Members, each once.
#[derive(Debug, Clone)]
pub struct Set(Shape);

#[derive(Debug, Clone)]
enum Shape {
    /// Integers.
    Ints(IntSet),
    /// Members.
    Small(Pack<1>),
    Large(Box<Large>),
}

/// # Invariants
///
/// * `bytes` is the sum of the memory of the members beside the table.
#[derive(Debug, Clone)]
struct Large {
    seed: u64,
    members: ElementTable<Member>,
    bytes: usize,
}

impl Default for Set {
    fn default() -> Self {
        Self(Shape::Ints(IntSet::default()))
    }
}

impl Large {
    fn new(seed: u64) -> Box<Self> {
        Box::new(Self { seed, members: ElementTable::default(), bytes: 0 })
    }

    fn contains(&self, member: &[u8]) -> bool {
        let hash = xxh3_64_with_seed(member, self.seed);
        self.members.find(hash, |m| m.as_bytes() == member).is_some()
    }

    fn insert(&mut self, member: &[u8]) -> bool {
        let (seed, hash) = (self.seed, xxh3_64_with_seed(member, self.seed));
        if self.members.find(hash, |m| m.as_bytes() == member).is_some() {
            return false;
        }
        let member = Member::new(member);
        self.bytes += member.memory_bytes();
        self.members.insert(hash, member, |m| xxh3_64_with_seed(m.as_bytes(), seed));
        true
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        let (seed, hash) = (self.seed, xxh3_64_with_seed(member, self.seed));
        let hash_of = |m: &Member| xxh3_64_with_seed(m.as_bytes(), seed);
        let Some(removed) = self.members.remove(hash, |m| m.as_bytes() == member, hash_of) else {
            return false;
        };
        self.bytes -= removed.memory_bytes();
        true
    }
}

/// Walks over members.
enum Members<'s, L> {
    Ints(&'s IntSet, usize),
    Small(Cursor<'s, 1>),
    Large(L),
}

impl<'s, L: Iterator<Item = &'s Member>> Iterator for Members<'s, L> {
    type Item = ValueRef<'s>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Ints(ints, at) => {
                *at += 1;
                ints.get(*at - 1).map(ValueRef::Int)
            }
            Self::Small(cursor) => cursor.next().map(|[member]| member),
            Self::Large(members) => members.next().map(|member| ValueRef::Bytes(member.as_bytes())),
        }
    }
}

/// The offset of a member in a pack.
fn offset_of(pack: &Pack<1>, member: &[u8]) -> Option<usize> {
    pack.find(member).map(|(_, before)| before.offset())
}

impl Set {
    /// Whether a member is there.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.0 {
            Shape::Ints(ints) => canonical_int(member).is_some_and(|int| ints.contains(int)),
            Shape::Small(pack) => pack.find(member).is_some(),
            Shape::Large(large) => large.contains(member),
        }
    }

    /// All members: integers in their order, of a small set in the order in which they came, else in no order.
    pub fn iter(&self) -> impl Iterator<Item = ValueRef<'_>> {
        match &self.0 {
            Shape::Ints(ints) => Members::Ints(ints, 0),
            Shape::Small(pack) => Members::Small(pack.iter()),
            Shape::Large(large) => Members::Large(large.members.iter()),
        }
    }

    /// Walks the set: shows members from a cursor on, about `count` of them, and returns where to go on; 0 when the walk
    /// is over. A small set is shown at once.
    pub fn walk<'s>(&'s self, cursor: u64, count: usize, mut visit: impl FnMut(ValueRef<'s>)) -> u64 {
        let Shape::Large(large) = &self.0 else {
            self.iter().for_each(visit);
            return 0;
        };
        let hash_of = |member: &Member| xxh3_64_with_seed(member.as_bytes(), large.seed);
        large.members.walk(cursor, count, hash_of, |member| visit(ValueRef::Bytes(member.as_bytes())))
    }

    /// A member by chance, each as likely as any other.
    pub fn random(&self, random: &mut Random) -> Option<ValueRef<'_>> {
        if self.is_empty() {
            return None;
        }
        match &self.0 {
            Shape::Ints(ints) => ints.get(random.below(ints.len())).map(ValueRef::Int),
            Shape::Small(pack) => pack.iter().nth(random.below(pack.count())).map(|[member]| member),
            Shape::Large(large) => {
                large.members.random(random.bits()).map(|member| ValueRef::Bytes(member.as_bytes()))
            }
        }
    }

    /// So many different members by chance, in random order; all of them where there are no more.
    pub fn sample(&self, count: usize, random: &mut Random) -> Vec<ValueRef<'_>> {
        /// A large part is chosen from a list of all: drawing would meet the same ones over and over.
        const FEW: usize = 3;
        let few = matches!(self.0, Shape::Large(_)) && count < self.len() / FEW;
        if !few {
            let mut all: Vec<_> = self.iter().collect();
            random.choose(&mut all, count);
            all.truncate(count);
            return all;
        }
        let (mut drawn, mut places) = (Vec::with_capacity(count), HashSet::with_capacity(count));
        while drawn.len() < count {
            let Some(member) = self.random(random) else { break };
            // No two members stand at one place, and the set does not change meanwhile.
            if let ValueRef::Bytes(bytes) = member
                && places.insert(bytes.as_ptr())
            {
                drawn.push(member);
            }
        }
        drawn
    }

    /// Adds a member; tells whether it is new.
    pub fn insert(&mut self, member: &[u8], layout: &Layout) -> bool {
        match &mut self.0 {
            Shape::Large(large) => large.insert(member),
            Shape::Small(pack) => {
                if pack.find(member).is_some() {
                    return false;
                }
                if fits(pack.len_bytes(), pack.count(), member, layout) {
                    pack.push_back([member]);
                    return true;
                }
                self.large(layout).insert(member)
            }
            Shape::Ints(ints) => match canonical_int(member) {
                Some(int) if ints.len() < layout.set_intset => ints.insert(int),
                Some(int) if ints.contains(int) => false,
                Some(_) if !ints.is_empty() => self.large(layout).insert(member),
                _ => {
                    // The longest integers stand at the ends.
                    let longest = [0, ints.len().saturating_sub(1)]
                        .map(|at| ints.get(at).map_or(0, |int| ValueRef::Int(int).len()));
                    let is_small = longest.into_iter().all(|len| len <= layout.set_value)
                        && fits(ints.len() * longest[0].max(longest[1]), ints.len(), member, layout);
                    if is_small {
                        self.small();
                    } else {
                        self.large(layout);
                    }
                    self.insert(member, layout)
                }
            },
        }
    }

    /// Makes ready for so many members, the first of which is this one: a set that is going to be large is made large at
    /// once, as Redis does.
    fn expect(&mut self, first: &[u8], count: usize, layout: &Layout) {
        let small = count <= layout.set_entries;
        let stays = match &self.0 {
            Shape::Ints(ints) => {
                count <= layout.set_intset && (!ints.is_empty() || canonical_int(first).is_some())
            }
            Shape::Small(..) => small,
            Shape::Large(_) => true,
        };
        if stays {
            return;
        }
        if small && self.is_empty() {
            self.small();
        } else {
            self.large(layout);
        }
    }

    /// Makes a pack of integers.
    fn small(&mut self) {
        let mut pack = Pack::new();
        self.iter().for_each(|member| pack.push_back([&text_of(member)]));
        self.0 = Shape::Small(pack);
    }

    /// The table, made of the integers or the pack where it is still one.
    fn large(&mut self, layout: &Layout) -> &mut Large {
        if !matches!(self.0, Shape::Large(_)) {
            let mut large = Large::new(layout.seed);
            self.iter().for_each(|member| assert!(large.insert(&text_of(member)), "members are different"));
            self.0 = Shape::Large(large);
        }
        match &mut self.0 {
            Shape::Large(large) => large,
            _ => unreachable!("it has just been made large"),
        }
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Shape::Ints(ints) => canonical_int(member).is_some_and(|int| ints.remove(int)),
            Shape::Small(pack) => {
                let Some(offset) = offset_of(pack, member) else { return false };
                pack.remove(offset, 1);
                true
            }
            Shape::Large(large) => large.remove(member),
        }
    }
}

/// Whether a small set of so many members and bytes can take one more.
fn fits(bytes: usize, len: usize, member: &[u8], layout: &Layout) -> bool {
    len < layout.set_entries.min(MAX_RECORDS)
        && member.len() <= layout.set_value
        && bytes + member.len() <= MAX_BYTES
}

impl Elements for Set {
    const KIND: Type = Type::Set;

    fn of(collection: &Collection) -> Option<&Self> {
        match collection {
            Collection::Set(set) => Some(set),
            _ => None,
        }
    }

    fn of_mut(collection: &mut Collection) -> Option<&mut Self> {
        match collection {
            Collection::Set(set) => Some(set),
            _ => None,
        }
    }

    fn into_collection(self) -> Collection {
        Collection::Set(self)
    }

    fn prefetch(&self) {
        if let Shape::Small(pack) = &self.0 {
            pack.prefetch();
        }
    }

    fn len(&self) -> usize {
        match &self.0 {
            Shape::Ints(ints) => ints.len(),
            Shape::Small(pack) => pack.count(),
            Shape::Large(large) => large.members.len(),
        }
    }

    fn memory_bytes(&self) -> usize {
        match &self.0 {
            Shape::Ints(ints) => ints.memory_bytes(),
            Shape::Small(pack) => pack.memory_bytes(),
            Shape::Large(large) => size_of::<Large>() + large.members.memory_bytes() + large.bytes,
        }
    }

    fn encoding(&self) -> &'static str {
        match &self.0 {
            Shape::Ints(_) => "intset",
            Shape::Small(..) => "listpack",
            Shape::Large(_) => "hashtable",
        }
    }

    fn load(&mut self, element: &[u8], value: &[u8], layout: &Layout) -> Option<()> {
        (value.is_empty() && self.insert(element, layout)).then_some(())
    }

    fn rows(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.iter().for_each(|member| visit(&text_of(member), &[]));
    }
}

impl Edit<'_, Set> {
    /// Adds a member; tells whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        let layout = self.layout;
        let new = self.value.insert(member, &layout);
        if new {
            self.record(member, |_| ());
        }
        new
    }

    /// Adds members; tells how many are new.
    pub fn add_all<'m>(&mut self, members: impl ExactSizeIterator<Item = &'m [u8]>) -> usize {
        let (count, layout) = (members.len(), self.layout);
        let (mut added, mut expected) = (0, count <= layout.set_entries.min(layout.set_intset));
        for member in members {
            // Nothing is rebuilt for members that are there already: no memory changes unless a row does.
            if !expected && !self.contains(member) {
                self.value.expect(member, count, &layout);
                expected = true;
            }
            added += usize::from(self.add(member));
        }
        added
    }

    /// Takes a member out; tells whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let removed = self.value.remove(member);
        if removed {
            self.erase(member);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn contents(set: &Set) -> BTreeSet<Vec<u8>> {
        let members: Vec<_> = set.iter().map(text_of).collect();
        assert_eq!(members.len(), set.len());
        members.into_iter().collect()
    }

    /// What a large set holds, counted anew.
    fn recount(set: &Set) -> Option<usize> {
        let Shape::Large(large) = &set.0 else { return None };
        let members: usize = large.members.iter().map(Member::memory_bytes).sum();
        Some(size_of::<Large>() + large.members.memory_bytes() + members)
    }

    fn member(number: u32, kind: u8) -> Vec<u8> {
        match kind {
            0 | 1 => number.to_string().into_bytes(),
            2 => format!("member{number}").into_bytes(),
            3 => vec![b'x'; number as usize],
            _ => format!("-{}", u64::from(number) << 31).into_bytes(),
        }
    }

    fn layout(intset: usize, entries: usize) -> Layout {
        Layout { set_intset: intset, set_entries: entries, set_value: 20, ..Layout::with_seed(7) }
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_and_is_the_same_after_a_load(
            ops in prop::collection::vec((0u8..3, 0u32..80, 0u8..5), 1..300),
            kinds in 1u8..6,
            intset in 0usize..40,
            entries in 0usize..40,
            bits: u64,
        ) {
            let layout = layout(intset, entries);
            let (mut set, mut model) = (Set::default(), BTreeSet::new());
            for (op, number, kind) in ops {
                let member = member(number, kind % kinds);
                if op == 0 {
                    prop_assert_eq!(set.remove(&member), model.remove(&member));
                } else {
                    prop_assert_eq!(set.insert(&member, &layout), model.insert(member.clone()));
                }
                prop_assert_eq!(set.contains(&member), model.contains(&member));
                prop_assert!(recount(&set).is_none_or(|bytes| bytes == set.memory_bytes()));
            }
            prop_assert_eq!(&contents(&set), &model);
            let mut loaded = Set::default();
            set.rows(&mut |element, value| loaded.load(element, value, &layout).expect("a row reads back"));
            prop_assert_eq!(&contents(&loaded), &model);
            let copy = set.clone();
            prop_assert_eq!(&contents(&copy), &model);
            prop_assert!(recount(&copy).is_none_or(|bytes| bytes == copy.memory_bytes()));
            let (mut walked, mut cursor) = (BTreeSet::new(), 0);
            loop {
                cursor = set.walk(cursor, 3, |member| { walked.insert(text_of(member)); });
                if cursor == 0 { break }
            }
            prop_assert_eq!(&walked, &model);
            let mut random = Random::new(bits);
            for count in [0, 1, model.len() / 4, model.len() / 2, model.len(), model.len() + 1] {
                let sample: BTreeSet<_> = set.sample(count, &mut random).into_iter().map(text_of).collect();
                prop_assert_eq!(sample.len(), count.min(model.len()));
                prop_assert!(sample.is_subset(&model));
            }
            prop_assert_eq!(set.random(&mut random).is_none(), model.is_empty());
        }
    }

    #[test]
    fn every_member_is_as_likely_as_another() {
        let layout = Layout::with_seed(3);
        let small = (0..10u32).map(|i| i.to_string()).collect::<Vec<_>>();
        let mixed = (0..10u32).map(|i| format!("m{i}")).collect::<Vec<_>>();
        let large = (0..400u32).map(|i| format!("m{i}")).collect::<Vec<_>>();
        for members in [small, mixed, large] {
            let mut set = Set::default();
            members.iter().for_each(|m| assert!(set.insert(m.as_bytes(), &layout)));
            let (mut random, mut counts) = (Random::new(1), BTreeMap::new());
            for _ in 0..1_000 * members.len() {
                let member = set.random(&mut random).map(text_of).expect("there are some");
                *counts.entry(member).or_insert(0u32) += 1;
            }
            assert_eq!(counts.len(), members.len());
            // Six times the standard deviation.
            assert!(counts.values().all(|count| (810..1190).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn the_encoding_is_that_of_redis() {
        let layout = Layout::with_seed(1);
        let with = |members: &mut dyn Iterator<Item = String>| {
            let mut set = Set::default();
            members.for_each(|m| assert!(set.insert(m.as_bytes(), &layout)));
            set.encoding()
        };
        assert_eq!(with(&mut (0..512).map(|i| i.to_string())), "intset");
        assert_eq!(with(&mut (0..513).map(|i| i.to_string())), "hashtable");
        assert_eq!(with(&mut (0..128).map(|i| format!("m{i}"))), "listpack");
        assert_eq!(with(&mut (0..129).map(|i| format!("m{i}"))), "hashtable");
        assert_eq!(with(&mut ["m".repeat(64)].into_iter()), "listpack");
        assert_eq!(with(&mut ["m".repeat(65)].into_iter()), "hashtable");
        let then_text = |ints: u32| (0..ints).map(|i| i.to_string()).chain(["m".into()]);
        assert_eq!(with(&mut then_text(127)), "listpack");
        assert_eq!(with(&mut then_text(128)), "hashtable");
    }

    #[test]
    fn a_member_of_a_large_set_costs_less_than_in_redis() {
        let layout = Layout::with_seed(1);
        let mut set = Set::default();
        (0..200_000u32).for_each(|i| assert!(set.insert(format!("member{i:04}").as_bytes(), &layout)));
        let per_member = set.memory_bytes() / set.len();
        assert!(per_member <= 32, "{per_member} bytes");
    }
}
