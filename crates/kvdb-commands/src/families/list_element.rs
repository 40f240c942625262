//! Lists by their elements: reading, overwriting, inserting, removing, finding.

use std::ops::Range;

use kvdb_resp::{Args, Reply};
use kvdb_store::types::list::{End, Values};
use kvdb_store::types::pack::Needle;
use kvdb_store::types::{Elements, List};
use kvdb_store::{ReadCx, WriteCx};

use super::list::{ROW, keep, list};
use super::string_value::reply_value;
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};
use crate::values::number::parse_i64;

/// LSET beyond an end.
const INDEX_OUT_OF_RANGE: CommandError = CommandError::fixed("ERR index out of range");
/// LPOS RANK 0.
const RANK_ZERO: CommandError = CommandError::fixed(
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
);
/// LPOS RANK with a number that has no opposite.
const RANK_RANGE: CommandError = CommandError::fixed(
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
);
/// LPOS COUNT below 0.
const NEGATIVE_COUNT: CommandError = CommandError::fixed("ERR COUNT can't be negative");
/// LPOS MAXLEN below 0.
const NEGATIVE_MAXLEN: CommandError = CommandError::fixed("ERR MAXLEN can't be negative");

const READ: &[KeySpec] = &[KeySpec::one(&["RO", "access"])];

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "lrange",
        arity: 4,
        keys: READ,
        complexity: "O(S+N) for N elements replied, S chunks from the nearer end",
        summary: "Replies with the elements of a list from one index to another.",
        syntax: "key start stop",
        handler: Handler::Read(lrange),
        ..ROW
    },
    CommandSpec {
        name: "lindex",
        arity: 3,
        keys: READ,
        complexity: "O(S) for S chunks from the nearer end",
        summary: "Replies with the element of a list that has an index; -1 is the last.",
        syntax: "key index",
        handler: Handler::Read(lindex),
        ..ROW
    },
    CommandSpec {
        name: "lpos",
        arity: -3,
        keys: READ,
        since: "6.0.6",
        complexity: "O(N) for N elements compared",
        summary: "Finds where an element stands in a list, once or several times.",
        syntax: "key element [RANK rank:integer] [COUNT num-matches:integer] [MAXLEN len:integer]",
        handler: Handler::Read(lpos),
        ..ROW
    },
    CommandSpec {
        name: "lset",
        arity: 4,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::one(&["RW", "update"])],
        complexity: "O(S) for S chunks from the nearer end",
        summary: "Puts another element in the place of the one with an index.",
        syntax: "key index element",
        handler: Handler::Write(lset),
        ..ROW
    },
    CommandSpec {
        name: "linsert",
        arity: 5,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::one(&["RW", "insert"])],
        since: "2.2.0",
        complexity: "O(N) for N elements before the pivot",
        summary: "Puts an element before or behind the first one that is equal to a pivot.",
        syntax: "key <BEFORE|AFTER> pivot element",
        handler: Handler::Write(linsert),
        ..ROW
    },
    CommandSpec {
        name: "lrem",
        arity: 4,
        keys: &[KeySpec::one(&["RW", "delete"])],
        complexity: "O(N) for N elements compared",
        summary: "Removes elements that are equal: all, or a few from the first or the last on.",
        syntax: "key count element",
        handler: Handler::Write(lrem),
        ..ROW
    },
    CommandSpec {
        name: "ltrim",
        arity: 4,
        keys: &[KeySpec::one(&["RW", "delete"])],
        complexity: "O(N) for the fewer of the elements that stay and those that go",
        summary: "Removes the elements before one index and behind another.",
        syntax: "key start stop",
        handler: Handler::Write(ltrim),
        ..ROW
    },
];

fn integer(text: &[u8]) -> Result<i64, CommandError> {
    parse_i64(text).ok_or(errors::NOT_INTEGER)
}

/// The elements from `start` to `stop`, both included; negative ones count from behind the last.
fn part(len: usize, start: i64, stop: i64) -> Range<usize> {
    let from_end = |at: i64| len.saturating_sub(usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX));
    let start = usize::try_from(start).unwrap_or_else(|_| from_end(start)).min(len);
    let end = match usize::try_from(stop) {
        Ok(stop) => stop.saturating_add(1).min(len),
        // What is before the first is not the first.
        Err(_) if stop.unsigned_abs() > len as u64 => 0,
        Err(_) => from_end(stop) + 1,
    };
    if start < end { start..end } else { 0..0 }
}

/// The element that an index means, where there is one.
fn index(list: &List, index: i64) -> Option<usize> {
    let at = match usize::try_from(index) {
        Ok(at) => at,
        Err(_) => list.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
    };
    (at < list.len()).then_some(at)
}

fn lrange(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (start, stop) = (integer(&args[2])?, integer(&args[3])?);
    let Some(list) = list(cx.get(&args[1]))? else {
        reply.array(0);
        return Ok(());
    };
    let part = part(list.len(), start, stop);
    reply.array(part.len());
    for value in list.values(part.start).take(part.len()) {
        if reply.is_full() {
            break;
        }
        reply_value(reply, Some(value));
    }
    Ok(())
}

