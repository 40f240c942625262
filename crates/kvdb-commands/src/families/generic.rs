//! Keys of any type: deleting, looking, renaming, copying, and moving between databases.

use kvdb_resp::{Args, Reply};
use kvdb_store::{Carried, Effect, Event, Object, ReadCx, Usage, ValueRef, WriteCx};

use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::families::help;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::number::parse_i64;

/// Integers below this are shared objects in Redis, whose reference count is this.
const SHARED_INTEGERS: std::ops::Range<i64> = 0..10_000;
const SHARED_COUNT: i64 = i32::MAX as i64;

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 2,
    flags: Flags::NONE,
    keys: &[],
    categories: &["@keyspace"],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "key",
    handler: Handler::Container,
    subcommands: &[],
};

const MANY: CommandSpec =
    CommandSpec { arity: -2, complexity: "O(N) for N keys", syntax: "key [key ...]", ..ROW };

/// What a subcommand of OBJECT has in common with the others.
const OBJECT: CommandSpec = CommandSpec { arity: 3, since: "2.2.3", keys: &[KeySpec::at(2, &["RO"])], ..ROW };

/// The key that a value is taken from.
const SOURCE: KeySpec = KeySpec::one(&["RW", "access", "delete"]);

const fn target(flags: &'static [&'static str]) -> KeySpec {
    KeySpec::at(2, flags)
}

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "del",
        keys: &[KeySpec::all(&["RM", "delete"])],
        summary: "Deletes keys.",
        handler: Handler::Write(del),
        ..MANY
    },
    CommandSpec {
        name: "unlink",
        flags: Flags::FAST,
        keys: &[KeySpec::all(&["RM", "delete"])],
        since: "4.0.0",
        summary: "Deletes keys; does what DEL does.",
        handler: Handler::Write(del),
        ..MANY
    },
    CommandSpec {
        name: "exists",
        flags: Flags::FAST,
        keys: &[KeySpec::all(&["RO"])],
        summary: "Counts how many of the named keys are there; a key named twice counts twice.",
        handler: Handler::Read(exists),
        ..MANY
    },
    CommandSpec {
        name: "touch",
        flags: Flags::FAST,
        keys: &[KeySpec::all(&["RO"])],
        since: "3.2.1",
        summary: "Marks keys as used now and counts those that are there.",
        handler: Handler::Read(touch),
        ..MANY
    },
    CommandSpec {
        name: "type",
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RO"])],
        summary: "Tells the type of a key's value.",
        handler: Handler::Read(kind),
        ..ROW
    },
    CommandSpec {
        name: "rename",
        arity: 3,
        keys: &[SOURCE, target(&["OW", "update"])],
        complexity: "O(N) for a value of N bytes",
        summary: "Gives a key another name, in place of a key that has it.",
        syntax: "key newkey",
        handler: Handler::Write(rename),
        ..ROW
    },
    CommandSpec {
        name: "renamenx",
        arity: 3,
        flags: Flags::FAST,
        keys: &[SOURCE, target(&["OW", "insert"])],
        complexity: "O(N) for a value of N bytes",
        summary: "Gives a key another name unless a key has it.",
        syntax: "key newkey",
        handler: Handler::Write(renamenx),
        ..ROW
    },
    CommandSpec {
        name: "copy",
        arity: -3,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::one(&["RO", "access"]), target(&["OW", "update"])],
        since: "6.2.0",
        complexity: "O(N) for a value of N bytes",
        summary: "Gives another key the same value and deadline.",
        syntax: "source destination [DB destination-db] [REPLACE]",
        handler: Handler::Write(copy),
        ..ROW
    },
    CommandSpec {
        name: "move",
        arity: 3,
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RW", "access", "update"])],
        complexity: "O(N) for a value of N bytes",
        summary: "Moves a key into another database unless that one has the key.",
        syntax: "key db",
        handler: Handler::Write(move_key),
        ..ROW
    },
    CommandSpec {
        name: "object",
        arity: -2,
        categories: &[],
        since: "2.2.3",
        complexity: "Depends on the subcommand",
        summary: "Tells how a value is kept.",
        syntax: "",
        subcommands: &[
            CommandSpec {
                name: "encoding",
                summary: "Tells the encoding that Redis would keep the value in.",
                handler: Handler::Read(object_encoding),
                ..OBJECT
            },
            CommandSpec {
                name: "freq",
                since: "4.0.0",
                summary: "Tells how often the key is used, on a logarithmic scale, under a policy that counts it.",
                handler: Handler::Read(object_freq),
                ..OBJECT
            },
            help::row(Group::Generic, "6.2.0"),
            CommandSpec {
                name: "idletime",
                summary: "Tells for how many seconds the key has not been used.",
                handler: Handler::Read(object_idletime),
                ..OBJECT
            },
            CommandSpec {
                name: "refcount",
                summary: "Tells how many references to the value Redis would count.",
                handler: Handler::Read(object_refcount),
                ..OBJECT
            },
        ],
        ..ROW
    },
];

