//! The arguments of a function that Lua calls, checked as Lua's own library checks its arguments.

use mlua::{BorrowedBytes, Lua, LuaString, MultiValue, Value};

use crate::thrown::error_here;

/// Arguments, counted from 1 as in Lua's messages.
pub(crate) struct Arguments<'a> {
    lua: &'a Lua,
    values: MultiValue,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(lua: &'a Lua, values: MultiValue) -> Self {
        Self { lua, values }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The argument, nil where there is none.
    pub(crate) fn get(&self, index: usize) -> &Value {
        self.values.get(index - 1).unwrap_or(&Value::Nil)
    }

    fn is_absent(&self, index: usize) -> bool {
        self.get(index).is_nil()
    }

    /// A number, or a string that is one.
    pub(crate) fn number(&self, index: usize) -> mlua::Result<f64> {
        match self.get(index) {
            Value::Integer(n) => Ok(*n as f64),
            Value::Number(n) => Ok(*n),
            value @ Value::String(_) => {
                self.lua.coerce_number(value.clone())?.ok_or_else(|| self.wrong_type(index, "number"))
            }
            _ => Err(self.wrong_type(index, "number")),
        }
    }

    /// A number without its fraction. Numbers that no integer can hold are as C casts them.
    pub(crate) fn integer(&self, index: usize) -> mlua::Result<i64> {
        self.number(index).map(truncate)
    }

    pub(crate) fn optional_integer(&self, index: usize, default: i64) -> mlua::Result<i64> {
        if self.is_absent(index) { Ok(default) } else { self.integer(index) }
    }

    /// A string, or a number as text.
    pub(crate) fn string(&self, index: usize) -> mlua::Result<LuaString> {
        match self.get(index) {
            Value::String(text) => Ok(text.clone()),
            value @ (Value::Integer(_) | Value::Number(_)) => {
                self.lua.coerce_string(value.clone())?.ok_or_else(|| self.wrong_type(index, "string"))
            }
            _ => Err(self.wrong_type(index, "string")),
        }
    }

    /// The bytes of a string.
    pub(crate) fn bytes(&self, index: usize) -> mlua::Result<BorrowedBytes> {
        Ok(self.string(index)?.as_bytes())
    }

    fn wrong_type(&self, index: usize, expected: &str) -> mlua::Error {
        let found = if index > self.len() { "no value" } else { type_name(self.get(index)) };
        self.error(index, &format!("{expected} expected, got {found}"))
    }

    /// What is wrong with an argument, in the words of `luaL_argerror`.
    pub(crate) fn error(&self, index: usize, detail: &str) -> mlua::Error {
        let named = self.lua.inspect_stack(0, |debug| {
            let names = debug.names();
            (names.name.map(|name| name.into_owned()), names.name_what == Some("method"))
        });
        let (name, is_method) = named.unwrap_or_default();
        let name = name.as_deref().unwrap_or("?");
        if is_method && index == 1 {
            return error_here(self.lua, format!("calling '{name}' on bad self ({detail})"));
        }
        let index = index - usize::from(is_method);
        error_here(self.lua, format!("bad argument #{index} to '{name}' ({detail})"))
    }

    /// The values themselves.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.values.iter()
    }
}

/// A type's name as messages of Lua have it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) | Value::Error(_) => "userdata",
        other => other.type_name(),
    }
}

/// A double as an integer as the C compilers of x86-64 cast it: what does not fit, or is no number, is the least one.
pub(crate) fn truncate(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}
