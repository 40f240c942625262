//! `redis.call`, `redis.pcall` and `redis.acl_check_cmd`.

use kvdb_resp::{OwnedArgs, parse_i64};
use mlua::{Lua, Table, Value};

use crate::builder::Builder;
use crate::convert::{CommandReply, read_reply};
use crate::host::{Permission, Stop};
use crate::sandbox::error_table;
use crate::stack::OnStack;
use crate::state::RunState;
use crate::thrown::{ReplyError, reply_error};

/// A buffer for arguments or a reply that has grown beyond this is not kept.
const KEEP_BUFFER: usize = 64 * 1024;

pub(super) fn install(lua: &Lua, state: &RunState, table: &Table) -> mlua::Result<()> {
    let run = state.clone();
    table.raw_set(
        "call",
        lua.create_function(move |lua, args| call(lua, &run, &args)?.map_err(Into::into))?,
    )?;
    let run = state.clone();
    let pcall = lua.create_function(move |lua, args| match call(lua, &run, &args)? {
        Ok(value) => Ok(value),
        Err(error) => error_table(lua, &run, &error).map(Value::Table),
    })?;
    table.raw_set("pcall", pcall)?;
    let run = state.clone();
    table.raw_set("acl_check_cmd", lua.create_function(move |lua, args| check_permission(lua, &run, &args))?)
}

/// Runs a command. The inner error is an error reply; the outer one ends more than the call.
fn call(lua: &Lua, state: &RunState, args: &OnStack) -> mlua::Result<Result<Value, ReplyError>> {
    // The buffers are taken rather than borrowed, so that nothing is held while the host works.
    let mut words = state.words.take();
    if let Err(error) = read_words(lua, args, &mut words) {
        return Ok(Err(error));
    }
    let mut out = state.reply.take();
    out.clear();
    let protocol = state.protocol.get();
    let ran = state.ask(|host| host.call(words.as_args(), protocol, &mut out))?;
    let read = match ran {
        Ok(()) => read(lua, state, &out),
        Err(_) => Err(state.stop(Stop::Interrupt)),
    };
    if out.capacity() <= KEEP_BUFFER {
        state.reply.replace(out);
    }
    if words.allocated() <= KEEP_BUFFER {
        state.words.replace(words);
    }
    read.map(|reply| match reply {
        CommandReply::Value(value) => Ok(value),
        CommandReply::Error(error) => Err(error),
    })
}

/// The reply of a command.
fn read(lua: &Lua, state: &RunState, reply: &[u8]) -> mlua::Result<CommandReply> {
    if let [b':', digits @ .., b'\r', b'\n'] = reply
        && let Some(number) = parse_i64(digits)
    {
        // It takes no memory of Lua's.
        return Ok(CommandReply::Value(Value::Integer(number)));
    }
    read_reply(&mut Builder::new(lua, state, reply.len())?, reply)
}

fn check_permission(lua: &Lua, state: &RunState, args: &OnStack) -> mlua::Result<bool> {
    let mut words = OwnedArgs::new();
    read_words(lua, args, &mut words)?;
    match state.ask(|host| host.check_permission(words.as_args()))? {
        Permission::Granted => Ok(true),
        Permission::Denied => Ok(false),
        Permission::NoSuchCommand => Err(reply_error("Invalid command passed to redis.acl_check_cmd()")),
    }
}

fn read_words(lua: &Lua, args: &OnStack, words: &mut OwnedArgs) -> Result<(), ReplyError> {
    let error = |message: &str| ReplyError { message: format!("ERR {message}").into_bytes(), counted: false };
    if args.is_empty() {
        return Err(error("Please specify at least one argument for this redis lib call"));
    }
    args.read(lua, words).map_err(|_| error("Lua redis lib command arguments must be strings or integers"))
}
