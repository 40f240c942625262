//! `cargo xtask miri`: the tests of the unsafe code under Miri, which sees undefined behaviour that a test run does not.
//!
//! Provenance is strict: resident entries and members are tagged pointers, and a tag must not be what makes an address a
//! pointer.

use std::process::Command;
use std::time::Duration;

use crate::failure::Outcome;
use crate::{process, workspace};

/// The interpreter is some hundred times slower than the machine.
const LIMIT: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Cases of each property that are tried.
    #[arg(long, default_value_t = 4)]
    cases: u32,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let root = workspace::root()?;
    process::run(
        Command::new("rustup").args(["component", "add", "--toolchain", "nightly", "miri", "rust-src"]),
        LIMIT,
    )?;
    let mut tests = Command::new("rustup");
    tests.args(["run", "nightly", "cargo", "miri", "test", "-p", "kvdb-store", "--lib"]);
    tests.args(["--", "entry::", "table::", "member::"]);
    // Isolation would keep proptest from reading its files of known failures.
    tests.env("MIRIFLAGS", "-Zmiri-strict-provenance -Zmiri-disable-isolation");
    tests.env("PROPTEST_CASES", options.cases.to_string()).env("CARGO_TARGET_DIR", root.join("target/miri"));
    process::run(tests.current_dir(root), LIMIT)
}
