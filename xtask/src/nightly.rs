//! `cargo xtask nightly`: what `test` leaves out because it takes hours, in one command.
//!
//! Each step is a command of its own, in the form in which it shows the most; what one of them finds is looked into by
//! running that command alone, with the seed that it has printed.

use clap::{ArgMatches, Args, Command};

use crate::failure::Outcome;
use crate::steps::{self, Done, Step};
use crate::{conformance, crash, differential, frameworks, fuzz, miri, powerloss, process, rigs, suites};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run only these steps.
    #[arg(long, value_delimiter = ',', value_name = "STEP,..", value_parser = steps::names(STEPS))]
    only: Vec<String>,
}

const STEPS: &[Step] = &[
    Step { name: "shuttle", run: || with(&["--factor", "10"], rigs::shuttle) },
    Step { name: "broken", run: || with(&[], rigs::broken) },
    Step { name: "rigs", run: || with(&[], rigs::rigs) },
    Step { name: "miri", run: || with(&[], miri::run) },
    Step { name: "fuzz", run: || with(&["--seconds", "600"], fuzz::run) },
    Step { name: "crash", run: || with(&[], crash::run) },
    Step { name: "everysec", run: || with(&["--policy", "everysec"], crash::run) },
    Step { name: "powerloss", run: power_losses },
    Step { name: "differential", run: || with(&["--commands", "1000000"], differential::run) },
    Step { name: "conformance", run: || with(&["--baseline"], conformance::run) },
    Step { name: "resp3", run: || with(&["--baseline", "--resp3"], conformance::run) },
    Step { name: "suites", run: || with(&[], suites::run) },
    Step { name: "frameworks", run: || with(&[], frameworks::run) },
];

pub(crate) fn run(options: &Options) -> Outcome {
    steps::run(STEPS, &options.only)
}

/// Runs a command as if these had been given to it.
fn with<T: Args>(args: &[&str], run: fn(&T) -> Outcome) -> Outcome<Done> {
    let options = T::from_arg_matches(&parse::<T>(args)?)?;
    run(&options).map(|()| Done::Passed)
}

fn parse<T: Args>(args: &[&str]) -> Outcome<ArgMatches> {
    let command = T::augment_args(Command::new("xtask").no_binary_name(true));
    Ok(command.try_get_matches_from(args)?)
}

fn power_losses() -> Outcome<Done> {
    if !process::is_root() {
        return Ok(Done::Skipped("it mounts a loop device, which only root may"));
    }
    with(&[], powerloss::run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_know_what_they_are_given() {
        parse::<rigs::Shuttle>(&["--factor", "10"]).expect("shuttle");
        parse::<rigs::Broken>(&[]).expect("broken");
        parse::<rigs::Options>(&[]).expect("rigs");
        parse::<miri::Options>(&[]).expect("miri");
        parse::<fuzz::Options>(&["--seconds", "600"]).expect("fuzz");
        parse::<crash::Options>(&["--policy", "everysec"]).expect("crash");
        parse::<powerloss::Options>(&[]).expect("powerloss");
        parse::<differential::Options>(&["--commands", "1000000"]).expect("differential");
        parse::<conformance::Options>(&["--baseline", "--resp3"]).expect("conformance");
        parse::<suites::Options>(&[]).expect("suites");
        parse::<frameworks::Options>(&[]).expect("frameworks");
    }
}
