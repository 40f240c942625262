//! Users: what they are refused, wherever a command runs, and what becomes of their connections.

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, bulk, error, int, nil, ok, simple, text};

/// A connection of a user with the password `pw`, whom these rules make.
fn user(server: &Server, name: &str, rules: &str) -> Client {
    assert_eq!(server.client().run(&format!("ACL SETUSER {name} on >pw {rules}")), ok());
    let mut client = server.client();
    assert_eq!(client.run(&format!("AUTH {name} pw")), ok());
    client
}

fn no_command(user: &str, command: &str) -> Value {
    error(&format!("NOPERM User {user} has no permissions to run the '{command}' command"))
}

fn no_key() -> Value {
    error("NOPERM No permissions to access a key")
}

fn no_channel() -> Value {
    error("NOPERM No permissions to access a channel")
}

/// Fields of a map in RESP2.
fn field(map: &Value, name: &str) -> Value {
    let Value::Array(flat) = map else { panic!("no map: {map:?}") };
    let pair = flat.chunks(2).find(|pair| pair[0] == bulk(name));
    pair.unwrap_or_else(|| panic!("no {name}: {map:?}"))[1].clone()
}

#[test]
fn commands_keys_and_channels_are_refused() {
    let server = Setup::new().start();
    let mut alice = user(&server, "alice", "+@all -@dangerous -config +config|get ~a:* %R~shared:* &news:*");
    assert_eq!(alice.run("ACL WHOAMI"), bulk("alice"));
    assert_eq!(alice.run("SET a:1 x"), ok());
    assert_eq!(alice.run("GET shared:1"), nil());
    assert_eq!(alice.run("SET shared:1 x"), no_key());
    assert_eq!(alice.run("MGET a:1 b"), no_key());
    assert_eq!(alice.run("COPY a:1 shared:2"), no_key());
    assert_eq!(alice.run("FLUSHALL"), no_command("alice", "flushall"));
    assert_eq!(alice.run("CONFIG SET maxmemory 0"), no_command("alice", "config|set"));
    assert!(matches!(alice.run("CONFIG GET maxmemory"), Value::Array(_)));
    assert_eq!(alice.run("PUBLISH other x"), no_channel());
    assert_eq!(alice.run("PUBLISH news:1 x"), int(0));
    assert_eq!(alice.run("PSUBSCRIBE news:1*"), no_channel());
    assert!(text(&alice.run("CLIENT INFO")).contains(" user=alice "));
    let mut operator = server.client();
    assert_eq!(operator.info("acl_access_denied_cmd"), "2");
    assert_eq!(operator.info("acl_access_denied_key"), "3");
    assert_eq!(operator.info("acl_access_denied_channel"), "2");
    assert_eq!(operator.run("CLIENT KILL USER alice"), int(1));
    assert_eq!(operator.run("CLIENT KILL USER nobody"), error("ERR No such user 'nobody'"));
}

#[test]
fn a_change_is_in_force_for_the_next_command() {
    let server = Setup::new().with("workers", "2").start();
    let mut alice = user(&server, "alice", "+@all ~*");
    let mut operator = server.client();
    assert_eq!(alice.run("SET k 1"), ok());
    assert_eq!(operator.run("ACL SETUSER alice -set"), ok());
    assert_eq!(alice.run("SET k 2"), no_command("alice", "set"));
    assert_eq!(operator.run("ACL SETUSER alice off"), ok());
    assert_eq!(alice.run("GET k"), bulk("1"), "who is there stays");
    let wrong = error("WRONGPASS invalid username-password pair or user is disabled.");
    assert_eq!(server.client().run("AUTH alice pw"), wrong);
    assert_eq!(operator.run("ACL SETUSER default -flushall"), ok());
    assert_eq!(operator.run("FLUSHALL"), no_command("default", "flushall"));
}

#[test]
fn a_transaction_is_checked_when_it_is_queued_and_when_it_runs() {
    let server = Setup::new().start();
    let mut alice = user(&server, "alice", "+@all ~a*");
    let mut operator = server.client();
    assert_eq!(alice.pipeline(&["MULTI", "SET a 1", "SET b 1"]), [ok(), simple("QUEUED"), no_key()]);
    let discarded = error("EXECABORT Transaction discarded because of previous errors.");
    assert_eq!(alice.run("EXEC"), discarded);
    assert_eq!(alice.pipeline(&["MULTI", "SET a 1", "GET a"])[2], simple("QUEUED"));
    assert_eq!(operator.run("ACL SETUSER alice -set"), ok());
    let changed = "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
                   This command is no longer allowed for the following reason: \
                   no permission to execute the command or subcommand";
    assert_eq!(alice.run("EXEC"), Value::Array(vec![error(changed), nil()]));
    assert_eq!(operator.run("EXISTS a"), int(0));
}

