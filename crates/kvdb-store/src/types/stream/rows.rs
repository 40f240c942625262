//! The rows of a stream.
//!
//! ```text
//! element key := 1 | ms u64 | seq u64                               an entry      (numbers in keys are big-endian)
//!              | 2 | group                                          a group
//!              | 3 | length of group varint | group | consumer      a consumer
//!              | 4 | length of group varint | group | ms u64 | seq u64    a pending entry
//! entry       := entries added so far varint | (length varint | bytes)*    names and values in turns
//! group       := last id | entries read i64 or -1                   (numbers in values are little-endian)
//! consumer    := seen at u64 | active at i64 or -1                  Unix milliseconds
//! pending     := delivered at u64 | deliveries u64 | consumer
//! extra       := last id | entries added u64 | max deleted id       in the meta row
//! id          := ms u64 | seq u64
//! ```
//!
//! An entry says how many were ever added with it, so that adding one writes one row. The meta row says so too, and is
//! only written when what it says cannot be seen from the last entry: when that was removed, or when the numbers were
//! set. Of the two the one with the greater id is right.

use kvdb_lsm::varint;

use super::block::Field;
use super::consumers::Consumer;
use super::group::{Group, Pending};
use super::id::StreamId;
use crate::edit::RowSink;

const ENTRY: u8 = 1;
const GROUP: u8 = 2;
const CONSUMER: u8 = 3;
const PENDING: u8 = 4;

/// What an element key names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RowKey<'a> {
    Entry(StreamId),
    Group(&'a [u8]),
    Consumer(&'a [u8], &'a [u8]),
    Pending(&'a [u8], StreamId),
}

impl<'a> RowKey<'a> {
    /// As bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut grouped = |kind: u8, group: &[u8], rest: &[u8]| {
            out.push(kind);
            varint::write(&mut out, group.len() as u64);
            out.extend_from_slice(group);
            out.extend_from_slice(rest);
        };
        match *self {
            Self::Entry(id) => return entry_key(id).to_vec(),
            Self::Group(name) => return [&[GROUP], name].concat(),
            Self::Consumer(group, name) => grouped(CONSUMER, group, name),
            Self::Pending(group, id) => grouped(PENDING, group, &id.to_key()),
        }
        out
    }

    /// From bytes; `None` when they are no such key.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        let grouped = || {
            let (len, at) = varint::read(rest)?;
            rest[at..].split_at_checked(usize::try_from(len).ok()?)
        };
        Some(match kind {
            ENTRY => Self::Entry(StreamId::from_key(rest.try_into().ok()?)),
            GROUP => Self::Group(rest),
            CONSUMER => {
                let (group, name) = grouped()?;
                Self::Consumer(group, name)
            }
            PENDING => {
                let (group, id) = grouped()?;
                Self::Pending(group, StreamId::from_key(id.try_into().ok()?))
            }
            _ => return None,
        })
    }
}

/// The element key of an entry.
pub(super) fn entry_key(id: StreamId) -> [u8; 17] {
    let mut key = [ENTRY; 17];
    key[1..].copy_from_slice(&id.to_key());
    key
}

/// Takes bytes off the front.
fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(|number| u64::from_le_bytes(*number))
}

fn take_count(bytes: &mut &[u8]) -> Option<Option<i64>> {
    let number = i64::from_le_bytes(*take(bytes)?);
    Some((number != -1).then_some(number))
}

fn take_id(bytes: &mut &[u8]) -> Option<StreamId> {
    Some(StreamId { ms: take_u64(bytes)?, seq: take_u64(bytes)? })
}

fn write_id(out: &mut Vec<u8>, id: StreamId) {
    out.extend_from_slice(&id.ms.to_le_bytes());
    out.extend_from_slice(&id.seq.to_le_bytes());
}

