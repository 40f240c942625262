//! What a table costs: to build, to ask for one key, and to walk.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kvdb_lsm::Compression;
use kvdb_lsm::probe::{self, TableProbe};
use kvdb_lsm::vfs::{OsVfs, Vfs, VfsFile};
use std::hint::black_box;
use std::io;

/// About what fills a table of 64 MiB.
const ENTRIES: usize = 500_000;
const VALUE: usize = 100;

/// A file that takes everything and keeps nothing: what is measured is the builder.
struct Sink;

impl VfsFile for Sink {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&self, buf: &[u8], _: u64) -> io::Result<usize> {
        Ok(black_box(buf).len())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }
}

/// Random 16-byte keys in order, and values that compress to about a half.
fn entries() -> Vec<([u8; 16], [u8; VALUE])> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut entries: Vec<_> = (0..ENTRIES)
        .map(|_| {
            let (mut key, mut value) = ([0; 16], [b'v'; VALUE]);
            key[..8].copy_from_slice(&next().to_be_bytes());
            key[8..].copy_from_slice(&next().to_be_bytes());
            for word in value[..VALUE / 2].chunks_mut(8) {
                word.copy_from_slice(&next().to_le_bytes()[..word.len()]);
            }
            (key, value)
        })
        .collect();
    entries.sort_unstable();
    entries
}

fn table(c: &mut Criterion) {
    let entries = entries();
    let pairs = || entries.iter().map(|(key, value)| (&key[..], &value[..]));
    let mut group = c.benchmark_group("table");
    group.sample_size(10);
    group.throughput(Throughput::Bytes((ENTRIES * (16 + VALUE)) as u64));
    for (name, compression) in [("raw", Compression::None), ("LZ4", Compression::Lz4)] {
        group.bench_function(format!("build, {name}"), |b| {
            b.iter(|| probe::build_table(Box::new(Sink), 1, compression, pairs()).expect("build"));
        });
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("table");
    let file = OsVfs.create(&path).expect("create");
    let size = probe::build_table(file, 1, Compression::None, pairs()).expect("build");
    let probe = TableProbe::open(&path, 1, size).expect("open");
    for (key, value) in &entries {
        assert_eq!(probe.get(key).expect("get").as_deref(), Some(&value[..]));
    }
    group.throughput(Throughput::Elements(ENTRIES as u64));
    for (name, is_forward) in [("forward", true), ("backward", false)] {
        group.bench_function(format!("walk {name}"), |b| {
            b.iter(|| assert_eq!(probe.walk(is_forward).expect("walk"), ENTRIES as u64));
        });
    }
    group.sample_size(50);
    group.throughput(Throughput::Elements(1));
    let mut n = 0usize;
    group.bench_function("get from the block cache", |b| {
        b.iter(|| {
            n = (n + 7_919) % ENTRIES;
            black_box(probe.get(&entries[n].0).expect("get"))
        });
    });
    group.bench_function("get a key that is not there", |b| {
        b.iter(|| {
            n = (n + 7_919) % ENTRIES;
            let mut key = entries[n].0;
            key[15] ^= 1;
            black_box(probe.get(&key).expect("get"))
        });
    });
    group.finish();
}

criterion_group!(benches, table);
criterion_main!(benches);
