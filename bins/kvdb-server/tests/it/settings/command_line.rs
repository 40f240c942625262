//! The grammar of the command line, with the corner cases of redis-server.

use super::*;

#[track_caller]
fn check(arguments: &[&str], expected: &[(&str, &str)]) {
    let (config, _) = Process::new(arguments).serves();
    for (name, value) in expected {
        assert_eq!(text(&config, name), *value, "{name} of {arguments:?}");
    }
}

#[test]
fn options_are_names_and_values() {
    check(&[], &[("port", "6379"), ("hz", "10")]);
    check(&["--port", "7000", "--hz", "20"], &[("port", "7000"), ("hz", "20")]);
    check(&["--PORT", "7000"], &[("port", "7000")]);
    check(&["--port 7000", "--hz", "20"], &[("port", "7000"), ("hz", "20")]);
    check(&["--hz", "20", "--hz", "30"], &[("hz", "30")]);
    check(&["--bind", "127.0.0.1", "-::1"], &[("bind", "127.0.0.1 -::1")]);
    check(&["--bind", "127.0.0.1 ::1"], &[("bind", "127.0.0.1 ::1")]);
    check(
        &["--client-output-buffer-limit", "pubsub", "1mb", "0", "0"],
        &[("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 0 0")],
    );
}

#[test]
fn a_name_takes_the_next_argument_whatever_it_is() {
    check(&["--logfile", "--port", "--hz", "20"], &[("logfile", "--port"), ("hz", "20")]);
    check(&["--requirepass", "a \"b\" \\c"], &[("requirepass", "a \"b\" \\c")]);
    check(&["--logfile", "", "--hz", "20"], &[("logfile", ""), ("hz", "20")]);
}

#[test]
fn save_may_have_no_value() {
    check(&["--save"], &[("save", "")]);
    check(&["--save", "--port", "7000"], &[("save", ""), ("port", "7000")]);
    check(&["--save", "", "--port", "7000"], &[("save", ""), ("port", "7000")]);
    check(&["--save", "60", "1", "30", "2"], &[("save", "60 1 30 2")]);
    check(&["--save", "60 1", "--save", "30 2"], &[("save", "60 1 30 2")]);
}

#[test]
fn what_is_not_an_option_is_an_error() {
    let error = Process::new(&["--port"]).fails();
    assert!(error.contains("Reading the command line\n>>> 'port'\nwrong number of arguments"), "{error}");
    let error = Process::new(&["--port", "7000", "x"]).fails();
    assert!(error.contains(">>> 'port 7000 x'\nwrong number of arguments"), "{error}");
    let error = Process::new(&["-x"]).fails();
    assert!(error.contains(">>> '-x'\nBad directive or wrong number of arguments"), "{error}");
    for (option, meant) in [("--prot", "port"), ("--port=7000", "port"), ("--password", "requirepass")] {
        let error = Process::new(&[option, "1"]).fails();
        assert!(error.contains(&format!("Did you mean '{meant}'?")), "{error}");
    }
}

#[test]
fn later_sources_win() {
    let files = Files::new(&[("a.conf", "hz 11\nport 7001\ntimeout 1\ndatabases 5\n")]);
    let (config, _) = Process::new(&[&files.name("a.conf"), "--port", "7004", "-"])
        .input("hz 12\nport 7002\ntimeout 2\n")
        .variable("KVDB_HZ", "13")
        .variable("KVDB_PORT", "7003")
        .serves();
    assert_eq!(text(&config, "databases"), "5");
    assert_eq!(text(&config, "timeout"), "2");
    assert_eq!(text(&config, "hz"), "13");
    assert_eq!(text(&config, "port"), "7004");
    assert!(config.file().unwrap().is_absolute());
    let origin = |name| config.origin(name).unwrap().to_string();
    assert_eq!(origin("databases"), format!("{}:4", files.name("a.conf")));
    assert_eq!(origin("timeout"), "standard input:3");
    assert_eq!(origin("hz"), "environment: KVDB_HZ");
    assert_eq!(origin("port"), "command line");
    assert_eq!(origin("bind"), "default");
}

#[test]
fn standard_input_is_read_where_redis_reads_it() {
    let (config, _) = Process::new(&["-"]).input("hz 12").serves();
    assert_eq!(text(&config, "hz"), "12");
    let (config, _) = Process::new(&["-", "--timeout", "3"]).input("hz 12").serves();
    assert_eq!(text(&config, "hz"), "12");
    // Between options a dash is a value.
    let (config, _) = Process::new(&["--logfile", "-", "--hz", "20"]).input("hz 12").serves();
    assert_eq!((text(&config, "logfile"), text(&config, "hz")), ("-", "20"));
}

#[test]
fn version_and_help_win_when_they_come_first() {
    for arguments in [["-v"], ["--version"]] {
        let outcome = Process::new(&arguments).run();
        assert!(matches!(outcome.start, Start::Exit(0)));
        assert!(outcome.output.starts_with("KVDB server v="), "{}", outcome.output);
    }
    for arguments in [["-h"], ["--help"]] {
        let outcome = Process::new(&arguments).run();
        assert!(matches!(outcome.start, Start::Exit(0)));
        assert!(outcome.output.starts_with("Usage: kvdb-server"), "{}", outcome.output);
    }
}

#[test]
fn a_check_ends_with_0_or_78() {
    let files = Files::new(&[("good.conf", "hz 11\nappendonly no\n"), ("bad.conf", "hz x\n")]);
    let (good, bad) = (files.name("good.conf"), files.name("bad.conf"));
    for arguments in [[good.as_str(), "--check-config"], ["--check-config", &good]] {
        let outcome = Process::new(&arguments).run();
        assert!(matches!(outcome.start, Start::Exit(0)), "{}", outcome.errors);
        assert_eq!(outcome.output, "The configuration is valid.\n");
        assert!(outcome.errors.starts_with("warning: appendonly no"), "{}", outcome.errors);
    }
    for arguments in [
        vec![bad.as_str(), "--check-config"],
        vec!["--check-config", &bad],
        vec!["--check-config", "--x", "1"],
    ] {
        let outcome = Process::new(&arguments).run();
        assert!(matches!(outcome.start, Start::Exit(78)), "{arguments:?}");
        assert!(outcome.errors.contains("FATAL CONFIG FILE ERROR"), "{}", outcome.errors);
    }
}

#[test]
fn a_password_among_the_arguments_is_warned_about() {
    let (config, warnings) = Process::new(&["--requirepass", "hunter2"]).serves();
    assert_eq!(config.settings().requirepass.as_ref().unwrap().expose(), "hunter2");
    assert_eq!(about(&warnings, Concern::Security), ["requirepass"]);
    assert!(warnings[0].text.contains("KVDB_REQUIREPASS_FILE"), "{}", warnings[0]);
    assert!(!warnings[0].text.contains("hunter2"));
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_not_utf8_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let mut process = Process::new(&["--logfile"]);
    process.arguments.push(OsString::from_vec(vec![b'a', 0xff]));
    assert!(process.fails().contains("The argument is not UTF-8"));
}
