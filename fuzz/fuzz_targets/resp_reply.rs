//! A server's bytes: whatever they are, and however they are cut, they decode to the same replies
//! or the same error, and every reply that was read can be sent again.

#![no_main]

use kvdb_resp::{Protocol, Reply, ReplyDecoder, ReplyError, ReplyLimits, Value};
use libfuzzer_sys::fuzz_target;

const LIMITS: ReplyLimits = ReplyLimits { max_bulk: 1000, max_depth: 8, max_elements: 10_000 };

fn feed<'c>(chunks: impl Iterator<Item = &'c [u8]>) -> (Vec<Value>, Option<ReplyError>) {
    let mut decoder = ReplyDecoder::default();
    let mut buffer = Vec::new();
    let mut values = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            match decoder.decode(&buffer, &LIMITS) {
                Ok(Some((value, consumed))) => {
                    values.push(value);
                    buffer.drain(..consumed);
                }
                Ok(None) => break,
                Err(error) => return (values, Some(error)),
            }
        }
    }
    (values, None)
}

/// The replies as a server sends them; NaN compares as text.
fn written(values: &[Value], protocol: Protocol) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        value.write(&mut Reply::new(&mut out, protocol));
    }
    out
}

// The first byte chooses the size of the chunks.
fuzz_target!(|data: &[u8]| {
    let [chunk, stream @ ..] = data else {
        return;
    };
    let (values, error) = feed([stream].into_iter());
    let (in_chunks, chunked_error) = feed(stream.chunks(usize::from(*chunk).max(1)));
    let text = written(&values, Protocol::Resp3);
    assert_eq!(text, written(&in_chunks, Protocol::Resp3));
    assert_eq!(error, chunked_error);

    // Bytes that are no text are replaced where a line is written, and may then exceed a limit;
    // but what was sent is always as many replies as there were.
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let sent = written(&values, protocol);
        let (again, error) = feed([&sent[..]].into_iter());
        assert!(error == Some(ReplyError::BulkTooLong) || again.len() == values.len());
    }
});
