//! What a client may send, and what it must not: exact replies, and whether the connection survives.

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, bulk, error, int, ok, simple};

/// The bytes of a connection that sends `input` and then says no more.
fn conversation(server: &Server, input: &[u8]) -> String {
    let mut client = server.stranger();
    client.write(input);
    client.rest()
}

/// Asserts that the connection still serves.
#[track_caller]
fn assert_serves(client: &mut Client) {
    assert_eq!(client.run("PING"), simple("PONG"));
}

#[test]
fn malformed_requests_are_answered_and_end_the_connection() {
    let server = Server::start();
    let long_line = vec![b'a'; 70_000];
    let cases: &[(&[u8], &str)] = &[
        (b"*abc\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*1\r\n$abc\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$1073741824\r\n", "invalid bulk length"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
        (b"*1\r\n%1\r\n+a\r\n+b\r\n", "expected '$', got '%'"),
        (b"*1\r\n$4\r\nPINGXX", "expected CRLF after bulk"),
        (&long_line, "too big inline request"),
        (b"set \"a b\r\n", "unbalanced quotes in request"),
        (b"set 'a'b c\r\n", "unbalanced quotes in request"),
    ];
    for (input, text) in cases {
        let shown = String::from_utf8_lossy(&input[..input.len().min(40)]).into_owned();
        assert_eq!(conversation(&server, input), format!("-ERR Protocol error: {text}\r\n"), "{shown:?}");
    }
}

#[test]
fn what_was_asked_before_a_malformed_request_is_answered() {
    let server = Server::start();
    let replies = conversation(&server, b"SET k v\r\nGET k\r\n*1\r\n:1\r\nGET k\r\n");
    assert_eq!(replies, "+OK\r\n$1\r\nv\r\n-ERR Protocol error: expected '$', got ':'\r\n");
}

#[test]
fn requests_without_a_command_are_passed_over() {
    let server = Server::start();
    let mut client = server.client();
    for nothing in ["*-5\r\n", "*0\r\n", "\r\n", "\n", "   \r\n", "*-1\r\n"] {
        client.write(nothing.as_bytes());
        assert_serves(&mut client);
    }
    // The parser starts over: what follows an ignored header is a request of its own.
    client.write(b"*-5\r\n*0\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(client.reply(), simple("PONG"));
}

#[test]
fn errors_of_commands_leave_the_connection_open() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run("FOO a b"), error("ERR unknown command 'FOO', with args beginning with: 'a' 'b' "));
    assert_eq!(client.run("GET"), error("ERR wrong number of arguments for 'get' command"));
    assert_serves(&mut client);
    // Nothing of the input can end the line of an error early.
    client.write(b"*2\r\n$5\r\nFO\r\nO\r\n$6\r\na\r\n+OK\r\n");
    match client.reply() {
        Value::Error(text) => {
            assert!(text.starts_with(b"ERR unknown command 'FO"), "{}", text.escape_ascii())
        }
        other => panic!("{other:?}"),
    }
    assert_serves(&mut client);
    // What is no text comes back as it is.
    client.write(b"*2\r\n$3\r\n\xff\xfe\x01\r\n$2\r\n\x02\xee\r\n");
    let quoted = b"ERR unknown command '\xff\xfe\x01', with args beginning with: '\x02\xee' ";
    assert_eq!(client.reply(), Value::Error(quoted.to_vec()));
    // Nor is a long name or a long list of arguments echoed in full.
    match client.run(&format!("{} {}", "x".repeat(10_000), "y ".repeat(1_000))) {
        Value::Error(text) => assert!(text.len() < 512, "{} bytes", text.len()),
        other => panic!("{other:?}"),
    }
    assert_serves(&mut client);
}

#[test]
fn a_request_that_trickles_in_is_the_same_request() {
    let server = Server::start();
    let mut client = server.client();
    let input =
        b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nv\r\nal\r\n\r\nGET key\r\n*2\r\n$3\r\nDEL\r\n$3\r\nkey\r\n";
    for byte in input {
        client.write(&[*byte]);
    }
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), bulk("v\r\nal"));
    assert_eq!(client.reply(), int(1));
}