fn lindex(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let value = match list(cx.get(&args[1]))? {
        Some(list) => index(list, integer(&args[2])?).and_then(|index| list.get(index)),
        None => None,
    };
    reply_value(reply, value);
    Ok(())
}

/// What LPOS looks for.
struct Search {
    /// The first match that counts, from 1 on.
    rank: u64,
    from: End,
    /// How many matches; 0 for all, `None` for one that is not in an array.
    count: Option<usize>,
    /// Elements to compare; 0 for all.
    max_len: usize,
}

impl Search {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut search = Self { rank: 1, from: End::Head, count: None, max_len: 0 };
        let not_negative = |text: &[u8]| parse_i64(text).and_then(|n| usize::try_from(n).ok());
        let mut args = args.iter();
        while let Some(option) = args.next() {
            let option = option.to_ascii_lowercase();
            let value = args.next().ok_or(errors::SYNTAX)?;
            match &*option {
                b"rank" => {
                    let rank = integer(value)?;
                    if rank == i64::MIN {
                        return Err(RANK_RANGE);
                    }
                    if rank == 0 {
                        return Err(RANK_ZERO);
                    }
                    search.rank = rank.unsigned_abs();
                    search.from = if rank < 0 { End::Tail } else { End::Head };
                }
                b"count" => search.count = Some(not_negative(value).ok_or(NEGATIVE_COUNT)?),
                b"maxlen" => search.max_len = not_negative(value).ok_or(NEGATIVE_MAXLEN)?,
                _ => return Err(errors::SYNTAX),
            }
        }
        Ok(search)
    }

    /// The indexes of the matches, in the order of the search.
    fn find<'l>(&self, list: &'l List, element: &'l [u8]) -> impl Iterator<Item = usize> + use<'l> {
        let (len, needle, from) = (list.len(), Needle::of(element), self.from);
        let values: Values<'l> =
            if from == End::Head { list.values(0) } else { list.values_back(len.saturating_sub(1)) };
        let compared = if self.max_len == 0 { len } else { self.max_len };
        let matches = values.take(compared).enumerate().filter(move |&(_, value)| needle.is(value));
        let skipped = usize::try_from(self.rank - 1).unwrap_or(usize::MAX);
        let indexes =
            matches.skip(skipped).map(move |(n, _)| if from == End::Head { n } else { len - 1 - n });
        indexes.take(if self.count == Some(0) { usize::MAX } else { self.count.unwrap_or(1) })
    }
}

fn lpos(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let search = Search::parse(args.tail(3))?;
    let list = list(cx.get(&args[1]))?;
    let mut found = list.map(|list| search.find(list, &args[2])).into_iter().flatten();
    if search.count.is_none() {
        match found.next() {
            Some(index) => reply.integer(index as i64),
            None => reply.null(),
        }
        return Ok(());
    }
    let (head, mut count) = (reply.deferred_array(), 0);
    for index in found {
        reply.integer(index as i64);
        count += 1;
    }
    reply.finish(head, count);
    Ok(())
}

fn lset(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, element) = (&args[1], &args[3]);
    let list = list(cx.get(key))?.ok_or(errors::NO_SUCH_KEY)?;
    let at = index(list, integer(&args[2])?).ok_or(INDEX_OUT_OF_RANGE)?;
    cx.edit::<List, _>(key, |list| list.set(at, element))?;
    cx.notify(events::LSET, key);
    reply.ok();
    Ok(())
}

fn linsert(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, pivot, element) = (&args[1], &args[3], &args[4]);
    let behind = match &*args[2].to_ascii_lowercase() {
        b"before" => 0,
        b"after" => 1,
        _ => return Err(errors::SYNTAX),
    };
    let Some(list) = list(cx.get(key))? else {
        reply.integer(0);
        return Ok(());
    };
    let len = match list.index_of(pivot) {
        Some(at) => {
            let len = cx.edit::<List, _>(key, |list| {
                list.insert(at + behind, element);
                list.len() as i64
            })?;
            cx.notify(events::LINSERT, key);
            len
        }
        None => -1,
    };
    reply.integer(len);
    Ok(())
}

fn lrem(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, element) = (&args[1], &args[3]);
    let count = integer(&args[2])?;
    let (from, limit) = match count {
        0 => (End::Head, usize::MAX),
        _ if count < 0 => (End::Tail, usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX)),
        _ => (End::Head, usize::try_from(count).unwrap_or(usize::MAX)),
    };
    let removed = match list(cx.get(key))? {
        Some(_) => cx.edit::<List, _>(key, |list| list.remove_equal(element, limit, from))?,
        None => 0,
    };
    if removed > 0 {
        cx.notify_edit(events::LREM, key);
    }
    reply.integer(removed as i64);
    Ok(())
}

fn ltrim(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (start, stop) = (integer(&args[2])?, integer(&args[3])?);
    if let Some(list) = list(cx.get(&args[1]))? {
        let part = part(list.len(), start, stop);
        keep(cx, &args[1], part)?;
        // As in Redis, also where nothing is left out.
        cx.touch_watches(&args[1]);
        cx.notify_edit(events::LTRIM, &args[1]);
    }
    reply.ok();
    Ok(())
}
