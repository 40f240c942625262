//! CONFIG: settings, read and changed while the server runs.

use kvdb_resp::{Args, Reply};

use crate::errors::{self, CmdResult};
use crate::families::help;
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler};

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 2,
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE),
    keys: &[],
    categories: &[],
    group: Group::Server,
    since: "2.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "config",
    arity: -2,
    flags: Flags::NONE,
    complexity: "Depends on the subcommand",
    summary: "Commands about the server's settings.",
    subcommands: SUBCOMMANDS,
    ..ROW
}];

const SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "get",
        arity: -3,
        complexity: "O(N), N being the number of settings times the number of patterns",
        summary: "Returns the settings whose names match a pattern, with their values.",
        syntax: "parameter [parameter ...]",
        handler: Handler::Session(get),
        ..ROW
    },
    help::row(Group::Server, "5.0.0"),
    CommandSpec {
        name: "resetstat",
        summary: "Sets the counters of INFO to zero.",
        handler: Handler::Session(resetstat),
        ..ROW
    },
    CommandSpec {
        name: "rewrite",
        since: "2.8.0",
        summary: "Writes the settings in use back to the configuration file.",
        handler: Handler::Session(rewrite),
        ..ROW
    },
    CommandSpec {
        name: "set",
        arity: -4,
        complexity: "O(N), N being the number of settings given",
        summary: "Changes settings, all of them or none.",
        syntax: "parameter value [parameter value ...]",
        handler: Handler::Session(set),
        ..ROW
    },
];

fn get(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let patterns: Vec<&[u8]> = args.tail(2).iter().collect();
    let settings = cx.server.config_get(&patterns);
    reply.map(settings.len());
    for (name, value) in settings {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    Ok(())
}

fn set(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let words: Vec<&[u8]> = args.tail(2).iter().collect();
    let (pairs, []) = words.as_chunks::<2>() else { return Err(errors::SYNTAX) };
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|&[name, value]| (name, value)).collect();
    cx.server.config_set(&pairs)?;
    reply.ok();
    Ok(())
}

fn rewrite(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    cx.server.config_rewrite()?;
    reply.ok();
    Ok(())
}

fn resetstat(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    cx.server.reset_stats();
    reply.ok();
    Ok(())
}
