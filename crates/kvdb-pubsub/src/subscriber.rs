//! What one client listens to.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::ClientId;
use crate::registry::Registry;
use crate::subscribers::Ticket;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SUBSCRIBE: a channel.
    Channel,
    /// PSUBSCRIBE: every channel whose name matches a glob pattern.
    Pattern,
    /// SSUBSCRIBE: a channel of the shard, which patterns do not match.
    ShardChannel,
}

const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::ShardChannel];

/// One client's subscriptions. It belongs to the connection; when it is dropped, all of them end.
///
/// # Invariants
/// * The registry has exactly these subscriptions of the client.
#[derive(Debug)]
pub struct Subscriber {
    registry: Arc<Registry>,
    id: ClientId,
    /// By [`Kind`].
    held: [BTreeMap<Bytes, Held>; KINDS.len()],
    /// Subscriptions made so far.
    made: u64,
}

/// A subscription.
#[derive(Debug)]
struct Held {
    ticket: Ticket,
    /// Which one of the client's it was.
    made: u64,
}

impl Subscriber {
    /// The client with this number, which listens to nothing yet.
    #[must_use]
    pub fn new(registry: Arc<Registry>, id: ClientId) -> Self {
        Self { registry, id, held: Default::default(), made: 0 }
    }

    /// Listens to a name, and returns the number for the reply ([`Self::count`]).
    pub fn subscribe(&mut self, kind: Kind, name: &[u8]) -> usize {
        let held = &mut self.held[kind as usize];
        if !held.contains_key(name) {
            let joined = self.registry.join(kind, name, self.id);
            held.insert(joined.name, Held { ticket: joined.ticket, made: self.made });
            self.made += 1;
        }
        self.count(kind)
    }

    /// Listens to a name no more, and returns the number for the reply ([`Self::count`]).
    pub fn unsubscribe(&mut self, kind: Kind, name: &[u8]) -> usize {
        if let Some(held) = self.held[kind as usize].remove(name) {
            self.registry.leave(kind, name, held.ticket);
        }
        self.count(kind)
    }

    /// Listens to nothing of a kind any more. Returns the names, oldest subscription first, each with the number for its
    /// reply.
    pub fn unsubscribe_all(&mut self, kind: Kind) -> Vec<(Bytes, usize)> {
        let mut held: Vec<(Bytes, Held)> =
            std::mem::take(&mut self.held[kind as usize]).into_iter().collect();
        held.sort_unstable_by_key(|(_, held)| held.made);
        let left = self.count(kind) + held.len();
        let ended = held.into_iter().zip(1..).map(|((name, held), ended)| {
            self.registry.leave(kind, &name, held.ticket);
            (name, left - ended)
        });
        ended.collect()
    }

    /// The number that a reply to SUBSCRIBE and its relatives ends with: of channels and patterns together, or of shard
    /// channels.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.len(Kind::Channel) + self.len(Kind::Pattern),
            Kind::ShardChannel => self.len(Kind::ShardChannel),
        }
    }

    /// The number of subscriptions of a kind: `sub`, `psub` and `ssub` of CLIENT LIST.
    #[must_use]
    pub fn len(&self, kind: Kind) -> usize {
        self.held[kind as usize].len()
    }

    /// Whether the client listens to nothing at all, and a RESP2 connection may run any command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.iter().all(BTreeMap::is_empty)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        for kind in KINDS {
            for (name, held) in std::mem::take(&mut self.held[kind as usize]) {
                self.registry.leave(kind, &name, held.ticket);
            }
        }
    }
}
