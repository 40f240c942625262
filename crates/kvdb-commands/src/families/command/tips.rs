//! Tips: what COMMAND INFO tells proxies and clients of clusters about how to spread a command and join its replies.
//!
//! The texts and the commands that have them are those of Redis 7.0; no tip follows from a row of the table.

/// The tips of a command, by its name with its container's: `get`, `slowlog|get`.
pub(super) fn tips(name: &str) -> &'static [&'static str] {
    match name {
        "client|info"
        | "client|list"
        | "cluster|bumpepoch"
        | "cluster|count-failure-reports"
        | "cluster|getkeysinslot"
        | "cluster|info"
        | "cluster|links"
        | "cluster|nodes"
        | "cluster|replicas"
        | "cluster|shards"
        | "cluster|slaves"
        | "cluster|slots"
        | "dump"
        | "hrandfield"
        | "hscan"
        | "lastsave"
        | "migrate"
        | "object|encoding"
        | "object|freq"
        | "object|idletime"
        | "object|refcount"
        | "pttl"
        | "spop"
        | "srandmember"
        | "sscan"
        | "time"
        | "ttl"
        | "xadd"
        | "xautoclaim"
        | "xclaim"
        | "xinfo|consumers"
        | "xpending"
        | "xtrim"
        | "zrandmember"
        | "zscan" => &["nondeterministic_output"],
        "command" | "command|docs" | "command|info" | "command|list" | "hgetall" | "hkeys" | "hvals"
        | "function|list" | "module|list" | "sdiff" | "sinter" | "smembers" | "sunion" => {
            &["nondeterministic_output_order"]
        }
        "config|set" | "latency|reset" | "script|flush" | "script|load" | "slowlog|reset" => {
            &["request_policy:all_nodes", "response_policy:all_succeeded"]
        }
        "dbsize" => &["request_policy:all_shards", "response_policy:agg_sum"],
        "del" | "exists" | "touch" | "unlink" => &["request_policy:multi_shard", "response_policy:agg_sum"],
        "flushall" | "flushdb" | "function|delete" | "function|flush" | "function|load"
        | "function|restore" | "memory|purge" | "ping" => {
            &["request_policy:all_shards", "response_policy:all_succeeded"]
        }
        "function|kill" | "script|kill" => &["request_policy:all_shards", "response_policy:one_succeeded"],
        "script|exists" => &["request_policy:all_shards", "response_policy:agg_logical_and"],
        "function|stats" | "info" | "memory|doctor" | "memory|malloc-stats" | "memory|stats" => {
            &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]
        }
        "keys" => &["request_policy:all_shards", "nondeterministic_output_order"],
        "latency|doctor" | "latency|graph" | "latency|histogram" | "latency|history" | "latency|latest" => {
            &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]
        }
        "mget" => &["request_policy:multi_shard"],
        "mset" => &["request_policy:multi_shard", "response_policy:all_succeeded"],
        "msetnx" => &["request_policy:multi_shard", "response_policy:agg_min"],
        "randomkey" => &["request_policy:all_shards", "nondeterministic_output"],
        "wait" | "waitaof" => &["request_policy:all_shards", "response_policy:agg_min"],
        "scan" => &["nondeterministic_output", "request_policy:special"],
        "slowlog|get" => &["request_policy:all_nodes", "nondeterministic_output"],
        "slowlog|len" => &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::*;

    #[test]
    fn every_name_is_a_command() {
        let with_tips = all()
            .flat_map(|command| std::iter::once(command).chain(command.subcommands()))
            .filter(|command| !tips(&command.full_name()).is_empty())
            .count();
        assert_eq!(with_tips, 89, "a command was renamed, or one with tips was added");
    }
}
