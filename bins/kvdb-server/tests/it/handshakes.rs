//! What client libraries send when they connect, in one write, as they do.

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, error, ok, simple, text};

/// A value of the reply to HELLO, which is a map or, in RESP2, an array.
fn field(hello: &Value, name: &str) -> Value {
    let pairs: Vec<(Value, Value)> = match hello {
        Value::Map(pairs) => pairs.clone(),
        Value::Array(flat) => flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect(),
        other => panic!("not a map: {other:?}"),
    };
    let found = pairs.into_iter().find(|(key, _)| *key == Value::bulk(name));
    found.unwrap_or_else(|| panic!("HELLO says no {name}: {hello:?}")).1
}

#[track_caller]
fn assert_hello(hello: &Value, protocol: i64) {
    assert_eq!(matches!(hello, Value::Map(_)), protocol == 3, "{hello:?}");
    assert_eq!(field(hello, "proto"), Value::Integer(protocol));
    assert_eq!(field(hello, "server"), Value::bulk("redis"));
    assert_eq!(field(hello, "mode"), Value::bulk("standalone"));
    assert_eq!(field(hello, "role"), Value::bulk("master"));
    assert_eq!(field(hello, "modules"), Value::Array(vec![]));
    assert!(field(hello, "id").as_integer().is_some_and(|id| id > 0));
    let version = text(&field(hello, "version"));
    let numbers: Vec<u32> = version.split('.').map(|n| n.parse().expect("numbers")).collect();
    assert!(numbers >= vec![7, 2, 0], "{version}");
}

/// The line of CLIENT LIST of a connection.
fn listed(client: &mut Client) -> String {
    text(&client.run("CLIENT INFO"))
}