#[test]
fn scripts_may_do_what_their_user_may() {
    let server = Setup::new().start();
    let mut alice = user(&server, "alice", "+eval +get +set ~a*");
    let eval = |client: &mut Client, script: &str| client.run_args(&["EVAL", script, "0"]);
    assert_eq!(eval(&mut alice, "return redis.call('set', 'a', '1')"), ok());
    let refused = eval(&mut alice, "return redis.pcall('del', 'a')");
    assert_eq!(
        refused,
        error("ERR ACL failure in script: User alice has no permissions to run the 'del' command")
    );
    let refused = eval(&mut alice, "return redis.pcall('get', 'b')");
    assert_eq!(refused, error("ERR ACL failure in script: No permissions to access a key"));
    assert_eq!(eval(&mut alice, "return redis.acl_check_cmd('get', 'a')"), int(1));
    assert_eq!(eval(&mut alice, "return redis.acl_check_cmd('get', 'b')"), nil());
    assert_eq!(alice.run_args(&["EVAL", "return 1", "1", "b"]), no_key());
}

#[test]
fn who_waits_is_served_only_what_is_still_allowed() {
    let server = Setup::new().with("workers", "2").start();
    let mut alice = user(&server, "alice", "+@all ~*");
    let mut operator = server.client();
    alice.send("BLPOP list 0");
    while operator.info("blocked_clients") != "1" {}
    assert_eq!(operator.run("ACL SETUSER alice resetkeys ~other"), ok());
    assert_eq!(operator.run("RPUSH list element"), int(1));
    assert_eq!(alice.reply(), no_key());
    assert_eq!(operator.run("LLEN list"), int(1));
}

#[test]
fn connections_end_with_their_user_and_listeners_with_their_rights() {
    let server = Setup::new().with("workers", "2").start();
    let mut operator = server.client();
    let mut alice = user(&server, "alice", "+@all &news:*");
    let mut bert = user(&server, "bert", "+@all &news:*");
    let mut clara = user(&server, "clara", "+@all &*");
    alice.send("SUBSCRIBE news:1");
    alice.reply();
    bert.send("PSUBSCRIBE news:*");
    bert.reply();
    assert_eq!(operator.run("ACL SETUSER alice &more"), ok());
    assert_eq!(operator.run("PUBLISH news:1 x"), int(2), "both listen still");
    assert_eq!(operator.run("ACL SETUSER bert resetchannels &news:1"), ok());
    assert!(bert.rest().contains("news:1"), "the message came before the end");
    assert_eq!(operator.run("ACL DELUSER clara nobody"), int(1));
    assert_eq!(clara.rest(), "");
    assert_eq!(operator.run("ACL GETUSER clara"), nil());
    assert_eq!(operator.run("ACL DELUSER default"), error("ERR The 'default' user cannot be removed"));
    assert_eq!(operator.run("ACL USERS"), Value::Array(["alice", "bert", "default"].map(bulk).into()));
}

#[test]
fn connections_end_with_their_own_user_and_not_with_one_whose_name_looks_the_same() {
    let server = Setup::new().with("workers", "2").start();
    let mut operator = server.client();
    // Neither name is text, and shown they are the same.
    let names = [&b"al\xfe"[..], b"al\xff"];
    let mut clients = names.map(|name| {
        assert_eq!(operator.run_args(&[&b"ACL"[..], b"SETUSER", name, b"on", b"nopass", b"+@all"]), ok());
        let mut client = server.client();
        assert_eq!(client.run_args(&[&b"AUTH"[..], name, b"x"]), ok());
        client
    });
    assert_eq!(operator.run_args(&[&b"CLIENT"[..], b"KILL", b"USER", names[0]]), int(1));
    assert_eq!(clients[0].rest(), "");
    assert_eq!(clients[1].run("PING"), simple("PONG"));
    assert_eq!(operator.run_args(&[&b"ACL"[..], b"DELUSER", names[0]]), int(1));
    assert_eq!(clients[1].run("PING"), simple("PONG"));
    assert_eq!(operator.run_args(&[&b"ACL"[..], b"DELUSER", names[1]]), int(1));
    assert_eq!(clients[1].rest(), "");
}

