//! Deadlines of keys: setting, taking away and asking.

use kvdb_resp::{Args, Reply};
use kvdb_store::{Effect, Event, ReadCx, WriteCx};

use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::number::parse_i64;

/// What the rows that change a deadline have in common.
const CHANGE: CommandSpec = CommandSpec {
    name: "",
    arity: -3,
    flags: Flags::FAST,
    keys: &[KeySpec::one(&["RW", "update"])],
    categories: &["@keyspace"],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// What the rows that tell a deadline have in common.
const ASK: CommandSpec =
    CommandSpec { arity: 2, keys: &[KeySpec::one(&["RO", "access"])], syntax: "key", ..CHANGE };

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "expire",
        summary: "Lets a key die after so many seconds.",
        syntax: "key seconds [NX|XX|GT|LT]",
        handler: Handler::Write(expire),
        ..CHANGE
    },
    CommandSpec {
        name: "pexpire",
        since: "2.6.0",
        summary: "Lets a key die after so many milliseconds.",
        syntax: "key milliseconds [NX|XX|GT|LT]",
        handler: Handler::Write(pexpire),
        ..CHANGE
    },
    CommandSpec {
        name: "expireat",
        since: "1.2.0",
        summary: "Lets a key die at a Unix time in seconds.",
        syntax: "key unix-time-seconds [NX|XX|GT|LT]",
        handler: Handler::Write(expireat),
        ..CHANGE
    },
    CommandSpec {
        name: "pexpireat",
        since: "2.6.0",
        summary: "Lets a key die at a Unix time in milliseconds.",
        syntax: "key unix-time-milliseconds [NX|XX|GT|LT]",
        handler: Handler::Write(pexpireat),
        ..CHANGE
    },
    CommandSpec {
        name: "persist",
        arity: 2,
        since: "2.2.0",
        summary: "Takes the deadline of a key away.",
        syntax: "key",
        handler: Handler::Write(persist),
        ..CHANGE
    },
    CommandSpec {
        name: "ttl",
        flags: Flags::FAST,
        summary: "Tells for how many seconds a key will live.",
        handler: Handler::Read(ttl),
        ..ASK
    },
    CommandSpec {
        name: "pttl",
        flags: Flags::FAST,
        since: "2.6.0",
        summary: "Tells for how many milliseconds a key will live.",
        handler: Handler::Read(pttl),
        ..ASK
    },
    CommandSpec {
        name: "expiretime",
        since: "7.0.0",
        summary: "Tells at which Unix time in seconds a key dies.",
        handler: Handler::Read(expiretime),
        ..ASK
    },
    CommandSpec {
        name: "pexpiretime",
        since: "7.0.0",
        summary: "Tells at which Unix time in milliseconds a key dies.",
        handler: Handler::Read(pexpiretime),
        ..ASK
    },
];

/// What a time is counted in, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds = 1000,
    Milliseconds = 1,
}

/// What a time is counted from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Now,
    Epoch,
}

/// On what a new deadline depends.
#[derive(Default)]
pub(super) struct Conditions {
    /// There is none.
    nx: bool,
    /// There is one.
    xx: bool,
    /// It is later than the present one; no deadline is later than any.
    gt: bool,
    /// It is sooner than the present one.
    lt: bool,
}

impl Conditions {
    fn parse(options: Args<'_>) -> Result<Self, CommandError> {
        let mut conditions = Self::default();
        for option in options {
            let condition = match &*option.to_ascii_lowercase() {
                b"nx" => &mut conditions.nx,
                b"xx" => &mut conditions.xx,
                b"gt" => &mut conditions.gt,
                b"lt" => &mut conditions.lt,
                _ => return Err(errors::unsupported_option(option)),
            };
            *condition = true;
        }
        if conditions.nx && (conditions.xx || conditions.gt || conditions.lt) {
            return Err(errors::EXPIRE_NX_AND_OTHERS);
        }
        if conditions.gt && conditions.lt {
            return Err(errors::EXPIRE_GT_AND_LT);
        }
        Ok(conditions)
    }

