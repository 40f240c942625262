//! Sorted sets that are waited for.

use kvdb_resp::{Args, Reply};
use kvdb_store::WriteCx;
use kvdb_store::types::SortedSet;

use super::list_blocking::{deadline, is_passed_over, wait};
use super::sorted_set::ROW;
use super::sorted_set_pop::{End, parse_mpop, pop, pop_first_of, reply_key_and_pairs};
use crate::errors::CmdResult;
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};

const BLOCKING: CommandSpec = CommandSpec {
    arity: -3,
    flags: Flags::NOSCRIPT.with(Flags::BLOCKING).with(Flags::FAST),
    keys: &[KeySpec::range(1, -2, 1, &["RW", "access", "delete"])],
    since: "5.0.0",
    complexity: "O(log(N)) for N members",
    syntax: "key [key ...] timeout:double",
    ..ROW
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "bzpopmin",
        summary: "Takes the member with the lowest score of the first of several sorted sets that is there; waits for one.",
        handler: Handler::Write(bzpopmin),
        ..BLOCKING
    },
    CommandSpec {
        name: "bzpopmax",
        summary: "Takes the member with the highest score of the first of several sorted sets that is there; waits for one.",
        handler: Handler::Write(bzpopmax),
        ..BLOCKING
    },
    CommandSpec {
        name: "bzmpop",
        arity: -5,
        flags: Flags::BLOCKING,
        keys: &[KeySpec::counted(2, &["RW", "access", "delete"])],
        since: "7.0.0",
        complexity: "O(K)+O(M*log(N)) for K keys and M of N members",
        summary: "Takes members off an end of the first of several sorted sets that is there, and waits for one.",
        syntax: "timeout:double numkeys:integer key [key ...] <MIN|MAX> [COUNT count]",
        handler: Handler::Write(bzmpop),
        ..BLOCKING
    },
];

fn bzpopmin(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    pop_or_wait(cx, args, reply, End::Min)
}

fn bzpopmax(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    pop_or_wait(cx, args, reply, End::Max)
}

fn pop_or_wait(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>, end: End) -> CmdResult {
    let deadline = deadline(cx, &args[args.len() - 1])?;
    for key in args.slice(1..args.len() - 1) {
        if is_passed_over::<SortedSet>(cx, key) {
            continue;
        }
        if let Some((member, score)) = pop(cx, key, end, 1)?.and_then(|popped| popped.into_iter().next()) {
            reply.array(3);
            reply.bulk(key);
            reply.bulk(&member);
            reply.double(score);
            return Ok(());
        }
    }
    wait(cx, deadline, reply);
    Ok(())
}

fn bzmpop(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (keys, end, count) = parse_mpop(args.tail(2))?;
    let deadline = deadline(cx, &args[1])?;
    match pop_first_of(cx, keys.iter(), end, count)? {
        Some((key, popped)) => reply_key_and_pairs(reply, key, &popped),
        None => wait(cx, deadline, reply),
    }
    Ok(())
}
