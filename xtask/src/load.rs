//! `cargo xtask load`: a load generator that costs little, since it shares the machine with the server it measures.

pub(crate) mod engine;
pub(crate) mod epoll;
pub(crate) mod mix;
mod replies;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::failure::{Outcome, While, fail};
use crate::process;
use crate::rng::Rng;
use engine::{Address, Plan, Report};
use mix::{Keys, Mix};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    #[arg(long, default_value_t = 6379)]
    port: u16,
    #[arg(long, conflicts_with = "host")]
    unixsocket: Option<PathBuf>,
    #[arg(long)]
    password: Option<String>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    connections: u64,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: u64,
    /// Commands that a connection sends before it waits for their replies.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pipeline: u64,
    /// Keys are drawn from this many.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=999_999_999_999))]
    keyspace: u64,
    /// Bytes of {value}.
    #[arg(long, default_value_t = 64)]
    value_size: usize,
    /// Commands and weights: names (get, set, setex, incr, mset, getrange, append, del, exists, ping) or whole commands
    /// with {key}, {value}, {rand} (12 digits), {below:100} (12 digits too) and {int} (a 9-digit number): "get=80,SETEX {key} 60 {value}=20".
    #[arg(long, default_value = "get=80,set=20")]
    mix: String,
    /// Take keys one after the other: a preload.
    #[arg(long)]
    sequential: bool,
    /// Open loop: this many commands per second at fixed times, latency counted from those times.
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds after which no more is sent.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Commands after which no more is sent.
    #[arg(long, default_value_t = 1_000_000_000)]
    requests: u64,
    #[arg(long)]
    seed: Option<u64>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
    /// Load a server on another machine. Make sure that it is yours.
    #[arg(long)]
    allow_remote: bool,
}

/// No run lasts longer, whatever is asked for.
const SECONDS_AT_MOST: f64 = 24.0 * 3600.0;

pub(crate) fn run(options: &Options) -> Outcome {
    process::catch_interrupts();
    if !(options.duration > 0.0 && options.duration <= SECONDS_AT_MOST) {
        fail!("the duration must be above 0 and at most {SECONDS_AT_MOST} seconds");
    }
    if options.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e9)) {
        fail!("the rate must be above 0 and at most a billion per second");
    }
    let plan = Plan {
        address: address(options)?,
        password: options.password.clone(),
        connections: usize::try_from(options.connections)?,
        threads: usize::try_from(options.threads)?,
        pipeline: usize::try_from(options.pipeline)?,
        mix: Mix::parse(&options.mix, options.value_size)?,
        keys: if options.sequential { Keys::Sequential } else { Keys::Random },
        keyspace: options.keyspace,
        rate: options.rate,
        duration: Duration::from_secs_f64(options.duration),
        requests: options.requests,
        patience: engine::PATIENCE,
        seed: options.seed.unwrap_or_else(Rng::fresh_seed),
    };
    let live = std::io::stderr().is_terminal();
    let mut last = 0;
    let report = engine::run(&plan, |elapsed, answered| {
        if live {
            let (since, seconds) = (answered - last, elapsed.as_secs());
            eprint!("\r{seconds:>5} s  {since:>9} ops/s  {answered:>12} in all ");
            // A progress line that cannot be shown is not missed.
            let _ = std::io::stderr().flush();
        }
        last = answered;
    })?;
    if live {
        eprintln!();
    }
    println!("{}", if options.json { json(&plan, &report)? } else { table(&plan, &report)? });
    if report.unanswered > 0 {
        fail!("{} commands were not answered in time", report.unanswered);
    }
    Ok(())
}

fn address(options: &Options) -> Outcome<Address> {
    if let Some(path) = &options.unixsocket {
        return Ok(Address::Unix(path.clone()));
    }
    let resolved = (options.host.as_str(), options.port).to_socket_addrs();
    let addresses: Vec<_> = resolved.while_doing(|| format!("cannot resolve {}", options.host))?.collect();
    if !options.allow_remote && !addresses.iter().all(|address| address.ip().is_loopback()) {
        fail!("{} is another machine; say --allow-remote if it is yours to load", options.host);
    }
    match addresses.first() {
        Some(address) => Ok(Address::Tcp(*address)),
        None => fail!("{} has no address", options.host),
    }
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)];

fn table(plan: &Plan, report: &Report) -> Outcome<String> {
    let mut out = String::new();
    writeln!(
        out,
        "{:<24} {:>11} {:>11} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "command", "requests", "ops/s", "p50 us", "p90 us", "p99 us", "p99.9 us", "max us"
    )?;
    let seconds = report.elapsed.as_secs_f64();
    let mut row = |name: &str, histogram: &Histogram<u64>| {
        let name: String = name.chars().take(24).collect();
        write!(out, "{name:<24} {:>11} {:>11.0}", histogram.len(), histogram.len() as f64 / seconds)?;
        for (_, quantile) in QUANTILES {
            write!(out, " {:>9.1}", histogram.value_at_quantile(quantile) as f64 / 1e3)?;
        }
        writeln!(out, " {:>9.1}", histogram.max() as f64 / 1e3)
    };
    for (command, histogram) in plan.mix.commands.iter().zip(&report.latency) {
        row(&command.name, histogram)?;
    }
    if plan.mix.commands.len() > 1 {
        row("all", &report.overall())?;
    }
    write!(out, "{seconds:.2} s, {} errors", report.errors)?;
    if let Some(error) = &report.first_error {
        write!(out, ", the first: {error}")?;
    }
    Ok(out)
}

fn json(plan: &Plan, report: &Report) -> Outcome<String> {
    let mut out = format!(
        "{{\"seconds\":{:.6},\"requests\":{},\"errors\":{},\"unanswered\":{},\"ops_per_second\":{:.1},\"commands\":[",
        report.elapsed.as_secs_f64(),
        report.requests(),
        report.errors,
        report.unanswered,
        report.per_second()
    );
    for (at, (command, histogram)) in plan.mix.commands.iter().zip(&report.latency).enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let name = command.name.replace('\\', "\\\\").replace('"', "\\\"");
        write!(out, "{comma}{{\"name\":\"{name}\",\"requests\":{}", histogram.len())?;
        for (label, quantile) in QUANTILES {
            write!(out, ",\"{label}_us\":{:.3}", histogram.value_at_quantile(quantile) as f64 / 1e3)?;
        }
        write!(out, ",\"max_us\":{:.3}}}", histogram.max() as f64 / 1e3)?;
    }
    out.push_str("]}");
    Ok(out)
}
