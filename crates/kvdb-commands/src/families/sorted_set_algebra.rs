//! Several sorted sets together; sets count as sorted sets whose scores are all 1.

use itoa::Buffer;
use kvdb_resp::{Args, Reply};
use kvdb_store::types::sorted_set::{Gathered, Scored};
use kvdb_store::types::{Elements, Layout, Set, SortedSet};
use kvdb_store::{Object, ReadCx, Type, WriteCx};

use super::set_algebra::parse_limit;
use super::sorted_set::{ROW as SORTED_SET_ROW, store};
use super::sorted_set_ends::{begin_scored, reply_scored};
use super::string_value::bytes;
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};
use crate::values::number::{parse_f64, parse_i64};

/// What rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    arity: -3,
    flags: Flags::NONE,
    keys: &[KeySpec::counted(1, &["RO", "access"])],
    since: "6.2.0",
    ..SORTED_SET_ROW
};
/// What rows have in common that store what they find.
const STORE: CommandSpec = CommandSpec {
    arity: -4,
    flags: Flags::DENYOOM,
    keys: &[KeySpec::one(&["OW", "update"]), KeySpec::counted(2, &["RO", "access"])],
    since: "2.0.0",
    ..SORTED_SET_ROW
};
const UNION: &str = "O(N)+O(M*log(M)) for N members of all sorted sets and M of the result";
const INTER: &str =
    "O(N*K)+O(M*log(M)) for K sorted sets of which the smallest has N members, and M members of the result";
const DIFF: &str =
    "O(N*K)+O(M*log(M)) for K sorted sets of which the first has N members, and M members of the result";

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zunion",
        complexity: UNION,
        summary: "Replies with the members that any of several sorted sets has, and scores made of theirs.",
        syntax: "numkeys:integer key [key ...] [WEIGHTS weight:integer [weight:integer ...]] [AGGREGATE <SUM|MIN|MAX>] [WITHSCORES]",
        handler: Handler::Read(zunion),
        ..ROW
    },
    CommandSpec {
        name: "zinter",
        complexity: INTER,
        summary: "Replies with the members that several sorted sets have in common, and scores made of theirs.",
        syntax: "numkeys:integer key [key ...] [WEIGHTS weight:integer [weight:integer ...]] [AGGREGATE <SUM|MIN|MAX>] [WITHSCORES]",
        handler: Handler::Read(zinter),
        ..ROW
    },
    CommandSpec {
        name: "zdiff",
        complexity: DIFF,
        summary: "Replies with the members of a sorted set that none of some others has.",
        syntax: "numkeys:integer key [key ...] [WITHSCORES]",
        handler: Handler::Read(zdiff),
        ..ROW
    },
    CommandSpec {
        name: "zintercard",
        since: "7.0.0",
        complexity: "O(N*K) for K sorted sets of which the smallest has N members",
        summary: "Counts the members that several sorted sets have in common, up to a limit.",
        syntax: "numkeys:integer key [key ...] [LIMIT limit:integer]",
        handler: Handler::Read(zintercard),
        ..ROW
    },
    CommandSpec {
        name: "zunionstore",
        complexity: UNION,
        summary: "Gives a key the sorted set of the members that any of several sorted sets has.",
        syntax: "destination numkeys:integer key [key ...] [WEIGHTS weight:integer [weight:integer ...]] [AGGREGATE <SUM|MIN|MAX>]",
        handler: Handler::Write(zunionstore),
        ..STORE
    },
    CommandSpec {
        name: "zinterstore",
        complexity: INTER,
        summary: "Gives a key the sorted set of the members that several sorted sets have in common.",
        syntax: "destination numkeys:integer key [key ...] [WEIGHTS weight:integer [weight:integer ...]] [AGGREGATE <SUM|MIN|MAX>]",
        handler: Handler::Write(zinterstore),
        ..STORE
    },
    CommandSpec {
        name: "zdiffstore",
        since: "6.2.0",
        complexity: DIFF,
        summary: "Gives a key the sorted set of the members of a sorted set that none of some others has.",
        syntax: "destination numkeys:integer key [key ...]",
        handler: Handler::Write(zdiffstore),
        ..STORE
    },
];

const WEIGHT: CommandError = CommandError::fixed("ERR weight value is not a float");

