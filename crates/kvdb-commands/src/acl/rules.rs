//! What can be wrong with a rule, and how words become rules.

use std::fmt;

/// Why a rule was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleError {
    /// No such command or category.
    Unknown,
    /// It is no rule.
    Syntax,
    /// A pattern of keys where there are all.
    AfterAllKeys,
    /// A pattern of channels where there are all.
    AfterAllChannels,
    /// The user does not have the password that is to be removed.
    NoSuchPassword,
    /// What is no hash.
    BadHash,
    /// A first argument of a subcommand.
    FirstArgOfSubcommand,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown command or category name in ACL",
            Self::Syntax => "Syntax error",
            Self::AfterAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::AfterAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            Self::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        })
    }
}

impl std::error::Error for RuleError {}

/// Puts the words of each selector together: `(~a`, `+get)` is one rule.
///
/// # Errors
/// The index of the word with a parenthesis that nothing closes.
pub fn join_selectors<'w>(words: impl IntoIterator<Item = &'w [u8]>) -> Result<Vec<Vec<u8>>, usize> {
    let mut rules: Vec<Vec<u8>> = Vec::new();
    let mut open = None;
    for (index, word) in words.into_iter().enumerate() {
        let closes = word.last() == Some(&b')');
        match (open, rules.last_mut()) {
            (Some(_), Some(rule)) => {
                rule.push(b' ');
                rule.extend_from_slice(word);
                if closes {
                    open = None;
                }
            }
            _ => {
                rules.push(word.to_vec());
                if word.first() == Some(&b'(') && !closes {
                    open = Some(index);
                }
            }
        }
    }
    open.map_or(Ok(rules), Err)
}
