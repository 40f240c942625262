//! `redis.call`, `redis.pcall` and `redis.acl_check_cmd`.

use mlua::{BorrowedBytes, Lua, MultiValue, Table, Value};
use smallvec::SmallVec;

use crate::builder::Builder;
use crate::convert::{CommandReply, read_reply};
use crate::host::{Permission, Stop};
use crate::sandbox::error_table;
use crate::state::RunState;
use crate::thrown::{ReplyError, reply_error};

/// A reply buffer that has grown beyond this is not kept.
const KEEP_BUFFER: usize = 64 * 1024;

pub(super) fn install(lua: &Lua, state: &RunState, table: &Table) -> mlua::Result<()> {
    let run = state.clone();
    table
        .raw_set("call", lua.create_function(move |lua, args| call(lua, &run, args)?.map_err(Into::into))?)?;
    let run = state.clone();
    let pcall = lua.create_function(move |lua, args| match call(lua, &run, args)? {
        Ok(value) => Ok(value),
        Err(error) => error_table(lua, &run, &error).map(Value::Table),
    })?;
    table.raw_set("pcall", pcall)?;
    let run = state.clone();
    table.raw_set("acl_check_cmd", lua.create_function(move |_, args| check_permission(&run, &args))?)
}

/// Runs a command. The inner error is an error reply; the outer one ends more than the call.
fn call(lua: &Lua, state: &RunState, args: MultiValue) -> mlua::Result<Result<Value, ReplyError>> {
    let words = match words(&args) {
        Ok(words) => words,
        Err(error) => return Ok(Err(error)),
    };
    // The buffer is taken rather than borrowed, so that nothing is held while the host works.
    let mut out = state.reply.take();
    out.clear();
    let protocol = state.protocol.get();
    let slices: SmallVec<[&[u8]; 8]> = words.iter().map(Word::as_bytes).collect();
    let ran = state.ask(|host| host.call(&slices, protocol, &mut out))?;
    let read = match ran {
        Ok(()) => Builder::new(lua, state, out.len()).and_then(|mut builder| read_reply(&mut builder, &out)),
        Err(_) => Err(state.stop(Stop::Interrupt)),
    };
    if out.capacity() <= KEEP_BUFFER {
        state.reply.replace(out);
    }
    read.map(|reply| match reply {
        CommandReply::Value(value) => Ok(value),
        CommandReply::Error(error) => Err(error),
    })
}

fn check_permission(state: &RunState, args: &MultiValue) -> mlua::Result<bool> {
    let words = words(args)?;
    let slices: SmallVec<[&[u8]; 8]> = words.iter().map(Word::as_bytes).collect();
    match state.ask(|host| host.check_permission(&slices))? {
        Permission::Granted => Ok(true),
        Permission::Denied => Ok(false),
        Permission::NoSuchCommand => Err(reply_error("Invalid command passed to redis.acl_check_cmd()")),
    }
}

/// An argument of a command.
enum Word {
    /// A string, where Lua has it.
    Text(BorrowedBytes),
    /// A number, as Redis 7.2 spells it: not as Lua does, which keeps only fourteen digits.
    Number(String),
}

impl Word {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(bytes) => bytes,
            Self::Number(text) => text.as_bytes(),
        }
    }
}

fn words(args: &MultiValue) -> Result<SmallVec<[Word; 8]>, ReplyError> {
    let error = |message: &str| ReplyError { message: format!("ERR {message}").into_bytes(), counted: false };
    if args.is_empty() {
        return Err(error("Please specify at least one argument for this redis lib call"));
    }
    let word = |value: &Value| match value {
        Value::String(text) => Ok(Word::Text(text.as_bytes())),
        Value::Integer(n) => Ok(Word::Number(n.to_string())),
        Value::Number(n) => Ok(Word::Number(kvdb_resp::format_double(*n))),
        _ => Err(error("Lua redis lib command arguments must be strings or integers")),
    };
    args.iter().map(word).collect()
}
