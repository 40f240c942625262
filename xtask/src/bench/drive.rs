//! Sends one benchmark point's worth of commands to a server, with `redis-benchmark` or with our own generator.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use super::audience::Audience;
use super::commands::{Command as Measured, Data};
use crate::failure::{Failure, Outcome, fail};
use crate::load::engine::{self, Address, Plan};
use crate::load::mix::{Keys, Mix};
use crate::process;

/// No point takes longer, however slow the server.
const LIMIT: Duration = Duration::from_secs(180);

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Generator {
    RedisBenchmark,
    Own,
}

/// What the load is, but for the test and its size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) generator: Generator,
    pub(super) port: u16,
    pub(super) connections: usize,
    pub(super) keyspace: u64,
    pub(super) value_size: usize,
}

/// What the client saw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    /// Milliseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Load {
    /// Sends what is measured; commands that `redis-benchmark` cannot send come from our own generator.
    pub(super) fn run(&self, command: &Measured, pipeline: usize, requests: u64) -> Outcome<Seen> {
        let ours = self.generator == Generator::Own || command.data != Data::Strings;
        if !ours {
            return self.redis_benchmark(command, pipeline, requests);
        }
        let mix = Mix::of(command.name, command.template, self.value_size)?;
        let audience = match command.subscribers {
            0 => None,
            size => Some(Audience::gather(self.port, size)?),
        };
        let seen = self.own(mix, self.connections, pipeline, requests, (Keys::Random, self.keyspace))?;
        if let Some(audience) = audience {
            audience.expect(seen.requests, self.value_size)?;
        }
        Ok(seen)
    }

    /// Sends what must precede `requests` of a command.
    pub(super) fn prepare(&self, command: &Measured, requests: u64) -> Outcome {
        let Some(before) = command.before else { return Ok(()) };
        let mix = Mix::of(before, before, self.value_size)?;
        self.own(mix, 8, 64, requests, (Keys::Random, self.keyspace)).map(|_| ())
    }

    /// Makes the data; returns how many keys it has.
    pub(super) fn preload(&self, data: Data) -> Outcome<u64> {
        let Some((making, commands, keys)) = data.making(self.keyspace) else { return Ok(0) };
        self.fill(&making, commands, data.range(commands))?;
        Ok(keys)
    }

    /// Sends `making` so many times; its `{rand}` counts from 0 and begins again at `range`.
    pub(super) fn fill(&self, making: &str, commands: u64, range: u64) -> Outcome {
        let mix = Mix::of("preload", making, self.value_size)?;
        self.own(mix, 8, 16, commands, (Keys::Sequential, range)).map(|_| ())
    }

    fn own(
        &self,
        mix: Mix,
        connections: usize,
        pipeline: usize,
        requests: u64,
        (keys, keyspace): (Keys, u64),
    ) -> Outcome<Seen> {
        let name = mix.commands[0].name.clone();
        let plan = Plan {
            address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))),
            password: None,
            connections,
            threads: 1,
            pipeline,
            mix,
            keys,
            keyspace,
            rate: None,
            duration: LIMIT,
            requests,
            patience: engine::PATIENCE,
            seed: requests,
        };
        let report = engine::run(&plan, |_, _| {})?;
        if let Some(error) = report.first_error {
            fail!("{name} was answered with {error}");
        }
        if report.unanswered > 0 {
            fail!("{} commands of {name} were not answered", report.unanswered);
        }
        let all = report.overall();
        Ok(Seen {
            requests: report.requests(),
            per_second: report.per_second(),
            p50: all.value_at_quantile(0.5) as f64 / 1e6,
            p99: all.value_at_quantile(0.99) as f64 / 1e6,
        })
    }

    /// The same command over the same keys: `redis-benchmark` puts twelve random digits where we say so.
    fn redis_benchmark(&self, command: &Measured, pipeline: usize, requests: u64) -> Outcome<Seen> {
        let value = "x".repeat(self.value_size);
        let words = command.template.split_whitespace().map(|word| {
            word.replace("{key}", "key:__rand_int__")
                .replace("{rand}", "__rand_int__")
                .replace("{value}", &value)
        });
        let mut command = Command::new("redis-benchmark");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", &self.connections.to_string()]);
        command.args([
            "-n",
            &requests.to_string(),
            "-P",
            &pipeline.to_string(),
            "-r",
            &self.keyspace.to_string(),
        ]);
        command.args(["--csv", "--precision", "3"]).args(words);
        let output = process::output(&mut command, LIMIT)?;
        let unreadable = || Failure::new(format!("redis-benchmark printed what is no result:\n{output}"));
        // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95…","p99…","max…": the command itself has
        // commas in no test, and the last line is the result.
        let line = output.lines().last().ok_or_else(unreadable)?;
        let numbers: Vec<f64> =
            line.split(',').filter_map(|field| field.trim_matches('"').parse().ok()).collect();
        let [per_second, _average, _least, p50, _p95, p99, _most] = numbers[..] else {
            return Err(unreadable());
        };
        Ok(Seen { requests, per_second, p50, p99 })
    }
}
