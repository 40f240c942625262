//! A table from names to those who listen to them: channels, shard channels, or the patterns of one prefix.

use bytes::Bytes;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::ClientId;
use crate::subscribers::{Subscribers, Ticket};

/// A name that somebody listens to.
#[derive(Debug)]
pub(crate) struct Topic {
    hash: u64,
    pub(crate) name: Bytes,
    pub(crate) subscribers: Subscribers,
}

/// Topics by name.
///
/// # Invariants
/// * No topic is without subscribers.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    table: HashTable<Topic>,
}

/// How a subscription was entered.
pub(crate) struct Joined {
    /// The name, shared by all who listen to it.
    pub(crate) name: Bytes,
    pub(crate) ticket: Ticket,
    /// Whether nobody listened to it before.
    pub(crate) is_first: bool,
}

impl Topics {
    pub(crate) fn join(&mut self, hash: u64, name: &[u8], client: ClientId) -> Joined {
        let entry = self.table.entry(hash, |topic| topic.name == name, |topic| topic.hash);
        let is_first = matches!(entry, Entry::Vacant(_));
        let topic = entry.or_insert_with(|| Topic {
            hash,
            name: Bytes::copy_from_slice(name),
            subscribers: Subscribers::default(),
        });
        let topic = topic.into_mut();
        Joined { name: topic.name.clone(), ticket: topic.subscribers.join(client), is_first }
    }

    /// Whether the one who left was the last who listened to it.
    pub(crate) fn leave(&mut self, hash: u64, name: &[u8], ticket: Ticket) -> bool {
        let Ok(mut entry) = self.table.find_entry(hash, |topic| topic.name == name) else { return false };
        entry.get_mut().subscribers.leave(ticket);
        if !entry.get().subscribers.is_empty() {
            return false;
        }
        entry.remove();
        shrink_if_sparse(&mut self.table, |topic| topic.hash);
        true
    }

    pub(crate) fn get(&self, hash: u64, name: &[u8]) -> Option<&Subscribers> {
        self.table.find(hash, |topic| topic.name == name).map(|topic| &topic.subscribers)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.table.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

/// Gives the memory of a table back from which most has been removed.
pub(crate) fn shrink_if_sparse<T>(table: &mut HashTable<T>, hash: impl Fn(&T) -> u64) {
    /// A table that is emptier than one part in so many is sparse.
    const SPARSE: usize = 8;
    /// Tables up to this capacity are left as they are.
    const SMALL: usize = 64;
    let (len, capacity) = (table.len(), table.capacity());
    if capacity > SMALL && len * SPARSE < capacity {
        table.shrink_to(len * 2, hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lives_as_long_as_somebody_listens() {
        let mut topics = Topics::default();
        let first = topics.join(7, b"a", 1);
        let second = topics.join(7, b"a", 2);
        let other = topics.join(7, b"b", 3);
        assert_eq!((first.is_first, second.is_first, other.is_first), (true, false, true));
        assert_eq!(first.name.as_ptr(), second.name.as_ptr(), "the name is shared");
        assert!(!topics.leave(7, b"a", first.ticket));
        assert_eq!(topics.get(7, b"a").map(Subscribers::len), Some(1));
        assert!(topics.leave(7, b"a", second.ticket));
        assert!(topics.get(7, b"a").is_none());
        assert!(!topics.leave(7, b"a", second.ticket), "nobody is there to leave");
        assert!(topics.leave(7, b"b", other.ticket) && topics.is_empty());
    }

    #[test]
    fn a_table_gives_memory_back() {
        let mut topics = Topics::default();
        let names: Vec<Vec<u8>> = (0..10_000_u32).map(|n| n.to_le_bytes().to_vec()).collect();
        let hash = |name: &[u8]| xxhash_rust::xxh3::xxh3_64(name);
        let tickets: Vec<Ticket> = names.iter().map(|name| topics.join(hash(name), name, 1).ticket).collect();
        for (name, ticket) in names.iter().zip(tickets).skip(10) {
            topics.leave(hash(name), name, ticket);
        }
        assert_eq!(topics.iter().count(), 10);
        assert!(topics.table.capacity() < 1000, "{}", topics.table.capacity());
    }
}
