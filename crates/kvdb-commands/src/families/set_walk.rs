//! Parts of sets: walking them, and members by chance.

use itoa::Buffer;
use kvdb_resp::{Args, Reply};
use kvdb_store::types::{Elements, Set};
use kvdb_store::{Effect, Random, ReadCx, WriteCx, text_of};

use super::element_scan::ElementScan;
use super::set::{ROW, reply_members, set};
use super::string_value::{bytes, reply_value};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};
use crate::values::number::parse_i64;

/// A count whose magnitude does not fit.
pub(super) const COUNT_RANGE: CommandError = CommandError::fixed(
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
);

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "spop",
        arity: -2,
        keys: &[KeySpec::one(&["RW", "access", "delete"])],
        complexity: "O(1), or O(N) for N members",
        summary: "Removes members of a set by chance and replies with them.",
        syntax: "key [count]",
        handler: Handler::Write(spop),
        ..ROW
    },
    CommandSpec {
        name: "srandmember",
        arity: -2,
        flags: Flags::NONE,
        keys: &[KeySpec::one(&["RO", "access"])],
        complexity: "O(1), or O(N) for N members",
        summary: "Replies with members of a set by chance; with a negative count a member may come more than once.",
        syntax: "key [count]",
        handler: Handler::Read(srandmember),
        ..ROW
    },
    CommandSpec {
        name: "sscan",
        arity: -3,
        flags: Flags::NONE,
        keys: &[KeySpec::one(&["RO", "access"])],
        since: "2.8.0",
        complexity: "O(1) for a call, O(N) for a walk over N members",
        summary: "Walks the members of a set, a few with each call.",
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        handler: Handler::Read(sscan),
        ..ROW
    },
];

fn spop(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let mut random = Random::new(cx.random());
    let key = &args[1];
    match (args.len(), args.get(2)) {
        (2, _) => {
            let popped = cx.edit::<Set, _>(key, |set| {
                let member = set.random(&mut random).map(text_of)?;
                set.remove(&member).then_some(member)
            })?;
            match popped {
                Some(member) => {
                    cx.notify_edit(events::SPOP, key);
                    reply.bulk(&member);
                }
                None => reply.null(),
            }
            Ok(())
        }
        (3, Some(count)) => {
            let count = parse_i64(count).and_then(|count| usize::try_from(count).ok());
            let count = count.ok_or(errors::NOT_POSITIVE)?;
            pop_many(cx, key, count, &mut random, reply)
        }
        _ => Err(errors::SYNTAX),
    }
}

fn pop_many(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    count: usize,
    random: &mut Random,
    reply: &mut Reply<'_>,
) -> CmdResult {
    let found = set(cx.get(key))?;
    if let Some(set) = found
        && count >= set.len()
    {
        reply_members(reply, Some(set));
        cx.apply(key, Effect::Delete);
        cx.notify_edit(events::SPOP, key);
        return Ok(());
    }
    let popped = cx.edit::<Set, _>(key, |set| {
        let members: Vec<Vec<u8>> = set.sample(count, random).into_iter().map(text_of).collect();
        reply.set(members.len());
        for member in &members {
            reply.bulk(member);
            set.remove(member);
        }
        !members.is_empty()
    })?;
    if popped {
        cx.notify_edit(events::SPOP, key);
    }
    Ok(())
}

fn srandmember(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let mut random = Random::new(cx.random());
    let Some(count) = args.get(2) else {
        let set = set(cx.get(&args[1]))?;
        reply_value(reply, set.and_then(|set| set.random(&mut random)));
        return Ok(());
    };
    if args.len() > 3 {
        return Err(errors::SYNTAX);
    }
    let count = parse_i64(count).ok_or(errors::NOT_INTEGER)?;
    if count == i64::MIN {
        return Err(COUNT_RANGE);
    }
    let (Some(set), true) = (set(cx.get(&args[1]))?, count != 0) else {
        reply.array(0);
        return Ok(());
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        reply.array(wanted);
        for _ in 0..wanted {
            if reply.is_full() {
                break;
            }
            reply_value(reply, set.random(&mut random));
        }
    } else if wanted >= set.len() {
        reply.array(set.len());
        set.iter().for_each(|member| reply_value(reply, Some(member)));
    } else {
        reply.array(wanted);
        set.sample(wanted, &mut random).into_iter().for_each(|member| reply_value(reply, Some(member)));
    }
    Ok(())
}

fn sscan(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    ElementScan::check_cursor(&args[2])?;
    let Some(set) = set(cx.get(&args[1]))? else {
        ElementScan::reply_nothing(reply);
        return Ok(());
    };
    let scan = ElementScan::parse(args.tail(2), false)?;
    let (mut digits, mut found) = (Buffer::new(), Vec::new());
    let next = set.walk(scan.cursor, scan.count, |member| {
        if scan.wants(bytes(member, &mut digits)) {
            found.push(member);
        }
    });
    ElementScan::reply_cursor(reply, next);
    reply.array(found.len());
    found.into_iter().for_each(|member| reply_value(reply, Some(member)));
    Ok(())
}
