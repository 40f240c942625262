//! `cargo xtask bench big`: the life of a database that is many times larger than the memory it gets.
//!
//! Each step is a process under the same limit of memory, the system's cache of its files included, and compares every
//! row that it reads with what must be there.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::{peers, report};
use crate::failure::{Outcome, fail};
use crate::memory_limit::MemoryLimit;
use crate::process;
use crate::workspace::Scratch;

/// No step takes longer.
const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// The bytes of a value; a key has 16.
const VALUE_BYTES: u64 = 1000;
const STEPS: [&str; 6] = ["load", "mixed", "restart", "checkpoint", "backup", "restore"];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Keys and values, in GiB. The disk needs two and a half times as much.
    #[arg(long, default_value_t = 20.0)]
    gib: f64,
    /// Minutes of the mixed load.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// The memory of each step, in MiB.
    #[arg(long, default_value_t = 512)]
    memory_mib: u64,
    /// Also put the report into this page, between markers.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let program = peers::build()?.join("kvdb-lsm-big");
    let scratch = Scratch::new("big")?;
    let entries = (options.gib * f64::from(1 << 30)) as u64 / (VALUE_BYTES + 16);
    let Some(limit) = MemoryLimit::new(options.memory_mib << 20) else {
        fail!("the memory of a program cannot be limited here: there are no control groups to be made");
    };
    let mut table = String::from("| step | what was seen |\n|---|---|\n");
    for step in STEPS {
        let mut command = limit.command(&program);
        command.arg(step).arg("--dir").arg(scratch.path());
        command.args(["--entries", &entries.to_string(), "--value-bytes", &VALUE_BYTES.to_string()]);
        command.args(["--seconds", &((options.minutes * 60.0) as u64).to_string()]);
        command.args(["--budget-mib", &(options.memory_mib / 2).to_string()]);
        let mut lines = Vec::new();
        process::run_lines(&mut command, LIMIT, |line| {
            eprintln!("{step}: {}", line.replace('\t', ": "));
            lines.extend(line.split_once('\t').map(|(what, text)| (what.to_owned(), text.to_owned())));
        })?;
        for (what, text) in lines {
            writeln!(table, "| {what} | {text} |")?;
        }
    }
    if let Some(peak) = limit.peak() {
        let peak = peak >> 20;
        writeln!(
            table,
            "| memory | at most {peak} MiB of {} MiB, cached files included |",
            options.memory_mib
        )?;
    }
    println!("{table}");
    if let Some(page) = &options.markdown {
        report::publish(page, "bench big", &table)?;
    }
    Ok(())
}
