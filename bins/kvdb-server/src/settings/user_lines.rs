//! The `user` lines of a configuration file, for CONFIG REWRITE.

use super::error::StartError;
use super::file;
use super::rewrite::ADDED;
use super::source::Origin;
use super::words::quote;

/// What the lines of users in a file would be if these were their words; `None` where they are not valid.
pub(super) type LinesOf<'u> = dyn Fn(&[Vec<String>]) -> Option<Vec<String>> + 'u;

/// The users in force, as lines of a configuration file.
pub struct UserLines<'u> {
    /// A line for each user that is another one than it would be without a line.
    pub now: Vec<String>,
    /// What such lines say that stand in the file.
    pub given: &'u LinesOf<'u>,
}

/// A line that gives a user these rules; the text is what ACL LIST says of it.
pub fn line(text: &str) -> String {
    text.split(' ').map(quote).collect::<Vec<_>>().join(" ")
}

/// The text with the users in force in the place of the first line of a user, or at its end. A text that gives the same
/// users stays as it is.
pub(super) fn place(text: String, users: &UserLines<'_>) -> Result<String, StartError> {
    let directives = file::read_stdin(&mut text.as_bytes())?;
    let words: Vec<_> =
        directives.into_iter().filter(|directive| is_user(&directive.name)).map(|d| d.words).collect();
    if (users.given)(&words).as_ref() == Some(&users.now) {
        return Ok(text);
    }
    let has_user = |line: &&str| {
        file::parse_line(line, Origin::Default)
            .ok()
            .flatten()
            .is_some_and(|directive| is_user(&directive.name))
    };
    let mut new: Vec<&str> = Vec::new();
    let mut at = None;
    for line in text.lines() {
        if has_user(&line) {
            at.get_or_insert(new.len());
        } else {
            new.push(line);
        }
    }
    if at.is_none() && !new.contains(&ADDED) {
        new.extend(["", ADDED]);
    }
    let at = at.unwrap_or(new.len());
    new.splice(at..at, users.now.iter().map(String::as_str));
    Ok(new.join("\n") + "\n")
}

fn is_user(name: &str) -> bool {
    name.eq_ignore_ascii_case("user")
}
