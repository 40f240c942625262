//! Parts of sorted sets by rank, score or member: reading, storing and removing them.

use std::ops::Range;

use itoa::Buffer;
use kvdb_resp::{Args, Reply};
use kvdb_store::types::sorted_set::{Gathered, LexRange, ScoreRange};
use kvdb_store::types::{Elements, SortedSet};
use kvdb_store::{Effect, ReadCx, WriteCx, text_of};

use super::sorted_set::{ROW as SORTED_SET_ROW, sorted_set, store};
use super::sorted_set_ends::{begin_scored, lex_range, rank_range, reply_scored, score_range};
use super::string_value::bytes;
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};
use crate::values::number::parse_i64;

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    arity: -4,
    flags: Flags::NONE,
    complexity: "O(log(N)+M) for M of N members",
    ..SORTED_SET_ROW
};
/// What those have in common that remove.
const REMOVE: CommandSpec = CommandSpec {
    arity: 4,
    keys: &[KeySpec::one(&["RW", "delete"])],
    complexity: "O(M*log(N)) for M of N members",
    ..ROW
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zrange",
        summary: "Replies with the members of a sorted set in a range of ranks, scores or members.",
        syntax: "key start:string stop:string [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
        handler: Handler::Read(zrange),
        ..ROW
    },
    CommandSpec {
        name: "zrangestore",
        arity: -5,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::one(&["OW", "update"]), KeySpec::at(2, &["RO", "access"])],
        since: "6.2.0",
        summary: "Gives a key the sorted set of the members of another one in a range.",
        syntax: "dst:key src:key min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]",
        handler: Handler::Write(zrangestore),
        ..ROW
    },
    CommandSpec {
        name: "zrangebyscore",
        since: "1.0.5",
        summary: "Replies with the members of a sorted set with scores in a range.",
        syntax: "key min:double max:double [WITHSCORES] [LIMIT offset count]",
        handler: Handler::Read(zrangebyscore),
        ..ROW
    },
    CommandSpec {
        name: "zrangebylex",
        since: "2.8.9",
        summary: "Replies with the members between two others, of a sorted set whose scores are all the same.",
        syntax: "key min max [LIMIT offset count]",
        handler: Handler::Read(zrangebylex),
        ..ROW
    },
    CommandSpec {
        name: "zrevrange",
        summary: "Replies with the members of a sorted set in a range of ranks, the highest score first.",
        syntax: "key start stop [WITHSCORES]",
        handler: Handler::Read(zrevrange),
        ..ROW
    },
    CommandSpec {
        name: "zrevrangebyscore",
        since: "2.2.0",
        summary: "Replies with the members of a sorted set with scores in a range, the highest score first.",
        syntax: "key max:double min:double [WITHSCORES] [LIMIT offset count]",
        handler: Handler::Read(zrevrangebyscore),
        ..ROW
    },
    CommandSpec {
        name: "zrevrangebylex",
        since: "2.8.9",
        summary: "Replies with the members between two others, the last first, of a sorted set whose scores are all the same.",
        syntax: "key max min [LIMIT offset count]",
        handler: Handler::Read(zrevrangebylex),
        ..ROW
    },
    CommandSpec {
        name: "zremrangebyrank",
        since: "2.0.0",
        summary: "Removes the members of a sorted set in a range of ranks.",
        syntax: "key start stop",
        handler: Handler::Write(zremrangebyrank),
        ..REMOVE
    },
    CommandSpec {
        name: "zremrangebyscore",
        summary: "Removes the members of a sorted set with scores in a range.",
        syntax: "key min:double max:double",
        handler: Handler::Write(zremrangebyscore),
        ..REMOVE
    },
    CommandSpec {
        name: "zremrangebylex",
        since: "2.8.9",
        summary: "Removes the members between two others, of a sorted set whose scores are all the same.",
        syntax: "key min max",
        handler: Handler::Write(zremrangebylex),
        ..REMOVE
    },
];

const LIMIT_OF_RANKS: CommandError = CommandError::fixed(
    "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
);
const SCORES_OF_MEMBERS: CommandError =
    CommandError::fixed("ERR syntax error, WITHSCORES not supported in combination with BYLEX");

/// What the ends of a range are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// A range of a sorted set.
enum Part<'a> {
    Ranks(i64, i64),
    Scores(ScoreRange),
    Members(LexRange<'a>),
}

impl<'a> Part<'a> {
    fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        let integer = |text| parse_i64(text).ok_or(errors::NOT_INTEGER);
        Ok(match by {
            By::Rank => Self::Ranks(integer(min)?, integer(max)?),
            By::Score => Self::Scores(score_range(min, max)?),
            By::Member => Self::Members(lex_range(min, max)?),
        })
    }

    /// The ranks of its members, from the lowest score on.
    fn ranks(&self, set: &SortedSet, most: usize) -> Range<usize> {
        match self {
            Self::Ranks(start, end) => rank_range(*start, *end, set.len()),
            Self::Scores(range) => set.ranks_by_score(range, most),
            Self::Members(range) => set.ranks_by_member(range, most),
        }
    }
}

/// What is left open by the name of a command, to be said by its options.
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    stores: bool,
}

/// What ZRANGE and its like ask for.
struct Query<'a> {
    part: Part<'a>,
    reverse: bool,
    offset: i64,
    limit: i64,
    with_scores: bool,
}

