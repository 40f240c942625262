//! Lists by their ends: pushing, popping, counting.

use kvdb_resp::{Args, Reply};
use kvdb_store::types::list::End;
use kvdb_store::types::{Elements, List};
use kvdb_store::{Carried, CarriedValue, Effect, Event, Object, ReadCx, ValueRef, WriteCx};
use std::ops::Range;

use super::elements::elements;
use super::string_value::reply_value;
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::number::parse_i64;

/// What the rows of the families of lists have in common.
pub(super) const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 2,
    flags: Flags::NONE,
    keys: &[],
    categories: &[],
    group: Group::List,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "key",
    handler: Handler::Container,
    subcommands: &[],
};

const PUSH: CommandSpec = CommandSpec {
    arity: -3,
    flags: Flags::DENYOOM.with(Flags::FAST),
    keys: &[KeySpec::one(&["RW", "insert"])],
    complexity: "O(N) for N elements",
    syntax: "key element [element ...]",
    ..ROW
};

const POP: CommandSpec = CommandSpec {
    arity: -2,
    flags: Flags::FAST,
    keys: &[KeySpec::one(&["RW", "access", "delete"])],
    complexity: "O(N) for N elements",
    syntax: "key [count]",
    ..ROW
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "lpush",
        summary: "Adds elements before the first of a list, one after the other; replies with its length.",
        handler: Handler::Write(lpush),
        ..PUSH
    },
    CommandSpec {
        name: "rpush",
        summary: "Adds elements behind the last of a list; replies with its length.",
        handler: Handler::Write(rpush),
        ..PUSH
    },
    CommandSpec {
        name: "lpushx",
        since: "2.2.0",
        summary: "Adds elements before the first of a list, if there is one.",
        handler: Handler::Write(lpushx),
        ..PUSH
    },
    CommandSpec {
        name: "rpushx",
        since: "2.2.0",
        summary: "Adds elements behind the last of a list, if there is one.",
        handler: Handler::Write(rpushx),
        ..PUSH
    },
    CommandSpec {
        name: "lpop",
        summary: "Takes the first element of a list, or the first few, and the list with the last of them.",
        handler: Handler::Write(lpop),
        ..POP
    },
    CommandSpec {
        name: "rpop",
        summary: "Takes the last element of a list, or the last few, and the list with the last of them.",
        handler: Handler::Write(rpop),
        ..POP
    },
    CommandSpec {
        name: "llen",
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RO"])],
        summary: "Counts the elements of a list.",
        handler: Handler::Read(llen),
        ..ROW
    },
];

/// The list of a key that has to be one, if it is there.
pub(super) fn list(object: Option<Object<'_>>) -> Result<Option<&List>, CommandError> {
    elements(object)
}

/// Takes everything out of a list that is there but a part of it.
pub(super) fn keep(cx: &mut WriteCx<'_>, key: &[u8], part: Range<usize>) -> CmdResult {
    let layout = cx.layout();
    let object = cx.get(key);
    let deadline = object.and_then(|object| object.deadline());
    let Some(list) = list(object)? else { return Ok(()) };
    let (len, removed) = (list.len(), list.len() - part.len());
    if part.is_empty() {
        cx.apply(key, Effect::Delete);
    } else if list.is_cheaper_anew(removed) {
        let value = CarriedValue::Collection(list.slice(part, &layout).into_collection());
        cx.put(key, Carried { value, deadline });
    } else if removed > 0 {
        cx.edit::<List, _>(key, |list| {
            list.remove(part.end..len);
            list.remove(0..part.start);
        })?;
    }
    Ok(())
}

/// Takes elements off an end of a list, at most `count`, and shows how many they are and which, in the order in which they
/// are taken. Tells whether there is a list; where there is none, nothing is shown.
///
/// # Errors
/// When the key holds a value of another type.
pub fn pop(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    end: End,
    count: usize,
    show: impl FnOnce(usize, &mut dyn Iterator<Item = ValueRef<'_>>),
) -> Result<bool, CommandError> {
    let Some(list) = list(cx.get(key))? else { return Ok(false) };
    let len = list.len();
    let count = count.min(len);
    let rest = match end {
        End::Head => {
            show(count, &mut list.values(0).take(count));
            count..len
        }
        End::Tail => {
            show(count, &mut list.values_back(len - 1).take(count));
            0..len - count
        }
    };
    if count == 1 && len > 1 {
        let taken = if end == End::Head { 0..1 } else { len - 1..len };
        cx.edit::<List, _>(key, |list| list.remove(taken))?;
    } else {
        keep(cx, key, rest)?;
    }
    if count > 0 {
        cx.notify_edit(popped_at(end), key);
    }
    Ok(true)
}

/// What has happened to a list from an end of which elements were taken.
pub(super) fn popped_at(end: End) -> Event {
    if end == End::Head { events::LPOP } else { events::RPOP }
}

/// What has happened to a list to an end of which elements were added.
pub(super) fn pushed_at(end: End) -> Event {
    if end == End::Head { events::LPUSH } else { events::RPUSH }
}

/// Replies with elements that were taken, as an array; to be given to [`pop`].
pub fn reply_popped(reply: &mut Reply<'_>, count: usize, values: &mut dyn Iterator<Item = ValueRef<'_>>) {
    reply.array(count);
    values.for_each(|value| reply_value(reply, Some(value)));
}

/// Adds elements at an end of a list; replies with its length.
fn push(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    end: End,
    only_existing: bool,
) -> CmdResult {
    let key = &args[1];
    if only_existing && list(cx.get(key))?.is_none() {
        reply.integer(0);
        return Ok(());
    }
    let len = cx.edit::<List, _>(key, |list| {
        list.push(end, args.tail(2).iter());
        list.len()
    })?;
    cx.notify(pushed_at(end), key);
    reply.integer(len as i64);
    Ok(())
}

fn lpush(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    push(cx, args, reply, End::Head, false)
}

fn rpush(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    push(cx, args, reply, End::Tail, false)
}

fn lpushx(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    push(cx, args, reply, End::Head, true)
}

fn rpushx(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    push(cx, args, reply, End::Tail, true)
}

fn lpop(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    pop_some(cx, args, reply, End::Head, "lpop")
}

fn rpop(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    pop_some(cx, args, reply, End::Tail, "rpop")
}

fn pop_some(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>, end: End, name: &str) -> CmdResult {
    let key = &args[1];
    match args.get(2) {
        None => {
            let found = pop(cx, key, end, 1, |_, values| reply_value(reply, values.next()))?;
            if !found {
                reply.null();
            }
        }
        Some(_) if args.len() > 3 => return Err(errors::wrong_arity(name)),
        Some(count) => {
            let count = parse_i64(count).and_then(|count| usize::try_from(count).ok());
            let count = count.ok_or(errors::NOT_POSITIVE)?;
            let found = pop(cx, key, end, count, |count, values| reply_popped(reply, count, values))?;
            if !found {
                reply.null_array();
            }
        }
    }
    Ok(())
}

fn llen(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let list = list(cx.get(&args[1]))?;
    reply.integer(list.map_or(0, |list| list.len() as i64));
    Ok(())
}
