//! How much memory, and what to do when it is used up.

use super::{INT_MAX, Kind, Setting, memory, number};

pub(super) const SETTINGS: &[Setting] = &[
    Setting::new(
        "maxmemory",
        memory(),
        "0",
        "The memory that data may take, with units as in 512mb or 4gb; 0 sets no limit.",
    ),
    Setting::new(
        "maxmemory-policy",
        Kind::Enum(&[
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "noeviction",
        ]),
        "noeviction",
        "What happens above maxmemory. With noeviction, data is tiered: objects that were not used lately leave \
         memory and stay on disk, nothing is deleted and no write is refused. The other policies delete keys, \
         as in Redis: any key (allkeys-) or those that expire (volatile-), by least recent use, least frequent \
         use, at random, or by nearest expiry.",
    ),
    Setting::new(
        "maxmemory-samples",
        number(1, INT_MAX),
        "5",
        "Keys to compare when one must be chosen; more is closer to the exact order, and slower.",
    ),
    Setting::new(
        "maxmemory-clients",
        Kind::MemoryOrPercent,
        "0",
        "The memory that all client buffers together may take, as a size or as a percentage of maxmemory such \
         as 5%; above it the largest clients are closed. 0 sets no limit.",
    ),
    Setting::new(
        "client-query-buffer-limit",
        Kind::Memory { min: 1 << 20, max: i64::MAX as u64 },
        "1gb",
        "The input a client may send before a command is complete.",
    ),
    Setting::new(
        "client-output-buffer-limit",
        Kind::ClientLimits,
        "normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60",
        "For each class of clients (normal, replica, pubsub): the unsent reply above which a client is closed \
         at once, the one above which it is closed after a while, and that while in seconds. 0 sets no limit. \
         A class that is not named keeps its limits.",
    ),
    Setting::new(
        "proto-max-bulk-len",
        Kind::Memory { min: 1 << 20, max: i64::MAX as u64 },
        "512mb",
        "The longest string a client may send, and the longest value a string may reach.",
    ),
    Setting::new(
        "warm-up",
        Kind::Bool,
        "yes",
        "After a start, load the most useful data into memory in the background; the server serves meanwhile.",
    )
    .fixed(),
];
