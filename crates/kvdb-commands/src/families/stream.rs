//! Streams: adding, counting, deleting and trimming.

use kvdb_resp::{Args, Reply};
use kvdb_store::types::stream::{Field, Keep, StreamId, Trim};
use kvdb_store::types::{Layout, Stream};
use kvdb_store::{ReadCx, WriteCx};
use smallvec::SmallVec;

use super::stream_reply::{INVALID_ID, ROW, edit_groups, parse_id, parse_ids, reply_id, stream};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};
use crate::values::number::parse_i64;
use crate::values::stream_id::{NewId, parse_new};

const TWO_STRATEGIES: CommandError =
    CommandError::fixed("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
const NEGATIVE_MAXLEN: CommandError = CommandError::fixed("ERR The MAXLEN argument must be >= 0.");
const NEGATIVE_LIMIT: CommandError = CommandError::fixed("ERR The LIMIT argument must be >= 0.");
const LIMIT_ALONE: CommandError =
    CommandError::fixed("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
const LIMIT_EXACT: CommandError =
    CommandError::fixed("ERR syntax error, LIMIT cannot be used without the special ~ option");
const NO_STRATEGY: CommandError =
    CommandError::fixed("ERR syntax error, XTRIM must be called with a trimming strategy");
const ZERO_ID: CommandError = CommandError::fixed("ERR The ID specified in XADD must be greater than 0-0");
const SMALL_ID: CommandError =
    CommandError::fixed("ERR The ID specified in XADD is equal or smaller than the target stream top item");
const EXHAUSTED: CommandError =
    CommandError::fixed("ERR The stream has exhausted the last possible ID, unable to add more items");
const TOO_LARGE: CommandError = CommandError::fixed("ERR Elements are too large to be stored");
const NEGATIVE_ADDED: CommandError = CommandError::fixed("ERR entries_added must be positive");
const ID_BELOW_GIVEN: CommandError =
    CommandError::fixed("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
const ID_BELOW_DELETED: CommandError =
    CommandError::fixed("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id");
const ID_BELOW_TOP: CommandError =
    CommandError::fixed("ERR The ID specified in XSETID is smaller than the target stream top item");
const ADDED_BELOW_LENGTH: CommandError =
    CommandError::fixed("ERR The entries_added specified in XSETID is smaller than the target stream length");

/// The bytes that the fields of an entry may have.
const MAX_ENTRY_BYTES: usize = 1 << 30;

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "xadd",
        arity: -5,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: &[KeySpec::one(&["RW", "update"])],
        complexity: "O(1), and O(N) for N entries trimmed",
        summary: "Adds an entry to a stream; may trim it too.",
        syntax: "key [NOMKSTREAM] [<MAXLEN|MINID> [=|~] threshold [LIMIT count]] <*|id> field value [field value ...]",
        handler: Handler::Write(xadd),
        ..ROW
    },
    CommandSpec {
        name: "xlen",
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RO"])],
        summary: "Counts the entries of a stream.",
        handler: Handler::Read(xlen),
        ..ROW
    },
    CommandSpec {
        name: "xdel",
        arity: -3,
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RW", "delete"])],
        complexity: "O(N log M) for N ids in a stream of M blocks",
        summary: "Removes entries from a stream; replies with how many were there.",
        syntax: "key id [id ...]",
        handler: Handler::Write(xdel),
        ..ROW
    },
    CommandSpec {
        name: "xtrim",
        arity: -4,
        keys: &[KeySpec::one(&["RW", "delete"])],
        complexity: "O(N) for N entries removed",
        summary: "Removes the oldest entries of a stream, down to a number or up to an id.",
        syntax: "key <MAXLEN|MINID> [=|~] threshold [LIMIT count]",
        handler: Handler::Write(xtrim),
        ..ROW
    },
    CommandSpec {
        name: "xsetid",
        arity: -3,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: &[KeySpec::one(&["RW", "update"])],
        summary: "Sets the last id of a stream, and its counters; for tools that rebuild streams.",
        syntax: "key last-id [ENTRIESADDED entries-added:integer] [MAXDELETEDID max-deleted-id]",
        handler: Handler::Write(xsetid),
        ..ROW
    },
];

/// The options of XADD and XTRIM before the id.
struct Options<'a> {
    trim: Option<Trim>,
    no_make: bool,
    /// The id, where it is not left to the stream.
    id: Option<NewId>,
    /// What is behind it.
    rest: Args<'a>,
}

