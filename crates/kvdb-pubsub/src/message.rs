//! What was published.

/// A message and the channel it was published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'m> {
    /// The channel or shard channel.
    pub channel: &'m [u8],
    /// What was said.
    pub payload: &'m [u8],
}
