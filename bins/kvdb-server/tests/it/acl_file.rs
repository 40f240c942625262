//! Users in files: the `aclfile` and the `user` lines of the configuration.

use std::fs;

use kvdb_resp::Value;

use crate::harness::{Setup, bulk, error, nil, ok};

/// A setup with an `aclfile` of this text.
fn with_users(text: &str) -> (Setup, std::path::PathBuf) {
    let setup = Setup::new();
    let path = setup.home().join("users.acl");
    fs::write(&path, text).expect("the directory of the test can be written to");
    let setup = setup.with("aclfile", path.to_str().expect("a test's path is text"));
    (setup, path)
}

#[test]
fn users_are_loaded_changed_saved_and_loaded_again() {
    let (setup, path) = with_users("user alice on >pw ~a* +@all\nuser bert on >pw +ping\n");
    let server = setup.start();
    let (mut operator, mut alice, mut bert) = (server.client(), server.client(), server.client());
    assert_eq!(alice.run("AUTH alice pw"), ok());
    assert_eq!(bert.run("AUTH bert pw"), ok());
    assert_eq!(operator.run("ACL SETUSER clara on nopass ~c"), ok());
    assert_eq!(operator.run("ACL SAVE"), ok());
    let saved = fs::read_to_string(&path).expect("the file is there");
    assert!(saved.contains("user clara on nopass sanitize-payload ~c resetchannels -@all\n"), "{saved}");
    assert!(!saved.contains("pw"), "only hashes are written");
    let server = server.restart();
    let mut operator = server.client();
    assert_eq!(
        operator.run("ACL USERS"),
        Value::Array(["alice", "bert", "clara", "default"].map(bulk).into())
    );
    let (mut alice, mut bert) = (server.client(), server.client());
    assert_eq!(alice.run("AUTH alice pw"), ok());
    assert_eq!(bert.run("AUTH bert pw"), ok());
    fs::write(&path, saved.lines().filter(|line| !line.contains("bert")).collect::<Vec<_>>().join("\n"))
        .expect("the file can be written to");
    assert_eq!(operator.run("ACL LOAD"), ok());
    assert_eq!(bert.rest(), "", "who is in the file no more is closed");
    assert_eq!(alice.run("GET a"), nil(), "who is as before stays");
    assert_eq!(operator.run("ACL GETUSER bert"), nil());
}

#[test]
fn a_file_that_is_wrong_changes_nothing() {
    let (setup, path) = with_users("user alice on\n");
    let server = setup.start();
    let mut client = server.client();
    fs::write(&path, "user alice +nothing\nuser bert on\n").expect("the file can be written to");
    let shown = path.display();
    let reply = error(&format!(
        "ERR {shown}:1: Unknown command or category name in ACL. WARNING: ACL errors detected, no change to the \
         previously active ACL rules was performed"
    ));
    assert_eq!(client.run("ACL LOAD"), reply);
    assert_eq!(client.run("ACL USERS"), Value::Array(["alice", "default"].map(bulk).into()));
    fs::remove_file(&path).expect("the file is there");
    assert!(
        matches!(client.run("ACL LOAD"), Value::Error(text) if text.starts_with(b"ERR Error loading ACLs"))
    );
    assert_eq!(client.run("ACL SAVE"), ok(), "a file that is not there is made");
    assert!(path.exists());
}

#[test]
fn a_server_does_not_start_with_users_that_it_does_not_understand() {
    let (setup, _) = with_users("user alice +nothing\n");
    let failed = setup.fail();
    assert!(!failed.status.success());
    assert!(failed.log.contains("Unknown command or category name in ACL"), "{}", failed.log);
}

#[test]
fn users_of_the_configuration_are_there_and_without_a_file_nothing_is_saved() {
    let home = Setup::new();
    let file = home.home().join("kvdb.conf");
    fs::write(
        &file,
        "user alice on >pw ~a* +@read (+set ~b)\nuser default on nopass ~* &* +@all -flushall\n",
    )
    .expect("the directory of the test can be written to");
    let server = home.configured_by(&file).start();
    let mut alice = server.client();
    assert_eq!(alice.run("AUTH alice pw"), ok());
    assert_eq!(alice.run("SET b 1"), ok());
    assert_eq!(alice.run("SET a 1"), error("NOPERM No permissions to access a key"));
    let mut client = server.client();
    let no_file = error(
        "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL \
         SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order \
         to store users in the Redis configuration.",
    );
    assert_eq!(client.run("ACL SAVE"), no_file);
    assert_eq!(client.run("ACL LOAD"), no_file);
    let refused = error("NOPERM User default has no permissions to run the 'flushall' command");
    assert_eq!(client.run("FLUSHALL"), refused);
}

#[test]
fn config_rewrite_writes_the_users_that_are_others_than_the_file_says() {
    let home = Setup::new();
    let file = home.home().join("kvdb.conf");
    let read = || fs::read_to_string(&file).expect("the file is there");
    let before = "# ours\nuser alice on >pw ~a*   +@read\n# more\n";
    fs::write(&file, before).expect("the directory of the test can be written to");
    let server = home.configured_by(&file).start();
    let mut client = server.client();
    assert_eq!(client.run("CONFIG REWRITE"), ok());
    assert!(read().starts_with(before), "the same users are left as their author wrote them");
    assert_eq!(client.run("ACL SETUSER bert on nopass ~b (+get ~c)"), ok());
    assert_eq!(client.run("ACL DELUSER alice"), Value::Integer(1));
    assert_eq!(client.run("ACL SETUSER default -flushall"), ok());
    assert_eq!(client.run("CONFIG REWRITE"), ok());
    let after = read();
    let rest = after.strip_prefix("# ours\n").expect("what stands before the users stays");
    let lines: Vec<&str> = rest.lines().collect();
    assert!(lines[0].starts_with("user bert on nopass sanitize-payload ~b "), "{after}");
    assert!(lines[1].starts_with("user default on nopass "), "{after}");
    assert_eq!(lines[2], "# more", "{after}");
    assert!(!lines[3..].iter().any(|line| line.starts_with("user ")), "{after}");
    let users = client.run("ACL LIST");
    let server = server.restart();
    assert_eq!(server.client().run("ACL LIST"), users);
}
