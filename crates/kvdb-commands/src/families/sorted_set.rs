//! Sorted sets: members with scores, in the order of the scores.

use kvdb_resp::{Args, Reply};
use kvdb_store::types::{Elements, SortedSet};
use kvdb_store::{Carried, CarriedValue, Effect, Event, Object, ReadCx, WriteCx};

use super::elements::elements;
use super::sorted_set_ends::{lex_range, score_range};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::exec::check_names;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::number::parse_f64;

/// What the rows of the families of sorted sets have in common.
pub(super) const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 3,
    flags: Flags::FAST,
    keys: &[KeySpec::one(&["RO", "access"])],
    categories: &[],
    group: Group::SortedSet,
    since: "1.2.0",
    complexity: "O(log(N)) for N members",
    summary: "",
    syntax: "key member",
    handler: Handler::Container,
    subcommands: &[],
};
const GROWS: Flags = Flags::DENYOOM.with(Flags::FAST);

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zadd",
        arity: -4,
        flags: GROWS,
        keys: &[KeySpec::one(&["RW", "update"])],
        complexity: "O(log(N)) for each member added, N being the number of members",
        summary: "Gives members of a sorted set scores; replies with how many are new, or changed with CH.",
        syntax: "key [NX|XX] [GT|LT] [CH] [INCR] score:double member [score:double member ...]",
        handler: Handler::Write(zadd),
        ..ROW
    },
    CommandSpec {
        name: "zincrby",
        arity: 4,
        flags: GROWS,
        keys: &[KeySpec::one(&["RW", "access", "update"])],
        summary: "Adds to the score of a member of a sorted set; one that is not there counts as 0.",
        syntax: "key increment member",
        handler: Handler::Write(zincrby),
        ..ROW
    },
    CommandSpec {
        name: "zrem",
        arity: -3,
        keys: &[KeySpec::one(&["RW", "delete"])],
        complexity: "O(M*log(N)) for M of N members",
        summary: "Removes members of a sorted set, and the sorted set with the last of them.",
        syntax: "key member [member ...]",
        handler: Handler::Write(zrem),
        ..ROW
    },
    CommandSpec {
        name: "zscore",
        complexity: "O(1)",
        summary: "Replies with the score of a member of a sorted set.",
        handler: Handler::Read(zscore),
        ..ROW
    },
    CommandSpec {
        name: "zmscore",
        arity: -3,
        since: "6.2.0",
        complexity: "O(N) for N members asked for",
        summary: "Replies with the scores of several members of a sorted set.",
        syntax: "key member [member ...]",
        handler: Handler::Read(zmscore),
        ..ROW
    },
    CommandSpec {
        name: "zcard",
        arity: 2,
        keys: &[KeySpec::one(&["RO"])],
        complexity: "O(1)",
        summary: "Counts the members of a sorted set.",
        syntax: "key",
        handler: Handler::Read(zcard),
        ..ROW
    },
    CommandSpec {
        name: "zcount",
        arity: 4,
        since: "2.0.0",
        summary: "Counts the members of a sorted set with scores in a range.",
        syntax: "key min:double max:double",
        handler: Handler::Read(zcount),
        ..ROW
    },
    CommandSpec {
        name: "zlexcount",
        arity: 4,
        since: "2.8.9",
        summary: "Counts the members between two others, of a sorted set whose scores are all the same.",
        syntax: "key min max",
        handler: Handler::Read(zlexcount),
        ..ROW
    },
    CommandSpec {
        name: "zrank",
        arity: -3,
        since: "2.0.0",
        summary: "Replies with how many members of a sorted set stand before one, from the lowest score on.",
        syntax: "key member [WITHSCORE]",
        handler: Handler::Read(zrank),
        ..ROW
    },
    CommandSpec {
        name: "zrevrank",
        arity: -3,
        since: "2.0.0",
        summary: "Replies with how many members of a sorted set stand before one, from the highest score on.",
        syntax: "key member [WITHSCORE]",
        handler: Handler::Read(zrevrank),
        ..ROW
    },
];

