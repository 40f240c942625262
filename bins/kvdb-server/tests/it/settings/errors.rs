//! Every way in which a configuration can be wrong, and what the operator is told.

use super::*;

/// The last lines of the error for a file with this text.
#[track_caller]
fn check(config: &str, expected: &str) {
    let (_files, process) = with_file(config);
    let error = process.fails();
    assert!(error.ends_with(&format!("{expected}\n")), "{config:?} gave {error}");
}

#[test]
fn the_text_is_that_of_redis() {
    let (files, process) = with_file("hz 10\n\n  prot 7000  \n");
    let expected = format!(
        "\n*** FATAL CONFIG FILE ERROR (KVDB {}) ***\n\
         Reading the configuration file, at line 3\n\
         In {}\n\
         >>> 'prot 7000'\n\
         Bad directive or wrong number of arguments\n\
         Did you mean 'port'?\n",
        env!("CARGO_PKG_VERSION"),
        files.name("kvdb.conf")
    );
    assert_eq!(process.fails(), expected);
}

#[test]
fn names_and_word_counts() {
    check("nonsense-beyond-repair 1", "Bad directive or wrong number of arguments");
    check("maxmemroy 1gb", "Did you mean 'maxmemory'?");
    check("port", "wrong number of arguments");
    check("hz 10 20", "wrong number of arguments");
    check("loglevel notice warning", "wrong number of arguments");
    check("include", "wrong number of arguments");
    check("include a b", "wrong number of arguments");
}

