//! Hashes: fields with values.

use itoa::Buffer;
use kvdb_resp::{Args, Reply};
use kvdb_store::types::Hash;
use kvdb_store::types::hash::{FieldDeadline, LiveEdit, LiveHash};
use kvdb_store::{Edit, Event, Object, ReadCx, ValueRef, WriteCx};

use super::string_value::{bytes, reply_value};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::exec::check_names;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::extended::Extended;
use crate::values::number::{parse_float, parse_i64};

const NOT_INTEGER: CommandError = CommandError::fixed("ERR hash value is not an integer");
const NOT_FLOAT: CommandError = CommandError::fixed("ERR hash value is not a float");
const INCREMENT_INFINITE: CommandError = CommandError::fixed("ERR value is NaN or Infinity");

/// What the rows of the families of hashes have in common.
pub(super) const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 2,
    flags: Flags::FAST,
    keys: &[KeySpec::one(&["RO", "access"])],
    categories: &[],
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "key",
    handler: Handler::Container,
    subcommands: &[],
};
const UPDATE: &[KeySpec] = &[KeySpec::one(&["RW", "update"])];
const INSERT: &[KeySpec] = &[KeySpec::one(&["RW", "insert"])];
const COUNT: &[KeySpec] = &[KeySpec::one(&["RO"])];
const GROWS: Flags = Flags::DENYOOM.with(Flags::FAST);

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "hset",
        arity: -4,
        flags: GROWS,
        keys: UPDATE,
        complexity: "O(N) for N fields",
        summary: "Gives fields of a hash values; replies with how many fields are new.",
        syntax: "key field value [field value ...]",
        handler: Handler::Write(hset),
        ..ROW
    },
    CommandSpec {
        name: "hsetnx",
        arity: 4,
        flags: GROWS,
        keys: INSERT,
        summary: "Gives a field of a hash a value unless it has one.",
        syntax: "key field value",
        handler: Handler::Write(hsetnx),
        ..ROW
    },
    CommandSpec {
        name: "hmset",
        arity: -4,
        flags: GROWS,
        keys: UPDATE,
        complexity: "O(N) for N fields",
        summary: "Gives fields of a hash values; an old form of HSET.",
        syntax: "key field value [field value ...]",
        handler: Handler::Write(hmset),
        ..ROW
    },
    CommandSpec {
        name: "hget",
        arity: 3,
        summary: "Replies with the value of a field of a hash.",
        syntax: "key field",
        handler: Handler::Read(hget),
        ..ROW
    },
    CommandSpec {
        name: "hmget",
        arity: -3,
        complexity: "O(N) for N fields",
        summary: "Replies with the values of several fields of a hash.",
        syntax: "key field [field ...]",
        handler: Handler::Read(hmget),
        ..ROW
    },
    CommandSpec {
        name: "hdel",
        arity: -3,
        keys: &[KeySpec::one(&["RW", "delete"])],
        complexity: "O(N) for N fields",
        summary: "Removes fields of a hash, and the hash with the last of them.",
        syntax: "key field [field ...]",
        handler: Handler::Write(hdel),
        ..ROW
    },
    CommandSpec {
        name: "hlen",
        keys: COUNT,
        summary: "Counts the fields of a hash.",
        handler: Handler::Read(hlen),
        ..ROW
    },
    CommandSpec {
        name: "hstrlen",
        arity: 3,
        keys: COUNT,
        since: "3.2.0",
        summary: "Replies with the length in bytes of the value of a field of a hash.",
        syntax: "key field",
        handler: Handler::Read(hstrlen),
        ..ROW
    },
    CommandSpec {
        name: "hexists",
        arity: 3,
        keys: COUNT,
        summary: "Tells whether a hash has a field.",
        syntax: "key field",
        handler: Handler::Read(hexists),
        ..ROW
    },
    CommandSpec {
        name: "hkeys",
        flags: Flags::NONE,
        complexity: "O(N) for N fields",
        summary: "Replies with all fields of a hash.",
        handler: Handler::Read(hkeys),
        ..ROW
    },
    CommandSpec {
        name: "hvals",
        flags: Flags::NONE,
        complexity: "O(N) for N fields",
        summary: "Replies with the values of all fields of a hash.",
        handler: Handler::Read(hvals),
        ..ROW
    },
    CommandSpec {
        name: "hgetall",
        flags: Flags::NONE,
        complexity: "O(N) for N fields",
        summary: "Replies with all fields of a hash and their values.",
        handler: Handler::Read(hgetall),
        ..ROW
    },
    CommandSpec {
        name: "hincrby",
        arity: 4,
        flags: GROWS,
        keys: &[KeySpec::one(&["RW", "access", "update"])],
        summary: "Adds to the integer of a field of a hash; a field that does not exist counts as 0.",
        syntax: "key field increment",
        handler: Handler::Write(hincrby),
        ..ROW
    },
    CommandSpec {
        name: "hincrbyfloat",
        arity: 4,
        flags: GROWS,
        keys: &[KeySpec::one(&["RW", "access", "update"])],
        since: "2.6.0",
        summary: "Adds to the decimal number of a field of a hash; a field that does not exist counts as 0.",
        syntax: "key field increment:double",
        handler: Handler::Write(hincrbyfloat),
        ..ROW
    },
];