fn del(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let mut deleted = 0;
    for key in args.tail(1) {
        if cx.apply(key, Effect::Delete) {
            cx.notify(Event::DEL, key);
            deleted += 1;
        }
    }
    reply.integer(deleted);
    Ok(())
}

fn exists(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let there = args.tail(1).iter().filter(|key| cx.inspect(key).is_some()).count();
    reply.integer(there as i64);
    Ok(())
}

fn touch(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let there = args.tail(1).iter().filter(|key| cx.touch(key)).count();
    reply.integer(there as i64);
    Ok(())
}

fn kind(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.simple(cx.inspect(&args[1]).map_or("none", |object| object.kind().name()));
    Ok(())
}

fn rename(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (from, to) = (&args[1], &args[2]);
    cx.get(from).ok_or(errors::NO_SUCH_KEY)?;
    if from != to {
        move_value(cx, from, to)?;
    }
    reply.ok();
    Ok(())
}

/// Gives a key the value of another one, which is there and goes.
fn move_value(cx: &mut WriteCx<'_>, from: &[u8], to: &[u8]) -> CmdResult {
    if let Some(object) = cx.get(from) {
        check_size(object, to)?;
    }
    let Some(carried) = cx.take(from) else { return Ok(()) };
    replace_value(cx, to, carried);
    cx.notify(events::RENAME_FROM, from);
    cx.notify(events::RENAME_TO, to);
    Ok(())
}

/// Whether a key can be given a copy of a value: all of its rows are written at once.
fn check_size(object: Object<'_>, key: &[u8]) -> CmdResult {
    let fits = object.collection().is_none_or(|collection| collection.fits_a_change(key));
    if fits { Ok(()) } else { Err(errors::CHANGE_TOO_LARGE) }
}

/// Gives a key a value. What was there has gone before, and a key of the same name come to be.
fn replace_value(cx: &mut WriteCx<'_>, key: &[u8], carried: Carried) {
    let was_there = cx.get(key).is_some();
    cx.put(key, carried);
    if was_there {
        cx.notify(Event::NEW, key);
    }
}

/// Says what has happened to a key of a database. The selected database stays.
fn notify_in(cx: &mut WriteCx<'_>, db: u16, event: Event, key: &[u8]) {
    let here = cx.db();
    cx.select(db);
    cx.notify(event, key);
    cx.select(here);
}

fn renamenx(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (from, to) = (&args[1], &args[2]);
    cx.get(from).ok_or(errors::NO_SUCH_KEY)?;
    let renamed = cx.get(to).is_none();
    if renamed {
        move_value(cx, from, to)?;
    }
    reply.integer(i64::from(renamed));
    Ok(())
}

fn copy(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (from, to) = (&args[1], &args[2]);
    let here = cx.db();
    let (mut there, mut replace) = (here, false);
    let mut at = 3;
    while let Some(option) = args.get(at) {
        if option.eq_ignore_ascii_case(b"replace") {
            replace = true;
        } else if option.eq_ignore_ascii_case(b"db")
            && let Some(index) = args.get(at + 1)
        {
            there = database(cx, index)?;
            at += 1;
        } else {
            return Err(errors::SYNTAX);
        }
        at += 1;
    }
    if there == here && from == to {
        return Err(errors::SAME_OBJECT);
    }
    if there != here {
        reach(cx, there, to)?;
    }
    let copied = cx.lookup(from).is_some() && (replace || !is_there(cx, there, to));
    if copied {
        put_copy(cx, from, there, to)?;
        notify_in(cx, there, events::COPY_TO, to);
    }
    reply.integer(i64::from(copied));
    Ok(())
}