    /// The condition that one word states.
    pub(super) fn parse_one(word: &[u8]) -> Result<Self, CommandError> {
        let mut conditions = Self::default();
        match &*word.to_ascii_lowercase() {
            b"nx" => conditions.nx = true,
            b"xx" => conditions.xx = true,
            b"gt" => conditions.gt = true,
            b"lt" => conditions.lt = true,
            _ => return Err(errors::unsupported_option(word)),
        }
        Ok(conditions)
    }

    /// Whether a present deadline may become this one.
    pub(super) fn allow(&self, present: Option<u64>, new: i64) -> bool {
        // A present deadline beyond what an argument can say is later than any argument.
        let present = present.map(|deadline| i64::try_from(deadline).unwrap_or(i64::MAX));
        !(self.nx && present.is_some()
            || self.xx && present.is_none()
            || self.gt && present.is_none_or(|present| new <= present)
            || self.lt && present.is_some_and(|present| new >= present))
    }
}

fn expire(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    change_deadline(cx, args, reply, "expire", Unit::Seconds, From::Now)
}

fn pexpire(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    change_deadline(cx, args, reply, "pexpire", Unit::Milliseconds, From::Now)
}

fn expireat(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    change_deadline(cx, args, reply, "expireat", Unit::Seconds, From::Epoch)
}

fn pexpireat(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    change_deadline(cx, args, reply, "pexpireat", Unit::Milliseconds, From::Epoch)
}

/// Gives a key that is there a deadline, or deletes it where that has passed.
pub(super) fn set_deadline(cx: &mut WriteCx<'_>, key: &[u8], deadline: Option<u64>) {
    let (effect, event) = match deadline {
        Some(_) => (Effect::SetDeadline(deadline), events::EXPIRE),
        None => (Effect::Delete, Event::DEL),
    };
    cx.apply(key, effect);
    cx.notify(event, key);
}

/// Takes the deadline of a key away; tells whether it had one.
pub(super) fn take_deadline(cx: &mut WriteCx<'_>, key: &[u8]) -> bool {
    let mortal = cx.get(key).is_some_and(|object| object.deadline().is_some());
    if mortal {
        cx.apply(key, Effect::SetDeadline(None));
        cx.notify(events::PERSIST, key);
    }
    mortal
}

fn change_deadline(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    name: &str,
    unit: Unit,
    from: From,
) -> CmdResult {
    let key = &args[1];
    let conditions = Conditions::parse(args.tail(3))?;
    let time = parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?;
    let base = match from {
        From::Now => i64::try_from(cx.now()).unwrap_or(i64::MAX),
        From::Epoch => 0,
    };
    // Before now is allowed, even before 1970; only what 64 bits cannot hold is not.
    let deadline = time
        .checked_mul(unit as i64)
        .and_then(|time| time.checked_add(base))
        .ok_or_else(|| errors::invalid_expire(name))?;
    let changed = match cx.get(key) {
        Some(object) => conditions.allow(object.deadline(), deadline),
        None => false,
    };
    if changed {
        let alive = u64::try_from(deadline).ok().filter(|&deadline| deadline > cx.now());
        set_deadline(cx, key, alive);
    }
    reply.integer(i64::from(changed));
    Ok(())
}

fn persist(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let mortal = take_deadline(cx, &args[1]);
    reply.integer(i64::from(mortal));
    Ok(())
}

fn ttl(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    tell_deadline(cx, args, reply, Unit::Seconds, From::Now)
}

fn pttl(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    tell_deadline(cx, args, reply, Unit::Milliseconds, From::Now)
}

fn expiretime(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    tell_deadline(cx, args, reply, Unit::Seconds, From::Epoch)
}

fn pexpiretime(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    tell_deadline(cx, args, reply, Unit::Milliseconds, From::Epoch)
}

fn tell_deadline(
    cx: &mut ReadCx<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    unit: Unit,
    from: From,
) -> CmdResult {
    let now = cx.now();
    reply.integer(match cx.inspect(&args[1]).map(|object| object.deadline()) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => {
            let time = if from == From::Now { deadline.saturating_sub(now) } else { deadline };
            // Seconds are rounded to the nearest.
            let time = if unit == Unit::Seconds { time.saturating_add(500) / 1000 } else { time };
            i64::try_from(time).unwrap_or(i64::MAX)
        }
    });
    Ok(())
}
