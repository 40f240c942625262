//! What the hot path costs: a memtable insert, an append, and point reads from memory, from the
//! block cache, and past the filters.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::probe::MemtableProbe;
use kvdb_lsm::{Db, Options, Partitioning};
use std::hint::black_box;

const KEYS: u64 = 1_000_000;

/// A 16-byte key whose first byte spreads over the partitions.
fn key(n: u64) -> [u8; 16] {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mixed.to_be_bytes());
    key[8..].copy_from_slice(&n.to_be_bytes());
    key
}

fn memtable(c: &mut Criterion) {
    let mut group = c.benchmark_group("memtable");
    group.throughput(Throughput::Elements(1));
    let mut batch = WriteBatch::new();
    let (mut table, mut n) = (MemtableProbe::new(Partitioning::default()), 0);
    group.bench_function("insert new key", |b| {
        b.iter(|| {
            n += 1;
            if n % KEYS == 0 {
                table = MemtableProbe::new(Partitioning::default());
            }
            batch.clear();
            batch.put(&key(n), &[7; 64]);
            table.insert(n, &batch);
        });
    });
    let table = MemtableProbe::new(Partitioning::default());
    for n in 1..=KEYS {
        batch.clear();
        batch.put(&key(n), &[7; 64]);
        table.insert(n, &batch);
    }
    let mut seq = KEYS;
    group.bench_function("overwrite one of a million", |b| {
        b.iter(|| {
            seq += 1;
            batch.clear();
            batch.put(&key(1 + seq.wrapping_mul(7919) % KEYS), &[8; 64]);
            table.insert(seq, &batch);
        });
    });
    group.bench_function("get one of a million", |b| {
        b.iter(|| {
            seq += 1;
            black_box(table.contains(&key(1 + seq.wrapping_mul(7919) % KEYS)))
        });
    });
    group.finish();
}

fn database(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut options = Options::new(dir.path());
    options.sync = SyncPolicy::No;
    options.write_buffer_bytes = 1 << 30;
    options.block_cache_bytes = 512 << 20;
    options.background = false;
    let db = Db::open(options).expect("open");
    let mut batch = WriteBatch::new();
    let mut append = |n: u64, mark: u8| {
        batch.clear();
        batch.put(&key(n), &[mark; 64]);
        let seq = db.append(&batch).expect("append");
        if seq.is_multiple_of(64) {
            db.log().write_out(seq).expect("write");
            db.log().tick(std::time::Duration::from_millis(seq / 64));
        }
    };
    let mut group = c.benchmark_group("database");
    group.throughput(Throughput::Elements(1));
    (0..KEYS).for_each(|n| append(n, 1));
    let mut n = 0u64;
    group.bench_function("append, 64 to a write", |b| {
        b.iter(|| {
            n += 1;
            append(n.wrapping_mul(7919) % KEYS, 2);
        });
    });
    group.bench_function("get from the memtable", |b| {
        b.iter(|| {
            n += 1;
            black_box(db.get_cached(&key(n.wrapping_mul(7919) % KEYS)).expect("get"))
        });
    });
    group.bench_function("make a view", |b| b.iter(|| black_box(db.view())));
    scans(&mut group, &db, "memtable");
    db.flush().expect("flush");
    for n in 0..KEYS {
        black_box(db.get(&key(n)).expect("get"));
    }
    group.bench_function("get from the block cache", |b| {
        b.iter(|| {
            n += 1;
            black_box(db.get_cached(&key(n.wrapping_mul(7919) % KEYS)).expect("get"))
        });
    });
    let mut buffer = Vec::new();
    group.bench_function("get from the block cache into a buffer", |b| {
        b.iter(|| {
            n += 1;
            black_box(db.get_into(&key(n.wrapping_mul(7919) % KEYS), &mut buffer).expect("get"))
        });
    });
    group.throughput(Throughput::Elements(100));
    group.bench_function("get 100 keys at once from the block cache", |b| {
        b.iter(|| {
            n += 100;
            let keys: Vec<_> = (n..n + 100).map(|n| key(n.wrapping_mul(7919) % KEYS)).collect();
            black_box(db.multi_get(&keys).expect("get"))
        });
    });
    group.throughput(Throughput::Elements(1));
    scans(&mut group, &db, "one table");
    // Six sources: five tables of a fifth of the keys each, and a memtable.
    for part in 0..5 {
        (0..KEYS).filter(|n| n % 7 == part).for_each(|n| append(n, 3));
        db.flush().expect("flush");
    }
    (0..KEYS).filter(|n| n % 7 == 5).for_each(|n| append(n, 4));
    scans(&mut group, &db, "six overlapping sources");
    group.bench_function("get a key that is not there", |b| {
        b.iter(|| {
            n += 1;
            black_box(db.get_cached(&key(KEYS + n)).expect("get"))
        });
    });
    group.finish();
}

/// Steps and seeks of an iterator.
fn scans(group: &mut BenchmarkGroup<'_, WallTime>, db: &Db, over: &str) {
    let view = db.view();
    let mut iter = db.iter_all(&view);
    group.bench_function(format!("step forward over {over}"), |b| {
        b.iter(|| {
            if iter.next_entry().expect("step").is_none() {
                iter.seek_first().expect("seek");
            }
        });
    });
    group.bench_function(format!("step backward over {over}"), |b| {
        b.iter(|| {
            if iter.prev_entry().expect("step").is_none() {
                iter.seek_last().expect("seek");
            }
        });
    });
    let mut n = 0u64;
    group.bench_function(format!("seek in {over}"), |b| {
        b.iter(|| {
            n += 1;
            black_box(iter.seek(&key(n.wrapping_mul(7919) % KEYS)).expect("seek").is_some())
        });
    });
}

criterion_group!(benches, memtable, database);
criterion_main!(benches);
