//! `notify-keyspace-events`: which events are published, and on which channels.

use std::fmt;

use super::Invalid;

/// A set of event classes, one bit each.
///
/// An event is published when its class is in the set and at least one of
/// [`KEYSPACE`](Self::KEYSPACE) and [`KEYEVENT`](Self::KEYEVENT) is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventClasses(u16);

impl EventClasses {
    /// `K`: publish on `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: Self = Self(1);
    /// `E`: publish on `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: Self = Self(1 << 1);
    /// `g`: commands of any type, such as DEL, EXPIRE and RENAME.
    pub const GENERIC: Self = Self(1 << 2);
    /// `$`: string commands.
    pub const STRING: Self = Self(1 << 3);
    /// `l`: list commands.
    pub const LIST: Self = Self(1 << 4);
    /// `s`: set commands.
    pub const SET: Self = Self(1 << 5);
    /// `h`: hash commands.
    pub const HASH: Self = Self(1 << 6);
    /// `z`: sorted set commands.
    pub const ZSET: Self = Self(1 << 7);
    /// `x`: a key expired.
    pub const EXPIRED: Self = Self(1 << 8);
    /// `e`: a key was evicted.
    pub const EVICTED: Self = Self(1 << 9);
    /// `t`: stream commands.
    pub const STREAM: Self = Self(1 << 10);
    /// `d`: events of modules.
    pub const MODULE: Self = Self(1 << 11);
    /// `n`: a key came to be. Not part of `A`.
    pub const NEW: Self = Self(1 << 12);
    /// `m`: a key was asked for that does not exist. Not part of `A`.
    pub const MISS: Self = Self(1 << 13);
    /// `A`: every class but `m` and `n`.
    pub const ALL: Self = Self(0b1111_1111_1100);

    /// The letters in the order in which they are shown.
    const LETTERS: [(char, Self); 14] = [
        ('g', Self::GENERIC),
        ('$', Self::STRING),
        ('l', Self::LIST),
        ('s', Self::SET),
        ('h', Self::HASH),
        ('z', Self::ZSET),
        ('x', Self::EXPIRED),
        ('e', Self::EVICTED),
        ('t', Self::STREAM),
        ('d', Self::MODULE),
        ('K', Self::KEYSPACE),
        ('E', Self::KEYEVENT),
        ('m', Self::MISS),
        ('n', Self::NEW),
    ];

    /// The bits, for a holder that keeps them in an atomic.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Whether every class of `other` is in the set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The classes that `word` names.
    ///
    /// # Errors
    /// [`Invalid`] when a letter names none.
    pub(in crate::settings) fn parse(word: &str) -> Result<Self, Invalid> {
        let mut set = Self::default();
        for letter in word.chars() {
            let known = Self::LETTERS.iter().find(|(known, _)| *known == letter);
            set.0 |= match (letter, known) {
                ('A', _) => Self::ALL.0,
                (_, Some((_, class))) => class.0,
                (_, None) => {
                    return Err(Invalid::new("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."));
                }
            };
        }
        Ok(set)
    }
}

impl fmt::Display for EventClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.contains(Self::ALL);
        if all {
            f.write_str("A")?;
        }
        for (letter, class) in Self::LETTERS {
            if self.contains(class) && !(all && Self::ALL.contains(class)) {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_name_classes() {
        for (word, shown) in [
            ("", ""),
            ("KA", "AK"),
            ("KEA", "AKE"),
            ("Kg$lshzxetd", "AK"),
            ("Exg", "gxE"),
            ("KEAmn", "AKEmn"),
        ] {
            let set = EventClasses::parse(word).unwrap();
            assert_eq!(set.to_string(), shown, "{word}");
            assert_eq!(EventClasses::parse(shown), Ok(set), "{word}");
        }
        assert!(EventClasses::parse("KA").unwrap().contains(EventClasses::EXPIRED));
        assert!(!EventClasses::parse("KA").unwrap().contains(EventClasses::KEYEVENT));
        assert!(!EventClasses::ALL.contains(EventClasses::KEYSPACE));
        assert!(!EventClasses::ALL.contains(EventClasses::NEW));
    }

    #[test]
    fn other_letters_are_refused() {
        let error = EventClasses::parse("KQ").unwrap_err();
        assert_eq!(error.to_string(), "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    }
}
