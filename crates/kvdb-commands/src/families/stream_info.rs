//! What there is to know about a stream, its groups and their consumers.

use kvdb_resp::{Args, Reply};
use kvdb_store::ReadCx;
use kvdb_store::types::Stream;
use kvdb_store::types::stream::{Consumer, Group as ConsumerGroup, StreamId};

use super::stream_reply::{ROW, no_group, reply_entries, reply_entry, reply_id, stream};
use crate::errors::{self, CmdResult, CommandError};
use crate::families::help;
use crate::spec::{CommandSpec, Group, Handler, KeySpec};
use crate::values::number::parse_i64;

/// The entries that XINFO STREAM FULL replies with when nothing is said.
const DEFAULT_FULL_COUNT: usize = 10;

const KEY: &[KeySpec] = &[KeySpec::at(2, &["RO", "access"])];

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "xinfo",
    arity: -2,
    keys: &[],
    complexity: "Depends on the subcommand",
    summary: "Tells about a stream, its groups and their consumers.",
    syntax: "",
    subcommands: &[
        CommandSpec {
            name: "consumers",
            arity: 4,
            keys: KEY,
            complexity: "O(N) for N consumers",
            summary: "Lists the consumers of a group.",
            syntax: "key group",
            handler: Handler::Read(consumers),
            ..ROW
        },
        CommandSpec {
            name: "groups",
            arity: 3,
            keys: KEY,
            complexity: "O(N) for N groups",
            summary: "Lists the groups of a stream.",
            handler: Handler::Read(groups),
            ..ROW
        },
        help::row(Group::Stream, "5.0.0"),
        CommandSpec {
            name: "stream",
            arity: -3,
            keys: KEY,
            complexity: "O(1), and O(N) for N entries with FULL",
            summary: "Tells about a stream; with FULL also of its entries, groups and consumers.",
            syntax: "key [FULL [COUNT count]]",
            handler: Handler::Read(info),
            ..ROW
        },
    ],
    ..ROW
}];

/// The stream of a subcommand, which has to be there.
fn existing<'c>(cx: &'c mut ReadCx<'_>, args: Args<'_>) -> Result<&'c Stream, CommandError> {
    stream(cx.get(&args[2]))?.ok_or(errors::NO_SUCH_KEY)
}

fn reply_known(reply: &mut Reply<'_>, count: Option<i64>) {
    match count {
        Some(count) => reply.integer(count),
        None => reply.null(),
    }
}

fn consumers(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let now = cx.now();
    let group = existing(cx, args)?.group(&args[3]).ok_or_else(|| no_group(&args[2], &args[3]))?;
    reply.array(group.consumers().len());
    for consumer in group.consumers() {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        reply.bulk(b"pending");
        reply.integer(consumer.waiting() as i64);
        reply.bulk(b"idle");
        reply.integer(now.saturating_sub(consumer.seen_at()) as i64);
        reply.bulk(b"inactive");
        reply.integer(consumer.active_at().map_or(-1, |at| now.saturating_sub(at) as i64));
    }
    Ok(())
}

fn groups(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let stream = existing(cx, args)?;
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        reply.bulk(b"consumers");
        reply.integer(group.consumers().len() as i64);
        reply.bulk(b"pending");
        reply.integer(group.pending_len() as i64);
        reply.bulk(b"last-delivered-id");
        reply_id(reply, group.last_id());
        reply.bulk(b"entries-read");
        reply_known(reply, group.entries_read());
        reply.bulk(b"lag");
        reply_known(reply, stream.lag(group));
    }
    Ok(())
}

fn info(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let stream = existing(cx, args)?;
    let is = |at: usize, word: &str| args[at].eq_ignore_ascii_case(word.as_bytes());
    match args.len() {
        3 => summarize(stream, reply),
        4 if is(3, "FULL") => reply_all(stream, DEFAULT_FULL_COUNT, reply),
        6 if is(3, "FULL") && is(4, "COUNT") => {
            let count = parse_i64(&args[5]).ok_or(errors::NOT_INTEGER)?;
            let count = match usize::try_from(count) {
                Ok(0) => usize::MAX,
                Ok(count) => count,
                Err(_) => DEFAULT_FULL_COUNT,
            };
            reply_all(stream, count, reply);
        }
        _ => return Err(errors::subcommand_syntax("XINFO", &args[1])),
    }
    Ok(())
}

