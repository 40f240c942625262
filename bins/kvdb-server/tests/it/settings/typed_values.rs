//! The typed form of the settings.

use std::time::Duration;

use super::*;
use kvdb_server::settings::{
    ClientLimit, ClientMemory, Compression, DebugCommand, LogFormat, LogLevel, MemoryPolicy, SavePoint, table,
};
use kvdb_store::EventClasses;

#[test]
fn zero_and_empty_become_none() {
    let config = Config::defaults();
    let settings = config.settings();
    assert_eq!(settings.unixsocket, None);
    assert_eq!(settings.unixsocketperm, None);
    assert_eq!(settings.requirepass, None);
    assert_eq!(settings.timeout, None);
    assert_eq!(settings.maxmemory, None);
    assert_eq!(settings.maxmemory_clients, ClientMemory::Unlimited);
    assert_eq!(settings.workers, None);
    assert_eq!(settings.logfile, None);
    assert_eq!(settings.latency_monitor_threshold, None);
    assert_eq!(settings.storage_write_buffer, None);
    assert_eq!(settings.pidfile, None);
    assert_eq!(settings.dir, PathBuf::from("."));
    assert_eq!(settings.maxmemory_policy, MemoryPolicy::Tiered);
}

#[test]
fn values_have_their_units() {
    let (_files, process) = with_file(
        "bind 10.0.0.1 -::1\nunixsocket /run/kvdb.sock\nunixsocketperm 770\nprotected-mode no\nrequirepass x\n\
         maxclients 4294967295\ntimeout 60\ntcp-keepalive 0\ndir /data\nsave 60 1\nmaxmemory 1gb\n\
         maxmemory-policy allkeys-lfu\nmaxmemory-clients 5%\nproto-max-bulk-len 1mb\n\
         client-output-buffer-limit normal 1kb 2kb 3\nloglevel nothing\nlogfile /var/log/kvdb.log\nlog-format json\n\
         slowlog-log-slower-than 5\nlatency-monitor-threshold 7\nlatency-tracking no\nnotify-keyspace-events KEA\n\
         hz 9999\nworkers 3\nshutdown-timeout 1\nenable-debug-command local\nstorage-write-buffer 64mb\n\
         storage-wal-limit 1gb\nstorage-block-cache 2gb\nstorage-compression none\nstorage-blob-threshold 64kb\n\
         storage-blob-garbage-percent 30\nstorage-io-threads 4\nstorage-scrub-days 30\n\
         compat-redis-version 7.4.0\nwarm-up no\npidfile /run/kvdb.pid\n",
    );
    let (config, _) = process.serves();
    let settings = config.settings();
    assert_eq!(settings.bind.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1", "-::1"]);
    assert_eq!(settings.unixsocket, Some(PathBuf::from("/run/kvdb.sock")));
    assert_eq!(settings.unixsocketperm, Some(0o770));
    assert!(!settings.protected_mode && !settings.latency_tracking && !settings.warm_up);
    assert_eq!(settings.maxclients, u32::MAX);
    assert_eq!(settings.timeout, Some(Duration::from_secs(60)));
    assert_eq!(settings.tcp_keepalive, None);
    assert_eq!(settings.dir, PathBuf::from("/data"));
    assert_eq!(settings.save, [SavePoint { seconds: 60, changes: 1 }]);
    assert_eq!(settings.maxmemory_policy, MemoryPolicy::AllKeysLfu);
    assert_eq!(settings.maxmemory_clients.limit(1 << 30), Some((1 << 30) / 20));
    assert_eq!(settings.proto_max_bulk_len, 1 << 20);
    let limit = ClientLimit { hard: 1024, soft: 2048, soft_for: Duration::from_secs(3) };
    assert_eq!(settings.client_output_buffer_limit.normal, limit);
    assert_eq!((settings.loglevel, settings.log_format), (LogLevel::Nothing, LogFormat::Json));
    assert_eq!(settings.slowlog_log_slower_than, Some(Duration::from_micros(5)));
    assert_eq!(settings.latency_monitor_threshold, Some(Duration::from_millis(7)));
    assert!(settings.notify_keyspace_events.contains(EventClasses::ALL));
    assert_eq!((settings.hz, settings.workers), (500, Some(3)));
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(1));
    assert_eq!(settings.enable_debug_command, DebugCommand::Local);
    assert_eq!(settings.storage_write_buffer, Some(64 << 20));
    assert_eq!(settings.storage_wal_limit, Some(1 << 30));
    assert_eq!(settings.storage_block_cache, Some(2 << 30));
    assert_eq!(settings.storage_compression, Compression::None);
    assert_eq!((settings.storage_blob_threshold, settings.storage_blob_garbage_percent), (64 << 10, 30));
    assert_eq!(settings.storage_io_threads, Some(4));
    assert_eq!(settings.storage_scrub_days, 30);
    assert_eq!(settings.compat_redis_version, "7.4.0");
    assert_eq!(settings.pidfile, Some(PathBuf::from("/run/kvdb.pid")));
}

#[test]
fn a_slow_log_of_minus_one_is_off() {
    let (config, _) = Process::new(&["--slowlog-log-slower-than", "-1"]).serves();
    assert_eq!(config.settings().slowlog_log_slower_than, None);
}

#[test]
fn a_share_of_no_limit_is_no_limit() {
    assert_eq!(ClientMemory::Percent(5).limit(0), None);
    assert_eq!(ClientMemory::Percent(100).limit(u64::MAX), Some(u64::MAX));
    assert_eq!(ClientMemory::Bytes(7).limit(0), Some(7));
}

/// Every value that the table allows has a typed form: the ends of each range, and each word.
#[test]
fn no_value_of_the_table_fails_to_become_typed() {
    use table::Kind;
    for setting in table::all().filter(|setting| setting.mutable && setting.has_value()) {
        let values: Vec<String> = match setting.kind {
            Kind::Bool => vec!["yes".into(), "no".into()],
            // 0 turns TCP off, which takes another socket to listen on.
            Kind::Int { max, .. } if setting.name == "port" => vec!["1".into(), max.to_string()],
            Kind::Int { min, max, .. } | Kind::Clamped { min, max } => vec![min.to_string(), max.to_string()],
            Kind::Memory { min, max } => vec![min.to_string(), max.to_string()],
            Kind::Enum(words) => words.iter().map(|word| (*word).to_owned()).collect(),
            _ => vec![setting.default.to_owned()],
        };
        for value in values {
            Config::defaults()
                .stage(&[(setting.name, &value)])
                .unwrap_or_else(|error| panic!("{value}: {error}"));
        }
    }
}
