//! COMMAND GETKEYS: the keys of a command that is not run.

use kvdb_resp::{Args, Reply};

use super::info::write_names;
use crate::errors::{self, CmdResult, CommandError};
use crate::session::SessionCx;
use crate::spec::{CommandSpec, KeyPlace};
use crate::table;

pub(super) fn getkeys(_cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let keys = keys_of(args.tail(2))?;
    reply.array(keys.len());
    for (key, _) in keys {
        reply.bulk(key);
    }
    Ok(())
}

pub(super) fn getkeysandflags(_cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let keys = keys_of(args.tail(2))?;
    reply.array(keys.len());
    for (key, flags) in keys {
        reply.array(2);
        reply.bulk(key);
        write_names(reply, flags);
    }
    Ok(())
}

/// A key with what the command does to it.
type Use<'a> = (&'a [u8], &'static [&'static str]);

fn keys_of(command: Args<'_>) -> Result<Vec<Use<'_>>, CommandError> {
    let spec = find(command).ok_or(errors::INVALID_COMMAND)?;
    if spec.keys.iter().all(|keys| matches!(keys.place, KeyPlace::Channels { .. })) {
        return Err(errors::NO_KEY_ARGUMENTS);
    }
    if !spec.takes(command.len()) {
        return Err(errors::INVALID_NUMBER_OF_ARGUMENTS);
    }
    let keys = spec.keys.iter().flat_map(|keys| {
        let positions = keys.positions(command);
        let flags = flags_of_this_call(spec, command).unwrap_or(keys.flags);
        positions.filter_map(move |at| Some((command.get(at)?, flags)))
    });
    Ok(keys.collect())
}

/// What a command that is not always the same does to its key with these arguments.
pub(crate) fn flags_of_this_call(spec: &CommandSpec, command: Args<'_>) -> Option<&'static [&'static str]> {
    let changes = &["RW", "access", "update"];
    match spec.name {
        "set" if command.tail(3).iter().any(|option| option.eq_ignore_ascii_case(b"GET")) => Some(changes),
        "set" => Some(&["OW", "update"]),
        "bitfield" if only_gets(command.tail(2)) => Some(&["RO", "access"]),
        "bitfield" => Some(changes),
        // The key specification for clients is incomplete, what is found here is not.
        "migrate" => Some(&["RW", "access", "delete"]),
        _ => None,
    }
}

/// Whether the operations of BITFIELD only look.
fn only_gets(operations: Args<'_>) -> bool {
    let mut rest = operations.iter();
    while let Some(operation) = rest.next() {
        let arguments = match &*operation.to_ascii_lowercase() {
            b"get" => 2,
            b"overflow" => 1,
            _ => return false,
        };
        if rest.by_ref().take(arguments).count() < arguments {
            return false;
        }
    }
    true
}

fn find(command: Args<'_>) -> Option<&'static CommandSpec> {
    let (_, spec) = table::find(command.name())?;
    match command.get(1) {
        Some(name) if !spec.subcommands.is_empty() => table::find_subcommand(spec, name),
        _ => Some(spec),
    }
}
