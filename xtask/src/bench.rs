//! `cargo xtask bench`: measurements that hold on a small, noisy machine.
//!
//! Throughput alone says little where server and client share two cores. The figure of record is the server's CPU time
//! per operation, as a ratio to Redis in the same session: one server alive at a time, in the order ABBA so that a drift
//! of the machine falls on both, on the same file system with the same durability. Work that a server puts off (a flush,
//! a rewrite) is waited for and charged to the point that caused it.

mod audience;
mod big;
mod commands;
mod drive;
mod engine_rows;
mod engine_table;
mod expiry;
mod idle;
mod lsm;
mod memory;
mod pause;
mod peers;
mod plot;
mod probe;
mod report;
mod sittings;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::campaign::Policy;
use crate::failure::{Outcome, While, fail};
use crate::server::{Build, Product, Server, Subject};
use crate::workspace::Scratch;
use crate::{process, wire};
use commands::{Command, Data, Family};
use drive::{Generator, Load, Seen};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Options {
    /// KVDB and redis-server side by side.
    Redis(Paired),
    /// What silent connections cost.
    Idle(idle::Options),
    /// Keys that have expired and are still there.
    Expiry(expiry::Options),
    /// How long other clients wait while a key of millions of elements is built, loaded, walked and removed.
    Pause(pause::Options),
    /// The storage engine beside RocksDB, fjall and redb.
    Lsm(lsm::Options),
    /// The storage engine with a database many times larger than its memory, from bulk load to restoration.
    Big(big::Options),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Paired {
    /// How many times each server runs; their order alternates.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=50))]
    pairs: u32,
    /// Which commands.
    #[arg(long, value_enum, default_value_t = Family::Strings)]
    family: Family,
    /// Only these of them.
    #[arg(long, value_delimiter = ',', value_parser = commands::named)]
    only: Vec<&'static Command>,
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
    /// Elements of each type for the memory table of types; 0 for no such table.
    #[arg(long, default_value_t = 1_000_000)]
    memory_elements: u64,
    #[command(flatten)]
    subject: Subject,
    /// Add the pairs of this run to those in this file, and make the table of all of them.
    #[arg(long)]
    sittings: Option<PathBuf>,
    /// Also put the tables into this page, between markers.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

impl Paired {
    /// The name of the page's part that this makes.
    fn section(&self) -> String {
        let durability = self.appendfsync.name();
        match self.family {
            Family::Strings => format!("bench redis {durability}"),
            Family::Types => format!("bench redis types {durability}"),
        }
    }
}

/// One row of the speed table: a sample of each server per pair.
struct Case {
    command: &'static Command,
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

/// Seconds of load that a server is given before its first point.
const WARM_UP: f64 = 4.0;
/// How long a server may work on after the last reply.
const SETTLE_WITHIN: Duration = Duration::from_secs(20);
/// How long it may work on after the data was made, which is to be no part of what is measured.
const SETTLE_DATA_WITHIN: Duration = Duration::from_secs(90);

pub(crate) fn run(options: &Options) -> Outcome {
    process::catch_interrupts();
    match options {
        Options::Redis(options) => paired(options),
        Options::Idle(options) => idle::run(options),
        Options::Expiry(options) => expiry::run(options),
        Options::Pause(options) => pause::run(options),
        Options::Lsm(options) => lsm::run(options),
        Options::Big(options) => big::run(options),
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
        for (data, redis) in
            data_of(&cases).into_iter().flat_map(|data| [(data, redis_first), (data, !redis_first)])
        {
            let name = if redis { "redis" } else { ours };
            eprintln!("pair {} of {}: {name}, {data:?}", pair + 1, earlier + options.pairs);
            bench.speed(redis, data, &mut cases).while_doing(|| format!("measuring {name}"))?;
        }
        if let Some(file) = &options.sittings {
            sittings::append_pair(file, &cases)?;
        }
    }
    let mut text = report::speed(&cases, ours)?;
    let memory = bench.memory_table(ours)?;
    if !memory.is_empty() {
        text = format!("{text}\n{memory}");
    }
    println!("\n{text}");
    if let Some(page) = &options.markdown {
        let pairs = earlier + options.pairs;
        report::publish(
            page,
            &options.section(),
            &format!("Redis {}, {pairs} pairs.\n\n{text}", report::redis_version()),
        )?;
    }
    Ok(())
}

/// The data that the cases need, each of which gets a server of its own: what is done in the background about some of it
/// is to be no part of what another costs.
fn data_of(cases: &[Case]) -> Vec<Data> {
    let mut all = Vec::new();
    for case in cases {
        if !all.contains(&case.command.data) {
            all.push(case.command.data);
        }
    }
    all
}

struct Bench<'a> {
    options: &'a Paired,
    redis: PathBuf,
    candidate: PathBuf,
}

impl Bench<'_> {
    fn cases(&self) -> Vec<Case> {
        let all: Vec<&'static Command> = match &self.options.only[..] {
            [] => self.options.family.commands().iter().collect(),
            only => only.to_vec(),
        };
        let case =
            |command, pipeline| Case { command, pipeline, baseline: Vec::new(), candidate: Vec::new() };
        let pipelines = &self.options.pipelines;
        all.into_iter()
            .flat_map(|command| pipelines.iter().map(move |&pipeline| case(command, pipeline)))
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

    /// Runs every case over some data once, on a fresh server.
    fn speed(&self, redis: bool, data: Data, cases: &mut [Case]) -> Outcome {
        let scratch = Scratch::new("bench")?;
        let mut server = self.start(redis, &scratch.path().join("data"))?;
        let load = Load {
            generator: self.options.generator,
            port: server.port(),
            connections: self.options.connections,
            keyspace: self.options.keyspace,
            value_size: self.options.value_size,
        };
        expect_keys(&server, load.preload(data)?)?;
        probe::settle(server.pid(), SETTLE_DATA_WITHIN)?;
        if let Some(first) = cases.iter().find(|case| case.command.data == data) {
            // A server that adapts to its load has done so when the first point begins.
            Self::run_for(&load, first.command, first.pipeline, WARM_UP)?;
        }
        for case in cases.iter_mut().filter(|case| case.command.data == data) {
            if process::interrupted() {
                fail!("interrupted");
            }
            let sample = self.point(&load, server.pid(), case.command, case.pipeline);
            server.expect_alive()?;
            if redis { &mut case.baseline } else { &mut case.candidate }.push(sample?);
        }
        server.stop()
    }

    /// How many requests take so many seconds, as a short run shows.
    fn requests(load: &Load, command: &Command, pipeline: usize, seconds: f64) -> Outcome<u64> {
        let least = (load.connections * pipeline) as u64 * 20;
        load.prepare(command, least)?;
        let seen = load.run(command, pipeline, least)?;
        Ok(((seen.per_second * seconds) as u64).max(least))
    }

    /// Runs a command for about so many seconds.
    fn run_for(load: &Load, command: &Command, pipeline: usize, seconds: f64) -> Outcome {
        let requests = Self::requests(load, command, pipeline, seconds)?;
        load.prepare(command, requests)?;
        load.run(command, pipeline, requests).map(|_| ())
    }

    /// One point: a short run to learn the speed and to warm up, then the run that counts.
    fn point(&self, load: &Load, server: u32, command: &Command, pipeline: usize) -> Outcome<Sample> {
        let requests = Self::requests(load, command, pipeline, self.options.seconds)?;
        load.prepare(command, requests)?;
        let before = probe::settle(server, SETTLE_WITHIN)?;
        let seen = load.run(command, pipeline, requests)?;
        let used = probe::settle(server, SETTLE_WITHIN)?.since(before);
        let sample = Sample { seen, used };
        let (cpu, speed) = (sample.cpu_per_op(), sample.seen.per_second);
        eprintln!("  {:<13} P={pipeline:<3} {cpu:>7.0} ns/op {speed:>9.0} ops/s", command.name);
        Ok(sample)
    }

    /// What data costs in memory, or nothing where that is not asked for.
    fn memory_table(&self, ours: &str) -> Outcome<String> {
        if self.options.family == Family::Types {
            let elements = self.options.memory_elements;
            return if elements == 0 {
                Ok(String::new())
            } else {
                memory::table(&memory::of_types(self, elements)?, elements, ours)
            };
        }
        let mut rows = Vec::new();
        for &keys in self.options.memory_keys.iter().filter(|&&keys| keys > 0) {
            eprintln!("memory of {keys} keys");
            rows.push(Memory {
                keys,
                baseline: self.memory(true, keys)?,
                candidate: self.memory(false, keys)?,
            });
        }
        if rows.is_empty() { Ok(String::new()) } else { report::memory(&rows, ours) }
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
        load.preload(Data::Strings)?;
        expect_keys(&server, keys)?;
        probe::settle(server.pid(), SETTLE_WITHIN)?;
        let full = probe::resident_at_rest(server.pid())?;
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
