//! A database of kvdb-lsm that is many times larger than its memory, driven through a life: bulk load, mixed load with a
//! checkpoint and a backup taken under it, an end without farewell, restart, verification, incremental backup, loss of
//! everything, restoration.
//!
//! Each step is a process of its own, so that nothing but the files passes from one to the next, and so that
//! `cargo xtask bench big` can run each under a limit of memory. What every key must hold is known at any time: a step
//! that finds anything else fails.

mod check;
mod data;
mod load;
mod mixed;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use kvdb_lsm::backup::Backups;
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::vfs::OsVfs;
use kvdb_lsm::{Db, Options, unwatched};

use crate::data::Data;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    /// Builds tables outside and takes them in.
    Load,
    /// Reads, scans and writes for some time; a checkpoint and a backup are made meanwhile. Ends like a killed process.
    Mixed,
    /// Opens the database, and reads everything in it.
    Restart,
    /// Opens the checkpoint, reads everything in it, and removes it.
    Checkpoint,
    /// Makes another backup.
    Backup,
    /// Removes the database, restores the last backup in its place, and reads everything.
    Restore,
}

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(value_enum)]
    step: Step,
    /// What everything lies in.
    #[arg(long)]
    dir: PathBuf,
    /// Rows in the database.
    #[arg(long)]
    entries: u64,
    /// Bytes of a value. They do not compress.
    #[arg(long, default_value_t = 1000)]
    value_bytes: usize,
    /// Seconds of the mixed load.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Memory for the engine's blocks and memtables, in MiB.
    #[arg(long, default_value_t = 256)]
    budget_mib: usize,
}

/// Where the parts of it are.
#[derive(Debug)]
pub struct Place {
    pub database: PathBuf,
    pub checkpoint: PathBuf,
    pub backups: PathBuf,
    pub incoming: PathBuf,
    /// The version of every row.
    pub versions: PathBuf,
    /// The same just before and just after the checkpoint was made.
    pub around: [PathBuf; 2],
}

impl Place {
    fn new(dir: &Path) -> Self {
        Self {
            database: dir.join("database"),
            checkpoint: dir.join("checkpoint"),
            backups: dir.join("backups"),
            incoming: dir.join("incoming"),
            versions: dir.join("versions"),
            around: [dir.join("versions-before"), dir.join("versions-after")],
        }
    }
}

/// The options of the database, for a limit of memory: a quarter of `budget` for memtables, half for blocks.
pub fn options(dir: &Path, budget: usize) -> Options {
    let mut options = Options::new(dir);
    options.sync = SyncPolicy::EverySec;
    options.max_frozen = 2;
    options.write_buffer_bytes = budget / 12;
    options.segment_bytes = 16 << 20;
    options.block_cache_bytes = budget as u64 / 2;
    options
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome {
    let place = Place::new(&arguments.dir);
    let data = Data { entries: arguments.entries, value_bytes: arguments.value_bytes };
    let options = |dir: &Path| options(dir, arguments.budget_mib << 20);
    match arguments.step {
        Step::Load => load::run(&data, &place, options(&place.database)),
        Step::Mixed => mixed::run(&data, &place, options(&place.database), arguments.seconds),
        Step::Restart => {
            let began = Instant::now();
            let db = Db::open(options(&place.database))?;
            let recovered = db.recovered();
            say(
                "restart",
                format_args!(
                    "open after {:.2} s, with {:.0} MB of the log replayed",
                    began.elapsed().as_secs_f64(),
                    recovered.bytes as f64 / 1e6
                ),
            );
            check::contents(&data, db.iter_all(&db.view()), &data.read_versions(&place.versions)?, None)?;
            check::report("verify", &db.verify()?)?;
            Ok(db.close()?)
        }
        Step::Checkpoint => {
            let db = Db::open(options(&place.checkpoint))?;
            let [before, after] = place.around.each_ref().map(|path| data.read_versions(path));
            check::contents(&data, db.iter_all(&db.view()), &before?, Some(&after?))?;
            db.close()?;
            Ok(std::fs::remove_dir_all(&place.checkpoint)?)
        }
        Step::Backup => {
            let db = Db::open(options(&place.database))?;
            mixed::back_up(&place, &db, "incremental backup")?;
            Ok(db.close()?)
        }
        Step::Restore => {
            std::fs::remove_dir_all(&place.database)?;
            let backups = Backups::open(Arc::new(OsVfs), &place.backups)?;
            let last = backups.list()?.backups.last().ok_or("there is no backup")?.id;
            check::report("backup verified", &backups.verify(last, &mut unwatched)?)?;
            let began = Instant::now();
            let info = backups.restore(last, &OsVfs, &place.database, &mut unwatched)?;
            let seconds = began.elapsed().as_secs_f64();
            say("restore", format_args!("{} in {seconds:.0} s", gigabytes(info.bytes)));
            let db = Db::open(options(&place.database))?;
            check::contents(&data, db.iter_all(&db.view()), &data.read_versions(&place.versions)?, None)?;
            Ok(db.close()?)
        }
    }
}

/// A line of the report.
pub fn say(what: &str, text: std::fmt::Arguments<'_>) {
    println!("{what}\t{text}");
}

pub fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}
