//! Threads, background work and how long things may take.

use super::{Kind, Setting, UNUSED, Unit, number, seconds};

const OWN_THREADS: &str = "KVDB runs one worker per core; see workers";
const LAZY: &str = "KVDB always frees large values in the background";

pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("workers", number(0, 1024), "0", "Threads that serve clients; 0 is one for each core.")
        .fixed(),
    Setting::new(
        "active-workers",
        number(0, 1024),
        "0",
        "How many workers serve at a time; 0 follows the load: fewer where others need their cores, all where cores are free.",
    ),
    Setting::new(
        "hz",
        Kind::Clamped { min: 1, max: 500 },
        "10",
        "How often each second memory is looked after, idle clients are closed and keys that have expired are deleted.",
    ),
    Setting::new(
        "active-expire-effort",
        number(1, 10),
        "1",
        "How hard the expiry cycle works to find expired keys before somebody asks for them.",
    ),
    Setting::accepted(
        "shutdown-timeout",
        seconds(0),
        "10",
        "a shutdown waits only for the log, which has no limit of time",
    ),
    Setting::new(
        "busy-reply-threshold",
        Kind::Int { min: 0, max: i64::MAX, unit: Unit::Millis },
        "5000",
        "After so long a script or function is busy: others are told so, and may end it. 0 for never.",
    )
    .alias("lua-time-limit"),
    Setting::accepted("dynamic-hz", Kind::Bool, "yes", UNUSED),
    Setting::accepted("io-threads", number(1, 128), "1", OWN_THREADS).fixed(),
    Setting::accepted("io-threads-do-reads", Kind::Bool, "no", OWN_THREADS).fixed(),
    Setting::accepted("server_cpulist", Kind::Text, "", "threads are not pinned to cores").fixed(),
    Setting::accepted("bio_cpulist", Kind::Text, "", "threads are not pinned to cores").fixed(),
    Setting::accepted("aof_rewrite_cpulist", Kind::Text, "", "there is no process that rewrites").fixed(),
    Setting::accepted("bgsave_cpulist", Kind::Text, "", "there is no process that saves").fixed(),
    Setting::accepted("lazyfree-lazy-eviction", Kind::Bool, "no", LAZY),
    Setting::accepted("lazyfree-lazy-expire", Kind::Bool, "no", LAZY),
    Setting::accepted("lazyfree-lazy-server-del", Kind::Bool, "no", LAZY),
    Setting::accepted("lazyfree-lazy-user-del", Kind::Bool, "no", LAZY),
    Setting::accepted("lazyfree-lazy-user-flush", Kind::Bool, "no", LAZY),
    Setting::accepted("maxmemory-eviction-tenacity", number(0, 100), "10", UNUSED),
];