/// What is made of several sorted sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// A set or a sorted set.
#[derive(Clone, Copy)]
enum Source<'s> {
    Set(&'s Set),
    Sorted(&'s SortedSet),
}

impl<'s> Source<'s> {
    /// The set or sorted set of a key that has to be one, if it is there.
    fn of(object: Option<Object<'s>>) -> Result<Option<Self>, CommandError> {
        let Some(object) = object else { return Ok(None) };
        let set = || object.elements().map(Self::Set);
        object.elements().map(Self::Sorted).or_else(set).map(Some).ok_or(errors::WRONG_TYPE)
    }

    fn len(&self) -> usize {
        match self {
            Self::Set(set) => set.len(),
            Self::Sorted(set) => set.len(),
        }
    }

    fn iter(self) -> Box<dyn Iterator<Item = Scored<'s>> + 's> {
        match self {
            Self::Set(set) => Box::new(set.iter().map(|member| (member, 1.0))),
            Self::Sorted(set) => Box::new(set.iter_unordered()),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Set(set) => set.contains(member).then_some(1.0),
            Self::Sorted(set) => set.score(member),
        }
    }
}

/// The sources of keys, and the weights of their scores.
type Sources<'s> = Vec<(Option<Source<'s>>, f64)>;

/// How the scores of a member become one.
#[derive(Clone, Copy)]
struct Aggregate(fn(f64, f64) -> f64);

impl Aggregate {
    fn parse(word: &[u8]) -> Option<Self> {
        match &*word.to_ascii_lowercase() {
            b"sum" => Some(Self(sum)),
            b"min" => Some(Self(|old, new| if new < old { new } else { old })),
            b"max" => Some(Self(|old, new| if new > old { new } else { old })),
            _ => None,
        }
    }
}

/// The sum, where infinities of both signs are 0 together.
fn sum(old: f64, new: f64) -> f64 {
    or_zero(old + new)
}

fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// What the options of an operation say.
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Options {
    /// Reads the options behind the keys. Differences have no scores to join, and what is stored has its scores anyway.
    fn parse(args: Args<'_>, keys: usize, operation: Operation, stores: bool) -> Result<Self, CommandError> {
        let mut options = Self { weights: vec![1.0; keys], aggregate: Aggregate(sum), with_scores: false };
        let joins = operation != Operation::Diff;
        let mut rest = args;
        while let Some(option) = rest.get(0) {
            match &*option.to_ascii_lowercase() {
                b"weights" if joins && rest.len() > keys => {
                    for (weight, text) in options.weights.iter_mut().zip(rest.tail(1)) {
                        *weight = parse_f64(text).ok_or(WEIGHT)?;
                    }
                    rest = rest.tail(1 + keys);
                }
                b"aggregate" if joins && rest.len() > 1 => {
                    options.aggregate = Aggregate::parse(&rest[1]).ok_or(errors::SYNTAX)?;
                    rest = rest.tail(2);
                }
                b"withscores" if !stores => {
                    options.with_scores = true;
                    rest = rest.tail(1);
                }
                _ => return Err(errors::SYNTAX),
            }
        }
        Ok(options)
    }
}

/// The keys that an argument counts, and the arguments behind them.
fn keys<'a>(args: Args<'a>, count_at: usize, name: &str) -> Result<(Args<'a>, Args<'a>), CommandError> {
    let count = parse_i64(&args[count_at]).ok_or(errors::NOT_INTEGER)?;
    let count = usize::try_from(count).ok().filter(|&count| count > 0).ok_or_else(|| {
        CommandError::new(format!("ERR at least 1 input key is needed for '{name}' command"))
    })?;
    let first = count_at + 1;
    if count > args.len() - first {
        return Err(errors::SYNTAX);
    }
    Ok((args.slice(first..first + count), args.tail(first + count)))
}

