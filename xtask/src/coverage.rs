//! `cargo xtask coverage`: the line coverage of the tests, with a floor under it.
//!
//! This tool itself is left out: its campaigns are tests, and what they run is what counts.

use std::process::Command;
use std::time::Duration;

use crate::failure::Outcome;
use crate::setup::{self, Part};
use crate::{process, workspace};

/// The tests run once more under instrumentation, from a cold build.
const LIMIT: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fail when fewer than this many percent of the lines are covered.
    #[arg(long, default_value_t = 80)]
    floor: u8,
    /// Also write a browsable report to target/llvm-cov/html.
    #[arg(long)]
    html: bool,
}

pub(crate) fn run(options: &Options) -> Outcome {
    setup::ensure(&[Part::Redis, Part::Coverage])?;
    cargo_llvm_cov(&["--workspace", "--exclude", "xtask", "--no-report"])?;
    if options.html {
        cargo_llvm_cov(&["report", "--html"])?;
    }
    let floor = options.floor.to_string();
    cargo_llvm_cov(&["report", "--summary-only", "--fail-under-lines", &floor])
}

fn cargo_llvm_cov(args: &[&str]) -> Outcome {
    let private = setup::cargo_tools()?.join("bin/cargo-llvm-cov");
    let tool = process::find("cargo-llvm-cov").unwrap_or(private);
    let mut command = Command::new(tool);
    process::run(command.current_dir(workspace::root()?).arg("llvm-cov").args(args), LIMIT)
}