#[test]
fn the_log_tells_what_was_denied() {
    let server = Setup::new().start();
    let mut operator = server.client();
    let mut alice = user(&server, "alice", "+@all -del ~a");
    (0..2).for_each(|_| assert_eq!(alice.run("DEL a"), no_command("alice", "del")));
    assert_eq!(alice.run("GET b"), no_key());
    alice.run_args(&["EVAL", "return redis.pcall('get', 'c')", "0"]);
    server.client().run("AUTH alice wrong");
    let Value::Array(entries) = operator.run("ACL LOG") else { panic!("ACL LOG replies with an array") };
    let shown =
        |entry: &Value| ["reason", "context", "object", "username"].map(|name| text(&field(entry, name)));
    assert_eq!(
        entries.iter().map(shown).collect::<Vec<_>>(),
        [
            ["auth", "toplevel", "AUTH", "alice"],
            ["key", "lua", "c", "alice"],
            ["key", "toplevel", "b", "alice"],
            ["command", "toplevel", "del", "alice"],
        ]
    );
    assert_eq!((field(&entries[3], "count"), field(&entries[3], "entry-id")), (int(2), int(0)));
    assert!(text(&field(&entries[3], "client-info")).contains("user=alice"));
    assert!(matches!(operator.run("ACL LOG 1"), Value::Array(one) if one.len() == 1));
    assert_eq!(operator.run("ACL LOG RESET"), ok());
    assert_eq!(operator.run("ACL LOG"), Value::Array(vec![]));
}

#[test]
fn users_are_described_and_tried_out() {
    let server = Setup::new().start();
    let mut client = server.client();
    assert_eq!(client.run("ACL SETUSER alice on #5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8 +get ~a (+set %W~b)"), ok());
    let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let line = format!(
        "user alice on sanitize-payload #{hash} ~a resetchannels -@all +get (%W~b resetchannels -@all +set)"
    );
    let default = "user default on nopass sanitize-payload ~* &* +@all";
    assert_eq!(client.run("ACL LIST"), Value::Array(vec![bulk(&line), bulk(default)]));
    assert_eq!(server.client().run("AUTH alice password"), ok());
    let described = client.run("ACL GETUSER alice");
    assert_eq!(field(&described, "flags"), Value::Array(vec![bulk("on"), bulk("sanitize-payload")]));
    assert_eq!(field(&described, "passwords"), Value::Array(vec![bulk(hash)]));
    assert_eq!(field(&described, "commands"), bulk("-@all +get"));
    assert_eq!(field(&described, "keys"), bulk("~a"));
    assert_eq!(field(&described, "channels"), bulk(""));
    assert_eq!(client.run("ACL DRYRUN alice GET a"), ok());
    assert_eq!(
        client.run("ACL DRYRUN alice GET b"),
        bulk("User alice has no permissions to access the 'b' key")
    );
    assert_eq!(
        client.run("ACL DRYRUN alice DEL a"),
        bulk("User alice has no permissions to run the 'del' command")
    );
    assert_eq!(client.run("ACL DRYRUN nobody GET a"), error("ERR User 'nobody' not found"));
    assert_eq!(client.run("ACL DRYRUN alice NOSUCH"), error("ERR Command 'NOSUCH' not found"));
    for (command, refusal) in [
        (
            "ACL SETUSER bert +nosuch",
            "ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL",
        ),
        ("ACL SETUSER bert nosuch", "ERR Error in ACL SETUSER modifier 'nosuch': Syntax error"),
        ("ACL SETUSER bert on (+get", "ERR Unmatched parenthesis in acl selector starting at '(+get'."),
        ("ACL CAT nosuch", "ERR Unknown category 'nosuch'"),
        (
            "ACL GENPASS 0",
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
        ),
        ("ACL NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try ACL HELP."),
    ] {
        assert_eq!(client.run(command), error(refusal));
    }
    assert_eq!(client.run("ACL GETUSER bert"), nil(), "no rule was applied");
    let (one, two) = (text(&client.run("ACL GENPASS")), text(&client.run("ACL GENPASS")));
    assert!(one.len() == 64 && two.len() == 64 && one != two);
    assert_eq!(text(&client.run("ACL GENPASS 5")).len(), 2);
}

#[test]
fn the_password_of_the_settings_is_that_of_default() {
    let server = Setup::new().with_password("pw").start();
    let mut client = server.stranger();
    assert_eq!(client.run("ACL WHOAMI"), error("NOAUTH Authentication required."));
    assert_eq!(client.run("AUTH default pw"), ok());
    assert_eq!(client.run("CONFIG SET requirepass other"), ok());
    assert_eq!(client.run("ACL WHOAMI"), bulk("default"), "who is there stays");
    let wrong = error("WRONGPASS invalid username-password pair or user is disabled.");
    assert_eq!(server.stranger().run("AUTH pw"), wrong);
    assert_eq!(client.run("ACL SETUSER default on nopass"), ok());
    assert_eq!(server.stranger().run("ACL WHOAMI"), bulk("default"));
}

