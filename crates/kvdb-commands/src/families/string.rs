//! Strings as wholes: reading, writing, and writing on a condition or with a time to live.

use kvdb_resp::{Args, Reply};
use kvdb_store::{Effect, Event, ReadCx, StringValue, WriteCx};

use super::expire::{set_deadline, take_deadline};
use super::set_options::{Condition, Form, Life, SetOptions, Until};
use super::string_value::{reply_value, string};
use crate::errors::{self, CmdResult};
use crate::events;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};

const READ: &[KeySpec] = &[KeySpec::one(&["RO", "access"])];
const REPLACE: &[KeySpec] = &[KeySpec::one(&["RW", "access", "update"])];
/// SET, which looks at the old value only with GET.
const SET: &[KeySpec] = &[KeySpec::one(&["RW", "access", "update", "variable_flags"])];
const OVERWRITE: &[KeySpec] = &[KeySpec::one(&["OW", "update"])];

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "get",
        arity: 2,
        flags: Flags::FAST,
        keys: READ,
        categories: &[],
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Reads the string of a key.",
        syntax: "key",
        handler: Handler::Read(get),
        subcommands: &[],
    },
    CommandSpec {
        name: "set",
        arity: -3,
        flags: Flags::DENYOOM.with(Flags::CHEAP),
        keys: SET,
        categories: &[],
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Gives a key a string, whatever it held, optionally on a condition and with a time to live.",
        syntax: "key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]",
        handler: Handler::Write(set),
        subcommands: &[],
    },
    CommandSpec {
        name: "setnx",
        arity: 3,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: &[KeySpec::one(&["OW", "insert"])],
        categories: &[],
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Gives a key a string if the key does not exist.",
        syntax: "key value",
        handler: Handler::Write(setnx),
        subcommands: &[],
    },
    CommandSpec {
        name: "setex",
        arity: 4,
        flags: Flags::DENYOOM.with(Flags::CHEAP),
        keys: OVERWRITE,
        categories: &[],
        group: Group::String,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Gives a key a string and a time to live in seconds.",
        syntax: "key seconds value",
        handler: Handler::Write(setex),
        subcommands: &[],
    },
    CommandSpec {
        name: "psetex",
        arity: 4,
        flags: Flags::DENYOOM.with(Flags::CHEAP),
        keys: OVERWRITE,
        categories: &[],
        group: Group::String,
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Gives a key a string and a time to live in milliseconds.",
        syntax: "key milliseconds value",
        handler: Handler::Write(psetex),
        subcommands: &[],
    },
    CommandSpec {
        name: "getset",
        arity: 3,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: REPLACE,
        categories: &[],
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Gives a key a string and replies with the one it had.",
        syntax: "key value",
        handler: Handler::Write(getset),
        subcommands: &[],
    },
    CommandSpec {
        name: "getdel",
        arity: 2,
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RW", "access", "delete"])],
        categories: &[],
        group: Group::String,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Reads the string of a key and deletes the key.",
        syntax: "key",
        handler: Handler::Write(getdel),
        subcommands: &[],
    },
    CommandSpec {
        name: "getex",
        arity: -2,
        flags: Flags::FAST,
        keys: REPLACE,
        categories: &[],
        group: Group::String,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Reads the string of a key and changes when the key dies.",
        syntax: "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]",
        handler: Handler::Write(getex),
        subcommands: &[],
    },
    CommandSpec {
        name: "mget",
        arity: -2,
        flags: Flags::FAST,
        keys: &[KeySpec::all(&["RO", "access"])],
        categories: &[],
        group: Group::String,
        since: "1.0.0",
        complexity: "O(N) for N keys",
        summary: "Reads the strings of several keys at one moment.",
        syntax: "key [key ...]",
        handler: Handler::Read(mget),
        subcommands: &[],
    },
    CommandSpec {
        name: "mset",
        arity: -3,
        flags: Flags::DENYOOM.with(Flags::CHEAP),
        keys: &[KeySpec::range(1, -1, 2, &["OW", "update"])],
        categories: &[],
        group: Group::String,
        since: "1.0.1",
        complexity: "O(N) for N keys",
        summary: "Gives several keys their strings at one moment.",
        syntax: "key value [key value ...]",
        handler: Handler::Write(mset),
        subcommands: &[],
    },
    CommandSpec {
        name: "msetnx",
        arity: -3,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::range(1, -1, 2, &["OW", "insert"])],
        categories: &[],
        group: Group::String,
        since: "1.0.1",
        complexity: "O(N) for N keys",
        summary: "Gives several keys their strings if none of the keys exists.",
        syntax: "key value [key value ...]",
        handler: Handler::Write(msetnx),
        subcommands: &[],
    },
];

#[inline]
fn get(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_value(reply, string(cx.get(&args[1]))?);
    Ok(())
}

