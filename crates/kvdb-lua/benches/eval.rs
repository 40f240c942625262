//! What running a script costs beside the commands it calls.
//!
//! `cargo bench -p kvdb-lua`

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use kvdb_lua::{
    CacheLimits, Ending, Host, Interrupt, LogLevel, Origin, Permission, ScriptCache, Sha, Stop, Vm, VmOptions,
};
use kvdb_resp::{Args, Protocol, Reply};

/// A server whose every command counts.
struct Counter(i64);

impl Host for Counter {
    fn call(&mut self, args: Args<'_>, protocol: Protocol, out: &mut Vec<u8>) -> Result<(), Interrupt> {
        self.0 += 1;
        match args.name() {
            b"INCR" => Reply::new(out, protocol).integer(self.0),
            _ => Reply::new(out, protocol).bulk(&[b'v'; 64]),
        }
        Ok(())
    }

    fn check_permission(&mut self, _args: Args<'_>) -> Permission {
        Permission::Granted
    }

    fn log(&mut self, _level: LogLevel, _message: &[u8]) {}

    fn should_stop(&mut self) -> Option<Stop> {
        None
    }

    fn seed(&mut self) -> i32 {
        0
    }

    fn cpu_seconds(&mut self) -> f64 {
        0.0
    }
}

fn evaluate(c: &mut Criterion) {
    let scripts = [
        ("return 1", "return 1"),
        ("INCR", "return redis.call('INCR', KEYS[1])"),
        ("10 INCR", "for i = 1, 10 do redis.call('INCR', KEYS[1]) end"),
        ("GET of 64 bytes", "return redis.call('GET', KEYS[1])"),
        ("loop of 1000", "local n = 0 for i = 1, 1000 do n = n + i end return n"),
        ("match", "return string.match(ARGV[1], '^user:(%d+)$')"),
        ("cjson", "return cjson.encode(cjson.decode('{\"a\":[1,2,3],\"b\":\"text\",\"c\":{\"d\":1.5}}'))"),
        (
            "pairs",
            "local n = 0 for k, v in pairs({a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8}) do n = n + v end return n",
        ),
    ];
    let cache = ScriptCache::new(CacheLimits::default());
    let mut vm = Vm::new(VmOptions::default());
    let mut host = Counter(0);
    let mut out = Vec::new();
    let mut group = c.benchmark_group("eval");
    for (name, text) in scripts {
        let script = vm.script(&cache, text.as_bytes(), Origin::Eval).unwrap();
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                let mut reply = Reply::new(&mut out, Protocol::Resp2);
                let ending = vm.eval(&mut host, &script, &[b"key:1"], &[b"user:1234"], &mut reply);
                assert_eq!(ending, Ending::Returned);
            });
        });
    }
    group.bench_function("digest and look-up of 34 bytes", |b| {
        b.iter(|| cache.get(&Sha::of(black_box(b"return redis.call('INCR', KEYS[1])"))));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = evaluate
}
criterion_main!(benches);
