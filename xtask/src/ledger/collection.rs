//! Writes to collections, and what they must leave behind.
//!
//! Every change is a command of its type, small or large enough to make the server change how it keeps the value: short
//! values in one row, long ones a row for every element.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::write::name;
use crate::failure::{Outcome, fail};
use crate::rng::Rng;
use crate::wire::{Connection, Reply, encode};

/// What a collection holds. Only a stream may exist and be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Collection {
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    List(VecDeque<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    /// Scores are whole numbers, which print the same everywhere.
    Sorted(BTreeMap<Vec<u8>, i64>),
    Stream(BTreeMap<u64, Vec<u8>>),
}

/// The types of collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hash,
    List,
    Set,
    Sorted,
    Stream,
}

/// The keys of a lane go through the types in this order.
pub(super) const KINDS: [Kind; 5] = [Kind::Hash, Kind::List, Kind::Set, Kind::Sorted, Kind::Stream];

/// The type of the collection that a key is for.
pub(super) fn kind_of(key: usize) -> Kind {
    KINDS[key % KINDS.len()]
}

/// One command on one collection.
#[derive(Debug, Clone)]
pub(super) enum Change {
    SetFields(Vec<Vec<u8>>, Vec<u8>),
    DeleteFields(Vec<Vec<u8>>),
    Push {
        left: bool,
        values: Vec<Vec<u8>>,
    },
    Pop {
        left: bool,
    },
    /// Keeps so many elements from the left.
    Trim(usize),
    Remove(Vec<u8>),
    InsertBefore {
        pivot: Vec<u8>,
        value: Vec<u8>,
    },
    AddMembers(Vec<Vec<u8>>),
    RemoveMembers(Vec<Vec<u8>>),
    RemoveScored(Vec<Vec<u8>>),
    Score(Vec<(Vec<u8>, i64)>),
    Increment {
        member: Vec<u8>,
        by: i64,
    },
    /// Removes so many members of the lowest scores.
    RemoveLowest(usize),
    AddEntry {
        id: u64,
        value: Vec<u8>,
    },
    DeleteEntry(u64),
    /// Keeps so many of the youngest entries.
    TrimEntries(usize),
    Delete,
}

/// Elements that a command may name: so few that commands meet the same ones.
const ELEMENTS: u64 = 400;

impl Kind {
    /// A command for a collection of this type; `value` is unlike any other, and so is `id`, which only grows.
    pub(super) fn choose(self, rng: &mut Rng, id: u64, value: Vec<u8>) -> Change {
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
                26..45 => Change::Increment { member: one(rng), by: 1 + id as i64 % 50 },
                _ => {
                    let mut members = many(rng);
                    members.sort_unstable();
                    members.dedup();
                    let score = |rng: &mut Rng| i64::try_from(rng.below(1000)).expect("below 1000");
                    Change::Score(members.into_iter().map(|member| (member, score(rng))).collect())
                }
            },
            Self::Stream => match draw {
                3..25 => Change::DeleteEntry(id - rng.below(id.min(3000))),
                25..32 => Change::TrimEntries(at_most(rng)),
                _ => Change::AddEntry { id, value },
            },
        }
    }

    fn empty(self) -> Collection {
        match self {
            Self::Hash => Collection::Hash(BTreeMap::new()),
            Self::List => Collection::List(VecDeque::new()),
            Self::Set => Collection::Set(BTreeSet::new()),
            Self::Sorted => Collection::Sorted(BTreeMap::new()),
            Self::Stream => Collection::Stream(BTreeMap::new()),
        }
    }

    fn reading(self) -> (&'static [u8], &'static [&'static [u8]], &'static [u8]) {
        match self {
            Self::Hash => (b"HGETALL", &[], b"HLEN"),
            Self::List => (b"LRANGE", &[b"0", b"-1"], b"LLEN"),
            Self::Set => (b"SMEMBERS", &[], b"SCARD"),
            Self::Sorted => (b"ZRANGE", &[b"0", b"-1", b"WITHSCORES"], b"ZCARD"),
            Self::Stream => (b"XRANGE", &[b"-", b"+"], b"XLEN"),
        }
    }

    /// Writes the questions that [`Self::read`] reads the answers to: all elements, their number, whether the key is there.
    pub(super) fn ask(self, key: &[u8], out: &mut Vec<u8>) {
        let (all, range, count) = self.reading();
        encode(out, &[&[all, key], range].concat());
        encode(out, &[count, key]);
        encode(out, &[b"EXISTS", key]);
    }

    /// The collection as the server has it. That its number of elements is what it counts is checked here.
    pub(super) fn read(self, server: &mut Connection) -> Outcome<Option<Collection>> {
        let (all, count, exists) = (server.receive()?, server.receive()?, server.receive()?);
        let Some(found) = self.parse(&all) else { fail!("{self:?}: the elements are {all:?}") };
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
        let Reply::Array(elements) = reply else { return None };
        let bulk = |reply: &Reply| match reply {
            Reply::Bulk(bytes) => Some(bytes.clone()),
            _ => None,
        };
        let pairs = || elements.chunks(2).map(|pair| Some((bulk(&pair[0])?, bulk(pair.get(1)?)?)));
        let (found, wanted) = match self {
            Self::Hash => (Collection::Hash(pairs().collect::<Option<_>>()?), elements.len() / 2),
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
                (Collection::Stream(entries.collect::<Option<_>>()?), elements.len())
            }
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
            Self::Stream(entries) => entries.len(),
        }
    }
}

