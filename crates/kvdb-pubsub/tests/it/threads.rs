//! Workers that come, go and publish at the same time.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use kvdb_pubsub::{Kind, Receivers, Registry, Subscriber};

const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::ShardChannel];

#[test]
fn who_has_subscribed_is_reached_and_who_has_left_is_not_while_others_come_and_go() {
    const ROUNDS: u64 = 2000;
    let registry = Arc::new(Registry::new(3));
    let (ask, asked) = mpsc::channel::<Option<u64>>();
    let (answer, answered) = mpsc::channel::<(usize, usize)>();
    thread::scope(|scope| {
        for worker in 0..2 {
            let registry = Arc::clone(&registry);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let mut other = Subscriber::new(Arc::clone(&registry), 1000 + worker);
                    // The same pattern, prefixes and shards as the subscriber below, so that they get in its way.
                    for kind in KINDS {
                        other.subscribe(kind, b"news.*");
                        other.subscribe(kind, format!("news.{}", round % 7).as_bytes());
                    }
                }
            });
        }
        let publisher = Arc::clone(&registry);
        scope.spawn(move || {
            let mut receivers = Receivers::default();
            let mut count = |client: u64| {
                publisher.publish(b"news.1", &mut receivers);
                let patterns = receivers.by_pattern().flat_map(|(_, clients)| clients);
                let mut found = receivers.direct().iter().chain(patterns).filter(|id| **id == client).count();
                publisher.publish_to_shard(b"news.1", &mut receivers);
                found += receivers.direct().iter().filter(|id| **id == client).count();
                found
            };
            while let Ok(Some(client)) = asked.recv() {
                // Nobody has this number but the one who asks and waits.
                answer.send((count(client), count(u64::MAX))).expect("the subscriber waits");
            }
        });
        for round in 0..ROUNDS {
            let mut subscriber = Subscriber::new(Arc::clone(&registry), round % 5);
            subscriber.subscribe(Kind::Channel, b"news.1");
            subscriber.subscribe(Kind::Pattern, b"news.*");
            subscriber.subscribe(Kind::Pattern, b"news.[0-9]");
            subscriber.subscribe(Kind::ShardChannel, b"news.1");
            ask.send(Some(round % 5)).expect("the publisher waits");
            assert_eq!(answered.recv().expect("an answer"), (4, 0), "round {round}");
            drop(subscriber);
            ask.send(Some(round % 5)).expect("the publisher waits");
            assert_eq!(answered.recv().expect("an answer"), (0, 0), "round {round}");
        }
        ask.send(None).expect("the publisher waits");
    });
    assert_eq!(KINDS.map(|kind| registry.count(kind)), [0; 3]);
}
