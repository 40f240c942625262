//! Requests, whole and in pieces.

use kvdb_resp::{Decoded, Decoder, Limits, OwnedArgs, encode_command};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::connection::{feed, trickle, whole};

/// A stream with every form of request in it.
const MIXED: &[u8] = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000123456\r\n\
    PING\r\n\
    *0\r\n\
    *3\r\n$3\r\nSET\r\n$0\r\n\r\n$2\r\n\r\n\r\n\
    \r\n\
    SET k 'quoted \\' value' \"\\x00\\r\\n\"\n\
    *-1\r\n\
    *12\r\n$4\r\nMGET\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n\
    $1\r\n7\r\n$1\r\n8\r\n$1\r\n9\r\n$1\r\na\r\n$1\r\nb\r\n\
      echo  plain words \r\n\
    *1\r\n$104\r\n01234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789012345678901\r\n\r\n";

#[test]
fn the_mixed_stream_is_read() {
    let (requests, error) = whole(MIXED, &Limits::default()).summary();
    assert_eq!(error, None);
    assert_eq!(requests[0], "GET key:000000123456");
    assert_eq!(requests[1], "PING");
    assert_eq!(requests[2], "SET  \\r\\n");
    assert_eq!(requests[3], "SET k quoted \\' value \\x00\\r\\n");
    assert_eq!(requests[4], "MGET 1 2 3 4 5 6 7 8 9 a b");
    assert_eq!(requests[5], "echo plain words");
    // An argument that ends in a CRLF of its own.
    assert_eq!(requests[6].len(), 102 + "\\r\\n".len());
    assert_eq!(requests.len(), 7);
}

#[test]
fn every_pair_of_split_points_gives_the_same_requests() {
    let limits = Limits::default();
    let expected = whole(MIXED, &limits);
    assert_eq!(trickle(MIXED, &limits), expected);
    for first in 0..=MIXED.len() {
        for second in (first..=MIXED.len()).step_by(7) {
            let chunks = [&MIXED[..first], &MIXED[first..second], &MIXED[second..]];
            assert_eq!(feed(chunks, &limits), expected, "{first}, {second}");
        }
    }
}

#[test]
fn a_long_request_may_arrive_byte_by_byte() {
    // Ten thousand arguments in 130 kB: starting over at every byte would take hours.
    let args: Vec<String> = (0..10_000).map(|i| format!("arg{i}")).collect();
    let mut stream = Vec::new();
    encode_command(&mut stream, &args);
    let mut decoder = Decoder::default();
    let limits = Limits::default();
    for len in 0..stream.len() {
        let decoded = decoder.decode(&stream[..len], &limits);
        let Ok(Decoded::Incomplete { needed }) = decoded else {
            panic!("{decoded:?} after {len} bytes");
        };
        assert!(len < needed && needed <= stream.len());
    }
    let consumed = stream.len();
    assert_eq!(decoder.decode(&stream, &limits), Ok(Decoded::Request { consumed }));
    let read: Vec<&[u8]> = decoder.args(&stream).iter().collect();
    assert_eq!(read.len(), args.len());
    assert!(read.iter().zip(&args).all(|(read, arg)| *read == arg.as_bytes()));
}

#[test]
fn an_announced_length_is_not_believed_before_it_arrives() {
    let mut decoder = Decoder::default();
    let stream = b"*1048576\r\n$536870912\r\nabc";
    let decoded = decoder.decode(stream, &Limits::default());
    assert_eq!(decoded, Ok(Decoded::Incomplete { needed: 64 * 1024 }));
    assert_eq!(decoder.allocated(), 0);
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 64);
    let limits = Limits::default();
    let mut stream = Vec::new();
    encode_command(&mut stream, vec!["x"; 5000]);
    let mut decoder = Decoder::default();
    assert!(matches!(decoder.decode(&stream, &limits), Ok(Decoded::Request { .. })));
    assert!(decoder.allocated() >= 5000 * 8);
    decoder.shrink();
    assert!(decoder.allocated() <= 256, "{}", decoder.allocated());
    let quoted = format!("'{}'\r\n", "x".repeat(5000));
    assert!(matches!(decoder.decode(quoted.as_bytes(), &limits), Ok(Decoded::Request { .. })));
    assert!(decoder.allocated() >= 5000);
    decoder.shrink();
    assert!(decoder.allocated() <= 256, "{}", decoder.allocated());
    assert!(matches!(decoder.decode(b"PING\r\n", &limits), Ok(Decoded::Request { .. })));
    assert_eq!(decoder.args(b"PING\r\n").name(), b"PING");
}