#[inline]
fn set(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, value) = (&args[1], &args[2]);
    if args.len() > 3 {
        return set_with_options(cx, args, reply);
    }
    put(cx, key, value);
    reply.ok();
    Ok(())
}

fn set_with_options(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, value) = (&args[1], &args[2]);
    let SetOptions { condition, get, life } = SetOptions::parse(args.tail(3), Form::Set)?;
    let mut deadline = match life {
        Life::Until(until) => Some(until.deadline(cx.now(), "set")?),
        Life::Unsaid | Life::Keep | Life::Forever => None,
    };
    // The key is looked at only where that makes a difference.
    if get || condition.is_some() || life == Life::Keep {
        let found = if get { cx.lookup(key) } else { cx.get(key) };
        if get {
            reply_value(reply, string(found)?);
        }
        if life == Life::Keep {
            deadline = found.and_then(|object| object.deadline());
        }
        if condition.is_some_and(|condition| found.is_some() != (condition == Condition::IfThere)) {
            if !get {
                reply.null();
            }
            return Ok(());
        }
    }
    match (life, deadline) {
        (Life::Until(_), Some(deadline)) => put_mortal(cx, key, value, deadline),
        (_, None) => put(cx, key, value),
        (_, Some(_)) => {
            cx.apply(key, Effect::PutString { value: StringValue::Bytes(value), deadline });
            cx.notify(events::SET, key);
        }
    }
    if !get {
        reply.ok();
    }
    Ok(())
}

/// Gives a key a string and no deadline.
#[inline]
fn put(cx: &mut WriteCx<'_>, key: &[u8], value: &[u8]) {
    cx.apply(key, Effect::PutString { value: StringValue::Bytes(value), deadline: None });
    cx.notify(events::SET, key);
}

/// Gives a key a string and a deadline; where that has passed already, the key has been there and expired.
fn put_mortal(cx: &mut WriteCx<'_>, key: &[u8], value: &[u8], deadline: u64) {
    let is_alive = deadline > cx.now();
    if is_alive {
        cx.apply(key, Effect::PutString { value: StringValue::Bytes(value), deadline: Some(deadline) });
    } else if !cx.apply(key, Effect::Delete) {
        cx.notify(Event::NEW, key);
    }
    cx.notify(events::SET, key);
    cx.notify(events::EXPIRE, key);
    if !is_alive {
        cx.notify(Event::EXPIRED, key);
    }
}

fn setnx(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let absent = cx.get(&args[1]).is_none();
    if absent {
        put(cx, &args[1], &args[2]);
    }
    reply.integer(i64::from(absent));
    Ok(())
}

fn setex(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let deadline = Until::seconds(&args[2]).deadline(cx.now(), "setex")?;
    put_mortal(cx, &args[1], &args[3], deadline);
    reply.ok();
    Ok(())
}

fn psetex(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let deadline = Until::milliseconds(&args[2]).deadline(cx.now(), "psetex")?;
    put_mortal(cx, &args[1], &args[3], deadline);
    reply.ok();
    Ok(())
}

fn getset(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_value(reply, string(cx.lookup(&args[1]))?);
    put(cx, &args[1], &args[2]);
    Ok(())
}

fn getdel(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_value(reply, string(cx.lookup(&args[1]))?);
    if cx.apply(&args[1], Effect::Delete) {
        cx.notify(Event::DEL, &args[1]);
    }
    Ok(())
}

fn getex(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, now) = (&args[1], cx.now());
    let life = SetOptions::parse(args.tail(2), Form::GetEx)?.life;
    let Some(value) = string(cx.lookup(key))? else {
        reply.null();
        return Ok(());
    };
    reply_value(reply, Some(value));
    match life {
        Life::Until(until) => {
            let deadline = until.deadline(now, "getex")?;
            set_deadline(cx, key, Some(deadline).filter(|&deadline| deadline > now));
        }
        Life::Forever => {
            take_deadline(cx, key);
        }
        Life::Unsaid | Life::Keep => {}
    }
    Ok(())
}

fn mget(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.array(args.len() - 1);
    for key in args.tail(1) {
        // A value of another type is no string, and here not an error either.
        reply_value(reply, cx.get(key).and_then(|object| object.string()));
    }
    Ok(())
}

fn mset(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    if args.len().is_multiple_of(2) {
        return Err(errors::wrong_arity("mset"));
    }
    put_pairs(cx, args);
    reply.ok();
    Ok(())
}

fn msetnx(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    if args.len().is_multiple_of(2) {
        return Err(errors::wrong_arity("msetnx"));
    }
    let none_there = args.iter().skip(1).step_by(2).all(|key| cx.get(key).is_none());
    if none_there {
        put_pairs(cx, args);
    }
    reply.integer(i64::from(none_there));
    Ok(())
}

fn put_pairs(cx: &mut WriteCx<'_>, args: Args<'_>) {
    for at in (1..args.len()).step_by(2) {
        put(cx, &args[at], &args[at + 1]);
    }
}
