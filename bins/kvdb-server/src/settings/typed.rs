//! [`Settings`]: every value that KVDB acts on, as the type it is used as.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, str::FromStr};

use kvdb_store::EventClasses;

use super::held::Held;
use super::values::{self, BindAddress, ClientLimits, SavePoint};

/// A password. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The password itself, to compare with what a client sent.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// An enum whose variants are the words of a setting.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word of the configuration.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(word: &str) -> Result<Self, ()> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(()),
                }
            }
        }
    };
}

words! {
    /// When a write is on disk.
    Fsync {
        /// Before its reply.
        Always = "always",
        /// Within about a second.
        EverySecond = "everysec",
        /// When the kernel writes it.
        No = "no",
    }
}

words! {
    /// What happens above `maxmemory`.
    MemoryPolicy {
        /// The least recently used key that expires is deleted.
        VolatileLru = "volatile-lru",
        /// The least frequently used key that expires is deleted.
        VolatileLfu = "volatile-lfu",
        /// A random key that expires is deleted.
        VolatileRandom = "volatile-random",
        /// The key that expires next is deleted.
        VolatileTtl = "volatile-ttl",
        /// The least recently used key is deleted.
        AllKeysLru = "allkeys-lru",
        /// The least frequently used key is deleted.
        AllKeysLfu = "allkeys-lfu",
        /// A random key is deleted.
        AllKeysRandom = "allkeys-random",
        /// Nothing is deleted; what would make memory grow is refused.
        NoEviction = "noeviction",
        /// Clean cold objects leave memory and stay on disk; nothing is deleted or refused.
        Tiered = "tiered",
    }
}

words! {
    /// The least important message that is logged.
    LogLevel {
        /// Everything.
        Debug = "debug",
        /// What is rarely useful.
        Verbose = "verbose",
        /// What an operator wants to know.
        Notice = "notice",
        /// What an operator must know.
        Warning = "warning",
        /// Nothing.
        Nothing = "nothing",
    }
}

words! {
    /// The form of the log.
    LogFormat {
        /// Lines for people.
        Text = "text",
        /// One JSON object on each line.
        Json = "json",
    }
}

words! {
    /// The channels that a new user may use.
    AclPubsub {
        /// All.
        AllChannels = "allchannels",
        /// None.
        ResetChannels = "resetchannels",
    }
}

words! {
    /// Who may use DEBUG.
    DebugCommand {
        /// Nobody.
        No = "no",
        /// Everybody.
        Yes = "yes",
        /// Clients of this machine.
        Local = "local",
    }
}

words! {
    /// How blocks on disk are compressed.
    Compression {
        /// With LZ4.
        Lz4 = "lz4",
        /// Not at all.
        None = "none",
    }
}

/// The memory that all client buffers together may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientMemory {
    /// As much as they need.
    Unlimited,
    /// So many bytes.
    Bytes(u64),
    /// So many percent of `maxmemory`, of 1 to 100.
    Percent(u8),
}

impl ClientMemory {
    /// The limit in bytes under this `maxmemory`; `None` when there is none.
    #[must_use]
    pub fn limit(self, maxmemory: u64) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Bytes(bytes) => Some(bytes),
            // A percentage of no limit is no limit.
            Self::Percent(_) if maxmemory == 0 => None,
            // Divided first, so that no size overflows.
            Self::Percent(percent) => {
                let percent = u64::from(percent);
                Some(maxmemory / 100 * percent + maxmemory % 100 * percent / 100)
            }
        }
    }
}

