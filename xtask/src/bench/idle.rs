//! `cargo xtask bench idle`: what thousands of clients that say nothing cost the server, and what they cost the others.
//!
//! The same load runs twice at a fixed rate: alone, and beside the silent connections. Its latency must be the same, and
//! the memory of the server must have grown by little.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::failure::{Outcome, fail};
use crate::load::engine::{self, Address, Plan, Report};
use crate::load::mix::{Keys, Mix};
use crate::process;
use crate::server::{Build, Server, Subject};
use crate::wire::{Connection, Reply};
use crate::workspace::Scratch;

use super::{SETTLE_WITHIN, probe, report};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Connections that say one PING and then nothing. Twice as many open files have to be allowed.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    idle: u32,
    /// Connections that are busy meanwhile.
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Commands a second of the busy ones, at fixed times.
    #[arg(long, default_value_t = 20_000.0)]
    rate: f64,
    /// Seconds of each of the two measurements.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    #[command(flatten)]
    subject: Subject,
    /// Also put the table into this page, between markers.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Fail when a silent connection costs more than 2048 bytes.
    #[arg(long)]
    check: bool,
}

/// What a silent connection may cost, in bytes.
const GOAL: f64 = 2048.0;

/// Keys that the busy connections read and write.
const KEYSPACE: u64 = 100_000;

pub(super) fn run(options: &Options) -> Outcome {
    let program = options.subject.program(Build::Release)?;
    let scratch = Scratch::new("bench-idle")?;
    let mut server = Server::start(
        &program,
        &scratch.path().join("data"),
        &["--appendfsync", "everysec", "--maxclients", "60000", "--tcp-backlog", "4096"],
    )?;
    load(&server, options, options.seconds.min(2.0))?;
    probe::settle(server.pid(), SETTLE_WITHIN)?;
    let alone = load(&server, options, options.seconds)?;
    probe::settle(server.pid(), SETTLE_WITHIN)?;
    let before = probe::resident(server.pid())?;
    let silent = (0..options.idle).map(|_| silent(&server)).collect::<Outcome<Vec<Connection>>>()?;
    let after = probe::resident(server.pid())?;
    let beside = load(&server, options, options.seconds)?;
    server.expect_alive()?;
    drop(silent);
    let growth = after.saturating_sub(before) as f64 / f64::from(options.idle);
    let text = table(options, &alone, &beside, growth)?;
    println!("\n{text}");
    if let Some(page) = &options.markdown {
        report::publish(page, "bench idle", &text)?;
    }
    server.stop()?;
    if options.check {
        report::judge("the memory of a silent connection", growth, GOAL, "bytes")
    } else {
        Ok(())
    }
}

/// A client that has shown that it is served, and has nothing to say.
fn silent(server: &Server) -> Outcome<Connection> {
    if process::interrupted() {
        fail!("interrupted");
    }
    let mut connection = server.connect()?;
    match connection.call(&[b"PING"])? {
        Reply::Simple(_) => Ok(connection),
        other => fail!("PING was answered with {other:?}"),
    }
}

fn load(server: &Server, options: &Options, seconds: f64) -> Outcome<Report> {
    let plan = Plan {
        address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))),
        password: None,
        connections: options.connections,
        threads: 1,
        pipeline: 1,
        mix: Mix::parse("get=80,set=20", 64)?,
        keys: Keys::Random,
        keyspace: KEYSPACE,
        rate: Some(options.rate),
        duration: Duration::from_secs_f64(seconds),
        requests: u64::MAX,
        patience: engine::PATIENCE,
        seed: 1,
    };
    let report = engine::run(&plan, |_, _| {})?;
    match &report.first_error {
        Some(error) => fail!("the load was answered with {error}"),
        None if report.unanswered > 0 => fail!("{} commands were not answered", report.unanswered),
        None => Ok(report),
    }
}

fn table(options: &Options, alone: &Report, beside: &Report, growth: f64) -> Outcome<String> {
    let mut out =
        String::from("| | ops/s | p50 us | p99 us | p99.9 us | max us |\n|---|--:|--:|--:|--:|--:|\n");
    let idle = format!("beside {} silent connections", options.idle);
    for (name, report) in [("alone", alone), (idle.as_str(), beside)] {
        let all = report.overall();
        let at = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
        writeln!(
            out,
            "| {} connections {name} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
            options.connections,
            report.per_second(),
            at(0.5),
            at(0.99),
            at(0.999),
            all.max() as f64 / 1e3
        )?;
    }
    writeln!(out, "\nResident memory grew by {growth:.0} bytes for each silent connection.")?;
    Ok(out)
}
