//! The text of an `aclfile`: one user a line, in the rules of ACL LIST.

use std::collections::BTreeMap;

use super::commands::is_space;
use super::rules::join_selectors;
use super::user::{Defaults, User};

/// A line that is not a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// The users of a file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &[u8], defaults: Defaults) -> Result<BTreeMap<Box<[u8]>, User>, Vec<FileError>> {
    let (mut users, mut errors) = (BTreeMap::new(), Vec::new());
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let mut words = line.split(|&byte| is_space(byte)).filter(|word| !word.is_empty());
        let Some(first) = words.next() else { continue };
        let user = if first == b"user" { words.next() } else { None };
        let parsed = match user {
            Some(name) if users.contains_key(name) => {
                Err(format!("Duplicate user '{}' found", String::from_utf8_lossy(name)))
            }
            Some(name) => parse_rules(words, defaults).map(|user| {
                users.insert(Box::from(name), user);
            }),
            None => Err("should start with user keyword followed by the username".to_owned()),
        };
        if let Err(reason) = parsed {
            errors.push(FileError { line: index + 1, reason });
        }
    }
    if errors.is_empty() { Ok(users) } else { Err(errors) }
}

fn parse_rules<'w>(words: impl Iterator<Item = &'w [u8]>, defaults: Defaults) -> Result<User, String> {
    let rules =
        join_selectors(words).map_err(|_| "Unmatched parenthesis in selector definition".to_owned())?;
    let mut user = User::new(defaults);
    for rule in rules {
        user.apply(&rule, defaults).map_err(|error| error.to_string())?;
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let text = b"user alice on >secret ~a* +get (~b +set)\r\n\n  user bob off\n";
        let users = parse(text, Defaults::default()).expect("it is sound");
        assert_eq!(users.keys().map(|name| &**name).collect::<Vec<_>>(), [b"alice".as_slice(), b"bob"]);
        assert!(users[b"alice".as_slice()].admits(b"secret"));
        assert_eq!(users[b"alice".as_slice()].selectors().len(), 1);
        let text = b"user a on\nuser a off\nusr b\nuser\nuser c (~x\nuser d +nothing";
        let errors = parse(text, Defaults::default()).expect_err("it is not");
        let shown: Vec<(usize, &str)> = errors.iter().map(|e| (e.line, e.reason.as_str())).collect();
        let first = "should start with user keyword followed by the username";
        assert_eq!(
            shown,
            [
                (2, "Duplicate user 'a' found"),
                (3, first),
                (4, first),
                (5, "Unmatched parenthesis in selector definition"),
                (6, "Unknown command or category name in ACL"),
            ]
        );
    }
}
