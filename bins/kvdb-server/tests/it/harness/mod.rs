//! A server process of its own for a test, and clients for it.
//!
//! Nothing here knows the server's code: what is started is the binary as it is shipped, and what is said to it goes
//! through sockets. A server that a test leaves behind is killed by its process id when the test ends.

mod client;

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tempfile::TempDir;

pub(crate) use self::client::{Client, bulk, error, int, nil, ok, simple, text};

/// Longer than anything takes on a busy machine; what takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at something that tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a server is started with.
#[derive(Clone)]
pub(crate) struct Setup {
    home: Arc<TempDir>,
    dir: PathBuf,
    options: Vec<(String, String)>,
    file: Option<PathBuf>,
    descriptors: Option<u64>,
    port: Option<u16>,
    host: String,
    password: Option<String>,
}

/// A start that failed.
pub(crate) struct Failed {
    /// How the process ended.
    pub(crate) status: ExitStatus,
    /// What it said.
    pub(crate) log: String,
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    setup: Setup,
    port: u16,
    log: PathBuf,
}

impl Setup {
    /// A server with an empty data directory, two workers, and acknowledgements that wait for the disk.
    pub(crate) fn new() -> Self {
        let home = Arc::new(TempDir::with_prefix("kvdb-it-").expect("a directory for a test"));
        let dir = home.path().join("dir");
        fs::create_dir(&dir).expect("a directory for a test");
        let setup = Self {
            home,
            dir,
            options: Vec::new(),
            file: None,
            descriptors: None,
            port: None,
            host: "127.0.0.1".into(),
            password: None,
        };
        setup.with("workers", "2").with("storage-write-buffer", "8mb").with("save", "")
    }

    /// As this one, with a setting.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.options.retain(|(n, _)| n != name);
        self.options.push((name.into(), value.into()));
        self
    }

    /// As this one, with a password, which the clients of the harness give.
    pub(crate) fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self.with("requirepass", password)
    }

    /// As this one, listening on another address.
    pub(crate) fn on(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    /// As this one, on a given port.
    pub(crate) fn at(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// As this one, with its data in another directory.
    pub(crate) fn in_dir(mut self, dir: &Path) -> Self {
        self.dir = dir.into();
        self
    }

    /// As this one, reading a file of settings.
    pub(crate) fn configured_by(mut self, file: &Path) -> Self {
        self.file = Some(file.into());
        self
    }

    /// As this one, with so many descriptors at most.
    pub(crate) fn limited_to(mut self, descriptors: u64) -> Self {
        self.descriptors = Some(descriptors);
        self
    }

    /// A directory that lives as long as the test's servers.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub(crate) fn start(&self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(failed) => panic!("the server ended with {}:\n{}", failed.status, failed.log),
        }
    }

    /// As [`Self::start`], for a server that may end before it answers.
    pub(crate) fn try_start(&self) -> Result<Server, Failed> {
        loop {
            let port = self.port.unwrap_or_else(free_port);
            match self.launch(port).wait_until_ready() {
                // Somebody else was quicker to take the port.
                Err(failed) if self.port.is_none() && failed.log.contains("cannot listen on") => {}
                started => return started,
            }
        }
    }

    /// Starts it where a password is wanted that this does not know, and waits until it listens to clients.
    #[track_caller]
    pub(crate) fn ready_at_the_prompt(&self) -> Server {
        let server = self.launch(self.port.unwrap_or_else(free_port));
        server.wait_for_log("Ready to accept connections");
        server
    }

    /// Starts it and waits for its end.
    #[track_caller]
    pub(crate) fn fail(&self) -> Failed {
        let mut server = self.launch(self.port.unwrap_or_else(free_port));
        let status = server.wait();
        Failed { status, log: server.log() }
    }

    /// Starts it where it turns this client away; answers what it said.
    ///
    /// # Errors
    /// What it said, which is the expected outcome. `Ok` when it serves.
    pub(crate) fn start_refusing(&self) -> Result<Server, String> {
        let server = self.launch(self.port.unwrap_or_else(free_port));
        server.wait_for_log("Ready to accept connections");
        let mut client = server.stranger();
        client.write(b"PING\r\n");
        match client.rest() {
            said if said.starts_with("+PONG") => Ok(server),
            said => Err(said),
        }
    }

    fn launch(&self, port: u16) -> Server {
        static STARTS: AtomicU16 = AtomicU16::new(0);
        let log = self.home.path().join(format!("log-{}", STARTS.fetch_add(1, Ordering::Relaxed)));
        let out = File::create(&log).expect("a file for the server's log");
        let mut command = match self.descriptors {
            None => Command::new(env!("CARGO_BIN_EXE_kvdb-server")),
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]);
                shell.arg(env!("CARGO_BIN_EXE_kvdb-server"));
                shell
            }
        };
        command.args(&self.file).arg("--port").arg(port.to_string()).arg("--bind").arg(&self.host);
        command.arg("--dir").arg(&self.dir);
        for (name, value) in &self.options {
            command.arg(format!("--{name}")).arg(value);
        }
        command.stdin(Stdio::null()).stdout(out.try_clone().expect("a second handle of a file")).stderr(out);
        let child = command.spawn().expect("the server was built with the test");
        Server { child, setup: self.clone(), port, log }
    }
}

