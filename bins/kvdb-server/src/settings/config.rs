//! [`Config`]: the configuration of a running server, and CONFIG GET and SET on it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checks;
use super::command_line::CommandLine;
use super::environment;
use super::error::StartError;
use super::file;
use super::held::{Held, accepted_only};
use super::pattern;
use super::rewrite::{self, RewriteError};
use super::source::{Directive, Origin};
use super::table::{self, Kind};
use super::typed::Settings;
use super::user_lines::UserLines;
use super::values::Invalid;
use super::warning::{Concern, Warning};

/// The configuration in force.
///
/// # Invariants
/// The typed settings are those of the values held.
#[derive(Debug, Clone)]
pub struct Config {
    held: Held,
    settings: Arc<Settings>,
    file: Option<PathBuf>,
    /// The words of each `user` line.
    users: Vec<Vec<String>>,
}

impl Config {
    /// The defaults, without a file.
    #[must_use]
    pub fn defaults() -> Self {
        let held = Held::defaults();
        let settings = Arc::new(Settings::from_held(&held));
        Self { held, settings, file: None, users: Vec::new() }
    }

    /// Reads everything that a start is given: the file, then standard input, then the environment,
    /// then the options; of two values for one setting the later wins.
    ///
    /// # Errors
    /// [`StartError`] for the first thing that is wrong. Nothing is applied by halves: there is no
    /// configuration then.
    pub fn load(
        line: &CommandLine,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        stdin: &mut dyn Read,
    ) -> Result<(Self, Vec<Warning>), StartError> {
        let mut directives = match &line.file {
            Some(path) => file::read(path)?,
            None => Vec::new(),
        };
        if line.stdin {
            directives.extend(file::read_stdin(stdin)?);
        }
        let (from_environment, mut warnings) = environment::read(variables)?;
        directives.extend(from_environment);
        directives.extend(file::expand(&line.options)?);
        let (held, about_directives) = apply_all(&directives)?;
        warnings.extend(about_directives);
        let settings = Settings::from_held(&held);
        warnings.extend(checks::check(&settings, &held).map_err(StartError::Conflict)?);
        // The server may change its directory later; the file is found again all the same.
        let file =
            line.file.as_deref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        let users: Vec<Vec<String>> = directives
            .into_iter()
            .filter(|directive| directive.name.eq_ignore_ascii_case("user"))
            .map(|directive| directive.words)
            .collect();
        if !users.is_empty() && settings.aclfile.is_some() {
            return Err(StartError::Conflict(
                "Users are defined in the configuration and an aclfile is set: define them in one place"
                    .to_owned(),
            ));
        }
        Ok((Self { held, settings: Arc::new(settings), file, users }, warnings))
    }

    /// The typed settings in force.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The words of each `user` line: a name and its rules.
    #[must_use]
    pub fn users(&self) -> &[Vec<String>] {
        &self.users
    }

