//! `redis.setresp`, `redis.set_repl` and `redis.log`, and what only scripts have: remains of earlier versions and of the
//! debugger.

use kvdb_resp::Protocol;
use mlua::{Lua, MultiValue, Table, Value};

use crate::arguments::truncate;
use crate::host::LogLevel;
use crate::state::RunState;
use crate::thrown::reply_error;

/// What may be replicated. KVDB replicates the effects of commands, all of them, so these change nothing.
const REPLICATION: [(&str, i64); 5] =
    [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)];

pub(super) fn install(lua: &Lua, state: &RunState, table: &Table) -> mlua::Result<()> {
    let run = state.clone();
    table.raw_set("setresp", lua.create_function(move |lua, args| set_protocol(lua, &run, &args))?)?;
    table.raw_set("set_repl", lua.create_function(|lua, args| set_replication(lua, &args))?)?;
    for (name, number) in REPLICATION {
        table.raw_set(name, number)?;
    }
    Ok(())
}

pub(super) fn install_for_scripts(lua: &Lua, table: &Table) -> mlua::Result<()> {
    table.raw_set("replicate_commands", lua.create_function(|_, _: MultiValue| Ok(true))?)?;
    // No debugger is ever attached.
    table.raw_set("breakpoint", lua.create_function(|_, _: MultiValue| Ok(false))?)?;
    table.raw_set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)
}

pub(super) fn install_log(lua: &Lua, state: &RunState, table: &Table) -> mlua::Result<()> {
    let run = state.clone();
    table.raw_set("log", lua.create_function(move |lua, args| log(lua, &run, &args))?)
}

fn set_protocol(lua: &Lua, state: &RunState, args: &MultiValue) -> mlua::Result<()> {
    if args.len() != 1 {
        return Err(reply_error("redis.setresp() requires one argument."));
    }
    state.protocol.set(match number(lua, &args[0])?.map(truncate) {
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        _ => return Err(reply_error("RESP version must be 2 or 3.")),
    });
    Ok(())
}

fn set_replication(lua: &Lua, args: &MultiValue) -> mlua::Result<()> {
    if args.len() != 1 {
        return Err(reply_error("redis.set_repl() requires two arguments."));
    }
    match number(lua, &args[0])?.map(truncate) {
        Some(0..=3) | None => Ok(()),
        Some(_) => {
            let message = "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
            Err(reply_error(message))
        }
    }
}

fn log(lua: &Lua, state: &RunState, args: &MultiValue) -> mlua::Result<()> {
    if args.len() < 2 {
        return Err(reply_error("redis.log() requires two arguments or more."));
    }
    let Some(level) = number(lua, &args[0])? else {
        return Err(reply_error("First argument must be a number (log level)."));
    };
    let Some((_, level)) = usize::try_from(truncate(level)).ok().and_then(|level| LogLevel::ALL.get(level))
    else {
        return Err(reply_error("Invalid debug level."));
    };
    let mut line = Vec::new();
    for (index, text) in args.iter().skip(1).enumerate() {
        if let Value::String(_) | Value::Integer(_) | Value::Number(_) = text {
            if index > 0 {
                line.push(b' ');
            }
            if let Some(text) = lua.coerce_string(text.clone())? {
                line.extend_from_slice(&text.as_bytes());
            }
        }
    }
    state.ask(|host| host.log(*level, &line))
}

/// A number, or a string that is one.
fn number(lua: &Lua, value: &Value) -> mlua::Result<Option<f64>> {
    match value {
        Value::Integer(_) | Value::Number(_) | Value::String(_) => lua.coerce_number(value.clone()),
        _ => Ok(None),
    }
}