impl Server {
    /// A server with the defaults of the tests.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    fn wait_until_ready(mut self) -> Result<Self, Failed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Failed { status, log: self.log() });
            }
            if let Ok(stream) = TcpStream::connect(self.addr()) {
                // The listener is there before the data is open; the answer is not.
                let mut client = Client::tcp(stream);
                if let Some(password) = &self.setup.password {
                    client.write(format!("AUTH {password}\r\n").as_bytes());
                    client.try_reply();
                }
                client.write(b"PING\r\n");
                if client.try_reply() == Some(simple("PONG")) {
                    return Ok(self);
                }
            }
            assert!(Instant::now() < deadline, "the server does not answer:\n{}", self.log());
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// A connection that has given the password, if there is one.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        let mut client = self.stranger();
        if let Some(password) = &self.setup.password {
            assert_eq!(client.run(&format!("AUTH {password}")), ok());
        }
        client
    }

    /// A connection that has said nothing yet.
    #[track_caller]
    pub(crate) fn stranger(&self) -> Client {
        Client::tcp(TcpStream::connect(self.addr()).expect("the server accepts connections"))
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.setup.host.parse().expect("an address"), self.port)
    }

    /// What it was started with.
    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.setup.dir
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its log contains a text.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(text, || self.log().contains(text));
    }

    /// Resident memory of the process, bytes.
    pub(crate) fn resident_bytes(&self) -> usize {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process has a status");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a process has memory");
        let kib: usize =
            line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of KiB");
        kib * 1024
    }

    /// Processor time that it has used, in hundredths of a second.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a process has a stat");
        let fields = stat.rsplit_once(')').expect("the name is in parentheses").1;
        fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("a number of ticks")).sum()
    }

    /// Allows it no more than so many descriptors.
    pub(crate) fn limit_descriptors(&self, limit: u64) {
        let limit = Rlimit { current: Some(limit), ..getrlimit(Resource::Nofile) };
        prlimit(Some(self.pid()), Resource::Nofile, limit).expect("the limits of a child may be changed");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the server is this process' child");
    }

    /// Sends a signal to a server that may have ended, but has not been waited for.
    pub(crate) fn try_signal(&self, signal: Signal) {
        let _ = kill_process(self.pid(), signal);
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end:\n{}", self.log());
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Ends it in order.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{status}:\n{}", self.log());
        self.log()
    }

    /// Ends it as a crash of the process does.
    pub(crate) fn crash(mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Ends it in order and starts it again.
    #[track_caller]
    pub(crate) fn restart(self) -> Self {
        let setup = self.setup.clone();
        self.stop();
        setup.start()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // It may have ended in between; either way it is gone afterwards.
            let _ = kill_process(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}", self.log());
        }
    }
}

/// Waits for something that tells nobody when it happens.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A port that nobody uses, below those that the kernel hands out by itself.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 10_000 + (std::process::id() % 200) as u16 * 100;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Says that a test proves nothing here, and why. `cargo xtask test` counts what is said so.
pub(crate) fn skipped(why: impl std::fmt::Display) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let why = why.to_string().replace('\n', " ");
    eprintln!("skipped: {test}: {why}");
    if let Some(list) = std::env::var_os("KVDB_SKIPPED_TESTS") {
        let list = File::options().create(true).append(true).open(list);
        // One write, so that lines of tests that run side by side stay whole.
        list.and_then(|mut list| list.write_all(format!("{test}: {why}\n").as_bytes()))
            .expect("the list of skipped tests can be written");
    }
}

/// Whether this process may do what only root may.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
