//! Malformed and hostile requests. Except where noted, the outcome is that of Redis 7.0.15.

use kvdb_resp::{Limits, Protocol, ProtocolError, Reply};

use crate::connection::{trickle, whole};

fn unauthenticated() -> Limits {
    Limits { authenticated: false, ..Limits::default() }
}

/// The requests read before the error, and the error's text after "Protocol error: ".
fn outcome(stream: &[u8], limits: &Limits) -> (Vec<String>, Option<String>) {
    let session = whole(stream, limits);
    assert_eq!(session, trickle(stream, limits), "{}", stream.escape_ascii());
    let (requests, error) = session.summary();
    let error = error.map(|text| {
        let detail = text.strip_prefix("Protocol error: ");
        detail.expect("every text starts alike").to_owned()
    });
    (requests, error)
}

fn error(stream: impl AsRef<[u8]>) -> String {
    let (requests, error) = outcome(stream.as_ref(), &Limits::default());
    assert_eq!(requests, [""; 0]);
    error.expect("the stream is malformed")
}

#[test]
fn the_number_of_arguments_is_a_canonical_number_within_the_limit() {
    for header in [
        "*abc",
        "*",
        "*01",
        "*+1",
        "*-0",
        "* 1",
        "*1 ",
        "*1a",
        "*1.0",
        "*2147483648",
        "*1048577",
        "*99999999999999999999999999",
        "*$1",
        "**1",
    ] {
        let text = error(format!("{header}\r\nPING\r\n"));
        assert_eq!(text, "invalid multibulk length", "{header}");
    }
    // Redis steps over whatever follows CR.
    assert_eq!(error("*1\rX$4\r\nPING\r\n"), "invalid multibulk length");
}

#[test]
fn the_length_of_an_argument_is_a_canonical_number_within_the_limit() {
    for header in [
        "$abc",
        "$",
        "$04",
        "$+4",
        "$-0",
        "$-1",
        "$-5",
        "$ 4",
        "$4 ",
        "$1073741824",
        "$536870913",
        "$99999999999999999999999999",
        "$9223372036854775807",
    ] {
        let text = error(format!("*1\r\n{header}\r\nPING\r\n"));
        assert_eq!(text, "invalid bulk length", "{header}");
    }
    assert_eq!(error("*1\r\n$4\rXPING\r\n"), "invalid bulk length");
}

#[test]
fn a_request_that_asks_for_nothing_is_skipped() {
    let stream = b"*0\r\n*-5\r\n\r\n\n   \r\n*-9223372036854775808\r\n*1\r\n$4\r\nPING\r\n";
    let (requests, error) = outcome(stream, &Limits::default());
    assert_eq!((&requests[..], error), (&["PING".to_owned()][..], None));
}

#[test]
fn an_argument_is_a_bulk_string() {
    assert_eq!(error("*1\r\n:1\r\n"), "expected '$', got ':'");
    assert_eq!(error("*2\r\n*1\r\n$4\r\nPING\r\n"), "expected '$', got '*'");
    for marker in ['+', '-', '_', '#', ',', '(', '!', '=', '%', '~', '>', '|'] {
        let text = error(format!("*1\r\n{marker}1\r\n"));
        assert_eq!(text, format!("expected '$', got '{marker}'"));
    }
}

