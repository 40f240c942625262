//! Whole databases: walking, counting, emptying and exchanging them.

use kvdb_resp::{Args, Reply};
use kvdb_store::{Draw, Walk};

use crate::errors::{self, CommandError};
use crate::keyspace_cx::KeyspaceCx;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeyspaceOutcome, KeyspaceResult};
use crate::values::glob::{Case, matches};
use crate::values::number::parse_i64;

/// A SCAN that asks for more keys than this at a time is none of a worker's business.
const COUNT_FOR_A_WORKER: usize = 1000;
/// Keys that one step of KEYS or SCAN looks at.
const KEYS_STEP: usize = 1024;
/// Bytes of keys with which SCAN ends a call, however many keys it was asked for.
const SCAN_BYTES: usize = 32 << 20;
/// Keys that SCAN looks at unless it is told a number.
const DEFAULT_COUNT: usize = 10;

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 1,
    flags: Flags::READONLY,
    keys: &[],
    categories: &["@keyspace"],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "scan",
        arity: -2,
        flags: Flags::READONLY,
        since: "2.8.0",
        complexity: "O(1) for a call, O(N) for a walk over N keys",
        summary: "Walks the keys of the selected database, a few with each call.",
        syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        handler: Handler::Keyspace(scan),
        ..ROW
    },
    CommandSpec {
        name: "keys",
        arity: 2,
        flags: Flags::READONLY.with(Flags::SLOW),
        categories: &["@keyspace", "@dangerous"],
        complexity: "O(N) for N keys in the database",
        summary: "Replies with all keys of the selected database that match a pattern.",
        syntax: "pattern",
        handler: Handler::Keyspace(keys),
        ..ROW
    },
    CommandSpec {
        name: "randomkey",
        flags: Flags::READONLY,
        summary: "Replies with some key of the selected database.",
        handler: Handler::Keyspace(randomkey),
        ..ROW
    },
    CommandSpec {
        name: "dbsize",
        flags: Flags::READONLY.with(Flags::FAST),
        group: Group::Server,
        summary: "Counts the keys of the selected database.",
        handler: Handler::Keyspace(dbsize),
        ..ROW
    },
    CommandSpec {
        name: "flushdb",
        arity: -1,
        flags: Flags::WRITE,
        categories: &["@keyspace", "@dangerous"],
        group: Group::Server,
        summary: "Empties the selected database.",
        syntax: "[ASYNC|SYNC]",
        handler: Handler::Keyspace(flushdb),
        ..ROW
    },
    CommandSpec {
        name: "flushall",
        arity: -1,
        flags: Flags::WRITE,
        categories: &["@keyspace", "@dangerous"],
        group: Group::Server,
        summary: "Empties all databases.",
        syntax: "[ASYNC|SYNC]",
        handler: Handler::Keyspace(flushall),
        ..ROW
    },
    CommandSpec {
        name: "swapdb",
        arity: 3,
        flags: Flags::WRITE.with(Flags::FAST),
        categories: &["@keyspace", "@dangerous"],
        group: Group::Server,
        since: "4.0.0",
        summary: "Exchanges two databases for all connections.",
        syntax: "index1 index2",
        handler: Handler::Keyspace(swapdb),
        ..ROW
    },
];

/// What SCAN leaves out.
struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    count: usize,
}

impl<'a> Filter<'a> {
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut filter = Self { pattern: None, kind: None, count: DEFAULT_COUNT };
        for at in (0..args.len()).step_by(2) {
            let (Some(option), Some(value)) = (args.get(at), args.get(at + 1)) else {
                return Err(errors::SYNTAX);
            };
            match &*option.to_ascii_lowercase() {
                b"match" => filter.pattern = Some(value),
                b"count" => {
                    let count = parse_i64(value).ok_or(errors::NOT_INTEGER)?;
                    filter.count = usize::try_from(count).ok().filter(|&n| n > 0).ok_or(errors::SYNTAX)?;
                }
                b"type" => filter.kind = Some(value),
                _ => return Err(errors::SYNTAX),
            }
        }
        Ok(filter)
    }
}

