//! Taking members off the ends of sorted sets.

use kvdb_resp::{Args, Protocol, Reply};
use kvdb_store::types::{Elements, SortedSet};
use kvdb_store::{ValueRef, WriteCx, text_of};

use super::list_blocking::is_passed_over;
use super::set_algebra::NUMKEYS;
use super::sorted_set::{ROW, sorted_set};
use super::sorted_set_ends::{begin_scored, reply_scored};
use super::sorted_set_range::remove_members;
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};
use crate::values::number::parse_i64;

const COMPLEXITY: &str = "O(M*log(N)) for M of N members";

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zpopmin",
        arity: -2,
        keys: &[KeySpec::one(&["RW", "access", "delete"])],
        since: "5.0.0",
        complexity: COMPLEXITY,
        summary: "Removes the members of a sorted set with the lowest scores and replies with them.",
        syntax: "key [count]",
        handler: Handler::Write(zpopmin),
        ..ROW
    },
    CommandSpec {
        name: "zpopmax",
        arity: -2,
        keys: &[KeySpec::one(&["RW", "access", "delete"])],
        since: "5.0.0",
        complexity: COMPLEXITY,
        summary: "Removes the members of a sorted set with the highest scores and replies with them.",
        syntax: "key [count]",
        handler: Handler::Write(zpopmax),
        ..ROW
    },
    CommandSpec {
        name: "zmpop",
        arity: -4,
        flags: Flags::NONE,
        keys: &[KeySpec::counted(1, &["RW", "access", "delete"])],
        since: "7.0.0",
        complexity: "O(K)+O(M*log(N)) for K keys and M of N members",
        summary: "Removes members off an end of the first of several sorted sets that is there.",
        syntax: "numkeys:integer key [key ...] <MIN|MAX> [COUNT count]",
        handler: Handler::Write(zmpop),
        ..ROW
    },
];

const COUNT: CommandError = CommandError::fixed("ERR count should be greater than 0");

/// An end of a sorted set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The lowest score.
    Min,
    /// The highest score.
    Max,
}

/// Members with their scores, as they were.
pub(super) type Popped = Vec<(Vec<u8>, f64)>;

/// Takes up to `count` members off an end of the sorted set of a key; `None` when the key is not there.
pub(super) fn pop(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    end: End,
    count: usize,
) -> Result<Option<Popped>, CommandError> {
    let Some(set) = sorted_set(cx.get(key))? else { return Ok(None) };
    let (len, count) = (set.len(), count.min(set.len()));
    let owned = |(member, score)| (text_of(member), score);
    let popped: Popped = match end {
        End::Min => set.range(0..count, false).map(owned).collect(),
        End::Max => set.range(len - count..len, true).map(owned).collect(),
    };
    let members: Vec<&[u8]> = popped.iter().map(|(member, _)| &member[..]).collect();
    remove_members(cx, key, len, &members)?;
    if !popped.is_empty() {
        let event = match end {
            End::Min => events::ZPOPMIN,
            End::Max => events::ZPOPMAX,
        };
        cx.notify_edit(event, key);
    }
    Ok(Some(popped))
}

/// Takes members off the first of the keys that is there; `None` when none is.
pub(super) fn pop_first_of<'k>(
    cx: &mut WriteCx<'_>,
    keys: impl Iterator<Item = &'k [u8]>,
    end: End,
    count: usize,
) -> Result<Option<(&'k [u8], Popped)>, CommandError> {
    for key in keys {
        if is_passed_over::<SortedSet>(cx, key) {
            continue;
        }
        if let Some(popped) = pop(cx, key, end, count)? {
            return Ok(Some((key, popped)));
        }
    }
    Ok(None)
}

/// Replies with a key and an array of pairs, as ZMPOP does.
pub(super) fn reply_key_and_pairs(reply: &mut Reply<'_>, key: &[u8], popped: &Popped) {
    reply.array(2);
    reply.bulk(key);
    reply.array(popped.len());
    for (member, score) in popped {
        reply.array(2);
        reply.bulk(member);
        reply.double(*score);
    }
}

fn zpopmin(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    pop_one_key(cx, args, reply, End::Min)
}

fn zpopmax(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    pop_one_key(cx, args, reply, End::Max)
}

fn pop_one_key(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>, end: End) -> CmdResult {
    if args.len() > 3 {
        return Err(errors::SYNTAX);
    }
    let count = match args.get(2) {
        Some(count) => {
            let count = parse_i64(count).and_then(|count| usize::try_from(count).ok());
            count.ok_or(errors::NOT_POSITIVE)?
        }
        None => 1,
    };
    let popped = pop(cx, &args[1], end, count)?.unwrap_or_default();
    // Without a count there are no pairs even in RESP3: the reply is one member and its score.
    let flat = args.len() == 2 && reply.protocol() == Protocol::Resp3;
    if flat {
        reply.array(popped.len() * 2);
    } else {
        begin_scored(reply, popped.len(), true);
    }
    for (member, score) in &popped {
        if flat {
            reply.bulk(member);
            reply.double(*score);
        } else {
            reply_scored(reply, (ValueRef::Bytes(member), *score), true);
        }
    }
    Ok(())
}

fn zmpop(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (keys, end, count) = parse_mpop(args.tail(1))?;
    match pop_first_of(cx, keys.iter(), end, count)? {
        Some((key, popped)) => reply_key_and_pairs(reply, key, &popped),
        None => reply.null_array(),
    }
    Ok(())
}

/// The keys, the end and the count of ZMPOP, from the number of keys on.
pub(super) fn parse_mpop(args: Args<'_>) -> Result<(Args<'_>, End, usize), CommandError> {
    let positive = |text: &[u8]| {
        parse_i64(text).and_then(|number| usize::try_from(number).ok()).filter(|&number| number > 0)
    };
    let keys = positive(&args[0]).ok_or(NUMKEYS)?;
    let end = match args.get(keys.saturating_add(1)) {
        Some(word) if word.eq_ignore_ascii_case(b"min") => End::Min,
        Some(word) if word.eq_ignore_ascii_case(b"max") => End::Max,
        _ => return Err(errors::SYNTAX),
    };
    let options = args.tail(keys + 2);
    let count = match (options.len(), options.get(0), options.get(1)) {
        (0, ..) => 1,
        (_, Some(word), Some(count)) if word.eq_ignore_ascii_case(b"count") => {
            let count = positive(count).ok_or(COUNT)?;
            if options.len() > 2 {
                return Err(errors::SYNTAX);
            }
            count
        }
        _ => return Err(errors::SYNTAX),
    };
    Ok((args.slice(1..1 + keys), end, count))
}
