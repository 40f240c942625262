//! Who listens to what: the state that all workers share.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ClientId;
use crate::channels::Channels;
use crate::patterns::Patterns;
use crate::receivers::Receivers;
use crate::subscriber::Kind;
use crate::subscribers::Ticket;
use crate::topics::Joined;

/// Where the versions of the next registry begin: no two in a process have one in common.
static NEXT_VERSIONS: AtomicU64 = AtomicU64::new(1 << 40);

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
    /// Rises behind every change, before whoever made it is told.
    version: AtomicU64,
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
            version: AtomicU64::new(NEXT_VERSIONS.fetch_add(1 << 40, Ordering::Relaxed)),
        }
    }

    fn hash(&self, name: &[u8]) -> u64 {
        xxh3_64_with_seed(name, self.seed)
    }

    /// Finds who gets a message that is published to `channel`, for PUBLISH. What `receivers` held is forgotten, unless it
    /// is just that: then it is left as it is, and the answer is true.
    pub fn publish(&self, channel: &[u8], receivers: &mut Receivers) -> bool {
        if receivers.begin(self.version.load(Ordering::Acquire), channel, false) {
            return true;
        }
        if self.channels.len() > 0 {
            receivers.add_direct(|clients| self.channels.collect(self.hash(channel), channel, clients));
        }
        self.patterns.collect(channel, receivers);
        false
    }

    /// Finds who gets a message that is published to a shard channel, for SPUBLISH: patterns are not asked.
    /// Answers as [`Self::publish`] does.
    pub fn publish_to_shard(&self, channel: &[u8], receivers: &mut Receivers) -> bool {
        if receivers.begin(self.version.load(Ordering::Acquire), channel, true) {
            return true;
        }
        if self.shard_channels.len() > 0 {
            receivers.add_direct(|clients| self.shard_channels.collect(self.hash(channel), channel, clients));
        }
        false
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
        let joined = match kind {
            Kind::Channel => self.channels.join(self.hash(name), name, client),
            Kind::Pattern => self.patterns.join(name, client),
            Kind::ShardChannel => self.shard_channels.join(self.hash(name), name, client),
        };
        self.version.fetch_add(1, Ordering::Release);
        joined
    }

    pub(crate) fn leave(&self, kind: Kind, name: &[u8], ticket: Ticket) {
        match kind {
            Kind::Channel => self.channels.leave(self.hash(name), name, ticket),
            Kind::Pattern => self.patterns.leave(name, ticket),
            Kind::ShardChannel => self.shard_channels.leave(self.hash(name), name, ticket),
        }
        self.version.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Subscriber;

    #[test]
    fn receivers_are_looked_for_again_when_anything_has_changed() {
        let registry = Arc::new(Registry::new(1));
        let mut anna = Subscriber::new(registry.clone(), 1);
        let mut bert = Subscriber::new(registry.clone(), 2);
        anna.subscribe(Kind::Channel, b"a");
        let mut receivers = Receivers::default();
        assert!(!registry.publish(b"a", &mut receivers));
        assert!(registry.publish(b"a", &mut receivers) && receivers.direct() == [1]);
        bert.subscribe(Kind::Pattern, b"*");
        assert!(!registry.publish(b"a", &mut receivers) && receivers.len() == 2);
        assert!(registry.publish(b"a", &mut receivers) && receivers.len() == 2);
        bert.unsubscribe(Kind::Pattern, b"*");
        assert!(!registry.publish(b"a", &mut receivers) && receivers.len() == 1);
        assert!(!registry.publish(b"b", &mut receivers) && receivers.is_empty());
        assert!(!registry.publish(b"a", &mut receivers) && receivers.len() == 1);
        assert!(!registry.publish_to_shard(b"a", &mut receivers) && receivers.is_empty());
        assert!(registry.publish_to_shard(b"a", &mut receivers));
        assert!(!Registry::new(1).publish_to_shard(b"a", &mut receivers), "it is another registry");
        let long = vec![b'x'; 10_000];
        anna.subscribe(Kind::Channel, &long);
        for _ in 0..2 {
            assert!(!registry.publish(&long, &mut receivers) && receivers.direct() == [1]);
        }
        assert!(!registry.publish(b"", &mut receivers) && receivers.is_empty());
    }
}