/// The settings in force. What each does is in the table, and in `docs/kvdb.conf`.
///
/// # Invariants
/// Every value is in the range that the table gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `bind`; empty turns TCP off.
    pub bind: Vec<BindAddress>,
    /// `port`; 0 turns TCP off.
    pub port: u16,
    /// `unixsocket`.
    pub unixsocket: Option<PathBuf>,
    /// `unixsocketperm`; `None` leaves the permissions to the umask.
    pub unixsocketperm: Option<u32>,
    /// `protected-mode`.
    pub protected_mode: bool,
    /// `requirepass`.
    pub requirepass: Option<Secret>,
    /// `acllog-max-len`.
    pub acllog_max_len: u64,
    /// `acl-pubsub-default`.
    pub acl_pubsub_default: AclPubsub,
    /// `aclfile`.
    pub aclfile: Option<PathBuf>,
    /// `maxclients`.
    pub maxclients: u32,
    /// `timeout`; `None` never closes an idle client.
    pub timeout: Option<Duration>,
    /// `tcp-keepalive`; `None` turns the probes off.
    pub tcp_keepalive: Option<Duration>,
    /// `tcp-backlog`.
    pub tcp_backlog: u32,
    /// `databases`.
    pub databases: u32,
    /// `enable-debug-command`.
    pub enable_debug_command: DebugCommand,
    /// `compat-redis-version`.
    pub compat_redis_version: String,

    /// `maxmemory`, in bytes; `None` sets no limit.
    pub maxmemory: Option<u64>,
    /// `maxmemory-policy`.
    pub maxmemory_policy: MemoryPolicy,
    /// `lfu-log-factor`.
    pub lfu_log_factor: u32,
    /// `lfu-decay-time`, in minutes; 0 for never.
    pub lfu_decay_time: u32,
    /// `maxmemory-samples`.
    pub maxmemory_samples: u32,
    /// `maxmemory-clients`.
    pub maxmemory_clients: ClientMemory,
    /// `client-query-buffer-limit`, in bytes.
    pub client_query_buffer_limit: u64,
    /// `client-output-buffer-limit`.
    pub client_output_buffer_limit: ClientLimits,
    /// `proto-max-bulk-len`, in bytes.
    pub proto_max_bulk_len: u64,
    /// `warm-up`.
    pub warm_up: bool,

    /// `dir`.
    pub dir: PathBuf,
    /// `appendfsync` as it is in force: [`Fsync::No`] when `appendonly` is `no`.
    pub appendfsync: Fsync,
    /// `save`: shown to clients, without an effect.
    pub save: Vec<SavePoint>,

    /// `workers`; `None` is one for each core.
    pub workers: Option<usize>,
    /// `active-workers`; `None` follows the load.
    pub active_workers: Option<usize>,
    /// `hz`: how often each second background work runs.
    pub hz: u32,
    /// `active-expire-effort`, of 1 to 10.
    pub active_expire_effort: u8,
    /// `shutdown-timeout`.
    pub shutdown_timeout: Duration,

    /// `loglevel`.
    pub loglevel: LogLevel,
    /// `logfile`; `None` is standard output.
    pub logfile: Option<PathBuf>,
    /// `log-format`.
    pub log_format: LogFormat,
    /// `slowlog-log-slower-than`; `None` logs nothing.
    pub slowlog_log_slower_than: Option<Duration>,
    /// `slowlog-max-len`.
    pub slowlog_max_len: u64,
    /// `latency-monitor-threshold`; `None` turns the monitor off.
    pub latency_monitor_threshold: Option<Duration>,
    /// `latency-tracking`.
    pub latency_tracking: bool,
    /// `latency-tracking-info-percentiles`, each of 0 to 100.
    pub latency_tracking_info_percentiles: Vec<f64>,
    /// `notify-keyspace-events`.
    pub notify_keyspace_events: EventClasses,
    /// `tracking-table-max-keys`; 0 for no limit.
    pub tracking_table_max_keys: usize,

    /// `storage-write-buffer`, in bytes; `None` is automatic.
    pub storage_write_buffer: Option<u64>,
    /// `storage-wal-limit`, in bytes; `None` is automatic.
    pub storage_wal_limit: Option<u64>,
    /// `storage-block-cache`, in bytes; `None` is automatic.
    pub storage_block_cache: Option<u64>,
    /// `storage-compression`.
    pub storage_compression: Compression,
    /// `storage-blob-threshold`, in bytes; 0 for no blob files.
    pub storage_blob_threshold: usize,
    /// `storage-blob-garbage-percent`.
    pub storage_blob_garbage_percent: u8,
    /// `storage-io-threads`; `None` is automatic.
    pub storage_io_threads: Option<usize>,
    /// `storage-scrub-days`; 0 for never.
    pub storage_scrub_days: u32,

    /// `pidfile`.
    pub pidfile: Option<PathBuf>,
}

