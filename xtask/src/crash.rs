//! `cargo xtask crash`: kill -9 under load, again and again, and look whether every promise was kept.
//!
//! What a killed process wrote is still in the kernel, so this finds replies that left too early, recovery that drops or
//! doubles a record, and files that were swapped in the wrong order; what a power cut takes is for `powerloss`.

use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Outcome, While, fail};
use crate::ledger::Ledger;
use crate::process;
use crate::rng::Rng;
use crate::server::{Build, Product, Server};
use crate::workspace::Scratch;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many times the server is killed under load.
    #[arg(long, default_value_t = 200)]
    loops: u32,
    #[arg(long, value_enum, default_value_t = Policy::Always)]
    policy: Policy,
    /// Forgive the loss of what was acknowledged this shortly before the kill. KVDB needs none, since it writes its log
    /// before it replies; Redis with `everysec` does, because it may put off the write while an fsync is running.
    #[arg(long, default_value_t = 0)]
    window_ms: u64,
    /// The seed of an earlier run, to repeat its choices.
    #[arg(long)]
    seed: Option<u64>,
    /// Connections that write, each to keys of its own.
    #[arg(long, default_value_t = 6)]
    connections: usize,
    #[arg(long, value_enum, default_value_t = Product::Kvdb)]
    against: Product,
    #[arg(long, value_enum, default_value_t = Build::Dev)]
    build: Build,
}

/// When a write is on the disk: the values of `appendfsync` that promise something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Policy {
    Always,
    Everysec,
}

impl Policy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
        }
    }
}

impl Options {
    /// The form that `test` runs.
    pub(crate) fn short() -> Self {
        Self {
            loops: 10,
            policy: Policy::Always,
            window_ms: 0,
            seed: None,
            connections: 6,
            against: Product::Kvdb,
            build: Build::Dev,
        }
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    process::catch_interrupts();
    let program = options.against.program(options.build)?;
    let seed = options.seed.unwrap_or_else(Rng::fresh_seed);
    let policy = options.policy.name();
    println!(
        "crash: {} kills of {}, appendfsync {policy}, seed {seed}",
        options.loops,
        options.against.name()
    );
    let mut rng = Rng::new(seed);
    let mut ledger = Ledger::new(options.connections, rng.next());
    let scratch = Scratch::new("crash")?;
    let dir = scratch.path().join("data");
    let settings = ["--appendfsync", policy];
    let mut killed_in_recovery = 0;
    let mut promised_until = None;
    for round in 1..=options.loops {
        if process::interrupted() {
            fail!("interrupted after {} kills: {}", round - 1, ledger.tally);
        }
        let attempt = || format!("kill {round} of {} with seed {seed}", options.loops);
        let mut server = Server::start(&program, &dir, &settings).while_doing(attempt)?;
        ledger.verify(&mut server.connect()?, promised_until).while_doing(attempt)?;
        let port = server.port();
        let lifetime = Duration::from_millis(10 + rng.below(490));
        let crash = || {
            thread::sleep(lifetime);
            server.expect_alive()?;
            if options.window_ms > 0 {
                promised_until = Instant::now().checked_sub(Duration::from_millis(options.window_ms));
            }
            server.crash();
            Ok(())
        };
        ledger.load_until(port, crash).while_doing(attempt)?;
        // Recovery writes too: it must stand being cut off at any point, more than once.
        while rng.one_in(3) {
            let server = Server::spawn(&program, &dir, &settings)?;
            thread::sleep(Duration::from_micros(rng.below(30_000)));
            server.crash();
            killed_in_recovery += 1;
        }
    }
    let server = Server::start(&program, &dir, &settings)?;
    ledger
        .verify(&mut server.connect()?, promised_until)
        .while_doing(|| format!("at the end, with seed {seed}"))?;
    server.stop()?;
    println!(
        "crash: {} kills under load and {killed_in_recovery} in recovery; {}; seed {seed}",
        options.loops, ledger.tally
    );
    Ok(())
}