impl Change {
    pub(super) fn encode(&self, lane: usize, key: usize, out: &mut Vec<u8>) {
        let key = name(lane, key);
        let number = |number: usize| number.to_string().into_bytes();
        let mut all = |command: &[u8], rest: &[&[u8]]| encode(out, &[&[command, &key], rest].concat());
        match self {
            Self::SetFields(fields, value) => {
                all(b"HSET", &fields.iter().flat_map(|field| [&field[..], value]).collect::<Vec<_>>());
            }
            Self::DeleteFields(fields) => all(b"HDEL", &slices(fields)),
            Self::Push { left, values } => all(if *left { b"LPUSH" } else { b"RPUSH" }, &slices(values)),
            Self::Pop { left } => all(if *left { b"LPOP" } else { b"RPOP" }, &[]),
            // An end before the start keeps nothing.
            Self::Trim(0) => all(b"LTRIM", &[b"1", b"0"]),
            Self::Trim(keep) => all(b"LTRIM", &[b"0", &number(keep - 1)]),
            Self::Remove(value) => all(b"LREM", &[b"0", value]),
            Self::InsertBefore { pivot, value } => all(b"LINSERT", &[b"BEFORE", pivot, value]),
            Self::AddMembers(members) => all(b"SADD", &slices(members)),
            Self::RemoveMembers(members) => all(b"SREM", &slices(members)),
            Self::RemoveScored(members) => all(b"ZREM", &slices(members)),
            Self::Score(members) => {
                let pair =
                    |(member, score): &(Vec<u8>, i64)| [score.to_string().into_bytes(), member.clone()];
                all(b"ZADD", &slices(&members.iter().flat_map(pair).collect::<Vec<_>>()));
            }
            Self::Increment { member, by } => all(b"ZINCRBY", &[by.to_string().as_bytes(), member]),
            Self::RemoveLowest(0) => all(b"ZREMRANGEBYRANK", &[b"1", b"0"]),
            Self::RemoveLowest(count) => all(b"ZREMRANGEBYRANK", &[b"0", &number(count - 1)]),
            Self::AddEntry { id, value } => all(b"XADD", &[format!("{id}-0").as_bytes(), b"f", value]),
            Self::DeleteEntry(id) => all(b"XDEL", &[format!("{id}-0").as_bytes()]),
            Self::TrimEntries(keep) => all(b"XTRIM", &[b"MAXLEN", &number(*keep)]),
            Self::Delete => all(b"DEL", &[]),
        }
    }

    /// Changes the collection as the command does, and returns the reply that it must have.
    pub(super) fn apply(&self, kind: Kind, state: &mut Option<Collection>) -> Reply {
        if matches!(self, Self::Delete) {
            return Reply::Integer(i64::from(state.take().is_some()));
        }
        // What only removes makes no key.
        let stays_empty = state.is_some() || matches!(self, Self::AddEntry { .. });
        let mut collection = state.take().unwrap_or_else(|| kind.empty());
        let reply = self.apply_to(&mut collection);
        let exists = collection.len() > 0 || (kind == Kind::Stream && stays_empty);
        *state = exists.then_some(collection);
        reply
    }

