//! Settings from the environment: `KVDB_MAXMEMORY` for `maxmemory`, and `_FILE` for secrets.
//!
//! Orchestrators put variables of their own there, so an unknown name is a warning, not an error.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use super::error::StartError;
use super::nearest::nearest;
use super::source::{Directive, Origin};
use super::table::{self, Kind, Setting};
use super::values::Invalid;
use super::warning::{Concern, Warning};

const PREFIX: &str = "KVDB_";

/// A secret is not longer than this; another file was named by mistake.
const MAX_SECRET: u64 = 64 << 10;

/// The settings that `variables` hold, in the order of their names, and what to say about the rest.
///
/// # Errors
/// [`StartError::Variable`] when a value is not UTF-8, a secret's file cannot be read, or a secret is
/// given twice.
pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(Vec<Directive>, Vec<Warning>), StartError> {
    let mut ours: Vec<(String, OsString)> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    ours.sort();
    let mut directives = Vec::new();
    let mut warnings = Vec::new();
    let mut seen: HashMap<&'static str, String> = HashMap::new();
    for (variable, value) in ours {
        let wrong = |reason: String| StartError::Variable { name: variable.clone(), reason: Invalid(reason) };
        let Some((setting, from_file)) = named(&variable) else {
            warnings.extend(unknown(&variable));
            continue;
        };
        let value = value.into_string().map_err(|_| wrong("The value is not UTF-8".to_owned()))?;
        // A service called kvdb makes Kubernetes set KVDB_PORT for every pod around it.
        if setting.name == "port" && value.contains("://") {
            let text =
                format!("{variable} was set by the orchestrator, not for this server, and is left alone");
            warnings.push(Warning::new(Concern::NoEffect, &variable, text));
            continue;
        }
        if let Some(other) = seen.insert(setting.name, variable.clone()) {
            return Err(wrong(format!("{other} already gives this setting; keep one of them")));
        }
        let value = if from_file { secret(&value).map_err(wrong)? } else { value };
        directives.push(Directive {
            origin: Origin::Environment(Arc::from(variable.as_str())),
            name: setting.name.to_owned(),
            shown: if setting.kind == Kind::Secret {
                format!("{} <redacted>", setting.name)
            } else {
                format!("{} {value}", setting.name)
            },
            words: vec![value],
        });
    }
    Ok((directives, warnings))
}

/// The setting that a variable names, and whether it names the file of a secret.
fn named(variable: &str) -> Option<(&'static Setting, bool)> {
    let plain = |name: &str| {
        let name = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
        // A few names of Redis have underscores of their own.
        let setting = table::find(&name.replace('_', "-")).or_else(|| table::find(&name))?;
        setting.has_value().then_some(setting)
    };
    if let Some(setting) = plain(variable) {
        return Some((setting, false));
    }
    let setting = plain(variable.strip_suffix("_FILE")?)?;
    (setting.kind == Kind::Secret).then_some((setting, true))
}

/// What to say about a variable that names no setting; nothing when an orchestrator put it there.
fn unknown(variable: &str) -> Option<Warning> {
    let orchestrated = ["KVDB_SERVICE_", "KVDB_PORT_"].iter().any(|prefix| variable.starts_with(prefix));
    if orchestrated {
        return None;
    }
    let name = variable[PREFIX.len()..].to_ascii_lowercase();
    let hint = nearest(&name).map_or_else(String::new, |name| {
        format!("; did you mean {PREFIX}{}?", name.replace('-', "_").to_ascii_uppercase())
    });
    let text = format!("{variable} names no setting and is left alone{hint}");
    Some(Warning::new(Concern::NoEffect, variable, text))
}

/// The secret in the file at `path`, without the newline that editors leave at its end.
fn secret(path: &str) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET + 1).read_to_string(&mut text))
        .map_err(|error| format!("The secret's file '{path}' cannot be read: {error}"))?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_SECRET) {
        return Err(format!("The secret's file '{path}' is too large for a secret"));
    }
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(format!("The secret's file '{path}' is empty"));
    }
    Ok(secret.to_owned())
}
