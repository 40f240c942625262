//! COMMAND: the table of commands, as clients read it.

mod deprecated;
mod docs;
mod info;
mod keys;
mod tips;

use kvdb_resp::{Args, Reply};

use crate::errors::{self, CmdResult};
use crate::families::help;
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler};
use crate::table;
use crate::values::glob::{Case, matches};

pub(crate) use deprecated::deprecation;
pub use info::{categories, flag_names};
pub(crate) use keys::flags_of_this_call;

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: -2,
    flags: Flags::LOADING.with(Flags::STALE),
    keys: &[],
    categories: &["@connection"],
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(N), N being the number of commands",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "command",
    arity: -1,
    summary: "Describes all commands.",
    handler: Handler::Session(command),
    subcommands: SUBCOMMANDS,
    ..ROW
}];

const SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "count",
        arity: 2,
        complexity: "O(1)",
        summary: "Returns the number of commands.",
        handler: Handler::Session(count),
        ..ROW
    },
    CommandSpec {
        name: "docs",
        since: "7.0.0",
        summary: "Returns what there is to read about commands: summary, cost, arguments.",
        syntax: "[command-name ...]",
        handler: Handler::Session(docs::docs),
        ..ROW
    },
    CommandSpec {
        name: "getkeys",
        arity: -3,
        complexity: "O(N), N being the number of arguments",
        summary: "Returns the keys among the arguments of a command.",
        syntax: "command [arg ...]",
        handler: Handler::Session(keys::getkeys),
        ..ROW
    },
    CommandSpec {
        name: "getkeysandflags",
        arity: -3,
        since: "7.0.0",
        complexity: "O(N), N being the number of arguments",
        summary: "Returns the keys among the arguments of a command, and what the command does with each.",
        syntax: "command [arg ...]",
        handler: Handler::Session(keys::getkeysandflags),
        ..ROW
    },
    CommandSpec { categories: &["@connection"], ..help::row(Group::Server, "5.0.0") },
    CommandSpec {
        name: "info",
        summary: "Describes commands for clients: arity, flags, where keys are, categories.",
        syntax: "[command-name ...]",
        handler: Handler::Session(info::info),
        ..ROW
    },
    CommandSpec {
        name: "list",
        since: "7.0.0",
        summary: "Returns the names of commands.",
        syntax: "[FILTERBY <MODULE module-name|ACLCAT category|PATTERN pattern>]",
        handler: Handler::Session(list),
        ..ROW
    },
];

/// A command, or a subcommand with its container.
#[derive(Clone, Copy)]
struct Named {
    container: Option<&'static CommandSpec>,
    spec: &'static CommandSpec,
}

impl Named {
    fn command(spec: &'static CommandSpec) -> Self {
        Self { container: None, spec }
    }

    /// The command of a name such as `get` or `config|get`.
    fn find(name: &[u8]) -> Option<Self> {
        let Some(bar) = memchr::memchr(b'|', name) else {
            return table::find(name).map(|(_, spec)| Self::command(spec));
        };
        let (_, container) = table::find(&name[..bar])?;
        let spec = table::find_subcommand(container, &name[bar + 1..])?;
        Some(Self { container: Some(container), spec })
    }

    fn full_name(self) -> String {
        match self.container {
            Some(container) => format!("{}|{}", container.name, self.spec.name),
            None => self.spec.name.to_owned(),
        }
    }

    fn subcommands(self) -> impl ExactSizeIterator<Item = Self> {
        let subcommands: &'static [CommandSpec] = self.spec.subcommands;
        subcommands.iter().map(move |spec| Self { container: Some(self.spec), spec })
    }
}

fn all() -> impl Iterator<Item = Named> {
    table::all().map(Named::command)
}

fn command(_cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    info::write_all(reply);
    Ok(())
}

fn count(_cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.integer(i64::try_from(table::len()).unwrap_or(i64::MAX));
    Ok(())
}

fn list(_cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let wanted: Box<dyn Fn(&Named) -> bool + '_> = match (args.len(), args.get(2)) {
        (2, _) => Box::new(|_| true),
        (5, Some(word)) if word.eq_ignore_ascii_case(b"FILTERBY") => {
            let value = args.get(4).unwrap_or_default();
            match args[3].to_ascii_lowercase().as_slice() {
                b"module" => Box::new(|_| false),
                b"aclcat" => Box::new(move |command| has_category(command.spec, value)),
                b"pattern" => {
                    Box::new(move |command| matches(value, command.full_name().as_bytes(), Case::Ignored))
                }
                _ => return Err(errors::SYNTAX),
            }
        }
        _ => return Err(errors::SYNTAX),
    };
    let both = |command: Named| std::iter::once(command).chain(command.subcommands());
    let names: Vec<String> = all().flat_map(both).filter(wanted).map(Named::full_name).collect();
    reply.array(names.len());
    for name in names {
        reply.bulk(name.as_bytes());
    }
    Ok(())
}

/// Whether a command is in a category, named without the `@`.
fn has_category(spec: &CommandSpec, name: &[u8]) -> bool {
    categories(spec).iter().any(|category| category.as_bytes()[1..].eq_ignore_ascii_case(name))
}
