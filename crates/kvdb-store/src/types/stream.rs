//! Streams: entries that are added at one end, and groups of consumers that share the reading of them.
//!
//! An entry has an [id](StreamId) greater than all before it, and fields with values. Entries stand in
//! blocks in memory, and each is a row. A [group](Group) remembers how far it has come, and which entries
//! were delivered to which consumer and not acknowledged; a group, a consumer and a pending entry are a row each.
//!
//! A stream stays when its last entry goes, with the greatest id that it ever had: ids are never given twice. That, and
//! the counts that a group's lag follows from, are in the log.

mod block;
mod blocks;
mod consumers;
mod edit;
mod edit_group;
mod entries;
mod group;
mod id;
mod log;
mod restore;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

pub use block::{Entry, Field};
pub use consumers::Consumer;
pub use edit::{Keep, Trim};
pub use edit_group::{AutoClaimed, Claim};
pub use group::{Group, Pending};
pub use id::StreamId;

use super::{Collection, Elements, Layout};
use crate::context::text_of;
use crate::row::Type;
use log::Log;
use rows::RowKey;

/// What a group costs in memory beside its name and what it has: its place in a map.
const GROUP_BYTES: usize = (size_of::<Box<[u8]>>() + size_of::<Group>()) * 17 / 10;

/// Entries that follow each other, and groups that read them.
#[derive(Debug, Clone, Default)]
pub struct Stream(Box<Parts>);

/// # Invariants
///
/// * `group_rows` and `group_bytes` are the sums of the rows and of the memory of the groups.
#[derive(Debug, Default)]
struct Parts {
    log: Log,
    groups: BTreeMap<Box<[u8]>, Group>,
    group_rows: usize,
    group_bytes: usize,
}

impl Clone for Parts {
    fn clone(&self) -> Self {
        let groups = self.groups.clone();
        // A copy has no room to grow.
        let group_bytes = groups.iter().map(|(name, group)| bytes_of(name, group)).sum();
        Self { log: self.log.clone(), groups, group_rows: self.group_rows, group_bytes }
    }
}

/// What a group costs in memory.
fn bytes_of(name: &[u8], group: &Group) -> usize {
    GROUP_BYTES + name.len() + group.memory_bytes()
}

impl Stream {
    /// The number of entries.
    pub fn count(&self) -> usize {
        self.0.log.entries.len()
    }

    /// The number of blocks that the entries stand in.
    pub fn blocks(&self) -> usize {
        self.0.log.entries.blocks()
    }

    /// The greatest id that was ever given, or set.
    pub fn last_id(&self) -> StreamId {
        self.0.log.last_id
    }

    /// The id of the first entry, or [`StreamId::MIN`] when there is none.
    pub fn first_id(&self) -> StreamId {
        self.0.log.first_id()
    }

    /// The id of the last entry that is there.
    pub fn last_entry(&self) -> Option<StreamId> {
        self.0.log.entries.last()
    }

    /// How many entries were ever added.
    pub fn entries_added(&self) -> u64 {
        self.0.log.added
    }

    /// The greatest id that was removed by name.
    pub fn max_deleted_id(&self) -> StreamId {
        self.0.log.max_deleted
    }

    /// The id for an entry that is added at a moment; `None` when there is none left.
    pub fn next_id(&self, now: u64) -> Option<StreamId> {
        if now > self.last_id().ms { Some(StreamId { ms: now, seq: 0 }) } else { self.last_id().next() }
    }

    /// The entry of an id.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.0.log.entries.get(id)
    }

    /// The entries whose ids are in a range.
    pub fn range(&self, range: RangeInclusive<StreamId>) -> impl Iterator<Item = Entry<'_>> {
        self.0.log.entries.range(*range.start(), *range.end())
    }

    /// Likewise, from the last to the first.
    pub fn range_back(&self, range: RangeInclusive<StreamId>) -> impl Iterator<Item = Entry<'_>> {
        self.0.log.entries.range_back(*range.start(), *range.end())
    }

    /// A group by its name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.0.groups.get(name)
    }

    /// All groups with their names, in the order of those.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.0.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// How many entries a group has not read yet, as far as that is known.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        self.0.log.lag(group)
    }

    /// Changes a group and keeps the sums; `None` when there is none of that name.
    fn change_group<R>(&mut self, name: &[u8], change: impl FnOnce(&mut Group, &Log) -> R) -> Option<R> {
        let Parts { log, groups, group_rows, group_bytes } = &mut *self.0;
        let group = groups.get_mut(name)?;
        let (rows, bytes) = (group.rows(), group.memory_bytes());
        let result = change(group, log);
        *group_rows = *group_rows - rows + group.rows();
        *group_bytes = *group_bytes - bytes + group.memory_bytes();
        Some(result)
    }

    /// Adds a group; tells whether there was none of that name.
    fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let is_new = !self.0.groups.contains_key(name);
        if is_new {
            self.0.group_rows += group.rows();
            self.0.group_bytes += bytes_of(name, &group);
            self.0.groups.insert(name.into(), group);
        }
        is_new
    }

    /// Takes a group out.
    fn remove_group(&mut self, name: &[u8]) -> Option<Group> {
        let group = self.0.groups.remove(name)?;
        self.0.group_rows -= group.rows();
        self.0.group_bytes -= bytes_of(name, &group);
        Some(group)
    }
}

