//! `cargo xtask bench`: measurements that hold on a small, noisy machine.
//!
//! Throughput alone says little where server and client share two cores. The figure of record is the server's CPU time
//! per operation, as a ratio to Redis in the same session: one server alive at a time, in the order ABBA so that a drift
//! of the machine falls on both, on the same file system with the same durability. Work that a server puts off (a flush,
//! a rewrite) is waited for and charged to the point that caused it.

mod drive;
mod lsm;
mod plot;
mod probe;
mod report;
mod sittings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::campaign::Policy;
use crate::failure::{Outcome, While, fail};
use crate::server::{Build, Product, Server, Subject};
use crate::workspace::{self, Scratch};
use crate::{markdown, process, wire};
use drive::{Generator, Load, Seen};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Options {
    /// KVDB and redis-server side by side.
    Redis(Paired),
    /// The storage engine beside RocksDB, fjall and redb.
    Lsm(lsm::Options),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Paired {
    /// How many times each server runs; their order alternates.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=50))]
    pairs: u32,
    /// Only these commands.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Test::Get, Test::Set, Test::Incr, Test::Mset, Test::Setex, Test::Getrange])]
    only: Vec<Test>,
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    pipelines: Vec<usize>,
    #[arg(long, value_enum, default_value_t = Policy::Everysec)]
    appendfsync: Policy,
    #[arg(long, value_enum, default_value_t = Generator::RedisBenchmark)]
    generator: Generator,
    /// Seconds that each point should take.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Keys that exist before the measurement, and from which it draws.
    #[arg(long, default_value_t = 1_000_000)]
    keyspace: u64,
    #[arg(long, default_value_t = 64)]
    value_size: usize,
    /// KVDB's worker threads; its own choice by default.
    #[arg(long)]
    workers: Option<u32>,
    /// Numbers of small keys for the memory table; 0 for no such table.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000_000, 5_000_000])]
    memory_keys: Vec<u64>,
    #[command(flatten)]
    subject: Subject,
    /// Add the pairs of this run to those in this file, and make the table of all of them.
    #[arg(long)]
    sittings: Option<PathBuf>,
    /// Also put the tables into this page, between markers.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Test {
    Get,
    Set,
    Incr,
    Mset,
    Setex,
    Getrange,
}

impl Test {
    /// The command's name in the generator's mix.
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Incr => "incr",
            Self::Mset => "mset",
            Self::Setex => "setex",
            Self::Getrange => "getrange",
        }
    }
}

/// One row of the speed table: a sample of each server per pair.
struct Case {
    test: Test,
    pipeline: usize,
    baseline: Vec<Sample>,
    candidate: Vec<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    seen: Seen,
    used: probe::Usage,
}

impl Sample {
    /// Nanoseconds.
    fn cpu_per_op(&self) -> f64 {
        self.used.cpu.as_nanos() as f64 / self.seen.requests as f64
    }

    fn switches_per_op(&self) -> f64 {
        self.used.switches as f64 / self.seen.requests as f64
    }
}

/// One row of the memory table, in bytes of resident memory that `keys` small keys added.
struct Memory {
    keys: u64,
    baseline: u64,
    candidate: u64,
}

/// Bytes of a key and a value in the memory table: 16 each.
const SMALL_KEY_AND_VALUE: u32 = 32;

/// How long a server may work on after the last reply.
const SETTLE_WITHIN: Duration = Duration::from_secs(20);

pub(crate) fn run(options: &Options) -> Outcome {
    process::catch_interrupts();
    match options {
        Options::Redis(options) => paired(options),
        Options::Lsm(options) => lsm::run(options),
    }
}

fn paired(options: &Paired) -> Outcome {
    let bench = Bench {
        options,
        redis: Product::Redis.program(Build::Release)?,
        candidate: options.subject.program(Build::Release)?,
    };
    let ours = if options.subject.against == Product::Redis { "redis again" } else { "kvdb" };
    let mut cases = bench.cases();
    let earlier = match &options.sittings {
        Some(file) => sittings::read(file, &mut cases)?,
        None => 0,
    };
    for pair in earlier..earlier + options.pairs {
        let redis_first = pair % 2 == 0;
        for redis in [redis_first, !redis_first] {
            let name = if redis { "redis" } else { ours };
            eprintln!("pair {} of {}: {name}", pair + 1, earlier + options.pairs);
            bench.speed(redis, &mut cases).while_doing(|| format!("measuring {name}"))?;
        }
        if let Some(file) = &options.sittings {
            sittings::append_pair(file, &cases)?;
        }
    }
    let mut memory = Vec::new();
    for &keys in options.memory_keys.iter().filter(|&&keys| keys > 0) {
        eprintln!("memory of {keys} keys");
        memory.push(Memory {
            keys,
            baseline: bench.memory(true, keys)?,
            candidate: bench.memory(false, keys)?,
        });
    }
    let mut text = report::speed(&cases, ours)?;
    if !memory.is_empty() {
        text = format!("{text}\n{}", report::memory(&memory, ours)?);
    }
    println!("\n{text}");
    if let Some(page) = &options.markdown {
        let root = workspace::root()?;
        let args: Vec<String> = std::env::args().skip(1).collect();
        let pairs = earlier + options.pairs;
        let circumstances = report::provenance(&root);
        let text = format!("`cargo xtask {}`, {pairs} pairs; {circumstances}.\n\n{text}", args.join(" "));
        markdown::replace_section(
            &root.join(page),
            &format!("bench redis {}", options.appendfsync.name()),
            &text,
        )?;
    }
    Ok(())
}

