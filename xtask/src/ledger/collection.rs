//! Collections of the ledger: what they hold, which commands change them, and how they are read from a server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::change::{Change, slices};
use super::stream::Stream;
use crate::failure::{Outcome, fail};
use crate::rng::Rng;
use crate::wire::{Connection, Reply, encode};

/// What a collection holds. Only a stream may exist and be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Collection {
    Hash(BTreeMap<Vec<u8>, Field>),
    List(VecDeque<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    /// Scores are whole numbers, which print the same everywhere.
    Sorted(BTreeMap<Vec<u8>, i64>),
    Stream(Stream),
    Sketch(Sketch),
}

/// A field of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) value: Vec<u8>,
    /// Whether it has a deadline, which is far away.
    pub(super) expires: bool,
}

/// Which elements a HyperLogLog has seen. They are so few that it tells exactly how many, and that is all it tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sketch(pub(super) u32);

impl PartialEq for Sketch {
    fn eq(&self, other: &Self) -> bool {
        self.0.count_ones() == other.0.count_ones()
    }
}

impl Eq for Sketch {}

/// How many elements there are for sketches.
const SKETCHED: u64 = 24;

/// The types of collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hash,
    List,
    Set,
    Sorted,
    Stream,
    Sketch,
}

/// The keys of a lane go through the types in this order.
pub(super) const KINDS: [Kind; 6] =
    [Kind::Hash, Kind::List, Kind::Set, Kind::Sorted, Kind::Stream, Kind::Sketch];

/// The type of the collection that a key is for.
pub(super) fn kind_of(key: usize) -> Kind {
    KINDS[key % KINDS.len()]
}

/// Elements that a command may name: so few that commands meet the same ones.
const ELEMENTS: u64 = 400;

impl Kind {
    /// A command for a collection of this type and name; `value` is unlike any other, and so is `id`, which only grows.
    /// Fields get deadlines where `fields_die`.
    pub(super) fn choose(
        self,
        rng: &mut Rng,
        id: u64,
        value: Vec<u8>,
        name: Vec<u8>,
        fields_die: bool,
    ) -> Change {
        let one = |rng: &mut Rng| format!("e{}", rng.below(ELEMENTS)).into_bytes();
        let many = |rng: &mut Rng| {
            let count = if rng.one_in(12) { 20 + rng.below(80) } else { 1 + rng.below(4) };
            (0..count).map(|_| format!("e{}", rng.below(ELEMENTS)).into_bytes()).collect::<Vec<_>>()
        };
        let draw = rng.below(100);
        if draw < 3 {
            return Change::Delete;
        }
        let removes = draw < 30;
        let at_most = |rng: &mut Rng| usize::try_from(rng.below(300)).expect("below 300");
        match self {
            Self::Hash if removes => Change::DeleteFields(many(rng)),
            Self::Hash if draw < 45 && fields_die => Change::ExpireFields(many(rng)),
            Self::Hash if draw < 50 && fields_die => Change::PersistFields(many(rng)),
            Self::Hash => Change::SetFields(many(rng), value),
            Self::List => match draw {
                3..20 => Change::Pop { left: rng.one_in(2) },
                20..24 => Change::Trim(at_most(rng)),
                24..34 => Change::Remove(one(rng)),
                34..50 => Change::InsertBefore { pivot: one(rng), value },
                _ => Change::Push { left: rng.one_in(2), values: many(rng) },
            },
            Self::Set if removes => Change::RemoveMembers(many(rng)),
            Self::Set => Change::AddMembers(many(rng)),
            Self::Sorted => match draw {
                3..20 => Change::RemoveScored(many(rng)),
                20..26 => Change::RemoveLowest(at_most(rng) / 10),
                26..40 => Change::Increment { member: one(rng), by: 1 + id as i64 % 50 },
                40..48 => Change::Locate { member: one(rng), place: usize::from(rng.one_in(2)) },
                _ => {
                    let mut members = many(rng);
                    members.sort_unstable();
                    members.dedup();
                    let score = |rng: &mut Rng| i64::try_from(rng.below(1000)).expect("below 1000");
                    Change::Score(members.into_iter().map(|member| (member, score(rng))).collect())
                }
            },
            Self::Stream => match draw {
                3..18 => Change::DeleteEntry(id - rng.below(id.min(3000))),
                18..25 => Change::TrimEntries(at_most(rng)),
                25..33 => Change::CreateGroup,
                33..34 => Change::DestroyGroup,
                34..48 => Change::ReadGroup {
                    stream: name,
                    consumer: format!("c{}", rng.below(3)).into_bytes(),
                    count: 1 + at_most(rng) / 30,
                },
                48..58 => Change::Acknowledge((0..4).map(|_| id - rng.below(id.min(3000))).collect()),
                _ => Change::AddEntry { id, value },
            },
            Self::Sketch => Change::Sketch((0..=rng.below(3)).map(|_| rng.below(SKETCHED)).collect()),
        }
    }

    pub(super) fn empty(self) -> Collection {
        match self {
            Self::Hash => Collection::Hash(BTreeMap::new()),
            Self::List => Collection::List(VecDeque::new()),
            Self::Set => Collection::Set(BTreeSet::new()),
            Self::Sorted => Collection::Sorted(BTreeMap::new()),
            Self::Stream => Collection::Stream(Stream::default()),
            Self::Sketch => Collection::Sketch(Sketch(0)),
        }
    }

