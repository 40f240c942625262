//! `cargo xtask fuzz`: the fuzz targets, each for a while, from the corpus that earlier runs have left.
//!
//! The corpora and what crashed stay below `fuzz/`, where git ignores them: a crash is turned into a test by hand.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::failure::{Outcome, fail};
use crate::setup::{self, Part};
use crate::{process, workspace};

/// What building the targets may take on two slow cores.
const BUILD: Duration = Duration::from_secs(1800);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only these targets.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    process::catch_interrupts();
    setup::ensure(&[Part::Fuzz])?;
    let targets = targets()?;
    if let Some(unknown) = options.only.iter().find(|name| !targets.contains(name)) {
        fail!("there is no fuzz target {unknown}: they are {}", targets.join(", "));
    }
    let chosen = |target: &&String| options.only.is_empty() || options.only.contains(*target);
    let mut done = 0;
    for target in targets.iter().filter(chosen) {
        println!("==> {target}");
        cargo_fuzz(&["build", target], BUILD)?;
        let time = format!("-max_total_time={}", options.seconds);
        // A target that needs more memory than this for one input has lost a limit.
        let run = ["run", target, "--", &time, "-rss_limit_mb=2048", "-timeout=20", "-print_final_stats=1"];
        cargo_fuzz(&run, BUILD + Duration::from_secs(options.seconds.into()))?;
        done += 1;
    }
    println!("{done} passed, 0 failed");
    Ok(())
}

/// The names of the targets: those of their files.
fn targets() -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace::root()?.join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn cargo_fuzz(args: &[&str], limit: Duration) -> Outcome {
    let private = setup::cargo_tools()?.join("bin/cargo-fuzz");
    let tool = process::find("cargo-fuzz").unwrap_or(private);
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).arg(tool).arg("fuzz").args(args);
    process::run(command.current_dir(workspace::root()?), limit)
}