#[test]
fn a_long_pipeline_may_be_sent_before_any_reply_is_read() {
    const COMMANDS: usize = 100_000;
    let server = Setup::new().with("appendfsync", "everysec").start();
    let mut client = server.client();
    let mut input = Vec::new();
    for i in 0..COMMANDS / 2 {
        input.extend_from_slice(format!("SET key:{} value:{i}\r\nINCR counter\r\n", i % 1000).as_bytes());
    }
    client.try_write(&input).expect("the server takes input whether its replies are read or not");
    for i in 1..=COMMANDS / 2 {
        assert_eq!(client.reply(), ok());
        assert_eq!(client.reply(), int(i as i64));
    }
    assert_serves(&mut client);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_request_leaves_nothing_behind() {
    let server = Server::start();
    let mut observer = server.client();
    for input in [&b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$100\r\nabc"[..], b"SET half", b"*", b"*3\r\n$3\r\nS"] {
        let mut client = server.client();
        client.write(input);
        client.end_input();
        assert_eq!(client.rest(), "");
    }
    assert_eq!(observer.run("EXISTS half"), int(0));
    crate::harness::wait_until("the others are gone", || observer.info("connected_clients") == "1");
}

#[test]
fn a_client_that_ends_its_input_still_gets_its_replies() {
    let server = Server::start();
    let mut client = server.client();
    client.write(b"SET a 1\r\nINCR a\r\nGET a\r\n");
    client.end_input();
    assert_eq!(client.rest(), "+OK\r\n:2\r\n$1\r\n2\r\n");
}

#[test]
fn nothing_that_a_browser_sends_is_run_or_answered() {
    let verbs =
        ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "SET", "any"];
    for setup in [Setup::new(), Setup::new().with_password("secret")] {
        let server = setup.start();
        for verb in verbs {
            let request =
                format!("{verb} /a HTTP/1.1\r\nAccept: */*\r\nContent-Length: 9\r\n\r\nSET a b\r\n");
            assert_eq!(conversation(&server, request.as_bytes()), "", "{verb}");
        }
        for request in
            ["PUT /\r\nSET a b\r\n", "Host: here\r\nSET a b\r\n", "*1\r\n$4\r\npost\r\nSET a b\r\n"]
        {
            assert_eq!(conversation(&server, request.as_bytes()), "", "{request:?}");
        }
        assert_eq!(server.client().run("DBSIZE"), int(0));
        assert!(server.log().contains("HTTP"), "{}", server.log());
    }
}

#[test]
fn what_looks_like_http_and_is_none_is_answered() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run("SET /k HTTP/1.1"), ok());
    assert_eq!(client.run("PUT x"), error("ERR unknown command 'PUT', with args beginning with: 'x' "));
    client.write(b"GET /k\r\nGET HTTP/1.1\r\nSET k HTTP/1.1 EX 100\r\n");
    assert_eq!([client.reply(), client.reply(), client.reply()], [bulk("HTTP/1.1"), Value::Null, ok()]);
}

#[test]
fn a_tls_handshake_on_the_plain_port_is_closed_and_logged() {
    let server = Server::start();
    // A ClientHello: handshake record, version 3.1, then random bytes without a line end.
    let mut hello = vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    hello.extend((0..501).map(|i| (i * 7 % 200 + 40) as u8));
    assert_eq!(conversation(&server, &hello), "");
    server.wait_for_log("TLS");
    assert_serves(&mut server.client());
}

#[test]
fn a_stranger_may_neither_send_much_nor_learn_anything() {
    let server = Setup::new().with_password("secret").start();
    assert_eq!(
        conversation(&server, b"*20\r\n"),
        "-ERR Protocol error: unauthenticated multibulk length\r\n"
    );
    assert_eq!(
        conversation(&server, b"*1\r\n$20000\r\n"),
        "-ERR Protocol error: unauthenticated bulk length\r\n"
    );
    let mut client = server.stranger();
    let refused = error("NOAUTH Authentication required.");
    for command in [
        "GET k",
        "SET k v",
        "NOSUCH a",
        "PING",
        "CLIENT LIST",
        "CLIENT",
        "INFO",
        "GET",
        "SHUTDOWN",
        "MONITOR",
    ] {
        assert_eq!(client.run(command), refused, "{command}");
    }
    let wrong = error("WRONGPASS invalid username-password pair or user is disabled.");
    for command in ["AUTH wrong", "AUTH default wrong", "AUTH nobody secret", "AUTH secre", "AUTH secrett"] {
        assert_eq!(client.run(command), wrong, "{command}");
        assert_eq!(client.run("GET k"), refused);
    }
    assert_eq!(client.run("AUTH secret"), ok());
    // From here on the limits are those of everybody.
    let value = "v".repeat(30_000);
    assert_eq!(client.run(&format!("SET k {value}")), ok());
    assert_eq!(client.run("STRLEN k"), int(30_000));
    assert_eq!(client.run("NOSUCH a"), error("ERR unknown command 'NOSUCH', with args beginning with: 'a' "));
    assert_eq!(client.run("RESET"), simple("RESET"));
    assert_eq!(client.run("GET k"), refused);
}

#[test]
fn large_values_survive_both_ways() {
    let server = Setup::new().with("appendfsync", "everysec").start();
    let mut client = server.client();
    for size in [1, 4_095, 4_096, 65_535, 65_536, 65_537, 1 << 20, 20 << 20] {
        let value: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
        assert_eq!(client.run_args(&[&b"SET"[..], b"big", &value]), ok());
        assert_eq!(client.run("GET big"), Value::Bulk(value), "{size} bytes");
    }
}
