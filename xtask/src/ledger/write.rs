//! Writes as clients send them: their bytes, and what they do to the keys of a lane.

use std::fmt;
use std::io;

use super::change::Change;
use super::collection::{Collection, kind_of};
use crate::wire::{Connection, Reply, encode};

/// Far longer than any campaign: an expiry must survive, and must not strike.
pub(super) const SECONDS_TO_LIVE: &[u8] = b"1000000";

pub(super) const SHARED: &[u8] = b"shared:counter";

/// The value of a key; a string's with whether it has an expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    String { value: Vec<u8>, expires: bool },
    Collection(Collection),
}

/// The keys of one lane; `None` is a key that does not exist.
pub(super) type State = Vec<Option<Cell>>;

#[derive(Debug, Clone)]
pub(super) enum Write {
    Set {
        key: usize,
        value: Vec<u8>,
    },
    SetWithExpiry {
        key: usize,
        value: Vec<u8>,
    },
    /// All or nothing, like everything in one command.
    SetMany([usize; 3], Vec<u8>),
    Append {
        key: usize,
        value: Vec<u8>,
    },
    /// Writes over a part of a string, and makes it longer where it has to.
    SetRange {
        key: usize,
        offset: usize,
        value: Vec<u8>,
    },
    SetBit {
        key: usize,
        offset: usize,
        on: bool,
    },
    Increment {
        key: usize,
    },
    /// Of keys of one type.
    Rename {
        from: usize,
        to: usize,
    },
    /// Of two keys of one type.
    Copy {
        from: usize,
        to: usize,
    },
    /// Of lists.
    MoveElement {
        from: usize,
        to: usize,
        from_left: bool,
        to_left: bool,
    },
    /// A script that writes a string and a list.
    Script {
        string: usize,
        list: usize,
        value: Vec<u8>,
    },
    /// A library of functions that says which it is; `key` stands for it.
    Load {
        key: usize,
        number: u64,
    },
    /// A key, or the only field of one, that is dead soon. It is no part of the state.
    Brief {
        number: u64,
        as_field: bool,
    },
    Delete {
        key: usize,
    },
    IncrementShared,
    Change {
        key: usize,
        change: Change,
    },
    /// All or nothing, whatever the types of the keys are.
    Transaction(Vec<Self>),
}

pub(super) fn name(lane: usize, key: usize) -> Vec<u8> {
    format!("lane{lane}:key{key}").into_bytes()
}

/// Sets a string and adds to a list.
const SCRIPT: &[u8] = b"redis.call('SET', KEYS[1], ARGV[1]) return redis.call('RPUSH', KEYS[2], ARGV[1])";

/// The time to live of keys that are meant to die, some before a crash and some after it.
const MILLISECONDS_TO_LIVE: &[u8] = b"60";

/// The name of a key that is dead soon.
fn brief(lane: usize, number: u64) -> Vec<u8> {
    format!("lane{lane}:brief{number}").into_bytes()
}

/// The name of the library of a lane.
pub(super) fn library_name(lane: usize) -> Vec<u8> {
    format!("lane{lane}").into_bytes()
}

/// The code of the library of a lane.
fn library(lane: usize, number: u64) -> Vec<u8> {
    let code = "#!lua name=lane{lane}\nredis.register_function('lane{lane}', function() return {number} end)";
    code.replace("{lane}", &lane.to_string()).replace("{number}", &number.to_string()).into_bytes()
}

pub(super) fn describe(cell: Option<&Cell>) -> String {
    match cell {
        None => "nothing".to_owned(),
        Some(Cell::String { value, expires }) => {
            let start = String::from_utf8_lossy(&value[..value.len().min(24)]).into_owned();
            let expiry = if *expires { ", with an expiry" } else { "" };
            format!("{} bytes {start:?}{expiry}", value.len())
        }
        Some(Cell::Collection(collection)) => {
            let text = format!("{collection:?}");
            format!("{} elements: {}", collection.len(), text.chars().take(2000).collect::<String>())
        }
    }
}

impl Write {
    /// The keys it touches, each once.
    pub(super) fn keys(&self) -> Vec<usize> {
        match self {
            Self::Set { key, .. }
            | Self::SetWithExpiry { key, .. }
            | Self::Append { key, .. }
            | Self::SetRange { key, .. }
            | Self::SetBit { key, .. }
            | Self::Increment { key }
            | Self::Load { key, .. }
            | Self::Delete { key } => vec![*key],
            Self::Rename { from, to } | Self::Copy { from, to } | Self::MoveElement { from, to, .. } => {
                if from == to {
                    vec![*from]
                } else {
                    vec![*from, *to]
                }
            }
            Self::Script { string, list, .. } => vec![*string, *list],
            Self::SetMany(keys, _) => {
                let mut keys = keys.to_vec();
                keys.sort_unstable();
                keys.dedup();
                keys
            }
            Self::IncrementShared | Self::Brief { .. } => Vec::new(),
            Self::Change { key, .. } => vec![*key],
            Self::Transaction(writes) => {
                let mut keys: Vec<usize> = writes.iter().flat_map(Self::keys).collect();
                keys.sort_unstable();
                keys.dedup();
                keys
            }
        }
    }

