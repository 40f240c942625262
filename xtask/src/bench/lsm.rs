//! `cargo xtask bench lsm`: kvdb-lsm beside RocksDB, fjall and redb, in a program of its own (`xtask/peers`) for each
//! engine and data set.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{plot, report};
use crate::failure::{Outcome, While, fail};
use crate::setup::{self, Part};
use crate::workspace::{self, Scratch};
use crate::{markdown, process};

/// No engine takes longer for its list of workloads.
const LIMIT: Duration = Duration::from_secs(3600);
/// The distance of the samples of throughput, as the program takes them.
const SLICE_SECONDS: f64 = 0.25;

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
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds of overwriting: long enough to reach the steady state.
    #[arg(long, default_value_t = 60.0)]
    overwrite_seconds: f64,
    /// Megabytes of keys and values.
    #[arg(long, default_value_t = 256)]
    megabytes: u64,
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

/// Lists of workloads that share a data set, each begun in an empty directory.
const SESSIONS: &[&[&str]] = &[
    &["fillseq"],
    &["fillrandom"],
    &["load", "readrandom", "readmissing", "seekrandom", "readwhilewriting"],
    &["load", "overwrite"],
    &["load", "deletescan"],
    &["load", "ycsb-a", "ycsb-b", "ycsb-c", "ycsb-f", "ycsb-d", "ycsb-e"],
];

/// The figures of one workload of one engine.
type Figures = BTreeMap<String, String>;

pub(crate) fn run(options: &Options) -> Outcome {
    setup::ensure(&[Part::Rocksdb])?;
    let program = build()?;
    let mut text = String::new();
    for entry in &options.entries {
        let Some((key, value)) = entry.split_once('/') else { fail!("{entry} is not KEY/VALUE") };
        let bytes: u64 = key.parse::<u64>()? + value.parse::<u64>()?;
        let count = (options.megabytes << 20) / bytes;
        for &fit in &options.fit {
            let mut rows: Vec<(String, String, Figures)> = Vec::new();
            for engine in &options.engines {
                for session in SESSIONS {
                    let wanted =
                        |name: &&&str| options.only.is_empty() || options.only.iter().any(|o| o == **name);
                    let measured = session.iter().filter(|name| **name != "load").filter(wanted).count();
                    if measured == 0 {
                        continue;
                    }
                    let workloads: Vec<&str> =
                        session.iter().filter(|name| **name == "load" || wanted(name)).copied().collect();
                    eprintln!("{entry}, {}: {engine}: {}", fit.name(), workloads.join(", "));
                    let seconds = if workloads.contains(&"overwrite") {
                        options.overwrite_seconds
                    } else {
                        options.seconds
                    };
                    let job =
                        Job { program: &program, engine, workloads: &workloads, key, value, count, seconds };
                    rows.extend(job.run(fit, options.megabytes)?);
                }
            }
            write!(text, "\n### {entry} bytes, {}\n\n{}", fit.name(), table(&rows)?)?;
            if let Some(page) = &options.markdown {
                let name =
                    format!("lsm-overwrite-{}-{}.svg", entry.replace('/', "-"), fit.name().replace(' ', "-"));
                if draw(&rows, &workspace::root()?.join(page).with_file_name(&name), entry, fit)? {
                    write!(text, "\n![Overwrites over time]({name})\n")?;
                }
            }
        }
    }
    println!("{text}");
    if let Some(page) = &options.markdown {
        let root = workspace::root()?;
        let args: Vec<String> = std::env::args().skip(1).collect();
        let text = format!("`cargo xtask {}`; {}.\n{text}", args.join(" "), report::circumstances(&root));
        markdown::replace_section(&root.join(page), "bench lsm", &text)?;
    }
    Ok(())
}

fn build() -> Outcome<PathBuf> {
    let dir = workspace::root()?.join("xtask/peers");
    let target = workspace::target()?.join("peers");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&dir).args(["build", "--release", "--locked"]).env("CARGO_TARGET_DIR", &target);
    process::run(&mut cargo, LIMIT)?;
    Ok(target.join("release/kvdb-lsm-peers"))
}

/// One run of the program.
struct Job<'a> {
    program: &'a Path,
    engine: &'a str,
    workloads: &'a [&'a str],
    key: &'a str,
    value: &'a str,
    count: u64,
    seconds: f64,
}

impl Job<'_> {
    fn run(&self, fit: Fit, megabytes: u64) -> Outcome<Vec<(String, String, Figures)>> {
        let scratch = Scratch::new("bench-lsm")?;
        let budget = fit.budget_mib(megabytes);
        let group = (fit == Fit::FourTimes).then(|| Group::new((2 * budget) << 20)).flatten();
        let mut command = match &group {
            Some(group) => group.command(self.program),
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
        command.args(["--budget-mib", &budget.to_string(), "--seconds", &self.seconds.to_string()]);
        let mut rows = Vec::new();
        process::run_lines(&mut command, LIMIT, |line| {
            let mut fields = line.split('\t').map(str::to_owned);
            if let (Some(engine), Some(workload)) = (fields.next(), fields.next()) {
                let figures = fields.filter_map(|field| {
                    field.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
                });
                rows.push((engine, workload, figures.collect()));
            }
        })?;
        Ok(rows.into_iter().filter(|(_, workload, _)| workload != "load").collect())
    }
}

