//! Consumer groups: how far readers that share a stream have come, and what they have not acknowledged.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::consumers::{Consumer, Consumers, WAITING_BYTES};
use super::id::StreamId;

/// What a pending entry costs in memory: its places in a map and in a set.
const PENDING_BYTES: usize = (size_of::<StreamId>() + size_of::<Pending>()) * 17 / 10 + WAITING_BYTES;

/// An entry that was delivered and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// When it was last delivered, in Unix milliseconds.
    pub delivered_at: u64,
    /// How often.
    pub deliveries: u64,
    /// The number of the consumer that it waits for.
    pub(super) consumer: u32,
}

/// Readers that share a stream.
///
/// # Invariants
///
/// * The ids in `pending` are those that wait for some consumer, each for the one that is named there and no other.
#[derive(Debug, Clone, Default)]
pub struct Group {
    pub(super) last_id: StreamId,
    pub(super) entries_read: Option<i64>,
    pub(super) pending: BTreeMap<StreamId, Pending>,
    pub(super) consumers: Consumers,
}

impl Group {
    /// The last entry that was delivered to anybody.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// How many entries had been added when that one was, as far as that is known.
    pub fn entries_read(&self) -> Option<i64> {
        self.entries_read
    }

    /// How many entries wait for an acknowledgement.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The entries that wait for an acknowledgement, with who they wait for.
    pub fn pending(
        &self,
        range: RangeInclusive<StreamId>,
    ) -> impl DoubleEndedIterator<Item = (StreamId, &Pending)> {
        let is_empty = range.is_empty();
        let range = if is_empty { StreamId::MIN..=StreamId::MIN } else { range };
        self.pending.range(range).filter(move |_| !is_empty).map(|(id, pending)| (*id, pending))
    }

    /// Likewise one of them.
    pub fn pending_entry(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// Who a pending entry of this group waits for.
    pub fn consumer_of(&self, pending: &Pending) -> &Consumer {
        self.consumers.get(pending.consumer)
    }

    /// A consumer by its name.
    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        self.consumers.number(name).map(|number| self.consumers.get(number))
    }

    /// All consumers in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.consumers.iter()
    }

    /// How many rows the group is.
    pub(super) fn rows(&self) -> usize {
        1 + self.consumers.len() + self.pending.len()
    }

    /// Bytes of memory beside the structure itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.consumers.memory_bytes() + self.pending.len() * PENDING_BYTES
    }

    /// Has an entry wait for a consumer, whoever it waited for before.
    pub(super) fn assign(&mut self, id: StreamId, pending: Pending) {
        if let Some(before) = self.pending.insert(id, pending)
            && before.consumer != pending.consumer
        {
            self.consumers.get_mut(before.consumer).waiting.remove(&id);
        }
        self.consumers.get_mut(pending.consumer).waiting.insert(id);
    }

    /// Has nobody wait for an entry any more; tells whether somebody did.
    pub(super) fn settle(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.consumers.get_mut(pending.consumer).waiting.remove(&id);
        true
    }

    /// Takes a consumer out, and what waited for it; returns the ids of that.
    pub(super) fn dismiss(&mut self, name: &[u8]) -> Option<Vec<StreamId>> {
        let consumer = self.consumers.leave(name)?;
        let ids: Vec<StreamId> = consumer.waiting.into_iter().collect();
        ids.iter().for_each(|id| {
            self.pending.remove(id);
        });
        Some(ids)
    }
}
