//! Several sets together: what they have in common, what any of them has, and what only the first one has.

use itoa::Buffer;
use kvdb_resp::{Args, Reply};
use kvdb_store::types::{Elements, Layout, Set};
use kvdb_store::{Carried, CarriedValue, Effect, Event, Object, ReadCx, Type, ValueRef, WriteCx};

use super::set::{ROW as SET_ROW, reply_members, set};
use super::string_value::{bytes, reply_value};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};
use crate::values::number::parse_i64;

/// What rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    arity: -2,
    flags: Flags::NONE,
    keys: &[KeySpec::all(&["RO", "access"])],
    syntax: "key [key ...]",
    ..SET_ROW
};
/// What rows have in common that store what they find.
const STORE: CommandSpec = CommandSpec {
    arity: -3,
    flags: Flags::DENYOOM,
    keys: &[KeySpec::one(&["OW", "update"]), KeySpec::range(2, -1, 1, &["RO", "access"])],
    syntax: "destination key [key ...]",
    ..SET_ROW
};
const OF_SMALLEST: &str = "O(N*M) for M sets of which the smallest has N members";
const OF_ALL: &str = "O(N) for N members of all sets";
const OF_FIRST: &str =
    "O(N*M) for M sets of which the first has N members, or O(N) for N members of all sets";

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "sinter",
        complexity: OF_SMALLEST,
        summary: "Replies with the members that several sets have in common.",
        handler: Handler::Read(sinter),
        ..ROW
    },
    CommandSpec {
        name: "sintercard",
        arity: -3,
        keys: &[KeySpec::counted(1, &["RO", "access"])],
        since: "7.0.0",
        complexity: OF_SMALLEST,
        summary: "Counts the members that several sets have in common, up to a limit.",
        syntax: "numkeys:integer key [key ...] [LIMIT limit:integer]",
        handler: Handler::Read(sintercard),
        ..ROW
    },
    CommandSpec {
        name: "sinterstore",
        keys: &[KeySpec::one(&["RW", "update"]), KeySpec::range(2, -1, 1, &["RO", "access"])],
        complexity: OF_SMALLEST,
        summary: "Gives a key the set of the members that several sets have in common.",
        handler: Handler::Write(sinterstore),
        ..STORE
    },
    CommandSpec {
        name: "sunion",
        complexity: OF_ALL,
        summary: "Replies with the members that any of several sets has.",
        handler: Handler::Read(sunion),
        ..ROW
    },
    CommandSpec {
        name: "sunionstore",
        complexity: OF_ALL,
        summary: "Gives a key the set of the members that any of several sets has.",
        handler: Handler::Write(sunionstore),
        ..STORE
    },
    CommandSpec {
        name: "sdiff",
        complexity: OF_FIRST,
        summary: "Replies with the members of a set that none of some others has.",
        handler: Handler::Read(sdiff),
        ..ROW
    },
    CommandSpec {
        name: "sdiffstore",
        complexity: OF_FIRST,
        summary: "Gives a key the set of the members of a set that none of some others has.",
        handler: Handler::Write(sdiffstore),
        ..STORE
    },
];

/// A number of keys that is none.
pub(super) const NUMKEYS: CommandError = CommandError::fixed("ERR numkeys should be greater than 0");
const TOO_FEW_ARGS: CommandError =
    CommandError::fixed("ERR Number of keys can't be greater than number of args");
const LIMIT: CommandError = CommandError::fixed("ERR LIMIT can't be negative");

/// The sets of keys that have to be sets, if they are there.
type Sets<'s> = Vec<Option<&'s Set>>;

fn sets(objects: Vec<Option<Object<'_>>>) -> Result<Sets<'_>, CommandError> {
    objects.into_iter().map(set).collect()
}

/// Shows the members that all sets have, until `visit` says that it has seen enough.
fn intersect<'s>(sets: &[Option<&'s Set>], mut visit: impl FnMut(ValueRef<'s>) -> bool) {
    let Some(mut sets): Option<Vec<&Set>> = sets.iter().copied().collect() else { return };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    let mut digits = Buffer::new();
    for member in smallest.iter() {
        let text = bytes(member, &mut digits);
        if others.iter().all(|set| set.contains(text)) && !visit(member) {
            return;
        }
    }
}

/// The members that any of the sets has.
fn unite(sets: &[Option<&Set>], layout: &Layout) -> Set {
    let (mut union, mut digits) = (Set::default(), Buffer::new());
    for member in sets.iter().flatten().flat_map(|set| set.iter()) {
        union.insert(bytes(member, &mut digits), layout);
    }
    union
}