    /// The reply to it: for a transaction that of EXEC, or the first error.
    pub(super) fn receive(&self, connection: &mut Connection) -> io::Result<Reply> {
        if let Self::Transaction(writes) = self {
            for _ in 0..=writes.len() {
                let reply = connection.receive()?;
                if matches!(reply, Reply::Error(_)) {
                    return Ok(reply);
                }
            }
        }
        connection.receive()
    }

    /// Appends it as the client sends it.
    pub(super) fn encode(&self, lane: usize, out: &mut Vec<u8>) {
        let name = |key: &usize| name(lane, *key);
        match self {
            Self::Set { key, value } => encode(out, &[b"SET", &name(key), value]),
            Self::SetWithExpiry { key, value } => {
                encode(out, &[b"SETEX", &name(key), SECONDS_TO_LIVE, value])
            }
            Self::SetMany(keys, value) => {
                let [a, b, c] = keys.each_ref().map(name);
                encode(out, &[b"MSET", &a, value, &b, value, &c, value]);
            }
            Self::Append { key, value } => encode(out, &[b"APPEND", &name(key), value]),
            Self::SetRange { key, offset, value } => {
                encode(out, &[b"SETRANGE", &name(key), offset.to_string().as_bytes(), value]);
            }
            Self::SetBit { key, offset, on } => {
                let bit = if *on { b"1" } else { b"0" };
                encode(out, &[b"SETBIT", &name(key), offset.to_string().as_bytes(), bit]);
            }
            Self::Increment { key } => encode(out, &[b"INCR", &name(key)]),
            Self::Rename { from, to } => encode(out, &[b"RENAME", &name(from), &name(to)]),
            Self::Copy { from, to } => encode(out, &[b"COPY", &name(from), &name(to), b"REPLACE"]),
            Self::MoveElement { from, to, from_left, to_left } => {
                let end = |left: &bool| if *left { &b"LEFT"[..] } else { b"RIGHT" };
                encode(out, &[b"LMOVE", &name(from), &name(to), end(from_left), end(to_left)]);
            }
            Self::Script { string, list, value } => {
                encode(out, &[b"EVAL", SCRIPT, b"2", &name(string), &name(list), value]);
            }
            Self::Load { number, .. } => {
                encode(out, &[b"FUNCTION", b"LOAD", b"REPLACE", &library(lane, *number)])
            }
            Self::Brief { number, as_field: false } => {
                encode(out, &[b"SET", &brief(lane, *number), b"value", b"PX", MILLISECONDS_TO_LIVE]);
            }
            Self::Brief { number, as_field: true } => {
                let key = brief(lane, *number);
                let words: [&[u8]; 8] =
                    [b"HSETEX", &key, b"PX", MILLISECONDS_TO_LIVE, b"FIELDS", b"1", b"field", b"value"];
                encode(out, &words);
            }
            Self::Delete { key } => encode(out, &[b"DEL", &name(key)]),
            Self::IncrementShared => encode(out, &[b"INCR", SHARED]),
            Self::Change { key, change } => change.encode(lane, *key, out),
            Self::Transaction(writes) => {
                encode(out, &[b"MULTI"]);
                writes.iter().for_each(|write| write.encode(lane, out));
                encode(out, &[b"EXEC"]);
            }
        }
    }

