//! Where a value was set, and the line that set it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::nearest::nearest;
use super::table::{self, Kind};

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing set it.
    Default,
    /// A line of a configuration file, counted from 1.
    File {
        /// The file, as it was named.
        path: Arc<PathBuf>,
        /// The line.
        line: usize,
    },
    /// A line of standard input, counted from 1.
    Stdin {
        /// The line.
        line: usize,
    },
    /// This variable of the environment.
    Environment(Arc<str>),
    /// An option on the command line.
    CommandLine,
    /// CONFIG SET.
    Runtime,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Stdin { line } => write!(f, "standard input:{line}"),
            Self::Environment(variable) => write!(f, "environment: {variable}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Runtime => f.write_str("CONFIG SET"),
        }
    }
}

/// One line of a configuration, split into words, or one option of the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Directive {
    /// Where it stands.
    pub origin: Origin,
    /// The name, as written.
    pub name: String,
    /// The words after the name.
    pub words: Vec<String>,
    /// The line as it may be shown: without secrets.
    pub shown: String,
}

/// The line as it may be shown: the words may hold a secret.
impl fmt::Debug for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.shown, self.origin)
    }
}

/// `line` as an error may show it: what follows the name of a secret, or of something that looks like
/// one, is left out.
pub(super) fn without_secret(line: &str) -> String {
    let line = line.trim();
    let name = line.split(|c: char| c.is_ascii_whitespace() || c == '=').next().unwrap_or("");
    let known = table::find(name).or_else(|| table::find(nearest(name)?));
    let secret = known.is_some_and(|setting| setting.kind == Kind::Secret);
    let lower = name.to_ascii_lowercase();
    if (secret || lower.contains("pass") || lower.contains("auth")) && name.len() < line.len() {
        return format!("{name} <redacted>");
    }
    // A user's line has passwords between its rules.
    if lower == "user" {
        return "user <redacted>".to_owned();
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::without_secret;

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(without_secret(r#"requirepass "hunter2"#), "requirepass <redacted>");
        assert_eq!(without_secret(" RequirePass hunter2"), "RequirePass <redacted>");
        assert_eq!(without_secret("requirepas hunter2"), "requirepas <redacted>");
        assert_eq!(without_secret("password=hunter2"), "password <redacted>");
        assert_eq!(without_secret("user me on >hunter2"), "user <redacted>");
        assert_eq!(without_secret("hz 10"), "hz 10");
        assert_eq!(without_secret("requirepass"), "requirepass");
    }
}
