//! The string functions whose C originals can run for hours or ask for any amount of memory: pattern matching and
//! `rep`. The others of the library are Lua's own.

use memchr::memmem;
use mlua::{BString, Lua, MultiValue, Table, Value};

use super::pattern::{Capture, Match, Matcher, PatternError};
use crate::arguments::Arguments;
use crate::state::RunState;
use crate::thrown::{OUT_OF_MEMORY, Thrown, error_here};

/// The characters that make a pattern more than plain text.
const SPECIALS: &[u8] = b"^$*+?.([%-";

/// The functions that replace those of the string library, and those that the prelude builds others from.
pub(crate) fn install(lua: &Lua, state: &RunState, native: &Table) -> mlua::Result<()> {
    let run = state.clone();
    native.raw_set("find", lua.create_function(move |lua, args| find(lua, &run, args, true))?)?;
    let run = state.clone();
    native.raw_set("match", lua.create_function(move |lua, args| find(lua, &run, args, false))?)?;
    let run = state.clone();
    native.raw_set("rep", lua.create_function(move |lua, args| rep(lua, &run, args))?)?;
    let run = state.clone();
    native.raw_set("next_match", lua.create_function(move |lua, args| next_match(lua, &run, args))?)?;
    let run = state.clone();
    native.raw_set("gsub_text", lua.create_function(move |lua, args| gsub_text(lua, &run, args))?)
}

/// `string.find` and `string.match`.
fn find(lua: &Lua, state: &RunState, args: MultiValue, wants_range: bool) -> mlua::Result<MultiValue> {
    let args = Arguments::new(lua, args);
    let (subject, pattern) = (args.bytes(1)?, args.bytes(2)?);
    let from = start_of(args.optional_integer(3, 1)?, subject.len());
    let is_plain = !matches!(args.get(4), Value::Nil | Value::Boolean(false));
    if wants_range && (is_plain || !pattern.iter().any(|byte| SPECIALS.contains(byte))) {
        let found = memmem::find(&subject[from..], &pattern).map(|at| from + at);
        return Ok(match found {
            Some(at) => range_values(at, at + pattern.len()).into_iter().collect(),
            None => MultiValue::from_vec(vec![Value::Nil]),
        });
    }
    let found = Matcher::new(&subject, &pattern, || state.poll(lua))
        .search(from)
        .map_err(|error| raise(lua, error))?;
    let Some(found) = found else { return Ok(MultiValue::from_vec(vec![Value::Nil])) };
    let mut values = MultiValue::new();
    let captures = if wants_range {
        values.extend(range_values(found.range.start, found.range.end));
        found.captures
    } else {
        found.values()
    };
    for capture in captures {
        values.push_back(to_value(lua, &subject, &capture)?);
    }
    Ok(values)
}

/// The next match for the loops of `gmatch` and `gsub`: given subject, pattern, where to begin (counted from 0) and
/// whether a leading `^` is an anchor, returns where the match begins and ends, and the captures; or nothing.
///
/// Lua code drives those loops, so that what it calls in between is called by Lua, and errors pass through unchanged.
fn next_match(lua: &Lua, state: &RunState, args: MultiValue) -> mlua::Result<MultiValue> {
    let args = Arguments::new(lua, args);
    let (subject, pattern) = (args.bytes(1)?, args.bytes(2)?);
    let from = usize::try_from(args.integer(3)?).unwrap_or(usize::MAX);
    let mut values = MultiValue::new();
    if from > subject.len() {
        return Ok(values);
    }
    let poll = || state.poll(lua);
    let mut matcher = match args.get(4) {
        Value::Boolean(true) => Matcher::new(&subject, &pattern, poll),
        _ => Matcher::unanchored(&subject, &pattern, poll),
    };
    if let Some(found) = matcher.search(from).map_err(|error| raise(lua, error))? {
        values.extend([Value::Integer(found.range.start as i64), Value::Integer(found.range.end as i64)]);
        for capture in found.values() {
            values.push_back(to_value(lua, &subject, &capture)?);
        }
    }
    Ok(values)
}

