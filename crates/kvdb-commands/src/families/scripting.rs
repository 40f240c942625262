//! Scripts and functions: the rows of the table. What runs them is the server's, since a script may call any command.

use kvdb_resp::{Args, Reply};

use super::help;
use crate::errors::{self, CmdResult};
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: -3,
    flags: Flags::NOSCRIPT.with(Flags::STALE).with(Flags::SCRIPT_WRITES),
    keys: &[KeySpec::counted(2, &["RW", "access", "update"])],
    categories: &[],
    group: Group::Scripting,
    since: "2.6.0",
    complexity: "that of the script",
    summary: "",
    syntax: "script numkeys:integer [key ...] [arg ...]",
    handler: Handler::Script,
    subcommands: &[],
};
const READ_ONLY: CommandSpec = CommandSpec {
    flags: Flags::NOSCRIPT.with(Flags::STALE).with(Flags::READONLY),
    keys: &[KeySpec::counted(2, &["RO", "access"])],
    since: "7.0.0",
    ..ROW
};
const SCRIPT: CommandSpec = CommandSpec {
    arity: 2,
    flags: Flags::NOSCRIPT,
    keys: &[],
    complexity: "O(1)",
    syntax: "",
    handler: Handler::Session(script),
    ..ROW
};
const FUNCTION: CommandSpec = CommandSpec {
    arity: 2,
    flags: Flags::NOSCRIPT,
    keys: &[],
    since: "7.0.0",
    complexity: "O(1)",
    syntax: "",
    handler: Handler::Session(function),
    ..ROW
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec { name: "eval", summary: "Runs a Lua script.", ..ROW },
    CommandSpec {
        name: "evalsha",
        summary: "Runs a Lua script that the server has, by the SHA-1 of its text.",
        syntax: "sha1 numkeys:integer [key ...] [arg ...]",
        ..ROW
    },
    CommandSpec { name: "eval_ro", summary: "Runs a Lua script that changes nothing.", ..READ_ONLY },
    CommandSpec {
        name: "evalsha_ro",
        summary: "Runs a Lua script that the server has and that changes nothing.",
        syntax: "sha1 numkeys:integer [key ...] [arg ...]",
        ..READ_ONLY
    },
    CommandSpec {
        name: "fcall",
        since: "7.0.0",
        summary: "Calls a function.",
        syntax: "function numkeys:integer [key ...] [arg ...]",
        ..ROW
    },
    CommandSpec {
        name: "fcall_ro",
        summary: "Calls a function that changes nothing.",
        syntax: "function numkeys:integer [key ...] [arg ...]",
        ..READ_ONLY
    },
    CommandSpec {
        name: "script",
        arity: -2,
        flags: Flags::NONE,
        keys: &[],
        complexity: "Depends on the subcommand",
        summary: "Manages the scripts that the server has.",
        syntax: "",
        handler: Handler::Container,
        subcommands: &[
            CommandSpec {
                name: "debug",
                arity: 3,
                since: "3.2.0",
                summary: "Not supported: scripts are run as a whole.",
                syntax: "<YES|SYNC|NO>",
                handler: Handler::Session(no_debugger),
                ..SCRIPT
            },
            CommandSpec {
                name: "exists",
                arity: -3,
                complexity: "O(N) for N scripts",
                summary: "Tells which scripts the server has.",
                syntax: "sha1 [sha1 ...]",
                ..SCRIPT
            },
            CommandSpec {
                name: "flush",
                arity: -2,
                complexity: "O(N) for N scripts",
                summary: "Forgets all scripts.",
                syntax: "[ASYNC|SYNC]",
                ..SCRIPT
            },
            help::row(Group::Scripting, "5.0.0"),
            CommandSpec {
                name: "kill",
                flags: SCRIPT.flags.with(Flags::ALLOW_BUSY),
                summary: "Ends the script that is running, if it has changed nothing.",
                ..SCRIPT
            },
            CommandSpec {
                name: "load",
                arity: 3,
                flags: SCRIPT.flags.with(Flags::STALE),
                complexity: "O(N) for a script of N bytes",
                summary: "Has the server keep a script; replies with the SHA-1 of its text.",
                syntax: "script",
                ..SCRIPT
            },
        ],
        ..ROW
    },
    CommandSpec {
        name: "function",
        arity: -2,
        flags: Flags::NONE,
        keys: &[],
        since: "7.0.0",
        complexity: "Depends on the subcommand",
        summary: "Manages libraries of functions.",
        syntax: "",
        handler: Handler::Container,
        subcommands: &[
            CommandSpec {
                name: "delete",
                arity: 3,
                flags: FUNCTION.flags.with(Flags::WRITE),
                summary: "Deletes a library with its functions.",
                syntax: "library-name",
                ..FUNCTION
            },
            CommandSpec {
                name: "dump",
                complexity: "O(N) for N bytes of code",
                summary: "Replies with all libraries as FUNCTION RESTORE takes them.",
                ..FUNCTION
            },
            CommandSpec {
                name: "flush",
                arity: -2,
                flags: FUNCTION.flags.with(Flags::WRITE),
                complexity: "O(N) for N functions",
                summary: "Deletes all libraries.",
                syntax: "[ASYNC|SYNC]",
                ..FUNCTION
            },
            help::row(Group::Scripting, "7.0.0"),
            CommandSpec {
                name: "kill",
                flags: FUNCTION.flags.with(Flags::ALLOW_BUSY),
                summary: "Ends the function that is running, if it has changed nothing.",
                ..FUNCTION
            },
            CommandSpec {
                name: "list",
                arity: -2,
                complexity: "O(N) for N functions",
                summary: "Lists libraries and their functions.",
                syntax: "[LIBRARYNAME library-name-pattern:string] [WITHCODE]",
                ..FUNCTION
            },
            CommandSpec {
                name: "load",
                arity: -3,
                flags: FUNCTION.flags.with(Flags::WRITE).with(Flags::DENYOOM),
                summary: "Loads a library.",
                syntax: "[REPLACE] function-code",
                ..FUNCTION
            },
            CommandSpec {
                name: "restore",
                arity: -3,
                flags: FUNCTION.flags.with(Flags::WRITE).with(Flags::DENYOOM),
                complexity: "O(N) for N functions in the payload",
                summary: "Loads the libraries that FUNCTION DUMP replied with, here or on another server.",
                syntax: "serialized-value [FLUSH|APPEND|REPLACE]",
                ..FUNCTION
            },
            CommandSpec {
                name: "stats",
                flags: FUNCTION.flags.with(Flags::ALLOW_BUSY),
                summary: "Tells which function is running, and how many there are.",
                ..FUNCTION
            },
        ],
        ..ROW
    },
];

fn no_debugger(_cx: &mut SessionCx<'_>, _args: Args<'_>, _reply: &mut Reply<'_>) -> CmdResult {
    Err(errors::not_supported(
        "SCRIPT DEBUG",
        "scripts are run as a whole; have them write to the log with redis.log",
    ))
}

fn script(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    cx.server.script(args, reply)
}

fn function(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    cx.depends_on = cx.server.function(args, reply)?;
    Ok(())
}
