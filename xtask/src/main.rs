//! The workspace's own tool: `cargo xtask <command>`.
//!
//! Everything that checks, measures or torments KVDB is a command here, written in Rust and run the same way on a
//! developer's machine and in CI. One module per command; what several of them need stands beside them: children that
//! cannot outlive us (`process`), places (`workspace`), and the sentence a command fails with (`failure`).

mod bench;
mod campaign;
mod clients;
mod conformance;
mod coverage;
mod crash;
mod differential;
mod failure;
mod frameworks;
mod fuzz;
mod ledger;
mod load;
mod markdown;
mod memory_limit;
mod miri;
mod nightly;
mod powerloss;
mod process;
mod rigs;
mod rng;
mod server;
mod setup;
mod steps;
mod suites;
mod test;
mod tidy;
mod wire;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Checks, measures and torments KVDB.")]
enum Command {
    /// Installs what the tests, campaigns and benchmarks need; does nothing when it is all there.
    Setup(setup::Options),
    /// Runs every check: formatting, lints, rules, documentation, tests and the short campaigns.
    Test(test::Options),
    /// Checks the rules of this code base that rustc and clippy do not know.
    Tidy(tidy::Options),
    /// Measures the line coverage of the tests, and fails under the floor.
    Coverage(coverage::Options),
    /// Runs the fuzz targets, each for a while; needs a nightly toolchain.
    Fuzz(fuzz::Options),
    /// Runs the tests of the unsafe code under Miri; needs a nightly toolchain.
    Miri(miri::Options),
    /// Runs what takes hours: all long forms, the campaigns, the suites of others.
    Nightly(nightly::Options),
    /// Runs the tests of the storage engine that have seeds or samples over many more of them.
    Rigs(rigs::Options),
    /// Runs the tests of the storage engine's threads in many orders of their steps.
    Shuttle(rigs::Shuttle),
    /// Checks that the tests of the storage engine catch bugs that are built in on purpose.
    Broken(rigs::Broken),
    /// Kills the server under load many times and checks that no acknowledged write is lost.
    Crash(crash::Options),
    /// Cuts the power of a file system under load many times and checks the same; needs root.
    Powerloss(powerloss::Options),
    /// Generates load and measures latency, in a closed or an open loop.
    Load(load::Options),
    /// Measures KVDB against Redis, one alive at a time.
    #[command(subcommand)]
    Bench(bench::Options),
    /// Runs the tests of Redis 7.0 itself against the server.
    Conformance(conformance::Options),
    /// Sends random commands to KVDB and to Redis and compares what they reply and what they hold.
    Differential(differential::Options),
    /// Runs scenarios in real client libraries against the server.
    Clients(clients::Options),
    /// Runs the test suites of client libraries against the server.
    Suites(suites::Options),
    /// Runs scenarios in applications' frameworks against the server.
    Frameworks(frameworks::Options),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Setup(options) => setup::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Tidy(options) => tidy::run(&options),
        Command::Coverage(options) => coverage::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Miri(options) => miri::run(&options),
        Command::Nightly(options) => nightly::run(&options),
        Command::Rigs(options) => rigs::rigs(&options),
        Command::Shuttle(options) => rigs::shuttle(&options),
        Command::Broken(options) => rigs::broken(&options),
        Command::Crash(options) => crash::run(&options),
        Command::Load(options) => load::run(&options),
        Command::Powerloss(options) => powerloss::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Conformance(options) => conformance::run(&options),
        Command::Differential(options) => differential::run(&options),
        Command::Clients(options) => clients::run(&options),
        Command::Suites(options) => suites::run(&options),
        Command::Frameworks(options) => frameworks::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_told() {
                eprintln!("error: {failure}");
            }
            ExitCode::FAILURE
        }
    }
}
