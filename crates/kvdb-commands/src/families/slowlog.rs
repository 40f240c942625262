//! SLOWLOG: the commands that took long.

use kvdb_resp::{Args, Reply};

use crate::errors::{self, CmdResult};
use crate::families::help;
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler};
use crate::values::number::parse_i64;

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 2,
    flags: Flags::ADMIN.with(Flags::LOADING).with(Flags::STALE),
    keys: &[],
    categories: &[],
    group: Group::Server,
    since: "2.2.12",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "slowlog",
    arity: -2,
    flags: Flags::NONE,
    complexity: "Depends on the subcommand",
    summary: "Commands about the log of slow commands.",
    subcommands: SUBCOMMANDS,
    ..ROW
}];

const SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "get",
        arity: -2,
        complexity: "O(N), N being the number of entries returned",
        summary: "Returns the newest entries (10 of them, or so many, -1 for all), each with id, time, microseconds, \
                  arguments, client address and client name.",
        syntax: "[count]",
        handler: Handler::Session(get),
        ..ROW
    },
    help::row(Group::Server, "6.2.0"),
    CommandSpec {
        name: "len",
        summary: "Returns the number of entries.",
        handler: Handler::Session(len),
        ..ROW
    },
    CommandSpec {
        name: "reset",
        complexity: "O(N), N being the number of entries",
        summary: "Removes all entries.",
        handler: Handler::Session(reset),
        ..ROW
    },
];

/// Entries returned when no number is given.
const DEFAULT_COUNT: usize = 10;

fn get(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let count = match args.get(2) {
        None => Some(DEFAULT_COUNT),
        Some(_) if args.len() > 3 => return Err(errors::subcommand_syntax("SLOWLOG", &args[1])),
        Some(count) => match parse_i64(count) {
            Some(-1) => None,
            Some(count) => Some(usize::try_from(count).map_err(|_| errors::SLOWLOG_COUNT)?),
            None => return Err(errors::SLOWLOG_COUNT),
        },
    };
    cx.server.slowlog_get(count, reply);
    Ok(())
}

fn len(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.integer(i64::try_from(cx.server.slowlog_len()).unwrap_or(i64::MAX));
    Ok(())
}

fn reset(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    cx.server.slowlog_reset();
    reply.ok();
    Ok(())
}
