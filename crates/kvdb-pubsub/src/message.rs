//! What was published.

use bytes::{BufMut, Bytes, BytesMut};

/// A message and the channel it was published to: one allocation, which all receivers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The channel or shard channel.
    pub channel: Bytes,
    /// What was said.
    pub payload: Bytes,
}

impl Message {
    /// Copies both.
    #[must_use]
    pub fn new(channel: &[u8], payload: &[u8]) -> Self {
        let mut both = BytesMut::with_capacity(channel.len() + payload.len());
        both.put_slice(channel);
        both.put_slice(payload);
        let mut payload = both.freeze();
        Self { channel: payload.split_to(channel.len()), payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_and_payload_lie_in_one_allocation() {
        let message = Message::new(b"news", b"hello");
        assert_eq!((&message.channel[..], &message.payload[..]), (&b"news"[..], &b"hello"[..]));
        assert_eq!(message.channel.as_ptr().wrapping_add(4), message.payload.as_ptr());
        assert_eq!(Message::new(b"", b"").payload, Bytes::new());
    }
}
