//! The server as a whole: what it is and does, the time, what other clients do, the art.

use kvdb_resp::{Args, Reply};

use crate::errors::{self, CmdResult};
use crate::families::help;
use crate::server::ClientProperty;
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler};
use crate::values::lolwut::Picture;
use crate::values::number::parse_i64;

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 1,
    flags: Flags::LOADING.with(Flags::STALE),
    keys: &[],
    categories: &[],
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "info",
        arity: -1,
        categories: &["@dangerous"],
        summary: "Returns facts and figures about the server, in sections.",
        syntax: "[section ...]",
        handler: Handler::Session(info),
        ..ROW
    },
    CommandSpec {
        name: "lolwut",
        arity: -1,
        flags: Flags::READONLY.with(Flags::FAST),
        since: "5.0.0",
        summary: "Draws something, and tells the version.",
        syntax: "[VERSION version] [parameter:integer ...]",
        handler: Handler::Session(lolwut),
        ..ROW
    },
    CommandSpec {
        name: "module",
        arity: -2,
        flags: Flags::NONE,
        since: "4.0.0",
        complexity: "Depends on the subcommand",
        summary: "Commands about loadable modules, of which KVDB has none.",
        subcommands: MODULE,
        ..ROW
    },
    CommandSpec {
        name: "monitor",
        flags: ROW.flags.with(Flags::ADMIN).with(Flags::NOSCRIPT),
        summary: "Shows every command that the server runs, as it runs it.",
        handler: Handler::Session(monitor),
        ..ROW
    },
    CommandSpec {
        name: "time",
        flags: ROW.flags.with(Flags::FAST),
        since: "2.6.0",
        summary: "Returns the server's clock: seconds since 1970, and microseconds in the second.",
        handler: Handler::Session(time),
        ..ROW
    },
];

const MODULE: &[CommandSpec] = &[
    help::row(Group::Server, "5.0.0"),
    CommandSpec {
        name: "list",
        arity: 2,
        flags: Flags::ADMIN.with(Flags::NOSCRIPT),
        since: "4.0.0",
        complexity: "O(N), N being the number of loaded modules",
        summary: "Returns the loaded modules.",
        handler: Handler::Session(module_list),
        ..ROW
    },
    CommandSpec { name: "load", syntax: "path [arg ...]", ..NO_MODULE },
    CommandSpec {
        name: "loadex",
        since: "7.0.0",
        syntax: "path [CONFIG name value [CONFIG name value ...]] [ARGS arg [arg ...]]",
        ..NO_MODULE
    },
    CommandSpec { name: "unload", arity: 3, syntax: "name", ..NO_MODULE },
];

/// What the subcommands have in common that are there to say why they are not.
const NO_MODULE: CommandSpec = CommandSpec {
    arity: -3,
    flags: Flags::ADMIN.with(Flags::NOSCRIPT),
    since: "4.0.0",
    summary: "Not supported: KVDB has no modules.",
    handler: Handler::Session(no_module),
    ..ROW
};

fn info(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let lower = |section: &[u8]| String::from_utf8_lossy(section).to_ascii_lowercase();
    let mut sections: Vec<String> = args.iter().skip(1).map(lower).collect();
    if sections.is_empty() {
        sections.push("default".to_owned());
    }
    reply.verbatim(b"txt", &cx.server.info(&sections));
    Ok(())
}

fn lolwut(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    // The picture is the same in every version.
    let versioned = args.len() > 2 && args[1].eq_ignore_ascii_case(b"VERSION");
    let numbers =
        args.tail(1).iter().skip(usize::from(versioned)).map(|n| parse_i64(n).ok_or(errors::NOT_INTEGER));
    let numbers = numbers.collect::<Result<Vec<i64>, _>>()?;
    let picture = Picture::from_arguments(&numbers[usize::from(versioned)..]);
    reply.verbatim(b"txt", &picture.render(&cx.server.redis_version()));
    Ok(())
}

fn module_list(_cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.array(0);
    Ok(())
}

fn no_module(_cx: &mut SessionCx<'_>, args: Args<'_>, _reply: &mut Reply<'_>) -> CmdResult {
    let command = format!("MODULE {}", errors::printable(&args[1]).to_ascii_uppercase());
    Err(errors::not_supported(&command, "it has no modules; scripts and functions extend it"))
}

fn monitor(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    if !cx.session.monitor {
        cx.session.monitor = true;
        cx.server.set_client_property(cx.session.id, ClientProperty::Monitor(true));
    }
    reply.ok();
    Ok(())
}

fn time(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let now = cx.server.now_micros();
    reply.array(2);
    for part in [now / 1_000_000, now % 1_000_000] {
        reply.bulk(part.to_string().as_bytes());
    }
    Ok(())
}
