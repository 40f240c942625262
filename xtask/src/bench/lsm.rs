//! `cargo xtask bench lsm`: kvdb-lsm beside RocksDB, fjall and redb, in a program of its own (`xtask/peers`) for each
//! engine and data set.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::engine_rows::{Row, Rows};
use super::{engine_table, peers, report};
use crate::failure::{Outcome, fail};
use crate::memory_limit::MemoryLimit;
use crate::process;
use crate::workspace::{self, Scratch};

/// No engine takes longer for its list of workloads.
const LIMIT: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long, value_delimiter = ',', default_values_t = ["kvdb", "rocksdb", "fjall", "redb"].map(str::to_owned))]
    engines: Vec<String>,
    /// Sizes of key and value, in bytes.
    #[arg(long, value_delimiter = ',', default_values_t = ["16/100", "20/400"].map(str::to_owned))]
    entries: Vec<String>,
    /// Only data sets of this kind.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Fit::Memory, Fit::FourTimes])]
    fit: Vec<Fit>,
    /// Only these workloads; by default all of them.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Seconds for each workload that is bounded by time.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many times as many writes as keys there are in `overwrite`: enough of them, and it reaches the steady state.
    #[arg(long, default_value_t = 2)]
    overwrite_rounds: u64,
    /// Megabytes of keys and values.
    #[arg(long, default_value_t = 128)]
    megabytes: u64,
    /// Keep the figures in this file too, measure only what is not there yet, and make the tables of all of it: for a
    /// machine that is not quiet for as long as everything takes.
    #[arg(long)]
    results: Option<PathBuf>,
    /// Also put the tables into this page, between markers, and the plots beside it.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

/// How large the data is beside the memory that the engines get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fit {
    /// The memory is four times the data.
    Memory,
    /// The data is four times the memory; the operating system's cache is limited to twice the memory as well, where
    /// control groups allow it.
    FourTimes,
}

impl Fit {
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "in memory",
            Self::FourTimes => "four times the memory",
        }
    }

    const fn budget_mib(self, megabytes: u64) -> u64 {
        match self {
            Self::Memory => megabytes * 4,
            Self::FourTimes => megabytes / 4,
        }
    }
}

/// What prepares the workloads of a list and is no measurement.
const PREPARATIONS: &[&str] = &["load", "warm"];

/// Lists of workloads that share a data set, each begun in an empty directory.
const SESSIONS: &[&[&str]] = &[
    &["fillseq"],
    &["fillrandom"],
    &["load", "warm", "readrandom", "readmissing", "seekrandom", "readwhilewriting"],
    &["load", "overwrite"],
    &["load", "deletescan"],
    &["load", "warm", "ycsb-a", "ycsb-b", "ycsb-c", "ycsb-f", "ycsb-d", "ycsb-e"],
];

pub(crate) fn run(options: &Options) -> Outcome {
    let program = peers::build()?.join("kvdb-lsm-peers");
    let mut rows = Rows::open(options.results.as_deref())?;
    for entry in &options.entries {
        let Some((key, value)) = entry.split_once('/') else { fail!("{entry} is not KEY/VALUE") };
        let bytes: u64 = key.parse::<u64>()? + value.parse::<u64>()?;
        let count = (options.megabytes << 20) / bytes;
        for &fit in &options.fit {
            let set = format!("{entry} bytes, {}", fit.name());
            for engine in &options.engines {
                for session in SESSIONS {
                    let Some(workloads) = options.of_session(session, |name| rows.has(&set, engine, name))
                    else {
                        continue;
                    };
                    eprintln!("{set}: {engine}: {}", workloads.join(", "));
                    let job = Job { program: &program, engine, workloads: &workloads, key, value, count };
                    rows.add(job.run(&set, fit, options)?)?;
                }
            }
        }
    }
    let root = workspace::root()?;
    let page = options.markdown.as_ref().map(|page| root.join(page));
    let mut text = String::new();
    for set in rows.sets() {
        let rows = rows.of(&set);
        write!(text, "\n### {set}\n\n{}", engine_table::table(&rows)?)?;
        let Some(page) = &page else { continue };
        let name = format!("lsm-overwrite-{}.svg", set.replace(['/', ' '], "-").replace("-bytes,", ""));
        if engine_table::draw(&rows, &page.with_file_name(&name), &set)? {
            write!(text, "\n![Overwrites over time]({name})\n")?;
        }
    }
    println!("{text}");
    if let Some(page) = &page {
        report::publish(page, "bench lsm", &text)?;
    }
    Ok(())
}

impl Options {
    /// The workloads of a session that are wanted and not done; `None` if there are none.
    fn of_session(&self, session: &[&'static str], done: impl Fn(&str) -> bool) -> Option<Vec<&'static str>> {
        let wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let chosen: Vec<&str> = session
            .iter()
            .copied()
            .filter(|name| is_preparation(name) || (wanted(name) && !done(name)))
            .collect();
        chosen.iter().any(|name| !is_preparation(name)).then_some(chosen)
    }
}

fn is_preparation(workload: &str) -> bool {
    PREPARATIONS.contains(&workload)
}

/// One run of the program.
struct Job<'a> {
    program: &'a Path,
    engine: &'a str,
    workloads: &'a [&'a str],
    key: &'a str,
    value: &'a str,
    count: u64,
}

impl Job<'_> {
    fn run(&self, set: &str, fit: Fit, options: &Options) -> Outcome<Vec<Row>> {
        let scratch = Scratch::new("bench-lsm")?;
        let budget = fit.budget_mib(options.megabytes);
        let bytes = (2 * budget) << 20;
        let limit = (fit == Fit::FourTimes).then(|| MemoryLimit::new(bytes)).flatten();
        let mut command = match &limit {
            Some(limit) => limit.command(self.program),
            None => Command::new(self.program),
        };
        command.args(["--engine", self.engine, "--workloads", &self.workloads.join(",")]);
        command.arg("--dir").arg(scratch.path().join("data"));
        command.args([
            "--entries",
            &self.count.to_string(),
            "--key-bytes",
            self.key,
            "--value-bytes",
            self.value,
        ]);
        command.args(["--budget-mib", &budget.to_string(), "--seconds", &options.seconds.to_string()]);
        command.args(["--overwrite-rounds", &options.overwrite_rounds.to_string()]);
        let mut rows = Vec::new();
        let ran = process::run_lines(&mut command, LIMIT, |line| {
            rows.extend(Row::parse(&format!("{set}\t{line}")))
        });
        if ran.is_err() && limit.is_some_and(|limit| limit.has_killed()) {
            // That is a result too.
            let done: Vec<String> = rows.iter().map(|row: &Row| row.workload.clone()).collect();
            let missing = self.workloads.iter().filter(|name| !done.iter().any(|done| done == *name));
            rows.extend(missing.map(|name| Row::outgrown(set, self.engine, name, bytes)));
        } else {
            ran?;
        }
        rows.retain(|row| !is_preparation(&row.workload));
        Ok(rows)
    }
}