fn write_count(out: &mut Vec<u8>, count: Option<i64>) {
    out.extend_from_slice(&count.unwrap_or(-1).to_le_bytes());
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    varint::write(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// The value of an entry's row.
pub(super) fn write_entry<'f>(out: &mut Vec<u8>, added: u64, fields: impl Iterator<Item = Field<'f>>) {
    varint::write(out, added);
    for (name, value) in fields {
        write_text(out, name);
        write_text(out, value);
    }
}

/// How many entries had been added with this one, and its fields; `None` when it is no such value.
pub(super) fn read_entry(value: &[u8]) -> Option<(u64, Vec<Field<'_>>)> {
    let (added, at) = varint::read(value)?;
    let mut rest = &value[at..];
    let mut text = || {
        let (len, at) = varint::read(rest)?;
        let (text, tail) = rest[at..].split_at_checked(usize::try_from(len).ok()?)?;
        rest = tail;
        Some((text, tail.is_empty()))
    };
    let mut fields = Vec::new();
    loop {
        let ((name, _), (value, is_last)) = (text()?, text()?);
        fields.push((name, value));
        if is_last {
            return Some((added, fields));
        }
    }
}

/// The value of a group's row.
pub(super) fn write_group(out: &mut Vec<u8>, group: &Group) {
    write_id(out, group.last_id);
    write_count(out, group.entries_read);
}

/// The opposite of [`write_group`]: a group that has nobody yet.
pub(super) fn read_group(mut value: &[u8]) -> Option<Group> {
    let (last_id, entries_read) = (take_id(&mut value)?, take_count(&mut value)?);
    value.is_empty().then(|| Group { last_id, entries_read, ..Group::default() })
}

/// The value of a consumer's row.
pub(super) fn write_consumer(out: &mut Vec<u8>, consumer: &Consumer) {
    out.extend_from_slice(&consumer.seen_at.to_le_bytes());
    write_count(out, consumer.active_at.map(|at| at as i64));
}

/// When a consumer was seen, and when it was active.
pub(super) fn read_consumer(mut value: &[u8]) -> Option<(u64, Option<u64>)> {
    let (seen_at, active_at) = (take_u64(&mut value)?, take_count(&mut value)?);
    value.is_empty().then(|| (seen_at, active_at.map(i64::cast_unsigned)))
}

/// The value of the row of a pending entry.
pub(super) fn write_pending(out: &mut Vec<u8>, pending: &Pending, consumer: &[u8]) {
    out.extend_from_slice(&pending.delivered_at.to_le_bytes());
    out.extend_from_slice(&pending.deliveries.to_le_bytes());
    out.extend_from_slice(consumer);
}

/// A pending entry, with the name of the consumer in place of its number.
pub(super) fn read_pending(mut value: &[u8]) -> Option<(u64, u64, &[u8])> {
    Some((take_u64(&mut value)?, take_u64(&mut value)?, value))
}

/// What the meta row says.
pub(super) fn write_extra(out: &mut Vec<u8>, last_id: StreamId, added: u64, max_deleted: StreamId) {
    write_id(out, last_id);
    out.extend_from_slice(&added.to_le_bytes());
    write_id(out, max_deleted);
}

/// The opposite of [`write_extra`].
pub(super) fn read_extra(mut extra: &[u8]) -> Option<(StreamId, u64, StreamId)> {
    let all = (take_id(&mut extra)?, take_u64(&mut extra)?, take_id(&mut extra)?);
    extra.is_empty().then_some(all)
}

/// Records the rows of the parts of one group.
pub(super) struct GroupRows<'r, 'e> {
    pub(super) rows: &'r mut RowSink<'e>,
    pub(super) name: &'r [u8],
}

impl GroupRows<'_, '_> {
    /// The row of the group itself.
    pub(super) fn put_group(&mut self, group: &Group) {
        self.rows.put(&RowKey::Group(self.name).to_bytes(), |out| write_group(out, group));
    }

    /// The row of a consumer.
    pub(super) fn put_consumer(&mut self, consumer: &Consumer) {
        self.rows.put(&RowKey::Consumer(self.name, consumer.name()).to_bytes(), |out| {
            write_consumer(out, consumer)
        });
    }

    /// The row of a pending entry that the group has.
    pub(super) fn put_pending(&mut self, group: &Group, id: StreamId) {
        let Some(pending) = group.pending.get(&id) else { return };
        let consumer = group.consumers.get(pending.consumer).name();
        self.rows
            .put(&RowKey::Pending(self.name, id).to_bytes(), |out| write_pending(out, pending, consumer));
    }

    /// Takes the row of the group itself out.
    pub(super) fn delete_group(&mut self) {
        self.rows.delete(&RowKey::Group(self.name).to_bytes());
    }

    /// Takes the row of a consumer out.
    pub(super) fn delete_consumer(&mut self, name: &[u8]) {
        self.rows.delete(&RowKey::Consumer(self.name, name).to_bytes());
    }

    /// Takes the row of a pending entry out.
    pub(super) fn delete_pending(&mut self, id: StreamId) {
        self.rows.delete(&RowKey::Pending(self.name, id).to_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_read_back(
            group in prop::collection::vec(any::<u8>(), 0..200),
            name in prop::collection::vec(any::<u8>(), 0..20),
            (ms, seq, added, count) in (any::<u64>(), any::<u64>(), any::<u64>(), any::<i64>()),
            fields in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..5), prop::collection::vec(any::<u8>(), 0..200)), 1..5),
        ) {
            let id = StreamId { ms, seq };
            for key in [RowKey::Entry(id), RowKey::Group(&name), RowKey::Consumer(&group, &name), RowKey::Pending(&group, id)] {
                let bytes = key.to_bytes();
                prop_assert_eq!(RowKey::of(&bytes), Some(key));
            }
            let fields: Vec<Field<'_>> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            let mut out = Vec::new();
            write_entry(&mut out, added, fields.iter().copied());
            prop_assert_eq!(read_entry(&out), Some((added, fields)));
            out.clear();
            let entries_read = (count != -1).then_some(count);
            write_group(&mut out, &Group { last_id: id, entries_read, ..Group::default() });
            let read = read_group(&out).expect("it reads back");
            prop_assert_eq!((read.last_id, read.entries_read), (id, entries_read));
            out.clear();
            write_pending(&mut out, &Pending { delivered_at: ms, deliveries: added, consumer: 7 }, &name);
            prop_assert_eq!(read_pending(&out), Some((ms, added, &name[..])));
            out.clear();
            write_extra(&mut out, id, added, id);
            prop_assert_eq!(read_extra(&out), Some((id, added, id)));
        }

        #[test]
        fn rubbish_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = RowKey::of(&bytes);
            let _ = (read_entry(&bytes), read_group(&bytes).is_some(), read_consumer(&bytes));
            let _ = (read_pending(&bytes), read_extra(&bytes));
        }
    }
}
