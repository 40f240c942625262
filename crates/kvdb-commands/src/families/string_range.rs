//! Parts of strings: appending, cutting out, overwriting, comparing.

use itoa::Buffer;
use kvdb_resp::{Args, Reply};
use kvdb_store::{Effect, ReadCx, StringValue, ValueRef, WriteCx, text_of};

use super::string_value::{bytes, check_length, string};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::lcs;
use crate::values::number::parse_i64;

const READ: &[KeySpec] = &[KeySpec::one(&["RO", "access"])];

/// LCS looks at both keys before anything else, and has its own words for those of another type.
const LCS_WRONG_TYPE: CommandError = CommandError::fixed("ERR The specified keys must contain string values");
/// LCS IDX replies with the length anyway.
const LCS_IDX_AND_LEN: CommandError =
    CommandError::fixed("ERR If you want both the length and indexes, please just use IDX.");

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "append",
        arity: 3,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: &[KeySpec::one(&["RW", "insert"])],
        categories: &[],
        group: Group::String,
        since: "2.0.0",
        complexity: "O(N) for N bytes appended",
        summary: "Puts bytes at the end of the string of a key; a key that does not exist counts as empty.",
        syntax: "key value",
        handler: Handler::Write(append),
        subcommands: &[],
    },
    CommandSpec {
        name: "strlen",
        arity: 2,
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RO"])],
        categories: &[],
        group: Group::String,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Replies with the length in bytes of the string of a key.",
        syntax: "key",
        handler: Handler::Read(strlen),
        subcommands: &[],
    },
    CommandSpec {
        name: "setrange",
        arity: 4,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::one(&["RW", "update"])],
        categories: &[],
        group: Group::String,
        since: "2.2.0",
        complexity: "O(N) for N bytes written and a gap of N bytes filled",
        summary: "Writes over a part of the string of a key, with zero bytes in a gap behind its end.",
        syntax: "key offset value",
        handler: Handler::Write(setrange),
        subcommands: &[],
    },
    CommandSpec {
        name: "getrange",
        arity: 4,
        flags: Flags::NONE,
        keys: READ,
        categories: &[],
        group: Group::String,
        since: "2.4.0",
        complexity: "O(N) for N bytes replied",
        summary: "Reads a part of the string of a key.",
        syntax: "key start end",
        handler: Handler::Read(getrange),
        subcommands: &[],
    },
    CommandSpec {
        name: "substr",
        arity: 4,
        flags: Flags::NONE,
        keys: READ,
        categories: &[],
        group: Group::String,
        since: "1.0.0",
        complexity: "O(N) for N bytes replied",
        summary: "Reads a part of the string of a key; the old name of GETRANGE.",
        syntax: "key start end",
        handler: Handler::Read(getrange),
        subcommands: &[],
    },
    CommandSpec {
        name: "lcs",
        arity: -3,
        flags: Flags::NONE,
        keys: &[KeySpec::range(1, 2, 1, &["RO", "access"])],
        categories: &[],
        group: Group::String,
        since: "7.0.0",
        complexity: "O(N*M) for strings of N and M bytes",
        summary: "Finds the longest common subsequence of the strings of two keys.",
        syntax: "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len:integer] [WITHMATCHLEN]",
        handler: Handler::Read(lcs),
        subcommands: &[],
    },
];

fn append(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, value) = (&args[1], &args[2]);
    let offset = match string(cx.get(key))? {
        Some(old) => old.len(),
        None => {
            cx.apply(key, Effect::PutString { value: StringValue::Bytes(value), deadline: None });
            cx.notify(events::APPEND, key);
            reply.integer(value.len() as i64);
            return Ok(());
        }
    };
    check_length(cx.limits(), offset, value.len())?;
    cx.apply(key, Effect::WriteRange { offset, bytes: value });
    cx.notify(events::APPEND, key);
    reply.integer((offset + value.len()) as i64);
    Ok(())
}

fn strlen(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let value = string(cx.get(&args[1]))?;
    reply.integer(value.map_or(0, |value| value.len() as i64));
    Ok(())
}

