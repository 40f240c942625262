//! `client-output-buffer-limit`: how much unsent reply a client may let pile up.

use std::fmt;
use std::time::Duration;

use super::{Invalid, memory_size};

/// The limit of one class of clients. A limit of 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientLimit {
    /// Bytes above which the client is closed at once.
    pub hard: u64,
    /// Bytes above which the client is closed after [`soft_for`](Self::soft_for).
    pub soft: u64,
    /// How long the client may stay above the soft limit.
    pub soft_for: Duration,
}

/// The limits of the three classes of clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Ordinary clients, MONITOR included.
    pub normal: ClientLimit,
    /// Replicas.
    pub replica: ClientLimit,
    /// Clients with at least one subscription.
    pub pubsub: ClientLimit,
}

impl ClientLimits {
    /// The limits of the canonical text `onto`, with the classes that `words` name changed.
    ///
    /// # Errors
    /// [`Invalid`] when `words` are not groups of a class, two sizes and a number of seconds.
    pub(in crate::settings) fn parse_onto(onto: &str, words: &[&str]) -> Result<Self, Invalid> {
        let mut limits = Self::default();
        let base: Vec<&str> = onto.split_ascii_whitespace().collect();
        limits.change(&base)?;
        limits.change(words)?;
        Ok(limits)
    }

    fn change(&mut self, words: &[&str]) -> Result<(), Invalid> {
        let (groups, rest) = words.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(Invalid::new("Wrong number of arguments in buffer limit configuration."));
        }
        for [class, hard, soft, seconds] in groups {
            let limit = match class.to_ascii_lowercase().as_str() {
                "normal" => &mut self.normal,
                "slave" | "replica" => &mut self.replica,
                "pubsub" => &mut self.pubsub,
                _ => {
                    return Err(Invalid::new(
                        "Invalid client class specified in buffer limit configuration.",
                    ));
                }
            };
            let malformed =
                || Invalid::new("Error in hard, soft or soft_seconds setting in buffer limit configuration.");
            let size = |word: &str| memory_size::parse(word).map_err(|_| malformed());
            *limit = ClientLimit {
                hard: size(hard)?,
                soft: size(soft)?,
                soft_for: Duration::from_secs(seconds.parse::<u32>().map_err(|_| malformed())?.into()),
            };
        }
        Ok(())
    }
}

impl fmt::Display for ClientLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = [("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub)];
        for (index, (class, limit)) in classes.into_iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{class} {} {} {}", limit.hard, limit.soft, limit.soft_for.as_secs())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";

    #[track_caller]
    fn parse(text: &str) -> Result<String, String> {
        let words: Vec<&str> = text.split(' ').collect();
        ClientLimits::parse_onto(BASE, &words)
            .map(|limits| limits.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn classes_that_are_not_named_keep_theirs() {
        assert_eq!(
            parse("replica 1mb 2mb 3").unwrap(),
            "normal 0 0 0 slave 1048576 2097152 3 pubsub 33554432 8388608 60"
        );
        assert_eq!(
            parse("Normal 1k 0 0 PUBSUB 0 0 0").unwrap(),
            "normal 1000 0 0 slave 268435456 67108864 60 pubsub 0 0 0"
        );
        assert_eq!(ClientLimits::parse_onto(BASE, &[]).unwrap().to_string(), BASE);
    }

    #[test]
    fn errors_are_those_of_redis() {
        assert_eq!(
            parse("pubsub 1 2").unwrap_err(),
            "Wrong number of arguments in buffer limit configuration."
        );
        assert_eq!(
            parse("foo 1 2 3").unwrap_err(),
            "Invalid client class specified in buffer limit configuration."
        );
        for text in ["pubsub x 2 3", "pubsub 1 -2 3", "pubsub 1 2 x", "pubsub 1 2 -1"] {
            assert_eq!(
                parse(text).unwrap_err(),
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
                "{text}"
            );
        }
    }
}
