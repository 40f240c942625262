//! `cargo xtask test`: every check, in one command, the same here and in CI.
//!
//! A step that fails does not hide the later ones: all run, and the last line counts them.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};
use crate::setup::{self, Part};
use crate::{clients, crash, differential, process, tidy, workspace};

/// How long one run of cargo may take: a cold build of everything on two slow cores, and its tests.
const LIMIT: Duration = Duration::from_secs(45 * 60);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run only these steps.
    #[arg(long, value_delimiter = ',', value_name = "STEP,..", value_parser = step_names())]
    only: Vec<String>,
}

/// The command line of the storage engine, which nothing else needs.
const CLI: &str = "kvdb-lsm/cli";

struct Step {
    name: &'static str,
    run: fn() -> Outcome<Done>,
}

enum Done {
    Passed,
    Skipped(&'static str),
}

const STEPS: &[Step] = &[
    Step { name: "setup", run: install },
    Step { name: "fmt", run: || cargo(&["fmt", "--all", "--check"]) },
    Step {
        name: "clippy",
        run: || cargo(&["clippy", "--workspace", "--all-targets", "--features", CLI, "--", "-D", "warnings"]),
    },
    Step { name: "tidy", run: || tidy::run(&tidy::Options {}).map(|()| Done::Passed) },
    Step { name: "doc", run: || cargo(&["doc", "--workspace", "--no-deps"]) },
    Step { name: "unit", run: unit_tests },
    Step { name: "doctest", run: || cargo(&["test", "--workspace", "--doc"]) },
    Step { name: "deny", run: dependencies },
    Step { name: "crash", run: || crash::run(&crash::Options::short()).map(|()| Done::Passed) },
    Step {
        name: "differential",
        run: || differential::run(&differential::Options::short()).map(|()| Done::Passed),
    },
    Step { name: "clients", run: || clients::run(&clients::Options::all()).map(|()| Done::Passed) },
];

fn step_names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

pub(crate) fn run(options: &Options) -> Outcome {
    let chosen = |step: &&Step| options.only.is_empty() || options.only.iter().any(|name| name == step.name);
    let mut summary = String::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for step in STEPS.iter().filter(chosen) {
        println!("==> {}", step.name);
        let start = Instant::now();
        let done = (step.run)();
        let seconds = start.elapsed().as_secs_f64();
        let (mark, detail) = match &done {
            Ok(Done::Passed) => ("pass", String::new()),
            Ok(Done::Skipped(reason)) => ("skip", (*reason).to_owned()),
            Err(failure) => ("FAIL", failure.to_string()),
        };
        match done {
            Ok(Done::Passed) => passed += 1,
            Ok(Done::Skipped(_)) => skipped += 1,
            Err(_) => failed += 1,
        }
        let line = format!("{mark}  {:<12} {seconds:>7.1} s  {detail}", step.name);
        println!("{}", line.trim_end());
        writeln!(summary, "{}", line.trim_end())?;
    }
    println!("\n{summary}");
    let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    println!("{passed} passed, {failed} failed{skipped}");
    if failed > 0 {
        return Err(Failure::told());
    }
    Ok(())
}

fn install() -> Outcome<Done> {
    setup::ensure(&[Part::Redis, Part::Clients])?;
    Ok(Done::Passed)
}

/// The unit and integration tests: with nextest where it is installed, which runs all binaries side by side.
fn unit_tests() -> Outcome<Done> {
    if process::find("cargo-nextest").is_some() {
        cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--features",
            CLI,
            "--no-fail-fast",
            "--no-tests",
            "pass",
            "--status-level",
            "fail",
        ])
    } else {
        cargo(&["test", "--workspace", "--all-targets", "--no-fail-fast", "--quiet"])
    }
}

fn dependencies() -> Outcome<Done> {
    if process::find("cargo-deny").is_none() {
        return Ok(Done::Skipped("cargo-deny is not installed"));
    }
    cargo(&["deny", "check", "bans", "licenses", "sources"])
}

fn cargo(args: &[&str]) -> Outcome<Done> {
    let mut command = Command::new("cargo");
    command.current_dir(workspace::root()?).args(args).env("RUSTDOCFLAGS", "-D warnings");
    process::run(&mut command, LIMIT)?;
    Ok(Done::Passed)
}
