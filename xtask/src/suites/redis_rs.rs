//! redis-rs' own tests: the published package has them, but for what starts servers, which is a package of its own, and for
//! the macro that asynchronous tests are made by, which is published nowhere: `xtask/suites/test_macros.rs` is KVDB's own.
//!
//! The suite starts a server for each test, by the name `redis-server`. It finds a script of that name first, which starts
//! the server under test in a directory of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Ending, Run, Test};
use crate::failure::{Outcome, While, fail};
use crate::server::Product;
use crate::workspace::Scratch;
use crate::{process, workspace};

/// The release; the client scenario `xtask/clients/redis-rs` locks the same.
pub(super) const VERSION: &str = "1.8.1";

/// The package that starts servers.
const REDIS_TEST: &str = "1.0.4";

/// The macro of the asynchronous tests, and the crate that it is to be.
const TEST_MACROS: &str = include_str!("../../suites/test_macros.rs");
const TEST_MACROS_MANIFEST: &str = "[package]\nname = \"test-macros\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
    [lib]\npath = \"lib.rs\"\nproc-macro = true\n";

/// The parts of the library whose tests run: what is not for clusters, sentinels, TLS or modules.
const FEATURES: &str = "tokio-comp,connection-manager,cache-aio,token-based-authentication";

const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Runs the suite in one protocol.
pub(super) fn run(run: &Run<'_>) -> Outcome<Vec<Test>> {
    let source = download()?;
    let targets = targets(&source, &run.skip.parts)?;
    let mut build = cargo_test(&source)?;
    build.args(targets.iter().flat_map(|target| ["--test", target]));
    process::output(build.arg("--no-run"), BUILD_LIMIT)?;
    let scratch = Scratch::new("suites")?;
    let path = shim(scratch.path(), run)?;
    let mut tests = Vec::new();
    for target in targets {
        let mut command = cargo_test(&source)?;
        command.env("PATH", &path).env("PROTOCOL", format!("RESP{}", run.version));
        command.args(["--test", &target, "--", "--test-threads=1"]);
        for name in run.skip.left_out.iter().filter_map(|name| name.strip_prefix(&format!("{target}::"))) {
            command.args(["--skip", name]);
        }
        if let Some(only) = run.only {
            command.arg(only);
        }
        let mut reader = Reader::new(&target);
        // The test program fails when a test did; that is in what it prints.
        let ended =
            process::run_lines(command.stderr(std::process::Stdio::null()), LIMIT, |line| reader.line(line));
        if process::interrupted() {
            fail!("interrupted");
        }
        tests.extend(reader.finish(ended));
    }
    Ok(tests)
}

/// `cargo test` in the sources, with the features of the suite.
fn cargo_test(source: &Path) -> Outcome<Command> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(source).args(["test", "--features", FEATURES]);
    cargo.env("CARGO_TARGET_DIR", workspace::kept("suites/redis-rs-target")?);
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0");
    Ok(cargo)
}

/// The test programs, without those of parts that are left out.
fn targets(source: &Path, parts: &[String]) -> Outcome<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(source.join("tests"))?.flatten() {
        let path = entry.path();
        if let (Some(name), Some("rs")) = (path.file_stem(), path.extension().and_then(|end| end.to_str())) {
            targets.push(name.to_string_lossy().into_owned());
        }
    }
    targets.retain(|target| !parts.contains(target));
    targets.sort_unstable();
    Ok(targets)
}

/// Makes `redis-server` mean the server under test; returns the `PATH` for that.
fn shim(scratch: &Path, run: &Run<'_>) -> Outcome<String> {
    let Some(redis) = process::find("redis-server") else { fail!("there is no redis-server") };
    let (program, redis, dir) = (run.program.display(), redis.display(), scratch.display());
    // The tests count on one thread: what one connection sends first is done before what another sends then.
    let workers = if run.against == Product::Kvdb { "--workers 1" } else { "" };
    // The suite asks for the version first, to know which settings there are. It leaves the data of many servers behind.
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = -v ]; then exec {redis} -v; fi\n\
         ls -dt {dir}/data-* 2>/dev/null | tail -n +8 | xargs -r rm -rf\n\
         exec {program} \"$@\" {workers} --dir \"$(mktemp -d {dir}/data-XXXXXX)\" --appendonly yes \
         --appendfsync everysec\n"
    );
    let file = scratch.join("bin/redis-server");
    fs::create_dir_all(scratch.join("bin"))?;
    fs::write(&file, script)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(format!("{dir}/bin:{}", std::env::var("PATH").unwrap_or_default()))
}

