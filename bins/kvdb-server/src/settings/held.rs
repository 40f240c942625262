//! The values in force as text, and where each was set.

use std::collections::BTreeMap;
use std::fmt;

use super::error::StartError;
use super::nearest::nearest;
use super::source::{Directive, Origin};
use super::table::{self, Applied, Kind, Setting};
use super::values::{self, Invalid};
use super::warning::{Concern, Warning};

/// One value.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// Its canonical text.
    pub(super) text: String,
    /// Where it was set.
    pub(super) origin: Origin,
    /// The variable or option that sets it again at every start, over what the file says.
    pub(super) pinned: Option<Origin>,
}

/// A value for every setting that has one.
///
/// # Invariants
/// - Every setting of the table that has a value is held.
/// - Every text is canonical for its kind.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Held(BTreeMap<&'static str, Value>);

/// The names and origins only: a log must not get a secret by way of `{:?}`.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.0.iter().filter(|(_, value)| value.origin != Origin::Default);
        f.debug_map().entries(set.map(|(name, value)| (name, &value.origin))).finish()
    }
}

impl Held {
    /// The defaults.
    pub(super) fn defaults() -> Self {
        let value = |setting: &'static Setting| Value {
            text: default_text(setting),
            origin: Origin::Default,
            pinned: None,
        };
        let settings = table::all().filter(|setting| setting.has_value());
        Self(settings.map(|setting| (setting.name, value(setting))).collect())
    }

    /// The value of the setting that the table calls `name`.
    pub(super) fn value(&self, name: &str) -> &Value {
        self.0.get(name).expect("every setting of the table that has a value is held")
    }

    /// Its text.
    pub(super) fn text(&self, name: &str) -> &str {
        &self.value(name).text
    }

    /// Gives `setting` the value that `words` spell.
    ///
    /// # Errors
    /// [`Invalid`] when they spell none.
    pub(super) fn set(
        &mut self,
        setting: &'static Setting,
        words: &[&str],
        origin: Origin,
    ) -> Result<(), Invalid> {
        let now = self.value(setting.name);
        // The `save` lines of one configuration add up; anything else that says `save` starts anew.
        let adds_up = matches!(
            (&now.origin, &origin),
            (
                Origin::File { .. } | Origin::Stdin { .. } | Origin::CommandLine,
                Origin::File { .. } | Origin::Stdin { .. } | Origin::CommandLine
            )
        );
        let onto = if setting.kind == Kind::Save && !adds_up { "" } else { now.text.as_str() };
        let text = values::canonical(setting.kind, words, onto)?;
        if let Applied::Refused(reason) = setting.apply
            && text != default_text(setting)
        {
            return Err(Invalid::new(format!("KVDB does not start with this: {reason}")));
        }
        let pinned = match &origin {
            Origin::Environment(_) | Origin::CommandLine => Some(origin.clone()),
            _ => now.pinned.clone(),
        };
        self.0.insert(setting.name, Value { text, origin, pinned });
        Ok(())
    }

    /// Applies one line of a configuration.
    ///
    /// # Errors
    /// [`StartError::Directive`] when the name is unknown or the words are no value of it.
    pub(super) fn apply(&mut self, directive: &Directive) -> Result<Option<Warning>, StartError> {
        let Some(setting) = table::find(&directive.name) else {
            return Err(StartError::Directive {
                origin: directive.origin.clone(),
                shown: directive.shown.clone(),
                reason: Invalid::new("Bad directive or wrong number of arguments"),
                nearest: nearest(&directive.name),
            });
        };
        let wrong = |reason| StartError::directive(directive, reason);
        if setting.has_value() {
            if directive.words.is_empty() {
                return Err(wrong(Invalid::word_count()));
            }
            let words: Vec<&str> = directive.words.iter().map(String::as_str).collect();
            self.set(setting, &words, directive.origin.clone()).map_err(wrong)?;
        } else if let Applied::Refused(reason) = setting.apply {
            return Err(wrong(Invalid::new(format!("KVDB does not start with this: {reason}"))));
        }
        Ok(accepted_only(setting))
    }
}

/// The warning that `setting` is not acted on, when it is not.
pub(super) fn accepted_only(setting: &Setting) -> Option<Warning> {
    let Applied::AcceptedOnly(reason) = setting.apply else {
        return None;
    };
    let text = format!("{} is accepted for compatibility and has no effect: {reason}", setting.name);
    Some(Warning::new(Concern::Compatibility, setting.name, text))
}

/// The canonical text of a setting's default.
pub(super) fn default_text(setting: &Setting) -> String {
    values::canonical(setting.kind, &[setting.default], "")
        .expect("every default in the table is a value of its kind")
}
