//! The generator: a few threads, each with its share of the connections and an epoll of its own.
//!
//! *Closed loop* (no rate): a connection sends a pipeline's worth, waits for all replies, sends the next; latency counts
//! from the send. *Open loop* (a rate): commands have intended times on a fixed grid and latency counts from those, so a
//! server that stalls is charged for every command that should have been sent meanwhile; a closed loop would politely
//! wait with it and see one slow reply.
//!
//! Everything is bounded: a deadline stops the sending, and what is unanswered some seconds later is given up.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::epoll::Epoll;
use super::mix::{Keys, Mix};
use super::replies;
use crate::failure::{Outcome, While, fail};
use crate::process;
use crate::rng::Rng;

/// How long a server may take to accept a connection, and how long replies may be outstanding once sending has stopped.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// In an open loop, how many commands may be unanswered on one connection; more wait in line, and their clocks run.
const IN_FLIGHT_AT_MOST: usize = 1024;

#[derive(Debug, Clone)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What to send, where, and until when.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) address: Address,
    pub(crate) password: Option<String>,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) pipeline: usize,
    pub(crate) mix: Mix,
    pub(crate) keys: Keys,
    pub(crate) keyspace: u64,
    /// Commands per second over all connections; `None` for a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) duration: Duration,
    pub(crate) requests: u64,
    /// How long replies may be outstanding once sending has stopped.
    pub(crate) patience: Duration,
    pub(crate) seed: u64,
}

/// What came of it.
pub(crate) struct Report {
    pub(crate) elapsed: Duration,
    /// Latencies in nanoseconds, one histogram per command of the mix.
    pub(crate) latency: Vec<Histogram<u64>>,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// Commands that were sent and not answered in time.
    pub(crate) unanswered: u64,
}

impl Report {
    fn empty(commands: usize) -> Self {
        Self {
            elapsed: Duration::ZERO,
            latency: vec![new_histogram(); commands],
            errors: 0,
            first_error: None,
            unanswered: 0,
        }
    }

    /// Notes `times` replies at the moment `now` to a command sent at another.
    fn record(&mut self, (sent, command): (u64, usize), now: u64, times: u64) {
        if times > 0 {
            self.latency[command].saturating_record_n(now.saturating_sub(sent).max(1), times);
        }
    }

    fn merge(&mut self, other: Self) -> Outcome {
        for (into, from) in self.latency.iter_mut().zip(&other.latency) {
            into.add(from)?;
        }
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.unanswered += other.unanswered;
        Ok(())
    }

    /// All commands in one histogram.
    pub(crate) fn overall(&self) -> Histogram<u64> {
        let mut all = new_histogram();
        for one in &self.latency {
            all.add(one).expect("all histograms have the same bounds");
        }
        all
    }

    pub(crate) fn requests(&self) -> u64 {
        self.latency.iter().map(Histogram::len).sum()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.requests() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(100, 120_000_000_000, 3)
        .expect("100 ns to 120 s with three digits is a valid range")
}

/// Runs `plan`; `progress` is called about once a second with the time and the replies so far.
pub(crate) fn run(plan: &Plan, mut progress: impl FnMut(Duration, u64)) -> Outcome<Report> {
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    let shared = Shared::default();
    let mut workers = Vec::new();
    for index in 0..threads {
        let share = plan.connections / threads + usize::from(index < plan.connections % threads);
        workers.push(Worker::new(plan, index, share, threads, &shared)?);
    }
    let start = Instant::now();
    let mut report = Report::empty(plan.mix.commands.len());
    thread::scope(|scope| {
        let (send, finished) = mpsc::channel();
        for worker in workers {
            let send = send.clone();
            scope.spawn(move || send.send(worker.run(start)));
        }
        let mut running = threads;
        while running > 0 {
            match finished.recv_timeout(Duration::from_secs(1)) {
                Ok(done) => {
                    report.merge(done?)?;
                    running -= 1;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    progress(start.elapsed(), shared.answered.load(Ordering::Relaxed))
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => fail!("a generator thread died"),
            }
        }
        report.elapsed = start.elapsed();
        Ok(report)
    })
}

/// What the workers count together.
#[derive(Default)]
struct Shared {
    tickets: AtomicU64,
    answered: AtomicU64,
    next_key: AtomicU64,
}

struct Worker<'a> {
    plan: &'a Plan,
    /// Commands handed out to all workers so far.
    tickets: &'a AtomicU64,
    answered: &'a AtomicU64,
    epoll: Epoll,
    connections: Vec<Connection>,
    rng: Rng,
    /// The next sequential key of all workers.
    next_key: &'a AtomicU64,
    /// Where bytes are read into.
    chunk: Vec<u8>,
    report: Report,
    /// Open loop: the time of the next command and the distance between two, in nanoseconds since the start.
    next_due: f64,
    interval: f64,
    /// Open loop: the connection whose turn it is.
    turn: usize,
}

struct Connection {
    stream: Stream,
    output: Vec<u8>,
    written: usize,
    wants_write: bool,
    input: Vec<u8>,
    /// Send (or intended) times in nanoseconds since the start, and commands, of what is unanswered.
    in_flight: VecDeque<(u64, usize)>,
    /// How many replies to the first of these have come: several commands that go together are one here.
    answered: u32,
}

impl<'a> Worker<'a> {
    fn new(plan: &'a Plan, index: usize, share: usize, threads: usize, shared: &'a Shared) -> Outcome<Self> {
        let epoll = Epoll::new()?;
        let mut connections = Vec::new();
        for token in 0..share {
            let connection = Connection::open(plan)?;
            epoll.add(&connection.stream, token)?;
            connections.push(connection);
        }
        let interval = plan.rate.map_or(0.0, |rate| 1e9 * threads as f64 / rate);
        Ok(Self {
            plan,
            tickets: &shared.tickets,
            answered: &shared.answered,
            epoll,
            connections,
            rng: Rng::new(plan.seed.wrapping_add(index as u64)),
            next_key: &shared.next_key,
            chunk: vec![0; 64 * 1024],
            report: Report::empty(plan.mix.commands.len()),
            next_due: interval * index as f64 / threads as f64,
            interval,
            turn: 0,
        })
    }

