//! `cargo xtask frameworks`: applications' frameworks, unmodified, against a real server.
//!
//! Each scenario is a program under `xtask/frameworks` in the framework's own language: it uses the framework as its users
//! do, asserts what comes of it, and ends with success or not. Every scenario has a server of its own, open and with a
//! password. `--against redis` runs the same against Redis, and must pass as well.

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Priorities, retries, chords, delays and broadcasts.
    Celery,
    /// Queues, results, failures, dependent and scheduled jobs.
    Rq,
    /// Django's cache and sessions, redis-py's locks, pottery's containers.
    Django,
    /// Priorities, delays, flows, repeated jobs and rate limits.
    Bullmq,
    /// socket.io with both adapters, Redlock, rate limits, features of ioredis and node-redis.
    Node,
    /// prometheus-redis-exporter.
    Exporter,
}

const ALL: [Scenario; 6] =
    [Scenario::Celery, Scenario::Rq, Scenario::Django, Scenario::Bullmq, Scenario::Node, Scenario::Exporter];

/// No scenario takes longer.
const LIMIT: Duration = Duration::from_secs(180);

const PASSWORD: &str = "correct horse battery staple";

pub(crate) fn run(options: &Options) -> Outcome {
    process::catch_interrupts();
    setup::ensure(&[Part::Redis, Part::Frameworks])?;
    let program = options.subject.program(Build::Dev)?;
    let mut failed = 0;
    for &scenario in &options.only {
        for password in ["", PASSWORD] {
            let scratch = Scratch::new("frameworks")?;
            let mut settings = vec!["--appendfsync", "everysec"];
            if !password.is_empty() {
                settings.extend(["--requirepass", password]);
            }
            let mut server = Server::start(&program, &scratch.path().join("data"), &settings)?;
            let start = Instant::now();
            let words = scenario.program()?;
            let mut command = Command::new(&words[0]);
            command
                .args(&words[1..])
                .env("KVDB_PORT", server.port().to_string())
                .env("KVDB_PASSWORD", password)
                .env("PYTHONDONTWRITEBYTECODE", "1");
            let done = process::run(&mut command, LIMIT).and_then(|()| server.expect_alive());
            let (mark, detail) = match &done {
                Ok(()) => ("pass", String::new()),
                Err(failure) => ("FAIL", failure.to_string()),
            };
            failed += usize::from(done.is_err());
            let how = if password.is_empty() { "open" } else { "with a password" };
            let seconds = start.elapsed().as_secs_f64();
            println!("{}", format!("{mark}  {scenario:<9?} {how:<15} {seconds:>5.1} s  {detail}").trim_end());
            server.stop()?;
        }
    }
    if failed > 0 {
        fail!("{failed} scenarios failed");
    }
    Ok(())
}

impl Scenario {
    /// The words of the command that runs it.
    fn program(self) -> Outcome<Vec<PathBuf>> {
        let sources = workspace::root()?.join("xtask/frameworks");
        let python =
            |script: &str| Ok(vec![setup::frameworks()?.join("python/bin/python"), sources.join(script)]);
        // Node.js looks for modules beside the script: it runs from a copy that lies where they are installed.
        let node = |script: &str| {
            let copy = setup::frameworks()?.join("node").join(script);
            fs::copy(sources.join(script), &copy)?;
            Ok(vec![setup::node()?, copy])
        };
        match self {
            Self::Celery => python("celery_app.py"),
            Self::Rq => python("rq_jobs.py"),
            Self::Django => python("django_cache.py"),
            Self::Bullmq => node("bullmq.mjs"),
            Self::Node => node("node_apps.mjs"),
            Self::Exporter => Ok(vec![PathBuf::from("bash"), sources.join("exporter.sh")]),
        }
    }
}
