//! What `crash` and `powerloss` have in common: load under a ledger, a disaster, recovery, and the comparison.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Outcome, fail};
use crate::ledger::Ledger;
use crate::process;
use crate::rng::Rng;
use crate::server::{Build, Product, Server, Subject};

#[derive(Debug, clap::Args)]
pub(crate) struct Choices {
    #[arg(long, value_enum, default_value_t = Policy::Always)]
    policy: Policy,
    /// Forgive the loss of what was acknowledged this many milliseconds before the disaster, or later.
    #[arg(long)]
    window_ms: Option<u64>,
    /// The seed of an earlier run, to repeat its choices.
    #[arg(long)]
    seed: Option<u64>,
    /// Connections that write, each to keys of its own.
    #[arg(long, default_value_t = 6)]
    connections: usize,
    #[command(flatten)]
    subject: Subject,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            policy: Policy::Always,
            window_ms: None,
            seed: None,
            connections: 6,
            subject: Subject::default(),
        }
    }
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

pub(crate) struct Campaign {
    program: PathBuf,
    pub(crate) policy: Policy,
    /// How long before a disaster an acknowledgement stops being a promise.
    window: Duration,
    /// Whether a disaster ends what clients hear at the same instant. A power loss does. Its rehearsal does not: the server
    /// lives on for a moment on a file system that is gone, on which Linux lets an fdatasync succeed whose write was under
    /// way (the conversion of an unwritten extent fails, and nobody is told). What is acknowledged then is no promise.
    pub(crate) silences: bool,
    /// Whether it is KVDB that is put to the test.
    pub(crate) is_kvdb: bool,
    /// Whether the server has so little memory that most keys are on disk only.
    pub(crate) squeezes: bool,
    /// Acknowledgements after this were no promise; `None` when all were.
    promised_until: Option<Instant>,
    seed: u64,
    pub(crate) rng: Rng,
    ledger: Ledger,
}

impl Campaign {
    /// `default_window` says what a policy may lose in this kind of disaster, unless the user chose.
    pub(crate) fn new(choices: &Choices, default_window: fn(Policy) -> Duration) -> Outcome<Self> {
        process::catch_interrupts();
        let program = choices.subject.program(Build::Dev)?;
        let seed = choices.seed.unwrap_or_else(Rng::fresh_seed);
        let (server, policy) = (choices.subject.against.name(), choices.policy.name());
        println!("{server} with appendfsync {policy}, seed {seed}");
        let mut rng = Rng::new(seed);
        let is_kvdb = choices.subject.against == Product::Kvdb;
        let ledger = Ledger::new(choices.connections, rng.next(), is_kvdb);
        let window = choices.window_ms.map_or_else(|| default_window(choices.policy), Duration::from_millis);
        Ok(Self {
            program,
            policy: choices.policy,
            window,
            silences: false,
            is_kvdb,
            squeezes: false,
            promised_until: None,
            seed,
            rng,
            ledger,
        })
    }

    /// Starts the server over `data` without waiting for it.
    pub(crate) fn spawn(&self, data: &Path) -> Outcome<Server> {
        let (policy, memory) = (["--appendfsync", self.policy.name()], ["--maxmemory", "2mb"]);
        let memory = if self.squeezes { &memory[..] } else { &[] };
        Server::spawn(&self.program, data, &[&policy[..], memory].concat())
    }

    /// Starts the server over `data` and holds it to every promise made so far.
    pub(crate) fn recover(&mut self, data: &Path) -> Outcome<Server> {
        if process::interrupted() {
            fail!("interrupted; {}", self.summary());
        }
        let mut server = self.spawn(data)?;
        server.await_ready()?;
        self.ledger.verify(&mut server.connect()?, self.promised_until)?;
        Ok(server)
    }

    /// Loads `server` for `lifetime`, then lets `disaster` end it, and the load with it.
    pub(crate) fn load(
        &mut self,
        mut server: Server,
        lifetime: Duration,
        disaster: impl FnOnce(Server) -> Outcome,
    ) -> Outcome {
        let all_count = self.window.is_zero() && !self.silences;
        let (window, promised_until) = (self.window, &mut self.promised_until);
        let port = server.port();
        self.ledger.load_until(port, |may_refuse| {
            thread::sleep(lifetime);
            server.expect_alive()?;
            *promised_until = if all_count { None } else { Instant::now().checked_sub(window) };
            may_refuse.store(true, Ordering::SeqCst);
            disaster(server)
        })
    }

    pub(crate) fn summary(&self) -> String {
        format!("{}; seed {}", self.ledger.tally, self.seed)
    }
}