const NX_AND_XX: CommandError =
    CommandError::fixed("ERR XX and NX options at the same time are not compatible");
const GT_LT_AND_NX: CommandError =
    CommandError::fixed("ERR GT, LT, and/or NX options at the same time are not compatible");
const INCR_OF_MANY: CommandError =
    CommandError::fixed("ERR INCR option supports a single increment-element pair");
const NAN: CommandError = CommandError::fixed("ERR resulting score is not a number (NaN)");

/// The sorted set of a key that has to be one, if it is there.
pub(super) fn sorted_set(object: Option<Object<'_>>) -> Result<Option<&SortedSet>, CommandError> {
    elements(object)
}

/// Gives a key a sorted set, or removes it where the sorted set is empty, and tells of it; replies with the number of
/// members.
pub(super) fn store(cx: &mut WriteCx<'_>, key: &[u8], set: SortedSet, event: Event, reply: &mut Reply<'_>) {
    reply.integer(set.len() as i64);
    if !set.is_empty() {
        cx.put(key, Carried { value: CarriedValue::Collection(set.into_collection()), deadline: None });
        cx.notify(event, key);
    } else if cx.get(key).is_some() {
        cx.apply(key, Effect::Delete);
        cx.notify(Event::DEL, key);
    }
}

/// Replies with a score, or null where there is none.
fn reply_score(reply: &mut Reply<'_>, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

/// What ZADD does and does not do.
#[derive(Default)]
pub(super) struct AddOptions {
    /// Members that are there are left alone.
    pub(super) only_new: bool,
    /// Members that are not there are left out.
    pub(super) only_old: bool,
    /// A score is changed only to a higher one.
    pub(super) only_up: bool,
    /// A score is changed only to a lower one.
    pub(super) only_down: bool,
    /// Members that got another score count too.
    pub(super) count_changed: bool,
    /// The score is added to the one that the member has.
    pub(super) increment: bool,
}

impl AddOptions {
    /// Takes a word that is an option; tells whether it is one.
    fn take(&mut self, word: &[u8]) -> bool {
        match &*word.to_ascii_lowercase() {
            b"nx" => self.only_new = true,
            b"xx" => self.only_old = true,
            b"gt" => self.only_up = true,
            b"lt" => self.only_down = true,
            b"ch" => self.count_changed = true,
            b"incr" => self.increment = true,
            _ => return false,
        }
        true
    }

    fn check(&self, members: usize) -> CmdResult {
        if self.only_new && self.only_old {
            return Err(NX_AND_XX);
        }
        let conditions = [self.only_new, self.only_up, self.only_down];
        if conditions.into_iter().filter(|is| *is).count() > 1 {
            return Err(GT_LT_AND_NX);
        }
        if self.increment && members > 1 { Err(INCR_OF_MANY) } else { Ok(()) }
    }

    /// The score that a member with this one, if it is there, is to have; `None` when nothing is to be done with it.
    fn new_score(&self, old: Option<f64>, score: f64) -> Result<Option<f64>, CommandError> {
        let Some(old) = old else { return Ok((!self.only_old).then_some(score)) };
        if self.only_new {
            return Ok(None);
        }
        let score = if self.increment { old + score } else { score };
        if score.is_nan() {
            return Err(NAN);
        }
        let unwanted = (self.only_down && score >= old) || (self.only_up && score <= old);
        Ok((!unwanted).then_some(score))
    }
}

/// Gives members of a key scores, and replies as ZADD does.
pub(super) fn add(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    options: &AddOptions,
    members: &[(f64, &[u8])],
    reply: &mut Reply<'_>,
) -> CmdResult {
    check_names(members.iter().map(|&(_, member)| member))?;
    let (counted, changed, last) = cx.edit::<SortedSet, _>(key, |set| {
        let (mut counted, mut changed, mut last) = (0, false, None);
        for (at, &(score, member)) in members.iter().enumerate() {
            let old = set.score(member);
            last = options.new_score(old, score)?;
            let Some(score) = last else { continue };
            if at == 0 {
                set.put_first_of(members.len(), member, score);
            } else {
                set.put(member, score);
            }
            let changes = old != Some(score);
            changed |= changes;
            counted += i64::from(old.is_none() || (options.count_changed && changes));
        }
        Ok::<_, CommandError>((counted, changed, last))
    })??;
    if changed {
        cx.notify(if options.increment { events::ZINCR } else { events::ZADD }, key);
    }
    if options.increment {
        reply_score(reply, last);
    } else {
        reply.integer(counted);
    }
    Ok(())
}

fn zadd(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    add_with(cx, args, AddOptions::default(), reply)
}

fn zincrby(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    add_with(cx, args, AddOptions { increment: true, ..AddOptions::default() }, reply)
}

fn add_with(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    mut options: AddOptions,
    reply: &mut Reply<'_>,
) -> CmdResult {
    let words = args.tail(2).iter().take_while(|word| options.take(word)).count();
    let pairs = args.tail(2 + words);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(errors::SYNTAX);
    }
    options.check(pairs.len() / 2)?;
    let mut members = Vec::with_capacity(pairs.len() / 2);
    let mut rest = pairs.iter();
    while let (Some(score), Some(member)) = (rest.next(), rest.next()) {
        members.push((parse_f64(score).ok_or(errors::NOT_FLOAT)?, member));
    }
    add(cx, &args[1], &options, &members, reply)
}