impl Settings {
    /// The typed form of what is held.
    pub(super) fn from_held(held: &Held) -> Self {
        let read = Reader(held);
        Self {
            bind: values::parse_bind(&read.words("bind")).expect(CANONICAL),
            port: read.number("port"),
            unixsocket: read.path("unixsocket"),
            unixsocketperm: Some(values::octal(read.text("unixsocketperm")).expect(CANONICAL))
                .filter(|bits| *bits != 0),
            protected_mode: read.flag("protected-mode"),
            requirepass: Some(read.text("requirepass"))
                .filter(|text| !text.is_empty())
                .map(|text| Secret(text.to_owned())),
            acllog_max_len: read.number("acllog-max-len"),
            acl_pubsub_default: read.word("acl-pubsub-default"),
            aclfile: read.path("aclfile"),
            maxclients: read.number("maxclients"),
            timeout: read.nonzero("timeout").map(Duration::from_secs),
            tcp_keepalive: read.nonzero("tcp-keepalive").map(Duration::from_secs),
            tcp_backlog: read.number("tcp-backlog"),
            databases: read.number("databases"),
            enable_debug_command: read.word("enable-debug-command"),
            compat_redis_version: read.text("compat-redis-version").to_owned(),
            maxmemory: read.nonzero("maxmemory"),
            maxmemory_policy: read.word("maxmemory-policy"),
            lfu_log_factor: read.number("lfu-log-factor"),
            lfu_decay_time: read.number("lfu-decay-time"),
            maxmemory_samples: read.number("maxmemory-samples"),
            maxmemory_clients: read.client_memory("maxmemory-clients"),
            client_query_buffer_limit: read.number("client-query-buffer-limit"),
            client_output_buffer_limit: ClientLimits::parse_onto(
                read.text("client-output-buffer-limit"),
                &[],
            )
            .expect(CANONICAL),
            proto_max_bulk_len: read.number("proto-max-bulk-len"),
            warm_up: read.flag("warm-up"),
            // An empty path is no directory; what was meant is the one the server was started in.
            dir: read.path("dir").unwrap_or_else(|| PathBuf::from(".")),
            appendfsync: if read.flag("appendonly") { read.word("appendfsync") } else { Fsync::No },
            save: values::parse_save(&read.words("save")).expect(CANONICAL),
            workers: read.automatic("workers"),
            active_workers: read.automatic("active-workers"),
            hz: read.number("hz"),
            active_expire_effort: read.number("active-expire-effort"),
            shutdown_timeout: Duration::from_secs(read.number("shutdown-timeout")),
            loglevel: read.word("loglevel"),
            logfile: read.path("logfile"),
            log_format: read.word("log-format"),
            slowlog_log_slower_than: u64::try_from(read.number::<i64>("slowlog-log-slower-than"))
                .ok()
                .map(Duration::from_micros),
            slowlog_max_len: read.number("slowlog-max-len"),
            latency_monitor_threshold: read.nonzero("latency-monitor-threshold").map(Duration::from_millis),
            latency_tracking: read.flag("latency-tracking"),
            latency_tracking_info_percentiles: values::parse_percentiles(
                &read.words("latency-tracking-info-percentiles"),
            )
            .expect(CANONICAL),
            notify_keyspace_events: values::parse_events(read.text("notify-keyspace-events"))
                .expect(CANONICAL),
            tracking_table_max_keys: read.number("tracking-table-max-keys"),
            storage_write_buffer: read.nonzero("storage-write-buffer"),
            storage_wal_limit: read.nonzero("storage-wal-limit"),
            storage_block_cache: read.nonzero("storage-block-cache"),
            storage_compression: read.word("storage-compression"),
            storage_blob_threshold: read.number("storage-blob-threshold"),
            storage_blob_garbage_percent: read.number("storage-blob-garbage-percent"),
            storage_io_threads: read.automatic("storage-io-threads"),
            storage_scrub_days: read.number("storage-scrub-days"),
            pidfile: read.path("pidfile"),
        }
    }
}

/// Values are checked when they are set, so to read them back cannot fail.
const CANONICAL: &str = "a value that is held was checked against its kind in the table";

/// Reads canonical texts as the types they stand for.
struct Reader<'a>(&'a Held);

impl<'a> Reader<'a> {
    fn text(&self, name: &str) -> &'a str {
        self.0.text(name)
    }

    fn words(&self, name: &str) -> Vec<&'a str> {
        self.text(name).split_ascii_whitespace().collect()
    }

    fn flag(&self, name: &str) -> bool {
        values::boolean(self.text(name)).expect(CANONICAL)
    }

    fn number<T: FromStr>(&self, name: &str) -> T {
        self.text(name).parse().ok().expect(CANONICAL)
    }

    fn nonzero(&self, name: &str) -> Option<u64> {
        Some(self.number(name)).filter(|number| *number != 0)
    }

    fn automatic(&self, name: &str) -> Option<usize> {
        Some(self.number(name)).filter(|number| *number != 0)
    }

    fn word<T: FromStr>(&self, name: &str) -> T {
        self.text(name).parse().ok().expect(CANONICAL)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    fn client_memory(&self, name: &str) -> ClientMemory {
        let text = self.text(name);
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.parse().expect(CANONICAL) {
                0 => ClientMemory::Unlimited,
                percent => ClientMemory::Percent(percent),
            };
        }
        self.nonzero(name).map_or(ClientMemory::Unlimited, ClientMemory::Bytes)
    }
}