/// `string.gsub` with a text as replacement, in which `%1` stands for the first capture and `%0` for the match.
fn gsub_text(lua: &Lua, state: &RunState, args: MultiValue) -> mlua::Result<(BString, i64)> {
    let args = Arguments::new(lua, args);
    let (subject, pattern, template, limit) =
        (args.bytes(1)?, args.bytes(2)?, args.bytes(3)?, args.integer(4)?);
    let mut matcher = Matcher::new(&subject, &pattern, || state.poll(lua));
    let (mut out, mut count, mut at) = (Vec::new(), 0, 0);
    while count < limit {
        let Some(found) = matcher.search(at).map_err(|error| raise(lua, error))? else { break };
        count += 1;
        let range = found.range.clone();
        out.extend_from_slice(&subject[at..range.start]);
        let before = out.len();
        append_template(lua, state, &template, &subject, found, &mut out)?;
        matcher.spend(template.len() + out.len() - before).map_err(|error| raise(lua, error))?;
        at = range.end;
        if range.is_empty() {
            // An empty match is not found twice.
            out.extend(subject.get(at));
            at += 1;
        }
        if matcher.is_anchored() || at > subject.len() {
            break;
        }
    }
    out.extend_from_slice(&subject[at.min(subject.len())..]);
    state.check_room(lua, out.len())?;
    Ok((BString::from(out), count))
}

/// Appends a replacement, with what stands for captures in it.
fn append_template(
    lua: &Lua,
    state: &RunState,
    text: &[u8],
    subject: &[u8],
    found: Match,
    out: &mut Vec<u8>,
) -> mlua::Result<()> {
    let whole = found.range.clone();
    let captures = found.values();
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let range = match rest.next() {
            Some(b'0') => whole.clone(),
            Some(digit @ b'1'..=b'9') => match captures.get(usize::from(digit - b'1')) {
                Some(Capture::Text(range)) => range.clone(),
                Some(Capture::Position(position)) => {
                    out.extend_from_slice(position.to_string().as_bytes());
                    continue;
                }
                None => return Err(error_here(lua, "invalid capture index")),
            },
            // Lua's strings end in a NUL, which is what a lone percent sign takes.
            other => {
                out.push(other.copied().unwrap_or(0));
                continue;
            }
        };
        // A short template may ask for the whole subject any number of times.
        state.check_room(lua, out.len() + range.len())?;
        out.extend_from_slice(&subject[range]);
    }
    state.check_room(lua, out.len())
}

/// `string.rep`.
fn rep(lua: &Lua, state: &RunState, args: MultiValue) -> mlua::Result<BString> {
    let args = Arguments::new(lua, args);
    let (text, times) = (args.bytes(1)?, args.integer(2)?);
    let times = if text.is_empty() { 0 } else { usize::try_from(times).unwrap_or(0) };
    let len = text.len().checked_mul(times).ok_or(Thrown::Message(OUT_OF_MEMORY.into()))?;
    state.check_room(lua, len)?;
    Ok(BString::from(text.repeat(times)))
}

/// Where a search begins, counted from 0: negative positions count from the end.
fn start_of(position: i64, len: usize) -> usize {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let start = if position < 0 { (len + position).max(0) } else { position.saturating_sub(1).max(0) };
    usize::try_from(start.min(len)).unwrap_or(0)
}

/// A range as `find` returns it: the first and the last position, counted from 1.
fn range_values(start: usize, end: usize) -> [Value; 2] {
    [Value::Integer(start as i64 + 1), Value::Integer(end as i64)]
}

fn to_value(lua: &Lua, subject: &[u8], capture: &Capture) -> mlua::Result<Value> {
    match capture {
        Capture::Text(range) => lua.create_string(&subject[range.clone()]).map(Value::String),
        Capture::Position(position) => Ok(Value::Integer(*position as i64)),
    }
}

fn raise(lua: &Lua, error: PatternError<mlua::Error>) -> mlua::Error {
    match error {
        PatternError::Malformed(words) => error_here(lua, words),
        PatternError::Stopped(error) => error,
    }
}
