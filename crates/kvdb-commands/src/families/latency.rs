//! LATENCY: what made the server slow, and how long commands take.

use kvdb_resp::{Args, Reply};

use crate::errors::CmdResult;
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
    since: "2.8.13",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Session(ask_server),
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "latency",
    arity: -2,
    flags: Flags::NONE,
    complexity: "Depends on the subcommand",
    summary: "Commands about latency.",
    handler: Handler::Container,
    subcommands: SUBCOMMANDS,
    ..ROW
}];

const SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec { name: "doctor", summary: "Tells in words what made the server slow.", ..ROW },
    CommandSpec {
        name: "graph",
        arity: 3,
        summary: "Draws the latencies of an event over time.",
        syntax: "event",
        ..ROW
    },
    help::row(Group::Server, "2.8.13"),
    CommandSpec {
        name: "histogram",
        arity: -2,
        since: "7.0.0",
        complexity: "O(N), N being the number of commands with figures",
        summary: "Returns how many calls of each command took how many microseconds at the most.",
        syntax: "[command ...]",
        ..ROW
    },
    CommandSpec {
        name: "history",
        arity: 3,
        summary: "Returns times and latencies of an event.",
        syntax: "event",
        ..ROW
    },
    CommandSpec {
        name: "latest",
        summary: "Returns the latest and the highest latency of each event.",
        ..ROW
    },
    CommandSpec {
        name: "reset",
        arity: -2,
        summary: "Forgets the latencies of all events, or of some; returns of how many.",
        syntax: "[event ...]",
        ..ROW
    },
];

/// The figures are the server's, so it replies.
fn ask_server(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let subcommand = String::from_utf8_lossy(&args[1]).to_ascii_lowercase();
    let arguments: Vec<&[u8]> = args.tail(2).iter().collect();
    cx.server.latency(&subcommand, &arguments, reply)
}
