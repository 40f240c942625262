//! Sets: members, each once.

use kvdb_resp::{Args, Reply};
use kvdb_store::types::{Elements, Set};
use kvdb_store::{Object, ReadCx, WriteCx};

use super::elements::elements;
use super::string_value::reply_value;
use crate::errors::{CmdResult, CommandError};
use crate::events;
use crate::exec::check_names;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};

/// What the rows of the families of sets have in common.
pub(super) const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 2,
    flags: Flags::FAST,
    keys: &[KeySpec::one(&["RO"])],
    categories: &[],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "key",
    handler: Handler::Container,
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "sadd",
        arity: -3,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: &[KeySpec::one(&["RW", "insert"])],
        complexity: "O(N) for N members",
        summary: "Adds members to a set, which is made if it is not there; replies with how many are new.",
        syntax: "key member [member ...]",
        handler: Handler::Write(sadd),
        ..ROW
    },
    CommandSpec {
        name: "srem",
        arity: -3,
        keys: &[KeySpec::one(&["RW", "delete"])],
        complexity: "O(N) for N members",
        summary: "Removes members of a set, and the set with the last of them.",
        syntax: "key member [member ...]",
        handler: Handler::Write(srem),
        ..ROW
    },
    CommandSpec {
        name: "smove",
        arity: 4,
        keys: &[KeySpec::one(&["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])],
        summary: "Moves a member from one set to another.",
        syntax: "source destination member",
        handler: Handler::Write(smove),
        ..ROW
    },
    CommandSpec {
        name: "sismember",
        arity: 3,
        summary: "Tells whether a set has a member.",
        syntax: "key member",
        handler: Handler::Read(sismember),
        ..ROW
    },
    CommandSpec {
        name: "smismember",
        arity: -3,
        keys: &[KeySpec::one(&["RO", "access"])],
        since: "6.2.0",
        complexity: "O(N) for N members",
        summary: "Tells of each of several members whether a set has it.",
        syntax: "key member [member ...]",
        handler: Handler::Read(smismember),
        ..ROW
    },
    CommandSpec {
        name: "scard",
        summary: "Counts the members of a set.",
        handler: Handler::Read(scard),
        ..ROW
    },
    CommandSpec {
        name: "smembers",
        flags: Flags::NONE,
        keys: &[KeySpec::one(&["RO", "access"])],
        complexity: "O(N) for N members",
        summary: "Replies with all members of a set.",
        handler: Handler::Read(smembers),
        ..ROW
    },
];

/// The set of a key that has to be one, if it is there.
pub(super) fn set(object: Option<Object<'_>>) -> Result<Option<&Set>, CommandError> {
    elements(object)
}

/// Replies with all members.
pub(super) fn reply_members(reply: &mut Reply<'_>, set: Option<&Set>) {
    reply.set(set.map_or(0, Set::len));
    for member in set.into_iter().flat_map(Set::iter) {
        if reply.is_full() {
            break;
        }
        reply_value(reply, Some(member));
    }
}

fn sadd(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    check_names(args.tail(2))?;
    let added = cx.edit::<Set, _>(&args[1], |set| set.add_all(args.tail(2).iter()))?;
    if added > 0 {
        cx.notify(events::SADD, &args[1]);
    }
    reply.integer(added as i64);
    Ok(())
}

fn srem(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let removed =
        cx.edit::<Set, _>(&args[1], |set| args.tail(2).iter().filter(|member| set.remove(member)).count())?;
    if removed > 0 {
        cx.notify_edit(events::SREM, &args[1]);
    }
    reply.integer(removed as i64);
    Ok(())
}

fn smove(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (from, to, member) = (&args[1], &args[2], &args[3]);
    // Where there is no source, the type of the destination does not matter.
    let moved = match set(cx.get(from))? {
        Some(source) => {
            let there = source.contains(member);
            set(cx.get(to))?;
            there
        }
        None => false,
    };
    if moved && from != to {
        cx.edit::<Set, _>(from, |source| source.remove(member))?;
        cx.notify_edit(events::SREM, from);
        if cx.edit::<Set, _>(to, |destination| destination.add(member))? {
            cx.notify(events::SADD, to);
        }
    }
    reply.integer(i64::from(moved));
    Ok(())
}

fn sismember(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let set = set(cx.get(&args[1]))?;
    reply.integer(i64::from(set.is_some_and(|set| set.contains(&args[2]))));
    Ok(())
}

fn smismember(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let set = set(cx.get(&args[1]))?;
    let members = args.tail(2);
    reply.array(members.len());
    for member in members {
        reply.integer(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(())
}

fn scard(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let set = set(cx.get(&args[1]))?;
    reply.integer(set.map_or(0, |set| set.len() as i64));
    Ok(())
}

fn smembers(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let set = set(cx.get(&args[1]))?;
    reply_members(reply, set);
    Ok(())
}
