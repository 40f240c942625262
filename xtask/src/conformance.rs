//! `cargo xtask conformance`: the tests of Redis 7.0.15 itself, run against a server from outside.
//!
//! The suite is downloaded when it is needed, as a Debian source package whose signature apt checks, with apt settings of
//! our own, so the system's sources stay as they are. Nothing of it is kept in the repository but a list of what is left
//! out and why.
//!
//! What a run is worth shows beside Redis itself: `--baseline` runs every unit against it too, with nothing left out, unless
//! an earlier run has, and counts what Redis passes and KVDB does not.

mod baseline;
mod outside;
mod reworded;
mod skip;
mod suite;

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::failure::{Outcome, While, fail};
use crate::server::{Build, Product, Server, Subject};
use crate::setup::{self, Part};
use crate::workspace::{self, Scratch};
use crate::{markdown, process};
use baseline::Baseline;
use skip::SkipList;
use suite::{Suite, Task};

/// The units of the suite, but for those that are about how Redis replicates, rewrites its log, or is built, and those of
/// which nothing runs against a server from outside.
const UNITS: &[&str] = &[
    "unit/acl",
    "unit/acl-v2",
    "unit/auth",
    "unit/bitfield",
    "unit/bitops",
    "unit/dump",
    "unit/expire",
    "unit/functions",
    "unit/geo",
    "unit/hyperloglog",
    "unit/info",
    "unit/info-command",
    "unit/introspection",
    "unit/introspection-2",
    "unit/keyspace",
    "unit/latency-monitor",
    "unit/lazyfree",
    "unit/limits",
    "unit/multi",
    "unit/obuf-limits",
    "unit/other",
    "unit/pause",
    "unit/protocol",
    "unit/pubsub",
    "unit/pubsubshard",
    "unit/querybuf",
    "unit/quit",
    "unit/replybufsize",
    "unit/scan",
    "unit/scripting",
    "unit/slowlog",
    "unit/sort",
    "unit/tracking",
    "unit/type/hash",
    "unit/type/incr",
    "unit/type/list",
    "unit/type/list-2",
    "unit/type/list-3",
    "unit/type/set",
    "unit/type/stream",
    "unit/type/stream-cgroups",
    "unit/type/string",
    "unit/type/zset",
    "unit/violations",
];

/// No unit may take longer.
const LIMIT: Duration = Duration::from_secs(900);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these units, as `unit/type/string`; others than the default ones may be named too.
    #[arg(long, value_delimiter = ',')]
    units: Vec<String>,
    #[command(flatten)]
    subject: Subject,
    /// Also leave out nothing: what the skip list names runs too.
    #[arg(long)]
    no_skip: bool,
    /// Have every client of the suite speak RESP3.
    #[arg(long)]
    resp3: bool,
    /// Run every unit against Redis too, and count what only Redis passes. What it passes is kept for later runs.
    #[arg(long)]
    baseline: bool,
    /// Put the counts into docs/compatibility.md; implies `--baseline`.
    #[arg(long)]
    report: bool,
}

/// What came of one unit.
#[derive(Debug, Default)]
struct Counts {
    /// The names of the tests that passed; some names are there several times.
    passed: Vec<String>,
    skipped: usize,
    /// Each failed test with what the suite said about it.
    failed: Vec<String>,
}

/// What came of one unit, with what Redis made of it where that was asked.
struct Unit {
    unit: String,
    ours: Counts,
    /// The names of the tests that Redis passes.
    redis: Option<Vec<String>>,
}

/// What the clients of the suite speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Resp2,
    Resp3,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Resp2 => "resp2",
            Self::Resp3 => "resp3",
        }
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    process::catch_interrupts();
    setup::ensure(&[Part::Redis, Part::Tcl])?;
    let suite = suite::download()?;
    let list = workspace::root()?.join("xtask/conformance/skip.txt");
    let skip = SkipList::parse(
        &fs::read_to_string(&list).while_doing(|| format!("cannot read {}", list.display()))?,
    )?;
    let skip = if options.no_skip { SkipList::default() } else { skip };
    let program = options.subject.program(Build::Fast)?;
    let mode = if options.resp3 { Mode::Resp3 } else { Mode::Resp2 };
    let baseline = if options.baseline || options.report { Some(Baseline::new(mode)?) } else { None };
    let units: Vec<&str> = if options.units.is_empty() {
        UNITS.to_vec()
    } else {
        options.units.iter().map(String::as_str).collect()
    };
    let mut results = Vec::new();
    for unit in units {
        let ours = run_unit(&suite, unit, options.subject.against, &program, &skip, mode)?;
        let redis = match &baseline {
            Some(baseline) => Some(baseline.passed(&suite, unit)?),
            None => None,
        };
        let mut result = Unit { unit: unit.to_owned(), ours, redis };
        result.forgive();
        println!("{unit:<24} {}", result.ours.summary());
        for failed in &result.ours.failed {
            println!("    {}", failed.replace('\n', "\n        "));
        }
        if let Some(redis) = &result.redis {
            println!("{:<24} {:>4} passed by Redis", "", redis.len());
            for name in result.only_redis() {
                println!("    only Redis: {name}");
            }
        }
        results.push(result);
    }
    println!("\n{}", Totals::of(&results));
    if options.report {
        let page = workspace::root()?.join("docs/compatibility.md");
        let section = match mode {
            Mode::Resp2 => "conformance",
            Mode::Resp3 => "conformance-resp3",
        };
        markdown::replace_section(&page, section, &table(&results)?)?;
    }
    let failed: usize = results.iter().map(|result| result.ours.failed.len()).sum();
    if failed > 0 {
        fail!("{failed} tests of the suite failed");
    }
    Ok(())
}