fn scan(cx: &mut KeyspaceCx<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> KeyspaceResult {
    let cursor = parse_cursor(&args[1]).ok_or(errors::INVALID_CURSOR)?;
    let filter = Filter::parse(args.tail(2))?;
    if filter.count > COUNT_FOR_A_WORKER && !cx.may_wait() {
        return Ok(KeyspaceOutcome::NeedIo);
    }
    // However many keys are asked for, few that do not match and only so many bytes of those that do are held at a time.
    let (mut found, mut bytes, mut rest, mut next) = (Vec::new(), 0, filter.count, cursor);
    loop {
        let count = rest.min(KEYS_STEP);
        let Some((keys, after)) = step(cx, next, count)? else { return Ok(KeyspaceOutcome::NeedIo) };
        next = after;
        rest -= count;
        for (key, kind) in keys {
            if filter.pattern.is_none_or(|pattern| matches_key(pattern, &key))
                && filter.kind.is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind.name().as_bytes()))
            {
                bytes += key.len() + size_of_val(&key);
                found.push(key);
            }
        }
        if next == 0 || rest == 0 || bytes >= SCAN_BYTES {
            break;
        }
    }
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(found.len());
    found.iter().for_each(|key| reply.bulk(key));
    Ok(cx.has_seen())
}

fn keys(cx: &mut KeyspaceCx<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> KeyspaceResult {
    let pattern = &args[1];
    reply.limit(cx.env.limits.max_reply_bytes);
    let head = reply.deferred_array();
    let (mut cursor, mut found) = (0, 0);
    loop {
        let Some((keys, next)) = step(cx, cursor, KEYS_STEP)? else { return Ok(KeyspaceOutcome::NeedIo) };
        for (key, _) in keys.iter().filter(|(key, _)| matches_key(pattern, key)) {
            reply.bulk(key);
            found += 1;
        }
        if reply.is_full() {
            return Err(errors::REPLY_TOO_LONG);
        }
        if next == 0 {
            break;
        }
        cursor = next;
    }
    reply.finish(head, found);
    Ok(cx.has_seen())
}

/// A lone star matches every key, the empty one too, which it would not match as a pattern.
fn matches_key(pattern: &[u8], key: &[u8]) -> bool {
    pattern == b"*" || matches(pattern, key, Case::Sensitive)
}

type Found = (Vec<(Vec<u8>, kvdb_store::Type)>, u64);

/// A step of a walk over the selected database; `None` when it has to wait for the disk and may not.
fn step(cx: &mut KeyspaceCx<'_, '_>, cursor: u64, count: usize) -> Result<Option<Found>, CommandError> {
    Ok(match cx.walk(cursor, count)? {
        Walk::Keys(keys, next) => Some((keys, next)),
        Walk::NeedIo => None,
    })
}

/// A cursor as the C library reads an unsigned number: nothing at all is 0, and a minus wraps.
pub(super) fn parse_cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if negative { magnitude.wrapping_neg() } else { magnitude })
}

fn randomkey(cx: &mut KeyspaceCx<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> KeyspaceResult {
    match cx.random_key()? {
        Draw::Key(key) => reply.bulk(&key),
        Draw::Empty => reply.null(),
        Draw::NeedIo => return Ok(KeyspaceOutcome::NeedIo),
    }
    Ok(cx.has_seen())
}

fn dbsize(cx: &mut KeyspaceCx<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> KeyspaceResult {
    reply.integer(i64::try_from(cx.counts().keys).unwrap_or(i64::MAX));
    Ok(cx.has_seen())
}

fn flushdb(cx: &mut KeyspaceCx<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> KeyspaceResult {
    flush(cx, args, reply, &[cx.db])
}

fn flushall(cx: &mut KeyspaceCx<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> KeyspaceResult {
    let all: Vec<u16> = (0..cx.databases()).collect();
    flush(cx, args, reply, &all)
}

/// Empties databases. SYNC and ASYNC make no difference: another thread frees the memory.
fn flush(cx: &mut KeyspaceCx<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>, dbs: &[u16]) -> KeyspaceResult {
    let is_mode = |mode: &[u8]| [&b"async"[..], b"sync"].iter().any(|known| mode.eq_ignore_ascii_case(known));
    if args.len() > 2 || args.get(1).is_some_and(|mode| !is_mode(mode)) {
        return Err(errors::SYNTAX);
    }
    let done = cx.change(|run| run.empty(dbs))?;
    reply.ok();
    Ok(done)
}

fn swapdb(cx: &mut KeyspaceCx<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> KeyspaceResult {
    let index = |text, error| parse_i64(text).and_then(|n| i32::try_from(n).ok()).ok_or(error);
    let (a, b) = (index(&args[1], errors::FIRST_DB_INDEX)?, index(&args[2], errors::SECOND_DB_INDEX)?);
    let database = |n| u16::try_from(n).ok().filter(|&db| db < cx.databases()).ok_or(errors::DB_INDEX);
    let (a, b) = (database(a)?, database(b)?);
    let done = cx.change(|run| {
        run.exchange(a, b);
        Ok(())
    })?;
    reply.ok();
    Ok(done)
}
