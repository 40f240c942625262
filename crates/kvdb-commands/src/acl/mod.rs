//! Access control: who may run which command on which keys and channels.
//!
//! A *rule* is one word of ACL SETUSER, such as `+get`, `-@dangerous` or `~cache:*`. Rules are applied in order to a
//! [`User`], which has passwords and one or more *selectors*. A [`Selector`] is a set of commands with patterns of keys and
//! channels; a command may run when one selector alone allows all of it. The text that [`User::describe`] makes of a user is
//! a sequence of rules that makes the same user again.
//!
//! What connections hold is an [`Account`]: a name with the rights that belong to it now. ACL SETUSER gives the account
//! other rights and every connection has them from its next command on. An account that may do everything says so in one
//! flag, so that its commands are not looked at any further.
//!
//! ```text
//! user alice on #5e88… ~cache:* resetchannels -@all +@read (%R~shared:* resetchannels -@all +get)
//!      name     password  root selector                     another selector
//! ```
//!
//! Nothing here reads files, closes connections or knows the time: [`Accounts`] tells what a change has changed, and who
//! runs the server does the rest.

mod accounts;
mod catalog;
mod category;
mod check;
mod commands;
mod file;
mod log;
mod password;
mod patterns;
mod rules;
mod selector;
mod user;

#[cfg(test)]
mod tests;

pub use accounts::{Account, Accounts, Change};
pub use catalog::full_name;
pub use category::{CATEGORIES, members};
pub use check::{Denied, Reason};
pub use file::{FileError, parse as parse_file};
pub use log::{AccessLog, Context, Denial};
pub use password::Password;
pub use patterns::Access;
pub use rules::{RuleError, join_selectors};
pub use selector::Selector;
pub use user::{Defaults, User};