/// A control group that bounds the memory of what runs in it, the cache of its files included.
struct Group(PathBuf);

impl Group {
    /// `None` where control groups of version 2 cannot be made: then the cache is the machine's.
    fn new(bytes: u64) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        // The controller has to be handed down before a group has its files.
        let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
        let group = Self(root.join(format!("kvdb-bench-{}", std::process::id())));
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join("memory.max"), bytes.to_string()).ok()?;
        Some(group)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&self.0).arg(program);
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group with a process in it cannot be removed; then it is left for the next start of the machine.
        let _ = fs::remove_dir(&self.0);
    }
}

fn number(figures: &Figures, name: &str) -> Outcome<f64> {
    let text = figures.get(name).map(String::as_str).unwrap_or_default();
    text.parse::<f64>().while_doing(|| format!("reading the figure {name}"))
}

/// One row for each workload and engine; RocksDB is the measure for CPU.
fn table(rows: &[(String, String, Figures)]) -> Outcome<String> {
    let mut out = String::from(
        "| workload | engine | ops/s | CPU ns/op | CPU ratio | p50 µs | p99 µs | p99.9 µs | max ms | slowest second | \
         write amp. | read B/op | space amp. | RSS MiB |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let mut workloads: Vec<&str> = Vec::new();
    for (_, workload, _) in rows {
        if !workloads.contains(&workload.as_str()) {
            workloads.push(workload);
        }
    }
    for workload in workloads {
        let cpu = |figures: &Figures| -> Outcome<f64> {
            Ok(number(figures, "cpu_ns")? / number(figures, "ops")?.max(1.0))
        };
        let measure = rows.iter().find(|(engine, name, _)| engine == "rocksdb" && name == workload);
        let measure: Option<f64> = measure.map(|(_, _, figures)| cpu(figures)).transpose()?;
        for (engine, _, figures) in rows.iter().filter(|(_, name, _)| name == workload) {
            let get = |name: &str| number(figures, name);
            let ops = get("ops")?;
            let own = cpu(figures)?;
            let ratio = measure.map_or_else(|| "–".to_owned(), |measure| format!("{:.2}", own / measure));
            let user = get("user_bytes")?;
            let amplification =
                if user > 0.0 { format!("{:.1}", get("written_bytes")? / user) } else { "–".to_owned() };
            writeln!(
                out,
                "| {workload} | {engine} | {:.0} | {own:.0} | {ratio} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} % | \
                 {amplification} | {:.0} | {:.2} | {:.0} |",
                ops / get("seconds")?.max(1e-9),
                get("p50_ns")? / 1e3,
                get("p99_ns")? / 1e3,
                get("p999_ns")? / 1e3,
                get("max_ns")? / 1e6,
                slowest_second(figures) * 100.0,
                get("read_bytes")? / ops.max(1.0),
                get("disk_bytes")? / get("live_bytes")?.max(1.0),
                get("resident_bytes")? / f64::from(1 << 20),
            )?;
        }
    }
    Ok(out)
}

fn slices(figures: &Figures) -> Vec<f64> {
    let text = figures.get("slices").map(String::as_str).unwrap_or_default();
    text.split(',').filter_map(|slice| slice.parse().ok()).collect()
}

/// The throughput of the slowest whole second, as a share of the mean.
fn slowest_second(figures: &Figures) -> f64 {
    let slices = slices(figures);
    let per_second = (1.0 / SLICE_SECONDS) as usize;
    // The last slice is cut by the end.
    let whole = &slices[..slices.len().saturating_sub(1)];
    let seconds: Vec<f64> = whole.chunks_exact(per_second).map(|second| second.iter().sum()).collect();
    let mean = seconds.iter().sum::<f64>() / seconds.len().max(1) as f64;
    let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    if mean > 0.0 { least / mean } else { 1.0 }
}

/// Draws the throughput of the overwrites; returns whether there were any.
fn draw(rows: &[(String, String, Figures)], path: &Path, entry: &str, fit: Fit) -> Outcome<bool> {
    let lines: Vec<plot::Line> = rows
        .iter()
        .filter(|(_, workload, _)| workload == "overwrite")
        .map(|(engine, _, figures)| plot::Line {
            name: engine.clone(),
            values: slices(figures).iter().map(|slice| slice / SLICE_SECONDS).collect(),
        })
        .collect();
    if lines.is_empty() {
        return Ok(false);
    }
    let title = format!("overwrite, {entry} bytes, {}", fit.name());
    fs::write(path, plot::draw(&title, "operations a second", SLICE_SECONDS, &lines))
        .while_doing(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_second_is_a_share_of_the_mean() {
        let figures = |slices: &str| Figures::from([("slices".to_owned(), slices.to_owned())]);
        assert_eq!(slowest_second(&figures("10,10,10,10,10,10,10,10,3")), 1.0);
        assert_eq!(slowest_second(&figures("10,10,10,10,0,0,10,0,3")), 0.4);
        assert_eq!(slowest_second(&figures("5")), 1.0);
    }
}
