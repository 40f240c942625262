//! A user: passwords and selectors.

use super::password::Password;
use super::patterns::Access;
use super::rules::RuleError;
use super::selector::Selector;

/// What a user begins with that is not nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Defaults {
    /// All channels (`acl-pubsub-default allchannels`).
    pub all_channels: bool,
}

/// The rights of a user.
///
/// # Invariants
/// - [`Self::describe`] gives rules that make this user of a fresh one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Whether somebody may become this user.
    pub enabled: bool,
    /// Whether any password will do.
    pub nopass: bool,
    /// Said by `skip-sanitize-payload`; what RESTORE is given is checked all the same.
    skip_sanitize_payload: bool,
    passwords: Vec<Password>,
    root: Selector,
    selectors: Vec<Selector>,
}

impl User {
    /// A user that nobody can become and that may do nothing.
    pub fn new(defaults: Defaults) -> Self {
        Self {
            enabled: false,
            nopass: false,
            skip_sanitize_payload: false,
            passwords: Vec::new(),
            root: Selector::new(defaults.all_channels),
            selectors: Vec::new(),
        }
    }

    /// A user that everybody is and that may do everything.
    pub fn unrestricted() -> Self {
        let mut user = Self::new(Defaults { all_channels: true });
        (user.enabled, user.nopass) = (true, true);
        user.root.commands.set_all(true);
        user.root.keys.set_all(true);
        user
    }

    /// Applies a rule.
    ///
    /// # Errors
    /// When it is none; the user is then as before.
    pub fn apply(&mut self, rule: &[u8], defaults: Defaults) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"nopass" => (self.nopass, self.passwords) = (true, Vec::new()),
            b"resetpass" => (self.nopass, self.passwords) = (false, Vec::new()),
            b"skip-sanitize-payload" => self.skip_sanitize_payload = true,
            b"sanitize-payload" => self.skip_sanitize_payload = false,
            b"clearselectors" => self.selectors.clear(),
            b"reset" => *self = Self::new(defaults),
            _ => match *rule {
                [b'>', ref text @ ..] => self.add_password(Password::of(text)),
                [b'#', ref hash @ ..] => {
                    self.add_password(Password::from_hex(hash).ok_or(RuleError::BadHash)?)
                }
                [b'<', ref text @ ..] => self.remove_password(Password::of(text))?,
                [b'!', ref hash @ ..] => {
                    self.remove_password(Password::from_hex(hash).ok_or(RuleError::BadHash)?)?;
                }
                [b'(', .., b')'] => self.selectors.push(Selector::parse(rule, defaults.all_channels)?),
                _ => self.root.apply(rule)?,
            },
        }
        Ok(())
    }

    fn add_password(&mut self, password: Password) {
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
        self.nopass = false;
    }

    fn remove_password(&mut self, password: Password) -> Result<(), RuleError> {
        let before = self.passwords.len();
        self.passwords.retain(|known| *known != password);
        if self.passwords.len() == before { Err(RuleError::NoSuchPassword) } else { Ok(()) }
    }

    /// Whether somebody with this password may become the user.
    pub fn admits(&self, password: &[u8]) -> bool {
        if !self.enabled {
            return false;
        }
        let given = Password::of(password);
        // All are compared: which one it was does not show in the time that it takes.
        let known = self.passwords.iter().fold(false, |known, one| (*one == given) | known);
        self.nopass || known
    }

    /// Whether the user may do everything.
    pub fn is_unrestricted(&self) -> bool {
        self.root.is_unrestricted()
    }

    /// All selectors, the root first.
    pub(super) fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// The selector that has no parentheses.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// The selectors that have.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// The passwords.
    pub fn passwords(&self) -> &[Password] {
        &self.passwords
    }

    /// The flags, as ACL GETUSER shows them.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        if self.nopass {
            flags.push("nopass");
        }
        flags.push(if self.skip_sanitize_payload { "skip-sanitize-payload" } else { "sanitize-payload" });
        flags
    }

    /// Whether a subscription may stay.
    pub fn may_listen(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_selectors().any(|selector| selector.channels.allow(channel, is_pattern))
    }

    /// Whether one selector allows the command and reading every key.
    pub(super) fn may_read_all(selector: &Selector) -> bool {
        selector.keys.allow_reading_all()
    }

    /// Whether this may be done with a key, whatever the command.
    pub fn may_use_key(&self, key: &[u8], access: Access) -> bool {
        self.all_selectors().any(|selector| selector.keys.allow(key, access))
    }

    /// The rules that make this user of a fresh one, as ACL LIST shows them.
    pub fn describe(&self) -> Vec<u8> {
        let mut rules: Vec<Vec<u8>> = self.flags().into_iter().map(|flag| flag.as_bytes().to_vec()).collect();
        rules.extend(self.passwords.iter().map(|password| format!("#{}", password.to_hex()).into_bytes()));
        rules.push(self.root.describe());
        rules.extend(self.selectors.iter().map(|selector| [b"(", &*selector.describe(), b")"].concat()));
        rules.join(&b' ')
    }
}