fn setrange(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, value) = (&args[1], &args[3]);
    let offset = parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?;
    let offset = usize::try_from(offset).map_err(|_| errors::OFFSET_OUT_OF_RANGE)?;
    let old_len = string(cx.get(key))?.map_or(0, |old| old.len());
    // Nothing is written, not even zeros before it, and no key is made.
    if value.is_empty() {
        reply.integer(old_len as i64);
        return Ok(());
    }
    check_length(cx.limits(), offset, value.len())?;
    cx.apply(key, Effect::WriteRange { offset, bytes: value });
    cx.notify(events::SETRANGE, key);
    reply.integer(old_len.max(offset + value.len()) as i64);
    Ok(())
}

fn getrange(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let start = parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?;
    let end = parse_i64(&args[3]).ok_or(errors::NOT_INTEGER)?;
    let value = string(cx.get(&args[1]))?;
    let mut digits = Buffer::new();
    reply.bulk(value.map_or(&[][..], |value| part(bytes(value, &mut digits), start, end)));
    Ok(())
}

/// The bytes from `start` to `end`, both included; negative ones count from the end of the string, and those that lie
/// outside of it are moved to its first byte or its last.
fn part(string: &[u8], start: i64, end: i64) -> &[u8] {
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let from_start = |at: i64| match usize::try_from(at) {
        Ok(at) => at,
        Err(_) => string.len().saturating_sub(usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let (start, end) = (from_start(start), from_start(end).saturating_add(1).min(string.len()));
    string.get(start..end).unwrap_or_default()
}

fn lcs(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    // Both are looked up before the type of either one matters.
    let (a, b) = (lcs_text(cx, &args[1]), lcs_text(cx, &args[2]));
    let (a, b) = (a?, b?);
    let options = LcsOptions::parse(args.tail(3))?;
    let limit = cx.limits().max_string_bytes as u64;
    let too_long = |error: lcs::TooLong| CommandError::new(format!("ERR {error}"));
    if options.indexes {
        let (matches, len) = lcs::matches(&a, &b, options.min_match, limit).map_err(too_long)?;
        reply_matches(reply, &matches, len, options.with_lengths);
    } else if options.length {
        reply.integer(lcs::length(&a, &b, limit).map_err(too_long)? as i64);
    } else {
        reply.bulk(&lcs::subsequence(&a, &b, limit).map_err(too_long)?);
    }
    Ok(())
}

fn lcs_text(cx: &mut ReadCx<'_>, key: &[u8]) -> Result<Vec<u8>, CommandError> {
    match string(cx.get(key)) {
        Ok(value) => Ok(value.map_or_else(Vec::new, |value: ValueRef<'_>| text_of(value))),
        Err(_) => Err(LCS_WRONG_TYPE),
    }
}

#[derive(Default)]
struct LcsOptions {
    length: bool,
    indexes: bool,
    with_lengths: bool,
    min_match: usize,
}

impl LcsOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
            if is("IDX") {
                options.indexes = true;
            } else if is("LEN") {
                options.length = true;
            } else if is("WITHMATCHLEN") {
                options.with_lengths = true;
            } else if is("MINMATCHLEN") {
                let least = parse_i64(args.next().ok_or(errors::SYNTAX)?).ok_or(errors::NOT_INTEGER)?;
                options.min_match = usize::try_from(least).unwrap_or(0);
            } else {
                return Err(errors::SYNTAX);
            }
        }
        if options.indexes && options.length { Err(LCS_IDX_AND_LEN) } else { Ok(options) }
    }
}

fn reply_matches(reply: &mut Reply<'_>, matches: &[lcs::Match], len: usize, with_lengths: bool) {
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(matches.len());
    for found in matches {
        reply.array(2 + usize::from(with_lengths));
        for (first, last) in [found.a, found.b] {
            reply.array(2);
            reply.integer(first as i64);
            reply.integer(last as i64);
        }
        if with_lengths {
            reply.integer(found.length() as i64);
        }
    }
    reply.bulk(b"len");
    reply.integer(len as i64);
}
