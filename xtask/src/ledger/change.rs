//! Writes to collections, and what they must leave behind.
//!
//! Every change is a command of its type, small or large enough to make the server change how it keeps the value: short
//! values in one row, long ones a row for every element.

use std::fmt;

use super::collection::{Collection, Field, Kind, Sketch};
use super::stream::Group;
use super::write::{SECONDS_TO_LIVE, name};
use crate::wire::{Reply, encode};

/// One command on one collection.
#[derive(Debug, Clone)]
pub(super) enum Change {
    SetFields(Vec<Vec<u8>>, Vec<u8>),
    DeleteFields(Vec<Vec<u8>>),
    /// Far longer than any campaign: the deadline must survive, and must not strike.
    ExpireFields(Vec<Vec<u8>>),
    PersistFields(Vec<Vec<u8>>),
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
    /// Gives a member the score of a place on the globe.
    Locate {
        member: Vec<u8>,
        place: usize,
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
    CreateGroup,
    DestroyGroup,
    /// Delivers so many entries that nobody has got to a consumer.
    ReadGroup {
        stream: Vec<u8>,
        consumer: Vec<u8>,
        count: usize,
    },
    Acknowledge(Vec<u64>),
    /// Shows elements to a sketch.
    Sketch(Vec<u64>),
    Delete,
}

/// Places with their scores: 52 bits of longitude and latitude in turns.
const PLACES: [(&[u8], &[u8], i64); 2] = [
    (b"13.361389", b"38.115556", 3_479_099_956_230_698),
    (b"15.087269", b"37.502669", 3_479_447_370_796_909),
];

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
            Self::ExpireFields(fields) => {
                let (number, fields) = (number(fields.len()), slices(fields));
                all(b"HEXPIRE", &[&[SECONDS_TO_LIVE, b"FIELDS", &number], &fields[..]].concat());
            }
            Self::PersistFields(fields) => {
                let (number, fields) = (number(fields.len()), slices(fields));
                all(b"HPERSIST", &[&[&b"FIELDS"[..], &number], &fields[..]].concat());
            }
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
            Self::Locate { member, place } => {
                let (longitude, latitude, _) = PLACES[*place];
                all(b"GEOADD", &[longitude, latitude, member]);
            }
            Self::RemoveLowest(0) => all(b"ZREMRANGEBYRANK", &[b"1", b"0"]),
            Self::RemoveLowest(count) => all(b"ZREMRANGEBYRANK", &[b"0", &number(count - 1)]),
            Self::AddEntry { id, value } => all(b"XADD", &[format!("{id}-0").as_bytes(), b"f", value]),
            Self::DeleteEntry(id) => all(b"XDEL", &[format!("{id}-0").as_bytes()]),
            Self::TrimEntries(keep) => all(b"XTRIM", &[b"MAXLEN", &number(*keep)]),
            Self::CreateGroup => encode(out, &[b"XGROUP", b"CREATE", &key, b"g", b"0", b"MKSTREAM"]),
            Self::DestroyGroup => encode(out, &[b"XGROUP", b"DESTROY", &key, b"g"]),
            Self::ReadGroup { consumer, count, .. } => {
                let count = number(*count);
                let words: [&[u8]; 9] =
                    [b"XREADGROUP", b"GROUP", b"g", consumer, b"COUNT", &count, b"STREAMS", &key, b">"];
                encode(out, &words);
            }
            Self::Acknowledge(ids) => {
                let ids: Vec<Vec<u8>> = ids.iter().map(|id| format!("{id}-0").into_bytes()).collect();
                all(b"XACK", &[&[&b"g"[..]], &slices(&ids)[..]].concat());
            }
            Self::Sketch(elements) => {
                let elements: Vec<Vec<u8>> =
                    elements.iter().map(|element| format!("s{element}").into_bytes()).collect();
                all(b"PFADD", &slices(&elements));
            }
            Self::Delete => all(b"DEL", &[]),
        }
    }

    /// Changes the collection as the command does, and returns the reply that it must have.
    pub(super) fn apply(&self, kind: Kind, state: &mut Option<Collection>) -> Reply {
        if matches!(self, Self::Delete) {
            return Reply::Integer(i64::from(state.take().is_some()));
        }
        if let (Self::DestroyGroup, None) = (self, &state) {
            return Reply::Error(MISSING_STREAM.to_owned());
        }
        // What only removes makes no key.
        let stays_empty = state.is_some() || matches!(self, Self::AddEntry { .. } | Self::CreateGroup);
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
                let field = || Field { value: value.clone(), expires: false };
                count(&mut names.iter().map(|name| fields.insert(name.clone(), field()).is_none()))
            }
            (Self::ExpireFields(names), Collection::Hash(fields)) => {
                let expire = |name: &Vec<u8>| match fields.get_mut(name) {
                    None => Reply::Integer(-2),
                    Some(field) => {
                        field.expires = true;
                        Reply::Integer(1)
                    }
                };
                Reply::Array(names.iter().map(expire).collect())
            }
            (Self::PersistFields(names), Collection::Hash(fields)) => {
                let persist = |name: &Vec<u8>| match fields.get_mut(name) {
                    None => Reply::Integer(-2),
                    Some(field) => Reply::Integer(if std::mem::take(&mut field.expires) { 1 } else { -1 }),
                };
                Reply::Array(names.iter().map(persist).collect())
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
            (Self::Locate { member, place }, Collection::Sorted(sorted)) => {
                integer(usize::from(sorted.insert(member.clone(), PLACES[*place].2).is_none()))
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
            (Self::AddEntry { id, value }, Collection::Stream(stream)) => {
                stream.entries.insert(*id, value.clone());
                Reply::Bulk(format!("{id}-0").into_bytes())
            }
            (Self::DeleteEntry(id), Collection::Stream(stream)) => {
                integer(usize::from(stream.entries.remove(id).is_some()))
            }
            (Self::TrimEntries(keep), Collection::Stream(stream)) => {
                let mut removed = 0;
                while stream.entries.len() > *keep {
                    stream.entries.pop_first();
                    removed += 1;
                }
                integer(removed)
            }
            (Self::CreateGroup, Collection::Stream(stream)) => match stream.group {
                Some(_) => Reply::Error("BUSYGROUP Consumer Group name already exists".to_owned()),
                None => {
                    stream.group = Some(Group::default());
                    Reply::Simple("OK".to_owned())
                }
            },
            (Self::DestroyGroup, Collection::Stream(stream)) => {
                integer(usize::from(stream.group.take().is_some()))
            }
            (Self::ReadGroup { stream: name, consumer, count }, Collection::Stream(stream)) => {
                stream.deliver(name, consumer, *count)
            }
            (Self::Acknowledge(ids), Collection::Stream(stream)) => {
                let mut group = stream.group.as_mut();
                let acknowledge = |id| group.as_mut().is_some_and(|group| group.pending.remove(id).is_some());
                count(&mut ids.iter().map(acknowledge))
            }
            (Self::Sketch(elements), Collection::Sketch(Sketch(seen))) => {
                let before = *seen;
                elements.iter().for_each(|element| *seen |= 1 << element);
                integer(usize::from(*seen != before))
            }
            (change, collection) => unreachable!("{change} of a {collection:?}"),
        }
    }
}

/// What XGROUP says where there is no key.
const MISSING_STREAM: &str = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to \
                              use the MKSTREAM option to create an empty stream automatically.";

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::new();
        self.encode(0, 0, &mut bytes);
        let words = String::from_utf8_lossy(&bytes).into_owned();
        let words: Vec<&str> = words.lines().skip(2).step_by(2).take(8).collect();
        write!(f, "{}", words.join(" ").chars().take(120).collect::<String>())
    }
}

pub(super) fn slices(words: &[Vec<u8>]) -> Vec<&[u8]> {
    words.iter().map(Vec::as_slice).collect()
}