/// Runs one unit against a server of its own.
fn run_unit(
    suite: &Suite,
    unit: &str,
    product: Product,
    program: &Path,
    skip: &SkipList,
    mode: Mode,
) -> Outcome<Counts> {
    let scratch = Scratch::new("conformance")?;
    let mut settings = vec!["--enable-debug-command", "yes", "--appendfsync", "everysec"];
    if product == Product::Kvdb {
        // The tests count on one thread: what one connection sends first is done before what another sends then.
        settings.extend(["--workers", "1"]);
        // As in Redis 7.0, nothing is deleted above the limit, and sets have no third encoding.
        settings.extend(["--maxmemory-policy", "noeviction", "--set-max-listpack-entries", "0"]);
    }
    let mut server = Server::start(program, &scratch.path().join("data"), &settings)?;
    let mut counts = Counts::default();
    let task = Task {
        unit,
        product,
        port: server.port(),
        skip,
        resp3: mode == Mode::Resp3,
        scratch: scratch.path(),
        limit: LIMIT,
    };
    let ended = suite.run(&task, &mut counts);
    if process::interrupted() {
        fail!("interrupted");
    }
    // The suite fails when a test did; that is counted. When none did, it could not run to its end.
    if let (Err(failure), true) = (ended, counts.failed.is_empty()) {
        counts.failed.push(format!("the unit did not run to its end: {failure}"));
    }
    if let Err(failure) = server.expect_alive() {
        counts.failed.push(failure.to_string());
    }
    Ok(counts)
}

impl Counts {
    fn summary(&self) -> String {
        format!("{:>4} passed {:>4} failed {:>4} skipped", self.passed.len(), self.failed.len(), self.skipped)
    }
}

impl Unit {
    /// Leaves out the failures of tests that Redis does not pass in this mode either.
    fn forgive(&mut self) {
        let Some(redis) = &self.redis else { return };
        self.ours.failed.retain(|failed| match failed.split_once(" in tests/") {
            Some((name, _)) => redis.iter().any(|passed| passed == name),
            None => true,
        });
    }

    /// The names of the tests that Redis passes and the other server does not, as often as that is so.
    fn only_redis(&self) -> Vec<&str> {
        let mut passed: HashMap<&str, usize> = HashMap::new();
        for name in &self.ours.passed {
            *passed.entry(name).or_default() += 1;
        }
        let by_redis = self.redis.iter().flatten().map(String::as_str);
        by_redis
            .filter(|name| match passed.get_mut(name).filter(|left| **left > 0) {
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => true,
            })
            .collect()
    }
}

/// The sums over all units.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: usize,
    failed: usize,
    skipped: usize,
    /// What Redis passes, and how much of that the other server does not; where that was asked.
    redis: Option<(usize, usize)>,
}

impl Totals {
    fn of(results: &[Unit]) -> Self {
        let all = |of: fn(&Unit) -> usize| results.iter().map(of).sum::<usize>();
        let by_redis = all(|result| result.redis.as_ref().map_or(0, Vec::len));
        Self {
            passed: all(|result| result.ours.passed.len()),
            failed: all(|result| result.ours.failed.len()),
            skipped: all(|result| result.ours.skipped),
            redis: (by_redis > 0).then(|| (by_redis, all(|result| result.only_redis().len()))),
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)?;
        if let Some((by_redis, missing)) = self.redis {
            let share = 100.0 * missing as f64 / by_redis as f64;
            write!(
                f,
                "; Redis itself passes {by_redis}, of which {missing} ({share:.1} %) are not passed here"
            )?;
        }
        Ok(())
    }
}

fn table(results: &[Unit]) -> Outcome<String> {
    let mut out = String::from(
        "| unit of the Redis 7.0.15 suite | Redis passes | KVDB passes | failed | only Redis |\n|---|--:|--:|--:|--:|\n",
    );
    for result in results {
        let Unit { unit, ours, redis } = result;
        let by_redis = redis.as_ref().map_or(0, Vec::len);
        let (passed, failed, missing) = (ours.passed.len(), ours.failed.len(), result.only_redis().len());
        writeln!(out, "| `{unit}` | {by_redis} | {passed} | {failed} | {missing} |")?;
    }
    writeln!(out, "\n{}.", Totals::of(results))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: &[&str]) -> Counts {
        Counts { passed: passed.iter().map(ToString::to_string).collect(), ..Counts::default() }
    }

    #[test]
    fn what_redis_does_not_pass_either_is_no_failure() {
        let mut ours = counts(&[]);
        ours.failed =
            ["a in tests/unit/x.tcl\nwhy", "b in tests/unit/x.tcl\nwhy", "it died"].map(str::to_owned).into();
        let mut result = Unit { unit: "unit/x".to_owned(), ours, redis: Some(counts(&["a"]).passed) };
        result.forgive();
        assert_eq!(result.ours.failed, ["a in tests/unit/x.tcl\nwhy", "it died"]);
    }

    #[test]
    fn what_only_redis_passes_is_counted_by_name_and_number() {
        let unit = "unit/type/string".to_owned();
        let result =
            Unit { unit, ours: counts(&["a", "b", "z"]), redis: Some(counts(&["a", "b", "b", "c"]).passed) };
        assert_eq!(result.only_redis(), ["b", "c"]);
        let totals = Totals::of(&[result]);
        assert_eq!(totals.redis, Some((4, 2)));
        assert!(
            totals.to_string().ends_with("Redis itself passes 4, of which 2 (50.0 %) are not passed here")
        );
    }
}
