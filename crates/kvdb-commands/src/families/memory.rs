//! MEMORY: what takes memory, by key and as a whole.

use kvdb_resp::{Args, Reply};
use kvdb_store::ReadCx;

use crate::errors::{self, CmdResult};
use crate::families::help;
use crate::server::MemoryFigure;
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::number::parse_i64;

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 2,
    flags: Flags::NONE,
    keys: &[],
    categories: &[],
    group: Group::Server,
    since: "4.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "memory",
    arity: -2,
    complexity: "Depends on the subcommand",
    summary: "Commands about the use of memory.",
    subcommands: SUBCOMMANDS,
    ..ROW
}];

const SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "doctor",
        flags: Flags::NONE,
        summary: "Tells in words whether the use of memory looks sound.",
        handler: Handler::Session(doctor),
        ..ROW
    },
    help::row(Group::Server, "4.0.0"),
    CommandSpec {
        name: "malloc-stats",
        flags: Flags::NONE,
        summary: "Returns the report of the memory allocator, where it makes one.",
        handler: Handler::Session(malloc_stats),
        ..ROW
    },
    CommandSpec {
        name: "purge",
        summary: "Does nothing: free memory goes back to the system by itself.",
        handler: Handler::Session(purge),
        ..ROW
    },
    CommandSpec {
        name: "stats",
        flags: Flags::NONE,
        summary: "Returns figures about the use of memory.",
        handler: Handler::Session(stats),
        ..ROW
    },
    CommandSpec {
        name: "usage",
        arity: -3,
        keys: &[KeySpec::at(2, &["RO"])],
        complexity: "O(1)",
        summary: "Returns how many bytes of memory a key and its value take.",
        syntax: "key [SAMPLES count]",
        handler: Handler::Read(usage),
        ..ROW
    },
];

fn usage(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let mut options = args.tail(3).iter();
    while let Some(option) = options.next() {
        let count =
            options.next().filter(|_| option.eq_ignore_ascii_case(b"SAMPLES")).ok_or(errors::SYNTAX)?;
        if parse_i64(count).ok_or(errors::NOT_INTEGER)? < 0 {
            return Err(errors::SYNTAX);
        }
    }
    match cx.peek(&args[2]) {
        Some(object) => reply.integer(i64::try_from(object.memory_bytes()).unwrap_or(i64::MAX)),
        None => reply.null(),
    }
    Ok(())
}

fn stats(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let figures = cx.server.memory_stats();
    reply.map(figures.len());
    for (name, figure) in figures {
        reply.bulk(name.as_bytes());
        match figure {
            MemoryFigure::Integer(n) => reply.integer(n),
            MemoryFigure::Double(x) => reply.double(x),
            MemoryFigure::Parts(parts) => {
                reply.map(parts.len());
                for (name, n) in parts {
                    reply.bulk(name.as_bytes());
                    reply.integer(n);
                }
            }
        }
    }
    Ok(())
}

fn doctor(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let figures = cx.server.memory_stats();
    let figure = |wanted: &str| {
        figures.iter().find(|(name, _)| name == wanted).map_or(0.0, |(_, figure)| match *figure {
            MemoryFigure::Integer(n) => n as f64,
            MemoryFigure::Double(x) => x,
            MemoryFigure::Parts(_) => 0.0,
        })
    };
    let findings = diagnose(figure("total.allocated"), figure("peak.allocated"), figure("fragmentation"));
    reply.verbatim(b"txt", &findings);
    Ok(())
}

/// Below so many bytes in use, ratios say nothing.
const TOO_LITTLE: f64 = 5.0 * 1024.0 * 1024.0;

/// What to say about bytes in use, the most there have ever been, and the bytes that the system counts for each of them.
fn diagnose(used: f64, peak: f64, fragmentation: f64) -> String {
    if used < TOO_LITTLE {
        return "The server uses so little memory that nothing can be said about it.\n".to_owned();
    }
    let mut findings = String::new();
    if peak > used * 1.5 {
        findings += "* The most memory that was ever in use is over 1.5 times what is in use now. What was freed since goes \
                     back to the system within seconds, as far as the pages are wholly free.\n";
    }
    if fragmentation > 1.4 {
        findings += "* The system counts over 1.4 times the memory that is in use. The rest is lost between allocations, \
                     and comes back as keys are rewritten, or with a restart.\n";
    }
    if findings.is_empty() { "The use of memory looks sound.\n".to_owned() } else { findings }
}

fn purge(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    cx.server.memory_purge();
    reply.ok();
    Ok(())
}

fn malloc_stats(_cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.bulk(b"Stats not supported for the current allocator");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::diagnose;

    #[test]
    fn findings_name_what_is_out_of_proportion() {
        const MB: f64 = 1024.0 * 1024.0;
        assert!(diagnose(MB, MB, 9.0).contains("so little memory"));
        assert!(diagnose(100.0 * MB, 110.0 * MB, 1.1).contains("sound"));
        assert!(diagnose(100.0 * MB, 200.0 * MB, 1.1).contains("was ever in use"));
        assert!(diagnose(100.0 * MB, 100.0 * MB, 2.0).contains("between allocations"));
        assert_eq!(diagnose(100.0 * MB, 200.0 * MB, 2.0).lines().count(), 2);
    }
}
