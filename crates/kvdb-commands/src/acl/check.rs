//! Whether a user may run a command.

use std::ops::Range;

use kvdb_resp::Args;

use super::catalog;
use super::patterns::Access;
use super::selector::Selector;
use super::user::User;
use crate::errors::{self, CommandError};
use crate::families::command::flags_of_this_call;
use crate::spec::{CommandSpec, Flags, Handler};
use crate::values::number::parse_i64;

/// What is not allowed. In the order of how far the check got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The command.
    Command,
    /// A key.
    Key,
    /// Being the user.
    Auth,
    /// A channel.
    Channel,
}

impl Reason {
    /// As ACL LOG shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Key => "key",
            Self::Auth => "auth",
            Self::Channel => "channel",
        }
    }
}

/// A command is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    /// What of it is not.
    pub reason: Reason,
    /// Which argument; 0 where the command is meant.
    pub at: usize,
}

impl Denied {
    /// The sentence that the client is told.
    pub fn sentence(self, user: &[u8], spec: &'static CommandSpec) -> String {
        match self.reason {
            Reason::Command | Reason::Auth => {
                let (user, command) = (errors::printable(user), catalog::full_name(spec));
                format!("User {user} has no permissions to run the '{command}' command")
            }
            Reason::Key => "No permissions to access a key".to_owned(),
            Reason::Channel => "No permissions to access a channel".to_owned(),
        }
    }

    /// The sentence of ACL DRYRUN, which names the key or channel.
    pub fn long_sentence(self, user: &[u8], spec: &'static CommandSpec, args: Args<'_>) -> String {
        let kind = match self.reason {
            Reason::Command | Reason::Auth => return self.sentence(user, spec),
            Reason::Key => "key",
            Reason::Channel => "channel",
        };
        let name = errors::printable(args.get(self.at).unwrap_or_default());
        format!("User {} has no permissions to access the '{name}' {kind}", errors::printable(user))
    }

    /// What ACL LOG shows as the object of a denial.
    pub fn object<'a>(self, spec: &'static CommandSpec, args: Args<'a>) -> &'a [u8] {
        match self.reason {
            Reason::Command => catalog::full_name(spec).as_bytes(),
            Reason::Auth => args.name(),
            Reason::Key | Reason::Channel => args.get(self.at).unwrap_or_default(),
        }
    }
}

impl User {
    /// Whether the user may run a command with these arguments: whether one of the selectors allows all of it.
    ///
    /// # Errors
    /// What the selector that allows the most of it does not.
    pub fn check(&self, spec: &'static CommandSpec, args: Args<'_>) -> Result<(), Denied> {
        let mut furthest = Denied { reason: Reason::Command, at: 0 };
        for selector in self.all_selectors() {
            match selector.check(spec, args) {
                Ok(()) => return Ok(()),
                Err(denied) => furthest = furthest.max(denied),
            }
        }
        Err(furthest)
    }

    /// Whether the user may run a command on any key, as far as reading goes: some commands read keys that are not among
    /// their arguments.
    ///
    /// # Errors
    /// The error to reply with when it may not.
    pub fn check_patterns(&self, spec: &'static CommandSpec, args: Args<'_>) -> Result<(), CommandError> {
        if !matches!(spec.name, "sort" | "sort_ro") {
            return Ok(());
        }
        let Some(option) = reads_other_keys(spec, args) else { return Ok(()) };
        let reads_all =
            |selector: &Selector| Self::may_read_all(selector) && selector.check(spec, args).is_ok();
        if self.all_selectors().any(reads_all) { Ok(()) } else { Err(errors::sort_denied(option)) }
    }
}

/// The option by which SORT reads keys that are not among its arguments, if it does.
fn reads_other_keys(spec: &CommandSpec, args: Args<'_>) -> Option<&'static str> {
    let mut at = 2;
    while let Some(option) = args.get(at) {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        let argument = args.get(at + 1);
        if is("GET") && argument.is_some() {
            return Some("GET");
        }
        if is("STORE") && spec.name == "sort_ro" {
            return None;
        }
        if is("BY") && argument.is_some_and(|pattern| memchr::memchr(b'*', pattern).is_some()) {
            return Some("BY");
        }
        at += if ["ASC", "DESC", "ALPHA"].into_iter().any(is) {
            1
        } else if is("BY") || is("STORE") {
            2
        } else if is("LIMIT") && [1, 2].into_iter().all(|n| args.get(at + n).and_then(parse_i64).is_some()) {
            3
        } else {
            // The command fails here, before it reads anything, and says why.
            return None;
        };
    }
    None
}

impl Selector {
    fn check(&self, spec: &'static CommandSpec, args: Args<'_>) -> Result<(), Denied> {
        if !self.commands.all && !spec.flags.has(Flags::NO_AUTH) {
            let allowed =
                catalog::number_of(spec).is_some_and(|number| self.commands.allow(number, args.get(1)));
            if !allowed {
                return Err(Denied { reason: Reason::Command, at: 0 });
            }
        }
        if !self.keys.all {
            let of_this_call = flags_of_this_call(spec, args);
            for keys in spec.keys {
                let access = Access::of(of_this_call.unwrap_or(keys.flags));
                for at in keys.positions(args) {
                    if !args.get(at).is_some_and(|key| self.keys.allow(key, access)) {
                        return Err(Denied { reason: Reason::Key, at });
                    }
                }
            }
        }
        if !self.channels.all
            && let Some((names, are_patterns)) = channels(spec, args.len())
        {
            for at in names {
                if !args.get(at).is_some_and(|name| self.channels.allow(name, are_patterns)) {
                    return Err(Denied { reason: Reason::Channel, at });
                }
            }
        }
        Ok(())
    }
}

/// Which arguments are channels that the command uses, and whether they are patterns.
fn channels(spec: &CommandSpec, len: usize) -> Option<(Range<usize>, bool)> {
    if !matches!(spec.handler, Handler::Session(_)) {
        return None;
    }
    match spec.name {
        "subscribe" | "ssubscribe" => Some((1..len, false)),
        "psubscribe" => Some((1..len, true)),
        "publish" | "spublish" => Some((1..2.min(len), false)),
        _ => None,
    }
}
