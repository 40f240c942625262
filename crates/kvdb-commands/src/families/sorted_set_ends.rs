//! The ends of ranges of sorted sets, as arguments, and members with scores, as replies.

use std::ops::Range;

use kvdb_resp::{Protocol, Reply};
use kvdb_store::types::sorted_set::{LexEnd, LexRange, ScoreRange, Scored};

use super::string_value::reply_value;
use crate::errors::CommandError;
use crate::values::number::parse_range_end;

const NOT_FLOAT: CommandError = CommandError::fixed("ERR min or max is not a float");
const NOT_STRING: CommandError = CommandError::fixed("ERR min or max not valid string range item");

/// A range of scores: `(` before an end says that it does not count itself.
pub(super) fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange, CommandError> {
    let end = |text: &[u8]| {
        let (text, beside) = text.strip_prefix(b"(").map_or((text, false), |text| (text, true));
        parse_range_end(text).map(|end| (end, beside)).ok_or(NOT_FLOAT)
    };
    let ((min, above_min), (max, below_max)) = (end(min)?, end(max)?);
    Ok(ScoreRange { min, above_min, max, below_max })
}

/// A range of members: `-` and `+` are the ends of all, others are marked by `[` or, when they do not count, by `(`.
pub(super) fn lex_range<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>, CommandError> {
    fn end(text: &[u8]) -> Result<LexEnd<'_>, CommandError> {
        match text {
            b"-" => Ok(LexEnd::First),
            b"+" => Ok(LexEnd::Last),
            [b'[', member @ ..] => Ok(LexEnd::At(member)),
            [b'(', member @ ..] => Ok(LexEnd::Beside(member)),
            _ => Err(NOT_STRING),
        }
    }
    Ok(LexRange { min: end(min)?, max: end(max)? })
}

/// The ranks from `start` to `end`, both included, of `len` members; negative ones count from the end.
pub(super) fn rank_range(start: i64, end: i64, len: usize) -> Range<usize> {
    let from_start = |at: i64| match usize::try_from(at) {
        Ok(at) => Some(at),
        Err(_) => len.checked_sub(usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let start = from_start(start).unwrap_or(0);
    // An end before the first one leaves nothing.
    let end = from_start(end).map_or(0, |end| end.saturating_add(1)).min(len);
    start.min(end)..end
}

/// Begins a reply of so many members, with their scores or without.
pub(super) fn begin_scored(reply: &mut Reply<'_>, members: usize, with_scores: bool) {
    let flat = with_scores && reply.protocol() == Protocol::Resp2;
    reply.array(if flat { members.saturating_mul(2) } else { members });
}

/// Replies with a member of an array that was begun so.
pub(super) fn reply_scored(reply: &mut Reply<'_>, (member, score): Scored<'_>, with_scores: bool) {
    if with_scores && reply.protocol() == Protocol::Resp3 {
        reply.array(2);
    }
    reply_value(reply, Some(member));
    if with_scores {
        reply.double(score);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_from_both_ends() {
        for (start, end, expected) in [
            (0, -1, 0..5),
            (1, 3, 1..4),
            (-2, -1, 3..5),
            (-100, 100, 0..5),
            (3, 1, 2..2),
            (5, 9, 5..5),
            (-1, -2, 4..4),
            (0, -6, 0..0),
            (i64::MIN, i64::MAX, 0..5),
            (i64::MAX, i64::MIN, 0..0),
        ] {
            assert_eq!(rank_range(start, end, 5), expected, "{start} {end}");
        }
        assert_eq!(rank_range(0, -1, 0), 0..0);
    }
}
