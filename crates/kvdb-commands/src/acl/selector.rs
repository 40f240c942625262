//! A selector: commands, with the keys and channels that they may be used on.

use super::commands::{Commands, is_space};
use super::patterns::{Access, Channels, Keys};
use super::rules::RuleError;

/// What may be done, as far as one selector goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    pub(super) commands: Commands,
    pub(super) keys: Keys,
    pub(super) channels: Channels,
}

impl Selector {
    /// One that allows nothing, except all channels if `all_channels`.
    pub(super) fn new(all_channels: bool) -> Self {
        let mut selector = Self::default();
        selector.channels.set_all(all_channels);
        selector
    }

    /// The selector of a rule in parentheses. A word in it must not end with one: in a file of users, and in what ACL LIST
    /// says, it would be taken for the end of the selector.
    pub(super) fn parse(rule: &[u8], all_channels: bool) -> Result<Self, RuleError> {
        let inner = &rule[1..rule.len() - 1];
        let mut selector = Self::new(all_channels);
        for word in inner.split(|&byte| is_space(byte)).filter(|word| !word.is_empty()) {
            if word.last() == Some(&b')') {
                return Err(RuleError::Syntax);
            }
            selector.apply(word)?;
        }
        Ok(selector)
    }

    /// Applies a rule.
    pub(super) fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => self.keys.set_all(true),
            b"resetkeys" => self.keys.set_all(false),
            b"allchannels" | b"&*" => self.channels.set_all(true),
            b"resetchannels" => self.channels.set_all(false),
            b"allcommands" | b"+@all" => self.commands.set_all(true),
            b"nocommands" | b"-@all" => self.commands.set_all(false),
            _ => match *rule {
                [b'~', ref pattern @ ..] => self.add_keys(pattern, Access::ALL)?,
                [b'%', ref rest @ ..] => {
                    let (access, pattern) = access(rest)
                        .filter(|_| !self.keys.all)
                        .ok_or(if self.keys.all { RuleError::AfterAllKeys } else { RuleError::Syntax })?;
                    self.add_keys(pattern, access)?;
                }
                [b'&', ref pattern @ ..] => self.add_channels(pattern)?,
                [b'+', ref rest @ ..] => self.commands.apply(true, rest)?,
                [b'-', ref rest @ ..] => self.commands.apply(false, rest)?,
                _ => return Err(RuleError::Syntax),
            },
        }
        Ok(())
    }

    fn add_keys(&mut self, pattern: &[u8], access: Access) -> Result<(), RuleError> {
        if self.keys.all {
            return Err(RuleError::AfterAllKeys);
        }
        one_word(pattern)?;
        self.keys.add(pattern, access);
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.channels.all {
            return Err(RuleError::AfterAllChannels);
        }
        one_word(pattern)?;
        self.channels.add(pattern);
        Ok(())
    }

    /// Whether it allows everything.
    pub(super) fn is_unrestricted(&self) -> bool {
        self.commands.all && self.keys.all && self.channels.all
    }

    /// The commands, as ACL GETUSER shows them.
    pub fn describe_commands(&self) -> Vec<u8> {
        self.commands.describe().join(&b' ')
    }

    /// The keys, as ACL GETUSER shows them.
    pub fn describe_keys(&self) -> Vec<u8> {
        self.keys.describe().join(&b' ')
    }

    /// The channels, as ACL GETUSER shows them.
    pub fn describe_channels(&self) -> Vec<u8> {
        self.channels.describe().join(&b' ')
    }

    /// The rules that make this selector of a fresh one.
    pub(super) fn describe(&self) -> Vec<u8> {
        let mut rules = self.keys.describe();
        if !self.channels.all {
            rules.push(b"resetchannels".to_vec());
        }
        rules.extend(self.channels.describe());
        rules.extend(self.commands.describe());
        rules.join(&b' ')
    }
}

/// What the letters of `%RW~pattern` allow, and the pattern.
fn access(rule: &[u8]) -> Option<(Access, &[u8])> {
    // As in Redis, `%R` without more is the empty pattern.
    let tilde = rule.iter().position(|&byte| byte == b'~').unwrap_or(rule.len());
    let mut access = Access::default();
    for letter in &rule[..tilde] {
        let one = match letter.to_ascii_uppercase() {
            b'R' => &mut access.read,
            b'W' => &mut access.write,
            _ => return None,
        };
        if std::mem::replace(one, true) {
            return None;
        }
    }
    (access != Access::default()).then(|| (access, rule.get(tilde + 1..).unwrap_or_default()))
}

/// A pattern with a space in it could not be written down.
fn one_word(pattern: &[u8]) -> Result<(), RuleError> {
    if pattern.iter().any(|&byte| is_space(byte)) { Err(RuleError::Syntax) } else { Ok(()) }
}
