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
        "What happens above maxmemory. Data is tiered: objects that were not used lately leave memory and stay on \
         disk, nothing is deleted and no write is refused. The policies that delete keys are accepted and tier \
         as well in this version. Under those with lfu, uses are counted, and what was used seldom leaves first.",
    ),
    Setting::new(
        "lfu-log-factor",
        number(0, INT_MAX),
        "10",
        "How slowly the counter of a key's uses grows under a policy with lfu: the larger, the more uses it takes.",
    ),
    Setting::new(
        "lfu-decay-time",
        number(0, INT_MAX),
        "1",
        "Minutes in which the counter of a key's uses loses one; 0 for never.",
    ),
    Setting::accepted(
        "maxmemory-samples",
        number(1, INT_MAX),
        "5",
        "whole slots are compared, not single keys",
    ),
    Setting::accepted(
        "maxmemory-clients",
        Kind::MemoryOrPercent,
        "0",
        "each client has its own limits in this version",
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
        "After a start, load data into memory in the background as far as it fits; the server serves meanwhile.",
    )
    .fixed(),
];
