//! Lists, several at a time: from one to another, and from the first that has something.

use kvdb_resp::{Args, Reply};
use kvdb_store::types::list::End;
use kvdb_store::types::{Elements, List};
use kvdb_store::{WriteCx, text_of};

use super::list::{ROW, list, pop, popped_at, pushed_at, reply_popped};
use super::list_blocking::is_passed_over;
use crate::errors::{self, CmdResult, CommandError};
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};
use crate::values::number::parse_i64;

/// LMPOP of no keys.
const NUMKEYS: CommandError = CommandError::fixed("ERR numkeys should be greater than 0");
/// LMPOP of no elements.
const COUNT: CommandError = CommandError::fixed("ERR count should be greater than 0");

const SOURCE_AND_TARGET: &[KeySpec] =
    &[KeySpec::one(&["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])];

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "lmove",
        arity: 5,
        flags: Flags::DENYOOM.with(Flags::CHEAP),
        keys: SOURCE_AND_TARGET,
        since: "6.2.0",
        summary: "Takes an element off an end of a list and adds it at an end of another, or of the same.",
        syntax: "source destination <LEFT|RIGHT> <LEFT|RIGHT>",
        handler: Handler::Write(lmove),
        ..ROW
    },
    CommandSpec {
        name: "rpoplpush",
        arity: 3,
        flags: Flags::DENYOOM.with(Flags::CHEAP),
        keys: SOURCE_AND_TARGET,
        since: "1.2.0",
        summary: "Takes the last element of a list and puts it before the first of another, or of the same.",
        syntax: "source destination",
        handler: Handler::Write(rpoplpush),
        ..ROW
    },
    CommandSpec {
        name: "lmpop",
        arity: -4,
        keys: &[KeySpec::counted(1, &["RW", "access", "delete"])],
        since: "7.0.0",
        complexity: "O(N+M) for N keys and M elements",
        summary: "Takes elements off an end of the first of several lists that is there.",
        syntax: "numkeys:integer key [key ...] <LEFT|RIGHT> [COUNT count]",
        handler: Handler::Write(lmpop),
        ..ROW
    },
];

/// LEFT or RIGHT.
pub fn parse_end(word: &[u8]) -> Result<End, CommandError> {
    match &*word.to_ascii_lowercase() {
        b"left" => Ok(End::Head),
        b"right" => Ok(End::Tail),
        _ => Err(errors::SYNTAX),
    }
}

fn lmove(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (from, to) = (parse_end(&args[3])?, parse_end(&args[4])?);
    if !move_element(cx, (&args[1], from), (&args[2], to), reply)? {
        reply.null();
    }
    Ok(())
}

fn rpoplpush(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    if !move_element(cx, (&args[1], End::Tail), (&args[2], End::Head), reply)? {
        reply.null();
    }
    Ok(())
}

/// Takes an element off an end of one list, adds it at an end of another, and replies with it. Tells whether there was
/// one; where there was none, nothing is replied.
///
/// # Errors
/// When one of the keys holds a value of another type.
pub fn move_element(
    cx: &mut WriteCx<'_>,
    source: (&[u8], End),
    target: (&[u8], End),
    reply: &mut Reply<'_>,
) -> Result<bool, CommandError> {
    let Some(source_list) = list(cx.get(source.0))? else { return Ok(false) };
    let last = source_list.len() - 1;
    let index = if source.1 == End::Head { 0 } else { last };
    let element = source_list.get(index).map(text_of).expect("a list that is there has elements");
    if source.0 == target.0 {
        // Within one edit, so that a list of one element does not go and come back.
        cx.edit::<List, _>(source.0, |list| {
            list.remove(index..index + 1);
            list.push(target.1, std::iter::once(&element[..]));
        })?;
    } else {
        list(cx.get(target.0))?;
        cx.edit::<List, _>(target.0, |list| list.push(target.1, std::iter::once(&element[..])))?;
        cx.edit::<List, _>(source.0, |list| list.remove(index..index + 1))?;
    }
    cx.notify(pushed_at(target.1), target.0);
    cx.notify_edit(popped_at(source.1), source.0);
    reply.bulk(&element);
    Ok(true)
}

/// What LMPOP and its like are asked for, behind the number of keys.
pub struct ManyPop<'a> {
    /// The keys in the order in which they are looked at.
    pub keys: Args<'a>,
    /// The end.
    pub end: End,
    /// The most elements.
    pub count: usize,
}

impl<'a> ManyPop<'a> {
    /// Reads the arguments from the number of keys on.
    ///
    /// # Errors
    /// When they are not what the command takes.
    pub fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let positive = |text: &[u8]| parse_i64(text).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        let keys = positive(&args[0]).ok_or(NUMKEYS)?;
        let end = args.get(keys.saturating_add(1)).ok_or(errors::SYNTAX)?;
        let (end, mut count) = (parse_end(end)?, None);
        let mut options = args.tail(keys + 2).iter();
        while let Some(option) = options.next() {
            let value = options.next().filter(|_| count.is_none() && option.eq_ignore_ascii_case(b"count"));
            count = Some(positive(value.ok_or(errors::SYNTAX)?).ok_or(COUNT)?);
        }
        Ok(Self { keys: args.slice(1..keys + 1), end, count: count.unwrap_or(1) })
    }

    /// Takes elements off the first list that is there, and replies with its key and the elements. Tells whether there was
    /// one; where there was none, nothing is replied.
    ///
    /// # Errors
    /// When a key before it holds a value of another type.
    pub fn run(&self, cx: &mut WriteCx<'_>, reply: &mut Reply<'_>) -> Result<bool, CommandError> {
        for key in self.keys {
            if is_passed_over::<List>(cx, key) {
                continue;
            }
            let found = pop(cx, key, self.end, self.count, |count, values| {
                reply.array(2);
                reply.bulk(key);
                reply_popped(reply, count, values);
            })?;
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn lmpop(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    if !ManyPop::parse(args.tail(1))?.run(cx, reply)? {
        reply.null_array();
    }
    Ok(())
}