impl<'a> Query<'a> {
    /// Reads the two ends and the options behind them.
    fn parse(args: Args<'a>, form: &Form) -> Result<Self, CommandError> {
        let (mut by, mut reverse) = (form.by, form.reverse);
        let (mut offset, mut limit, mut with_scores) = (0, -1, false);
        let mut at = 2;
        while let Some(option) = args.get(at) {
            match (&*option.to_ascii_lowercase(), args.get(at + 1), args.get(at + 2)) {
                (b"withscores", ..) if !form.stores => with_scores = true,
                (b"limit", Some(skipped), Some(taken)) => {
                    offset = parse_i64(skipped).ok_or(errors::NOT_INTEGER)?;
                    limit = parse_i64(taken).ok_or(errors::NOT_INTEGER)?;
                    at += 2;
                }
                (b"rev", ..) if reverse.is_none() => reverse = Some(true),
                (b"bylex", ..) if by.is_none() => by = Some(By::Member),
                (b"byscore", ..) if by.is_none() => by = Some(By::Score),
                _ => return Err(errors::SYNTAX),
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if by == By::Rank {
            if limit != -1 {
                return Err(LIMIT_OF_RANKS);
            }
            offset = 0;
        }
        if with_scores && by == By::Member {
            return Err(SCORES_OF_MEMBERS);
        }
        let [first, second] = [0, 1].map(|at| args.get(at).unwrap_or_default());
        // Read backwards, the higher end comes first.
        let (min, max) = if reverse && by != By::Rank { (second, first) } else { (first, second) };
        Ok(Self { part: Part::parse(by, min, max)?, reverse, offset, limit, with_scores })
    }

    /// The ranks of what is asked for, from the lowest score on.
    fn ranks(&self, set: &SortedSet) -> Range<usize> {
        let Ok(skipped) = usize::try_from(self.offset) else { return 0..0 };
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        // What is behind the limit need not be looked for, where it is counted from the lowest score on.
        let most = if self.reverse { usize::MAX } else { skipped.saturating_add(limit) };
        let mut ranks = match self.part {
            // Ranks count from the other end.
            Part::Ranks(start, end) if self.reverse => {
                let ranks = rank_range(start, end, set.len());
                set.len() - ranks.end..set.len() - ranks.start
            }
            _ => self.part.ranks(set, most),
        };
        let left = ranks.len().saturating_sub(skipped);
        let taken = limit.min(left);
        let skipped = ranks.len() - left;
        if self.reverse {
            ranks.end -= skipped;
            ranks.start = ranks.end - taken;
        } else {
            ranks.start += skipped;
            ranks.end = ranks.start + taken;
        }
        ranks
    }
}

fn reply_range(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>, form: &Form) -> CmdResult {
    let query = Query::parse(args.tail(2), form)?;
    let Some(set) = sorted_set(cx.get(&args[1]))? else {
        reply.array(0);
        return Ok(());
    };
    let ranks = query.ranks(set);
    begin_scored(reply, ranks.len(), query.with_scores);
    for scored in set.range(ranks, query.reverse) {
        if reply.is_full() {
            break;
        }
        reply_scored(reply, scored, query.with_scores);
    }
    Ok(())
}

fn zrange(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_range(cx, args, reply, &Form { by: None, reverse: None, stores: false })
}

fn zrangestore(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let query = Query::parse(args.tail(3), &Form { by: None, reverse: None, stores: true })?;
    let layout = cx.layout();
    let mut found = Gathered::new(&layout);
    if let Some(set) = sorted_set(cx.lookup(&args[2]))? {
        let mut digits = Buffer::new();
        for (member, score) in set.range(query.ranks(set), false) {
            found.add(bytes(member, &mut digits), score, |_, new| new);
        }
    }
    store(cx, &args[1], found.finish(&layout), events::ZRANGESTORE, reply);
    Ok(())
}

fn zrangebyscore(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_range(cx, args, reply, &Form { by: Some(By::Score), reverse: Some(false), stores: false })
}

fn zrangebylex(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_range(cx, args, reply, &Form { by: Some(By::Member), reverse: Some(false), stores: false })
}

fn zrevrange(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_range(cx, args, reply, &Form { by: Some(By::Rank), reverse: Some(true), stores: false })
}

fn zrevrangebyscore(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_range(cx, args, reply, &Form { by: Some(By::Score), reverse: Some(true), stores: false })
}

fn zrevrangebylex(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_range(cx, args, reply, &Form { by: Some(By::Member), reverse: Some(true), stores: false })
}

/// Removes the members of a range and replies with how many there were.
fn remove_range(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>, by: By) -> CmdResult {
    let part = Part::parse(by, &args[2], &args[3])?;
    let removed = match sorted_set(cx.get(&args[1]))? {
        Some(set) => {
            let len = set.len();
            let members = set.range(part.ranks(set, usize::MAX), false).map(|(member, _)| text_of(member));
            let members: Vec<Vec<u8>> = members.collect();
            remove_members(cx, &args[1], len, &members)?;
            if !members.is_empty() {
                let event = match by {
                    By::Rank => events::ZREMRANGEBYRANK,
                    By::Score => events::ZREMRANGEBYSCORE,
                    By::Member => events::ZREMRANGEBYLEX,
                };
                cx.notify_edit(event, &args[1]);
            }
            members.len()
        }
        None => 0,
    };
    reply.integer(removed as i64);
    Ok(())
}

/// Removes members of a sorted set of `len`; the whole key at once when they are all.
pub(super) fn remove_members(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    len: usize,
    members: &[impl AsRef<[u8]>],
) -> CmdResult {
    if members.len() == len {
        cx.apply(key, Effect::Delete);
        return Ok(());
    }
    cx.edit::<SortedSet, _>(key, |set| {
        for member in members {
            set.remove(member.as_ref());
        }
    })?;
    Ok(())
}

fn zremrangebyrank(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    remove_range(cx, args, reply, By::Rank)
}

fn zremrangebyscore(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    remove_range(cx, args, reply, By::Score)
}

fn zremrangebylex(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    remove_range(cx, args, reply, By::Member)
}