/// The hash of a key that has to be one, if it is there, as it is now.
pub(super) fn hash(object: Option<Object<'_>>, now: u64) -> Result<Option<LiveHash<'_>>, CommandError> {
    match object {
        Some(object) => object.elements::<Hash>().map(|h| Some(h.live(now))).ok_or(errors::WRONG_TYPE),
        None => Ok(None),
    }
}

/// Fields past their deadline that a command removes beside those that it names. A hash of a few fields is cleared of them;
/// where very many have died together, that is done elsewhere and by parts, and nobody's command waits for it.
const DEAD_PER_COMMAND: usize = 64;

/// Changes the hash of a key as it is now. Fields past their deadline are removed first, as far as they are few.
pub(super) fn edit<R>(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    change: impl FnOnce(&mut LiveEdit<'_, '_>) -> R,
) -> Result<R, CommandError> {
    let now = cx.now();
    let (result, expired, tells_end) = cx.edit(key, |hash: &mut Edit<'_, Hash>| {
        let mut hash = LiveEdit::new(hash, now, DEAD_PER_COMMAND);
        let result = change(&mut hash);
        (result, hash.expired() > 0, hash.tells_end())
    })?;
    match (expired, tells_end) {
        (false, _) => {}
        (true, true) => cx.notify(Event::FIELDS_EXPIRED, key),
        (true, false) => cx.notify_edit(Event::FIELDS_EXPIRED, key),
    }
    Ok(result)
}

/// Fields and values in turns, from argument 2 on; the hash is left alone where one has no value.
fn put_all(cx: &mut WriteCx<'_>, args: Args<'_>, name: &str) -> Result<usize, CommandError> {
    if !args.len().is_multiple_of(2) {
        return Err(errors::wrong_arity(name));
    }
    check_names((2..args.len()).step_by(2).map(|at| &args[at]))?;
    let added = edit(cx, &args[1], |hash| {
        (2..args.len())
            .step_by(2)
            .filter(|&at| hash.put(&args[at], &args[at + 1], FieldDeadline::Clear))
            .count()
    })?;
    cx.notify(events::HSET, &args[1]);
    Ok(added)
}

fn hset(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let added = put_all(cx, args, "hset")?;
    reply.integer(added as i64);
    Ok(())
}

fn hmset(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    put_all(cx, args, "hmset")?;
    reply.ok();
    Ok(())
}

fn hsetnx(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (name, value) = (&args[2], &args[3]);
    check_names([name])?;
    let added =
        edit(cx, &args[1], |hash| hash.get(name).is_none() && hash.put(name, value, FieldDeadline::Clear))?;
    if added {
        cx.notify(events::HSET, &args[1]);
    }
    reply.integer(i64::from(added));
    Ok(())
}

fn hget(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let now = cx.now();
    let hash = hash(cx.get(&args[1]), now)?;
    reply_value(reply, hash.and_then(|hash| hash.get(&args[2])));
    Ok(())
}

