//! The server as a whole: what all workers share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use kvdb_commands::acl::Accounts;
use kvdb_commands::server::ShutdownMode;
use kvdb_commands::{CommandSpec, Flags};
use kvdb_lsm::Db;
use kvdb_pubsub::Registry;
use kvdb_store::Store;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tracing::{error, warn};

use crate::clients::{ClientInfo, Clients};
use crate::clock::unix_millis;
use crate::gate::Progress;
use crate::hot::HotSettings;
use crate::latency::Latency;
use crate::listening::Listening;
use crate::pause::Pause;
use crate::placement::Placement;
use crate::scripting::Scripting;
use crate::settings::Config;
use crate::slowlog::SlowLog;
use crate::stats::WorkerStats;
use crate::tracking::TrackingClients;

/// Longest time between two warnings of one kind, so that a client cannot fill the log.
const WARNING_PERIOD_MS: u64 = 60_000;

/// How the server is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It is not.
    No,
    /// In order.
    Orderly(ShutdownMode),
    /// Because something failed for good; the process leaves with an error.
    Fatal,
}

/// Everything that connections, commands and background work share.
pub struct Node {
    /// The keyspace.
    pub store: Arc<Store>,
    /// The database under it.
    pub rows: Arc<Db>,
    /// The settings.
    pub config: Mutex<Config>,
    /// Those of them that are read for every turn.
    pub hot: Arc<HotSettings>,
    /// The users.
    pub accounts: Arc<Accounts>,
    /// The connections.
    pub clients: Arc<Clients>,
    /// Scripts and functions.
    pub scripting: Scripting,
    /// Who listens to what.
    pub registry: Arc<Registry>,
    /// The clients that are told of changes of keys.
    pub tracking: TrackingClients,
    /// The counters of each worker.
    pub workers: Vec<Arc<WorkerStats>>,
    /// Told when the log gets further, one for each worker.
    pub progress: Vec<Arc<Progress>>,
    /// Which of the workers serve, and whom.
    pub placement: Placement,
    /// Commands that took long.
    pub slowlog: SlowLog,
    /// Times of commands and spikes.
    pub latency: Latency,
    /// Connections that watch every command.
    pub monitors: AtomicUsize,
    /// Connections accepted since start.
    pub accepted: AtomicU64,
    /// Connections refused since start, for want of room or of protection.
    pub rejected: AtomicU64,
    /// When the server was started.
    pub started: Instant,
    /// The same, in Unix milliseconds.
    pub started_ms: u64,
    /// Forty hexadecimal digits that are new with every start.
    pub run_id: String,
    /// Whether keys are deleted when their time has come, and not only when they are looked at.
    pub active_expire: AtomicBool,
    /// Whether the work that is done regularly rests (DEBUG PAUSE-CRON).
    pub upkeep_rests: AtomicBool,
    /// Whether scripts may run DEBUG PROTOCOL.
    pub debug_in_scripts: AtomicBool,
    /// The pause of clients.
    pub pause: Pause,
    /// Connections that wait for the end of a pause.
    pub paused_clients: AtomicUsize,
    /// Connections whose command waits for a key.
    pub blocked_clients: AtomicUsize,
    /// Those of them whose wait ends at some moment.
    pub timed_clients: AtomicUsize,
    /// Told when a pause is over before its time, or is another one.
    pub unpaused: Notify,
    /// Told when the log has got further; who waits for replies has [a gate](crate::gate).
    pub log_moved: Notify,
    /// Told when a script that others had to hear of has ended.
    pub script_ended: Notify,
    /// The last checkpoint.
    pub checkpoint: crate::checkpoint::CheckpointState,
    /// Connections closed because all together took too much memory.
    pub evicted_clients: AtomicU64,
    /// Connections closed because they did not read what they were sent.
    pub closed_for_output: AtomicU64,
    /// Connections closed because they had sent more than a query buffer holds.
    pub closed_for_input: AtomicU64,
    /// Microseconds that went to deleting keys whose time had come.
    pub expiry_micros: AtomicU64,
    /// What clients take, bytes, as of the last round of maintenance.
    pub client_bytes: AtomicUsize,
    /// The highest memory use seen, bytes.
    pub peak_memory: AtomicUsize,
    /// What has been read to find damage.
    pub scrubbed: crate::scrubbing::Scrubbed,
    /// Operations and bytes a second, sampled.
    pub rates: crate::rates::Rates,
    /// The TCP listeners, once there are any.
    pub listening: OnceLock<Listening>,
    /// Held while CONFIG SET changes settings; two changes that overlap would undo each other.
    pub reconfiguring: Mutex<()>,
    stop: watch::Sender<Stop>,
    last_http_warning: AtomicU64,
    last_tls_warning: AtomicU64,
    last_slow_warning: AtomicU64,
}