#[test]
fn shrinking_amid_a_request_loses_nothing() {
    let limits = Limits::default();
    let mut stream = Vec::new();
    encode_command(&mut stream, ["MSET", "a", "1", "b", "2"]);
    let mut decoder = Decoder::default();
    for len in 0..stream.len() {
        assert!(matches!(decoder.decode(&stream[..len], &limits), Ok(Decoded::Incomplete { .. })));
        decoder.shrink();
    }
    assert!(matches!(decoder.decode(&stream, &limits), Ok(Decoded::Request { .. })));
    let expected: OwnedArgs = ["MSET", "a", "1", "b", "2"].into_iter().collect();
    assert_eq!(decoder.args(&stream), expected.as_args());
}

#[test]
fn reset_forgets_a_request_under_way() {
    let limits = Limits::default();
    let mut decoder = Decoder::default();
    let half = b"*3\r\n$3\r\nSET\r\n$10\r\nab";
    assert!(matches!(decoder.decode(half, &limits), Ok(Decoded::Incomplete { .. })));
    decoder.reset();
    assert_eq!(decoder.decode(b"PING\r\n", &limits), Ok(Decoded::Request { consumed: 6 }));
    assert_eq!(decoder.args(b"PING\r\n").name(), b"PING");
    // An error resets, too.
    assert!(decoder.decode(b"*x\r\n", &limits).is_err());
    assert_eq!(decoder.decode(b"PING\r\n", &limits), Ok(Decoded::Request { consumed: 6 }));
}

fn argument() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..20),
        2 => vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'$'), Just(b'*'), Just(b'1')], 0..12),
        1 => vec(any::<u8>(), 90..120),
        1 => vec(Just(b'x'), 9_990..10_010),
    ]
}

fn request() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop_oneof![8 => vec(argument(), 1..8), 1 => vec(vec(any::<u8>(), 0..3), 95..105)]
}

/// Cuts `stream` at the given fractions of its length.
fn cut<'s>(stream: &'s [u8], fractions: &[u16]) -> Vec<&'s [u8]> {
    let at = |fraction: u16| stream.len() * usize::from(fraction) / usize::from(u16::MAX);
    let mut points: Vec<usize> = fractions.iter().copied().map(at).collect();
    points.sort_unstable();
    points.push(stream.len());
    let mut start = 0;
    let chunk = |end| &stream[std::mem::replace(&mut start, end)..end];
    points.into_iter().map(chunk).collect()
}

/// Bytes that are likely to be taken for a request for a while.
fn nearly_requests() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => (0usize..4).prop_map(|n| format!("*{n}\r\n").into_bytes()),
        4 => (0usize..4).prop_map(|n| format!("${n}\r\n{}\r\n", "ab\r"[..n.min(3)].to_owned()).into_bytes()),
        1 => any::<i64>().prop_map(|n| format!("*{n}\r\n").into_bytes()),
        1 => any::<i64>().prop_map(|n| format!("${n}\r\n").into_bytes()),
        1 => "[\\*\\$ \"'\\\\x0-9a\r\n]{0,8}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn encoded_requests_are_decoded(
        requests in vec(request(), 1..5),
        cuts in vec(any::<u16>(), 0..6),
    ) {
        let mut stream = Vec::new();
        for request in &requests {
            encode_command(&mut stream, request);
        }
        let session = feed(cut(&stream, &cuts), &Limits::default());
        let expected: Vec<OwnedArgs> = requests
            .into_iter()
            .map(|request| request.into_iter().collect())
            .collect();
        prop_assert!(session.end.is_ok());
        prop_assert_eq!(session.requests, expected);
    }

    #[test]
    fn quoted_inline_words_are_unquoted(words in vec(vec(any::<u8>(), 0..12), 1..6)) {
        let mut stream = Vec::new();
        for word in &words {
            let escaped: String = word.iter().map(|byte| format!("\\x{byte:02X}")).collect();
            stream.extend_from_slice(format!("\"{escaped}\" ").as_bytes());
        }
        stream.extend_from_slice(b"\r\n");
        let session = whole(&stream, &Limits::default());
        prop_assert_eq!(&session.requests, &[words.into_iter().collect::<OwnedArgs>()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn the_same_bytes_mean_the_same_however_they_are_cut(
        stream in nearly_requests(),
        cuts in vec(any::<u16>(), 0..6),
        authenticated in any::<bool>(),
    ) {
        let limits = Limits { max_inline: 24, max_bulk: 1000, authenticated, ..Limits::default() };
        let expected = whole(&stream, &limits);
        prop_assert_eq!(&feed(cut(&stream, &cuts), &limits), &expected);
        prop_assert_eq!(&trickle(&stream, &limits), &expected);
    }
}