struct Bench<'a> {
    options: &'a Paired,
    redis: PathBuf,
    candidate: PathBuf,
}

impl Bench<'_> {
    fn cases(&self) -> Vec<Case> {
        let tests = self.options.only.iter();
        let case = |test, pipeline| Case { test, pipeline, baseline: Vec::new(), candidate: Vec::new() };
        tests
            .flat_map(|&test| self.options.pipelines.iter().map(move |&pipeline| case(test, pipeline)))
            .collect()
    }

    fn start(&self, redis: bool, dir: &Path) -> Outcome<Server> {
        let workers = self.options.workers.map(|workers| workers.to_string());
        let mut settings = vec!["--appendfsync", self.options.appendfsync.name()];
        let is_kvdb = !redis && self.options.subject.against == Product::Kvdb;
        if let Some(workers) = workers.as_deref().filter(|_| is_kvdb) {
            settings.extend(["--workers", workers]);
        }
        Server::start(if redis { &self.redis } else { &self.candidate }, dir, &settings)
    }

    /// Runs every case once on a fresh server.
    fn speed(&self, redis: bool, cases: &mut [Case]) -> Outcome {
        let scratch = Scratch::new("bench")?;
        let mut server = self.start(redis, &scratch.path().join("data"))?;
        let load = Load {
            generator: self.options.generator,
            port: server.port(),
            connections: self.options.connections,
            keyspace: self.options.keyspace,
            value_size: self.options.value_size,
        };
        load.preload()?;
        expect_keys(&server, self.options.keyspace)?;
        probe::settle(server.pid(), SETTLE_WITHIN)?;
        for case in cases {
            if process::interrupted() {
                fail!("interrupted");
            }
            let sample = self.point(&load, server.pid(), case.test, case.pipeline);
            server.expect_alive()?;
            if redis { &mut case.baseline } else { &mut case.candidate }.push(sample?);
        }
        server.stop()
    }

    /// One point: a short run to learn the speed and to warm up, then the run that counts.
    fn point(&self, load: &Load, server: u32, test: Test, pipeline: usize) -> Outcome<Sample> {
        let batch = (load.connections * pipeline) as u64;
        let warm_up = load.run(test, pipeline, batch * 20)?;
        let before = probe::settle(server, SETTLE_WITHIN)?;
        let requests = (warm_up.per_second * self.options.seconds) as u64;
        let seen = load.run(test, pipeline, requests.max(batch * 20))?;
        let used = probe::settle(server, SETTLE_WITHIN)?.since(before);
        let sample = Sample { seen, used };
        let (cpu, speed) = (sample.cpu_per_op(), sample.seen.per_second);
        eprintln!("  {:<9} P={pipeline:<3} {cpu:>7.0} ns/op {speed:>9.0} ops/s", test.name());
        Ok(sample)
    }

    /// Resident bytes that `keys` keys of 16 bytes with values of 16 bytes add.
    fn memory(&self, redis: bool, keys: u64) -> Outcome<u64> {
        let scratch = Scratch::new("bench-memory")?;
        let server = self.start(redis, &scratch.path().join("data"))?;
        let empty = probe::resident(server.pid())?;
        let load = Load {
            generator: Generator::Own,
            port: server.port(),
            connections: 8,
            keyspace: keys,
            value_size: 16,
        };
        load.preload()?;
        expect_keys(&server, keys)?;
        probe::settle(server.pid(), SETTLE_WITHIN)?;
        let full = probe::resident(server.pid())?;
        server.stop()?;
        Ok(full.saturating_sub(empty))
    }
}

/// A benchmark whose keys are not there measures misses.
fn expect_keys(server: &Server, keys: u64) -> Outcome {
    let counted = server.connect()?.call(&[b"DBSIZE"])?;
    if counted != wire::Reply::Integer(i64::try_from(keys)?) {
        fail!("{keys} keys were written, but DBSIZE answers {counted:?}");
    }
    Ok(())
}
