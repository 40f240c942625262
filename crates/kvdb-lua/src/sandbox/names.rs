//! The strings that conversions look for in tables, made once: comparing them is comparing pointers.

use mlua::{Lua, LuaString};

/// Names of fields and globals.
pub(crate) struct Names {
    pub(crate) keys: LuaString,
    pub(crate) argv: LuaString,
    pub(crate) ok: LuaString,
    pub(crate) err: LuaString,
    pub(crate) double: LuaString,
    pub(crate) map: LuaString,
    pub(crate) set: LuaString,
    pub(crate) big_number: LuaString,
    pub(crate) verbatim_string: LuaString,
    pub(crate) string: LuaString,
    pub(crate) format: LuaString,
    /// Tells that an error was counted by the command that made it.
    pub(crate) ignore_error_stats_update: LuaString,
    _messages: [LuaString; 3],
}

/// What Lua makes a string of where no protected call is left to return to, once a coroutine has failed or cannot be
/// resumed. It ends the process if there is no memory for it then; a string that is there already takes none. Lua itself
/// sees to "not enough memory" alone.
const MESSAGES: [&str; 3] =
    ["error in error handling", "C stack overflow", "cannot resume non-suspended coroutine"];

impl Names {
    pub(super) fn new(lua: &Lua) -> mlua::Result<Self> {
        let [first, second, third] = MESSAGES;
        Ok(Self {
            _messages: [lua.create_string(first)?, lua.create_string(second)?, lua.create_string(third)?],
            keys: lua.create_string("KEYS")?,
            argv: lua.create_string("ARGV")?,
            ok: lua.create_string("ok")?,
            err: lua.create_string("err")?,
            double: lua.create_string("double")?,
            map: lua.create_string("map")?,
            set: lua.create_string("set")?,
            big_number: lua.create_string("big_number")?,
            verbatim_string: lua.create_string("verbatim_string")?,
            string: lua.create_string("string")?,
            format: lua.create_string("format")?,
            ignore_error_stats_update: lua.create_string("ignore_error_stats_update")?,
        })
    }
}