    /// The configuration file, as an absolute path.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The text of one setting, by its name or alias, in any case.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let setting = table::find(name).filter(|setting| setting.has_value())?;
        Some(self.held.text(setting.name))
    }

    /// Where the value of one setting was set.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        let setting = table::find(name).filter(|setting| setting.has_value())?;
        Some(&self.held.value(setting.name).origin)
    }

    /// The answer to CONFIG GET: names and values of all that the patterns match, each once.
    ///
    /// Secrets are among them, as in Redis: who may send CONFIG may read them.
    #[must_use]
    pub fn get(&self, patterns: &[&str]) -> Vec<(String, &str)> {
        let mut found: Vec<(String, &str)> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        let mut add = |name: &str, text| {
            if seen.insert(name.to_ascii_lowercase()) {
                found.push((name.to_owned(), text));
            }
        };
        for pattern in patterns {
            if pattern::is_literal(pattern) {
                if let Some(text) = self.text(pattern) {
                    // A name comes back as the client spelt it.
                    add(pattern, text);
                }
                continue;
            }
            for setting in table::all().filter(|setting| setting.has_value()) {
                for name in std::iter::once(setting.name).chain(setting.alias) {
                    if pattern::matches(pattern, name) {
                        add(name, self.held.text(setting.name));
                    }
                }
            }
        }
        found
    }

    /// The first half of CONFIG SET: what the configuration would be with all `pairs` set.
    ///
    /// Nothing changes yet. The server applies [`Staged::settings`], which may fail as well, and then
    /// gives the result to [`commit`](Self::commit); so either all pairs are in force or none.
    ///
    /// # Errors
    /// [`SetError`] for the first pair that is wrong.
    pub fn stage(&self, pairs: &[(&str, &str)]) -> Result<Staged, SetError> {
        // Every name is looked at, in order, before any value.
        let mut targets = Vec::with_capacity(pairs.len());
        for (index, (name, _)) in pairs.iter().enumerate() {
            let setting = table::find(name).filter(|setting| setting.has_value());
            let setting = setting.ok_or_else(|| SetError::Unknown((*name).to_owned()))?;
            if !setting.mutable {
                return Err(SetError::failed(name, "can't set immutable config"));
            }
            if pairs[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return Err(SetError::failed(name, "duplicate parameter"));
            }
            targets.push(setting);
        }
        let mut held = self.held.clone();
        let mut changed = Vec::new();
        let mut warnings = Vec::new();
        for (setting, (name, text)) in targets.iter().zip(pairs) {
            held.set(setting, &[text], Origin::Runtime).map_err(|reason| SetError::failed(name, reason))?;
            if held.text(setting.name) != self.held.text(setting.name) {
                changed.push(setting.name);
                warnings.extend(accepted_only(setting));
            }
        }
        let settings = Settings::from_held(&held);
        let (name, _) = pairs.first().copied().unwrap_or_default();
        let about_all = checks::check(&settings, &held).map_err(|reason| SetError::failed(name, reason))?;
        // What was to be said about the settings that did not change was said when they were set.
        warnings.extend(about_all.into_iter().filter(|warning| changed.contains(&warning.about.as_str())));
        Ok(Staged { held, settings: Arc::new(settings), changed, warnings })
    }

    /// The second half of CONFIG SET: puts what was staged in force.
    pub fn commit(&mut self, staged: Staged) {
        self.held = staged.held;
        self.settings = staged.settings;
    }

    /// CONFIG REWRITE: brings the configuration file in step with what is in force.
    ///
    /// # Errors
    /// [`RewriteError`]; the file then is as it was, or, when only the sync of its directory failed, new.
    pub fn rewrite(&self) -> Result<Vec<Warning>, RewriteError> {
        self.rewrite_with(None)
    }

    /// As [`Self::rewrite`]; where users are given, the file also says which there are.
    ///
    /// # Errors
    /// As there.
    pub fn rewrite_with(&self, users: Option<&UserLines<'_>>) -> Result<Vec<Warning>, RewriteError> {
        let file = self.file.as_deref().ok_or(RewriteError::NoFile)?;
        rewrite::rewrite(file, &self.held, users)
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }
}

/// The values that a sequence of directives leaves, from the defaults; each warning once.
pub(super) fn apply_all(directives: &[Directive]) -> Result<(Held, Vec<Warning>), StartError> {
    let mut held = Held::defaults();
    let mut warnings: Vec<Warning> = Vec::new();
    let mut warned = HashSet::new();
    for directive in directives {
        if let Some(warning) = held.apply(directive)?
            && warned.insert(warning.about.clone())
        {
            warnings.push(warning);
        }
        let secret = table::find(&directive.name).filter(|setting| setting.kind == Kind::Secret);
        if let (Some(setting), Origin::CommandLine) = (secret, &directive.origin) {
            let text = format!(
                "{} was given on the command line, where every user of this machine can read it; \
                 give it in a file named by KVDB_{}_FILE",
                setting.name,
                setting.name.replace('-', "_").to_ascii_uppercase()
            );
            warnings.push(Warning::new(Concern::Security, setting.name, text));
        }
    }
    Ok((held, warnings))
}

/// A configuration that CONFIG SET would lead to.
#[derive(Debug)]
pub struct Staged {
    held: Held,
    settings: Arc<Settings>,
    changed: Vec<&'static str>,
    warnings: Vec<Warning>,
}

impl Staged {
    /// The typed settings to apply.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The names of the settings whose value is another one now, without the aliases.
    #[must_use]
    pub fn changed(&self) -> &[&'static str] {
        &self.changed
    }

    /// What the log should say about the change.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// Why CONFIG SET changed nothing. Its text is the error reply, without the leading `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    /// No setting has this name.
    Unknown(String),
    /// A setting cannot have the value.
    Failed {
        /// The name as the client wrote it.
        name: String,
        /// Why.
        reason: Invalid,
    },
}

impl SetError {
    /// The error for a setting that could not be applied.
    pub fn failed(name: &str, reason: impl fmt::Display) -> Self {
        Self::Failed { name: name.to_owned(), reason: Invalid::new(reason.to_string()) }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A reply is one line: a line break in a name must not end it.
        let line = |name: &str| name.replace(|c: char| c.is_control(), " ");
        match self {
            Self::Unknown(name) => {
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{}'", line(name))
            }
            Self::Failed { name, reason } => write!(
                f,
                "ERR CONFIG SET failed (possibly related to argument '{}') - {}",
                line(name),
                line(&reason.to_string())
            ),
        }
    }
}

impl std::error::Error for SetError {}