impl Elements for Stream {
    const KIND: Type = Type::Stream;
    const STAYS_EMPTY: bool = true;

    fn of(collection: &Collection) -> Option<&Self> {
        match collection {
            Collection::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    fn of_mut(collection: &mut Collection) -> Option<&mut Self> {
        match collection {
            Collection::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    fn into_collection(self) -> Collection {
        Collection::Stream(self)
    }

    /// The number of rows: of entries, groups, consumers and pending entries. That of the entries alone is
    /// [`Stream::count`].
    fn len(&self) -> usize {
        self.count() + self.0.group_rows
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Parts>() + self.0.log.entries.memory_bytes() + self.0.group_bytes
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn load(&mut self, element: &[u8], value: &[u8], layout: &Layout) -> Option<()> {
        match RowKey::of(element)? {
            RowKey::Entry(id) => {
                let log = &mut self.0.log;
                if id == StreamId::MIN || log.entries.last().is_some_and(|last| last >= id) {
                    return None;
                }
                let (added, fields) = rows::read_entry(value)?;
                log.entries.append(id, &fields, layout);
                if id > log.last_id {
                    (log.last_id, log.added) = (id, added);
                }
            }
            RowKey::Group(name) => {
                return self.add_group(name, rows::read_group(value)?).then_some(());
            }
            RowKey::Consumer(group, name) => {
                let (seen_at, active_at) = rows::read_consumer(value)?;
                return self.change_group(group, |group, _| {
                    let (number, is_new) = group.consumers.enter(name, seen_at);
                    group.consumers.get_mut(number).active_at = active_at;
                    is_new.then_some(())
                })?;
            }
            RowKey::Pending(group, id) => {
                let (delivered_at, deliveries, consumer) = rows::read_pending(value)?;
                return self.change_group(group, |group, _| {
                    let consumer = group.consumers.number(consumer)?;
                    group.assign(id, Pending { delivered_at, deliveries, consumer });
                    Some(())
                })?;
            }
        }
        Some(())
    }

    fn rows(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        let mut row = Vec::new();
        let mut show = |key: &[u8], write: &dyn Fn(&mut Vec<u8>)| {
            row.clear();
            write(&mut row);
            visit(key, &row);
        };
        let log = &self.0.log;
        // How many had been added with an entry is not remembered but for the last, of which alone it is asked.
        for entry in log.entries.range(StreamId::MIN, StreamId::MAX) {
            let fields: Vec<_> =
                entry.fields().map(|(name, value)| (text_of(name), text_of(value))).collect();
            show(&rows::entry_key(entry.id), &|out| {
                rows::write_entry(out, log.added, fields.iter().map(|(name, value)| (&name[..], &value[..])));
            });
        }
        for (name, group) in &self.0.groups {
            show(&RowKey::Group(name).to_bytes(), &|out| rows::write_group(out, group));
            for consumer in group.consumers() {
                let key = RowKey::Consumer(name, consumer.name()).to_bytes();
                show(&key, &|out| rows::write_consumer(out, consumer));
            }
            for (id, pending) in &group.pending {
                let consumer = group.consumer_of(pending).name();
                let key = RowKey::Pending(name, *id).to_bytes();
                show(&key, &|out| rows::write_pending(out, pending, consumer));
            }
        }
    }

    fn extra(&self) -> Vec<u8> {
        let mut extra = Vec::new();
        rows::write_extra(&mut extra, self.last_id(), self.entries_added(), self.max_deleted_id());
        extra
    }

    fn load_extra(&mut self, extra: &[u8]) -> Option<()> {
        let log = &mut self.0.log;
        (log.last_id, log.added, log.max_deleted) = rows::read_extra(extra)?;
        Some(())
    }
}
