//! Settings that are read for every turn, as atomics: CONFIG SET changes them while workers run.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::settings::{Config, Fsync, MemoryPolicy, Settings};

/// Whatever `proto-max-bulk-len` says, no string gets longer than this: a short command (SETRANGE far out) must not ask for
/// more memory than any machine has.
const LONGEST_STRING: usize = 2 << 30;

/// Below this threshold of the slow log, every command is timed on its own; above it only those whose cost grows with what
/// is stored.
const PRECISE_BELOW_MICROS: i64 = 1_000;

/// Replies that may wait for a client whose limit is 0, bytes: nothing grows without a limit here.
const OUTPUT_MAX: usize = 1 << 30;

/// See the module's text. `version` rises after every change; who keeps copies compares it.
pub struct HotSettings {
    /// Rises with every change.
    pub version: AtomicU64,
    /// `proto-max-bulk-len`, bytes.
    pub max_bulk: AtomicUsize,
    /// `hll-sparse-max-bytes`.
    pub hll_sparse_max_bytes: AtomicUsize,
    /// `slowlog-log-slower-than`, microseconds; negative for off.
    pub slowlog_micros: AtomicI64,
    /// `slowlog-max-len`.
    pub slowlog_len: AtomicUsize,
    /// `latency-monitor-threshold`, milliseconds; 0 for off.
    pub latency_millis: AtomicU64,
    /// `latency-tracking`: whether the times of commands are kept.
    pub latency_tracking: AtomicBool,
    /// `client-query-buffer-limit`, bytes.
    pub query_buffer: AtomicUsize,
    /// The hard limit of `client-output-buffer-limit` for normal clients, bytes.
    pub output_buffer: AtomicUsize,
    /// The same of a client with subscriptions.
    pub pubsub_buffer: AtomicUsize,
    /// `maxclients`, as far as there are descriptors for it.
    pub maxclients: AtomicUsize,
    /// `timeout`, milliseconds; 0 for never.
    pub timeout_millis: AtomicU64,
    /// `busy-reply-threshold`, milliseconds; `u64::MAX` for never.
    pub busy_millis: AtomicU64,
    /// `maxmemory`, bytes; 0 for no limit.
    pub maxmemory: AtomicU64,
    /// The maxmemory-policy, as [`HotSettings::policy`] reads it.
    policy: AtomicU8,
    /// `maxmemory-samples`.
    pub samples: AtomicUsize,
    /// Whether a reply waits for fdatasync (`appendfsync always`) and not only for write.
    pub fsync_always: AtomicBool,
    /// `active-workers`: how many workers serve; 0 where that follows the load.
    pub active_workers: AtomicUsize,
}

impl HotSettings {
    /// The values of a configuration.
    pub fn new(config: &Config) -> Self {
        let hot = Self {
            version: AtomicU64::new(0),
            max_bulk: AtomicUsize::new(0),
            hll_sparse_max_bytes: AtomicUsize::new(3000),
            slowlog_micros: AtomicI64::new(-1),
            slowlog_len: AtomicUsize::new(0),
            latency_millis: AtomicU64::new(0),
            latency_tracking: AtomicBool::new(true),
            query_buffer: AtomicUsize::new(0),
            output_buffer: AtomicUsize::new(0),
            pubsub_buffer: AtomicUsize::new(0),
            maxclients: AtomicUsize::new(0),
            timeout_millis: AtomicU64::new(0),
            busy_millis: AtomicU64::new(u64::MAX),
            maxmemory: AtomicU64::new(0),
            policy: AtomicU8::new(MemoryPolicy::Tiered as u8),
            samples: AtomicUsize::new(5),
            fsync_always: AtomicBool::new(true),
            active_workers: AtomicUsize::new(0),
        };
        hot.refresh(config);
        hot
    }

    /// Takes over the values of a configuration.
    pub fn refresh(&self, config: &Config) {
        let settings: &Settings = config.settings();
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let hll = config.text("hll-sparse-max-bytes").and_then(|t| t.parse().ok()).unwrap_or(3000);
        self.max_bulk.store(size(settings.proto_max_bulk_len).min(LONGEST_STRING), Ordering::Relaxed);
        self.hll_sparse_max_bytes.store(hll, Ordering::Relaxed);
        let slow = settings.slowlog_log_slower_than.map_or(-1, |d| d.as_micros() as i64);
        self.slowlog_micros.store(slow, Ordering::Relaxed);
        self.slowlog_len.store(size(settings.slowlog_max_len), Ordering::Relaxed);
        let latency = settings.latency_monitor_threshold.map_or(0, |d| d.as_millis() as u64);
        self.latency_millis.store(latency, Ordering::Relaxed);
        self.latency_tracking.store(settings.latency_tracking, Ordering::Relaxed);
        self.query_buffer.store(size(settings.client_query_buffer_limit), Ordering::Relaxed);
        let normal = settings.client_output_buffer_limit.normal.hard;
        self.output_buffer.store(if normal == 0 { OUTPUT_MAX } else { size(normal) }, Ordering::Relaxed);
        let pubsub = settings.client_output_buffer_limit.pubsub.hard;
        self.pubsub_buffer.store(if pubsub == 0 { OUTPUT_MAX } else { size(pubsub) }, Ordering::Relaxed);
        let maxclients = (settings.maxclients as usize).min(crate::descriptors::room_for_clients());
        self.maxclients.store(maxclients, Ordering::Relaxed);
        self.timeout_millis.store(settings.timeout.map_or(0, |d| d.as_millis() as u64), Ordering::Relaxed);
        let busy = config.text("busy-reply-threshold").and_then(|text| text.parse().ok()).unwrap_or(5000);
        self.busy_millis.store(if busy == 0 { u64::MAX } else { busy }, Ordering::Relaxed);
        self.maxmemory.store(settings.maxmemory.unwrap_or(0), Ordering::Relaxed);
        self.policy.store(settings.maxmemory_policy as u8, Ordering::Relaxed);
        self.samples.store(settings.maxmemory_samples as usize, Ordering::Relaxed);
        self.fsync_always.store(settings.appendfsync == Fsync::Always, Ordering::Relaxed);
        self.active_workers.store(settings.active_workers.unwrap_or(0), Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// What is done above `maxmemory`.
    pub fn policy(&self) -> MemoryPolicy {
        let bits = self.policy.load(Ordering::Relaxed);
        MemoryPolicy::ALL.get(usize::from(bits)).copied().unwrap_or(MemoryPolicy::Tiered)
    }

    /// The bytes that the data may take before keys are deleted or commands refused; `None` where that never happens.
    pub fn cache_limit(&self) -> Option<u64> {
        let limit = self.maxmemory.load(Ordering::Relaxed);
        (limit != 0 && self.policy() != MemoryPolicy::Tiered).then_some(limit)
    }

    /// Whether every command is to be timed on its own.
    pub fn is_precise(&self) -> bool {
        let slow = self.slowlog_micros.load(Ordering::Relaxed);
        (0..PRECISE_BELOW_MICROS).contains(&slow) || self.latency_millis.load(Ordering::Relaxed) == 1
    }
}
