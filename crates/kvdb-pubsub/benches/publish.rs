//! The cost of finding who gets a message, and of coming and going.
//!
//! `cargo bench -p kvdb-pubsub`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kvdb_pubsub::{Kind, Receivers, Registry, Subscriber};

/// As many clients, each with one subscription that `name` makes from its number.
fn subscribers(
    registry: &Arc<Registry>,
    count: u64,
    kind: Kind,
    name: impl Fn(u64) -> String,
) -> Vec<Subscriber> {
    let made = (0..count).map(|id| {
        let mut subscriber = Subscriber::new(Arc::clone(registry), id);
        subscriber.subscribe(kind, name(id).as_bytes());
        subscriber
    });
    made.collect()
}

fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    let mut measure = |name: &str, registry: &Registry, expected: usize| {
        let mut receivers = Receivers::default();
        registry.publish(b"room:4711", &mut receivers);
        assert_eq!(receivers.len(), expected, "{name}");
        group.throughput(Throughput::Elements(expected.max(1) as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                registry.publish(black_box(b"room:4711"), &mut receivers);
                receivers.len()
            });
        });
    };
    let empty = Registry::new(1);
    measure("to nobody, nobody listens", &empty, 0);
    let others = Arc::new(Registry::new(1));
    let _held = subscribers(&others, 10_000, Kind::Channel, |id| format!("hall:{id}"));
    measure("to nobody, 10 000 other channels", &others, 0);
    for count in [1, 100, 10_000] {
        let registry = Arc::new(Registry::new(1));
        let _held = subscribers(&registry, count, Kind::Channel, |_| "room:4711".to_owned());
        measure(&format!("to {count} of a channel"), &registry, count as usize);
    }
    type Naming = fn(u64) -> String;
    let patterns: [(&str, Naming, usize); 4] = [
        ("to nobody, 10 000 patterns hall:N:*", |id| format!("hall:{id}:*"), 0),
        ("to nobody, 10 000 patterns *:N", |id| format!("*:{}", id + 10_000), 0),
        ("to 1 of 10 000 patterns room:N*", |id| format!("room:{}*", id + 4711), 1),
        ("to 10 000 of one pattern", |_| "room:*".to_owned(), 10_000),
    ];
    for (name, naming, expected) in patterns {
        let registry = Arc::new(Registry::new(1));
        let _held = subscribers(&registry, 10_000, Kind::Pattern, naming);
        measure(name, &registry, expected);
    }
    group.finish();
}

fn come_and_go(c: &mut Criterion) {
    let mut group = c.benchmark_group("subscribe and leave");
    let registry = Arc::new(Registry::new(1));
    let _held = subscribers(&registry, 10_000, Kind::Channel, |_| "room:4711".to_owned());
    for name in ["room:4711", "room:4712"] {
        group.bench_function(if name == "room:4711" { "one of 10 001" } else { "alone" }, |b| {
            b.iter(|| {
                let mut subscriber = Subscriber::new(Arc::clone(&registry), 1);
                subscriber.subscribe(Kind::Channel, black_box(name.as_bytes()))
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = publish, come_and_go
}
criterion_main!(benches);
