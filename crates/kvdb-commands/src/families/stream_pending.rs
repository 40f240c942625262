//! Pending entries of consumer groups: looking at them, and giving them to other consumers.

use kvdb_resp::{Args, Reply};
use kvdb_store::types::stream::{AutoClaimed, Claim, Group, StreamId};
use kvdb_store::{ReadCx, WriteCx};
use smallvec::SmallVec;
use std::ops::RangeInclusive;

use super::stream_reply::{
    ROW, edit_groups, no_key_or_group, parse_count, parse_id, parse_range, range_error, reply_entry,
    reply_id, stream, unrecognized_claim_option,
};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::exec::check_names;
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};
use crate::values::number::parse_i64;
use crate::values::stream_id::{self, parse_start};

const CLAIM_MIN_IDLE: CommandError = CommandError::fixed("ERR Invalid min-idle-time argument for XCLAIM");
const CLAIM_IDLE: CommandError = CommandError::fixed("ERR Invalid IDLE option argument for XCLAIM");
const CLAIM_TIME: CommandError = CommandError::fixed("ERR Invalid TIME option argument for XCLAIM");
const CLAIM_RETRY_COUNT: CommandError =
    CommandError::fixed("ERR Invalid RETRYCOUNT option argument for XCLAIM");
const AUTO_CLAIM_MIN_IDLE: CommandError =
    CommandError::fixed("ERR Invalid min-idle-time argument for XAUTOCLAIM");
const AUTO_CLAIM_COUNT: CommandError = CommandError::fixed("ERR COUNT must be > 0");

/// The most entries that XAUTOCLAIM may be asked for, as in Redis.
const MAX_AUTO_CLAIM: i64 = i64::MAX / 16;
/// The entries that XAUTOCLAIM claims when nothing is said.
const DEFAULT_AUTO_CLAIM: i64 = 100;

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "xpending",
        arity: -3,
        complexity: "O(N) for N entries looked at, or N consumers",
        summary: "Tells what was delivered to a group and not acknowledged: in sum, or entry by entry.",
        syntax: "key group [[IDLE min-idle-time:integer] start:string end:string count [consumer]]",
        handler: Handler::Read(xpending),
        ..ROW
    },
    CommandSpec {
        name: "xclaim",
        arity: -6,
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RW", "update"])],
        complexity: "O(N log M) for N ids and M pending entries",
        summary: "Has pending entries of a group wait for another consumer, as if they were delivered to it.",
        syntax: "key group consumer min-idle-time id [id ...] [IDLE ms:integer] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
        handler: Handler::Write(xclaim),
        ..ROW
    },
    CommandSpec {
        name: "xautoclaim",
        arity: -6,
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RW", "delete"])],
        since: "6.2.0",
        complexity: "O(N) for N entries looked at",
        summary: "Has entries of a group that are pending for long wait for another consumer, a few with each call.",
        syntax: "key group consumer min-idle-time start:string [COUNT count] [JUSTID]",
        handler: Handler::Write(xautoclaim),
        ..ROW
    },
];

/// Which pending entries XPENDING replies with.
struct Wanted<'a> {
    min_idle: i64,
    range: RangeInclusive<StreamId>,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    /// Reads the arguments behind the group.
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let (min_idle, rest) = if args[0].eq_ignore_ascii_case(b"idle") {
            let min_idle = parse_i64(&args[1]).ok_or(errors::NOT_INTEGER)?;
            if args.len() < 5 {
                return Err(errors::SYNTAX);
            }
            (min_idle, args.tail(2))
        } else {
            (0, args)
        };
        let count = parse_count(&rest[2])?;
        Ok(Self { min_idle, range: parse_range(&rest[0], &rest[1])?, count, consumer: rest.get(3) })
    }
}

fn xpending(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, name) = (&args[1], &args[2]);
    if args.len() != 3 && !(6..=9).contains(&args.len()) {
        return Err(errors::SYNTAX);
    }
    let wanted = if args.len() > 3 { Some(Wanted::parse(args.tail(3))?) } else { None };
    let now = cx.now();
    let group = stream(cx.get(key))?.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_key_or_group(key, name, ""))?;
    match wanted {
        None => summarize(group, reply),
        Some(wanted) => list(group, &wanted, now, reply),
    }
    Ok(())
}

/// How many entries are pending, the first and the last, and how many for whom.
fn summarize(group: &Group, reply: &mut Reply<'_>) {
    reply.array(4);
    reply.integer(group.pending_len() as i64);
    let mut all = group.pending(StreamId::MIN..=StreamId::MAX);
    let Some((first, _)) = all.next() else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    let last = all.next_back().map_or(first, |(last, _)| last);
    reply_id(reply, first);
    reply_id(reply, last);
    let (head, mut count) = (reply.deferred_array(), 0);
    for consumer in group.consumers().filter(|consumer| consumer.waiting() > 0) {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_integer(consumer.waiting() as i64);
        count += 1;
    }
    reply.finish(head, count);
}

/// Pending entries, each with who it waits for, for how long, and how often it was delivered.
fn list(group: &Group, wanted: &Wanted<'_>, now: u64, reply: &mut Reply<'_>) {
    let idle = |at: u64| (now as i64).wrapping_sub(at as i64);
    let (head, mut count) = (reply.deferred_array(), 0);
    let mut show = |id: StreamId| {
        let Some(pending) = group.pending_entry(id) else { return true };
        let idle = idle(pending.delivered_at);
        if wanted.min_idle != 0 && idle < wanted.min_idle {
            return true;
        }
        if count == wanted.count || reply.is_full() {
            return false;
        }
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(group.consumer_of(pending).name());
        reply.integer(idle.max(0));
        reply.integer(pending.deliveries as i64);
        count += 1;
        count < wanted.count
    };
    if wanted.count > 0 {
        match wanted.consumer.map(|name| group.consumer(name)) {
            None => {
                group.pending(wanted.range.clone()).all(|(id, _)| show(id));
            }
            Some(Some(consumer)) => {
                let ids = consumer.waiting_from(*wanted.range.start());
                ids.take_while(|id| wanted.range.contains(id)).all(show);
            }
            Some(None) => {}
        }
    }
    reply.finish(head, count);
}

