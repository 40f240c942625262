//! Streams that are put together from parts that were taken from another: what RESTORE needs.
//!
//! Nothing here trusts what it is given: a part that does not go with those before is refused.

use super::block::Field;
use super::group::{Group, Pending};
use super::id::StreamId;
use super::{Layout, Stream};

impl Stream {
    /// Adds an entry that has fields, behind all others. `None` when its id is none for it.
    #[must_use]
    pub fn restore_entry(&mut self, id: StreamId, fields: &[Field<'_>], layout: &Layout) -> Option<()> {
        let log = &mut self.0.log;
        if id <= log.last_id || fields.is_empty() {
            return None;
        }
        log.entries.append(id, fields, layout);
        log.last_id = id;
        Some(())
    }

    /// Says what is remembered of all entries that there ever were, once those that are left are there. `None` when the
    /// last of them has a greater id.
    #[must_use]
    pub fn restore_log(&mut self, last_id: StreamId, added: u64, max_deleted: StreamId) -> Option<()> {
        let log = &mut self.0.log;
        if last_id < log.last_id {
            return None;
        }
        (log.last_id, log.added, log.max_deleted) = (last_id, added, max_deleted);
        Some(())
    }

    /// How many entries had been added when the one of an id was, as far as that is known.
    pub fn count_up_to(&self, id: StreamId) -> Option<i64> {
        self.0.log.count_up_to(id)
    }

    /// Adds a group that has nobody yet. `None` when there is one of that name.
    #[must_use]
    pub fn restore_group(&mut self, name: &[u8], last_id: StreamId, entries_read: Option<i64>) -> Option<()> {
        self.add_group(name, Group { last_id, entries_read, ..Group::default() }).then_some(())
    }

    /// Adds a consumer to a group, with the entries that wait for it: id, when it was last delivered, how often. `None`
    /// when there is no such group, or a consumer with that name or an entry with that id is there already.
    #[must_use]
    pub fn restore_consumer(
        &mut self,
        group: &[u8],
        name: &[u8],
        (seen_at, active_at): (u64, Option<u64>),
        waiting: &[(StreamId, u64, u64)],
    ) -> Option<()> {
        self.change_group(group, |group, _| {
            let (number, is_new) = group.consumers.enter(name, seen_at);
            if !is_new {
                return None;
            }
            group.consumers.get_mut(number).active_at = active_at;
            for &(id, delivered_at, deliveries) in waiting {
                if group.pending.contains_key(&id) {
                    return None;
                }
                group.assign(id, Pending { delivered_at, deliveries, consumer: number });
            }
            Some(())
        })?
    }
}