#[test]
fn a_byte_that_is_echoed_is_printable() {
    assert_eq!(error(b"*1\r\n\r\n"), "expected '$', got ' '");
    assert_eq!(error(b"*1\r\n\n"), "expected '$', got ' '");
    assert_eq!(error(b"*1\r\n\0"), "expected '$', got ' '");
    // Redis sends this one as it is.
    assert_eq!(error(b"*1\r\n\x1b"), "expected '$', got '\\x1b'");
    assert_eq!(error(b"*1\r\n\xff"), "expected '$', got '\\xff'");
    for got in 0..=255 {
        let text = ProtocolError::ExpectedBulk { got }.to_string();
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}

#[test]
fn an_argument_ends_in_crlf() {
    // Redis drops any two bytes here, and reads PING.
    for stream in
        ["*1\r\n$4\r\nPINGXX", "*1\r\n$4\r\nPING\rX", "*1\r\n$4\r\nPING\n\r", "*1\r\n$3\r\nPING\r\n"]
    {
        assert_eq!(error(stream), "expected CRLF after bulk");
    }
}

#[test]
fn what_precedes_the_error_is_served() {
    let (requests, error) = outcome(b"PING\r\n*1\r\n$4\r\nPING\r\n*abc\r\n", &Limits::default());
    assert_eq!(requests, ["PING", "PING"]);
    assert_eq!(error.unwrap(), "invalid multibulk length");
}

#[test]
fn lines_are_bounded() {
    let limits = Limits::default();
    let fill = |prefix: &str, len: usize| {
        let mut line = prefix.as_bytes().to_vec();
        line.resize(len, b'1');
        line
    };
    for (prefix, text) in [("*", "too big mbulk count string"), ("1", "too big inline request")] {
        assert_eq!(error(fill(prefix, limits.max_inline + 2)), text);
        let bound = fill(prefix, limits.max_inline);
        assert!(whole(&bound, &limits).end.is_ok());
    }
    let text = error(fill("*1\r\n$", limits.max_inline + 6));
    assert_eq!(text, "too big bulk count string");

    // At the bound and one beyond, with either line ending.
    for ending in ["\n", "\r\n"] {
        let mut line = fill("x", limits.max_inline);
        line.extend_from_slice(ending.as_bytes());
        let (requests, none) = outcome(&line, &limits);
        assert_eq!((requests[0].len(), none), (limits.max_inline, None));
        line.insert(0, b'x');
        assert_eq!(error(&line), "too big inline request");
    }
}

#[test]
fn quotes_of_inline_commands_balance() {
    for line in ["ECHO \"a", "ECHO 'a", "ECHO \"a\"b", "\"", "ECHO \"a\\"] {
        assert_eq!(error(format!("{line}\r\n")), "unbalanced quotes in request");
    }
}

#[test]
fn a_stranger_gets_little() {
    let limits = unauthenticated();
    let requests_and_error = |stream: String| outcome(stream.as_bytes(), &limits);
    let arg = "$1\r\nx\r\n";
    assert_eq!(requests_and_error(format!("*10\r\n{}", arg.repeat(10))).1, None);
    for count in ["11", "20", "1000", "1048576"] {
        let (_, error) = requests_and_error(format!("*{count}\r\n{}", arg.repeat(11)));
        assert_eq!(error.unwrap(), "unauthenticated multibulk length");
    }
    // Beyond what anyone may send, the text is the one anyone gets.
    let (_, error) = requests_and_error("*2147483648\r\n".to_owned());
    assert_eq!(error.unwrap(), "invalid multibulk length");

    let bulk = |len: usize| format!("*1\r\n${len}\r\n{}\r\n", "x".repeat(len));
    assert_eq!(requests_and_error(bulk(16384)).1, None);
    let (_, error) = requests_and_error(bulk(16385));
    assert_eq!(error.unwrap(), "unauthenticated bulk length");
}

#[test]
fn configured_limits_hold() {
    let limits = Limits { max_args: 2, max_bulk: 3, ..Limits::default() };
    assert_eq!(outcome(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", &limits).1, None);
    let (_, error) = outcome(b"*3\r\n", &limits);
    assert_eq!(error.unwrap(), "invalid multibulk length");
    let (_, error) = outcome(b"*1\r\n$4\r\n", &limits);
    assert_eq!(error.unwrap(), "invalid bulk length");
}

#[test]
fn one_request_stays_below_four_gib() {
    let limits = Limits { max_bulk: usize::MAX, ..Limits::default() };
    let (_, error) = outcome(b"*1\r\n$4294967296\r\n", &limits);
    assert_eq!(error.unwrap(), "too big request");
    assert_eq!(outcome(b"*1\r\n$4294960000\r\n", &limits).1, None);
}

#[test]
fn an_error_reply_is_one_line() {
    let mut out = Vec::new();
    let error = ProtocolError::ExpectedBulk { got: b'\n' };
    Reply::new(&mut out, Protocol::Resp2).error_fmt(format_args!("ERR {error}"));
    assert_eq!(out, b"-ERR Protocol error: expected '$', got ' '\r\n");
}