/// Copies the published package and gives its tests the packages that they are made with, unless an earlier run has.
fn download() -> Outcome<PathBuf> {
    let source = workspace::kept("suites")?.join(format!("redis-rs-{VERSION}"));
    let added = format!(
        "\n[dev-dependencies.redis-test]\nversion = \"={REDIS_TEST}\"\n\n\
         [dev-dependencies.test-macros]\npath = \"test-macros\"\n\n\
         [patch.crates-io]\nredis = {{ path = \".\" }}\n\n[workspace]\n"
    );
    // What was added stands in the file that says that all is there: with other additions it is to be made anew.
    let complete = source.join("complete");
    let additions = [&added, TEST_MACROS_MANIFEST, TEST_MACROS].concat();
    if fs::read_to_string(&complete).is_ok_and(|text| text == additions) {
        return Ok(source);
    }
    println!("suites: downloading redis-rs {VERSION}");
    let published = published()?;
    if !published.join("tests").is_dir() {
        fail!("the package redis {VERSION} has no tests");
    }
    let _ = fs::remove_dir_all(&source);
    let mut copy = Command::new("cp");
    process::run(copy.arg("-r").arg(&published).arg(&source), BUILD_LIMIT)?;
    let manifest = source.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).while_doing(|| format!("cannot read {}", manifest.display()))?;
    fs::write(&manifest, text + &added)?;
    let macros = source.join("test-macros");
    fs::create_dir(&macros)?;
    fs::write(macros.join("Cargo.toml"), TEST_MACROS_MANIFEST)?;
    fs::write(macros.join("lib.rs"), TEST_MACROS)?;
    fs::write(complete, additions)?;
    Ok(source)
}

/// Where cargo has unpacked the package.
fn published() -> Outcome<PathBuf> {
    let manifest = workspace::root()?.join("xtask/clients/redis-rs/Cargo.toml");
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--quiet", "--locked", "--format-version=1", "--manifest-path"]).arg(manifest);
    let metadata = process::output(&mut cargo, BUILD_LIMIT)?;
    let end = format!("/redis-{VERSION}/Cargo.toml\"");
    match metadata.find(&end).and_then(|at| metadata[..at].rfind('"').map(|from| (from + 1, at))) {
        Some((from, at)) => Ok(PathBuf::from(format!("{}/redis-{VERSION}", &metadata[from..at]))),
        None => fail!("the client scenario of redis-rs uses another release than {VERSION}"),
    }
}

/// Reads what a test program prints.
struct Reader<'a> {
    target: &'a str,
    tests: Vec<Test>,
    /// The test that is running; what it prints past the harness stands before its result.
    running: Option<String>,
    /// The failed test whose output is being shown.
    told: Option<usize>,
}

impl<'a> Reader<'a> {
    fn new(target: &'a str) -> Self {
        Self { target, tests: Vec::new(), running: None, told: None }
    }

    fn line(&mut self, line: &str) {
        if let Some((name, rest)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ...")) {
            let name = name.trim().trim_end_matches(" - should panic");
            self.running = Some(format!("{}::{name}", self.target));
            self.result(rest.trim());
        } else if let Some(name) =
            line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----"))
        {
            let name = format!("{}::{name}", self.target);
            self.told = self.tests.iter().position(|test| test.name == name);
        } else if line.starts_with("failures:") || line.starts_with("test result: ") {
            self.told = None;
        } else if self.running.is_some() {
            self.result(line);
        } else if let Some(at) = self.told
            && let Ending::Failed(why) = &mut self.tests[at].ending
            && !line.is_empty()
        {
            why.push_str(if why.is_empty() { "" } else { "\n" });
            why.push_str(line);
        }
    }

    fn result(&mut self, line: &str) {
        let ending = match line.rsplit(' ').next() {
            Some("ok") => Ending::Passed,
            Some("FAILED") => Ending::Failed(String::new()),
            _ if line.starts_with("ignored") => Ending::Skipped,
            _ => return,
        };
        self.tests.extend(self.running.take().map(|name| Test { name, ending }));
    }

    /// The tests; one that was still running when the program ended failed.
    fn finish(mut self, ended: Outcome) -> Vec<Test> {
        if let Err(failure) = ended
            && let Some(name) = self.running.take()
        {
            self.tests.push(Test { name, ending: Ending::Failed(failure.to_string()) });
        }
        self.tests
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn the_output_of_a_test_program_is_read() {
        let output = "\nrunning 3 tests\ntest basic::test_get ... ok\ntest test_set ... Panic: x\nmore FAILED\n\
                      test test_old ... ignored, needs TLS\n\nfailures:\n\n\
                      ---- test_set stdout ----\nthread 'test_set' panicked at tests/a.rs:1:\nassertion failed\n\n\
                      failures:\n    test_set\n\ntest result: FAILED. 1 passed; 1 failed\n";
        let mut reader = Reader::new("test_a");
        output.lines().for_each(|line| reader.line(line));
        let test = |name: &str, ending| Test { name: name.to_owned(), ending };
        assert_eq!(
            reader.finish(Outcome::Err(Failure::new("exit status: 101"))),
            [
                test("test_a::basic::test_get", Ending::Passed),
                test(
                    "test_a::test_set",
                    Ending::Failed(
                        "thread 'test_set' panicked at tests/a.rs:1:\nassertion failed".to_owned()
                    )
                ),
                test("test_a::test_old", Ending::Skipped),
            ]
        );
    }

    #[test]
    fn a_test_that_does_not_end_has_failed() {
        let mut reader = Reader::new("test_a");
        ["test test_get ... ok", "test test_end ..."].iter().for_each(|line| reader.line(line));
        let tests = reader.finish(Outcome::Err(Failure::new("killed")));
        let ended = Test { name: "test_a::test_end".to_owned(), ending: Ending::Failed("killed".to_owned()) };
        assert_eq!(tests[1..], [ended]);
    }
}
