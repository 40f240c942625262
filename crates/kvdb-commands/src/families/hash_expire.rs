//! Deadlines of the fields of hashes, and the commands that read or write fields together with them.

use kvdb_resp::{Args, Reply};
use kvdb_store::types::hash::FieldDeadline;
use kvdb_store::{ReadCx, WriteCx};

use super::expire::{Conditions, From, Unit};
use super::hash::{ROW, edit, hash};
use super::string_value::reply_value;
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::exec::check_names;
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};
use crate::values::number::parse_i64;

/// Deadlines of fields fit this many bits in Redis.
const LATEST: i64 = (1 << 46) - 1;

const FIELDS_MISSING: CommandError =
    CommandError::fixed("ERR Mandatory argument FIELDS is missing or not at the right position");
const NUMFIELDS: CommandError = CommandError::fixed("ERR Parameter `numFields` should be greater than 0");
const NUMFIELDS_COUNT: CommandError =
    CommandError::fixed("ERR The `numfields` parameter must match the number of arguments");
const NOT_NEGATIVE: CommandError = CommandError::fixed("ERR invalid expire time, must be >= 0");
const EXCLUSIVE: CommandError =
    CommandError::fixed("ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified");
const EXCLUSIVE_SET: CommandError =
    CommandError::fixed("ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified");
const EXCLUSIVE_CONDITION: CommandError =
    CommandError::fixed("ERR Only one of FXX or FNX arguments can be specified");

const CHANGE: CommandSpec = CommandSpec {
    arity: -6,
    flags: Flags::DENYOOM.with(Flags::FAST),
    keys: &[KeySpec::one(&["RW", "update"])],
    since: "7.4.0",
    complexity: "O(N) for N fields",
    syntax: "key seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]",
    ..ROW
};
const ASK: CommandSpec = CommandSpec {
    arity: -5,
    since: "7.4.0",
    complexity: "O(N) for N fields",
    syntax: "key FIELDS numfields field [field ...]",
    ..ROW
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "hexpire",
        summary: "Has fields of a hash die after so many seconds.",
        handler: Handler::Write(hexpire),
        ..CHANGE
    },
    CommandSpec {
        name: "hpexpire",
        summary: "Has fields of a hash die after so many milliseconds.",
        syntax: "key milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]",
        handler: Handler::Write(hpexpire),
        ..CHANGE
    },
    CommandSpec {
        name: "hexpireat",
        summary: "Has fields of a hash die at a moment, in Unix seconds.",
        syntax: "key unix-time-seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]",
        handler: Handler::Write(hexpireat),
        ..CHANGE
    },
    CommandSpec {
        name: "hpexpireat",
        summary: "Has fields of a hash die at a moment, in Unix milliseconds.",
        syntax: "key unix-time-milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]",
        handler: Handler::Write(hpexpireat),
        ..CHANGE
    },
    CommandSpec {
        name: "hpersist",
        arity: -5,
        flags: Flags::FAST,
        summary: "Has fields of a hash live as long as the hash.",
        syntax: "key FIELDS numfields field [field ...]",
        handler: Handler::Write(hpersist),
        ..CHANGE
    },
    CommandSpec {
        name: "httl",
        summary: "Tells in how many seconds fields of a hash die.",
        handler: Handler::Read(httl),
        ..ASK
    },
    CommandSpec {
        name: "hpttl",
        summary: "Tells in how many milliseconds fields of a hash die.",
        handler: Handler::Read(hpttl),
        ..ASK
    },
    CommandSpec {
        name: "hexpiretime",
        summary: "Tells when fields of a hash die, in Unix seconds.",
        handler: Handler::Read(hexpiretime),
        ..ASK
    },
    CommandSpec {
        name: "hpexpiretime",
        summary: "Tells when fields of a hash die, in Unix milliseconds.",
        handler: Handler::Read(hpexpiretime),
        ..ASK
    },
    CommandSpec {
        name: "hgetdel",
        arity: -5,
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RW", "access", "delete"])],
        since: "8.0.0",
        summary: "Replies with the values of fields of a hash and removes them.",
        syntax: "key FIELDS numfields field [field ...]",
        handler: Handler::Write(hgetdel),
        ..CHANGE
    },
    CommandSpec {
        name: "hgetex",
        arity: -5,
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RW", "access", "update"])],
        since: "8.0.0",
        summary: "Replies with the values of fields of a hash and changes when they die.",
        syntax: "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST] FIELDS numfields field [field ...]",
        handler: Handler::Write(hgetex),
        ..CHANGE
    },
    CommandSpec {
        name: "hsetex",
        since: "8.0.0",
        summary: "Gives fields of a hash values and a time to live.",
        syntax: "key [FNX|FXX] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL] FIELDS numfields field value [field value ...]",
        handler: Handler::Write(hsetex),
        ..CHANGE
    },
];

