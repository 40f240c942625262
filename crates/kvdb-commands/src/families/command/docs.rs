//! COMMAND DOCS: what there is to read about a command, down to the tree of its arguments.

use kvdb_resp::{Args, Reply};

use super::deprecated::{deprecation, is_internal};
use super::info::write_names;
use super::{Named, all};
use crate::errors::CmdResult;
use crate::session::SessionCx;
use crate::syntax::{self, Argument, Kind};
use crate::table;

pub(super) fn docs(_cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let names = args.tail(2);
    if names.is_empty() {
        reply.map(table::len());
        all().for_each(|command| write(reply, command));
    } else {
        // A name that there is not is left out.
        let found: Vec<Named> = names.iter().filter_map(Named::find).collect();
        reply.map(found.len());
        found.into_iter().for_each(|command| write(reply, command));
    }
    Ok(())
}

fn write(reply: &mut Reply<'_>, command: Named) {
    let spec = command.spec;
    let arguments = syntax::parse(spec.syntax).expect("a test parses the syntax of every row");
    let subcommands = command.subcommands();
    let name = command.full_name();
    let deprecation = deprecation(&name);
    let flags = [(deprecation.is_some(), "deprecated"), (is_internal(&name), "syscmd")];
    let flags: Vec<&str> = flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect();
    reply.bulk(name.as_bytes());
    let optional = [!flags.is_empty(), !arguments.is_empty(), subcommands.len() > 0];
    let optional = optional.into_iter().filter(|is_there| *is_there).count();
    reply.map(4 + optional + if deprecation.is_some() { 2 } else { 0 });
    let about = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.name()),
        ("complexity", spec.complexity),
    ];
    for (name, text) in about {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if !flags.is_empty() {
        reply.bulk(b"doc_flags");
        write_names(reply, &flags);
    }
    if let Some((since, instead)) = deprecation {
        for (name, text) in [("deprecated_since", since), ("replaced_by", instead)] {
            reply.bulk(name.as_bytes());
            reply.bulk(text.as_bytes());
        }
    }
    if !arguments.is_empty() {
        let mut keys = KeyNumbers { next: 0, known: spec.keys.len() };
        write_arguments(reply, &arguments, &mut keys);
    }
    if subcommands.len() > 0 {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        subcommands.for_each(|subcommand| write(reply, subcommand));
    }
}

/// Gives each argument that is a key the number of its key specification. Keys stand in the order of the
/// specifications; the last one covers those that are left.
struct KeyNumbers {
    next: usize,
    known: usize,
}

impl KeyNumbers {
    fn draw(&mut self) -> Option<i64> {
        let number = self.next.min(self.known.checked_sub(1)?);
        self.next += 1;
        i64::try_from(number).ok()
    }
}

fn write_arguments(reply: &mut Reply<'_>, arguments: &[Argument<'_>], keys: &mut KeyNumbers) {
    reply.bulk(b"arguments");
    reply.array(arguments.len());
    for argument in arguments {
        write_argument(reply, argument, keys);
    }
}

fn write_argument(reply: &mut Reply<'_>, argument: &Argument<'_>, keys: &mut KeyNumbers) {
    let parts = match &argument.kind {
        Kind::OneOf(parts) | Kind::Block(parts) => Some(parts),
        _ => None,
    };
    let key_number = if argument.kind == Kind::Key { keys.draw() } else { None };
    let flags = [
        (argument.optional, "optional"),
        (argument.multiple, "multiple"),
        (argument.multiple_token, "multiple_token"),
    ];
    let flags: Vec<&str> = flags.into_iter().filter_map(|(is, name)| is.then_some(name)).collect();
    // Beside name and type: a group has its parts, anything else a text to show.
    reply.map(
        3 + usize::from(key_number.is_some())
            + usize::from(argument.token.is_some())
            + usize::from(!flags.is_empty()),
    );
    let mut text = |name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    text("name", &argument.name);
    text("type", argument.kind.name());
    if parts.is_none() {
        text("display_text", &argument.name);
    }
    if let Some(number) = key_number {
        reply.bulk(b"key_spec_index");
        reply.integer(number);
    }
    if let Some(token) = argument.token {
        reply.bulk(b"token");
        reply.bulk(token.as_bytes());
    }
    if !flags.is_empty() {
        reply.bulk(b"flags");
        write_names(reply, &flags);
    }
    if let Some(parts) = parts {
        write_arguments(reply, parts, keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_of_every_row_parses() {
        for command in all() {
            for command in std::iter::once(command).chain(command.subcommands()) {
                if let Err(error) = syntax::parse(command.spec.syntax) {
                    panic!("{}: {error}: {}", command.full_name(), command.spec.syntax);
                }
            }
        }
    }

    #[test]
    fn keys_are_numbered_as_their_specifications() {
        let numbers = |known| {
            let mut keys = KeyNumbers { next: 0, known };
            [keys.draw(), keys.draw(), keys.draw()]
        };
        assert_eq!(numbers(0), [None; 3]);
        assert_eq!(numbers(1), [Some(0); 3]);
        assert_eq!(numbers(2), [Some(0), Some(1), Some(1)]);
    }
}