#[test]
fn values_of_the_wrong_type() {
    check("port abc", "argument couldn't be parsed into an integer");
    check("protected-mode maybe", "argument must be 'yes' or 'no'");
    check("maxmemory foo", "argument must be a memory value");
    check("maxmemory -1", "argument must be a memory value");
    check("maxmemory 1GiB", "argument must be a memory value");
    check("maxmemory 1.5gb", "argument must be a memory value");
    check("unixsocketperm 999", "argument couldn't be parsed as an octal number");
    check("appendfsync sometimes", "argument(s) must be one of the following: everysec, always, no");
    check("notify-keyspace-events KEQ", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    check("save 1", "Invalid save parameters");
    check(
        "client-output-buffer-limit pubsub 1 2",
        "Wrong number of arguments in buffer limit configuration.",
    );
    check("compat-redis-version latest", "at most 255, such as 7.2.4");
    check("bind 127.0.0.1,::1", "give addresses separated by spaces, without ports");
}

#[test]
fn values_out_of_range() {
    check("port 65536", "argument must be between 0 and 65535 inclusive");
    check("port -1", "argument must be between 0 and 65535 inclusive");
    check("databases 0", "argument must be between 1 and 16384 inclusive");
    check("maxclients 0", "argument must be between 1 and 4294967295 inclusive");
    check("active-expire-effort 11", "argument must be between 1 and 10 inclusive");
    check("timeout 99999999999999", "argument must be between 0 and 2147483647 inclusive");
    check("proto-max-bulk-len 1kb", "argument must be between 1048576 and 9223372036854775807 inclusive");
    check("maxmemory 99999999999999999999", "argument must be between 0 and 18446744073709551615 inclusive");
    check("maxmemory 17179869184gb", "argument must be between 0 and 18446744073709551615 inclusive");
    check("maxmemory-clients 200%", "percentage argument must be less or equal to 100");
}

#[test]
fn quotes_that_do_not_balance() {
    check("logfile \"a", ">>> 'logfile \"a'\nUnbalanced quotes in configuration line");
    check("logfile \"a\"b", "Unbalanced quotes in configuration line");
    check(r#"logfile "\xff""#, "The escapes in the line spell bytes that are not UTF-8");
}

#[test]
fn secrets_are_not_in_the_error() {
    for config in [
        "requirepass \"hunter2",
        "requirepass a hunter2",
        "requirepas hunter2",
        "user \"x on >hunter2",
        "tls-key-file-pass hunter2 x",
    ] {
        let (_files, process) = with_file(config);
        let error = process.fails();
        assert!(error.contains("<redacted>") && !error.contains("hunter2"), "{error}");
    }
    let error = Process::new(&["--requirepas", "hunter2"]).fails();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn files_that_cannot_be_read() {
    let files = Files::new(&[]);
    let missing = files.name("missing.conf");
    let error = Process::new(&[&missing]).fails();
    assert!(
        error.starts_with(&format!("Fatal error, can't open config file '{missing}': No such file")),
        "{error}"
    );
    let error = Process::new(&[files.0.path().to_str().unwrap()]).fails();
    assert!(error.starts_with("Fatal error, can't open config file"), "{error}");

    files.write("binary.conf", b"hz 10\nlogfile \xff\xfe\n");
    let error = Process::new(&[&files.name("binary.conf")]).fails();
    assert!(error.contains("at line 2\n") && error.ends_with("The line is not UTF-8\n"), "{error}");
    let mut process = Process::new(&["-"]);
    process.input = b"\xff".to_vec();
    let error = process.fails();
    assert!(error.contains("at line 1\nIn standard input\nThe line is not UTF-8"), "{error}");

    files.write("huge.conf", &vec![b'#'; 5 << 20]);
    let error = Process::new(&[&files.name("huge.conf")]).fails();
    assert!(error.contains("too large for a configuration"), "{error}");
}

#[test]
fn what_cannot_be_ignored_stops_the_start() {
    check(
        "rename-command FLUSHALL \"\"",
        "KVDB does not start with this: commands cannot be renamed or removed",
    );
    check("loadmodule /x.so", "KVDB does not start with this: KVDB has no modules");
    check("replicaof 10.0.0.1 6379", "KVDB cannot be a replica of a Redis server");
    check("slaveof 10.0.0.1 6379", "KVDB cannot be a replica of a Redis server");
    check("replicaof 10.0.0.1 x", "Invalid master port");
    let (_files, process) = with_file("aclfile \"\"\nreplicaof no one\n");
    process.serves();
}

#[test]
fn settings_that_contradict_each_other() {
    let nowhere = "There is nothing to listen on: port is 0 or bind is empty, and unixsocket is not set";
    check("port 0", nowhere);
    check("bind \"\"", nowhere);
    let (_files, process) = with_file("port 0\nunixsocket /tmp/kvdb.sock\n");
    process.serves();
}

#[test]
fn settings_that_are_not_what_was_meant() {
    let warned = |config: &str, concern| {
        let (_files, process) = with_file(config);
        let (_, warnings) = process.serves();
        about(&warnings, concern).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let nothing: [&str; 0] = [];
    let open = "bind 0.0.0.0\nprotected-mode no\n";
    assert_eq!(warned(open, Concern::Security), ["protected-mode"]);
    assert_eq!(warned("bind *\nprotected-mode no", Concern::Security), ["protected-mode"]);
    assert_eq!(warned(&format!("{open}requirepass x"), Concern::Security), nothing);
    assert_eq!(warned("bind 0.0.0.0", Concern::Security), nothing);
    assert_eq!(warned("bind 127.0.0.1 ::1 localhost\nprotected-mode no", Concern::Security), nothing);
    assert_eq!(warned("port 0\nunixsocket /x\nbind *\nprotected-mode no", Concern::Security), nothing);
    assert_eq!(warned("tls-port 6380", Concern::Security), ["tls-port"]);
    assert_eq!(warned("appendonly no", Concern::Durability), ["appendonly"]);
    assert_eq!(warned("maxmemory-policy allkeys-lru", Concern::NoEffect), ["maxmemory-policy"]);
    assert_eq!(warned("maxmemory 1gb\nmaxmemory-policy allkeys-lru", Concern::NoEffect), nothing);
}