/// The fields behind `FIELDS numfields`, each with `each - 1` arguments of its own.
fn fields(args: Args<'_>, at: usize, each: usize) -> Result<Args<'_>, CommandError> {
    if !args.get(at).is_some_and(|word| word.eq_ignore_ascii_case(b"fields")) {
        return Err(FIELDS_MISSING);
    }
    let count =
        parse_i64(args.get(at + 1).ok_or(errors::SYNTAX)?).filter(|&count| count > 0).ok_or(NUMFIELDS)?;
    let fields = args.tail(at + 2);
    match usize::try_from(count).ok().and_then(|count| count.checked_mul(each)) {
        Some(len) if len == fields.len() => Ok(fields),
        _ => Err(NUMFIELDS_COUNT),
    }
}

/// A moment in Unix milliseconds.
fn moment(text: &[u8], unit: Unit, from: From, now: u64, name: &str) -> Result<i64, CommandError> {
    let time = parse_i64(text).ok_or(errors::NOT_INTEGER)?;
    if time < 0 {
        return Err(NOT_NEGATIVE);
    }
    let base = if from == From::Now { now as i64 } else { 0 };
    time.checked_mul(unit as i64)
        .and_then(|time| time.checked_add(base))
        .filter(|&moment| moment <= LATEST)
        .ok_or_else(|| errors::invalid_expire(name))
}

fn hexpire(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    set_deadlines(cx, args, reply, "hexpire", Unit::Seconds, From::Now)
}

fn hpexpire(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    set_deadlines(cx, args, reply, "hpexpire", Unit::Milliseconds, From::Now)
}

fn hexpireat(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    set_deadlines(cx, args, reply, "hexpireat", Unit::Seconds, From::Epoch)
}

fn hpexpireat(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    set_deadlines(cx, args, reply, "hpexpireat", Unit::Milliseconds, From::Epoch)
}

/// Replies for each field: -2 it is not there, 0 the condition does not hold, 1 it has the deadline, 2 it is gone.
fn set_deadlines(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    name: &str,
    unit: Unit,
    from: From,
) -> CmdResult {
    let now = cx.now();
    let deadline = moment(&args[2], unit, from, now, name)?;
    let has_condition = !args[3].eq_ignore_ascii_case(b"fields");
    let conditions = if has_condition { Conditions::parse_one(&args[3])? } else { Conditions::default() };
    let names = fields(args, 3 + usize::from(has_condition), 1)?;
    let outcomes = edit(cx, &args[1], |hash| {
        let change = |name: &[u8]| {
            if hash.get(name).is_none() {
                return -2;
            }
            if !conditions.allow(hash.deadline(name), deadline) {
                return 0;
            }
            if deadline <= now as i64 {
                hash.remove(name);
                return 2;
            }
            hash.set_deadline(name, Some(deadline as u64));
            1
        };
        names.iter().map(change).collect::<Vec<i64>>()
    })?;
    if outcomes.contains(&2) {
        cx.notify_edit(events::HDEL, &args[1]);
    } else if outcomes.contains(&1) {
        cx.notify(events::HEXPIRE, &args[1]);
    }
    reply_integers(reply, &outcomes);
    Ok(())
}

fn reply_integers(reply: &mut Reply<'_>, integers: &[i64]) {
    reply.array(integers.len());
    integers.iter().for_each(|&integer| reply.integer(integer));
}

fn hpersist(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let names = fields(args, 2, 1)?;
    let outcomes = edit(cx, &args[1], |hash| {
        let change = |name: &[u8]| match (hash.get(name), hash.deadline(name)) {
            (None, _) => -2,
            (Some(_), None) => -1,
            (Some(_), Some(_)) => {
                hash.set_deadline(name, None);
                1
            }
        };
        names.iter().map(change).collect::<Vec<i64>>()
    })?;
    if outcomes.contains(&1) {
        cx.notify(events::HPERSIST, &args[1]);
    }
    reply_integers(reply, &outcomes);
    Ok(())
}

fn httl(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    tell_deadlines(cx, args, reply, Unit::Seconds, From::Now)
}

fn hpttl(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    tell_deadlines(cx, args, reply, Unit::Milliseconds, From::Now)
}

fn hexpiretime(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    tell_deadlines(cx, args, reply, Unit::Seconds, From::Epoch)
}

fn hpexpiretime(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    tell_deadlines(cx, args, reply, Unit::Milliseconds, From::Epoch)
}

fn tell_deadlines(
    cx: &mut ReadCx<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    unit: Unit,
    from: From,
) -> CmdResult {
    let (names, now) = (fields(args, 2, 1)?, cx.now());
    let hash = hash(cx.get(&args[1]), now)?;
    reply.array(names.len());
    for name in names {
        let there = hash.and_then(|hash| hash.get(name).map(|_| hash.deadline(name)));
        reply.integer(match there {
            None => -2,
            Some(None) => -1,
            Some(Some(deadline)) => {
                let time = if from == From::Now { deadline.saturating_sub(now) } else { deadline };
                // What is left of a second counts as one, so that a field that lives has no 0.
                let time = if unit == Unit::Seconds { time.div_ceil(1000) } else { time };
                i64::try_from(time).unwrap_or(i64::MAX)
            }
        });
    }
    Ok(())
}

fn hgetdel(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let names = fields(args, 2, 1)?;
    let mut removed = false;
    reply.array(names.len());
    edit(cx, &args[1], |hash| {
        for name in names {
            let value = hash.get(name);
            removed |= value.is_some();
            reply_value(reply, value);
            hash.remove(name);
        }
    })?;
    if removed {
        cx.notify_edit(events::HDEL, &args[1]);
    }
    Ok(())
}

/// The options before FIELDS of HGETEX and HSETEX.
struct Options {
    /// What becomes of deadlines; nothing said.
    deadline: Option<FieldDeadline>,
    /// Whether none of the fields may be there, or all have to be.
    present: Option<bool>,
    /// Where FIELDS stands.
    fields_at: usize,
}

impl Options {
    fn parse(args: Args<'_>, now: u64, name: &str, sets: bool) -> Result<Self, CommandError> {
        let mut options = Self { deadline: None, present: None, fields_at: 2 };
        while let Some(word) = args.get(options.fields_at) {
            let at = options.fields_at;
            let lower = word.to_ascii_lowercase();
            let time = match &*lower {
                b"fields" => break,
                b"ex" => Some((Unit::Seconds, From::Now)),
                b"px" => Some((Unit::Milliseconds, From::Now)),
                b"exat" => Some((Unit::Seconds, From::Epoch)),
                b"pxat" => Some((Unit::Milliseconds, From::Epoch)),
                _ => None,
            };
            let deadline = match (&*lower, time) {
                (b"persist", _) if !sets => FieldDeadline::Clear,
                (b"keepttl", _) if sets => FieldDeadline::Keep,
                (_, Some((unit, from))) => {
                    let text = args.get(at + 1).ok_or(errors::SYNTAX)?;
                    let moment = moment(text, unit, from, now, name)?;
                    options.fields_at += 1;
                    FieldDeadline::At(moment as u64)
                }
                (b"fnx" | b"fxx", _) if sets => {
                    if options.present.replace(lower == b"fxx").is_some() {
                        return Err(EXCLUSIVE_CONDITION);
                    }
                    options.fields_at += 1;
                    continue;
                }
                _ => return Err(errors::unknown_argument(word)),
            };
            if options.deadline.replace(deadline).is_some() {
                return Err(if sets { EXCLUSIVE_SET } else { EXCLUSIVE });
            }
            options.fields_at += 1;
        }
        Ok(options)
    }
}

fn hgetex(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let now = cx.now();
    let options = Options::parse(args, now, "hgetex", false)?;
    let names = fields(args, options.fields_at, 1)?;
    if options.deadline.is_none() {
        let found = cx.lookup(&args[1]);
        let hash = hash(found, now)?;
        reply.array(names.len());
        names.iter().for_each(|name| reply_value(reply, hash.and_then(|hash| hash.get(name))));
        return Ok(());
    }
    let mut event = None;
    reply.array(names.len());
    edit(cx, &args[1], |hash| {
        for name in names {
            // One field may be named many times.
            if reply.is_full() {
                break;
            }
            let value = hash.get(name);
            reply_value(reply, value);
            if value.is_none() {
                continue;
            }
            match options.deadline {
                Some(FieldDeadline::At(at)) if at <= now => {
                    hash.remove(name);
                    event = Some(events::HDEL);
                }
                Some(FieldDeadline::At(at)) => {
                    hash.set_deadline(name, Some(at));
                    event = Some(events::HEXPIRE);
                }
                Some(FieldDeadline::Clear) if hash.deadline(name).is_some() => {
                    hash.set_deadline(name, None);
                    event = Some(events::HPERSIST);
                }
                _ => {}
            }
        }
    })?;
    if let Some(event) = event {
        cx.notify_edit(event, &args[1]);
    }
    Ok(())
}

fn hsetex(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let now = cx.now();
    let options = Options::parse(args, now, "hsetex", true)?;
    let pairs = fields(args, options.fields_at, 2)?;
    let deadline = options.deadline.unwrap_or(FieldDeadline::Clear);
    let names = || (0..pairs.len()).step_by(2);
    check_names(names().map(|at| &pairs[at]))?;
    let done = edit(cx, &args[1], |hash| {
        let live = hash.live();
        if options.present.is_some_and(|wanted| names().any(|at| live.get(&pairs[at]).is_some() != wanted)) {
            return false;
        }
        if matches!(deadline, FieldDeadline::At(moment) if moment <= now) {
            hash.tell_end();
        }
        for at in names() {
            match deadline {
                FieldDeadline::At(moment) if moment <= now => drop(hash.remove(&pairs[at])),
                _ => drop(hash.put(&pairs[at], &pairs[at + 1], deadline)),
            }
        }
        true
    })?;
    if done {
        cx.notify(events::HSET, &args[1]);
        match deadline {
            FieldDeadline::At(moment) if moment <= now => cx.notify_edit(events::HDEL, &args[1]),
            FieldDeadline::At(_) => cx.notify(events::HEXPIRE, &args[1]),
            FieldDeadline::Keep | FieldDeadline::Clear => {}
        }
    }
    reply.integer(i64::from(done));
    Ok(())
}
