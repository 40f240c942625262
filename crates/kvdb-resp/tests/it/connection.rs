//! A server's side of a connection, without the server: bytes arrive in chunks of any size,
//! requests come out.

use kvdb_resp::{Decoded, Decoder, Limits, OwnedArgs, ProtocolError};

/// What a stream amounts to: its requests, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) requests: Vec<OwnedArgs>,
    pub(crate) end: Result<Rest, ProtocolError>,
}

/// Bytes of an unfinished request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rest(pub(crate) usize);

impl Session {
    /// The requests as text, words joined by a space, and the error's text, if any.
    pub(crate) fn summary(&self) -> (Vec<String>, Option<String>) {
        let texts = self.requests.iter().map(|request| {
            let words: Vec<_> = request.as_args().iter().map(|arg| arg.escape_ascii().to_string()).collect();
            words.join(" ")
        });
        (texts.collect(), self.end.as_ref().err().map(ToString::to_string))
    }
}

/// Feeds the chunks of a stream one after another.
pub(crate) fn feed<'c>(chunks: impl IntoIterator<Item = &'c [u8]>, limits: &Limits) -> Session {
    let mut decoder = Decoder::default();
    let mut buffer: Vec<u8> = Vec::new();
    let mut requests = Vec::new();
    for chunk in chunks {
        // A buffer that has just been moved: whatever the decoder remembers must be offsets.
        let mut grown = Vec::with_capacity(buffer.len() + chunk.len());
        grown.extend_from_slice(&buffer);
        grown.extend_from_slice(chunk);
        buffer = grown;
        let mut at = 0;
        loop {
            match decoder.decode(&buffer[at..], limits) {
                Ok(Decoded::Request { consumed }) => {
                    assert!(consumed > 0);
                    requests.push(OwnedArgs::from(decoder.args(&buffer[at..])));
                    at += consumed;
                }
                Ok(Decoded::Skip { consumed }) => {
                    assert!(consumed > 0);
                    at += consumed;
                }
                Ok(Decoded::Incomplete { needed }) => {
                    let have = buffer.len() - at;
                    assert!(needed > have, "{needed} of {have}");
                    assert!(needed <= (2 * have).max(64 * 1024), "{needed} of {have}");
                    break;
                }
                Err(error) => {
                    return Session { requests, end: Err(error) };
                }
            }
        }
        buffer.drain(..at);
    }
    Session { requests, end: Ok(Rest(buffer.len())) }
}

/// Feeds the stream at once.
pub(crate) fn whole(stream: &[u8], limits: &Limits) -> Session {
    feed([stream], limits)
}

/// Feeds the stream byte by byte.
pub(crate) fn trickle(stream: &[u8], limits: &Limits) -> Session {
    feed(stream.chunks(1), limits)
}
