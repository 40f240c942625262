//! CONFIG GET and CONFIG SET on a running configuration.

use std::sync::Arc;

use super::*;
use kvdb_server::settings::{SetError, command_line};

/// The error reply of CONFIG SET, which must have changed nothing.
#[track_caller]
fn error(config: &Config, pairs: &[(&str, &str)]) -> String {
    config.stage(pairs).expect_err("the change is refused").to_string()
}

#[track_caller]
fn set(config: &mut Config, pairs: &[(&str, &str)]) -> Vec<&'static str> {
    let staged = config.stage(pairs).unwrap_or_else(|error| panic!("{pairs:?}: {error}"));
    let changed = staged.changed().to_vec();
    config.commit(staged);
    changed
}

fn get(config: &Config, patterns: &[&str]) -> Vec<(String, String)> {
    config.get(patterns).into_iter().map(|(name, text)| (name, text.to_owned())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn get_takes_patterns_and_names() {
    let config = Config::defaults();
    assert_eq!(get(&config, &["hz"]), pairs(&[("hz", "10")]));
    assert_eq!(get(&config, &["HZ"]), pairs(&[("HZ", "10")]));
    assert_eq!(get(&config, &["h?", "hz", "HZ"]), pairs(&[("hz", "10")]));
    assert_eq!(get(&config, &["nosuch"]), pairs(&[]));
    assert_eq!(get(&config, &["include", "user"]), pairs(&[]));
    assert_eq!(get(&config, &["slave-priority"]), pairs(&[("slave-priority", "100")]));
    assert_eq!(
        get(&config, &["*a-priority", "slave-priority"]),
        pairs(&[("replica-priority", "100"), ("slave-priority", "100")])
    );
    assert_eq!(get(&config, &["maxmemory*", "maxmemory"])[0], ("maxmemory".to_owned(), "0".to_owned()));
    let all = get(&config, &["*"]);
    let names: std::collections::HashSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), all.len());
    assert!(
        names.contains("slave-priority") && names.contains("replica-priority") && !names.contains("include")
    );
}

#[test]
fn get_shows_what_tools_ask_for() {
    let config = Config::defaults();
    for (name, value) in [
        ("save", "3600 1 300 100 60 10000"),
        ("appendonly", "yes"),
        ("databases", "16"),
        ("maxclients", "10000"),
        ("slowlog-max-len", "128"),
        ("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
        ("proto-max-bulk-len", "536870912"),
        ("requirepass", ""),
        ("slaveof", ""),
    ] {
        assert_eq!(get(&config, &[name]), pairs(&[(name, value)]));
    }
}

#[test]
fn set_changes_all_pairs_or_none() {
    let mut config = Config::defaults();
    let before = Arc::clone(config.settings());
    let refused = error(&config, &[("hz", "20"), ("maxmemory", "x")]);
    assert_eq!(
        refused,
        "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"
    );
    assert!(Arc::ptr_eq(&before, config.settings()));
    assert_eq!(text(&config, "hz"), "10");

    let changed = set(&mut config, &[("HZ", "20"), ("maxmemory", "1gb"), ("timeout", "0")]);
    assert_eq!(changed, ["hz", "maxmemory"]);
    assert_eq!((config.settings().hz, config.settings().maxmemory), (20, Some(1 << 30)));
    assert_eq!(text(&config, "maxmemory"), "1073741824");
    assert_eq!(config.origin("hz").unwrap().to_string(), "CONFIG SET");
    assert_eq!((before.hz, before.maxmemory), (10, None));
}

#[test]
fn names_are_judged_in_order_and_before_values() {
    let config = Config::defaults();
    let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'";
    let immutable =
        "ERR CONFIG SET failed (possibly related to argument 'daemonize') - can't set immutable config";
    assert_eq!(error(&config, &[("nosuch", "1")]), unknown);
    assert_eq!(error(&config, &[("hz", "20"), ("nosuch", "5")]), unknown);
    assert_eq!(error(&config, &[("nosuch", "1"), ("daemonize", "yes")]), unknown);
    assert_eq!(error(&config, &[("daemonize", "yes"), ("nosuch", "1")]), immutable);
    assert_eq!(error(&config, &[("hz", "x"), ("daemonize", "yes")]), immutable);
    let twice = "ERR CONFIG SET failed (possibly related to argument 'HZ') - duplicate parameter";
    assert_eq!(error(&config, &[("hz", "10"), ("HZ", "20")]), twice);
    assert_eq!(
        error(&config, &[("include", "x")]),
        "ERR Unknown option or number of arguments for CONFIG SET - 'include'"
    );
    assert_eq!(
        error(&config, &[("a\r\nb", "x")]),
        "ERR Unknown option or number of arguments for CONFIG SET - 'a  b'"
    );
}

#[test]
fn an_alias_and_its_name_are_two_names_as_in_redis() {
    let mut config = Config::defaults();
    set(&mut config, &[("slave-priority", "5"), ("replica-priority", "6")]);
    assert_eq!(text(&config, "slave-priority"), "6");
}

#[test]
fn lists_are_one_value() {
    let mut config = Config::defaults();
    set(&mut config, &[("save", "900 1 300 10")]);
    set(&mut config, &[("save", "60 5")]);
    assert_eq!(text(&config, "save"), "60 5");
    set(&mut config, &[("save", "")]);
    assert_eq!(text(&config, "save"), "");
    set(&mut config, &[("client-output-buffer-limit", "replica 1mb 2mb 3")]);
    assert_eq!(
        text(&config, "client-output-buffer-limit"),
        "normal 0 0 0 slave 1048576 2097152 3 pubsub 33554432 8388608 60"
    );
    set(&mut config, &[("latency-tracking-info-percentiles", "50 99.95")]);
    assert_eq!(config.settings().latency_tracking_info_percentiles, [50.0, 99.95]);
    set(&mut config, &[("latency-tracking-info-percentiles", "")]);
    assert_eq!(text(&config, "latency-tracking-info-percentiles"), "");
}

#[test]
fn what_a_change_means_is_told_once() {
    let mut config = Config::defaults();
    let staged = config.stage(&[("appendonly", "no"), ("list-compress-depth", "1")]).unwrap();
    assert_eq!(about(staged.warnings(), Concern::Durability), ["appendonly"]);
    assert_eq!(about(staged.warnings(), Concern::Compatibility), ["list-compress-depth"]);
    config.commit(staged);
    let staged = config.stage(&[("hz", "20"), ("list-compress-depth", "1")]).unwrap();
    assert_eq!(staged.warnings(), []);
}

#[test]
fn the_server_can_refuse_what_was_staged() {
    let error = SetError::failed("maxclients", "the limit on open files does not allow it");
    assert_eq!(
        error.to_string(),
        "ERR CONFIG SET failed (possibly related to argument 'maxclients') - the limit on open files does not allow it"
    );
}

#[test]
fn the_password_is_shown_to_clients_and_to_nobody_else() {
    let mut config = Config::defaults();
    set(&mut config, &[("requirepass", "hunter2")]);
    assert_eq!(get(&config, &["requirepass"]), pairs(&[("requirepass", "hunter2")]));
    assert!(!format!("{:?}", config.settings()).contains("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    let staged = config.stage(&[("requirepass", "hunter3")]).unwrap();
    assert!(!format!("{staged:?}").contains("hunter"));
    let line = command_line::parse(["--requirepass".into(), "hunter2".into()]).unwrap();
    assert!(!format!("{line:?}").contains("hunter2"));
    set(&mut config, &[("requirepass", "")]);
    assert_eq!(config.settings().requirepass, None);
}
