//! Values as bytes that a client can take from one server to another.

use kvdb_resp::{Args, Reply};
use kvdb_store::types::Collection;
use kvdb_store::{Carried, CarriedValue, Effect, Event, ReadCx, WriteCx};

use super::string_value::bytes;
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::exec::MAX_NAME_BYTES;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::number::parse_i64;
use crate::values::rdb::{self, RdbError};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "dump",
        arity: 2,
        flags: Flags::NONE,
        keys: &[KeySpec::one(&["RO", "access"])],
        categories: &["@keyspace"],
        group: Group::Generic,
        since: "2.6.0",
        complexity: "O(N) for a value of N bytes",
        summary: "Replies with the value of a key as RESTORE takes it.",
        syntax: "key",
        handler: Handler::Read(dump),
        subcommands: &[],
    },
    CommandSpec {
        name: "restore",
        arity: -4,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::one(&["OW", "update"])],
        categories: &["@keyspace", "@dangerous"],
        group: Group::Generic,
        since: "2.6.0",
        complexity: "O(N) for a value of N bytes",
        summary: "Gives a key the value that DUMP replied with, here or on another server.",
        syntax: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
        handler: Handler::Write(restore),
        subcommands: &[],
    },
];

fn dump(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let now = cx.now();
    let Some(object) = cx.get(&args[1]) else {
        reply.null();
        return Ok(());
    };
    match (object.string(), object.collection()) {
        (Some(value), _) => reply.bulk(&rdb::dump_string(bytes(value, &mut itoa::Buffer::new()))),
        // What is past its deadline is not there, although nobody has removed it yet.
        (None, Some(Collection::Hash(hash))) if hash.live(now).is_empty() => reply.null(),
        (None, Some(collection)) => reply.bulk(&rdb::dump_collection(collection, now).map_err(refusal)?),
        (None, None) => unreachable!("a value is a string or a collection"),
    }
    Ok(())
}

fn refusal(error: RdbError) -> CommandError {
    CommandError::new(format!("ERR {error}"))
}

/// The options of RESTORE. What the policy in force does not remember is checked and not kept.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 0;
        while let Some(option) = args.get(at) {
            let value = args.get(at + 1);
            match (&*option.to_ascii_lowercase(), value) {
                (b"replace", _) => options.replace = true,
                (b"absttl", _) => options.absolute = true,
                (b"idletime", Some(seconds)) if options.frequency.is_none() => {
                    let seconds = parse_i64(seconds).ok_or(errors::NOT_INTEGER)?;
                    options.idle_seconds =
                        Some(u64::try_from(seconds).map_err(|_| errors::INVALID_IDLETIME)?);
                    at += 1;
                }
                (b"freq", Some(count)) if options.idle_seconds.is_none() => {
                    let count = parse_i64(count).ok_or(errors::NOT_INTEGER)?;
                    options.frequency = Some(u8::try_from(count).map_err(|_| errors::INVALID_FREQ)?);
                    at += 1;
                }
                _ => return Err(errors::SYNTAX),
            }
            at += 1;
        }
        Ok(options)
    }
}

/// Whether a collection may be the value of a key.
fn check_collection(key: &[u8], collection: &Collection) -> CmdResult {
    if !collection.fits_a_change(key) {
        return Err(errors::CHANGE_TOO_LARGE);
    }
    // What has a long name is long.
    if collection.memory_bytes() <= MAX_NAME_BYTES {
        return Ok(());
    }
    let longest = match collection {
        Collection::Hash(hash) => hash.live(0).iter().map(|(name, _)| name.len()).max(),
        Collection::Set(set) => set.iter().map(|member| member.len()).max(),
        Collection::SortedSet(set) => set.iter_unordered().map(|(member, _)| member.len()).max(),
        Collection::Stream(stream) => {
            let consumers = stream.groups().flat_map(|(_, group)| group.consumers());
            let names =
                consumers.map(|consumer| consumer.name()).chain(stream.groups().map(|(name, _)| name));
            names.map(<[u8]>::len).max()
        }
        Collection::List(_) => None,
    };
    if longest > Some(MAX_NAME_BYTES) { Err(errors::NAME_TOO_LONG) } else { Ok(()) }
}

fn restore(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (key, payload) = (&args[1], &args[3]);
    let options = Options::parse(args.tail(4))?;
    if !options.replace && cx.get(key).is_some() {
        return Err(errors::BUSY_KEY);
    }
    let ttl = parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?;
    let ttl = u64::try_from(ttl).map_err(|_| errors::INVALID_TTL)?;
    let value = rdb::restore(payload, cx.limits().max_string_bytes, &cx.layout()).map_err(refusal)?;
    if let CarriedValue::Collection(collection) = &value {
        check_collection(key, collection)?;
    }
    let deadline = match ttl {
        0 => None,
        moment if options.absolute => Some(moment),
        // Both are below 2^63, a clock of many millions of years included.
        ttl => Some(ttl.saturating_add(cx.now())),
    };
    if deadline.is_some_and(|deadline| deadline <= cx.now()) {
        if cx.apply(key, Effect::Delete) {
            cx.notify(Event::DEL, key);
        }
    } else {
        let was_there = cx.get(key).is_some();
        cx.put(key, Carried { value, deadline });
        if was_there {
            // What was there has gone, and a key of the same name come to be.
            cx.notify(Event::NEW, key);
        }
        cx.notify(events::RESTORE, key);
        if let Some(seconds) = options.idle_seconds {
            cx.set_idle(key, seconds);
        }
        if let Some(counter) = options.frequency {
            cx.set_use_counter(key, counter);
        }
    }
    reply.ok();
    Ok(())
}
