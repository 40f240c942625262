//! The log, the data directory, and the settings of Redis' dump and append-only files.

use super::{INT_MAX, Kind, Setting, UNUSED, memory, number};

const NO_DUMP: &str = "KVDB writes its data as it comes and has no dump file";
const NO_REWRITE: &str = "KVDB's log is never rewritten: flushed data leaves it";
const CHECKSUMS: &str = "every record and block on disk has a checksum, always";

pub(super) const SETTINGS: &[Setting] = &[
    Setting::new(
        "dir",
        Kind::Text,
        ".",
        "The data directory. One server uses it at a time. Relative paths count from where the server was started.",
    )
    .fixed(),
    Setting::new(
        "appendfsync",
        Kind::Enum(&["everysec", "always", "no"]),
        "always",
        "When a write is on disk: always means before its reply, many writes sharing one sync; everysec may lose \
         the last second when the machine fails; no leaves it to the kernel.",
    ),
    Setting::new(
        "appendonly",
        Kind::Bool,
        "yes",
        "KVDB always keeps its log. For configurations written for Redis, no is taken as appendfsync no.",
    ),
    Setting::new(
        "save",
        Kind::Save,
        "3600 1 300 100 60 10000",
        "Kept and shown for clients that ask; KVDB writes its data as it comes and needs no schedule. Lines add \
         up; an empty value clears them.",
    ),
    Setting::accepted("dbfilename", Kind::Text, "dump.rdb", NO_DUMP).fixed(),
    Setting::accepted("rdbcompression", Kind::Bool, "yes", NO_DUMP),
    Setting::accepted("rdbchecksum", Kind::Bool, "yes", CHECKSUMS).fixed(),
    Setting::accepted("rdb-del-sync-files", Kind::Bool, "no", NO_DUMP),
    Setting::accepted("rdb-save-incremental-fsync", Kind::Bool, "yes", NO_DUMP),
    Setting::accepted(
        "sanitize-dump-payload",
        Kind::Enum(&["no", "yes", "clients"]),
        "no",
        UNUSED,
    ),
    Setting::accepted("stop-writes-on-bgsave-error", Kind::Bool, "yes", NO_DUMP),
    Setting::accepted("appendfilename", Kind::Text, "appendonly.aof", "the log's files have fixed names").fixed(),
    Setting::accepted("appenddirname", Kind::Text, "appendonlydir", "the log's files have fixed names").fixed(),
    Setting::accepted("no-appendfsync-on-rewrite", Kind::Bool, "no", NO_REWRITE),
    Setting::accepted("auto-aof-rewrite-percentage", number(0, INT_MAX), "100", NO_REWRITE),
    Setting::accepted("auto-aof-rewrite-min-size", memory(), "64mb", NO_REWRITE),
    Setting::accepted(
        "aof-load-truncated",
        Kind::Bool,
        "yes",
        "a log that was cut short in the last write is repaired, always; any other damage stops the start",
    ),
    Setting::accepted("aof-use-rdb-preamble", Kind::Bool, "yes", NO_REWRITE),
    Setting::accepted("aof-rewrite-incremental-fsync", Kind::Bool, "yes", NO_REWRITE),
    Setting::accepted("aof-timestamp-enabled", Kind::Bool, "no", "the log has a format of its own"),
    Setting::accepted("aof-disable-auto-gc", Kind::Bool, "no", NO_REWRITE),
];
