//! What the server says about itself: its log, slow commands, latencies, events.

use super::{Kind, Setting, UNUSED, Unit, number};

const NO_SYSLOG: &str = "KVDB logs to a file or to standard output, from where journald and the like take it";

pub(super) const SETTINGS: &[Setting] = &[
    Setting::new(
        "loglevel",
        Kind::Enum(&["debug", "verbose", "notice", "warning", "nothing"]),
        "notice",
        "The least important message that is still logged.",
    ),
    Setting::new("logfile", Kind::Text, "", "The file to log to; empty is standard output.").fixed(),
    Setting::new(
        "log-format",
        Kind::Enum(&["text", "json"]),
        "text",
        "text has lines for people, json one object on each line. Neither has keys, values or passwords.",
    )
    .fixed(),
    Setting::new(
        "slowlog-log-slower-than",
        Kind::Int { min: -1, max: i64::MAX, unit: Unit::Micros },
        "10000",
        "Commands that ran for at least so many microseconds enter SLOWLOG; 0 logs every command, -1 none.",
    ),
    Setting::new("slowlog-max-len", number(0, i64::MAX), "128", "Entries that SLOWLOG keeps."),
    Setting::new(
        "latency-monitor-threshold",
        Kind::Int { min: 0, max: i64::MAX, unit: Unit::Millis },
        "0",
        "Events that took at least so many milliseconds enter LATENCY; 0 turns the monitor off.",
    ),
    Setting::new(
        "latency-tracking",
        Kind::Bool,
        "yes",
        "Keep a histogram of the latency of every command, for LATENCY HISTOGRAM and INFO latencystats.",
    ),
    Setting::new(
        "latency-tracking-info-percentiles",
        Kind::Percentiles,
        "50 99 99.9",
        "The percentiles that INFO latencystats shows.",
    ),
    Setting::new(
        "notify-keyspace-events",
        Kind::Events,
        "",
        "What happens to keys is published, by classes of events: K and E say on which channels, by key \
         (`__keyspace@<db>__:<key>`) and by event (`__keyevent@<db>__:<event>`); g is for commands of any type, $ for strings, \
         l for lists, s for sets, h for hashes, z for sorted sets, t for streams, x for keys that expired, e for keys that \
         were evicted, n for new keys, m for keys that were asked for in vain. A is all of them but m and n.",
    ),
    Setting::accepted("syslog-enabled", Kind::Bool, "no", NO_SYSLOG).fixed(),
    Setting::accepted("syslog-ident", Kind::Text, "redis", NO_SYSLOG).fixed(),
    Setting::accepted(
        "syslog-facility",
        Kind::Enum(&["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]),
        "local0",
        NO_SYSLOG,
    )
    .fixed(),
    Setting::accepted("crash-log-enabled", Kind::Bool, "yes", UNUSED),
    Setting::accepted("crash-memcheck-enabled", Kind::Bool, "yes", UNUSED),
    Setting::accepted("always-show-logo", Kind::Bool, "no", "KVDB has no logo").fixed(),
];
