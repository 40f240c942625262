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
            "tiered",
        ]),
        "tiered",
        "What happens above maxmemory. With tiered, objects that were not used lately leave memory and stay on disk: \
         nothing is deleted and no write is refused. The others are those of Redis and make a cache: keys are deleted \
         before a command that would make memory grow, of all keys or of those that expire (volatile), and where none \
         is left to delete, or with noeviction, the command is refused.",
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
    Setting::new(
        "maxmemory-samples",
        number(1, INT_MAX),
        "5",
        "Keys that are drawn for each one that is deleted above maxmemory; more come closer to the exact order, and cost \
         more.",
    ),
    Setting::new(
        "maxmemory-clients",
        Kind::MemoryOrPercent,
        "0",
        "The memory that all clients together may take, in bytes or as a percentage of maxmemory as in 5%; above it the \
         largest are closed, except those that said CLIENT NO-EVICT ON. 0 sets no limit.",
    ),
    Setting::new(
        "client-query-buffer-limit",
        Kind::Memory { min: 1 << 20, max: i64::MAX as u64 },
        "1gb",
        "The input a client may send before a command is complete, and what it may queue in a transaction.",
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
        "tracking-table-max-keys",
        number(0, i64::MAX),
        "1000000",
        "The most keys that are remembered for clients that are told when what they have read changes (CLIENT TRACKING). \
         Above it keys are forgotten, and the clients told as if they had changed. 0 sets no limit.",
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
