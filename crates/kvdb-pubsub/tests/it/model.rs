//! Random conversations of a few clients, against lists that are searched from end to end.

use std::collections::BTreeSet;
use std::sync::Arc;

use kvdb_pubsub::glob::{Case, matches};
use kvdb_pubsub::{ClientId, Kind, Receivers, Registry, Subscriber};
use proptest::prelude::*;

const CLIENTS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Subscribe(usize, Kind, String),
    Unsubscribe(usize, Kind, String),
    UnsubscribeAll(usize, Kind),
    /// The client goes, and another with a new number takes its place.
    Disconnect(usize),
    Publish(String),
}

/// Every subscription there is, oldest first.
#[derive(Default)]
struct Model(Vec<(ClientId, Kind, String)>);

impl Model {
    fn count(&self, client: ClientId, kind: Kind) -> usize {
        let same = |other: Kind| (kind == Kind::ShardChannel) == (other == Kind::ShardChannel);
        self.0.iter().filter(|entry| entry.0 == client && same(entry.1)).count()
    }

    fn names(&self, kind: Kind) -> BTreeSet<&[u8]> {
        self.0.iter().filter(|entry| entry.1 == kind).map(|entry| entry.2.as_bytes()).collect()
    }

    fn listeners(&self, kind: Kind, name: &[u8]) -> Vec<ClientId> {
        self.0
            .iter()
            .filter(|entry| entry.1 == kind && entry.2.as_bytes() == name)
            .map(|entry| entry.0)
            .collect()
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Channel, Kind::Pattern, Kind::ShardChannel])
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]{0,3}",
        "[ab]{0,2}[*?]{1,2}[ab]{0,2}",
        "a{60,66}\\*",
        Just("a".repeat(64)),
        Just("[ab]*".to_owned()),
        Just("\\a*".to_owned()),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        6 => (client.clone(), kinds(), names()).prop_map(|(client, kind, name)| Step::Subscribe(client, kind, name)),
        3 => (client.clone(), kinds(), names()).prop_map(|(client, kind, name)| Step::Unsubscribe(client, kind, name)),
        1 => (client.clone(), kinds()).prop_map(|(client, kind)| Step::UnsubscribeAll(client, kind)),
        1 => client.prop_map(Step::Disconnect),
        4 => prop_oneof!["[ab]{0,4}", Just("a".repeat(64)), Just("a".repeat(70))].prop_map(Step::Publish),
    ]
}

proptest! {
    #[test]
    fn everybody_gets_what_they_listen_to(seed in any::<u64>(), steps in prop::collection::vec(steps(), 1..120)) {
        let registry = Arc::new(Registry::new(seed));
        let client = |id| Subscriber::new(Arc::clone(&registry), id);
        let mut ids: Vec<ClientId> = (0..CLIENTS as ClientId).collect();
        let mut clients: Vec<Subscriber> = ids.iter().map(|id| client(*id)).collect();
        let mut model = Model::default();
        let mut receivers = Receivers::default();
        for step in steps {
            match step {
                Step::Subscribe(who, kind, name) => {
                    let count = clients[who].subscribe(kind, name.as_bytes());
                    let entry = (ids[who], kind, name);
                    if !model.0.contains(&entry) {
                        model.0.push(entry);
                    }
                    prop_assert_eq!(count, model.count(ids[who], kind));
                }
                Step::Unsubscribe(who, kind, name) => {
                    let count = clients[who].unsubscribe(kind, name.as_bytes());
                    let entry = (ids[who], kind, name);
                    model.0.retain(|other| *other != entry);
                    prop_assert_eq!(count, model.count(ids[who], kind));
                }
                Step::UnsubscribeAll(who, kind) => {
                    for (name, count) in clients[who].unsubscribe_all(kind) {
                        let oldest = model.0.iter().position(|entry| entry.0 == ids[who] && entry.1 == kind);
                        let entry = model.0.remove(oldest.expect("a subscription to end"));
                        prop_assert_eq!((&name[..], count), (entry.2.as_bytes(), model.count(ids[who], kind)));
                    }
                    prop_assert_eq!(clients[who].len(kind), 0);
                }
                Step::Disconnect(who) => {
                    model.0.retain(|entry| entry.0 != ids[who]);
                    ids[who] = *ids.iter().max().expect("there are clients") + 1;
                    clients[who] = client(ids[who]);
                    prop_assert!(clients[who].is_empty());
                }
                Step::Publish(channel) => {
                    let channel = channel.as_bytes();
                    registry.publish(channel, &mut receivers);
                    prop_assert_eq!(receivers.direct(), model.listeners(Kind::Channel, channel));
                    let mut expected = model.names(Kind::Pattern);
                    expected.retain(|pattern| matches(pattern, channel, Case::Sensitive));
                    let mut len = receivers.direct().len();
                    for (pattern, clients) in receivers.by_pattern() {
                        prop_assert!(expected.remove(&pattern[..]), "{pattern:?} does not match or is there twice");
                        prop_assert_eq!(clients, model.listeners(Kind::Pattern, pattern));
                        len += clients.len();
                    }
                    prop_assert!(expected.is_empty(), "{expected:?} were missed");
                    prop_assert_eq!((receivers.len(), receivers.is_empty()), (len, len == 0));

                    registry.publish_to_shard(channel, &mut receivers);
                    prop_assert_eq!(receivers.direct(), model.listeners(Kind::ShardChannel, channel));
                    prop_assert_eq!(receivers.by_pattern().count(), 0);
                    prop_assert_eq!(
                        registry.channel_subscribers(channel),
                        model.listeners(Kind::Channel, channel).len()
                    );
                    prop_assert_eq!(
                        registry.shard_channel_subscribers(channel),
                        model.listeners(Kind::ShardChannel, channel).len()
                    );
                }
            }
            for kind in [Kind::Channel, Kind::Pattern, Kind::ShardChannel] {
                prop_assert_eq!(registry.count(kind), model.names(kind).len());
            }
        }
        let listed = |names: &[bytes::Bytes]| names.iter().map(|name| name.to_vec()).collect::<BTreeSet<_>>();
        let expected = |kind, pattern: &[u8]| {
            let names = model.names(kind).into_iter().filter(|name| matches(pattern, name, Case::Sensitive));
            names.map(<[u8]>::to_vec).collect::<BTreeSet<_>>()
        };
        prop_assert_eq!(listed(&registry.channels(Some(b"a*"))), expected(Kind::Channel, b"a*"));
        prop_assert_eq!(listed(&registry.shard_channels(Some(b"?b"))), expected(Kind::ShardChannel, b"?b"));
        prop_assert_eq!(registry.channels(None).len(), model.names(Kind::Channel).len());
        drop(clients);
        for kind in [Kind::Channel, Kind::Pattern, Kind::ShardChannel] {
            prop_assert_eq!(registry.count(kind), 0);
        }
    }
}
