//! A client's bytes: whatever they are, and however they are cut, they decode to the same
//! requests or the same error, and every request that was read can be sent again.

#![no_main]

use kvdb_resp::{Decoded, Decoder, Limits, OwnedArgs, ProtocolError, encode_command};
use libfuzzer_sys::fuzz_target;

type Session = (Vec<OwnedArgs>, Option<ProtocolError>);

fn feed<'c>(chunks: impl Iterator<Item = &'c [u8]>, limits: &Limits) -> Session {
    let mut decoder = Decoder::default();
    let mut buffer = Vec::new();
    let mut requests = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            let consumed = match decoder.decode(&buffer, limits) {
                Ok(Decoded::Request { consumed }) => {
                    requests.push(OwnedArgs::from(decoder.args(&buffer)));
                    consumed
                }
                Ok(Decoded::Skip { consumed }) => consumed,
                Ok(Decoded::Incomplete { needed }) => {
                    assert!(needed > buffer.len() && needed <= (2 * buffer.len()).max(64 * 1024));
                    break;
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                    return (requests, Some(error));
                }
            };
            assert!(consumed > 0);
            buffer.drain(..consumed);
        }
    }
    (requests, None)
}

// The first two bytes choose the limits and the size of the chunks.
fuzz_target!(|data: &[u8]| {
    let [flags, chunk, stream @ ..] = data else {
        return;
    };
    let limits = Limits {
        authenticated: flags & 1 == 0,
        max_inline: if flags & 2 == 0 { 64 * 1024 } else { 16 },
        max_bulk: if flags & 4 == 0 { 512 * 1024 * 1024 } else { 20 },
        ..Limits::default()
    };
    let whole = feed([stream].into_iter(), &limits);
    let cut = feed(stream.chunks(usize::from(*chunk).max(1)), &limits);
    assert_eq!(whole, cut);

    let mut again = Vec::new();
    for request in &whole.0 {
        encode_command(&mut again, request.as_args());
    }
    let trusting = Limits::default();
    assert_eq!(feed([&again[..]].into_iter(), &trusting), (whole.0, None));
});