    fn reading(self) -> (&'static [u8], &'static [&'static [u8]], &'static [u8]) {
        match self {
            Self::Hash => (b"HGETALL", &[], b"HLEN"),
            Self::List => (b"LRANGE", &[b"0", b"-1"], b"LLEN"),
            Self::Set => (b"SMEMBERS", &[], b"SCARD"),
            Self::Sorted => (b"ZRANGE", &[b"0", b"-1", b"WITHSCORES"], b"ZCARD"),
            Self::Stream => (b"XRANGE", &[b"-", b"+"], b"XLEN"),
            Self::Sketch => (b"PFCOUNT", &[], b"PFCOUNT"),
        }
    }

    /// Writes the questions that [`Self::read`] reads the answers to: all elements, their number, whether the key is there,
    /// and what else is to be known of its type.
    pub(super) fn ask(self, key: &[u8], out: &mut Vec<u8>, fields_die: bool) {
        let (all, range, count) = self.reading();
        encode(out, &[&[all, key], range].concat());
        encode(out, &[count, key]);
        encode(out, &[b"EXISTS", key]);
        match self {
            Self::Hash if fields_die => {
                let (names, number) = (fields(), ELEMENTS.to_string());
                let names = slices(&names);
                let head: [&[u8]; 4] = [b"HPTTL", key, b"FIELDS", number.as_bytes()];
                encode(out, &[&head[..], &names].concat());
            }
            Self::Stream => Stream::ask(key, out),
            _ => {}
        }
    }

    /// The collection as the server has it. That its number of elements is what it counts is checked here.
    pub(super) fn read(self, server: &mut Connection, fields_die: bool) -> Outcome<Option<Collection>> {
        let (all, count, exists) = (server.receive()?, server.receive()?, server.receive()?);
        let Some(mut found) = self.parse(&all) else { fail!("{self:?}: the elements are {all:?}") };
        match &mut found {
            Collection::Hash(hash) if fields_die => {
                let times = server.receive()?;
                let Some(()) = read_deadlines(hash, &times) else { fail!("the times to live are {times:?}") };
            }
            Collection::Stream(stream) => stream.read(server)?,
            _ => {}
        }
        if count != Reply::Integer(i64::try_from(found.len())?) {
            fail!("{self:?}: {} elements are there, and the server counts {count:?}", found.len());
        }
        match exists {
            Reply::Integer(0) if found.len() == 0 => Ok(None),
            Reply::Integer(1) if found.len() > 0 || self == Self::Stream => Ok(Some(found)),
            other => fail!("{self:?}: EXISTS of a key with {} elements answered {other:?}", found.len()),
        }
    }

    /// `None` for a reply that is none to the question, or that has an element twice.
    fn parse(self, reply: &Reply) -> Option<Collection> {
        if let (Self::Sketch, Reply::Integer(seen @ 0..=24)) = (self, reply) {
            return Some(Collection::Sketch(Sketch((1 << seen) - 1)));
        }
        let Reply::Array(elements) = reply else { return None };
        let bulk = |reply: &Reply| match reply {
            Reply::Bulk(bytes) => Some(bytes.clone()),
            _ => None,
        };
        let pairs = || elements.chunks(2).map(|pair| Some((bulk(&pair[0])?, bulk(pair.get(1)?)?)));
        let (found, wanted) = match self {
            Self::Hash => {
                let fields =
                    pairs().map(|pair| pair.map(|(name, value)| (name, Field { value, expires: false })));
                (Collection::Hash(fields.collect::<Option<_>>()?), elements.len() / 2)
            }
            Self::List => {
                (Collection::List(elements.iter().map(bulk).collect::<Option<_>>()?), elements.len())
            }
            Self::Set => (Collection::Set(elements.iter().map(bulk).collect::<Option<_>>()?), elements.len()),
            Self::Sorted => {
                let scored = pairs().map(|pair| {
                    let (member, score) = pair?;
                    Some((member, std::str::from_utf8(&score).ok()?.parse().ok()?))
                });
                (Collection::Sorted(scored.collect::<Option<_>>()?), elements.len() / 2)
            }
            Self::Stream => {
                let entries = elements.iter().map(|entry| match entry {
                    Reply::Array(entry) => match &entry[..] {
                        [Reply::Bulk(id), Reply::Array(fields)] => {
                            let id = std::str::from_utf8(id).ok()?.strip_suffix("-0")?.parse().ok()?;
                            Some((id, bulk(fields.get(1)?)?))
                        }
                        _ => None,
                    },
                    _ => None,
                });
                let entries = entries.collect::<Option<_>>()?;
                (Collection::Stream(Stream { entries, group: None }), elements.len())
            }
            Self::Sketch => return None,
        };
        (found.len() == wanted).then_some(found)
    }
}

impl Collection {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Hash(fields) => fields.len(),
            Self::List(elements) => elements.len(),
            Self::Set(members) => members.len(),
            Self::Sorted(members) => members.len(),
            Self::Stream(stream) => stream.entries.len(),
            Self::Sketch(Sketch(seen)) => seen.count_ones() as usize,
        }
    }
}

/// All fields that commands name.
fn fields() -> Vec<Vec<u8>> {
    (0..ELEMENTS).map(|number| format!("e{number}").into_bytes()).collect()
}

/// Takes over which of [`fields`] die; `None` when that does not fit what is there.
fn read_deadlines(hash: &mut BTreeMap<Vec<u8>, Field>, times: &Reply) -> Option<()> {
    let Reply::Array(times) = times else { return None };
    for (name, time) in fields().iter().zip(times) {
        match (hash.get_mut(name), time) {
            (None, Reply::Integer(-2)) | (Some(_), Reply::Integer(-1)) => {}
            (Some(field), Reply::Integer(1..)) => field.expires = true,
            _ => return None,
        }
    }
    Some(())
}
