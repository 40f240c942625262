//! Parts of hashes: walking them, and fields by chance.

use itoa::Buffer;
use kvdb_resp::{Args, Protocol, Reply};
use kvdb_store::{Random, ReadCx, ValueRef};

use super::element_scan::ElementScan;
use super::hash::{ROW, hash};
use super::string_value::{bytes, reply_value};
use crate::errors::{self, CmdResult, CommandError};
use crate::spec::{CommandSpec, Flags, Handler};

use crate::values::number::parse_i64;

const COUNT_RANGE: CommandError = CommandError::fixed(
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
);
const COUNT_TWICE: CommandError = CommandError::fixed("ERR value is out of range");

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "hscan",
        arity: -3,
        flags: Flags::NONE,
        since: "2.8.0",
        complexity: "O(1) for a call, O(N) for a walk over N fields",
        summary: "Walks the fields of a hash, a few with each call.",
        syntax: "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
        handler: Handler::Read(hscan),
        ..ROW
    },
    CommandSpec {
        name: "hrandfield",
        arity: -2,
        flags: Flags::NONE,
        since: "6.2.0",
        complexity: "O(N) for N fields replied",
        summary: "Replies with fields of a hash by chance.",
        syntax: "key [count [WITHVALUES]]",
        handler: Handler::Read(hrandfield),
        ..ROW
    },
];

fn hscan(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    ElementScan::check_cursor(&args[2])?;
    let now = cx.now();
    let Some(hash) = hash(cx.get(&args[1]), now)? else {
        ElementScan::reply_nothing(reply);
        return Ok(());
    };
    let scan = ElementScan::parse(args.tail(2), true)?;
    let (mut digits, mut found) = (Buffer::new(), Vec::new());
    let next = hash.walk(scan.cursor, scan.count, |name, value| {
        if scan.wants(bytes(name, &mut digits)) {
            found.push((name, value));
        }
    });
    ElementScan::reply_cursor(reply, next);
    reply.array(found.len() * if scan.no_values { 1 } else { 2 });
    for (name, value) in found {
        reply_value(reply, Some(name));
        if !scan.no_values {
            reply_value(reply, Some(value));
        }
    }
    Ok(())
}

fn hrandfield(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (now, mut random) = (cx.now(), Random::new(cx.random()));
    let Some(count) = args.get(2) else {
        let hash = hash(cx.get(&args[1]), now)?;
        reply_value(reply, hash.and_then(|hash| hash.random(|| random.bits())).map(|(name, _)| name));
        return Ok(());
    };
    let count = parse_i64(count).ok_or(errors::NOT_INTEGER)?;
    if count == i64::MIN {
        return Err(COUNT_RANGE);
    }
    let with_values = match args.get(3) {
        None => false,
        Some(option) if args.len() == 4 && option.eq_ignore_ascii_case(b"withvalues") => true,
        Some(_) => return Err(errors::SYNTAX),
    };
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(COUNT_TWICE);
    }
    let hash = hash(cx.get(&args[1]), now)?;
    let (Some(hash), true) = (hash, count != 0) else {
        reply.array(0);
        return Ok(());
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count > 0 {
        let taken = wanted.min(hash.len());
        begin(reply, taken, with_values);
        let mut sample = random.positions(hash.len(), taken).peekable();
        for (at, (name, value)) in hash.iter().enumerate() {
            if sample.next_if_eq(&at).is_some() {
                put(reply, name, value, with_values);
            }
        }
    } else {
        begin(reply, wanted, with_values);
        for _ in 0..wanted {
            let Some((name, value)) = hash.random(|| random.bits()) else { break };
            put(reply, name, value, with_values);
            if reply.is_full() {
                break;
            }
        }
    }
    Ok(())
}

fn begin(reply: &mut Reply<'_>, fields: usize, with_values: bool) {
    let flat = with_values && reply.protocol() == Protocol::Resp2;
    reply.array(if flat { fields.saturating_mul(2) } else { fields });
}

fn put(reply: &mut Reply<'_>, name: ValueRef<'_>, value: ValueRef<'_>, with_values: bool) {
    if with_values && reply.protocol() == Protocol::Resp3 {
        reply.array(2);
    }
    reply_value(reply, Some(name));
    if with_values {
        reply_value(reply, Some(value));
    }
}
