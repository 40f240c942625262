//! Errors as Lua code throws and catches them.
//!
//! A function of this crate that fails returns an [`mlua::Error`], which travels through Lua as an opaque value. It must
//! not be seen there: everything with which a script can catch an error (`pcall`, `xpcall`, `coroutine.resume`) is
//! wrapped so that the value is first turned into what Redis has in its place, a string or a table, by
//! [`Thrown::from_value`]. The same place keeps an order to stop from being caught.

use std::fmt;

use mlua::{Lua, Value};

use crate::sandbox::PRELUDE;

/// An error on its way through Lua.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thrown {
    /// An error of `redis.call` and its like: a table with the field `err` to the script.
    Reply(ReplyError),
    /// A message, with the position in front where there is one: a string to the script.
    Message(Vec<u8>),
    /// The run has to end: not for the script to see.
    Stopped,
}

/// An error reply on its way through a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplyError {
    /// Code and sentence, without the leading minus.
    pub(crate) message: Vec<u8>,
    /// Whether the host made it, and so has counted it.
    pub(crate) counted: bool,
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(ReplyError { message, .. }) | Self::Message(message) => {
                f.write_str(&String::from_utf8_lossy(message))
            }
            Self::Stopped => f.write_str("the script was stopped"),
        }
    }
}

impl std::error::Error for Thrown {}

impl From<Thrown> for mlua::Error {
    fn from(thrown: Thrown) -> Self {
        Self::external(thrown)
    }
}

impl Thrown {
    /// What an error of this crate or of mlua is to a script.
    pub(crate) fn of(error: &mlua::Error) -> Self {
        if let Some(thrown) = error.downcast_ref::<Self>() {
            return thrown.clone();
        }
        Self::Message(root_message(error).into_bytes())
    }
}

/// The message of the innermost error: the outer ones only carry tracebacks.
fn root_message(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } | mlua::Error::WithContext { cause, .. } => {
            root_message(cause)
        }
        mlua::Error::MemoryError(_) => OUT_OF_MEMORY.to_owned(),
        mlua::Error::RuntimeError(message) | mlua::Error::SyntaxError { message, .. } => message.clone(),
        mlua::Error::StackError => "stack overflow".to_owned(),
        other => other.to_string(),
    }
}

/// Lua's own words when an allocation is refused.
pub(crate) const OUT_OF_MEMORY: &str = "not enough memory";

/// The error that Redis raises with a message of its own: `ERR` and no position.
pub(crate) fn reply_error(message: &str) -> mlua::Error {
    Thrown::Reply(ReplyError { message: format!("ERR {message}").into_bytes(), counted: false }).into()
}

/// What a C function raises with `luaL_error`: the message with the position of the code that called it.
pub(crate) fn error_here(lua: &Lua, message: impl AsRef<[u8]>) -> mlua::Error {
    let mut text = match caller(lua) {
        Some(Position { name, line, .. }) => format!("{name}:{line}: ").into_bytes(),
        None => Vec::new(),
    };
    text.extend_from_slice(message.as_ref());
    Thrown::Message(text).into()
}

/// A place in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// The name of the chunk as messages show it.
    pub(crate) name: String,
    /// The name of the chunk as it was given, with its `@`.
    pub(crate) source: String,
    pub(crate) line: usize,
}

/// Where the Lua code is that called the running function of this crate, unless C code did.
fn caller(lua: &Lua) -> Option<Position> {
    (1..).map_while(|level| frame(lua, level)).find(|frame| !frame.is_ours).and_then(|frame| frame.position)
}

/// The innermost place in a script's code, seen from a function of this crate or from a hook.
pub(crate) fn innermost_position(lua: &Lua) -> Option<Position> {
    (0..MAX_FRAMES)
        .map_while(|level| frame(lua, level))
        .find_map(|frame| frame.position.filter(|_| !frame.is_ours))
}

/// How far out the search for a script's code goes.
const MAX_FRAMES: usize = 100;

struct Frame {
    /// The line, in Lua code.
    position: Option<Position>,
    /// Whether it is the prelude's, which stands in for C functions.
    is_ours: bool,
}

fn frame(lua: &Lua, level: usize) -> Option<Frame> {
    lua.inspect_stack(level, |debug| {
        let source = debug.source();
        let text = source.source.as_deref().unwrap_or_default();
        let position = debug.current_line().filter(|&line| line > 0).map(|line| Position {
            name: source.short_src.as_deref().unwrap_or("?").to_owned(),
            source: text.to_owned(),
            line,
        });
        Frame { position, is_ours: text == PRELUDE }
    })
}

/// The message that `error` and `tostring` make of a value that is neither a string nor a table.
pub(crate) fn describe(lua: &Lua, value: &Value) -> Vec<u8> {
    match value {
        Value::Nil => b"nil".to_vec(),
        Value::Boolean(value) => value.to_string().into_bytes(),
        Value::Integer(_) | Value::Number(_) | Value::String(_) => match lua.coerce_string(value.clone()) {
            Ok(Some(text)) => text.as_bytes().to_vec(),
            _ => OUT_OF_MEMORY.into(),
        },
        other => format!("{}: {:p}", other.type_name(), other.to_pointer()).into_bytes(),
    }
}
