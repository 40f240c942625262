//! Sends one benchmark point's worth of commands to a server, with `redis-benchmark` or with our own generator.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use super::Test;
use crate::failure::{Failure, Outcome, fail};
use crate::load::engine::{self, Address, Plan};
use crate::load::mix::{self, Keys, Mix};
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
    pub(super) fn run(&self, test: Test, pipeline: usize, requests: u64) -> Outcome<Seen> {
        match self.generator {
            Generator::RedisBenchmark => self.redis_benchmark(test, pipeline, requests),
            Generator::Own => self.own(test.name(), self.connections, pipeline, requests, Keys::Random),
        }
    }

    /// Writes every key of the keyspace once.
    pub(super) fn preload(&self) -> Outcome {
        self.own("set", 8, 64, self.keyspace, Keys::Sequential).map(|_| ())
    }

    fn own(
        &self,
        mix: &str,
        connections: usize,
        pipeline: usize,
        requests: u64,
        keys: Keys,
    ) -> Outcome<Seen> {
        let plan = Plan {
            address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))),
            password: None,
            connections,
            threads: 1,
            pipeline,
            mix: Mix::parse(mix, self.value_size)?,
            keys,
            keyspace: self.keyspace,
            rate: None,
            duration: LIMIT,
            requests,
            patience: engine::PATIENCE,
            seed: requests,
        };
        let report = engine::run(&plan, |_, _| {})?;
        if let Some(error) = report.first_error {
            fail!("{mix} was answered with {error}");
        }
        if report.unanswered > 0 {
            fail!("{} commands of {mix} were not answered", report.unanswered);
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
    fn redis_benchmark(&self, test: Test, pipeline: usize, requests: u64) -> Outcome<Seen> {
        let template = mix::named(test.name()).unwrap_or_default();
        let value = "x".repeat(self.value_size);
        let words = template.split_whitespace().map(|word| {
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
