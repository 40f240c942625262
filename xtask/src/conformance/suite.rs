//! The Redis test suite: where it comes from, how one unit of it is run, and what its output means.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::skip::SkipList;
use super::{Counts, outside, reworded};
use crate::failure::{Failure, Outcome, While, fail};
use crate::server::Product;
use crate::{process, workspace};

/// The release whose suite it is. Debian 12 carries it; later releases of Debian carry later Redis.
const VERSION: &str = "7.0.15";
const RELEASE: &str = "bookworm";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);

pub(super) struct Suite {
    /// The directory that has `tests/`.
    dir: PathBuf,
    /// The same with the words of Redis 7.2.
    reworded: PathBuf,
}

/// Fetches and unpacks the suite, unless an earlier run has.
pub(super) fn download() -> Outcome<Suite> {
    let kept = workspace::kept("conformance")?;
    let archive = kept.join(format!("redis_{VERSION}.orig.tar.gz"));
    if !archive.is_file() {
        fetch(&kept)?;
    }
    let suite = Suite { dir: unpack(&archive, &kept)?, reworded: unpack(&archive, &kept.join("reworded"))? };
    let list = workspace::root()?.join("xtask/conformance/reworded.txt");
    let list = fs::read_to_string(&list).while_doing(|| format!("cannot read {}", list.display()))?;
    reworded::apply(&list, &suite.reworded.join("tests"))?;
    Ok(suite)
}

/// Unpacks the suite into a directory and prepares it. It is changed, so every run begins with it as it comes.
fn unpack(archive: &Path, into: &Path) -> Outcome<PathBuf> {
    fs::create_dir_all(into)?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--overwrite", "--file"]).arg(archive).arg("--directory").arg(into);
    process::run(tar.arg(format!("redis-{VERSION}/tests")), DOWNLOAD_LIMIT)?;
    let dir = into.join(format!("redis-{VERSION}"));
    outside::adapt(&dir)?;
    // The suite calls these two by the place where its own build puts them.
    fs::create_dir_all(dir.join("src"))?;
    for program in ["redis-cli", "redis-benchmark"] {
        let Some(installed) = process::find(program) else { fail!("there is no {program}") };
        let link = dir.join("src").join(program);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(installed, link)?;
    }
    Ok(dir)
}

/// Downloads the source package with lists and a cache of its own.
fn fetch(dir: &Path) -> Outcome {
    println!("conformance: downloading the source of Redis {VERSION}");
    let apt = dir.join("apt");
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(part))?;
    }
    let sources = apt.join("sources.list");
    let mirror = mirror()?;
    fs::write(&sources, format!("deb-src [signed-by={KEYRING}] {mirror} {RELEASE} main\n"))?;
    let apt_get = || {
        let mut command = Command::new("apt-get");
        let set = |name: &str, path: &Path| format!("{name}={}", path.display());
        command.current_dir(dir).args([
            "-qq",
            "-o",
            "Dir::Etc::sourceparts=-",
            "-o",
            "APT::Sandbox::User=root",
        ]);
        command.args([
            "-o",
            &set("Dir::Etc::sourcelist", &sources),
            "-o",
            &set("Dir::State::lists", &apt.join("lists")),
        ]);
        command.args(["-o", &set("Dir::Cache", &apt.join("cache"))]);
        command
    };
    process::run(apt_get().arg("update"), DOWNLOAD_LIMIT)?;
    process::run(apt_get().args(["--download-only", "source", "redis"]), DOWNLOAD_LIMIT)?;
    if !dir.join(format!("redis_{VERSION}.orig.tar.gz")).is_file() {
        fail!("{RELEASE} no longer carries Redis {VERSION}");
    }
    Ok(())
}

/// The Debian mirror that this machine is set up for.
fn mirror() -> Outcome<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(fs::read_dir("/etc/apt/sources.list.d")?.flatten().map(|entry| entry.path()));
    for file in files {
        let text = fs::read_to_string(file).unwrap_or_default();
        let words =
            text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
        let mut mirrors =
            words.filter(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"));
        if let Some(mirror) = mirrors.next() {
            return Ok(mirror.to_owned());
        }
    }
    Err(Failure::new("apt is set up for no Debian mirror: the suite comes from a Debian source package"))
}