    fn run(mut self, start: Instant) -> Outcome<Report> {
        let mut stop_at = self.plan.duration;
        let mut sending = true;
        let mut ready = Vec::new();
        if self.plan.rate.is_none() {
            for token in 0..self.connections.len() {
                self.send_batch(token, 0)?;
            }
        }
        loop {
            let now = start.elapsed();
            if sending && (now >= stop_at || process::interrupted()) {
                sending = false;
                stop_at = now + self.plan.patience;
            }
            let idle = self.connections.iter().all(|connection| connection.in_flight.is_empty());
            if idle && (!sending || self.tickets.load(Ordering::Relaxed) >= self.plan.requests) {
                break;
            }
            if !sending && now >= stop_at {
                self.report.unanswered = self.connections.iter().map(|c| c.in_flight.len() as u64).sum();
                break;
            }
            if sending && self.plan.rate.is_some() {
                self.send_due(now)?;
            }
            let wait = self.time_to_wait(start.elapsed(), stop_at, sending);
            ready.clear();
            ready.extend(self.epoll.wait(wait)?);
            for event in &ready {
                self.on_ready(event.token, event.writable, start, sending)?;
            }
        }
        Ok(self.report)
    }

    fn time_to_wait(&self, now: Duration, stop_at: Duration, sending: bool) -> Duration {
        let mut wait = stop_at.saturating_sub(now).min(Duration::from_millis(250));
        if sending && self.plan.rate.is_some() && self.tickets.load(Ordering::Relaxed) < self.plan.requests {
            wait = wait.min(Duration::from_nanos(self.next_due as u64).saturating_sub(now));
        }
        wait
    }

    /// Sends what the grid says is due, on one connection after the other; a full connection is passed over.
    fn send_due(&mut self, now: Duration) -> Outcome {
        let now = now.as_nanos() as f64;
        let mut passed_over = 0;
        while self.next_due <= now && passed_over < self.connections.len() {
            let token = self.turn;
            self.turn = (self.turn + 1) % self.connections.len();
            if self.connections[token].in_flight.len() >= IN_FLIGHT_AT_MOST {
                passed_over += 1;
                continue;
            }
            passed_over = 0;
            if self.tickets.fetch_add(1, Ordering::Relaxed) >= self.plan.requests {
                return Ok(());
            }
            self.push(token, self.next_due as u64);
            self.flush(token)?;
            self.next_due += self.interval;
        }
        Ok(())
    }

    /// Closed loop: sends the next pipeline's worth.
    fn send_batch(&mut self, token: usize, now: u64) -> Outcome {
        let batch = self.plan.pipeline as u64;
        let taken = self.tickets.fetch_add(batch, Ordering::Relaxed);
        for _ in 0..batch.min(self.plan.requests.saturating_sub(taken)) {
            self.push(token, now);
        }
        self.flush(token)
    }

    fn push(&mut self, token: usize, time: u64) {
        let command = self.plan.mix.choose(&mut self.rng);
        let connection = &mut self.connections[token];
        self.plan.mix.commands[command].write(
            &mut connection.output,
            self.plan.keys,
            self.plan.keyspace,
            self.next_key,
            &mut self.rng,
        );
        connection.in_flight.push_back((time, command));
    }

    fn flush(&mut self, token: usize) -> Outcome {
        let connection = &mut self.connections[token];
        let blocked = connection.write().while_doing(|| "writing to the server".to_owned())?;
        if blocked != connection.wants_write {
            connection.wants_write = blocked;
            self.epoll.want_write(&connection.stream, token, blocked)?;
        }
        Ok(())
    }

