//! Channels, or shard channels: names that are matched as they are.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::ClientId;
use crate::glob::{Case, matches};
use crate::sharded::Sharded;
use crate::subscribers::{Subscribers, Ticket};
use crate::topics::{Joined, Topics};

/// Names and who listens to them, under many locks.
///
/// # Invariants
/// * `len` is the number of names while no lock is held, so nobody who has subscribed is missed by who reads it then.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    shards: Sharded<Topics>,
    len: AtomicUsize,
}

impl Channels {
    pub(crate) fn join(&self, hash: u64, name: &[u8], client: ClientId) -> Joined {
        let mut topics = self.shards.of(hash).write();
        let joined = topics.join(hash, name, client);
        if joined.is_first {
            self.len.fetch_add(1, Ordering::Release);
        }
        joined
    }

    pub(crate) fn leave(&self, hash: u64, name: &[u8], ticket: Ticket) {
        let mut topics = self.shards.of(hash).write();
        if topics.leave(hash, name, ticket) {
            self.len.fetch_sub(1, Ordering::Release);
        }
    }

    /// The number of names that somebody listens to.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Appends those who listen to the name.
    pub(crate) fn collect(&self, hash: u64, name: &[u8], clients: &mut Vec<ClientId>) {
        if let Some(subscribers) = self.shards.of(hash).read().get(hash, name) {
            clients.extend(subscribers.iter());
        }
    }

    /// Shows every name with each client that listens to it.
    pub(crate) fn each(&self, mut visit: impl FnMut(&[u8], ClientId)) {
        for shard in self.shards.iter() {
            for topic in shard.read().iter() {
                topic.subscribers.iter().for_each(|client| visit(&topic.name, client));
            }
        }
    }

    /// How many listen to the name.
    pub(crate) fn subscribers(&self, hash: u64, name: &[u8]) -> usize {
        self.shards.of(hash).read().get(hash, name).map_or(0, Subscribers::len)
    }

    /// The names that somebody listens to, those that match the pattern if there is one, in no particular order.
    pub(crate) fn names(&self, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let mut names = Vec::new();
        let wanted = |name: &[u8]| pattern.is_none_or(|pattern| matches(pattern, name, Case::Sensitive));
        for shard in self.shards.iter() {
            let topics = shard.read();
            names.extend(topics.iter().filter(|topic| wanted(&topic.name)).map(|topic| topic.name.clone()));
        }
        names
    }
}
