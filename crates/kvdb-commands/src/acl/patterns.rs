//! Patterns of keys and channels.

use crate::values::glob::{Case, matches};

/// What is done with a key: it is read, written, both, or its value is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// Its value is returned, copied or compared.
    pub read: bool,
    /// Its value is changed or removed.
    pub write: bool,
}

impl Access {
    /// Reading and writing.
    pub const ALL: Self = Self { read: true, write: true };
    /// Reading alone.
    pub const READ: Self = Self { read: true, write: false };

    /// What the flags of a key specification mean.
    pub fn of(flags: &[&str]) -> Self {
        let any = |names: &[&str]| flags.iter().any(|flag| names.contains(flag));
        Self { read: any(&["access"]), write: any(&["update", "insert", "delete"]) }
    }

    fn includes(self, other: Self) -> bool {
        (self.read || !other.read) && (self.write || !other.write)
    }
}

/// Keys, and what may be done with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyPattern {
    pattern: Box<[u8]>,
    access: Access,
}

/// Patterns of keys, or all keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Keys {
    pub(super) all: bool,
    patterns: Vec<KeyPattern>,
}

impl Keys {
    /// All keys, or none.
    pub(super) fn set_all(&mut self, all: bool) {
        (self.all, self.patterns) = (all, Vec::new());
    }

    /// Adds a pattern; one that is there already may be used for both.
    pub(super) fn add(&mut self, pattern: &[u8], access: Access) {
        match self.patterns.iter_mut().find(|known| *known.pattern == *pattern) {
            Some(known) => {
                known.access.read |= access.read;
                known.access.write |= access.write;
            }
            None => self.patterns.push(KeyPattern { pattern: pattern.into(), access }),
        }
    }

    /// Whether this may be done with a key.
    pub(super) fn allow(&self, key: &[u8], access: Access) -> bool {
        self.all
            || self
                .patterns
                .iter()
                .any(|known| known.access.includes(access) && matches(&known.pattern, key, Case::Sensitive))
    }

    /// Whether every key may be read.
    pub(super) fn allow_reading_all(&self) -> bool {
        self.all || self.patterns.iter().any(|known| known.access.read && *known.pattern == *b"*")
    }

    /// The rules that give these keys.
    pub(super) fn describe(&self) -> Vec<Vec<u8>> {
        if self.all {
            return vec![b"~*".to_vec()];
        }
        let describe = |known: &KeyPattern| {
            let sign: &[u8] = match known.access {
                Access { read: true, write: false } => b"%R~",
                Access { read: false, write: true } => b"%W~",
                // `~*` would be the rule that forgets all other patterns.
                Access { .. } if *known.pattern == *b"*" => b"%RW~",
                Access { .. } => b"~",
            };
            [sign, &known.pattern].concat()
        };
        self.patterns.iter().map(describe).collect()
    }
}

/// Patterns of channels, or all channels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Channels {
    pub(super) all: bool,
    patterns: Vec<Box<[u8]>>,
}

impl Channels {
    /// All channels, or none.
    pub(super) fn set_all(&mut self, all: bool) {
        (self.all, self.patterns) = (all, Vec::new());
    }

    /// Adds a pattern.
    pub(super) fn add(&mut self, pattern: &[u8]) {
        if !self.patterns.iter().any(|known| **known == *pattern) {
            self.patterns.push(pattern.into());
        }
    }

    /// Whether a channel may be used; a pattern of channels has to be one of these to the letter.
    pub(super) fn allow(&self, channel: &[u8], is_pattern: bool) -> bool {
        let covers = |known: &[u8]| {
            if is_pattern { known == channel } else { matches(known, channel, Case::Sensitive) }
        };
        self.all || self.patterns.iter().any(|known| covers(known))
    }

    /// The rules that give these channels.
    pub(super) fn describe(&self) -> Vec<Vec<u8>> {
        if self.all {
            return vec![b"&*".to_vec()];
        }
        self.patterns.iter().map(|known| [b"&", &**known].concat()).collect()
    }
}
