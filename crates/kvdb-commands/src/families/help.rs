//! The HELP of every command with subcommands, made from the table.

use kvdb_resp::{Args, Reply};

use crate::errors::CmdResult;
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler};
use crate::table;

/// The row of a HELP subcommand.
pub const fn row(group: Group, since: &'static str) -> CommandSpec {
    CommandSpec {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE),
        keys: &[],
        categories: &[],
        group,
        since,
        complexity: "O(1)",
        summary: "Lists the subcommands and what they do.",
        syntax: "",
        handler: Handler::Session(help),
        subcommands: &[],
    }
}

fn help(_cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (_, container) = table::find(args.name()).expect("the dispatcher found this handler by that name");
    let mut lines = Vec::new();
    for spec in container.subcommands.iter().filter(|spec| spec.name != "help") {
        lines.push((spec.name.to_ascii_uppercase() + " " + spec.syntax).trim_end().to_owned());
        lines.push(format!("    {}.", spec.summary.trim_end_matches('.')));
    }
    write(reply, &container.name.to_ascii_uppercase(), &lines);
    Ok(())
}

/// Writes the reply: what the command is called with, these lines, and HELP itself.
pub fn write(reply: &mut Reply<'_>, command: &str, lines: &[impl AsRef<str>]) {
    reply.array(lines.len() + 3);
    reply.simple(&format!("{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in lines {
        reply.simple(line.as_ref());
    }
    reply.simple("HELP");
    reply.simple("    Prints this help.");
}
