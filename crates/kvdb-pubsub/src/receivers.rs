//! Who gets a message, in the order of delivery.

use bytes::Bytes;

use crate::ClientId;

/// The receivers of one message. Kept by whoever publishes, so that publishing does not allocate.
#[derive(Debug, Default)]
pub struct Receivers {
    /// Those of the channel, then those of each pattern.
    clients: Vec<ClientId>,
    /// How many of `clients` listen to the channel itself.
    direct: usize,
    /// Each pattern with the end of its clients.
    patterns: Vec<(Bytes, usize)>,
}

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

    pub(crate) fn clear(&mut self) {
        self.clients.clear();
        self.patterns.clear();
        self.direct = 0;
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
