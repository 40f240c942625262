//! redis-py's own tests: the source distribution has them, pytest runs them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{Run, Test, junit};
use crate::failure::{Outcome, While, fail};
use crate::server::{Product, Server};
use crate::workspace::Scratch;
use crate::{process, setup, workspace};

/// The release; `xtask/suites/requirements.txt` has what its tests need.
pub(super) const VERSION: &str = "8.1.0";

/// What KVDB says it is, so that the tests of what it has of that version run, as of deadlines of fields.
const AS_VERSION: &str = "8.0.0";

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// Runs the suite in one protocol, against a server of its own.
pub(super) fn run(run: &Run<'_>) -> Outcome<Vec<Test>> {
    let source = download()?;
    let scratch = Scratch::new("suites")?;
    let mut settings = vec!["--enable-debug-command", "yes", "--appendfsync", "everysec"];
    if run.against == Product::Kvdb {
        settings.extend(["--compat-redis-version", AS_VERSION]);
    }
    let mut server = Server::start(run.program, &scratch.path().join("data"), &settings)?;
    let report = scratch.path().join("report.xml");
    let mut pytest = Command::new(setup::suites_python()?);
    pytest.env("PYTHONPATH", workspace::root()?.join("xtask/suites")).env("PYTHONDONTWRITEBYTECODE", "1");
    pytest.env("KVDB_PORT", server.port().to_string());
    pytest.current_dir(&source).args([
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "port",
        "--timeout",
        "60",
    ]);
    pytest.arg(format!("--redis-url=redis://127.0.0.1:{}/0", server.port()));
    pytest.arg(format!("--protocol={}", run.version)).arg("--junitxml").arg(&report);
    pytest.args(run.skip.parts.iter().map(|part| format!("--ignore={part}")));
    pytest.args(run.skip.left_out.iter().map(|name| format!("--deselect={}", node_id(name))));
    let marks: Vec<String> = run.skip.marks.iter().map(|mark| format!("not {mark}")).collect();
    if !marks.is_empty() {
        pytest.args(["-m", &marks.join(" and ")]);
    }
    if let Some(only) = run.only {
        pytest.args(["-k", only]);
    }
    // pytest fails when a test did; that is in its report. Without one it could not run to its end.
    let ended = process::output(&mut pytest, LIMIT);
    server.expect_alive()?;
    server.stop()?;
    match (fs::read_to_string(&report), ended) {
        (Ok(xml), _) => Ok(junit::parse(&xml)),
        (Err(_), Err(failure)) => Err(failure),
        (Err(error), Ok(_)) => fail!("pytest has written no report: {error}"),
    }
}

/// Fetches and unpacks the sources, unless an earlier run has.
fn download() -> Outcome<PathBuf> {
    let kept = workspace::kept("suites")?;
    let source = kept.join(format!("redis-{VERSION}"));
    if !source.join("complete").is_file() {
        println!("suites: downloading redis-py {VERSION}");
        let mut pip = Command::new(setup::suites_python()?);
        pip.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary=:all:",
            "--no-build-isolation",
        ]);
        pip.arg(format!("redis=={VERSION}")).arg("--dest").arg(&kept);
        process::output(&mut pip, DOWNLOAD_LIMIT)?;
        let archive = kept.join(format!("redis-{VERSION}.tar.gz"));
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--file"]).arg(archive).arg("--directory").arg(&kept);
        process::run(&mut tar, DOWNLOAD_LIMIT)?;
        if !source.join("tests").is_dir() {
            fail!("the source distribution of redis-py {VERSION} has no tests");
        }
        let complete = source.join("complete");
        fs::write(&complete, "").while_doing(|| format!("cannot write {}", complete.display()))?;
    }
    Ok(source)
}

/// What pytest calls a test: `tests/test_asyncio/test_lock.py::TestLock::test_x` for
/// `test_asyncio.test_lock.TestLock::test_x`.
fn node_id(name: &str) -> String {
    let (class, test) = name.split_once("::").unwrap_or((name, ""));
    let is_class = |word: &&str| word.starts_with(|first: char| first.is_ascii_uppercase());
    let files: Vec<&str> = class.split('.').filter(|word| !is_class(word)).collect();
    let classes = class.split('.').filter(is_class);
    let inside: Vec<&str> = classes.chain([test]).filter(|word| !word.is_empty()).collect();
    format!("tests/{}.py::{}", files.join("/"), inside.join("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_turned_into_what_pytest_calls_them() {
        assert_eq!(
            node_id("test_asyncio.test_lock.TestLock::test_x"),
            "tests/test_asyncio/test_lock.py::TestLock::test_x"
        );
        assert_eq!(node_id("test_utils::test_x[1.5]"), "tests/test_utils.py::test_x[1.5]");
    }
}
