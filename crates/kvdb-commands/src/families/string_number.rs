//! Strings as numbers.

use kvdb_resp::{Args, Reply};
use kvdb_store::{Effect, StringValue, ValueRef, WriteCx};

use super::string_value::string;
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::extended::Extended;
use crate::values::number::{parse_float, parse_i64};

const UPDATE: &[KeySpec] = &[KeySpec::one(&["RW", "access", "update"])];

/// A step down by the lowest integer, whose opposite is none.
const DECREMENT_OVERFLOW: CommandError = CommandError::fixed("ERR decrement would overflow");

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "incr",
        arity: 2,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: UPDATE,
        categories: &[],
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Adds one to the integer of a key; a key that does not exist counts as 0.",
        syntax: "key",
        handler: Handler::Write(incr),
        subcommands: &[],
    },
    CommandSpec {
        name: "decr",
        arity: 2,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: UPDATE,
        categories: &[],
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Takes one from the integer of a key; a key that does not exist counts as 0.",
        syntax: "key",
        handler: Handler::Write(decr),
        subcommands: &[],
    },
    CommandSpec {
        name: "incrby",
        arity: 3,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: UPDATE,
        categories: &[],
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Adds to the integer of a key; a key that does not exist counts as 0.",
        syntax: "key increment",
        handler: Handler::Write(incrby),
        subcommands: &[],
    },
    CommandSpec {
        name: "decrby",
        arity: 3,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: UPDATE,
        categories: &[],
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Takes from the integer of a key; a key that does not exist counts as 0.",
        syntax: "key decrement",
        handler: Handler::Write(decrby),
        subcommands: &[],
    },
    CommandSpec {
        name: "incrbyfloat",
        arity: 3,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: UPDATE,
        categories: &[],
        group: Group::String,
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Adds to the decimal number of a key; a key that does not exist counts as 0.",
        syntax: "key increment",
        handler: Handler::Write(incrbyfloat),
        subcommands: &[],
    },
];

fn incr(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    add(cx, &args[1], 1, reply)
}

fn decr(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    add(cx, &args[1], -1, reply)
}

fn incrby(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let increment = parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?;
    add(cx, &args[1], increment, reply)
}

fn decrby(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let decrement = parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?;
    add(cx, &args[1], decrement.checked_neg().ok_or(DECREMENT_OVERFLOW)?, reply)
}

fn add(cx: &mut WriteCx<'_>, key: &[u8], increment: i64, reply: &mut Reply<'_>) -> CmdResult {
    let found = cx.get(key);
    let deadline = found.and_then(|object| object.deadline());
    let old = match string(found)? {
        None => 0,
        Some(ValueRef::Int(integer)) => integer,
        Some(ValueRef::Bytes(bytes)) => parse_i64(bytes).ok_or(errors::NOT_INTEGER)?,
    };
    let new = old.checked_add(increment).ok_or(errors::OVERFLOW)?;
    cx.apply(key, Effect::PutString { value: StringValue::Int(new), deadline });
    cx.notify(events::INCRBY, key);
    reply.integer(new);
    Ok(())
}

fn incrbyfloat(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let found = cx.get(&args[1]);
    let deadline = found.and_then(|object| object.deadline());
    let old = match string(found)? {
        None => Some(Extended::from(0)),
        Some(ValueRef::Int(integer)) => Some(Extended::from(integer)),
        Some(ValueRef::Bytes(bytes)) => parse_float(bytes),
    };
    let old = old.ok_or(errors::NOT_FLOAT)?;
    let increment = parse_float(&args[2]).ok_or(errors::NOT_FLOAT)?;
    let new = old.checked_add(increment).ok_or(errors::NAN_OR_INFINITY)?.to_string();
    // A sum without a fraction is not stored as an integer: Redis does not either, and OBJECT ENCODING shows it.
    cx.apply(&args[1], Effect::PutString { value: StringValue::Raw(new.as_bytes()), deadline });
    cx.notify(events::INCRBYFLOAT, &args[1]);
    reply.bulk(new.as_bytes());
    Ok(())
}
