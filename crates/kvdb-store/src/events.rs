//! Keyspace events: what has happened to a key, for those who listen.
//!
//! An [`Event`] has a name and a class; operators choose classes ([`EventClasses`], the setting
//! `notify-keyspace-events`). A command says what it has done ([`WriteCx::notify`]); the store says itself what no command
//! does: that a key has expired, is new, or was asked for in vain. Where nobody has chosen the class, that costs a look at
//! one word. The names, and the order in which one command's events come, are those of Redis.

use std::fmt;

use crate::news::Told;
use crate::write::WriteCx;

/// A set of event classes, one bit each.
///
/// An event is published when its class is in the set and at least one of [`KEYSPACE`](Self::KEYSPACE) and
/// [`KEYEVENT`](Self::KEYEVENT) is.
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

    /// The classes that letters name; nothing where one of them names none.
    #[must_use]
    pub fn parse(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::default(), |set, letter| {
            let named = Self::LETTERS.iter().find(|(known, _)| *known == letter).map(|&(_, class)| class);
            let class = if letter == 'A' { Self::ALL } else { named? };
            Some(set.and(class))
        })
    }

    /// The bits, for a holder that keeps them in an atomic.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The set of these bits.
    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Whether every class of `other` is in the set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The classes of both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether an event of any class is published at all.
    #[must_use]
    pub fn publishes(self) -> bool {
        self.contains(Self::KEYSPACE) || self.contains(Self::KEYEVENT)
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

/// Something that happens to keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Its class.
    pub class: EventClasses,
    /// Its name, a part of channels and the payload of messages.
    pub name: &'static str,
}

impl Event {
    /// A key is gone.
    pub const DEL: Self = Self::new(EventClasses::GENERIC, "del");
    /// A key was past its deadline and has been deleted.
    pub const EXPIRED: Self = Self::new(EventClasses::EXPIRED, "expired");
    /// A key has been deleted because there was no room for it.
    pub const EVICTED: Self = Self::new(EventClasses::EVICTED, "evicted");
    /// Fields of a hash were past their deadlines and have been deleted.
    pub const FIELDS_EXPIRED: Self = Self::new(EventClasses::HASH, "hexpired");
    /// A key has come to be.
    pub const NEW: Self = Self::new(EventClasses::NEW, "new");
    /// A key was asked for and is not there.
    pub const MISS: Self = Self::new(EventClasses::MISS, "keymiss");

    /// An event of a class.
    #[must_use]
    pub const fn new(class: EventClasses, name: &'static str) -> Self {
        Self { class, name }
    }
}

impl WriteCx<'_> {
    /// Says what has happened to a key.
    #[inline]
    pub fn notify(&mut self, event: Event, key: &[u8]) {
        if self.store.events().contains(event.class) {
            self.scratch.told.push(Told::event(event, self.db, key));
        }
    }

    /// Says what has happened to a collection, and that it is gone where nothing is left in it.
    #[inline]
    pub fn notify_edit(&mut self, event: Event, key: &[u8]) {
        if self.store.events().publishes() {
            self.notify(event, key);
            if self.find(key).1.is_none() {
                self.notify(Event::DEL, key);
            }
        }
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
            assert_eq!(EventClasses::parse(shown), Some(set), "{word}");
        }
        assert!(EventClasses::parse("KA").unwrap().contains(EventClasses::EXPIRED));
        assert!(!EventClasses::parse("KA").unwrap().contains(EventClasses::KEYEVENT));
        assert!(!EventClasses::ALL.contains(EventClasses::KEYSPACE));
        assert!(!EventClasses::ALL.contains(EventClasses::NEW));
        assert!(!EventClasses::ALL.publishes() && EventClasses::KEYEVENT.publishes());
        assert_eq!(EventClasses::parse("KQ"), None);
    }
}