    /// Changes `state` of a lane as the command does and returns the reply that it must have; `None` when others decide it
    /// too.
    pub(super) fn apply(&self, lane: usize, state: &mut State) -> Option<Reply> {
        let ok = Reply::Simple("OK".to_owned());
        match self {
            Self::Set { key, value } => {
                state[*key] = Some(Cell::string(value, false));
                Some(ok)
            }
            Self::SetWithExpiry { key, value } => {
                state[*key] = Some(Cell::string(value, true));
                Some(ok)
            }
            Self::SetMany(keys, value) => {
                for key in keys {
                    state[*key] = Some(Cell::string(value, false));
                }
                Some(ok)
            }
            Self::Append { key, value } => {
                let whole = Cell::bytes_of(&mut state[*key], b"");
                whole.extend_from_slice(value);
                Some(Reply::Integer(i64::try_from(whole.len()).expect("a string's length fits")))
            }
            Self::SetRange { key, offset, value } => {
                let whole = Cell::bytes_of(&mut state[*key], b"");
                whole.resize(whole.len().max(offset + value.len()), 0);
                whole[*offset..offset + value.len()].copy_from_slice(value);
                Some(Reply::Integer(i64::try_from(whole.len()).expect("a string's length fits")))
            }
            Self::SetBit { key, offset, on } => {
                let whole = Cell::bytes_of(&mut state[*key], b"");
                whole.resize(whole.len().max(offset / 8 + 1), 0);
                let (byte, bit) = (&mut whole[offset / 8], 0x80 >> (offset % 8));
                let was = *byte & bit != 0;
                *byte = if *on { *byte | bit } else { *byte & !bit };
                Some(Reply::Integer(i64::from(was)))
            }
            Self::Rename { from, to } => Some(match state[*from].take() {
                None => Reply::Error("ERR no such key".to_owned()),
                cell => {
                    state[*to] = cell;
                    ok
                }
            }),
            Self::Copy { from, to } => {
                let copied = state[*from].is_some();
                if copied {
                    state[*to] = state[*from].clone();
                }
                Some(Reply::Integer(i64::from(copied)))
            }
            Self::MoveElement { from, to, from_left, to_left } => {
                let popped = Change::Pop { left: *from_left };
                let Reply::Bulk(value) = apply_change(state, *from, &popped) else { return Some(Reply::Nil) };
                apply_change(state, *to, &Change::Push { left: *to_left, values: vec![value.clone()] });
                Some(Reply::Bulk(value))
            }
            Self::Script { string, list, value } => {
                state[*string] = Some(Cell::string(value, false));
                Some(apply_change(state, *list, &Change::Push { left: false, values: vec![value.clone()] }))
            }
            Self::Load { key, number } => {
                state[*key] = Some(Cell::string(&library(lane, *number), false));
                Some(Reply::Bulk(library_name(lane)))
            }
            Self::Brief { as_field, .. } => Some(if *as_field { Reply::Integer(1) } else { ok }),
            Self::Increment { key } => {
                let whole = Cell::bytes_of(&mut state[*key], b"0");
                let digits = std::str::from_utf8(whole).expect("a counter holds digits");
                let value = digits.parse::<i64>().expect("a counter holds a number") + 1;
                *whole = value.to_string().into_bytes();
                Some(Reply::Integer(value))
            }
            Self::Delete { key } => Some(Reply::Integer(i64::from(state[*key].take().is_some()))),
            Self::IncrementShared => None,
            Self::Change { key, change } => Some(apply_change(state, *key, change)),
            Self::Transaction(writes) => {
                writes.iter().map(|write| write.apply(lane, state)).collect::<Option<_>>().map(Reply::Array)
            }
        }
    }
}

fn apply_change(state: &mut State, key: usize, change: &Change) -> Reply {
    let mut collection = match state[key].take() {
        Some(Cell::Collection(collection)) => Some(collection),
        _ => None,
    };
    let reply = change.apply(kind_of(key), &mut collection);
    state[key] = collection.map(Cell::Collection);
    reply
}

impl Cell {
    pub(super) fn string(value: &[u8], expires: bool) -> Self {
        Self::String { value: value.to_vec(), expires }
    }

    /// The string of a key, which begins as `start` when it is not there.
    fn bytes_of<'a>(cell: &'a mut Option<Self>, start: &[u8]) -> &'a mut Vec<u8> {
        match cell.get_or_insert_with(|| Self::string(start, false)) {
            Self::String { value, .. } => value,
            Self::Collection(_) => unreachable!("strings and collections have keys of their own"),
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { key, value } => write!(f, "SET of key {key} to {} bytes", value.len()),
            Self::SetWithExpiry { key, value } => write!(f, "SETEX of key {key} to {} bytes", value.len()),
            Self::SetMany(keys, value) => write!(f, "MSET of keys {keys:?} to {} bytes", value.len()),
            Self::Append { key, value } => write!(f, "APPEND of {} bytes to key {key}", value.len()),
            Self::Increment { key } => write!(f, "INCR of key {key}"),
            Self::Delete { key } => write!(f, "DEL of key {key}"),
            Self::SetRange { key, offset, value } => {
                write!(f, "SETRANGE of key {key} at {offset} to {} bytes", value.len())
            }
            Self::SetBit { key, offset, on } => write!(f, "SETBIT of key {key} at {offset} to {on}"),
            Self::Rename { from, to } => write!(f, "RENAME of key {from} to {to}"),
            Self::Copy { from, to } => write!(f, "COPY of key {from} to {to}"),
            Self::MoveElement { from, to, .. } => write!(f, "LMOVE from key {from} to {to}"),
            Self::Script { string, list, .. } => write!(f, "EVAL that writes keys {string} and {list}"),
            Self::Load { number, .. } => write!(f, "FUNCTION LOAD of library {number}"),
            Self::Brief { number, .. } => write!(f, "brief key {number}"),
            Self::IncrementShared => write!(f, "INCR of the shared counter"),
            Self::Change { key, change } => write!(f, "key {key}: {change}"),
            Self::Transaction(writes) => {
                write!(f, "transaction")?;
                writes.iter().try_for_each(|write| write!(f, ", {write}"))
            }
        }
    }
}
