//! Who gets a message, in the order of delivery.

use bytes::Bytes;

use crate::ClientId;

/// The receivers of one message. Kept by whoever publishes, so that publishing does not allocate, and does not look for the
/// same ones again when a channel is published to many times in a row.
#[derive(Debug, Default)]
pub struct Receivers {
    /// Those of the channel, then those of each pattern.
    clients: Vec<ClientId>,
    /// How many of `clients` listen to the channel itself.
    direct: usize,
    /// Each pattern with the end of its clients.
    patterns: Vec<(Bytes, usize)>,
    /// The version of the registry before they were found.
    version: u64,
    /// What they listen to, by its name and whether it is a shard channel.
    channel: Vec<u8>,
    shard: bool,
}

/// A name of a channel that is longer than this is forgotten with its message.
const KEPT_NAME: usize = 1024;

impl Receivers {
    /// The number of deliveries, which is what PUBLISH replies.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether nobody gets the message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Those who listen to the channel itself, in the order in which they came.
    #[must_use]
    pub fn direct(&self) -> &[ClientId] {
        &self.clients[..self.direct]
    }

    /// The patterns that match, in no particular order, each with those who listen to it in the order in which they came.
    pub fn by_pattern(&self) -> impl Iterator<Item = (&Bytes, &[ClientId])> {
        let starts = std::iter::once(self.direct).chain(self.patterns.iter().map(|(_, end)| *end));
        self.patterns.iter().zip(starts).map(|((pattern, end), start)| (pattern, &self.clients[start..*end]))
    }

    /// Prepares for those of a channel, at a version of the registry; tells whether they are here already.
    pub(crate) fn begin(&mut self, version: u64, channel: &[u8], shard: bool) -> bool {
        if (self.version, self.shard) == (version, shard) && self.channel == channel {
            return true;
        }
        self.clients.clear();
        self.patterns.clear();
        self.direct = 0;
        self.channel.clear();
        // No registry has version 0.
        self.version = if channel.len() <= KEPT_NAME { version } else { 0 };
        self.shard = shard;
        if self.version != 0 {
            self.channel.extend_from_slice(channel);
        }
        false
    }

    pub(crate) fn add_direct(&mut self, collect: impl FnOnce(&mut Vec<ClientId>)) {
        collect(&mut self.clients);
        self.direct = self.clients.len();
    }

    pub(crate) fn add_pattern(&mut self, pattern: &Bytes, clients: impl Iterator<Item = ClientId>) {
        self.clients.extend(clients);
        self.patterns.push((pattern.clone(), self.clients.len()));
    }
}
