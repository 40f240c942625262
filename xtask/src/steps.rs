//! Commands of many steps, of which each is a check of its own.
//!
//! A step that fails does not hide the later ones: all run, and the last line counts them.

use std::fmt::Write as _;
use std::time::Instant;

use crate::failure::{Failure, Outcome, fail};
use crate::process;

pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> Outcome<Done>,
}

pub(crate) enum Done {
    Passed,
    /// Passed, but not all of it was run.
    Partly(String),
    Skipped(&'static str),
}

pub(crate) fn names(steps: &[Step]) -> Vec<&'static str> {
    steps.iter().map(|step| step.name).collect()
}

/// Runs the steps, or `only` those of them, and says what came of each.
pub(crate) fn run(steps: &[Step], only: &[String]) -> Outcome {
    let chosen = |step: &&Step| only.is_empty() || only.iter().any(|name| name == step.name);
    let mut summary = String::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for step in steps.iter().filter(chosen) {
        println!("==> {}", step.name);
        let start = Instant::now();
        let done = (step.run)();
        let seconds = start.elapsed().as_secs_f64();
        let (mark, detail) = match &done {
            Ok(Done::Passed) => ("pass", String::new()),
            Ok(Done::Partly(what)) => ("pass", what.clone()),
            Ok(Done::Skipped(reason)) => ("skip", (*reason).to_owned()),
            Err(failure) => ("FAIL", failure.to_string()),
        };
        match done {
            Ok(Done::Passed | Done::Partly(_)) => passed += 1,
            Ok(Done::Skipped(_)) => skipped += 1,
            Err(_) => failed += 1,
        }
        let line = format!("{mark}  {:<12} {seconds:>7.1} s  {detail}", step.name);
        println!("{}", line.trim_end());
        writeln!(summary, "{}", line.trim_end())?;
        if process::interrupted() {
            println!("\n{summary}");
            fail!("interrupted");
        }
    }
    println!("\n{summary}");
    let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    println!("{passed} passed, {failed} failed{skipped}");
    if failed > 0 {
        return Err(Failure::told());
    }
    Ok(())
}