fn sources(objects: Vec<Option<Object<'_>>>) -> Result<Vec<Option<Source<'_>>>, CommandError> {
    objects.into_iter().map(Source::of).collect()
}

/// Makes a sorted set of several.
fn combine(
    operation: Operation,
    sources: Vec<Option<Source<'_>>>,
    options: &Options,
    layout: &Layout,
) -> Gathered {
    let mut found = Gathered::new(layout);
    let mut sources: Sources<'_> = sources.into_iter().zip(options.weights.iter().copied()).collect();
    if operation != Operation::Diff {
        sources.sort_by_key(|(source, _)| source.map_or(0, |source| source.len()));
    }
    let mut digits = Buffer::new();
    match operation {
        Operation::Union => {
            for (source, weight) in sources {
                for (member, score) in source.into_iter().flat_map(Source::iter) {
                    let score = or_zero(weight * score);
                    found.add(bytes(member, &mut digits), score, options.aggregate.0);
                }
            }
        }
        Operation::Inter => intersect(&sources, options.aggregate, |member, score| {
            found.add(member, score, |_, new| new);
            true
        }),
        Operation::Diff => {
            let mut sources = sources.into_iter().map(|(source, _)| source);
            let first = sources.next().flatten();
            let others: Vec<Source<'_>> = sources.flatten().collect();
            for (member, score) in first.into_iter().flat_map(Source::iter) {
                let text = bytes(member, &mut digits);
                if others.iter().all(|source| source.score(text).is_none()) {
                    found.add(text, score, |_, new| new);
                }
            }
        }
    }
    found
}

/// Shows the members that all sources have, the smallest of which stands first, until `visit` says that it has seen
/// enough.
fn intersect(sources: &Sources<'_>, aggregate: Aggregate, mut visit: impl FnMut(&[u8], f64) -> bool) {
    let all: Option<Vec<(Source<'_>, f64)>> =
        sources.iter().map(|&(source, weight)| Some((source?, weight))).collect();
    let Some((&(smallest, weight), others)) = all.as_deref().and_then(<[_]>::split_first) else { return };
    let mut digits = Buffer::new();
    for (member, score) in smallest.iter() {
        let text = bytes(member, &mut digits);
        let joined = others.iter().try_fold(or_zero(weight * score), |joined, (source, weight)| {
            source.score(text).map(|score| aggregate.0(joined, score * weight))
        });
        if let Some(joined) = joined
            && !visit(text, joined)
        {
            return;
        }
    }
}

fn reply_combined(
    cx: &mut ReadCx<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    name: &str,
    operation: Operation,
) -> CmdResult {
    let layout = cx.layout();
    let (keys, rest) = keys(args, 1, name)?;
    // As in Redis, the types of the keys are looked at before the options.
    let sources = sources(cx.get_all(keys.iter(), &[Type::SortedSet, Type::Set]))?;
    let options = Options::parse(rest, keys.len(), operation, false)?;
    let found = combine(operation, sources, &options, &layout).sorted();
    begin_scored(reply, found.len(), options.with_scores);
    for scored in found.iter() {
        if reply.is_full() {
            break;
        }
        reply_scored(reply, scored, options.with_scores);
    }
    Ok(())
}

fn store_combined(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    name: &str,
    operation: Operation,
) -> CmdResult {
    let layout = cx.layout();
    let (keys, rest) = keys(args, 2, name)?;
    let sources = sources(cx.get_all(keys.iter(), &[Type::SortedSet, Type::Set]))?;
    let options = Options::parse(rest, keys.len(), operation, true)?;
    let found = combine(operation, sources, &options, &layout).finish(&layout);
    let event = match operation {
        Operation::Union => events::ZUNIONSTORE,
        Operation::Inter => events::ZINTERSTORE,
        Operation::Diff => events::ZDIFFSTORE,
    };
    store(cx, &args[1], found, event, reply);
    Ok(())
}

fn zunion(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_combined(cx, args, reply, "zunion", Operation::Union)
}

fn zinter(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_combined(cx, args, reply, "zinter", Operation::Inter)
}

fn zdiff(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_combined(cx, args, reply, "zdiff", Operation::Diff)
}

fn zintercard(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (keys, rest) = keys(args, 1, "zintercard")?;
    let mut sources: Sources<'_> = sources(cx.get_all(keys.iter(), &[Type::SortedSet, Type::Set]))?
        .into_iter()
        .map(|source| (source, 1.0))
        .collect();
    let limit = parse_limit(rest)?;
    sources.sort_by_key(|(source, _)| source.map_or(0, |source| source.len()));
    let mut count = 0;
    intersect(&sources, Aggregate(sum), |_, _| {
        count += 1;
        count != limit
    });
    reply.integer(count as i64);
    Ok(())
}

fn zunionstore(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    store_combined(cx, args, reply, "zunionstore", Operation::Union)
}

fn zinterstore(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    store_combined(cx, args, reply, "zinterstore", Operation::Inter)
}

fn zdiffstore(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    store_combined(cx, args, reply, "zdiffstore", Operation::Diff)
}
