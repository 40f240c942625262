//! Redis Cluster's settings.

use super::{INT_MAX, Kind, Setting, Unit, memory, number};

const NO_BUS: &str = "KVDB has no Redis Cluster bus";

pub(super) const SETTINGS: &[Setting] = &[
    Setting::accepted("cluster-enabled", Kind::Bool, "no", NO_BUS).fixed(),
    Setting::accepted("cluster-config-file", Kind::Text, "nodes.conf", NO_BUS).fixed(),
    Setting::accepted("cluster-port", number(0, 65_535), "0", NO_BUS).fixed(),
    Setting::accepted(
        "cluster-node-timeout",
        Kind::Int { min: 0, max: i64::MAX, unit: Unit::Millis },
        "15000",
        NO_BUS,
    ),
    Setting::accepted("cluster-announce-ip", Kind::Text, "", NO_BUS),
    Setting::accepted("cluster-announce-hostname", Kind::Text, "", NO_BUS),
    Setting::accepted("cluster-announce-human-nodename", Kind::Text, "", NO_BUS),
    Setting::accepted("cluster-announce-port", number(0, 65_535), "0", NO_BUS),
    Setting::accepted("cluster-announce-tls-port", number(0, 65_535), "0", NO_BUS),
    Setting::accepted("cluster-announce-bus-port", number(0, 65_535), "0", NO_BUS),
    Setting::accepted(
        "cluster-preferred-endpoint-type",
        Kind::Enum(&["ip", "hostname", "unknown-endpoint"]),
        "ip",
        NO_BUS,
    ),
    Setting::accepted("cluster-replica-validity-factor", number(0, INT_MAX), "10", NO_BUS)
        .alias("cluster-slave-validity-factor"),
    Setting::accepted("cluster-replica-no-failover", Kind::Bool, "no", NO_BUS)
        .alias("cluster-slave-no-failover"),
    Setting::accepted("cluster-migration-barrier", number(0, INT_MAX), "1", NO_BUS),
    Setting::accepted("cluster-allow-replica-migration", Kind::Bool, "yes", NO_BUS),
    Setting::accepted("cluster-require-full-coverage", Kind::Bool, "yes", NO_BUS),
    Setting::accepted("cluster-allow-reads-when-down", Kind::Bool, "no", NO_BUS),
    Setting::accepted("cluster-allow-pubsubshard-when-down", Kind::Bool, "yes", NO_BUS),
    Setting::accepted("cluster-link-sendbuf-limit", memory(), "0", NO_BUS),
];
