//! What the commit log costs: an append, and a group of them written to the system.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::log::{Log, LogOptions, SyncPolicy};
use kvdb_lsm::vfs::OsVfs;
use std::sync::Arc;
use std::time::Instant;

/// Batches per write, as a pipeline of commands makes them.
const GROUP: u64 = 16;
/// Appends between two removals of old segments.
const KEPT: u64 = 1 << 20;

fn open(dir: &tempfile::TempDir) -> Log {
    let options = LogOptions { policy: SyncPolicy::No, ..LogOptions::new(Arc::new(OsVfs), dir.path()) };
    Log::open(options, |_, _| Ok(())).expect("an empty log opens").0
}

fn append(log: &Log, batch: &WriteBatch, n: u64) {
    let (seq, ()) = log.append(batch, |_| ()).expect("there is room");
    if n % GROUP == GROUP - 1 {
        log.write_out(seq).expect("written");
    }
    if n % KEPT == KEPT - 1 {
        let (segment, ()) = log.rotate(|_| ()).expect("rotated");
        log.remove_before(segment);
    }
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Elements(1));
    let mut batch = WriteBatch::new();
    batch.put(b"key:0123456789ab", &[7; 64]);

    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(&dir);
    let mut n = 0;
    group.bench_function("append, written by sixteens", |b| {
        b.iter(|| {
            append(&log, &batch, n);
            n += 1;
        });
    });
    group.bench_function("append, written by sixteens, two threads", |b| {
        b.iter_custom(|iterations| {
            let start = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| (0..iterations / 2 + 1).for_each(|n| append(&log, &batch, n)));
                }
            });
            start.elapsed()
        });
    });
    group.bench_function("compose and append", |b| {
        let mut batch = WriteBatch::new();
        b.iter(|| {
            batch.clear();
            let key = |out: &mut kvdb_lsm::batch::FieldWriter<'_>| {
                out.push(1);
                out.extend_from_slice(b"key:0123456789a");
            };
            batch.put_with(16, key, 64, |out| out.extend_from_slice(&[7; 64]));
            append(&log, &batch, n);
            n += 1;
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