#[test]
fn what_is_refused_to_who_has_waited_is_logged() {
    let server = Setup::new().with("workers", "2").start();
    let mut alice = user(&server, "alice", "+@all ~*");
    let mut operator = server.client();
    alice.send("BLPOP list 0");
    while operator.info("blocked_clients") != "1" {}
    assert_eq!(operator.run("ACL SETUSER alice -blpop"), ok());
    assert_eq!(operator.run("RPUSH list element"), int(1));
    assert_eq!(alice.reply(), no_command("alice", "blpop"));
    let Value::Array(log) = operator.run("ACL LOG") else { panic!("a log is an array") };
    assert_eq!(log.len(), 1);
    let names = ["reason", "context", "object", "username"];
    assert_eq!(names.map(|name| field(&log[0], name)), ["command", "toplevel", "blpop", "alice"].map(bulk));
    assert!(text(&field(&log[0], "client-info")).contains(" cmd=blpop "));
    assert_eq!(operator.info("acl_access_denied_cmd"), "1");
}

#[test]
fn a_transaction_that_changes_rights_goes_on_with_the_new_ones() {
    let server = Setup::new().start();
    let mut alice = user(&server, "alice", "+@all ~*");
    let mut operator = server.client();
    assert_eq!(operator.run("ACL SETUSER bob on >pw +@all ~b*"), ok());
    let commands =
        ["MULTI", "SET k 1", "AUTH bob pw", "SET k 2", "SET b 2", "SELECT 0", "ACL WHOAMI", "EXEC"];
    let changed = |reason: &str| {
        error(&format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
             This command is no longer allowed for the following reason: {reason}"
        ))
    };
    let no_key = changed("no permission to touch the specified keys");
    let replies = vec![ok(), ok(), no_key, ok(), ok(), bulk("bob")];
    assert_eq!(alice.pipeline(&commands).pop(), Some(Value::Array(replies)));
    assert_eq!(operator.run("MGET k b"), Value::Array(vec![bulk("1"), bulk("2")]));
    let commands = ["MULTI", "SET b 3", "ACL SETUSER bob -set", "SET b 4", "INCR b", "EXEC"];
    let no_command = changed("no permission to execute the command or subcommand");
    let replies = vec![ok(), ok(), no_command, int(4)];
    assert_eq!(alice.pipeline(&commands).pop(), Some(Value::Array(replies)));
}

#[test]
fn sorting_by_other_keys_is_for_those_who_may_read_all() {
    let server = Setup::new().start();
    let mut alice = user(&server, "alice", "+@all ~a* %W~*");
    let mut operator = server.client();
    assert_eq!(operator.run("RPUSH a 2 1"), int(2));
    let get = error("ERR GET option of SORT denied due to insufficient ACL permissions");
    let by = error("ERR BY option of SORT denied due to insufficient ACL permissions");
    assert_eq!(alice.run("SORT a GET b*"), get);
    assert_eq!(alice.run("SORT_RO a ASC LIMIT 0 1 GET #"), get);
    assert_eq!(alice.run("SORT a STORE GET BY b*"), by);
    assert_eq!(alice.pipeline(&["MULTI", "SORT a BY b*"]), [ok(), by.clone()]);
    assert_eq!(alice.run("DISCARD"), ok());
    assert_eq!(alice.run_args(&["EVAL", "return redis.pcall('SORT', 'a', 'BY', 'b*')", "0"]), by);
    assert_eq!(alice.run("SORT a BY nosort"), Value::Array(vec![bulk("2"), bulk("1")]));
    // What is wrong before is said first.
    assert_eq!(alice.run("SORT a wrong GET b*"), error("ERR syntax error"));
    assert_eq!(alice.run("SORT_RO a STORE x GET b*"), error("ERR syntax error"));
    assert_eq!(alice.run("SORT a LIMIT x 1 GET b*"), error("ERR value is not an integer or out of range"));
    assert_eq!(operator.run("ACL SETUSER alice %R~*"), ok());
    assert_eq!(alice.run("SORT a GET b*"), Value::Array(vec![nil(), nil()]));
}

#[test]
fn scripts_are_neither_readers_nor_writers() {
    let server = Setup::new().start();
    let mut alice = user(&server, "alice", "+@all -@write -@read +get ~*");
    assert_eq!(alice.run("EVAL return(1) 0"), int(1));
    assert_eq!(alice.run_args(&["EVAL", "return redis.call('GET', 'k')", "0"]), nil());
    let refused = alice.run_args(&["EVAL", "return redis.pcall('SET', 'k', 'v')", "0"]);
    assert_eq!(
        refused,
        error("ERR ACL failure in script: User alice has no permissions to run the 'set' command")
    );
}
