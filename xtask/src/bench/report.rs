//! The tables of a benchmark, and the circumstances in which their figures came about.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Case, Memory, Sample};
use crate::failure::{Outcome, fail};
use crate::{markdown, process, workspace};

/// The median of per-pair ratios, with the least and the greatest.
struct Ratio {
    median: f64,
    least: f64,
    most: f64,
}

impl Ratio {
    /// `of(candidate) / of(baseline)`, pair by pair.
    fn new(case: &Case, of: impl Fn(&Sample) -> f64) -> Self {
        let mut ratios: Vec<f64> = case
            .baseline
            .iter()
            .zip(&case.candidate)
            .map(|(base, ours)| of(ours) / of(base).max(1e-12))
            .collect();
        ratios.sort_by(f64::total_cmp);
        Self { median: median_of(&ratios), least: ratios[0], most: ratios[ratios.len() - 1] }
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.least, self.most)
    }
}

/// The median of sorted values.
fn median_of(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    median_of(&values)
}

/// Fails when more was measured than the goal allows.
pub(super) fn judge(what: &str, measured: f64, goal: f64, unit: &str) -> Outcome {
    if measured <= goal {
        return Ok(());
    }
    fail!("{what}: {measured:.2} {unit}, and the goal is {goal} {unit} at most");
}

/// The speed table as Markdown, which a terminal shows well enough.
pub(super) fn speed(cases: &[Case], ours: &str) -> Outcome<String> {
    let mut out = String::new();
    writeln!(
        out,
        "CPU ratio: below 1 means less CPU than Redis. Speed ratio: above 1 means faster. Medians over the pairs, in \
         parentheses the least and the greatest; `a / b` is redis / {ours}.\n\n\
         | command | pipeline | CPU ns/op redis | CPU ns/op {ours} | CPU ratio | ops/s redis | ops/s {ours} | \
         speed ratio | p50 ms | p99 ms | switches/op |"
    )?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for case in cases.iter().filter(|case| !case.candidate.is_empty()) {
        let both = |of: fn(&Sample) -> f64| (median(&case.baseline, of), median(&case.candidate, of));
        let (cpu, speed) = (both(Sample::cpu_per_op), both(|sample| sample.seen.per_second));
        let (p50, p99) = (both(|sample| sample.seen.p50), both(|sample| sample.seen.p99));
        let switches = both(Sample::switches_per_op);
        writeln!(
            out,
            "| {} | {} | {:.0} | {:.0} | {} | {:.0} | {:.0} | {} | {:.2} / {:.2} | {:.2} / {:.2} | {:.3} / {:.3} |",
            case.command.name.to_uppercase(),
            case.pipeline,
            cpu.0,
            cpu.1,
            Ratio::new(case, Sample::cpu_per_op),
            speed.0,
            speed.1,
            Ratio::new(case, |sample| sample.seen.per_second),
            p50.0,
            p50.1,
            p99.0,
            p99.1,
            switches.0,
            switches.1,
        )?;
    }
    Ok(out)
}

pub(super) fn memory(rows: &[Memory], ours: &str) -> Outcome<String> {
    let mut out = String::new();
    writeln!(
        out,
        "| keys | bytes/key redis | bytes/key {ours} | over key and value redis | over key and value {ours} |"
    )?;
    writeln!(out, "|--:|--:|--:|--:|--:|")?;
    for row in rows {
        let per_key = |resident: u64| resident as f64 / row.keys as f64;
        let (redis, ours) = (per_key(row.baseline), per_key(row.candidate));
        let data = f64::from(super::SMALL_KEY_AND_VALUE);
        writeln!(
            out,
            "| {} | {redis:.1} | {ours:.1} | {:.1} | {:.1} |",
            row.keys,
            redis - data,
            ours - data
        )?;
    }
    Ok(out)
}

/// Puts `text` into a page of the documentation, between the markers of `section`, under the command that made it and its
/// circumstances.
pub(super) fn publish(page: &Path, section: &str, text: &str) -> Outcome {
    let root = workspace::root()?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let text =
        format!("`cargo xtask {}`; {}.\n\n{}", args.join(" "), circumstances(&root), text.trim_start());
    markdown::replace_section(&root.join(page), section, &text)
}

/// The version of the Redis server that stands beside.
pub(super) fn redis_version() -> String {
    let said = process::output(Command::new("redis-server").arg("--version"), Duration::from_secs(30));
    let said = said.unwrap_or_default();
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("v="));
    version.unwrap_or("of unknown version").to_owned()
}

/// When, where and on which commit something was measured.
fn circumstances(root: &Path) -> String {
    let ask = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        let said = process::output(command.current_dir(root).args(args), Duration::from_secs(30));
        said.map_or_else(|_| "unknown".to_owned(), |said| said.trim().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let dirty =
        if ask("git", &["status", "--porcelain"]).is_empty() { "" } else { ", with uncommitted changes" };
    format!(
        "{}, {} ({cores} cores), Linux {}, commit {}{dirty}",
        ask("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        model.unwrap_or("unknown processor"),
        ask("uname", &["-r"]),
        ask("git", &["rev-parse", "--short=12", "HEAD"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!((median_of(&[1.0, 2.0, 9.0]) - 2.0).abs() < 1e-9);
        assert!((median_of(&[1.0, 2.0]) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn what_is_above_its_goal_fails_and_says_by_what() {
        judge("a connection", 2048.0, 2048.0, "bytes").expect("the goal is reached");
        let failure = judge("a connection", 2049.0, 2048.0, "bytes").expect_err("it is above the goal");
        assert_eq!(failure.to_string(), "a connection: 2049.00 bytes, and the goal is 2048 bytes at most");
        judge("nothing", f64::NAN, 1.0, "%").expect_err("what is no number reaches no goal");
    }
}
