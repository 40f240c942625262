//! `redis.register_function`, which only a library that is being loaded can call.

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::{FunctionInfo, INVALID_NAME, is_valid_name};
use crate::arguments::Arguments;
use crate::script::Flags;
use crate::state::RunState;
use crate::thrown::reply_error;

/// What a library has registered so far.
pub(crate) struct Registrations {
    pub(crate) functions: Vec<FunctionInfo>,
    /// The functions by their names.
    pub(crate) callbacks: Table,
}

/// Adds the function to the table that libraries see while they are loaded.
pub(crate) fn install(lua: &Lua, state: &RunState, table: &Table) -> mlua::Result<()> {
    let run = state.clone();
    table.raw_set("register_function", lua.create_function(move |lua, args| register(lua, &run, args))?)
}

fn register(lua: &Lua, state: &RunState, args: MultiValue) -> mlua::Result<()> {
    let mut registrations = state.registrations.borrow_mut();
    let Some(registrations) = registrations.as_mut() else {
        return Err(reply_error("redis.register_function can only be called on FUNCTION LOAD command"));
    };
    let args = Arguments::new(lua, args);
    let (info, callback) = match args.len() {
        1 => from_table(lua, &args)?,
        2 => from_pair(lua, &args)?,
        _ => return Err(reply_error("wrong number of arguments to redis.register_function")),
    };
    if !is_valid_name(info.name.as_bytes()) {
        return Err(reply_error(INVALID_NAME));
    }
    if registrations.functions.iter().any(|known| known.name == info.name) {
        return Err(reply_error("Function already exists in the library"));
    }
    registrations.callbacks.raw_set(info.name.as_str(), callback)?;
    registrations.functions.push(info);
    Ok(())
}

fn from_pair(lua: &Lua, args: &Arguments<'_>) -> mlua::Result<(FunctionInfo, Function)> {
    let Some(name) = text(lua, args.get(1))? else {
        return Err(reply_error("first argument to redis.register_function must be a string"));
    };
    let Value::Function(callback) = args.get(2) else {
        return Err(reply_error("second argument to redis.register_function must be a function"));
    };
    let info = FunctionInfo { name: to_name(&name), description: None, flags: Flags::default() };
    Ok((info, callback.clone()))
}

fn from_table(lua: &Lua, args: &Arguments<'_>) -> mlua::Result<(FunctionInfo, Function)> {
    let Value::Table(table) = args.get(1) else {
        return Err(reply_error(
            "calling redis.register_function with a single argument is only applicable to Lua table \
             (representing named arguments).",
        ));
    };
    let (mut name, mut description, mut callback, mut flags) = (None, None, None, Flags::default());
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Some(key) = text(lua, &key)? else {
            return Err(reply_error("named argument key given to redis.register_function is not a string"));
        };
        match key.as_slice() {
            b"function_name" => name = Some(text_argument(lua, "function_name", &value)?),
            b"description" => description = Some(text_argument(lua, "description", &value)?),
            b"callback" => match value {
                Value::Function(function) => callback = Some(function),
                _ => {
                    let message = "callback argument given to redis.register_function must be a function";
                    return Err(reply_error(message));
                }
            },
            b"flags" => flags = flags_argument(lua, &value)?,
            _ => return Err(reply_error("unknown argument given to redis.register_function")),
        }
    }
    let Some(name) = name else {
        return Err(reply_error("redis.register_function must get a function name argument"));
    };
    let Some(callback) = callback else {
        return Err(reply_error("redis.register_function must get a callback argument"));
    };
    Ok((FunctionInfo { name: to_name(&name), description, flags }, callback))
}

fn flags_argument(lua: &Lua, value: &Value) -> mlua::Result<Flags> {
    let Value::Table(names) = value else {
        return Err(reply_error(
            "flags argument to redis.register_function must be a table representing function flags",
        ));
    };
    let mut flags = Flags::default();
    for name in names.sequence_values::<Value>() {
        match text(lua, &name?)?.and_then(|name| Flags::named(&name)) {
            Some(flag) => flags = flags.with(flag),
            None => return Err(reply_error("unknown flag given")),
        }
    }
    Ok(flags)
}

fn text_argument(lua: &Lua, name: &str, value: &Value) -> mlua::Result<Vec<u8>> {
    text(lua, value)?.ok_or_else(|| {
        reply_error(&format!("{name} argument given to redis.register_function must be a string"))
    })
}

/// A string, or a number as text.
fn text(lua: &Lua, value: &Value) -> mlua::Result<Option<Vec<u8>>> {
    match value {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            Ok(lua.coerce_string(value.clone())?.map(|text| text.as_bytes().to_vec()))
        }
        _ => Ok(None),
    }
}

/// A name as text: what is none has letters that no name may have.
fn to_name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
