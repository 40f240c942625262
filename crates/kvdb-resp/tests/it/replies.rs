//! Replies written and read back, whole and in pieces.

use kvdb_resp::{Protocol, Reply, ReplyDecoder, ReplyError, ReplyLimits, Value};
use proptest::collection::vec;
use proptest::prelude::*;

fn read(stream: &[u8], limits: &ReplyLimits) -> Result<Vec<Value>, ReplyError> {
    read_in_chunks([stream], limits)
}

fn read_in_chunks<'c>(
    chunks: impl IntoIterator<Item = &'c [u8]>,
    limits: &ReplyLimits,
) -> Result<Vec<Value>, ReplyError> {
    let mut decoder = ReplyDecoder::default();
    let mut buffer = Vec::new();
    let mut values = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        while let Some((value, consumed)) = decoder.decode(&buffer, limits)? {
            values.push(value);
            buffer.drain(..consumed);
        }
    }
    Ok(values)
}

fn error(stream: &[u8]) -> ReplyError {
    let limits = ReplyLimits::default();
    let error = read(stream, &limits).expect_err("the stream is malformed");
    assert_eq!(read_in_chunks(stream.chunks(1), &limits), Err(error));
    error
}

#[test]
fn every_type_of_both_protocols_is_read() {
    let stream = b"+OK\r\n-ERR no\r\n:-7\r\n:+7\r\n$2\r\na\0\r\n$0\r\n\r\n$-1\r\n*-1\r\n_\r\n*0\r\n\
        ,1.5\r\n,-inf\r\n,10\r\n#t\r\n#f\r\n(-12345678901234567890\r\n=6\r\ntxt:hi\r\n!5\r\nE\r\nno\r\n\
        *2\r\n:1\r\n*1\r\n_\r\n%1\r\n+k\r\n~1\r\n:1\r\n>2\r\n+message\r\n$1\r\nx\r\n";
    let one = || Value::Integer(1);
    let expected = [
        Value::simple("OK"),
        Value::error("ERR no"),
        Value::Integer(-7),
        Value::Integer(7),
        Value::bulk(b"a\0"),
        Value::bulk(""),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Array(vec![]),
        Value::Double(1.5),
        Value::Double(f64::NEG_INFINITY),
        Value::Double(10.0),
        Value::Boolean(true),
        Value::Boolean(false),
        Value::BigNumber(b"-12345678901234567890".to_vec()),
        Value::Verbatim(*b"txt", b"hi".to_vec()),
        Value::error("E\r\nno"),
        Value::Array(vec![one(), Value::Array(vec![Value::Null])]),
        Value::Map(vec![(Value::simple("k"), Value::Set(vec![one()]))]),
        Value::Push(vec![Value::simple("message"), Value::bulk("x")]),
    ];
    let limits = ReplyLimits::default();
    assert_eq!(read(stream, &limits).unwrap(), expected);
    assert_eq!(read_in_chunks(stream.chunks(1), &limits).unwrap(), expected);
}

#[test]
fn attributes_are_stepped_over() {
    let stream = b"|1\r\n+ttl\r\n*1\r\n:3600\r\n*2\r\n|0\r\n:1\r\n|1\r\n+a\r\n+b\r\n:2\r\n";
    let expected = Value::Array(vec![Value::Integer(1), Value::Integer(2)]);
    assert_eq!(read(stream, &ReplyLimits::default()).unwrap(), [expected]);
}

#[test]
fn malformed_replies_are_refused() {
    assert_eq!(error(b"GET / HTTP/1.1\r\n"), ReplyError::UnknownType(b'G'));
    assert_eq!(error(b"*1\r\n\0"), ReplyError::UnknownType(0));
    for stream in ["$-2\r\n", "$01\r\n", "$?\r\n", "*?\r\n", "*-2\r\n", "%-1\r\n", "~x\r\n", "$\r\n"] {
        assert_eq!(error(stream.as_bytes()), ReplyError::InvalidLength, "{stream:?}");
    }
    for stream in [":\r\n", ":1.5\r\n", ":9223372036854775808\r\n", ",x\r\n", "#1\r\n", "(1x\r\n", "(\r\n"] {
        assert_eq!(error(stream.as_bytes()), ReplyError::InvalidNumber, "{stream:?}");
    }
    for stream in ["$1\r\nxyz", "+OK\rX", "_x\r\n"] {
        assert_eq!(error(stream.as_bytes()), ReplyError::MissingTerminator, "{stream:?}");
    }
    assert_eq!(error(b"=2\r\nhi\r\n"), ReplyError::InvalidVerbatim);
    let endless = [&b":"[..], &[b'1'; 600]].concat();
    assert_eq!(error(&endless), ReplyError::BulkTooLong);
}

