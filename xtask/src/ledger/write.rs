//! Writes as clients send them: their bytes, and what they do to the keys of a lane.

use std::fmt;
use std::io;

use super::collection::{Change, Collection, kind_of};
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
    Increment {
        key: usize,
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
            | Self::Increment { key }
            | Self::Delete { key } => vec![*key],
            Self::SetMany(keys, _) => {
                let mut keys = keys.to_vec();
                keys.sort_unstable();
                keys.dedup();
                keys
            }
            Self::IncrementShared => Vec::new(),
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
            Self::Increment { key } => encode(out, &[b"INCR", &name(key)]),
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

    /// Changes `state` as the command does and returns the reply that it must have; `None` when others decide it too.
    pub(super) fn apply(&self, state: &mut State) -> Option<Reply> {
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
            Self::Increment { key } => {
                let whole = Cell::bytes_of(&mut state[*key], b"0");
                let digits = std::str::from_utf8(whole).expect("a counter holds digits");
                let value = digits.parse::<i64>().expect("a counter holds a number") + 1;
                *whole = value.to_string().into_bytes();
                Some(Reply::Integer(value))
            }
            Self::Delete { key } => Some(Reply::Integer(i64::from(state[*key].take().is_some()))),
            Self::IncrementShared => None,
            Self::Change { key, change } => {
                let mut collection = match state[*key].take() {
                    Some(Cell::Collection(collection)) => Some(collection),
                    _ => None,
                };
                let reply = change.apply(kind_of(*key), &mut collection);
                state[*key] = collection.map(Cell::Collection);
                Some(reply)
            }
            Self::Transaction(writes) => {
                writes.iter().map(|write| write.apply(state)).collect::<Option<_>>().map(Reply::Array)
            }
        }
    }
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
            Self::IncrementShared => write!(f, "INCR of the shared counter"),
            Self::Change { key, change } => write!(f, "key {key}: {change}"),
            Self::Transaction(writes) => {
                write!(f, "transaction")?;
                writes.iter().try_for_each(|write| write!(f, ", {write}"))
            }
        }
    }
}
