//! Consumer groups of streams: making them and their consumers, and acknowledging.

use kvdb_resp::{Args, Reply};
use kvdb_store::WriteCx;
use kvdb_store::types::Stream;
use kvdb_store::types::stream::StreamId;

use super::stream_reply::{INVALID_ID, ROW, edit_groups, no_group, parse_id, parse_ids, stream};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::exec::check_names;
use crate::families::help;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::number::parse_i64;
use crate::values::stream_id::parse_or_end;

const KEY_REQUIRED: CommandError = CommandError::fixed(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
);
const ENTRIES_READ: CommandError = CommandError::fixed("ERR value for ENTRIESREAD must be positive or -1");
const GROUP_EXISTS: CommandError = CommandError::fixed("BUSYGROUP Consumer Group name already exists");

const fn key(flags: &'static [&'static str]) -> KeySpec {
    KeySpec::at(2, flags)
}

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "xgroup",
        arity: -2,
        keys: &[],
        complexity: "Depends on the subcommand",
        summary: "Makes and removes groups of consumers that share the reading of a stream.",
        syntax: "",
        subcommands: &[
            CommandSpec {
                name: "create",
                arity: -5,
                flags: Flags::DENYOOM,
                keys: &[key(&["RW", "insert"])],
                summary: "Makes a group that reads a stream from behind an id on.",
                syntax: "key group <id|$> [MKSTREAM] [ENTRIESREAD entries-read:integer]",
                handler: Handler::Write(create),
                ..ROW
            },
            CommandSpec {
                name: "createconsumer",
                arity: 5,
                flags: Flags::DENYOOM,
                keys: &[key(&["RW", "insert"])],
                since: "6.2.0",
                summary: "Makes a consumer of a group; replies with 1 where there was none of that name.",
                syntax: "key group consumer",
                handler: Handler::Write(createconsumer),
                ..ROW
            },
            CommandSpec {
                name: "delconsumer",
                arity: 5,
                keys: &[key(&["RW", "delete"])],
                complexity: "O(N) for N entries that wait for it",
                summary: "Removes a consumer of a group and what waits for it; replies with how much that was.",
                syntax: "key group consumer",
                handler: Handler::Write(delconsumer),
                ..ROW
            },
            CommandSpec {
                name: "destroy",
                arity: 4,
                keys: &[key(&["RW", "delete"])],
                complexity: "O(N) for N entries that wait for its consumers",
                summary: "Removes a group with its consumers and what waits for them.",
                syntax: "key group",
                handler: Handler::Write(destroy),
                ..ROW
            },
            help::row(Group::Stream, "5.0.0"),
            CommandSpec {
                name: "setid",
                arity: -5,
                keys: &[key(&["RW", "update"])],
                summary: "Has a group read on from behind an id.",
                syntax: "key group <id|$> [ENTRIESREAD entries-read:integer]",
                handler: Handler::Write(setid),
                ..ROW
            },
        ],
        ..ROW
    },
    CommandSpec {
        name: "xack",
        arity: -4,
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RW", "update"])],
        complexity: "O(N) for N ids",
        summary: "Acknowledges entries that were delivered to a group; replies with how many had waited for that.",
        syntax: "key group id [id ...]",
        handler: Handler::Write(xack),
        ..ROW
    },
];

/// The options of CREATE and SETID.
#[derive(Default)]
struct Options {
    make_stream: bool,
    entries_read: Option<i64>,
}

impl Options {
    fn parse(args: Args<'_>, may_make: bool) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 5;
        while let Some(option) = args.get(at) {
            match (&*option.to_ascii_lowercase(), args.get(at + 1)) {
                (b"mkstream", _) if may_make => {
                    options.make_stream = true;
                    at += 1;
                }
                (b"entriesread", Some(count)) => {
                    let count = parse_i64(count).ok_or(errors::NOT_INTEGER)?;
                    if count < -1 {
                        return Err(ENTRIES_READ);
                    }
                    options.entries_read = (count >= 0).then_some(count);
                    at += 2;
                }
                _ => return Err(syntax(args)),
            }
        }
        Ok(options)
    }
}

