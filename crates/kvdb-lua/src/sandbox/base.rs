//! What the prelude needs from Rust for the base functions: compiling text, and turning errors into what scripts see.

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, MultiValue, Table, Value};

use super::environment;
use crate::arguments::Arguments;
use crate::state::{Failure, RunState, Scope};
use crate::thrown::{OUT_OF_MEMORY, ReplyError, Thrown, describe, innermost_position};

/// Bytes of source text that are compiled. Far above any script, and far below what makes a counter of Lua's lexer
/// overflow.
pub(crate) const MAX_SOURCE: usize = 16 << 20;

/// Bytes of a chunk's name: messages show about sixty.
const MAX_NAME: usize = 100;

/// Puts this file's functions where the prelude looks for them.
pub(super) fn install(lua: &Lua, state: &RunState, native: &Table) -> mlua::Result<()> {
    native.raw_set("max_source", MAX_SOURCE)?;
    let run = state.clone();
    native.raw_set("compile", lua.create_function(move |lua, args| load_text(lua, &run, args))?)?;
    let run = state.clone();
    native.raw_set("caught", lua.create_function(move |lua, value| caught(lua, &run, value))?)?;
    let run = state.clone();
    native.raw_set("unwrapped", lua.create_function(move |lua, value| unwrapped(lua, &run, value))?)?;
    let run = state.clone();
    native.raw_set("poll", lua.create_function(move |lua, ()| run.poll(lua))?)
}

/// Compiles Lua text, never bytecode: Lua trusts bytecode, and a made-up one can do anything to the process.
///
/// The name of the chunk is pinned while the parser works: Lua 5.1 does not do so itself, and would use it after it was
/// collected (CVE-2025-49844).
///
/// # Errors
/// The message of the parser.
pub(crate) fn compile(lua: &Lua, scope: Scope, text: &[u8], name: &[u8]) -> Result<Function, Vec<u8>> {
    let name = shortened(name);
    if text.len() > MAX_SOURCE {
        return Err(format!("{}: the text is too long", short_name(&name)).into_bytes());
    }
    if text.first() == Some(&0x1b) {
        return Err(format!("{}:1: unexpected symbol near 'char(27)'", short_name(&name)).into_bytes());
    }
    let pinned = lua.create_string(&name);
    let compiled = environment(lua, scope).and_then(|globals| {
        lua.load(text).set_name(name).set_mode(ChunkMode::Text).set_environment(globals).into_function()
    });
    drop(pinned);
    compiled.map_err(|error| match Thrown::of(&error) {
        Thrown::Reply(ReplyError { message, .. }) | Thrown::Message(message) => message,
        Thrown::Stopped => OUT_OF_MEMORY.into(),
    })
}

/// As much of a chunk's name as Lua shows: the end of a file's name, the beginning of any other.
fn shortened(name: &[u8]) -> String {
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    match name {
        [b'@', path @ ..] if path.len() > MAX_NAME => format!("@{}", text(&path[path.len() - MAX_NAME..])),
        _ => text(&name[..name.len().min(MAX_NAME)]),
    }
}

/// A chunk's name as messages show it.
fn short_name(name: &str) -> String {
    match name.strip_prefix(['@', '=']) {
        Some(given) => given.to_owned(),
        None => format!("[string \"{}\"]", name.lines().next().unwrap_or_default()),
    }
}

/// `loadstring` and the end of `load`: text and name; the function, or nil and what is wrong with the text.
fn load_text(lua: &Lua, state: &RunState, args: MultiValue) -> mlua::Result<MultiValue> {
    let args = Arguments::new(lua, args);
    let (text, name) = (args.bytes(1)?, args.bytes(2)?);
    Ok(match compile(lua, state.scope.get(), &text, &name) {
        Ok(function) => MultiValue::from_vec(vec![Value::Function(function)]),
        Err(message) => MultiValue::from_vec(vec![Value::Nil, Value::String(lua.create_string(message)?)]),
    })
}

/// What `pcall` returns for an error: the message of an error reply rather than its table, as in Redis.
fn caught(lua: &Lua, state: &RunState, value: Value) -> mlua::Result<Value> {
    let value = unwrapped(lua, state, value)?;
    if let Value::Table(table) = &value
        && let message @ Value::String(_) = table.raw_get(&state.names.err)?
    {
        return Ok(message);
    }
    Ok(value)
}

/// A caught error as a value that a script may see. An order to stop is not one: it is thrown again.
fn unwrapped(lua: &Lua, state: &RunState, value: Value) -> mlua::Result<Value> {
    if let Some(stop) = state.stopped() {
        return Err(state.stop(stop));
    }
    let Value::Error(error) = value else { return Ok(value) };
    match Thrown::of(&error) {
        Thrown::Reply(error) => error_table(lua, state, &error).map(Value::Table),
        Thrown::Message(message) => lua.create_string(message).map(Value::String),
        Thrown::Stopped => Err(*error),
    }
}

/// An error reply as scripts see it.
pub(crate) fn error_table(lua: &Lua, state: &RunState, error: &ReplyError) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set(&state.names.err, lua.create_string(&error.message)?)?;
    if error.counted {
        table.raw_set(&state.names.ignore_error_stats_update, true)?;
    }
    Ok(table)
}

/// The handler of the outermost `xpcall`: notes the error and its place.
pub(super) fn note_failure(lua: &Lua, state: &RunState) -> mlua::Result<Function> {
    let run = state.clone();
    lua.create_function(move |lua, value: Value| {
        if run.stopped().is_none() {
            let error = failed_reply(lua, &run, &value);
            let position = innermost_position(lua).map(|position| (position.source, position.line));
            run.failure.replace(Some(Failure { error, position }));
        }
        Ok(())
    })
}

/// An uncaught error as a reply.
pub(crate) fn failed_reply(lua: &Lua, state: &RunState, value: &Value) -> ReplyError {
    let message = match value {
        Value::Error(error) => match Thrown::of(error) {
            Thrown::Reply(error) => return error,
            Thrown::Message(message) => message,
            Thrown::Stopped => Vec::new(),
        },
        Value::Table(table) => {
            let text = |name| match table.raw_get(name) {
                Ok(Value::String(text)) => Some(text.as_bytes().to_vec()),
                _ => None,
            };
            let counted =
                matches!(table.raw_get(&state.names.ignore_error_stats_update), Ok(Value::Boolean(true)));
            match text(&state.names.err) {
                Some(message) => return ReplyError { message, counted },
                None => b"unknown error".to_vec(),
            }
        }
        other => describe(lua, other),
    };
    ReplyError { message: [b"ERR ", message.as_slice()].concat(), counted: false }
}
