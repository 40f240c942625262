//! Users from files: the `user` lines of the configuration, and the `aclfile`.

use std::fs;
use std::path::Path;

use kvdb_commands::acl::{self, Accounts, Change, Defaults, FileError};
use kvdb_commands::server::Job;

use crate::access::close_for;
use crate::node::Node;
use crate::settings::{AclPubsub, Config, Settings, replace_file, user_line};

/// What ACL SAVE replies when the file could not be written; the reason is in the log.
const NOT_SAVED: &str =
    "ERR There was an error trying to save the ACLs. Please check the server logs for more information";

impl Node {
    /// Gives the settings about access control to the users.
    pub fn take_access_settings(&self, settings: &Settings) {
        configure(&self.accounts, settings);
    }

    /// A function that replaces all users by those of the file, and closes the connections of those that are gone or
    /// changed.
    pub fn load_job(&self, caller: u64) -> Option<Job> {
        let path = self.config.lock().settings().aclfile.clone()?;
        let (accounts, clients, registry) =
            (self.accounts.clone(), self.clients.clone(), self.registry.clone());
        Some(Box::new(move || {
            let changes = load(&accounts, &path).map_err(|why| format!("ERR {why}"))?;
            close_for(&clients, &registry, &changes, caller);
            Ok("OK".to_owned())
        }))
    }

    /// A function that writes all users to the file.
    pub fn save_job(&self) -> Option<Job> {
        let path = self.config.lock().settings().aclfile.clone()?;
        let accounts = self.accounts.clone();
        Some(Box::new(move || {
            replace_file(&path, &accounts.describe_all()).map_err(|error| {
                tracing::error!(%error, path = %path.display(), "the users could not be saved");
                NOT_SAVED.to_owned()
            })?;
            Ok("OK".to_owned())
        }))
    }
}

fn configure(accounts: &Accounts, settings: &Settings) {
    let all_channels = settings.acl_pubsub_default == AclPubsub::AllChannels;
    let log_max = usize::try_from(settings.acllog_max_len).unwrap_or(usize::MAX);
    accounts.configure(Defaults { all_channels }, log_max);
}

/// The users that a server starts with.
///
/// # Errors
/// A sentence for the operator: with users that were not understood a server must not start.
pub fn at_start(accounts: &Accounts, config: &Config) -> Result<(), String> {
    let settings = config.settings();
    configure(accounts, settings);
    if let Some(secret) = &settings.requirepass {
        accounts.set_default_password(Some(secret.expose().as_bytes()));
    }
    set_all(accounts, config.users())?;
    match &settings.aclfile {
        Some(path) => load(accounts, path).map(|_| ()),
        None => Ok(()),
    }
}

/// Sets the users of the `user` lines of the configuration.
fn set_all(accounts: &Accounts, lines: &[Vec<String>]) -> Result<(), String> {
    for words in lines {
        let Some((name, rules)) = words.split_first() else { continue };
        let rules = acl::join_selectors(rules.iter().map(String::as_bytes))
            .map_err(|_| format!("user {name}: Unmatched parenthesis in selector definition"))?;
        accounts
            .set(name.as_bytes(), &rules)
            .map_err(|(at, error)| format!("user {name}: rule {} of the configuration: {error}", at + 1))?;
    }
    Ok(())
}

/// The users as lines of a configuration file, without those that are there without a line. `None` where a rule is no
/// UTF-8 text, which such a file has to be.
pub fn lines(accounts: &Accounts, settings: &Settings) -> Option<Vec<String>> {
    let without_lines = with_lines(settings, &[])?.describe_all();
    let without_lines = String::from_utf8(without_lines).ok()?;
    let all = String::from_utf8(accounts.describe_all()).ok()?;
    let differs = |user: &&str| !without_lines.lines().any(|known| known == *user);
    Some(all.lines().filter(differs).map(user_line).collect())
}

/// What [`lines`] would say of the users that these `user` lines give; `None` where they are not valid.
pub fn lines_of(settings: &Settings, words: &[Vec<String>]) -> Option<Vec<String>> {
    lines(&with_lines(settings, words)?, settings)
}

/// The users of a server that starts with these `user` lines.
fn with_lines(settings: &Settings, words: &[Vec<String>]) -> Option<Accounts> {
    let accounts = Accounts::default();
    configure(&accounts, settings);
    if let Some(secret) = &settings.requirepass {
        accounts.set_default_password(Some(secret.expose().as_bytes()));
    }
    set_all(&accounts, words).ok()?;
    Some(accounts)
}

/// Replaces all users by those of a file, all or none.
fn load(accounts: &Accounts, path: &Path) -> Result<Vec<Change>, String> {
    let shown = path.display();
    let text =
        fs::read(path).map_err(|error| format!("Error loading ACLs, opening file '{shown}': {error}"))?;
    let users = acl::parse_file(&text, accounts.defaults()).map_err(|errors| {
        let sentence = |error: &FileError| format!("{shown}:{}: {}. ", error.line, error.reason);
        let errors: String = errors.iter().map(sentence).collect();
        format!(
            "{errors}WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
        )
    })?;
    Ok(accounts.replace_all(users))
}
