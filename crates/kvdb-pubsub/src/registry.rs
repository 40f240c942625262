//! Who listens to what: the state that all workers share.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ClientId;
use crate::channels::Channels;
use crate::patterns::Patterns;
use crate::receivers::Receivers;
use crate::subscriber::Kind;
use crate::subscribers::Ticket;
use crate::topics::Joined;

/// All subscriptions of a server. Any thread may use it at any time.
///
/// A publisher reaches everybody whose subscription was made before it began to publish, and nobody whose subscription
/// had ended by then.
#[derive(Debug)]
pub struct Registry {
    seed: u64,
    channels: Channels,
    shard_channels: Channels,
    patterns: Patterns,
}

impl Registry {
    /// A registry without subscriptions. Clients choose names, so `seed` should be one that they cannot guess.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            channels: Channels::default(),
            shard_channels: Channels::default(),
            patterns: Patterns::new(seed),
        }
    }

    fn hash(&self, name: &[u8]) -> u64 {
        xxh3_64_with_seed(name, self.seed)
    }

    /// Finds who gets a message that is published to `channel`, for PUBLISH. What `receivers` held is forgotten.
    pub fn publish(&self, channel: &[u8], receivers: &mut Receivers) {
        receivers.clear();
        if self.channels.len() > 0 {
            receivers.add_direct(|clients| self.channels.collect(self.hash(channel), channel, clients));
        }
        self.patterns.collect(channel, receivers);
    }

    /// Finds who gets a message that is published to a shard channel, for SPUBLISH: patterns are not asked.
    pub fn publish_to_shard(&self, channel: &[u8], receivers: &mut Receivers) {
        receivers.clear();
        if self.shard_channels.len() > 0 {
            receivers.add_direct(|clients| self.shard_channels.collect(self.hash(channel), channel, clients));
        }
    }

    /// The channels that somebody listens to by name, for PUBSUB CHANNELS: those that match `pattern` if there is one.
    #[must_use]
    pub fn channels(&self, pattern: Option<&[u8]>) -> Vec<Bytes> {
        self.channels.names(pattern)
    }

    /// The shard channels that somebody listens to, for PUBSUB SHARDCHANNELS.
    #[must_use]
    pub fn shard_channels(&self, pattern: Option<&[u8]>) -> Vec<Bytes> {
        self.shard_channels.names(pattern)
    }

    /// How many listen to the channel by name, for PUBSUB NUMSUB.
    #[must_use]
    pub fn channel_subscribers(&self, channel: &[u8]) -> usize {
        self.channels.subscribers(self.hash(channel), channel)
    }

    /// How many listen to the shard channel, for PUBSUB SHARDNUMSUB.
    #[must_use]
    pub fn shard_channel_subscribers(&self, channel: &[u8]) -> usize {
        self.shard_channels.subscribers(self.hash(channel), channel)
    }

    /// How many different names of a kind somebody listens to: of patterns, what PUBSUB NUMPAT replies.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel => self.channels.len(),
            Kind::Pattern => self.patterns.len(),
            Kind::ShardChannel => self.shard_channels.len(),
        }
    }

    /// Shows every subscription: its kind, its name and the client. Nobody subscribes to the names that are being shown
    /// meanwhile, so `visit` is to be short and must not subscribe.
    pub fn each(&self, mut visit: impl FnMut(Kind, &[u8], ClientId)) {
        self.channels.each(|name, client| visit(Kind::Channel, name, client));
        self.patterns.each(|name, client| visit(Kind::Pattern, name, client));
        self.shard_channels.each(|name, client| visit(Kind::ShardChannel, name, client));
    }

    pub(crate) fn join(&self, kind: Kind, name: &[u8], client: ClientId) -> Joined {
        match kind {
            Kind::Channel => self.channels.join(self.hash(name), name, client),
            Kind::Pattern => self.patterns.join(name, client),
            Kind::ShardChannel => self.shard_channels.join(self.hash(name), name, client),
        }
    }

    pub(crate) fn leave(&self, kind: Kind, name: &[u8], ticket: Ticket) {
        match kind {
            Kind::Channel => self.channels.leave(self.hash(name), name, ticket),
            Kind::Pattern => self.patterns.leave(name, ticket),
            Kind::ShardChannel => self.shard_channels.leave(self.hash(name), name, ticket),
        }
    }
}
