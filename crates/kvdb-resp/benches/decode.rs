//! The cost of one request and of one reply. Buffers hold a pipeline of 64, as a busy connection's
//! read does; the figure is per request.
//!
//! `cargo bench -p kvdb-resp`

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kvdb_resp::{Decoded, Decoder, Limits, Protocol, Reply, ReplyDecoder, ReplyLimits, encode_command};

const PIPELINE: u64 = 64;
const KEY: &str = "key:000000123456";

fn pipeline(command: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..PIPELINE {
        encode_command(&mut out, command);
    }
    out
}

/// Decodes every request of `input` and looks at each argument's length.
fn drain(decoder: &mut Decoder, mut input: &[u8], limits: &Limits) -> usize {
    let mut sum = 0;
    while let Ok(Decoded::Request { consumed }) = decoder.decode(input, limits) {
        let args = decoder.args(input);
        for arg in args {
            sum += arg.len();
        }
        input = &input[consumed..];
    }
    sum
}

fn requests(c: &mut Criterion) {
    let value = "v".repeat(64);
    let large = "v".repeat(4096);
    let inline = format!("GET {KEY}\r\n").repeat(PIPELINE as usize).into_bytes();
    let inputs = [
        ("GET", pipeline(&["GET", KEY])),
        ("SET/64", pipeline(&["SET", KEY, &value])),
        ("SET/4096", pipeline(&["SET", KEY, &large])),
        ("HSET/9 args", pipeline(&["HSET", KEY, "f1", "v1", "f2", "v2", "f3", "v3", "last"])),
        ("inline GET", inline),
    ];
    let limits = Limits::default();
    let mut group = c.benchmark_group("decode request");
    group.throughput(Throughput::Elements(PIPELINE));
    for (name, input) in &inputs {
        group.bench_with_input(BenchmarkId::from_parameter(name), input, |b, input| {
            let mut decoder = Decoder::default();
            b.iter(|| drain(&mut decoder, black_box(input), &limits));
        });
    }
    group.finish();
}

fn replies(c: &mut Criterion) {
    let value = [b'v'; 64];
    let mut group = c.benchmark_group("write reply");
    group.throughput(Throughput::Elements(PIPELINE));
    type Writer = fn(&mut Reply<'_>, &[u8]);
    let writers: [(&str, Writer); 5] = [
        ("ok", |reply, _| reply.ok()),
        ("bulk/64", |reply, value| reply.bulk(value)),
        ("integer/1", |reply, _| reply.integer(1)),
        ("integer/10 digits", |reply, _| reply.integer(1_234_567_890)),
        ("double/0.1", |reply, _| reply.double(0.1)),
    ];
    for (name, write) in writers {
        group.bench_function(name, |b| {
            let mut out = Vec::with_capacity(64 * 1024);
            b.iter(|| {
                out.clear();
                let mut reply = Reply::new(&mut out, Protocol::Resp3);
                for _ in 0..PIPELINE {
                    write(&mut reply, black_box(&value));
                }
                out.len()
            });
        });
    }
    group.finish();
}

fn values(c: &mut Criterion) {
    let mut input = Vec::new();
    for _ in 0..PIPELINE {
        Reply::new(&mut input, Protocol::Resp2).bulk(&[b'v'; 64]);
    }
    let limits = ReplyLimits::default();
    let mut group = c.benchmark_group("decode reply");
    group.throughput(Throughput::Elements(PIPELINE));
    group.bench_function("bulk/64", |b| {
        let mut decoder = ReplyDecoder::default();
        b.iter(|| {
            let mut rest = black_box(&input[..]);
            while let Ok(Some((value, consumed))) = decoder.decode(rest, &limits) {
                black_box(value);
                rest = &rest[consumed..];
            }
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = requests, replies, values
}
criterion_main!(benches);
