//! `redis.error_reply`, `redis.status_reply` and `redis.sha1hex`.

use mlua::{Lua, LuaString, MultiValue, Table, Value};

use crate::script::Sha;
use crate::state::RunState;
use crate::thrown::reply_error;

pub(super) fn install(lua: &Lua, state: &RunState, table: &Table) -> mlua::Result<()> {
    let run = state.clone();
    let error_reply = lua.create_function(move |lua, args| {
        let message = only_text(&args).map(|text| error_message(&text.as_bytes()));
        let message = message.unwrap_or_else(|| WRONG_ARGUMENTS.to_vec());
        field(lua, &run.names.err, &message)
    })?;
    table.raw_set("error_reply", error_reply)?;
    let run = state.clone();
    let status_reply = lua.create_function(move |lua, args| match only_text(&args) {
        Some(text) => field(lua, &run.names.ok, &text.as_bytes()),
        None => field(lua, &run.names.err, WRONG_ARGUMENTS),
    })?;
    table.raw_set("status_reply", status_reply)?;
    table.raw_set("sha1hex", lua.create_function(|lua, args| sha1hex(lua, &args))?)
}

const WRONG_ARGUMENTS: &[u8] = b"ERR wrong number or type of arguments";

fn only_text(args: &MultiValue) -> Option<&LuaString> {
    match args.front() {
        Some(Value::String(text)) if args.len() == 1 => Some(text),
        _ => None,
    }
}

fn field(lua: &Lua, name: &LuaString, text: &[u8]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set(name, lua.create_string(text)?)?;
    Ok(table)
}

/// An error reply from what a script gives: one line, and a text of one word gets the code `ERR`.
fn error_message(text: &[u8]) -> Vec<u8> {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let line = text[..end].iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte });
    let code: &[u8] = if text[..end].contains(&b' ') { b"" } else { b"ERR " };
    code.iter().copied().chain(line).collect()
}

fn sha1hex(lua: &Lua, args: &MultiValue) -> mlua::Result<String> {
    if args.len() != 1 {
        return Err(reply_error("wrong number of arguments"));
    }
    // As in Redis, what is no text counts as the empty one.
    Ok(match &args[0] {
        value @ (Value::String(_) | Value::Integer(_) | Value::Number(_)) => lua
            .coerce_string(value.clone())?
            .map(|text| Sha::of(&text.as_bytes()))
            .unwrap_or_else(|| Sha::of(b"")),
        _ => Sha::of(b""),
    }
    .to_string())
}
