//! `cargo xtask suites`: the test suites of client libraries themselves, run against a server.
//!
//! The sources are downloaded when they are needed, from the registries that publish them. Nothing of them is kept in the
//! repository but the lists under `xtask/suites`: what is left out and what may fail, each with its reason. Every other
//! test has to pass, and a test that may fail has to, or its line is to go.

mod junit;
mod redis_py;
mod redis_rs;
mod skip;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::failure::{Outcome, While, fail};
use crate::server::{Build, Product, Subject};
use crate::setup::{self, Part};
use crate::{markdown, process, workspace};
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
    /// Put the counts into docs/compatibility.md.
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
    let against = options.subject.against;
    let mut table = String::from(
        "| suite | protocol | passed | failed | fail as listed | skipped by the suite |\n|---|--:|--:|--:|--:|--:|\n",
    );
    let mut wrong = 0;
    for suite in &options.suites {
        let file = format!("{}.txt", suite.name());
        let path = workspace::root()?.join("xtask/suites").join(&file);
        let text = fs::read_to_string(&path).while_doing(|| format!("cannot read {}", path.display()))?;
        let skip = SkipList::parse(&file, &text)?;
        let mut all = Vec::new();
        for version in [2, 3] {
            let run = Run { program: &program, against, version, skip: &skip, only: options.only.as_deref() };
            let tests = match suite {
                Suite::RedisPy => redis_py::run(&run)?,
                Suite::RedisRs => redis_rs::run(&run)?,
            };
            if process::interrupted() {
                fail!("interrupted");
            }
            let counts = count(&tests, &skip);
            let Counts { passed, expected, failed, skipped } = counts;
            println!(
                "{:<9} RESP{version} {passed:>5} passed {failed:>4} failed {expected:>4} fail as listed \
                 {skipped:>5} skipped by the suite",
                suite.name()
            );
            writeln!(
                table,
                "| {suite} | {version} | {passed} | {failed} | {expected} | {skipped} |",
                suite = suite.title()
            )?;
            for test in &tests {
                if let (Ending::Failed(why), false) = (&test.ending, skip.expects(test)) {
                    println!(
                        "    {}: {}",
                        test.name,
                        why.lines().take(4).collect::<Vec<_>>().join("\n        ")
                    );
                }
            }
            wrong += failed;
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
        let page = workspace::root()?.join("docs/compatibility.md");
        markdown::replace_section(&page, "suites", &table)?;
    }
    if wrong > 0 {
        fail!("{wrong} results are not as they should be");
    }
    Ok(())
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

impl Suite {
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
}
