//! A server under test: started on a free port in a directory of its own, and gone when the value is dropped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Outcome, While, fail};
use crate::setup::{self, Part};
use crate::wire::{Connection, Reply};
use crate::{process, workspace};

/// How long a server may take to answer its first PING; recovery of what a campaign wrote is part of it.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a server may take to stop after SIGTERM.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Product {
    #[default]
    Kvdb,
    Redis,
}

/// How KVDB is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Build {
    Dev,
    Fast,
    Release,
}

/// The server that a command runs against, as chosen on the command line.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Subject {
    /// The server to run against; Redis shows what the command itself is worth.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) against: Product,
    /// How KVDB is compiled for it.
    #[arg(long, value_enum)]
    build: Option<Build>,
    /// A program that is already there, instead of building KVDB.
    #[arg(long, conflicts_with = "build")]
    program: Option<PathBuf>,
}

impl Subject {
    /// The program to start; `build` says how KVDB is compiled unless the user chose.
    pub(crate) fn program(&self, build: Build) -> Outcome<PathBuf> {
        match &self.program {
            Some(program) => {
                Ok(program.canonicalize().while_doing(|| format!("no server at {}", program.display()))?)
            }
            None => self.against.program(self.build.unwrap_or(build)),
        }
    }
}

impl Product {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvdb => "kvdb",
            Self::Redis => "redis",
        }
    }

    /// The program to start; KVDB is built first.
    pub(crate) fn program(self, build: Build) -> Outcome<PathBuf> {
        match self {
            Self::Kvdb => build_kvdb(build),
            Self::Redis => {
                setup::ensure(&[Part::Redis])?;
                match process::find("redis-server") {
                    Some(program) => Ok(program),
                    None => fail!("there is no redis-server: run `cargo xtask setup`"),
                }
            }
        }
    }
}

fn build_kvdb(build: Build) -> Outcome<PathBuf> {
    let (profile, dir) = match build {
        Build::Dev => ("dev", "debug"),
        Build::Fast => ("fast", "fast"),
        Build::Release => ("release", "release"),
    };
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace::root()?).args([
        "build",
        "--quiet",
        "-p",
        "kvdb-server",
        "--profile",
        profile,
    ]);
    process::run(&mut cargo, Duration::from_secs(45 * 60))?;
    Ok(workspace::target()?.join(dir).join("kvdb-server"))
}

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts `program` over the data in `dir` with `settings` (`["--appendfsync", "always"]`) and waits until it
    /// answers.
    pub(crate) fn start(program: &Path, dir: &Path, settings: &[&str]) -> Outcome<Self> {
        let mut server = Self::spawn(program, dir, settings)?;
        server.await_ready()?;
        Ok(server)
    }

    /// Starts without waiting. Its output goes to `dir` with `.log` appended.
    pub(crate) fn spawn(program: &Path, dir: &Path, settings: &[&str]) -> Outcome<Self> {
        fs::create_dir_all(dir).while_doing(|| format!("cannot create {}", dir.display()))?;
        let log = dir.with_extension("log");
        let output = File::options().create(true).append(true).open(&log)?;
        let port = free_port()?;
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(dir);
        command.args(["--save", "", "--appendonly", "yes"]).args(settings);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child =
            process::spawn(&mut command).while_doing(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, port, log })
    }

    pub(crate) fn await_ready(&mut self) -> Outcome {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let pong = self.connect().and_then(|mut connection| Ok(connection.call(&[b"PING"])?));
            // A server that asks for a password is as ready as one that answers; one that is loading is not.
            match pong {
                Ok(Reply::Simple(_)) => return Ok(()),
                Ok(Reply::Error(error)) if error.starts_with("NOAUTH") => return Ok(()),
                _ => {}
            }
            self.expect_alive()?;
            if Instant::now() > deadline || process::interrupted() {
                fail!(
                    "the server did not answer within {} s; its log ends:\n{}",
                    READY_WITHIN.as_secs(),
                    self.log_tail()
                );
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Fails when the server has ended by itself.
    pub(crate) fn expect_alive(&mut self) -> Outcome {
        if let Some(status) = self.child.try_wait()? {
            fail!("the server ended by itself with {status}; its log ends:\n{}", self.log_tail());
        }
        Ok(())
    }

    pub(crate) fn connect(&self) -> Outcome<Connection> {
        Ok(Connection::open(self.port)?)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server as a crash would: no destructor runs, nothing is flushed.
    pub(crate) fn crash(mut self) {
        process::kill_tree(&mut self.child);
    }

    /// Ends the server as an operator would.
    pub(crate) fn stop(mut self) -> Outcome {
        self.expect_alive()?;
        process::terminate(&self.child);
        if process::wait_at_most(&mut self.child, STOPPED_WITHIN)?.is_none() {
            fail!(
                "the server did not stop within {} s of SIGTERM:\n{}",
                STOPPED_WITHIN.as_secs(),
                self.log_tail()
            );
        }
        Ok(())
    }

    /// The last lines that the server wrote.
    pub(crate) fn log_tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::kill_tree(&mut self.child);
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