/// The arguments of XCLAIM from the least idle time on.
struct Claiming {
    claim: Claim,
    ids: SmallVec<[StreamId; 8]>,
    last_id: StreamId,
}

impl Claiming {
    fn parse(args: Args<'_>, now: u64) -> Result<Self, CommandError> {
        let min_idle = parse_i64(&args[0]).ok_or(CLAIM_MIN_IDLE)?;
        let claim =
            Claim { min_idle: u64::try_from(min_idle).unwrap_or(0), delivered_at: now, ..Claim::default() };
        let ids: SmallVec<[StreamId; 8]> =
            args.tail(1).iter().map_while(|text| stream_id::parse(text, 0)).collect();
        let mut claiming = Self { claim, last_id: StreamId::MIN, ids };
        // A moment that cannot be is now: clients may have another clock.
        let moment = |at: i64| u64::try_from(at).ok().filter(|&at| at <= now).unwrap_or(now);
        let mut at = 1 + claiming.ids.len();
        while let Some(option) = args.get(at) {
            let claim = &mut claiming.claim;
            let mut takes_value = true;
            match (&*option.to_ascii_lowercase(), args.get(at + 1)) {
                (b"force", _) => (claim.force, takes_value) = (true, false),
                (b"justid", _) => (claim.just_id, takes_value) = (true, false),
                (b"idle", Some(idle)) => {
                    let idle = parse_i64(idle).ok_or(CLAIM_IDLE)?;
                    claim.delivered_at = moment((now as i64).wrapping_sub(idle));
                }
                (b"time", Some(time)) => claim.delivered_at = moment(parse_i64(time).ok_or(CLAIM_TIME)?),
                (b"retrycount", Some(count)) => {
                    let count = parse_i64(count).ok_or(CLAIM_RETRY_COUNT)?;
                    claim.deliveries = u64::try_from(count).ok();
                }
                (b"lastid", Some(id)) => claiming.last_id = parse_id(id)?,
                _ => return Err(unrecognized_claim_option(option)),
            }
            at += 1 + usize::from(takes_value);
        }
        Ok(claiming)
    }
}

fn xclaim(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, name, consumer, now) = (&args[1], &args[2], &args[3], cx.now());
    let group = stream(cx.lookup(key))?.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_key_or_group(key, name, ""))?;
    let (last_id, entries_read) = (group.last_id(), group.entries_read());
    let claiming = Claiming::parse(args.tail(4), now)?;
    check_names([consumer])?;
    let (created, claimed) = edit_groups(cx, key, |stream| {
        if claiming.last_id > last_id {
            stream.set_group(name, claiming.last_id, entries_read);
        }
        let created = stream.see_consumer(name, consumer, now);
        (created, stream.claim(name, consumer, &claiming.ids, &claiming.claim, now))
    })?;
    if created {
        cx.notify(events::XGROUP_CREATECONSUMER, key);
    }
    reply_claimed(cx, key, &claimed, claiming.claim.just_id, reply)
}

/// Replies with entries that were claimed.
fn reply_claimed(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    claimed: &[StreamId],
    just_id: bool,
    reply: &mut Reply<'_>,
) -> CmdResult {
    let stream = stream(cx.get(key))?;
    reply.array(claimed.len());
    for &id in claimed {
        if reply.is_full() {
            return Err(errors::REPLY_TOO_LONG);
        }
        match stream.and_then(|stream| stream.get(id)) {
            Some(entry) if !just_id => reply_entry(reply, &entry),
            _ => reply_id(reply, id),
        }
    }
    Ok(())
}

fn xautoclaim(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, name, consumer, now) = (&args[1], &args[2], &args[3], cx.now());
    let min_idle = parse_i64(&args[4]).ok_or(AUTO_CLAIM_MIN_IDLE)?;
    let start = parse_start(&args[5]).map_err(range_error)?;
    let (mut count, mut just_id) = (DEFAULT_AUTO_CLAIM, false);
    let mut options = args.tail(6).iter();
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"justid") {
            just_id = true;
            continue;
        }
        let value = options.next().filter(|_| option.eq_ignore_ascii_case(b"count")).ok_or(errors::SYNTAX)?;
        let most = parse_i64(value).filter(|most| (1..=MAX_AUTO_CLAIM).contains(most));
        count = most.ok_or(AUTO_CLAIM_COUNT)?;
    }
    let group = stream(cx.lookup(key))?.and_then(|stream| stream.group(name));
    group.ok_or_else(|| no_key_or_group(key, name, ""))?;
    check_names([consumer])?;
    let min_idle = u64::try_from(min_idle).unwrap_or(0);
    let claim = Claim { min_idle, delivered_at: now, just_id, ..Claim::default() };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let (created, found) = edit_groups(cx, key, |stream| {
        let created = stream.see_consumer(name, consumer, now);
        (created, stream.auto_claim(name, consumer, start, count, &claim, now))
    })?;
    if created {
        cx.notify(events::XGROUP_CREATECONSUMER, key);
    }
    let AutoClaimed { next, claimed, deleted } = found;
    reply.array(3);
    reply_id(reply, next);
    reply_claimed(cx, key, &claimed, just_id, reply)?;
    reply.array(deleted.len());
    deleted.into_iter().for_each(|id| reply_id(reply, id));
    Ok(())
}