/// What a node is made of.
pub struct Parts {
    /// The keyspace.
    pub store: Arc<Store>,
    /// The database under it.
    pub rows: Arc<Db>,
    /// The settings.
    pub config: Config,
    /// The users.
    pub accounts: Accounts,
    /// How many workers there will be.
    pub workers: usize,
    /// See [`Node::run_id`].
    pub run_id: String,
    /// Random bits that nobody knows.
    pub secret: u64,
}

impl Node {
    /// A node that nobody is connected to.
    pub fn new(parts: Parts) -> Self {
        let hot = Arc::new(HotSettings::new(&parts.config));
        let workers: Vec<_> = (0..parts.workers).map(|_| Arc::new(WorkerStats::new())).collect();
        Self {
            accounts: Arc::new(parts.accounts),
            store: parts.store,
            rows: parts.rows,
            config: Mutex::new(parts.config),
            clients: Arc::default(),
            scripting: Scripting::new(),
            registry: Arc::new(Registry::new(parts.secret)),
            tracking: TrackingClients::default(),
            progress: workers.iter().map(|_| Arc::default()).collect(),
            placement: Placement::new(workers.clone()),
            workers,
            slowlog: SlowLog::new(hot.clone()),
            latency: Latency::new(hot.clone()),
            hot,
            monitors: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            started: Instant::now(),
            started_ms: unix_millis(),
            run_id: parts.run_id,
            active_expire: AtomicBool::new(true),
            upkeep_rests: AtomicBool::new(false),
            debug_in_scripts: AtomicBool::new(false),
            pause: Pause::default(),
            paused_clients: AtomicUsize::new(0),
            blocked_clients: AtomicUsize::new(0),
            timed_clients: AtomicUsize::new(0),
            unpaused: Notify::new(),
            log_moved: Notify::new(),
            script_ended: Notify::new(),
            checkpoint: crate::checkpoint::CheckpointState::default(),
            evicted_clients: AtomicU64::new(0),
            closed_for_output: AtomicU64::new(0),
            closed_for_input: AtomicU64::new(0),
            expiry_micros: AtomicU64::new(0),
            client_bytes: AtomicUsize::new(0),
            peak_memory: AtomicUsize::new(0),
            scrubbed: Default::default(),
            rates: crate::rates::Rates::default(),
            listening: OnceLock::new(),
            reconfiguring: Mutex::new(()),
            stop: watch::Sender::new(Stop::No),
            last_http_warning: AtomicU64::new(0),
            last_tls_warning: AtomicU64::new(0),
            last_slow_warning: AtomicU64::new(0),
        }
    }

    /// The sequence up to which replies may leave.
    #[inline]
    pub fn settled(&self) -> u64 {
        let log = self.rows.log();
        if self.hot.fsync_always.load(Ordering::Relaxed) { log.durable() } else { log.written() }
    }

    /// Makes the log get further: writes it, or has it synced where replies wait for that.
    pub fn push_log(&self) {
        let log = self.rows.log();
        if self.hot.fsync_always.load(Ordering::Relaxed) {
            log.request_sync();
        } else if let Err(reason) = log.write_soon(log.appended()) {
            // A full disk is retried by the log's thread, which tells the gates; a failed log ends the node.
            tracing::debug!(%reason, "the log was not written");
        }
    }

    /// Waits while a script is busy.
    pub async fn until_not_busy(&self) {
        let ended = self.script_ended.notified();
        if self.store.is_busy() {
            ended.await;
        }
    }

