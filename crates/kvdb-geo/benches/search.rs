//! The arithmetic of one GEOADD, one GEOSEARCH, and of each position that a search looks at.
//!
//! `cargo bench -p kvdb-geo`

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use kvdb_geo::{Point, Shape, Unit, decode, encode, geohash, search_areas};

fn arithmetic(c: &mut Criterion) {
    let point = |longitude, latitude| Point::new(longitude, latitude).expect("a position");
    let (palermo, catania) = (point(13.361_389, 38.115_556), point(15.087_269, 37.502_669));
    let score = encode(palermo);
    let radius = Shape::Radius { radius: 200.0, unit: Unit::Kilometers };
    let rectangle = Shape::Box { width: 400.0, height: 400.0, unit: Unit::Kilometers };
    c.bench_function("encode", |b| b.iter(|| encode(black_box(palermo))));
    c.bench_function("decode", |b| b.iter(|| decode(black_box(score))));
    c.bench_function("geohash", |b| b.iter(|| geohash(black_box(score))));
    c.bench_function("search areas", |b| b.iter(|| search_areas(black_box(catania), &radius)));
    c.bench_function("within radius", |b| {
        b.iter(|| radius.distance_within(black_box(catania), decode(black_box(score))));
    });
    c.bench_function("within box", |b| {
        b.iter(|| rectangle.distance_within(black_box(catania), decode(black_box(score))));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = arithmetic
}
criterion_main!(benches);
