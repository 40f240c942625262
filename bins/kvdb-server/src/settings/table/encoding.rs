//! Redis' thresholds between encodings, and its allocator and defragmentation settings.
//!
//! KVDB holds every size in the same structures; clients and test suites read and set these.

use super::{INT_MAX, Kind, Setting, UNUSED, memory, number};

const ENCODING: &str = "KVDB chooses its own encodings";
const NO_DEFRAG: &str = "KVDB does not defragment its memory";

pub(super) const SETTINGS: &[Setting] = &[
    Setting::accepted("hash-max-listpack-entries", number(0, i64::MAX), "512", ENCODING)
        .alias("hash-max-ziplist-entries"),
    Setting::accepted("hash-max-listpack-value", memory(), "64", ENCODING).alias("hash-max-ziplist-value"),
    Setting::accepted("list-max-listpack-size", number(i32::MIN as i64, INT_MAX), "-2", ENCODING)
        .alias("list-max-ziplist-size"),
    Setting::accepted("list-compress-depth", number(0, INT_MAX), "0", ENCODING),
    Setting::accepted("set-max-intset-entries", number(0, i64::MAX), "512", ENCODING),
    Setting::accepted("set-max-listpack-entries", number(0, i64::MAX), "128", ENCODING),
    Setting::accepted("set-max-listpack-value", memory(), "64", ENCODING),
    Setting::accepted("zset-max-listpack-entries", number(0, i64::MAX), "128", ENCODING)
        .alias("zset-max-ziplist-entries"),
    Setting::accepted("zset-max-listpack-value", memory(), "64", ENCODING).alias("zset-max-ziplist-value"),
    Setting::accepted("hll-sparse-max-bytes", memory(), "3000", ENCODING),
    Setting::accepted("stream-node-max-bytes", memory(), "4096", ENCODING),
    Setting::accepted("stream-node-max-entries", number(0, i64::MAX), "100", ENCODING),
    Setting::accepted("activerehashing", Kind::Bool, "yes", UNUSED),
    Setting::accepted("activedefrag", Kind::Bool, "no", NO_DEFRAG),
    Setting::accepted(
        "active-defrag-ignore-bytes",
        Kind::Memory { min: 1, max: i64::MAX as u64 },
        "100mb",
        NO_DEFRAG,
    ),
    Setting::accepted("active-defrag-threshold-lower", number(0, 1000), "10", NO_DEFRAG),
    Setting::accepted("active-defrag-threshold-upper", number(0, 1000), "100", NO_DEFRAG),
    Setting::accepted("active-defrag-cycle-min", number(1, 99), "1", NO_DEFRAG),
    Setting::accepted("active-defrag-cycle-max", number(1, 99), "25", NO_DEFRAG),
    Setting::accepted("active-defrag-max-scan-fields", number(1, i64::MAX), "1000", NO_DEFRAG),
    Setting::accepted("jemalloc-bg-thread", Kind::Bool, "yes", "KVDB uses another allocator"),
    Setting::accepted("list-max-ziplist-entries", Kind::Directive, "", "Redis dropped it long ago"),
    Setting::accepted("list-max-ziplist-value", Kind::Directive, "", "Redis dropped it long ago"),
    Setting::accepted("lua-replicate-commands", Kind::Directive, "", "Redis dropped it long ago"),
];
