//! Lists that are waited for.

use kvdb_resp::{Args, Reply};
use kvdb_store::WriteCx;
use kvdb_store::types::list::End;
use kvdb_store::types::{Elements, List};

use super::list::{ROW, pop};
use super::list_move::{ManyPop, move_element, parse_end};
use super::string_value::reply_value;
use crate::errors::{CmdResult, CommandError};
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};
use crate::values::number::parse_timeout_seconds;

const BLOCKING: CommandSpec = CommandSpec {
    flags: Flags::NOSCRIPT.with(Flags::BLOCKING).with(Flags::CHEAP),
    since: "2.0.0",
    handler: Handler::Container,
    ..ROW
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "blpop",
        arity: -3,
        keys: &[KeySpec::range(1, -2, 1, &["RW", "access", "delete"])],
        complexity: "O(N) for N keys",
        summary: "Takes the first element of the first of several lists that is there, and waits for one where none is.",
        syntax: "key [key ...] timeout:double",
        handler: Handler::Write(blpop),
        ..BLOCKING
    },
    CommandSpec {
        name: "brpop",
        arity: -3,
        keys: &[KeySpec::range(1, -2, 1, &["RW", "access", "delete"])],
        complexity: "O(N) for N keys",
        summary: "Takes the last element of the first of several lists that is there, and waits for one where none is.",
        syntax: "key [key ...] timeout:double",
        handler: Handler::Write(brpop),
        ..BLOCKING
    },
    CommandSpec {
        name: "blmove",
        arity: 6,
        flags: BLOCKING.flags.with(Flags::DENYOOM),
        keys: &[KeySpec::one(&["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])],
        since: "6.2.0",
        summary: "Takes an element off an end of a list and adds it at an end of another; waits for one where there is none.",
        syntax: "source destination <LEFT|RIGHT> <LEFT|RIGHT> timeout:double",
        handler: Handler::Write(blmove),
        ..BLOCKING
    },
    CommandSpec {
        name: "brpoplpush",
        arity: 4,
        flags: BLOCKING.flags.with(Flags::DENYOOM),
        keys: &[KeySpec::one(&["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])],
        since: "2.2.0",
        summary: "Takes the last element of a list and puts it before the first of another; waits for one where there is none.",
        syntax: "source destination timeout:double",
        handler: Handler::Write(brpoplpush),
        ..BLOCKING
    },
    CommandSpec {
        name: "blmpop",
        arity: -5,
        flags: Flags::BLOCKING.with(Flags::CHEAP),
        keys: &[KeySpec::counted(2, &["RW", "access", "delete"])],
        since: "7.0.0",
        complexity: "O(N+M) for N keys and M elements",
        summary: "Takes elements off an end of the first of several lists that is there, and waits for one where none is.",
        syntax: "timeout:double numkeys:integer key [key ...] <LEFT|RIGHT> [COUNT count]",
        handler: Handler::Write(blmpop),
        ..BLOCKING
    },
];

/// When a wait that begins now ends.
pub(super) fn deadline(cx: &WriteCx<'_>, timeout: &[u8]) -> Result<Option<u64>, CommandError> {
    parse_timeout_seconds(timeout, cx.now()).map_err(|error| CommandError::new(format!("ERR {error}")))
}

/// Waits, or replies as when the time is over where the command may not wait.
pub(super) fn wait(cx: &mut WriteCx<'_>, deadline: Option<u64>, reply: &mut Reply<'_>) {
    if !cx.wait_until(deadline) {
        reply.null_array();
    }
}

/// Whether a command that has waited passes over a key: a value of another type is nothing to wait for, and other keys may
/// have something.
pub(super) fn is_passed_over<T: Elements>(cx: &mut WriteCx<'_>, key: &[u8]) -> bool {
    cx.has_waited() && cx.get(key).is_some_and(|object| object.elements::<T>().is_none())
}

fn blpop(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    pop_first(cx, args, reply, End::Head)
}

fn brpop(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    pop_first(cx, args, reply, End::Tail)
}

fn pop_first(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>, end: End) -> CmdResult {
    let deadline = deadline(cx, &args[args.len() - 1])?;
    for key in args.slice(1..args.len() - 1) {
        if is_passed_over::<List>(cx, key) {
            continue;
        }
        let found = pop(cx, key, end, 1, |_, values| {
            reply.array(2);
            reply.bulk(key);
            reply_value(reply, values.next());
        })?;
        if found {
            return Ok(());
        }
    }
    wait(cx, deadline, reply);
    Ok(())
}

fn blmove(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (from, to) = (parse_end(&args[3])?, parse_end(&args[4])?);
    let deadline = deadline(cx, &args[5])?;
    move_or_wait(cx, (&args[1], from), (&args[2], to), deadline, reply)
}

fn brpoplpush(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let deadline = deadline(cx, &args[3])?;
    move_or_wait(cx, (&args[1], End::Tail), (&args[2], End::Head), deadline, reply)
}

fn move_or_wait(
    cx: &mut WriteCx<'_>,
    source: (&[u8], End),
    target: (&[u8], End),
    deadline: Option<u64>,
    reply: &mut Reply<'_>,
) -> CmdResult {
    let moved = !is_passed_over::<List>(cx, source.0) && move_element(cx, source, target, reply)?;
    if !moved && !cx.wait_until(deadline) {
        reply.null();
    }
    Ok(())
}

fn blmpop(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let pop = ManyPop::parse(args.tail(2))?;
    let deadline = deadline(cx, &args[1])?;
    if !pop.run(cx, reply)? {
        wait(cx, deadline, reply);
    }
    Ok(())
}