/// What both forms of XINFO STREAM begin with.
fn reply_counters(stream: &Stream, reply: &mut Reply<'_>) {
    reply.bulk(b"length");
    reply.integer(stream.count() as i64);
    // Redis finds blocks by a radix tree; that of a few has a node for each, and the root.
    reply.bulk(b"radix-tree-keys");
    reply.integer(stream.blocks() as i64);
    reply.bulk(b"radix-tree-nodes");
    reply.integer(stream.blocks() as i64 + 1);
    reply.bulk(b"last-generated-id");
    reply_id(reply, stream.last_id());
    reply.bulk(b"max-deleted-entry-id");
    reply_id(reply, stream.max_deleted_id());
    reply.bulk(b"entries-added");
    reply.integer(stream.entries_added() as i64);
    reply.bulk(b"recorded-first-entry-id");
    reply_id(reply, stream.first_id());
}

fn summarize(stream: &Stream, reply: &mut Reply<'_>) {
    reply.map(10);
    reply_counters(stream, reply);
    reply.bulk(b"groups");
    reply.integer(stream.groups().len() as i64);
    let all = StreamId::MIN..=StreamId::MAX;
    let ends = [stream.range(all.clone()).next(), stream.range_back(all).next()];
    for (name, entry) in [&b"first-entry"[..], b"last-entry"].into_iter().zip(ends) {
        reply.bulk(name);
        match entry {
            Some(entry) => reply_entry(reply, &entry),
            None => reply.null(),
        }
    }
}

fn reply_all(stream: &Stream, count: usize, reply: &mut Reply<'_>) {
    reply.map(9);
    reply_counters(stream, reply);
    reply.bulk(b"entries");
    reply_entries(reply, stream.range(StreamId::MIN..=StreamId::MAX).take(count));
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(7);
        reply.bulk(b"name");
        reply.bulk(name);
        reply.bulk(b"last-delivered-id");
        reply_id(reply, group.last_id());
        reply.bulk(b"entries-read");
        reply_known(reply, group.entries_read());
        reply.bulk(b"lag");
        reply_known(reply, stream.lag(group));
        reply.bulk(b"pel-count");
        reply.integer(group.pending_len() as i64);
        reply.bulk(b"pending");
        reply.array(group.pending_len().min(count));
        for (id, pending) in group.pending(StreamId::MIN..=StreamId::MAX).take(count) {
            reply.array(4);
            reply_id(reply, id);
            reply.bulk(group.consumer_of(pending).name());
            reply.integer(pending.delivered_at as i64);
            reply.integer(pending.deliveries as i64);
        }
        reply.bulk(b"consumers");
        reply.array(group.consumers().len());
        for consumer in group.consumers() {
            reply_consumer(group, consumer, count, reply);
        }
    }
}

fn reply_consumer(group: &ConsumerGroup, consumer: &Consumer, count: usize, reply: &mut Reply<'_>) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(consumer.name());
    reply.bulk(b"seen-time");
    reply.integer(consumer.seen_at() as i64);
    reply.bulk(b"active-time");
    reply.integer(consumer.active_at().map_or(-1, |at| at as i64));
    reply.bulk(b"pel-count");
    reply.integer(consumer.waiting() as i64);
    reply.bulk(b"pending");
    reply.array(consumer.waiting().min(count));
    for id in consumer.waiting_from(StreamId::MIN).take(count) {
        let Some(pending) = group.pending_entry(id) else { continue };
        reply.array(3);
        reply_id(reply, id);
        reply.integer(pending.delivered_at as i64);
        reply.integer(pending.deliveries as i64);
    }
}