#[test]
fn limits_hold_before_the_bytes_arrive() {
    let limits = ReplyLimits { max_bulk: 5, max_depth: 2, max_elements: 6 };
    for stream in ["$5\r\n", "+12345", "*6\r\n", "%3\r\n", "*1\r\n*1\r\n"] {
        assert_eq!(read(stream.as_bytes(), &limits), Ok(vec![]), "{stream:?}");
    }
    for (stream, error) in [
        ("$6\r\n", ReplyError::BulkTooLong),
        ("+123456", ReplyError::BulkTooLong),
        ("*7\r\n", ReplyError::TooManyElements),
        ("%4\r\n", ReplyError::TooManyElements),
        ("*4\r\n*3\r\n", ReplyError::TooManyElements),
        ("%9223372036854775807\r\n", ReplyError::TooManyElements),
        ("*1\r\n*1\r\n*1\r\n", ReplyError::TooDeep),
        ("|1\r\n|1\r\n|1\r\n", ReplyError::TooDeep),
    ] {
        assert_eq!(read(stream.as_bytes(), &limits), Err(error), "{stream:?}");
    }
}

/// Text that survives as a line.
fn line() -> impl Strategy<Value = Vec<u8>> {
    "[ -~]{0,20}".prop_map(String::into_bytes)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        line().prop_map(Value::Simple),
        line().prop_map(Value::Error),
        prop_oneof![any::<i64>(), -5i64..2000].prop_map(Value::Integer),
        vec(any::<u8>(), 0..40).prop_map(Value::Bulk),
        Just(Value::Null),
        any::<f64>().prop_filter("NaN differs from itself", |value| !value.is_nan()).prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        "-?[0-9]{1,30}".prop_map(|text| Value::BigNumber(text.into_bytes())),
        line().prop_map(|text| Value::Verbatim(*b"mkd", text)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec(inner.clone(), 0..6).prop_map(Value::Set),
            vec(inner.clone(), 0..6).prop_map(Value::Push),
            vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

/// What a value is to a client that speaks RESP2.
fn in_resp2(value: Value) -> Value {
    let all = |values: Vec<Value>| Value::Array(values.into_iter().map(in_resp2).collect());
    match value {
        Value::Array(values) | Value::Set(values) | Value::Push(values) => all(values),
        Value::Map(pairs) => all(pairs.into_iter().flat_map(|(k, v)| [k, v]).collect()),
        Value::Double(value) => Value::bulk(kvdb_resp::format_double(value)),
        Value::Boolean(value) => Value::Integer(value.into()),
        Value::BigNumber(text) | Value::Verbatim(_, text) => Value::Bulk(text),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn written_replies_are_read_back(values in vec(value(), 1..4)) {
        let limits = ReplyLimits::default();
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let mut stream = Vec::new();
            for value in &values {
                value.write(&mut Reply::new(&mut stream, protocol));
            }
            let expected: Vec<Value> = match protocol {
                Protocol::Resp2 => values.iter().cloned().map(in_resp2).collect(),
                Protocol::Resp3 => values.clone(),
            };
            prop_assert_eq!(&read(&stream, &limits).unwrap(), &expected);
            prop_assert_eq!(&read_in_chunks(stream.chunks(1), &limits).unwrap(), &expected);
            let split = stream.len() / 2;
            let halves = [&stream[..split], &stream[split..]];
            prop_assert_eq!(&read_in_chunks(halves, &limits).unwrap(), &expected);
        }
    }

    #[test]
    fn an_error_text_never_makes_a_second_reply(text in vec(any::<u8>(), 0..60)) {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let mut stream = Vec::new();
            Reply::new(&mut stream, protocol).error(&text);
            let values = read(&stream, &ReplyLimits::default()).unwrap();
            prop_assert!(matches!(&values[..], [Value::Error(read)] if read.len() == text.len()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn the_same_bytes_mean_the_same_however_they_are_cut(
        stream in "([*%~>|$:,#_(=!+-][0-9?tf-]{0,2}(\r\n)?[a1]{0,2}(\r\n)?){0,10}",
    ) {
        let limits = ReplyLimits { max_bulk: 100, max_depth: 4, max_elements: 100 };
        let expected = read(stream.as_bytes(), &limits);
        let in_bytes = read_in_chunks(stream.as_bytes().chunks(1), &limits);
        prop_assert_eq!(in_bytes, expected);
    }
}