fn zrem(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let members = args.tail(2).iter();
    let removed = cx.edit::<SortedSet, _>(&args[1], |set| {
        members.filter(|member| set.remove(member).is_some()).count()
    })?;
    if removed > 0 {
        cx.notify_edit(events::ZREM, &args[1]);
    }
    reply.integer(removed as i64);
    Ok(())
}

fn zscore(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let set = sorted_set(cx.get(&args[1]))?;
    reply_score(reply, set.and_then(|set| set.score(&args[2])));
    Ok(())
}

fn zmscore(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let set = sorted_set(cx.get(&args[1]))?;
    let members = args.tail(2);
    reply.array(members.len());
    for member in members {
        reply_score(reply, set.and_then(|set| set.score(member)));
    }
    Ok(())
}

fn zcard(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let set = sorted_set(cx.get(&args[1]))?;
    reply.integer(set.map_or(0, |set| set.len() as i64));
    Ok(())
}

fn zcount(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let range = score_range(&args[2], &args[3])?;
    let set = sorted_set(cx.get(&args[1]))?;
    reply.integer(set.map_or(0, |set| set.ranks_by_score(&range, usize::MAX).len() as i64));
    Ok(())
}

fn zlexcount(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let range = lex_range(&args[2], &args[3])?;
    let set = sorted_set(cx.get(&args[1]))?;
    reply.integer(set.map_or(0, |set| set.ranks_by_member(&range, usize::MAX).len() as i64));
    Ok(())
}

fn zrank(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_rank(cx, args, reply, "zrank", |rank, _| rank)
}

fn zrevrank(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_rank(cx, args, reply, "zrevrank", |rank, len| len - 1 - rank)
}

/// Replies with what `place` makes of a member's rank and the number of members.
fn reply_rank(
    cx: &mut ReadCx<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    name: &str,
    place: fn(usize, usize) -> usize,
) -> CmdResult {
    let with_score = match args.get(3) {
        _ if args.len() > 4 => return Err(errors::wrong_arity(name)),
        Some(word) if word.eq_ignore_ascii_case(b"withscore") => true,
        Some(_) => return Err(errors::SYNTAX),
        None => false,
    };
    let set = sorted_set(cx.get(&args[1]))?;
    let found = set.and_then(|set| set.rank(&args[2]).map(|(rank, score)| (place(rank, set.len()), score)));
    match found {
        Some((rank, score)) if with_score => {
            reply.array(2);
            reply.integer(rank as i64);
            reply.double(score);
        }
        Some((rank, _)) => reply.integer(rank as i64),
        None if with_score => reply.null_array(),
        None => reply.null(),
    }
    Ok(())
}
