//! Settings from the environment.

use super::*;

#[test]
fn names_are_those_of_the_settings() {
    let (config, warnings) = Process::new(&[])
        .variable("KVDB_MAXMEMORY", "1gb")
        .variable("KVDB_BIND", "127.0.0.1 -::1")
        .variable("KVDB_SAVE", "")
        .variable("KVDB_SLAVE_PRIORITY", "7")
        .variable("KVDB_SERVER_CPULIST", "0-3")
        .variable("PATH", "/bin")
        .serves();
    assert_eq!(config.settings().maxmemory, Some(1 << 30));
    assert_eq!(text(&config, "save"), "");
    assert_eq!(text(&config, "replica-priority"), "7");
    assert_eq!(text(&config, "server_cpulist"), "0-3");
    assert_eq!(about(&warnings, Concern::NoEffect), Vec::<&str>::new());
}

#[test]
fn a_wrong_value_names_its_variable() {
    let error = Process::new(&[]).variable("KVDB_PORT", "99999").fails();
    assert!(
        error.contains("Reading the environment variable KVDB_PORT\n>>> 'port 99999'\nargument must be between 0 and 65535 inclusive"),
        "{error}"
    );
}

#[test]
fn unknown_names_are_warned_about() {
    let (_, warnings) = Process::new(&[])
        .variable("KVDB_REQUIREPAS", "hunter2")
        .variable("KVDB_SOMETHING_ELSE_ENTIRELY", "1")
        .variable("KVDB_MAXMEMORY_FILE", "/x")
        .variable("KVDB_INCLUDE", "/x")
        .serves();
    let texts: Vec<&str> = warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert!(
        texts.contains(&"KVDB_REQUIREPAS names no setting and is left alone; did you mean KVDB_REQUIREPASS?"),
        "{texts:?}"
    );
    assert!(texts.contains(&"KVDB_SOMETHING_ELSE_ENTIRELY names no setting and is left alone"), "{texts:?}");
    assert_eq!(texts.len(), 4);
    assert!(!texts.concat().contains("hunter2"));
}

#[test]
fn what_kubernetes_puts_there_is_left_alone() {
    let (config, warnings) = Process::new(&[])
        .variable("KVDB_PORT", "tcp://10.0.0.1:6379")
        .variable("KVDB_SERVICE_HOST", "10.0.0.1")
        .variable("KVDB_PORT_6379_TCP_ADDR", "10.0.0.1")
        .serves();
    assert_eq!(config.settings().port, 6379);
    assert_eq!(about(&warnings, Concern::NoEffect), ["KVDB_PORT"]);
}

#[test]
fn a_secret_can_be_in_a_file() {
    let files =
        Files::new(&[("plain", "hunter2"), ("line", "hunter2\r\n"), ("spaces", " a b \n"), ("empty", "\n")]);
    for (name, secret) in [("plain", "hunter2"), ("line", "hunter2"), ("spaces", " a b ")] {
        let (config, warnings) =
            Process::new(&[]).variable("KVDB_REQUIREPASS_FILE", &files.name(name)).serves();
        assert_eq!(config.settings().requirepass.as_ref().unwrap().expose(), secret);
        assert!(warnings.is_empty());
    }
    let error = Process::new(&[]).variable("KVDB_REQUIREPASS_FILE", &files.name("empty")).fails();
    assert!(error.contains("is empty"), "{error}");
    let missing = files.name("missing");
    let error = Process::new(&[]).variable("KVDB_REQUIREPASS_FILE", &missing).fails();
    assert!(
        error.contains("KVDB_REQUIREPASS_FILE") && error.contains(&missing) && error.contains("No such file"),
        "{error}"
    );
    files.write("large", &vec![b'a'; 70_000]);
    let error = Process::new(&[]).variable("KVDB_REQUIREPASS_FILE", &files.name("large")).fails();
    assert!(error.contains("too large"), "{error}");
    files.write("binary", &[0xff, 0xfe]);
    let error = Process::new(&[]).variable("KVDB_REQUIREPASS_FILE", &files.name("binary")).fails();
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn a_setting_given_twice_is_an_error() {
    let files = Files::new(&[("secret", "hunter2")]);
    let error = Process::new(&[])
        .variable("KVDB_REQUIREPASS", "hunter2")
        .variable("KVDB_REQUIREPASS_FILE", &files.name("secret"))
        .fails();
    assert!(error.contains("KVDB_REQUIREPASS already gives this setting"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_utf8_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let mut process = Process::new(&[]);
    process.variables.push(("KVDB_LOGFILE".into(), OsString::from_vec(vec![0xff])));
    assert!(process.fails().contains("KVDB_LOGFILE\nThe value is not UTF-8"));
}
