//! Redis' thresholds between encodings, and its allocator and defragmentation settings.
//!
//! Small collections are kept in one piece of memory, as in Redis; these say where small ends.

use super::{INT_MAX, Kind, Setting, UNUSED, memory, number};

const ENCODING: &str = "KVDB chooses its own encodings";
const NO_DEFRAG: &str = "KVDB does not defragment its memory";

pub(super) const SETTINGS: &[Setting] = &[
    Setting::new(
        "hash-max-listpack-entries",
        number(0, i64::MAX),
        "512",
        "The most fields of a hash that is kept in one piece of memory, to be searched from end to end.",
    )
    .alias("hash-max-ziplist-entries"),
    Setting::new("hash-max-listpack-value", memory(), "64", "The longest field or value of such a hash.")
        .alias("hash-max-ziplist-value"),
    Setting::new(
        "list-max-listpack-size",
        number(i32::MIN as i64, INT_MAX),
        "-2",
        "The size of the pieces of a list: elements, or -1 to -5 for 4 to 64 KiB.",
    )
    .alias("list-max-ziplist-size"),
    Setting::accepted("list-compress-depth", number(0, INT_MAX), "0", ENCODING),
    Setting::new(
        "set-max-intset-entries",
        number(0, i64::MAX),
        "512",
        "The most members of a set of integers that is kept as a sorted array.",
    ),
    Setting::new(
        "set-max-listpack-entries",
        number(0, i64::MAX),
        "128",
        "The most members of another set that is kept in one piece of memory.",
    ),
    Setting::new("set-max-listpack-value", memory(), "64", "The longest member of such a set."),
    Setting::new(
        "zset-max-listpack-entries",
        number(0, i64::MAX),
        "128",
        "The most members of a sorted set that is kept in one piece of memory.",
    )
    .alias("zset-max-ziplist-entries"),
    Setting::new("zset-max-listpack-value", memory(), "64", "The longest member of such a sorted set.")
        .alias("zset-max-ziplist-value"),
    Setting::new("hll-sparse-max-bytes", memory(), "3000", "The longest HyperLogLog in the sparse form."),
    Setting::new(
        "stream-node-max-bytes",
        memory(),
        "4096",
        "The bytes at which a piece of a stream is full; 0 for no limit.",
    ),
    Setting::new(
        "stream-node-max-entries",
        number(0, i64::MAX),
        "100",
        "The most entries of a piece of a stream; 0 for no limit.",
    ),
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
