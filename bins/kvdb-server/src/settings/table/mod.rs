//! The table of settings: one row each, from which everything else follows.
//!
//! The file parser, the environment, the command line, CONFIG GET, SET and REWRITE and the
//! documentation all read these rows; none of them knows a setting by name.

mod cluster;
mod encoding;
mod limits;
mod logging;
mod memory;
mod network;
mod persistence;
mod process;
mod replication;
mod storage;
mod tls;

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a value of a setting looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A decimal integer of the range, both ends included.
    Int {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
        /// What the number counts.
        unit: Unit,
    },
    /// An integer that is moved into the range instead of being refused.
    Clamped {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// A size in bytes of the range, both ends included; written with units.
    Memory {
        /// The least value, in bytes.
        min: u64,
        /// The greatest value, in bytes.
        max: u64,
    },
    /// A size in bytes, or a percentage of `maxmemory`.
    MemoryOrPercent,
    /// Permission bits, in octal.
    Octal,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// Any text.
    Text,
    /// Any text, never printed except to a client that may read it.
    Secret,
    /// A version of three numbers.
    Version,
    /// The letters of `notify-keyspace-events`.
    Events,
    /// Addresses to listen on; many words.
    Bind,
    /// Pairs of seconds and changes; many words, and lines add up.
    Save,
    /// Groups of a client class, two sizes and seconds; many words.
    ClientLimits,
    /// Percentiles; many words.
    Percentiles,
    /// Three scores for the kernel's out-of-memory killer; many words.
    OomScores,
    /// The host and port of a primary, or `no one`; two words.
    Primary,
    /// A line of a configuration file that has an effect instead of a value: not seen by CONFIG.
    Directive,
}

impl Kind {
    /// Whether a value is a list of words rather than one.
    #[must_use]
    pub fn takes_many_words(self) -> bool {
        matches!(
            self,
            Self::Bind
                | Self::Save
                | Self::ClientLimits
                | Self::Percentiles
                | Self::OomScores
                | Self::Primary
        )
    }
}

/// What an integer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    None,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
}

/// Whether KVDB acts on a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It does.
    Apply,
    /// It does not, for this reason; the value is kept for clients that read it back.
    AcceptedOnly(&'static str),
    /// It does not, for this reason, and to go on without would leave the server less protected, or
    /// with other data, than the operator believes: any value but the default stops the start.
    Refused(&'static str),
}

/// The part of the documentation that a setting belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// The heading.
    pub title: &'static str,
    /// The settings, in the order of the documentation.
    pub settings: &'static [Setting],
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The name, in lower case.
    pub name: &'static str,
    /// An older or newer name of the same setting.
    pub alias: Option<&'static str>,
    /// What a value looks like.
    pub kind: Kind,
    /// The value when nothing sets another, in the form an operator would write.
    pub default: &'static str,
    /// Whether CONFIG SET may change it.
    pub mutable: bool,
    /// Whether KVDB acts on it.
    pub apply: Applied,
    /// What it does, in sentences. Empty for settings that are only accepted: the reason says all.
    pub doc: &'static str,
}

impl Setting {
    /// A setting that is applied and that CONFIG SET may change.
    const fn new(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Self {
        Self { name, alias: None, kind, default, mutable: true, apply: Applied::Apply, doc }
    }

    /// A setting that is accepted for compatibility, for this reason.
    const fn accepted(name: &'static str, kind: Kind, default: &'static str, reason: &'static str) -> Self {
        let mut setting = Self::new(name, kind, default, "");
        setting.apply = Applied::AcceptedOnly(reason);
        setting
    }

    /// A setting that cannot be honoured nor ignored, for this reason.
    const fn refused(name: &'static str, kind: Kind, default: &'static str, reason: &'static str) -> Self {
        let mut setting = Self::new(name, kind, default, "").fixed();
        setting.apply = Applied::Refused(reason);
        setting
    }

    /// The same, not to be changed by CONFIG SET.
    const fn fixed(mut self) -> Self {
        self.mutable = false;
        self
    }

    /// The same, with a second name.
    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// Whether the setting has a value that CONFIG GET shows.
    #[must_use]
    pub fn has_value(&self) -> bool {
        self.kind != Kind::Directive
    }
}

/// An integer without a unit.
const fn number(min: i64, max: i64) -> Kind {
    Kind::Int { min, max, unit: Unit::None }
}

/// A number of seconds; Redis keeps these in a C `int`.
const fn seconds(min: i64) -> Kind {
    Kind::Int { min, max: INT_MAX, unit: Unit::Seconds }
}

/// A size in bytes without a limit of its own.
const fn memory() -> Kind {
    Kind::Memory { min: 0, max: u64::MAX }
}

/// The reason for settings whose subject KVDB has, without a need for this value.
const UNUSED: &str = "KVDB does not use this value";

/// The range of a C `int` upwards, which Redis gives to most of its numbers.
const INT_MAX: i64 = i32::MAX as i64;

/// Every area, in the order of the documentation.
pub const AREAS: [Area; 11] = [
    Area { title: "Network and clients", settings: network::SETTINGS },
    Area { title: "Memory", settings: memory::SETTINGS },
    Area { title: "Persistence", settings: persistence::SETTINGS },
    Area { title: "Limits and scheduling", settings: limits::SETTINGS },
    Area { title: "Logging and observation", settings: logging::SETTINGS },
    Area { title: "Storage engine", settings: storage::SETTINGS },
    Area { title: "Redis: encodings and memory", settings: encoding::SETTINGS },
    Area { title: "Redis: process", settings: process::SETTINGS },
    Area { title: "Redis: replication", settings: replication::SETTINGS },
    Area { title: "Redis: cluster", settings: cluster::SETTINGS },
    Area { title: "Redis: TLS", settings: tls::SETTINGS },
];

/// Every setting, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    AREAS.iter().flat_map(|area| area.settings)
}

/// The setting called `name`, by its name or its alias, in any case.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Setting>> = LazyLock::new(|| {
        let names = |setting: &'static Setting| std::iter::once(setting.name).chain(setting.alias);
        all().flat_map(|setting| names(setting).map(move |name| (name, setting))).collect()
    });
    BY_NAME.get(name.to_ascii_lowercase().as_str()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_in_lower_case() {
        let mut seen = HashSet::new();
        for setting in all() {
            for name in std::iter::once(setting.name).chain(setting.alias) {
                assert!(seen.insert(name), "{name} is in the table twice");
                assert_eq!(name, name.to_ascii_lowercase());
                assert_eq!(find(&name.to_ascii_uppercase()).map(|found| found.name), Some(setting.name));
            }
        }
        assert_eq!(find("no-such-setting"), None);
    }

    #[test]
    fn every_default_is_valid_and_has_one_canonical_text() {
        use super::super::values::canonical;
        for setting in all().filter(|setting| setting.has_value()) {
            let text = canonical(setting.kind, &[setting.default], "")
                .unwrap_or_else(|error| panic!("the default of {}: {error}", setting.name));
            assert_eq!(canonical(setting.kind, &[&text], ""), Ok(text.clone()), "{}", setting.name);
        }
    }

    #[test]
    fn every_setting_says_what_it_does() {
        for setting in all() {
            let text = match setting.apply {
                Applied::Apply => setting.doc,
                Applied::AcceptedOnly(reason) | Applied::Refused(reason) => reason,
            };
            assert!(!text.is_empty() && !text.ends_with(' '), "{}", setting.name);
            assert_eq!(setting.apply == Applied::Apply, !setting.doc.is_empty(), "{}", setting.name);
        }
    }
}
