//! The rigs of the storage engine in their long forms, and what shows that they are worth something.
//!
//! * `rigs`: every test of the engine that has seeds or samples, and the crashes of the keyspace's commands, over many more of
//!   them than `test` takes.
//! * `shuttle`: the way of a write, through the log and the database, in many orders of the steps of its threads.
//! * `broken`: bugs built in on purpose, each of which a rig must catch.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Outcome, fail};
use crate::{process, workspace};

/// How long one run of cargo may take, a cold build on two slow cores included.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many times more seeds than in a normal run; 70 makes 10 000 lives with power cuts.
    #[arg(long, default_value_t = 70)]
    factor: u64,
    /// Begin at this seed; with a factor of 0, try it alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Run only the modules of tests whose names contain this.
    #[arg(long, default_value = "")]
    filter: String,
}

/// What the modules of tests that shuttle runs have at the end of their names.
const INTERLEAVINGS: &str = "interleavings";
/// Those of the keyspace's commands that have long forms.
const COMMANDS: &[&str] = &["scripts::power::"];
/// Where the engine's tests are, below the root.
const TESTS: &str = "crates/kvdb-lsm/tests/it";

/// The modules of tests with long forms: those that ask how many cases they are to try, which they do with one of two
/// functions. Found in their text, so that no new one is forgotten here.
fn long_forms() -> Outcome<Vec<String>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(workspace::root()?.join(TESTS))? {
        let path = entry?.path();
        let module = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // The functions themselves, and the tests that only shuttle builds.
        if module == "support" || module.ends_with(INTERLEAVINGS) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        if text.contains("cases(") || text.contains("seeds(") {
            modules.push(format!("{module}::"));
        }
    }
    modules.sort_unstable();
    Ok(modules)
}

pub(crate) fn rigs(options: &Options) -> Outcome {
    let packages = ["-p", "kvdb-lsm", "-p", "kvdb-commands", "--features", "kvdb-lsm/zstd"];
    let mut tests =
        cargo(&[&["test"], &packages[..], &["--profile", "fast", "--test", "it", "--"]].concat())?;
    let commands = COMMANDS.iter().map(|&module| module.to_owned());
    let chosen = long_forms()?.into_iter().chain(commands).filter(|name| name.contains(&options.filter));
    let chosen: Vec<String> = chosen.collect();
    if chosen.is_empty() {
        fail!("no module of tests with a long form has {:?} in its name", options.filter);
    }
    tests.args(chosen);
    if options.factor > 0 {
        tests.env("KVDB_TEST_CASES", options.factor.to_string());
    }
    if let Some(seed) = options.seed {
        tests.env("KVDB_TEST_SEED", seed.to_string());
    }
    process::run(&mut tests, LIMIT)
}

#[derive(Debug, clap::Args)]
pub(crate) struct Shuttle {
    /// How many times more orders than in the short form, which tries 38 000.
    #[arg(long, default_value_t = 1)]
    factor: u64,
}

/// A build of the engine in which shuttle decides which thread goes on.
fn shuttle_build(cfgs: &str, target: &str) -> Outcome<Command> {
    let mut tests = cargo(&["test", "-p", "kvdb-lsm", "--test", "it"])?;
    tests.env("RUSTFLAGS", cfgs).env("CARGO_TARGET_DIR", special_target(target)?);
    Ok(tests)
}

pub(crate) fn shuttle(options: &Shuttle) -> Outcome {
    let mut tests = shuttle_build("--cfg kvdb_shuttle", "shuttle")?;
    tests.env("KVDB_TEST_CASES", options.factor.to_string());
    process::run(tests.args([INTERLEAVINGS, "--", "--nocapture"]), LIMIT)
}

/// A bug of the engine's `sabotage` module, and the rig that must catch it.
struct Bug {
    name: &'static str,
    caught_by: &'static str,
    /// It shows only in some orders of the steps of threads.
    needs_shuttle: bool,
}

const BUGS: &[Bug] = &[
    Bug { name: "early-tombstone", caught_by: "db_model::every_answer", needs_shuttle: false },
    Bug { name: "leaky-view", caught_by: "db_model::every_answer", needs_shuttle: false },
    Bug { name: "careless-turn", caught_by: "db_model::every_answer", needs_shuttle: false },
    Bug { name: "early-tombstone", caught_by: "db_metamorphic::", needs_shuttle: false },
    Bug { name: "dropped-tail", caught_by: "db_crash::a_power_cut_keeps", needs_shuttle: false },
    Bug { name: "unsynced-blob", caught_by: "db_crash::a_power_cut_keeps", needs_shuttle: false },
    Bug { name: "lost-references", caught_by: "db_blobs::", needs_shuttle: false },
    Bug { name: "open-gate", caught_by: "db_interleavings::a_view_has", needs_shuttle: true },
    Bug { name: "lost-freeze", caught_by: "db_interleavings::a_compaction", needs_shuttle: true },
    Bug { name: "early-durable", caught_by: "log_interleavings::a_sync_is", needs_shuttle: true },
    Bug { name: "lost-wake", caught_by: "log_interleavings::whoever_waits", needs_shuttle: true },
];

#[derive(Debug, clap::Args)]
pub(crate) struct Broken {
    /// Leave out the bugs that only shuttle can see: that spares a second build.
    #[arg(long)]
    without_shuttle: bool,
}

pub(crate) fn broken(options: &Broken) -> Outcome {
    let mut missed = Vec::new();
    for needs_shuttle in [false, true] {
        if needs_shuttle && options.without_shuttle {
            continue;
        }
        let build = || match needs_shuttle {
            false => shuttle_build("--cfg kvdb_broken", "broken"),
            true => shuttle_build("--cfg kvdb_broken --cfg kvdb_shuttle", "broken-shuttle"),
        };
        process::run(build()?.arg("--no-run"), LIMIT)?;
        for bug in BUGS.iter().filter(|bug| bug.needs_shuttle == needs_shuttle) {
            let mut tests = build()?;
            tests.arg(bug.caught_by).stdout(Stdio::null()).stderr(Stdio::null());
            // Without its bug the same test must pass, or failing would say nothing.
            process::run(&mut tests, LIMIT)?;
            let start = Instant::now();
            let caught = process::run(tests.env("KVDB_BREAK", bug.name), LIMIT).is_err();
            let (seconds, rig) = (start.elapsed().as_secs_f64(), bug.caught_by);
            let verdict = if caught { "caught by" } else { "MISSED by" };
            println!("{:<16} {verdict} {rig} in {seconds:.1} s", bug.name);
            if !caught {
                missed.push(bug.name);
            }
        }
    }
    if !missed.is_empty() {
        fail!("the tests pass with these bugs built in: {}", missed.join(", "));
    }
    Ok(())
}

/// Builds with special flags have directories of their own, or each would throw the other's away.
fn special_target(name: &str) -> Outcome<PathBuf> {
    Ok(workspace::root()?.join("target").join(name))
}

fn cargo(args: &[&str]) -> Outcome<Command> {
    let mut command = Command::new("cargo");
    command.current_dir(workspace::root()?).args(args);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_with_long_forms_are_found() {
        let found = long_forms().expect("the tests are there");
        for module in
            ["db_crash::", "db_damage::", "db_model::", "db_nemesis::", "log_crash::", "log_damage::"]
        {
            assert!(found.iter().any(|name| name == module), "{module} is not in {found:?}");
        }
    }
}