    /// Notes how long a step of deleting keys whose time had come took.
    pub fn expiry_took(&self, time: Duration) {
        self.expiry_micros.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    /// Tells every gate that waits for it that the log may have got further.
    pub fn log_progressed(&self) {
        for progress in &self.progress {
            progress.tell();
        }
        self.log_moved.notify_waiters();
    }

    /// Whether a command has to wait for the end of a pause.
    #[inline]
    pub fn is_paused(&self, now: u64, spec: &CommandSpec) -> bool {
        self.pause.is_on(now) && self.pauses(spec)
    }

    /// Whether whatever writes has to wait for the end of a pause.
    pub fn is_paused_for_writes(&self, now: u64) -> bool {
        self.pause.is_on(now)
    }

    #[cold]
    fn pauses(&self, spec: &CommandSpec) -> bool {
        if spec.name == "client" || spec.name == "unpause" || spec.flags.has(Flags::NO_AUTH) {
            return false;
        }
        // Those that write nothing here are still about what others see.
        let tells_others = matches!(spec.name, "publish" | "spublish");
        !self.pause.is_of_writes() || spec.may_write() || tells_others
    }

    /// Shows a command to those who watch, with the address of who sent it.
    #[cold]
    pub fn show_monitors(&self, db: u16, addr: &str, args: &[&[u8]], now: u64) {
        let mut line = format!("+{}.{:06} [{db} {addr}]", now / 1000, now % 1000 * 1000);
        for arg in args {
            line.push_str(" \"");
            for &byte in *arg {
                match byte {
                    b'"' | b'\\' => line.extend(['\\', byte as char]),
                    b'\n' => line.push_str("\\n"),
                    b'\r' => line.push_str("\\r"),
                    b'\t' => line.push_str("\\t"),
                    0x20..=0x7e => line.push(byte as char),
                    _ => line.push_str(&format!("\\x{byte:02x}")),
                }
            }
            line.push('"');
        }
        line.push_str("\r\n");
        for monitor in self.clients.monitors() {
            self.push(&monitor, line.as_bytes(), 0, self.hot.output_buffer.load(Ordering::Relaxed));
        }
    }

    /// Asks the server to end. The first reason stands.
    pub fn stop(&self, stop: Stop) {
        self.stop.send_if_modified(|current| {
            let first = *current == Stop::No;
            if first {
                *current = stop;
            }
            first
        });
    }

    /// Becomes something else than [`Stop::No`] when the server is to end.
    pub fn stopping(&self) -> watch::Receiver<Stop> {
        self.stop.subscribe()
    }

    /// Whether the server is to end.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }

    /// The log has failed: nothing that is not durable will ever be, so the node ends without a reply to anybody.
    pub fn log_failed(&self, why: &str) {
        error!(why, "the log has failed; the server is stopping");
        self.stop(Stop::Fatal);
    }

    /// Says, at most once a minute, that something spoke HTTP to the port.
    pub fn warn_of_http(&self, addr: &str) {
        if self.may_warn(&self.last_http_warning) {
            warn!(
                addr,
                "a client spoke HTTP on this port, perhaps through somebody's browser; the connection was closed"
            );
        }
    }

    /// Says, at most once a minute, that something spoke TLS to the port.
    pub fn warn_of_tls(&self, client: &ClientInfo) {
        if self.may_warn(&self.last_tls_warning) {
            warn!(
                id = client.id,
                addr = &*client.addr,
                "a client spoke TLS on a port without it; the connection was closed"
            );
        }
    }

    /// Sends text to a connection from another one; see [`ClientInfo::push`].
    pub fn push(&self, client: &ClientInfo, text: &[u8], depends_on: u64, limit: usize) {
        if client.push(text, depends_on, limit) {
            self.closes_slow_client(client);
        }
    }

    /// Counts a client that is closed since it does not read its replies, and says so.
    pub fn closes_slow_client(&self, client: &ClientInfo) {
        self.closed_for_output.fetch_add(1, Ordering::Relaxed);
        if self.may_warn(&self.last_slow_warning) {
            warn!(
                id = client.id,
                addr = &*client.addr,
                "closing a client that is too far behind in reading its replies"
            );
        }
    }

    /// Says that a client was closed because clients together took too much memory.
    pub fn warn_of_evicted_client(&self, client: &ClientInfo) {
        if self.may_warn(&self.last_slow_warning) {
            warn!(
                id = client.id,
                addr = &*client.addr,
                bytes = client.memory_bytes(),
                "closing the largest client: all together exceed maxmemory-clients"
            );
        }
    }

    /// Counts a client that is closed since it has sent more than the query buffer may hold, and says so.
    pub fn closes_large_query(&self, client: &ClientInfo) {
        self.closed_for_input.fetch_add(1, Ordering::Relaxed);
        if self.may_warn(&self.last_slow_warning) {
            warn!(
                id = client.id,
                addr = &*client.addr,
                "closing a client whose command exceeds client-query-buffer-limit"
            );
        }
    }

    fn may_warn(&self, last: &AtomicU64) -> bool {
        let now = unix_millis();
        let before = last.load(Ordering::Relaxed);
        now.saturating_sub(before) >= WARNING_PERIOD_MS
            && last.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