    fn apply_to(&self, collection: &mut Collection) -> Reply {
        let integer = |count: usize| Reply::Integer(i64::try_from(count).expect("a count fits"));
        let count =
            |changes: &mut dyn Iterator<Item = bool>| integer(changes.filter(|is_one| *is_one).count());
        match (self, collection) {
            (Self::SetFields(names, value), Collection::Hash(fields)) => {
                count(&mut names.iter().map(|name| fields.insert(name.clone(), value.clone()).is_none()))
            }
            (Self::DeleteFields(names), Collection::Hash(fields)) => {
                count(&mut names.iter().map(|name| fields.remove(name).is_some()))
            }
            (Self::Push { left, values }, Collection::List(list)) => {
                for value in values {
                    if *left { list.push_front(value.clone()) } else { list.push_back(value.clone()) }
                }
                integer(list.len())
            }
            (Self::Pop { left }, Collection::List(list)) => {
                let popped = if *left { list.pop_front() } else { list.pop_back() };
                popped.map_or(Reply::Nil, Reply::Bulk)
            }
            (Self::Trim(keep), Collection::List(list)) => {
                list.truncate(*keep);
                Reply::Simple("OK".to_owned())
            }
            (Self::Remove(value), Collection::List(list)) => {
                let before = list.len();
                list.retain(|element| element != value);
                integer(before - list.len())
            }
            (Self::InsertBefore { pivot, value }, Collection::List(list)) => {
                match list.iter().position(|element| element == pivot) {
                    Some(at) => {
                        list.insert(at, value.clone());
                        integer(list.len())
                    }
                    None if list.is_empty() => Reply::Integer(0),
                    None => Reply::Integer(-1),
                }
            }
            (Self::AddMembers(members), Collection::Set(set)) => {
                count(&mut members.iter().map(|member| set.insert(member.clone())))
            }
            (Self::RemoveMembers(members), Collection::Set(set)) => {
                count(&mut members.iter().map(|member| set.remove(member)))
            }
            (Self::RemoveScored(members), Collection::Sorted(sorted)) => {
                count(&mut members.iter().map(|member| sorted.remove(member).is_some()))
            }
            (Self::Score(members), Collection::Sorted(sorted)) => count(
                &mut members.iter().map(|(member, score)| sorted.insert(member.clone(), *score).is_none()),
            ),
            (Self::Increment { member, by }, Collection::Sorted(sorted)) => {
                let score = sorted.entry(member.clone()).or_insert(0);
                *score += by;
                Reply::Bulk(score.to_string().into_bytes())
            }
            (Self::RemoveLowest(most), Collection::Sorted(sorted)) => {
                let mut order: Vec<(i64, Vec<u8>)> =
                    sorted.iter().map(|(member, score)| (*score, member.clone())).collect();
                order.sort_unstable();
                order.truncate(*most);
                for (_, member) in &order {
                    sorted.remove(member);
                }
                integer(order.len())
            }
            (Self::AddEntry { id, value }, Collection::Stream(entries)) => {
                entries.insert(*id, value.clone());
                Reply::Bulk(format!("{id}-0").into_bytes())
            }
            (Self::DeleteEntry(id), Collection::Stream(entries)) => {
                integer(usize::from(entries.remove(id).is_some()))
            }
            (Self::TrimEntries(keep), Collection::Stream(entries)) => {
                let mut removed = 0;
                while entries.len() > *keep {
                    entries.pop_first();
                    removed += 1;
                }
                integer(removed)
            }
            (change, collection) => unreachable!("{change} of a {collection:?}"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::new();
        self.encode(0, 0, &mut bytes);
        let words = String::from_utf8_lossy(&bytes).into_owned();
        let words: Vec<&str> = words.lines().skip(2).step_by(2).take(8).collect();
        write!(f, "{}", words.join(" ").chars().take(120).collect::<String>())
    }
}

fn slices(words: &[Vec<u8>]) -> Vec<&[u8]> {
    words.iter().map(Vec::as_slice).collect()
}