/// Shows the members that only the first of the sets has, until `visit` says that it has seen enough.
fn subtract<'s>(sets: &[Option<&'s Set>], layout: &Layout, mut visit: impl FnMut(ValueRef<'s>) -> bool) {
    let Some((Some(first), others)) = sets.split_first() else { return };
    let mut others: Vec<&Set> = others.iter().copied().flatten().collect();
    let together: usize = others.iter().map(|set| set.len()).sum();
    // Many sets are not searched one by one for every member when it takes less to put them together.
    let union;
    if together + first.len() < first.len().saturating_mul(others.len()) {
        union = unite(&others.iter().map(|set| Some(*set)).collect::<Vec<_>>(), layout);
        others = vec![&union];
    }
    // The largest is the likeliest to have a member.
    others.sort_by_key(|set| std::cmp::Reverse(set.len()));
    let mut digits = Buffer::new();
    for member in first.iter() {
        let text = bytes(member, &mut digits);
        if !others.iter().any(|set| set.contains(text)) && !visit(member) {
            return;
        }
    }
}

/// Replies with what a walk shows, as a set.
fn reply_shown<'s>(reply: &mut Reply<'_>, walk: impl FnOnce(&mut dyn FnMut(ValueRef<'s>) -> bool)) {
    let (head, mut found) = (reply.deferred_set(), 0);
    walk(&mut |member| {
        reply_value(reply, Some(member));
        found += 1;
        !reply.is_full()
    });
    reply.finish(head, found);
}

/// The set of what a walk shows.
fn collect<'s>(layout: &Layout, walk: impl FnOnce(&mut dyn FnMut(ValueRef<'s>) -> bool)) -> Set {
    let (mut set, mut digits) = (Set::default(), Buffer::new());
    walk(&mut |member| set.insert(bytes(member, &mut digits), layout));
    set
}

/// Gives a key a set, or removes it where the set is empty; replies with the number of members.
fn store(cx: &mut WriteCx<'_>, key: &[u8], set: Set, event: Event, reply: &mut Reply<'_>) {
    reply.integer(set.len() as i64);
    if !set.is_empty() {
        cx.put(key, Carried { value: CarriedValue::Collection(set.into_collection()), deadline: None });
        cx.notify(event, key);
    } else if cx.get(key).is_some() {
        cx.apply(key, Effect::Delete);
        cx.notify(Event::DEL, key);
    }
}

fn sinter(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let sets = sets(cx.get_all(args.tail(1).iter(), &[Type::Set]))?;
    reply_shown(reply, |visit| intersect(&sets, visit));
    Ok(())
}

fn sintercard(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (keys, options) = counted_keys(args)?;
    let limit = parse_limit(options)?;
    let sets = sets(cx.get_all(keys.iter(), &[Type::Set]))?;
    let mut count = 0;
    intersect(&sets, |_| {
        count += 1;
        count != limit
    });
    reply.integer(count as i64);
    Ok(())
}

/// The keys that argument 1 counts, and the arguments behind them.
fn counted_keys(args: Args<'_>) -> Result<(Args<'_>, Args<'_>), CommandError> {
    let count = parse_i64(&args[1]).and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|&count| count > 0).ok_or(NUMKEYS)?;
    if count > args.len() - 2 {
        return Err(TOO_FEW_ARGS);
    }
    Ok((args.slice(2..2 + count), args.tail(2 + count)))
}

/// The number behind LIMIT; 0 for no limit.
pub(super) fn parse_limit(options: Args<'_>) -> Result<usize, CommandError> {
    let mut limit = 0;
    for at in (0..options.len()).step_by(2) {
        let (true, Some(number)) = (options[at].eq_ignore_ascii_case(b"limit"), options.get(at + 1)) else {
            return Err(errors::SYNTAX);
        };
        limit = parse_i64(number).and_then(|number| usize::try_from(number).ok()).ok_or(LIMIT)?;
    }
    Ok(limit)
}

fn sinterstore(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let layout = cx.layout();
    let sets = sets(cx.get_all(args.tail(2).iter(), &[Type::Set]))?;
    let found = collect(&layout, |visit| intersect(&sets, visit));
    store(cx, &args[1], found, events::SINTERSTORE, reply);
    Ok(())
}

fn sunion(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let layout = cx.layout();
    let sets = sets(cx.get_all(args.tail(1).iter(), &[Type::Set]))?;
    reply_members(reply, Some(&unite(&sets, &layout)));
    Ok(())
}

fn sunionstore(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let layout = cx.layout();
    let sets = sets(cx.get_all(args.tail(2).iter(), &[Type::Set]))?;
    let found = unite(&sets, &layout);
    store(cx, &args[1], found, events::SUNIONSTORE, reply);
    Ok(())
}

fn sdiff(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let layout = cx.layout();
    let sets = sets(cx.get_all(args.tail(1).iter(), &[Type::Set]))?;
    reply_shown(reply, |visit| subtract(&sets, &layout, visit));
    Ok(())
}

fn sdiffstore(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let layout = cx.layout();
    let sets = sets(cx.get_all(args.tail(2).iter(), &[Type::Set]))?;
    let found = collect(&layout, |visit| subtract(&sets, &layout, visit));
    store(cx, &args[1], found, events::SDIFFSTORE, reply);
    Ok(())
}
