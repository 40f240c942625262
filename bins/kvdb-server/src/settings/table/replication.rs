//! Redis' primary and replica settings.

use super::{INT_MAX, Kind, Setting, number, seconds};

const NO_REPLICAS: &str = "KVDB does not speak Redis' replication protocol";

pub(super) const SETTINGS: &[Setting] = &[
    Setting::refused("replicaof", Kind::Primary, "", "KVDB cannot be a replica of a Redis server")
        .alias("slaveof"),
    Setting::accepted("masteruser", Kind::Text, "", NO_REPLICAS),
    Setting::accepted("masterauth", Kind::Secret, "", NO_REPLICAS),
    Setting::accepted("replica-serve-stale-data", Kind::Bool, "yes", NO_REPLICAS)
        .alias("slave-serve-stale-data"),
    Setting::accepted("replica-read-only", Kind::Bool, "yes", NO_REPLICAS).alias("slave-read-only"),
    Setting::accepted("replica-priority", number(0, INT_MAX), "100", NO_REPLICAS).alias("slave-priority"),
    Setting::accepted("replica-announced", Kind::Bool, "yes", NO_REPLICAS),
    Setting::accepted("replica-announce-ip", Kind::Text, "", NO_REPLICAS).alias("slave-announce-ip"),
    Setting::accepted("replica-announce-port", number(0, 65_535), "0", NO_REPLICAS)
        .alias("slave-announce-port"),
    Setting::accepted("replica-ignore-maxmemory", Kind::Bool, "yes", NO_REPLICAS)
        .alias("slave-ignore-maxmemory"),
    Setting::accepted("replica-ignore-disk-write-errors", Kind::Bool, "no", NO_REPLICAS),
    Setting::accepted("replica-lazy-flush", Kind::Bool, "no", NO_REPLICAS).alias("slave-lazy-flush"),
    Setting::accepted("repl-ping-replica-period", seconds(1), "10", NO_REPLICAS)
        .alias("repl-ping-slave-period"),
    Setting::accepted("repl-timeout", seconds(1), "60", NO_REPLICAS),
    Setting::accepted("repl-disable-tcp-nodelay", Kind::Bool, "no", NO_REPLICAS),
    Setting::accepted("repl-backlog-size", Kind::Memory { min: 1, max: i64::MAX as u64 }, "1mb", NO_REPLICAS),
    Setting::accepted("repl-backlog-ttl", number(0, i64::MAX), "3600", NO_REPLICAS),
    Setting::accepted("repl-diskless-sync", Kind::Bool, "yes", NO_REPLICAS),
    Setting::accepted("repl-diskless-sync-delay", seconds(0), "5", NO_REPLICAS),
    Setting::accepted("repl-diskless-sync-max-replicas", number(0, INT_MAX), "0", NO_REPLICAS),
    Setting::accepted(
        "repl-diskless-load",
        Kind::Enum(&["disabled", "on-empty-db", "swapdb"]),
        "disabled",
        NO_REPLICAS,
    ),
    Setting::accepted("min-replicas-to-write", number(0, INT_MAX), "0", NO_REPLICAS)
        .alias("min-slaves-to-write"),
    Setting::accepted("min-replicas-max-lag", seconds(0), "10", NO_REPLICAS).alias("min-slaves-max-lag"),
    Setting::accepted(
        "propagation-error-behavior",
        Kind::Enum(&["ignore", "panic", "panic-on-replicas"]),
        "ignore",
        NO_REPLICAS,
    ),
];
