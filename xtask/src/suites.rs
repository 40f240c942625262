//! `cargo xtask suites`: the test suites of client libraries themselves, run against a server.
//!
//! The sources are downloaded when they are needed, from the registries that publish them. Nothing of them is kept in the
//! repository but the lists under `xtask/suites`: what is left out and what may fail, each with its reason. Every other
//! test has to pass, and a test that may fail has to, or its line is to go.

mod junit;
mod redis_py;
mod redis_rs;
mod skip;
mod table;

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::failure::{Outcome, While, fail};
use crate::server::{Build, Product, Subject};
use crate::setup::{self, Part};
use crate::{process, workspace};
use skip::SkipList;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these suites.
    #[arg(value_enum, default_values_t = [Suite::RedisPy, Suite::RedisRs])]
    suites: Vec<Suite>,
    #[command(flatten)]
    subject: Subject,
    /// Only the tests whose names have this in them.
    #[arg(long)]
    only: Option<String>,
    /// Run the suites against Redis too, with no test left out, and count what only Redis passes.
    #[arg(long)]
    baseline: bool,
    /// Put the counts into docs/compatibility.md; implies `--baseline`.
    #[arg(long, conflicts_with = "only")]
    report: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Suite {
    RedisPy,
    RedisRs,
}

/// A test that was run.
#[derive(Debug, PartialEq, Eq)]
struct Test {
    /// As the lists name it: `test_commands.TestAcl::test_cat[x]`, `test_basic::test_get`.
    name: String,
    ending: Ending,
}

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Passed,
    /// By the suite itself: for a newer server, or another kind.
    Skipped,
    Failed(String),
}

/// How a suite is to run.
struct Run<'a> {
    program: &'a Path,
    against: Product,
    /// Of the protocol, 2 or 3.
    version: u8,
    skip: &'a SkipList,
    only: Option<&'a str>,
}

/// How many tests ended in which way.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    /// As a line of the list says.
    expected: usize,
    failed: usize,
    skipped: usize,
}

pub(crate) fn run(options: &Options) -> Outcome {
    process::catch_interrupts();
    setup::ensure(&[Part::Redis, Part::Suites])?;
    let program = options.subject.program(Build::Dev)?;
    let redis = match options.baseline || options.report {
        true => Some(Product::Redis.program(Build::Dev)?),
        false => None,
    };
    let against = options.subject.against;
    let mut rows = Vec::new();
    let mut wrong = 0;
    for &suite in &options.suites {
        let file = format!("{}.txt", suite.name());
        let path = workspace::root()?.join("xtask/suites").join(&file);
        let text = fs::read_to_string(&path).while_doing(|| format!("cannot read {}", path.display()))?;
        let skip = SkipList::parse(&file, &text)?;
        let whole = skip.with_every_test();
        let mut all = Vec::new();
        for version in [2, 3] {
            let only = options.only.as_deref();
            let tests = suite.run(&Run { program: &program, against, version, skip: &skip, only })?;
            let counts = count(&tests, &skip);
            println!("{:<9} RESP{version} {counts}", suite.name());
            tell_failures(&tests, &skip);
            if let Some(program) = &redis {
                let run = Run { program, against: Product::Redis, version, skip: &whole, only };
                let by_redis = suite.run(&run)?;
                let only_redis = passed_by_the_first_alone(&by_redis, &tests);
                let passed = count(&by_redis, &whole).passed;
                println!("{:<15} {passed:>5} passed by Redis, {} of them not here", "", only_redis.len());
                for name in &only_redis {
                    println!("    only Redis: {name}");
                }
                rows.push(table::row(suite, version, &counts, passed, only_redis.len()));
            }
            wrong += counts.failed;
            all.extend(tests);
        }
        // Where Redis passes what KVDB does not, its line is needed all the same.
        if options.only.is_none() && against == Product::Kvdb {
            for line in skip.unneeded(&all) {
                println!("    {file}: {line} does not fail: its line is to go");
                wrong += 1;
            }
        }
    }
    if options.report {
        table::write(&workspace::root()?.join("docs/compatibility.md"), &rows)?;
    }
    if wrong > 0 {
        fail!("{wrong} results are not as they should be");
    }
    Ok(())
}

fn tell_failures(tests: &[Test], skip: &SkipList) {
    for test in tests {
        if let (Ending::Failed(why), false) = (&test.ending, skip.expects(test)) {
            println!("    {}: {}", test.name, why.lines().take(4).collect::<Vec<_>>().join("\n        "));
        }
    }
}

/// The names of the tests that passed in one run and not in the other.
fn passed_by_the_first_alone<'a>(first: &'a [Test], other: &[Test]) -> Vec<&'a str> {
    let passed = |test: &&Test| test.ending == Ending::Passed;
    let other: HashSet<&str> = other.iter().filter(passed).map(|test| test.name.as_str()).collect();
    first.iter().filter(passed).map(|test| test.name.as_str()).filter(|name| !other.contains(name)).collect()
}

fn count(tests: &[Test], skip: &SkipList) -> Counts {
    let mut counts = Counts::default();
    for test in tests {
        *match &test.ending {
            Ending::Passed => &mut counts.passed,
            Ending::Skipped => &mut counts.skipped,
            Ending::Failed(_) if skip.expects(test) => &mut counts.expected,
            Ending::Failed(_) => &mut counts.failed,
        } += 1;
    }
    counts
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, expected, failed, skipped } = self;
        write!(out, "{passed:>5} passed {failed:>4} failed {expected:>4} fail as listed ")?;
        write!(out, "{skipped:>5} skipped by the suite")
    }
}

impl Suite {
    fn run(self, run: &Run<'_>) -> Outcome<Vec<Test>> {
        let tests = match self {
            Self::RedisPy => redis_py::run(run)?,
            Self::RedisRs => redis_rs::run(run)?,
        };
        if process::interrupted() {
            fail!("interrupted");
        }
        Ok(tests)
    }

    /// The name on the command line and of the list.
    fn name(self) -> &'static str {
        match self {
            Self::RedisPy => "redis-py",
            Self::RedisRs => "redis-rs",
        }
    }

    fn title(self) -> String {
        match self {
            Self::RedisPy => format!("redis-py {}", redis_py::VERSION),
            Self::RedisRs => format!("redis-rs {}", redis_rs::VERSION),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart_by_the_list() {
        let skip = SkipList::parse("list", "fails a::c # newer\n").expect("reads");
        let test = |name: &str, ending| Test { name: name.to_owned(), ending };
        let tests = [
            test("a::b", Ending::Passed),
            test("a::c", Ending::Failed(String::new())),
            test("a::d", Ending::Failed(String::new())),
            test("a::e", Ending::Skipped),
        ];
        assert_eq!(count(&tests, &skip), Counts { passed: 1, expected: 1, failed: 1, skipped: 1 });
    }

    #[test]
    fn what_only_one_run_passed_is_named() {
        let test = |name: &str, ending| Test { name: name.to_owned(), ending };
        let first = [test("a", Ending::Passed), test("b", Ending::Passed), test("c", Ending::Skipped)];
        let other = [test("a", Ending::Passed), test("b", Ending::Failed(String::new()))];
        assert_eq!(passed_by_the_first_alone(&first, &other), ["b"]);
        assert_eq!(passed_by_the_first_alone(&other, &first), [""; 0]);
    }
}
