//! Streams of the ledger: entries, and one group that reads them.

use std::collections::BTreeMap;

use crate::failure::{Outcome, fail};
use crate::wire::{Connection, Reply, encode};

/// Entries by their ids, whose second number is always 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) entries: BTreeMap<u64, Vec<u8>>,
    pub(super) group: Option<Group>,
}

/// The group `g`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// The last entry that it has delivered.
    pub(super) last: u64,
    /// Entries that it has delivered and nobody has acknowledged, with the consumers that have them.
    pub(super) pending: BTreeMap<u64, Vec<u8>>,
}

/// More entries than a stream ever has pending.
const ALL: &[u8] = b"1000000";

impl Stream {
    /// Writes the questions that [`Self::read`] reads the answers to.
    pub(super) fn ask(key: &[u8], out: &mut Vec<u8>) {
        encode(out, &[b"XINFO", b"GROUPS", key]);
        encode(out, &[b"XPENDING", key, b"g", b"-", b"+", ALL]);
    }

    /// Takes over the group as the server has it.
    pub(super) fn read(&mut self, server: &mut Connection) -> Outcome {
        let (groups, pending) = (server.receive()?, server.receive()?);
        let first = match &groups {
            Reply::Error(error) if error == "ERR no such key" => None,
            Reply::Array(groups) => groups.first(),
            other => fail!("XINFO GROUPS answered {other:?}"),
        };
        let Some(first) = first else { return Ok(()) };
        let Some(group) = parse(first, &pending) else {
            fail!("XINFO GROUPS and XPENDING answered {groups:?} and {pending:?}")
        };
        self.group = Some(group);
        Ok(())
    }

    /// Delivers entries that nobody has got, and returns what the server says then.
    pub(super) fn deliver(&mut self, name: &[u8], consumer: &[u8], count: usize) -> Reply {
        let Some(group) = &mut self.group else {
            let name = String::from_utf8_lossy(name);
            let error = "NOGROUP No such key '{}' or consumer group 'g' in XREADGROUP with GROUP option";
            return Reply::Error(error.replace("{}", &name));
        };
        let new: Vec<_> = self.entries.range(group.last + 1..).take(count).collect();
        let Some(&(&last, _)) = new.last() else { return Reply::Nil };
        group.last = last;
        group.pending.extend(new.iter().map(|&(&id, _)| (id, consumer.to_vec())));
        let entry = |&(id, value): &(&u64, &Vec<u8>)| {
            let fields = vec![Reply::Bulk(b"f".to_vec()), Reply::Bulk(value.clone())];
            Reply::Array(vec![Reply::Bulk(format!("{id}-0").into_bytes()), Reply::Array(fields)])
        };
        let entries = Reply::Array(new.iter().map(entry).collect());
        Reply::Array(vec![Reply::Array(vec![Reply::Bulk(name.to_vec()), entries])])
    }
}

fn parse(group: &Reply, pending: &Reply) -> Option<Group> {
    let Reply::Array(told) = group else { return None };
    let last = told.chunks(2).find_map(|pair| match pair {
        [Reply::Bulk(name), value] if name == b"last-delivered-id" => id_of(value),
        _ => None,
    })?;
    let Reply::Array(pending) = pending else { return None };
    let pending = pending.iter().map(|entry| match entry {
        Reply::Array(entry) => match &entry[..] {
            [id, Reply::Bulk(consumer), Reply::Integer(_), Reply::Integer(1)] => {
                Some((id_of(id)?, consumer.clone()))
            }
            _ => None,
        },
        _ => None,
    });
    Some(Group { last, pending: pending.collect::<Option<_>>()? })
}

fn id_of(reply: &Reply) -> Option<u64> {
    let Reply::Bulk(id) = reply else { return None };
    std::str::from_utf8(id).ok()?.strip_suffix("-0")?.parse().ok()
}