fn syntax(args: Args<'_>) -> CommandError {
    errors::subcommand_syntax("XGROUP", &args[1])
}

/// The stream of a subcommand, which has to be there.
fn existing<'c>(cx: &'c mut WriteCx<'_>, args: Args<'_>) -> Result<&'c Stream, CommandError> {
    stream(cx.get(&args[2]))?.ok_or(KEY_REQUIRED)
}

/// Checks that the group of a subcommand is there.
fn check_group(cx: &mut WriteCx<'_>, args: Args<'_>) -> CmdResult {
    let group = existing(cx, args)?.group(&args[3]);
    group.map(|_| ()).ok_or_else(|| no_group(&args[2], &args[3]))
}

fn create(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, group) = (&args[2], &args[3]);
    let options = Options::parse(args, true)?;
    let found = stream(cx.get(key))?;
    if found.is_none() && !options.make_stream {
        return Err(KEY_REQUIRED);
    }
    if args.len() > 8 {
        return Err(syntax(args));
    }
    let id = match &args[4] {
        b"$" => found.map_or(StreamId::MIN, Stream::last_id),
        id => parse_id(id)?,
    };
    check_names([group])?;
    if !edit_groups(cx, key, |stream| stream.create_group(group, id, options.entries_read))? {
        return Err(GROUP_EXISTS);
    }
    cx.notify(events::XGROUP_CREATE, key);
    reply.ok();
    Ok(())
}

fn setid(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let options = Options::parse(args, false)?;
    check_group(cx, args)?;
    if args.len() > 7 {
        return Err(syntax(args));
    }
    let id = match &args[4] {
        b"$" => existing(cx, args)?.last_id(),
        id => parse_or_end(id, 0).ok_or(INVALID_ID)?,
    };
    edit_groups(cx, &args[2], |stream| stream.set_group(&args[3], id, options.entries_read))?;
    cx.notify(events::XGROUP_SETID, &args[2]);
    reply.ok();
    Ok(())
}

fn destroy(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    existing(cx, args)?;
    let destroyed = edit_groups(cx, &args[2], |stream| stream.destroy_group(&args[3]))?;
    if destroyed {
        cx.notify(events::XGROUP_DESTROY, &args[2]);
    }
    reply.integer(i64::from(destroyed));
    Ok(())
}

fn createconsumer(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    check_group(cx, args)?;
    check_names([&args[4]])?;
    let now = cx.now();
    let created = edit_groups(cx, &args[2], |stream| stream.create_consumer(&args[3], &args[4], now))?;
    if created {
        cx.notify(events::XGROUP_CREATECONSUMER, &args[2]);
    }
    reply.integer(i64::from(created));
    Ok(())
}

fn delconsumer(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    check_group(cx, args)?;
    let group = stream(cx.get(&args[2]))?.and_then(|stream| stream.group(&args[3]));
    let there = group.is_some_and(|group| group.consumer(&args[4]).is_some());
    let waiting = edit_groups(cx, &args[2], |stream| stream.delete_consumer(&args[3], &args[4]))?;
    if there {
        cx.notify(events::XGROUP_DELCONSUMER, &args[2]);
    }
    reply.integer(waiting as i64);
    Ok(())
}

fn xack(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, group) = (&args[1], &args[2]);
    let there = stream(cx.lookup(key))?.is_some_and(|stream| stream.group(group).is_some());
    let acknowledged = if there {
        let ids = parse_ids(args.tail(3))?;
        edit_groups(cx, key, |stream| ids.iter().filter(|&&id| stream.acknowledge(group, id)).count())?
    } else {
        0
    };
    reply.integer(acknowledged as i64);
    Ok(())
}
