//! Parts of sorted sets in no order: walking them, and members by chance.

use itoa::Buffer;
use kvdb_resp::{Args, Reply, format_double};
use kvdb_store::types::Elements;
use kvdb_store::{Random, ReadCx};

use super::element_scan::ElementScan;
use super::set_walk::COUNT_RANGE;
use super::sorted_set::{ROW, sorted_set};
use super::sorted_set_ends::{begin_scored, reply_scored};
use super::string_value::{bytes, reply_value};
use crate::errors::{self, CmdResult, CommandError};
use crate::spec::{CommandSpec, Flags, Handler};
use crate::values::number::parse_i64;

const COUNT_TWICE: CommandError = CommandError::fixed("ERR value is out of range");

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zrandmember",
        arity: -2,
        flags: Flags::NONE,
        since: "6.2.0",
        complexity: "O(N) for N members replied",
        summary: "Replies with members of a sorted set by chance; with a negative count a member may come more than once.",
        syntax: "key [count [WITHSCORES]]",
        handler: Handler::Read(zrandmember),
        ..ROW
    },
    CommandSpec {
        name: "zscan",
        arity: -3,
        flags: Flags::NONE,
        since: "2.8.0",
        complexity: "O(1) for a call, O(N) for a walk over N members",
        summary: "Walks the members of a sorted set and their scores, a few with each call.",
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        handler: Handler::Read(zscan),
        ..ROW
    },
];

fn zrandmember(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let mut random = Random::new(cx.random());
    let Some(count) = args.get(2) else {
        let set = sorted_set(cx.get(&args[1]))?;
        reply_value(reply, set.and_then(|set| set.random(&mut random)).map(|(member, _)| member));
        return Ok(());
    };
    let count = parse_i64(count).ok_or(errors::NOT_INTEGER)?;
    if count == i64::MIN {
        return Err(COUNT_RANGE);
    }
    let with_scores = match args.get(3) {
        None => false,
        Some(option) if args.len() == 4 && option.eq_ignore_ascii_case(b"withscores") => true,
        Some(_) => return Err(errors::SYNTAX),
    };
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(COUNT_TWICE);
    }
    let (Some(set), true) = (sorted_set(cx.get(&args[1]))?, count != 0) else {
        reply.array(0);
        return Ok(());
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        begin_scored(reply, wanted, with_scores);
        for _ in 0..wanted {
            let Some(scored) = set.random(&mut random) else { break };
            reply_scored(reply, scored, with_scores);
            if reply.is_full() {
                break;
            }
        }
    } else if wanted >= set.len() {
        begin_scored(reply, set.len(), with_scores);
        // As in Redis, all of them come from the highest score on.
        set.range(0..set.len(), true).for_each(|scored| reply_scored(reply, scored, with_scores));
    } else {
        begin_scored(reply, wanted, with_scores);
        let sample = set.sample(wanted, &mut random);
        sample.into_iter().for_each(|scored| reply_scored(reply, scored, with_scores));
    }
    Ok(())
}

fn zscan(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    ElementScan::check_cursor(&args[2])?;
    let Some(set) = sorted_set(cx.get(&args[1]))? else {
        ElementScan::reply_nothing(reply);
        return Ok(());
    };
    let scan = ElementScan::parse(args.tail(2), false)?;
    let (mut digits, mut found) = (Buffer::new(), Vec::new());
    let next = set.walk(scan.cursor, scan.count, |scored| {
        if scan.wants(bytes(scored.0, &mut digits)) {
            found.push(scored);
        }
    });
    ElementScan::reply_cursor(reply, next);
    reply.array(found.len() * 2);
    for (member, score) in found {
        reply_value(reply, Some(member));
        // A string also in RESP3, as in Redis.
        reply.bulk(format_double(score).as_bytes());
    }
    Ok(())
}