impl<'a> Options<'a> {
    /// Reads the arguments from behind the key on.
    fn parse(args: Args<'a>, is_add: bool, layout: &Layout) -> Result<Self, CommandError> {
        let (mut keep, mut by_blocks, mut limit) = (None, false, None);
        let mut options = Self { trim: None, no_make: false, id: None, rest: args.tail(args.len()) };
        let mut at = 0;
        while let Some(option) = args.get(at) {
            let more = args.len() - at - 1;
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is_add && option == b"*" {
                options.rest = args.tail(at + 1);
                break;
            } else if more > 0 && (is("maxlen") || is("minid")) {
                if keep.is_some() {
                    return Err(TWO_STRATEGIES);
                }
                by_blocks = false;
                if more >= 2 && matches!(&args[at + 1], b"~" | b"=") {
                    by_blocks = &args[at + 1] == b"~";
                    at += 1;
                }
                let threshold = &args[at + 1];
                keep = Some(if is("maxlen") {
                    let newest = parse_i64(threshold).ok_or(errors::NOT_INTEGER)?;
                    Keep::Newest(usize::try_from(newest).map_err(|_| NEGATIVE_MAXLEN)?)
                } else {
                    Keep::From(parse_id(threshold)?)
                });
                at += 1;
            } else if more > 0 && is("limit") {
                let most = parse_i64(&args[at + 1]).ok_or(errors::NOT_INTEGER)?;
                limit = Some(usize::try_from(most).map_err(|_| NEGATIVE_LIMIT)?);
                at += 1;
            } else if is_add && is("nomkstream") {
                options.no_make = true;
            } else if is_add {
                options.id = Some(parse_new(option).ok_or(INVALID_ID)?);
                options.rest = args.tail(at + 1);
                break;
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        options.trim = match (keep, limit) {
            (None, Some(1..)) => return Err(LIMIT_ALONE),
            (None, _) if !is_add => return Err(NO_STRATEGY),
            (_, Some(_)) if !by_blocks => return Err(LIMIT_EXACT),
            (None, _) => None,
            (Some(keep), limit) => {
                let limit = if by_blocks { limit.unwrap_or(default_limit(layout)) } else { 0 };
                Some(Trim { keep, by_blocks, limit })
            }
        };
        Ok(options)
    }
}

/// How many entries an approximate trim removes when nothing is said.
fn default_limit(layout: &Layout) -> usize {
    match layout.stream_entries.saturating_mul(100) {
        0 => 10_000,
        limit => limit.min(1_000_000),
    }
}

fn xadd(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, now) = (&args[1], cx.now());
    let options = Options::parse(args.tail(2), true, &cx.layout())?;
    let fields = options.rest;
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(errors::wrong_arity("xadd"));
    }
    if options.id == Some(NewId::Full(StreamId::MIN)) {
        return Err(ZERO_ID);
    }
    let found = stream(cx.get(key))?;
    if found.is_none() && options.no_make {
        reply.null();
        return Ok(());
    }
    let last = found.map_or(StreamId::MIN, |stream| stream.last_id());
    if last == StreamId::MAX {
        return Err(EXHAUSTED);
    }
    let id = match options.id {
        None if now > last.ms => Some(StreamId { ms: now, seq: 0 }),
        None => last.next(),
        Some(NewId::Full(id)) => Some(id),
        Some(NewId::Milliseconds(ms)) if ms == last.ms => {
            last.seq.checked_add(1).map(|seq| StreamId { ms, seq })
        }
        Some(NewId::Milliseconds(ms)) => Some(StreamId { ms, seq: 0 }),
    };
    let id = id.filter(|&id| id > last).ok_or(SMALL_ID)?;
    if fields.iter().map(<[u8]>::len).sum::<usize>() > MAX_ENTRY_BYTES {
        return Err(TOO_LARGE);
    }
    let pairs: SmallVec<[Field<'_>; 8]> =
        (0..fields.len()).step_by(2).filter_map(|at| Some((fields.get(at)?, fields.get(at + 1)?))).collect();
    let trimmed = cx.edit::<Stream, _>(key, |stream| {
        stream.append(id, &pairs);
        options.trim.as_ref().map_or(0, |trim| stream.trim(trim))
    })?;
    cx.notify(events::XADD, key);
    if trimmed > 0 {
        cx.notify(events::XTRIM, key);
    }
    reply_id(reply, id);
    Ok(())
}

fn xlen(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let stream = stream(cx.get(&args[1]))?;
    reply.integer(stream.map_or(0, |stream| stream.count() as i64));
    Ok(())
}

fn xdel(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let deleted = match stream(cx.get(&args[1]))? {
        Some(_) => {
            let ids = parse_ids(args.tail(2))?;
            cx.edit::<Stream, _>(&args[1], |stream| ids.iter().filter(|&&id| stream.delete(id)).count())?
        }
        None => 0,
    };
    if deleted > 0 {
        cx.notify(events::XDEL, &args[1]);
    }
    reply.integer(deleted as i64);
    Ok(())
}

fn xtrim(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let options = Options::parse(args.tail(2), false, &cx.layout())?;
    let there = stream(cx.get(&args[1]))?.is_some();
    let removed = match &options.trim {
        Some(trim) if there => cx.edit::<Stream, _>(&args[1], |stream| stream.trim(trim))?,
        _ => 0,
    };
    if removed > 0 {
        cx.notify(events::XTRIM, &args[1]);
    }
    reply.integer(removed as i64);
    Ok(())
}

fn xsetid(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, id) = (&args[1], parse_id(&args[2])?);
    let (mut added, mut max_deleted) = (None, None);
    let mut options = args.tail(3).iter();
    while let Some(option) = options.next() {
        match (&*option.to_ascii_lowercase(), options.next()) {
            (b"entriesadded", Some(count)) => {
                let count = parse_i64(count).ok_or(errors::NOT_INTEGER)?;
                added = Some(u64::try_from(count).map_err(|_| NEGATIVE_ADDED)?);
            }
            (b"maxdeletedid", Some(deleted)) => {
                let deleted = parse_id(deleted)?;
                if id < deleted {
                    return Err(ID_BELOW_GIVEN);
                }
                max_deleted = Some(deleted);
            }
            _ => return Err(errors::SYNTAX),
        }
    }
    let found = stream(cx.get(key))?.ok_or(errors::NO_SUCH_KEY)?;
    if id < found.max_deleted_id() {
        return Err(ID_BELOW_DELETED);
    }
    if let Some(top) = found.last_entry() {
        if id < top {
            return Err(ID_BELOW_TOP);
        }
        if added.is_some_and(|added| added < found.count() as u64) {
            return Err(ADDED_BELOW_LENGTH);
        }
    }
    // 0-0 is what is there anyway, or says nothing.
    let max_deleted = max_deleted.filter(|&id| id != StreamId::MIN);
    edit_groups(cx, key, |stream| stream.set_last_id(id, added, max_deleted))?;
    cx.notify(events::XSETID, key);
    reply.ok();
    Ok(())
}
