//! The storage engine under the keyspace.

use super::{Kind, Setting, number};

/// The largest size that any part of the engine may be given.
const LARGEST: u64 = 1 << 44;

pub(super) const SETTINGS: &[Setting] = &[
    Setting::new(
        "storage-write-buffer",
        Kind::Memory { min: 0, max: LARGEST },
        "0",
        "Memory for writes that are in the log but not yet in a table on disk; 0 chooses by the memory of the \
         machine, or by maxmemory where that is less.",
    )
    .fixed(),
    Setting::new(
        "storage-wal-limit",
        Kind::Memory { min: 0, max: LARGEST },
        "0",
        "The size of the log at which memory is flushed even if the write buffer has room, which bounds the time \
         of a recovery; 0 chooses by the write buffer.",
    )
    .fixed(),
    Setting::new(
        "storage-block-cache",
        Kind::Memory { min: 0, max: LARGEST },
        "0",
        "Memory for blocks read from disk; 0 chooses by the memory of the machine, or by maxmemory where that is \
         less.",
    )
    .fixed(),
    Setting::new(
        "storage-compression",
        Kind::Enum(&["lz4", "none"]),
        "lz4",
        "How new blocks on disk are compressed. Blocks that exist are read either way.",
    )
    .fixed(),
    Setting::new(
        "storage-blob-threshold",
        Kind::Memory { min: 0, max: LARGEST },
        "4kb",
        "Values of at least this size lie in files of their own, so that merging tables does not copy them; 0 for \
         none.",
    )
    .fixed(),
    Setting::new(
        "storage-blob-garbage-percent",
        number(1, 100),
        "50",
        "A file of large values is rewritten when this share of it is garbage: less takes less disk and writes \
         more.",
    )
    .fixed(),
    Setting::new(
        "storage-io-threads",
        number(0, 1024),
        "0",
        "Threads that read from disk for clients; 0 is four.",
    )
    .fixed(),
    Setting::new(
        "storage-scrub-days",
        number(0, 3650),
        "7",
        "In so many days, all files of tables and large values are read once, to find out what the disk has damaged; 0 \
         reads none.",
    ),
];