fn hmget(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let now = cx.now();
    let hash = hash(cx.get(&args[1]), now)?;
    let names = args.tail(2);
    reply.array(names.len());
    for name in names {
        reply_value(reply, hash.and_then(|hash| hash.get(name)));
    }
    Ok(())
}

fn hdel(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let removed = edit(cx, &args[1], |hash| args.tail(2).iter().filter(|name| hash.remove(name)).count())?;
    if removed > 0 {
        cx.notify_edit(events::HDEL, &args[1]);
    }
    reply.integer(removed as i64);
    Ok(())
}

fn hlen(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let now = cx.now();
    let hash = hash(cx.get(&args[1]), now)?;
    reply.integer(hash.map_or(0, |hash| hash.len() as i64));
    Ok(())
}

fn hstrlen(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let now = cx.now();
    let hash = hash(cx.get(&args[1]), now)?;
    let value = hash.and_then(|hash| hash.get(&args[2]));
    reply.integer(value.map_or(0, |value| value.len() as i64));
    Ok(())
}

fn hexists(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let now = cx.now();
    let hash = hash(cx.get(&args[1]), now)?;
    reply.integer(i64::from(hash.is_some_and(|hash| hash.get(&args[2]).is_some())));
    Ok(())
}

fn hkeys(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    list(cx, &args[1], reply, |name, _| name)
}

fn hvals(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    list(cx, &args[1], reply, |_, value| value)
}

/// Replies with one part of every field.
fn list(
    cx: &mut ReadCx<'_>,
    key: &[u8],
    reply: &mut Reply<'_>,
    part: for<'h> fn(ValueRef<'h>, ValueRef<'h>) -> ValueRef<'h>,
) -> CmdResult {
    let now = cx.now();
    let Some(hash) = hash(cx.get(key), now)? else {
        reply.array(0);
        return Ok(());
    };
    reply.array(hash.len());
    for (name, value) in hash.iter() {
        if reply.is_full() {
            break;
        }
        reply_value(reply, Some(part(name, value)));
    }
    Ok(())
}

fn hgetall(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let now = cx.now();
    let Some(hash) = hash(cx.get(&args[1]), now)? else {
        reply.map(0);
        return Ok(());
    };
    reply.map(hash.len());
    for (name, value) in hash.iter() {
        if reply.is_full() {
            break;
        }
        reply_value(reply, Some(name));
        reply_value(reply, Some(value));
    }
    Ok(())
}

fn hincrby(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let name = &args[2];
    check_names([name])?;
    let increment = parse_i64(&args[3]).ok_or(errors::NOT_INTEGER)?;
    let sum = edit(cx, &args[1], |hash| {
        let old = match hash.get(name) {
            None => 0,
            Some(ValueRef::Int(integer)) => integer,
            Some(ValueRef::Bytes(bytes)) => parse_i64(bytes).ok_or(NOT_INTEGER)?,
        };
        let sum = old.checked_add(increment).ok_or(errors::OVERFLOW)?;
        hash.put(name, Buffer::new().format(sum).as_bytes(), FieldDeadline::Keep);
        Ok::<_, CommandError>(sum)
    })??;
    cx.notify(events::HINCRBY, &args[1]);
    reply.integer(sum);
    Ok(())
}

fn hincrbyfloat(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let name = &args[2];
    check_names([name])?;
    let increment = parse_float(&args[3]).ok_or(errors::NOT_FLOAT)?;
    if increment.is_infinite() {
        return Err(INCREMENT_INFINITE);
    }
    let sum = edit(cx, &args[1], |hash| {
        let old = match hash.get(name) {
            None => Extended::from(0),
            Some(value) => parse_float(bytes(value, &mut Buffer::new())).ok_or(NOT_FLOAT)?,
        };
        let sum = old.checked_add(increment).ok_or(errors::NAN_OR_INFINITY)?.to_string();
        hash.put(name, sum.as_bytes(), FieldDeadline::Keep);
        Ok::<_, CommandError>(sum)
    })??;
    cx.notify(events::HINCRBYFLOAT, &args[1]);
    reply.bulk(sum.as_bytes());
    Ok(())
}
