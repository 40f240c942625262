//! Configuration files that are right: syntax, order, includes, and files written for Redis.

use super::*;
use kvdb_server::settings::table;
use proptest::prelude::*;
use proptest::sample::Index;

#[track_caller]
fn check(config: &str, expected: &[(&str, &str)]) {
    let (_files, process) = with_file(config);
    let (config, _) = process.serves();
    for (name, value) in expected {
        assert_eq!(text(&config, name), *value, "{name}");
    }
}

#[test]
fn lines_comments_and_quotes() {
    check("# hz 11\n\n \t hz\t12 \r\nPORT 7000\n# end", &[("hz", "12"), ("port", "7000")]);
    check(r#"logfile "/var/log/a b\x41.log""#, &[("logfile", "/var/log/a bA.log")]);
    check(r"logfile '/var/log/it\'s'", &[("logfile", "/var/log/it's")]);
    check("requirepass a#b", &[("requirepass", "a#b")]);
    check("requirepass \"pässwörd\"", &[("requirepass", "pässwörd")]);
    check("\u{feff}hz 12", &[("hz", "12")]);
    check("", &[("hz", "10")]);
}

#[test]
fn the_last_value_wins_and_save_adds_up() {
    check("hz 11\nhz 12", &[("hz", "12")]);
    check("slave-priority 1\nreplica-priority 2", &[("slave-priority", "2")]);
    check("save 900 1\nsave 300 10 60 5", &[("save", "900 1 300 10 60 5")]);
    check("save 900 1\nsave \"\"\nsave 60 5", &[("save", "60 5")]);
    check("save \"\"", &[("save", "")]);
    check(
        "client-output-buffer-limit normal 1 2 3\nclient-output-buffer-limit pubsub 0 0 0",
        &[("client-output-buffer-limit", "normal 1 2 3 slave 268435456 67108864 60 pubsub 0 0 0")],
    );
}

#[test]
fn includes_are_read_in_their_place() {
    let files = Files::new(&[("inner.conf", "hz 12\ntimeout 12\n")]);
    files
        .write("outer.conf", format!("hz 11\ninclude {}\ntimeout 13\n", files.name("inner.conf")).as_bytes());
    let (config, _) = Process::new(&[&files.name("outer.conf")]).serves();
    assert_eq!((text(&config, "hz"), text(&config, "timeout")), ("12", "13"));
    assert_eq!(config.origin("hz").unwrap().to_string(), format!("{}:1", files.name("inner.conf")));
    let (config, _) = Process::new(&["--include", &files.name("inner.conf")]).serves();
    assert_eq!(text(&config, "hz"), "12");
}

#[test]
fn includes_that_fail_say_where() {
    let files = Files::new(&[("bad.conf", "\nhz x\n")]);
    files.write("outer.conf", format!("include {}\n", files.name("bad.conf")).as_bytes());
    let error = Process::new(&[&files.name("outer.conf")]).fails();
    assert!(error.contains(&format!("at line 2\nIn {}\n>>> 'hz x'", files.name("bad.conf"))), "{error}");

    let missing = files.name("missing.conf");
    files.write("outer.conf", format!("include {missing}\n").as_bytes());
    let error = Process::new(&[&files.name("outer.conf")]).fails();
    assert!(error.contains(&missing) && error.contains("No such file"), "{error}");

    files.write("circle.conf", format!("include {}\n", files.name("circle.conf")).as_bytes());
    let error = Process::new(&[&files.name("circle.conf")]).fails();
    assert!(error.contains("more than 16 deep, perhaps in a circle"), "{error}");
}

#[test]
fn each_setting_without_an_effect_is_warned_about_once() {
    let (_files, process) = with_file(
        "activerehashing yes\nactiverehashing no\nslave-read-only yes\nhz 10\ndaemonize yes\nlua-replicate-commands yes\n",
    );
    let (config, warnings) = process.serves();
    assert_eq!(
        about(&warnings, Concern::Compatibility),
        ["activerehashing", "replica-read-only", "daemonize", "lua-replicate-commands"]
    );
    assert_eq!(text(&config, "activerehashing"), "no");
    assert_eq!(
        warnings[0].text,
        "activerehashing is accepted for compatibility and has no effect: KVDB does not use this value"
    );
}

#[test]
fn a_schedule_of_dumps_is_warned_about_once() {
    for (schedule, is_warned) in
        [("900 1\nsave 300 10", true), ("\"\"", true), ("3600 1 300 100 60 10000", false)]
    {
        let (_files, process) = with_file(&format!("save {schedule}\n"));
        let (_, warnings) = process.serves();
        let expected = if is_warned { &["save"][..] } else { &[] };
        assert_eq!(about(&warnings, Concern::Compatibility), expected, "{schedule}");
        assert!(
            warnings.iter().all(|warning| warning.text.starts_with("save has no effect: ")),
            "{schedule}"
        );
    }
}

#[test]
fn appendonly_no_is_appendfsync_no() {
    use kvdb_server::settings::Fsync;
    let fsync = |config: &str| {
        let (_files, process) = with_file(config);
        process.serves().0.settings().appendfsync
    };
    assert_eq!(fsync(""), Fsync::Always);
    assert_eq!(fsync("appendfsync everysec"), Fsync::EverySecond);
    assert_eq!(fsync("appendonly no"), Fsync::No);
    assert_eq!(fsync("appendonly no\nappendfsync always"), Fsync::No);
    assert_eq!(fsync("appendonly yes\nappendfsync no"), Fsync::No);
}

/// What a distribution installs starts KVDB, with warnings.
#[test]
fn a_redis_conf_is_understood() {
    let (_files, process) = with_file(
        "bind 127.0.0.1 -::1\nprotected-mode yes\nport 6379\ntcp-backlog 511\ntimeout 0\ntcp-keepalive 300\n\
         daemonize yes\npidfile /run/redis/redis-server.pid\nloglevel notice\nlogfile /var/log/redis/redis.log\n\
         databases 16\nalways-show-logo no\nset-proc-title yes\nproc-title-template \"{title} {listen-addr}\"\n\
         stop-writes-on-bgsave-error yes\nrdbcompression yes\nrdbchecksum yes\ndbfilename dump.rdb\n\
         rdb-del-sync-files no\ndir /var/lib/redis\nreplica-serve-stale-data yes\nacllog-max-len 128\n\
         lazyfree-lazy-eviction no\noom-score-adj no\noom-score-adj-values 0 200 800\nappendonly no\n\
         appendfsync everysec\nhash-max-listpack-entries 512\nclient-output-buffer-limit replica 256mb 64mb 60\n\
         jemalloc-bg-thread yes\n",
    );
    let (config, warnings) = process.serves();
    assert_eq!(text(&config, "dir"), "/var/lib/redis");
    assert_eq!(about(&warnings, Concern::Durability), ["appendonly"]);
    assert!(about(&warnings, Concern::Compatibility).contains(&"daemonize"));
}

proptest! {
    #[test]
    fn any_file_is_read_or_refused(bytes in any::<Vec<u8>>()) {
        let mut process = Process::new(&["-"]);
        process.input = bytes;
        process.run();
    }

    #[test]
    fn any_line_of_any_setting_is_read_or_refused(index in any::<Index>(), value in "[ a-z0-9\"'%.:*-]{0,20}") {
        let settings: Vec<_> = table::all().collect();
        let name = index.get(&settings).name;
        // An include would read a file of that name.
        if name != "include" {
            Process::new(&["-"]).input(&format!("{name} {value}")).run();
        }
    }
}