fn move_key(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let key = &args[1];
    let (here, there) = (cx.db(), database(cx, &args[2])?);
    if there == here {
        return Err(errors::SAME_OBJECT);
    }
    reach(cx, there, key)?;
    let moved = cx.get(key).is_some() && !is_there(cx, there, key);
    if moved {
        put_copy(cx, key, there, key)?;
        cx.apply(key, Effect::Delete);
        cx.notify(events::MOVE_FROM, key);
        notify_in(cx, there, events::MOVE_TO, key);
    }
    reply.integer(i64::from(moved));
    Ok(())
}

/// Sees to it that a declared key is resident in another database than the selected one, or has the command run again.
fn reach(cx: &mut WriteCx<'_>, db: u16, key: &[u8]) -> CmdResult {
    let ready = cx.reach(db, key).map_err(|message| CommandError::new(format!("ERR {message}")))?;
    if ready { Ok(()) } else { Err(errors::NEEDS_LOAD) }
}

/// Whether a key of a database is there. The selected database stays.
fn is_there(cx: &mut WriteCx<'_>, db: u16, key: &[u8]) -> bool {
    let here = cx.db();
    cx.select(db);
    let is_there = cx.get(key).is_some();
    cx.select(here);
    is_there
}

/// Gives a key of a database a copy of the value of one of the selected database, which is there and stays.
fn put_copy(cx: &mut WriteCx<'_>, from: &[u8], db: u16, to: &[u8]) -> CmdResult {
    let Some(object) = cx.get(from) else { return Ok(()) };
    check_size(object, to)?;
    let (carried, here) = (object.copy(), cx.db());
    cx.select(db);
    replace_value(cx, to, carried);
    cx.select(here);
    Ok(())
}

/// A key that a command may look up in another database than the selected one, if its arguments are in order: it has to be
/// resident before a transaction begins, which cannot begin again.
pub fn in_other_database<'a>(spec: &CommandSpec, args: Args<'a>, databases: u16) -> Option<(u16, &'a [u8])> {
    let (key, index) = match spec.name {
        "move" => (args.get(1)?, args.get(2)?),
        "copy" => {
            let mut words = args.tail(3).iter();
            words.find(|word| word.eq_ignore_ascii_case(b"db"))?;
            (args.get(2)?, words.next()?)
        }
        _ => return None,
    };
    let db = parse_i64(index).and_then(|index| u16::try_from(index).ok())?;
    (db < databases).then_some((db, key))
}

/// The database that an argument names.
fn database(cx: &WriteCx<'_>, index: &[u8]) -> Result<u16, CommandError> {
    let index = parse_i64(index).ok_or(errors::NOT_INTEGER)?;
    if i32::try_from(index).is_err() {
        return Err(errors::NOT_INT32);
    }
    u16::try_from(index).ok().filter(|&db| db < cx.databases()).ok_or(errors::DB_INDEX)
}

fn object_encoding(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    match cx.inspect_silently(&args[2]) {
        Some(object) => reply.bulk(object.encoding().as_bytes()),
        None => reply.null(),
    }
    Ok(())
}

fn object_freq(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (usage, now) = (cx.usage(), cx.now());
    match cx.inspect_silently(&args[2]) {
        Some(_) if usage == Usage::Moment => return Err(errors::NOT_LFU),
        Some(object) => reply.integer(object.use_counter(usage, now).into()),
        None => reply.null(),
    }
    Ok(())
}

fn object_idletime(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (usage, now) = (cx.usage(), cx.now());
    match cx.inspect_silently(&args[2]) {
        Some(_) if usage != Usage::Moment => return Err(errors::LFU),
        Some(object) => reply.integer(object.idle_seconds(now) as i64),
        None => reply.null(),
    }
    Ok(())
}

fn object_refcount(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    match cx.inspect_silently(&args[2]) {
        Some(object) => {
            let shared = matches!(object.string(), Some(ValueRef::Int(i)) if SHARED_INTEGERS.contains(&i));
            reply.integer(if shared { SHARED_COUNT } else { 1 });
        }
        None => reply.null(),
    }
    Ok(())
}
