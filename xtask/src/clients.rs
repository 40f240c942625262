//! `cargo xtask clients`: real client libraries with their default settings against a real server.
//!
//! A library sends more than its user wrote: handshakes, identification, optimistic pipelines. Each scenario is a program
//! in the library's own language under `xtask/clients`, which asserts every answer and ends with success or not. All run
//! twice: against an open server and against one with a password.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::{Outcome, fail};
use crate::process;
use crate::server::{Build, Server, Subject};
use crate::setup::{self, Part};
use crate::workspace::{self, Scratch};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these scenarios.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = ALL)]
    only: Vec<Scenario>,
    #[command(flatten)]
    subject: Subject,
}

impl Options {
    /// The form that `test` runs.
    pub(crate) fn all() -> Self {
        Self { only: ALL.to_vec(), subject: Subject::default() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    RedisCli,
    RedisPy,
    Ioredis,
    NodeRedis,
    RedisRs,
}

const ALL: [Scenario; 5] =
    [Scenario::RedisCli, Scenario::RedisPy, Scenario::Ioredis, Scenario::NodeRedis, Scenario::RedisRs];

/// No scenario takes longer.
const LIMIT: Duration = Duration::from_secs(120);

const PASSWORD: &str = "correct horse battery staple";

pub(crate) fn run(options: &Options) -> Outcome {
    process::catch_interrupts();
    setup::ensure(&[Part::Clients])?;
    let program = options.subject.program(Build::Dev)?;
    let commands: Vec<_> =
        options.only.iter().map(|scenario| Ok((*scenario, scenario.program()?))).collect::<Outcome<_>>()?;
    let mut failed = 0;
    for password in ["", PASSWORD] {
        let scratch = Scratch::new("clients")?;
        let mut settings = vec!["--appendfsync", "everysec"];
        if !password.is_empty() {
            settings.extend(["--requirepass", password]);
        }
        let mut server = Server::start(&program, &scratch.path().join("data"), &settings)?;
        for (scenario, words) in &commands {
            let start = Instant::now();
            let mut command = Command::new(&words[0]);
            command
                .args(&words[1..])
                .env("KVDB_PORT", server.port().to_string())
                .env("KVDB_PASSWORD", password);
            let done = process::run(&mut command, LIMIT).and_then(|()| server.expect_alive());
            let (mark, detail) = match &done {
                Ok(()) => ("pass", String::new()),
                Err(failure) => ("FAIL", failure.to_string()),
            };
            failed += usize::from(done.is_err());
            let how = if password.is_empty() { "open" } else { "with a password" };
            let line = format!(
                "{mark}  {:<10} {how:<15} {:>5.1} s  {detail}",
                scenario.name(),
                start.elapsed().as_secs_f64()
            );
            println!("{}", line.trim_end());
        }
        server.stop()?;
    }
    if failed > 0 {
        fail!("{failed} client scenarios failed");
    }
    Ok(())
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Self::RedisCli => "redis-cli",
            Self::RedisPy => "redis-py",
            Self::Ioredis => "ioredis",
            Self::NodeRedis => "node-redis",
            Self::RedisRs => "redis-rs",
        }
    }

    /// The words of the command that runs it.
    fn program(self) -> Outcome<Vec<PathBuf>> {
        let sources = workspace::root()?.join("xtask/clients");
        match self {
            Self::RedisCli => Ok(vec![PathBuf::from("bash"), sources.join("redis_cli.sh")]),
            Self::RedisPy => Ok(vec![setup::python()?, sources.join("redis_py.py")]),
            Self::Ioredis => node("ioredis.mjs"),
            Self::NodeRedis => node("node_redis.mjs"),
            Self::RedisRs => redis_rs(),
        }
    }
}

/// Node.js looks for modules beside the script: it runs from a copy that lies where they are installed.
fn node(script: &str) -> Outcome<Vec<PathBuf>> {
    let copy = setup::node_modules()?.join(script);
    fs::copy(workspace::root()?.join("xtask/clients").join(script), &copy)?;
    Ok(vec![setup::node()?, copy])
}

/// The Rust scenario is a crate of its own, outside the workspace, with a lock file of its own.
fn redis_rs() -> Outcome<Vec<PathBuf>> {
    let target = workspace::kept("redis-rs")?;
    let manifest = workspace::root()?.join("xtask/clients/redis-rs/Cargo.toml");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(manifest);
    process::run(cargo.env("CARGO_TARGET_DIR", &target), Duration::from_secs(900))?;
    Ok(vec![target.join("debug/redis-rs-scenario")])
}
