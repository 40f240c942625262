//! Storage engines side by side: one engine, one data directory, a list of workloads; a line of figures for each.
//!
//! `cargo xtask bench lsm` runs this program once for each engine and prints the tables. It stands outside the workspace
//! so that no other engine is ever a dependency of KVDB.
//!
//! All engines get the same memory (half of the budget for what was written last, half for blocks), the same filters,
//! the same compression (none on the two upper levels, LZ4 below, where the engine lets one choose) and the same
//! durability. A workload counts the CPU of the whole process: what an engine does in the background is work too.

mod engine;
mod engines;
mod measure;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::engine::{Durability, Setup};
use crate::workload::Workload;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Parser)]
struct Options {
    #[arg(long, value_enum)]
    engine: engines::Kind,
    /// Workloads, done one after the other on the same data.
    #[arg(long, value_enum, value_delimiter = ',', required = true)]
    workloads: Vec<Workload>,
    /// An empty directory.
    #[arg(long)]
    dir: PathBuf,
    /// Keys in the data set.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    #[arg(long, default_value_t = 16)]
    key_bytes: usize,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Memory for the engine, in MiB.
    #[arg(long, default_value_t = 256)]
    budget_mib: usize,
    /// Seconds for each workload that is not bounded by the data set.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How many times as many writes as keys there are in `overwrite`.
    #[arg(long, default_value_t = 2)]
    overwrite_rounds: u64,
    /// Client threads of the read workloads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, value_enum, default_value_t = Durability::Process)]
    durability: Durability,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), engine::Failure> {
    let setup = Setup {
        dir: options.dir.clone(),
        budget_bytes: options.budget_mib << 20,
        durability: options.durability,
    };
    let engine = options.engine.open(&setup)?;
    let plan = workload::Plan {
        entries: options.entries,
        key_bytes: options.key_bytes,
        value_bytes: options.value_bytes,
        seconds: options.seconds,
        overwrite_rounds: options.overwrite_rounds,
        threads: options.threads,
        seed: options.seed,
    };
    for &workload in &options.workloads {
        let result = workload::run(workload, &plan, &*engine, &options.dir)?;
        println!("{}", result.to_line(options.engine.name(), workload.name()));
    }
    Ok(())
}
