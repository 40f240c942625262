//! `cargo xtask test`: every check, in one command, the same here and in CI.
//!
//! A test that cannot prove anything where it runs, for want of rights or of a tool, passes and says so; the summary counts
//! these too.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::Command;
use std::time::Duration;

use crate::failure::Outcome;
use crate::setup::{self, Part};
use crate::steps::{self, Done, Step};
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
/// With it, the codec of the storage engine that needs a C library. Nothing else is built with that, so its tests are a
/// step of their own.
const ALL: &str = "kvdb-lsm/cli,kvdb-lsm/zstd";

const STEPS: &[Step] = &[
    Step { name: "setup", run: install },
    Step { name: "fmt", run: || cargo(&["fmt", "--all", "--check"]) },
    Step {
        name: "clippy",
        run: || cargo(&["clippy", "--workspace", "--all-targets", "--features", ALL, "--", "-D", "warnings"]),
    },
    Step { name: "tidy", run: || tidy::run(&tidy::Options {}).map(|()| Done::Passed) },
    Step { name: "doc", run: || cargo(&["doc", "--workspace", "--no-deps"]) },
    Step { name: "unit", run: unit_tests },
    Step { name: "zstd", run: zstd },
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
    steps::names(STEPS)
}

pub(crate) fn run(options: &Options) -> Outcome {
    steps::run(STEPS, &options.only)
}

fn install() -> Outcome<Done> {
    setup::ensure(&[Part::Redis, Part::Clients, Part::Tracing])?;
    Ok(Done::Passed)
}

/// The unit and integration tests.
fn unit_tests() -> Outcome<Done> {
    let list = workspace::kept("tests")?.join("skipped");
    match fs::remove_file(&list) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let args = unit_arguments(process::find("cargo-nextest").is_some());
    process::run(in_workspace(args)?.env("KVDB_SKIPPED_TESTS", &list), LIMIT)?;
    // Nobody makes the list where nothing is skipped.
    Ok(skips(&fs::read_to_string(&list).unwrap_or_default()).map_or(Done::Passed, Done::Partly))
}

/// What runs the tests: nextest where it is installed, which runs all binaries side by side.
fn unit_arguments(has_nextest: bool) -> &'static [&'static str] {
    if has_nextest {
        &[
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
        ]
    } else {
        &["test", "--workspace", "--all-targets", "--features", CLI, "--no-fail-fast", "--quiet"]
    }
}

/// Counts the lines `test: why` of skipped tests by their reasons; `None` where there are none.
fn skips(list: &str) -> Option<String> {
    let mut reasons = BTreeMap::<&str, usize>::new();
    for line in list.lines() {
        *reasons.entry(line.split_once(": ").map_or(line, |(_, why)| why)).or_default() += 1;
    }
    let count: usize = reasons.values().sum();
    let reasons: Vec<String> = reasons.iter().map(|(why, tests)| format!("{tests} as {why}")).collect();
    (count > 0).then(|| format!("{count} tests skipped: {}", reasons.join("; ")))
}

/// The tests of the storage engine that have something to compress, in a build with Zstandard.
fn zstd() -> Outcome<Done> {
    cargo(&[
        "test",
        "-p",
        "kvdb-lsm",
        "--features",
        "zstd",
        "--lib",
        "--test",
        "it",
        "--quiet",
        "--",
        "zstd",
        "metamorphic",
        "model",
        "table::",
        "blob",
        "compression",
    ])
}

fn dependencies() -> Outcome<Done> {
    if process::find("cargo-deny").is_none() {
        return Ok(Done::Skipped("cargo-deny is not installed"));
    }
    cargo(&["deny", "check", "bans", "licenses", "sources"])
}

fn cargo(args: &[&str]) -> Outcome<Done> {
    process::run(&mut in_workspace(args)?, LIMIT)?;
    Ok(Done::Passed)
}

fn in_workspace(args: &[&str]) -> Outcome<Command> {
    let mut command = Command::new("cargo");
    command.current_dir(workspace::root()?).args(args).env("RUSTDOCFLAGS", "-D warnings");
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_of_the_storage_engine_is_tested_with_nextest_and_without() {
        for has_nextest in [true, false] {
            let args = unit_arguments(has_nextest);
            assert!(args.windows(2).any(|pair| pair == ["--features", CLI]), "{args:?}");
        }
    }

    #[test]
    fn skipped_tests_are_counted_by_their_reasons() {
        assert_eq!(skips(""), None);
        let list = "a::b: no root\nc: no strace: none\nd: no root\n";
        let counted = "3 tests skipped: 2 as no root; 1 as no strace: none";
        assert_eq!(skips(list).as_deref(), Some(counted));
    }
}
