//! `cargo xtask conformance`: the tests of Redis 7.0.15 itself, run against a server from outside.
//!
//! The suite is downloaded when it is needed, as a Debian source package whose signature apt checks, with apt settings of
//! our own, so the system's sources stay as they are. Nothing of it is kept in the repository but a list of what is left
//! out and why.

mod skip;
mod suite;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use crate::failure::{Outcome, While, fail};
use crate::server::{Build, Server, Subject};
use crate::setup::{self, Part};
use crate::workspace::{self, Scratch};
use crate::{markdown, process};
use skip::SkipList;

/// The units whose commands KVDB has.
const UNITS: &[&str] = &[
    "unit/type/string",
    "unit/type/incr",
    "unit/bitops",
    "unit/bitfield",
    "unit/hyperloglog",
    "unit/expire",
    "unit/keyspace",
    "unit/scan",
    "unit/info",
    "unit/info-command",
    "unit/protocol",
    "unit/querybuf",
    "unit/slowlog",
    "unit/latency-monitor",
    "unit/pause",
    "unit/quit",
    "unit/dump",
    "unit/auth",
    "unit/introspection",
    "unit/introspection-2",
    "unit/other",
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
    /// Put the counts into docs/compatibility.md.
    #[arg(long)]
    report: bool,
}

/// What came of one unit.
#[derive(Debug, Default)]
struct Counts {
    passed: usize,
    skipped: usize,
    /// Each failed test with what the suite said about it.
    failed: Vec<String>,
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
    let units: Vec<&str> = if options.units.is_empty() {
        UNITS.to_vec()
    } else {
        options.units.iter().map(String::as_str).collect()
    };
    let mut results = BTreeMap::new();
    for unit in units {
        let scratch = Scratch::new("conformance")?;
        let settings = ["--enable-debug-command", "yes", "--appendfsync", "everysec"];
        let mut server = Server::start(&program, &scratch.path().join("data"), &settings)?;
        let mut counts = Counts::default();
        let ended = suite.run(unit, server.port(), &skip, scratch.path(), LIMIT, &mut counts);
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
        println!("{unit:<24} {}", counts.summary());
        for failed in &counts.failed {
            println!("    {}", failed.replace('\n', "\n        "));
        }
        results.insert(unit, counts);
    }
    let all = |of: fn(&Counts) -> usize| results.values().map(of).sum::<usize>();
    let (passed, failed, skipped) = (all(|c| c.passed), all(|c| c.failed.len()), all(|c| c.skipped));
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    if options.report {
        let page = workspace::root()?.join("docs/compatibility.md");
        markdown::replace_section(&page, "conformance", &table(&results)?)?;
    }
    if failed > 0 {
        fail!("{failed} tests of the suite failed");
    }
    Ok(())
}

impl Counts {
    fn summary(&self) -> String {
        format!("{:>4} passed {:>4} failed {:>4} skipped", self.passed, self.failed.len(), self.skipped)
    }
}

fn table(results: &BTreeMap<&str, Counts>) -> Outcome<String> {
    let mut out =
        String::from("| unit of the Redis 7.0.15 suite | passed | failed | skipped |\n|---|--:|--:|--:|\n");
    for (unit, counts) in results {
        writeln!(out, "| `{unit}` | {} | {} | {} |", counts.passed, counts.failed.len(), counts.skipped)?;
    }
    Ok(out)
}