    fn on_ready(&mut self, token: usize, writable: bool, start: Instant, sending: bool) -> Outcome {
        if writable {
            self.flush(token)?;
        }
        let connection = &mut self.connections[token];
        connection.read(&mut self.chunk).while_doing(|| "reading from the server".to_owned())?;
        let now = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut read = 0;
        let mut replies = 0;
        // Replies to one pipeline took equally long, and recording them together costs as much as recording one.
        let mut alike = ((0, 0), 0);
        while let Some((length, is_error)) = replies::first(&connection.input[read..])? {
            let Some(&(sent, command)) = connection.in_flight.front() else {
                fail!("the server sent a reply to nothing");
            };
            connection.answered += 1;
            if connection.answered == self.plan.mix.commands[command].replies {
                connection.answered = 0;
                connection.in_flight.pop_front();
                if alike.0 != (sent, command) {
                    self.report.record(alike.0, now, alike.1);
                    alike = ((sent, command), 0);
                }
                alike.1 += 1;
                replies += 1;
            }
            if is_error {
                self.report.errors += 1;
                let text = &connection.input[read..read + length];
                let first = || String::from_utf8_lossy(text).trim().to_owned();
                self.report.first_error.get_or_insert_with(first);
            }
            read += length;
        }
        self.report.record(alike.0, now, alike.1);
        connection.input.drain(..read);
        let done = connection.in_flight.is_empty();
        self.answered.fetch_add(replies, Ordering::Relaxed);
        if done && sending && self.plan.rate.is_none() {
            self.send_batch(token, now)?;
        }
        Ok(())
    }
}

impl Connection {
    fn open(plan: &Plan) -> Outcome<Self> {
        let mut stream =
            Stream::connect(&plan.address).while_doing(|| format!("cannot connect to {:?}", plan.address))?;
        if let Some(password) = &plan.password {
            let mut command = Vec::new();
            crate::wire::encode(&mut command, &[b"AUTH", password.as_bytes()]);
            stream.write_all(&command)?;
            let mut reply = [0; 256];
            let length = stream.read(&mut reply)?;
            if !reply.starts_with(b"+OK") {
                fail!("AUTH was answered with {}", String::from_utf8_lossy(&reply[..length]).trim());
            }
        }
        stream.set_nonblocking()?;
        Ok(Self {
            stream,
            output: Vec::new(),
            written: 0,
            wants_write: false,
            input: Vec::new(),
            in_flight: VecDeque::new(),
            answered: 0,
        })
    }

    /// Writes what it can; true when the socket is full.
    fn write(&mut self) -> io::Result<bool> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(n) => self.written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(false)
    }

    /// Reads what is there, once: what does not fit makes the socket ready again.
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<()> {
        match self.stream.read(chunk) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.input.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => UnixStream::connect(path).map(Self::Unix),
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(true),
            Self::Unix(stream) => stream.set_nonblocking(true),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(from),
            Self::Unix(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    /// A server that answers every PING of `connections` connections, `silent_after` answers at most on each.
    fn serve(connections: usize, silent_after: usize) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
        let address = listener.local_addr().expect("has an address");
        thread::spawn(move || {
            for stream in listener.incoming().take(connections) {
                thread::spawn(move || answer(stream.expect("connects"), silent_after));
            }
        });
        address
    }

    fn answer(mut stream: TcpStream, mut left: usize) {
        let (mut chunk, mut pings) = ([0; 4096], 0);
        // The letter occurs once in an encoded PING, wherever reads cut it.
        while let Ok(length @ 1..) = stream.read(&mut chunk) {
            pings += chunk[..length].iter().filter(|&&byte| byte == b'G').count();
            let now = pings.min(left);
            (pings, left) = (pings - now, left - now);
            if stream.write_all("+PONG\r\n".repeat(now).as_bytes()).is_err() {
                return;
            }
        }
    }

    fn plan(address: SocketAddr, rate: Option<f64>) -> Plan {
        Plan {
            address: Address::Tcp(address),
            password: None,
            connections: 3,
            threads: 2,
            pipeline: 7,
            mix: Mix::parse("ping", 1).expect("parses"),
            keys: Keys::Random,
            keyspace: 1,
            rate,
            duration: Duration::from_secs(60),
            requests: 1000,
            patience: PATIENCE,
            seed: 1,
        }
    }

    #[test]
    fn both_loops_send_exactly_what_was_asked_for() {
        for rate in [None, Some(20_000.0)] {
            let report = run(&plan(serve(3, usize::MAX), rate), |_, _| {}).expect("runs");
            assert_eq!((report.requests(), report.unanswered, report.errors), (1000, 0, 0));
        }
    }

    #[test]
    fn a_server_that_falls_silent_does_not_hold_the_generator() {
        let mut plan = plan(serve(3, 10), None);
        (plan.duration, plan.patience) = (Duration::from_millis(50), Duration::from_millis(50));
        let report = run(&plan, |_, _| {}).expect("runs");
        assert!(report.unanswered > 0 && report.requests() <= 30);
    }
}