/// A server without and one with a password, and what goes into HELLO for it.
fn servers() -> [(Server, &'static str); 2] {
    [(Setup::new().start(), ""), (Setup::new().with_password("pw").start(), " AUTH default pw")]
}

#[test]
fn redis_py_connects() {
    for (server, auth) in servers() {
        let mut client = server.stranger();
        let replies = client.pipeline(&[
            format!("HELLO 3{auth}").as_str(),
            "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type none",
            "CLIENT SETNAME worker",
            "CLIENT SETINFO LIB-NAME redis-py",
            "CLIENT SETINFO LIB-VER 8.0.0",
            "SELECT 3",
            "PING",
        ]);
        assert_hello(&replies[0], 3);
        assert!(
            matches!(&replies[1], Value::Error(e) if e.starts_with(b"ERR unknown subcommand")),
            "{:?}",
            replies[1]
        );
        assert_eq!(replies[2..6], [ok(), ok(), ok(), ok()]);
        assert_eq!(replies[6], simple("PONG"));
        let line = listed(&mut client);
        for part in [" name=worker ", " db=3 ", " lib-name=redis-py ", " lib-ver=8.0.0", " resp=3 "] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

#[test]
fn redis_py_with_resp2_connects() {
    for (server, auth) in servers() {
        let mut client = server.stranger();
        let mut commands =
            vec!["CLIENT SETINFO LIB-NAME redis-py", "CLIENT SETINFO LIB-VER 5.0.0", "SELECT 1"];
        if !auth.is_empty() {
            commands.insert(0, "AUTH pw");
        }
        assert!(client.pipeline(&commands).iter().all(|reply| *reply == ok()));
        assert!(listed(&mut client).contains(" resp=2 "));
    }
}

#[test]
fn ioredis_connects_and_finds_the_server_ready() {
    for (server, auth) in servers() {
        let mut client = server.stranger();
        let replies = client.pipeline(&[
            format!("HELLO 3{auth}").as_str(),
            "SELECT 2",
            "CLIENT SETNAME queue",
            "READONLY",
            "CLIENT SETINFO LIB-VER 6.0.0",
            "CLIENT SETINFO LIB-NAME ioredis",
            "INFO",
        ]);
        assert_hello(&replies[0], 3);
        assert_eq!(replies[1..3], [ok(), ok()]);
        assert!(matches!(&replies[3], Value::Error(_)), "there is no cluster: {:?}", replies[3]);
        assert_eq!(replies[4..6], [ok(), ok()]);
        let info = text(&replies[6]);
        for line in [
            "loading:0\r\n",
            "redis_mode:standalone\r\n",
            "role:master\r\n",
            "maxmemory_policy:noeviction\r\n",
        ] {
            assert!(info.contains(line), "{line}: {info}");
        }
    }
}

#[test]
fn node_redis_connects() {
    for (server, auth) in servers() {
        let mut client = server.stranger();
        let replies = client.pipeline(&[
            format!("HELLO 3{auth} SETNAME app").as_str(),
            "CLIENT SETINFO LIB-VER 5.8.0",
            "CLIENT SETINFO LIB-NAME node-redis",
            "SELECT 5",
        ]);
        assert_hello(&replies[0], 3);
        assert_eq!(replies[1..], [ok(), ok(), ok()]);
        assert_eq!(text(&client.run("CLIENT GETNAME")), "app");
        // Its RESP2 flavour names the database first.
        let mut client = server.stranger();
        let replies = client.pipeline(&[format!("HELLO 2{auth}").as_str(), "SELECT 5", "CLIENT SETNAME app"]);
        assert_hello(&replies[0], 2);
        assert_eq!(replies[1..], [ok(), ok()]);
    }
}

#[test]
fn redis_rs_connects() {
    for (server, auth) in servers() {
        for protocol in [2, 3] {
            let mut client = server.stranger();
            let replies = client.pipeline(&[
                format!("HELLO {protocol}{auth}").as_str(),
                "SELECT 1",
                "CLIENT SETINFO LIB-NAME redis-rs",
                "CLIENT SETINFO LIB-VER 1.6.0",
            ]);
            assert_hello(&replies[0], protocol);
            assert_eq!(replies[1..], [ok(), ok(), ok()]);
        }
    }
}

#[test]
fn go_redis_connects() {
    for (server, auth) in servers() {
        let mut client = server.stranger();
        assert_hello(&client.run(&format!("HELLO 3{auth} SETNAME api")), 3);
        let replies = client.pipeline(&[
            "SELECT 4",
            "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type external-ip",
            "CLIENT SETINFO LIB-NAME go-redis(,go1.25)",
            "CLIENT SETINFO LIB-VER 9.22.0",
        ]);
        assert_eq!(replies[0], ok());
        assert!(matches!(replies[1], Value::Error(_)));
        assert_eq!(replies[2..], [ok(), ok()]);
    }
}

#[test]
fn a_handshake_with_a_wrong_password_changes_nothing() {
    let server = Setup::new().with_password("pw").start();
    let mut client = server.stranger();
    let replies =
        client.pipeline(&["HELLO 3", "HELLO 3 AUTH default wrong SETNAME x", "AUTH wrong", "HELLO", "GET k"]);
    assert!(
        matches!(&replies[0], Value::Error(e) if e.starts_with(b"NOAUTH HELLO must be called")),
        "{:?}",
        replies[0]
    );
    let wrong = error("WRONGPASS invalid username-password pair or user is disabled.");
    assert_eq!(replies[1], wrong);
    assert_eq!(replies[2], wrong);
    assert!(matches!(&replies[3], Value::Error(e) if e.starts_with(b"NOAUTH")));
    assert_eq!(replies[4], error("NOAUTH Authentication required."));
    assert_eq!(client.run("AUTH default pw"), ok());
    let line = listed(&mut client);
    assert!(line.contains(" resp=2 ") && line.contains(" name= "), "{line}");
}

#[test]
fn redis_cli_and_benchmarks_find_what_they_ask_for() {
    let server = Setup::new().start();
    let mut client = server.client();
    for command in
        ["COMMAND DOCS", "COMMAND", "COMMAND COUNT", "INFO SERVER", "COMMAND LIST", "MODULE LIST", "ROLE"]
    {
        let reply = client.run(command);
        assert!(!matches!(reply, Value::Error(_) | Value::Null), "{command}: {reply:?}");
    }
    assert_eq!(
        client.run("CONFIG GET appendonly"),
        Value::Array(vec![Value::bulk("appendonly"), Value::bulk("yes")])
    );
    assert_eq!(
        client.run("CONFIG GET databases"),
        Value::Array(vec![Value::bulk("databases"), Value::bulk("16")])
    );
    assert_eq!(client.run("HELLO 3").as_bytes(), None);
    assert_eq!(
        client.run("CONFIG GET save"),
        Value::Map(vec![(Value::bulk("save"), Value::bulk(""))]),
        "in RESP3 the pairs are a map"
    );
}
