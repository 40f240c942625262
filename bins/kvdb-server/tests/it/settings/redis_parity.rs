//! Every setting of Redis 7.0 against what a Redis 7.0.15 answered.
//!
//! `redis_7_0_defaults.tsv` has the name and the default of every setting; `redis_7_0_config_set.tsv`
//! has names, values, and the outcome of CONFIG SET: `+` and the value as CONFIG GET then shows it, or
//! `-` and the reason. Settings that would have cut the recording connection are not in the second.

use super::*;
use kvdb_server::settings::table::{self, Kind};

const DEFAULTS: &str = include_str!("redis_7_0_defaults.tsv");
const CONFIG_SET: &str = include_str!("redis_7_0_config_set.tsv");

/// Settings with another default than Redis.
const OTHER_DEFAULTS: [&str; 5] = [
    // Every write is on disk before its reply, unless told otherwise.
    "appendonly",
    "appendfsync",
    // Reachable from this machine only, unless told otherwise: the value in Redis' own redis.conf.
    "bind",
    // The value in Redis' own redis.conf.
    "client-output-buffer-limit",
    // Data goes to the disk, unless a policy of Redis is chosen.
    "maxmemory-policy",
];

/// Where CONFIG SET answers differently, and why.
fn differs(name: &str, value: &str) -> bool {
    // A build without TLS must not pretend that a running server could begin to serve it.
    name.starts_with("tls-")
        // Redis 7.2 added a level.
        || name == "loglevel"
        // A policy more, the default, which also ends the list of the words.
        || name == "maxmemory-policy"
        // Checks of values that nothing here depends on.
        || ["cluster-announce-hostname", "proc-title-template", "activedefrag"].contains(&name)
        // Redis moves a small backlog up to 16 KiB.
        || (name == "repl-backlog-size" && value == "300")
        // Redis calls it protected; here nobody may change it.
        || name == "dbfilename"
        // Redis reads an empty size as 0, which hides a variable that was meant to have a value.
        || (value.is_empty() && table::find(name).is_some_and(|setting| matches!(setting.kind, Kind::Memory { .. })))
}

#[test]
fn every_setting_of_redis_is_known() {
    let config = Config::defaults();
    for line in DEFAULTS.lines() {
        let (name, default) = line.split_once('\t').unwrap();
        let held = config.text(name).unwrap_or_else(|| panic!("{name} is unknown"));
        if !OTHER_DEFAULTS.contains(&name) {
            assert_eq!(held, default, "{name}");
        }
    }
}

#[test]
fn config_set_answers_as_redis_does() {
    let mut wrong = Vec::new();
    for line in CONFIG_SET.lines() {
        let fields: Vec<&str> = line.splitn(3, '\t').collect();
        let &[name, value, expected] = fields.as_slice() else {
            panic!("not three fields: {line}");
        };
        let mut config = Config::defaults();
        let outcome = match config.stage(&[(name, value)]) {
            Ok(staged) => {
                config.commit(staged);
                format!("+{}", text(&config, name))
            }
            Err(error) => {
                let reply = error.to_string();
                let reason = reply.split_once(") - ").map_or(reply.as_str(), |(_, reason)| reason);
                format!("-{reason}")
            }
        };
        if outcome != expected && !differs(name, value) {
            wrong.push(format!("{name} {value:?}: Redis {expected}, KVDB {outcome}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