/// A unit that is to be run.
pub(super) struct Task<'t> {
    pub(super) unit: &'t str,
    /// What it is run against, and where that is.
    pub(super) product: Product,
    pub(super) port: u16,
    pub(super) skip: &'t SkipList,
    /// Whether the clients of the suite speak RESP3.
    pub(super) resp3: bool,
    /// A directory that is the run's own.
    pub(super) scratch: &'t Path,
    pub(super) limit: Duration,
}

impl Suite {
    /// Runs one unit and adds what it did to `counts`; fails as the suite does.
    pub(super) fn run(&self, task: &Task<'_>, counts: &mut Counts) -> Outcome {
        let Task { unit, product, port, skip, resp3, scratch, limit } = *task;
        let dir = if product == Product::Kvdb { &self.reworded } else { &self.dir };
        if !dir.join("tests").join(unit).with_extension("tcl").is_file() {
            fail!("the suite has no unit {unit}");
        }
        let names = scratch.join("skip");
        fs::write(&names, skip.tests.join("\n"))?;
        let mut command = Command::new("tclsh");
        command.current_dir(dir).args([
            "tests/test_helper.tcl",
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
        ]);
        command.args(["--single", unit, "--durable", "--clients", "1", "--ignore-digest"]);
        command.args(["--timeout", "300", "--skipfile"]).arg(&names);
        let tags: Vec<String> = skip.tags.iter().map(|tag| format!("-{tag}")).collect();
        if !tags.is_empty() {
            command.args(["--tags", &tags.join(" ")]);
        }
        command.env("TERM", "dumb");
        if resp3 {
            command.env(outside::RESP3, workspace::root()?.join("xtask/conformance/resp3.tcl"));
        }
        let mut reader = Reader { counts, in_failure: false };
        process::run_lines(&mut command, limit, |line| reader.line(line))
    }
}

/// Counts what the suite prints.
struct Reader<'a> {
    counts: &'a mut Counts,
    /// The lines after a failed test explain it.
    in_failure: bool,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) {
        let (kind, rest) = line.split_once("]: ").unwrap_or(("", line));
        match kind {
            "[ok" => self.counts.passed.push(without_time(rest).to_owned()),
            "[skip" | "[ignore" => self.counts.skipped += 1,
            "[err" | "[exception" | "[timeout" => self.counts.failed.push(rest.to_owned()),
            _ if self.in_failure && !line.starts_with('[') => {
                // The first lines say what differed; the rest is the suite's call stack.
                if let Some(failed) =
                    self.counts.failed.last_mut().filter(|failed| failed.lines().count() < 6)
                {
                    failed.push('\n');
                    failed.push_str(line);
                }
                return;
            }
            _ => {}
        }
        self.in_failure = matches!(kind, "[err" | "[exception" | "[timeout");
    }
}

/// The name of a test without how long it took: `SET (1 ms)`.
fn without_time(name: &str) -> &str {
    name.rsplit_once(" (").filter(|(_, time)| time.ends_with(" ms)")).map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_the_suite_is_counted() {
        let mut counts = Counts::default();
        let mut reader = Reader { counts: &mut counts, in_failure: false };
        let output = "Starting test server\n[ok]: SET (1 ms)\n[skip]: GET\n[ignore]: X: tag\n\
                      [err]: INCR in tests/unit/type/incr.tcl\nExpected '1' to equal '2'\n[ok]: DEL (0 ms)\nThe End\n";
        output.lines().for_each(|line| reader.line(line));
        assert_eq!(counts.passed, ["SET", "DEL"]);
        assert_eq!(counts.skipped, 2);
        assert_eq!(counts.failed, ["INCR in tests/unit/type/incr.tcl\nExpected '1' to equal '2'"]);
    }
}
