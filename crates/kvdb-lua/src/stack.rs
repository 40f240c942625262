//! Values on Lua's stack, for what every run of a script does: the arguments of a command are read where they are, and
//! lists are filled and functions called without a handle of mlua's for each value, which would cost more than the rest.
//!
//! Everything else in this crate goes through mlua. What is done here keeps to what mlua's own safe functions rely on:
//! where no memory limit is set, no allocation of Lua's fails with a jump; twenty places of the stack are free between the
//! calls of functions; and a value stays where it is while it is on the stack.

#![expect(unsafe_code, reason = "Lua's stack is reached by the functions of its C interface")]

use std::ffi::c_int;
use std::slice;

use kvdb_resp::OwnedArgs;
use mlua::state::RawLua;
use mlua::{FromLuaMulti, Function, Lua, LuaString, MultiValue, Table, Value, ffi};

/// The arguments with which Lua has called a function of this crate. They are still on the stack, at its top: they are to
/// be read before anything is put there.
pub(crate) struct OnStack(c_int);

impl FromLuaMulti for OnStack {
    fn from_lua_multi(_: MultiValue, _: &Lua) -> mlua::Result<Self> {
        Err(mlua::Error::runtime("the arguments are not on the stack"))
    }

    // SAFETY: nothing is done to the stack, whatever is said to be on it.
    unsafe fn from_stack_multi(count: c_int, _: &RawLua) -> mlua::Result<Self> {
        Ok(Self(count))
    }
}

/// An argument that is neither a string nor a number, or too much for one command.
pub(crate) struct Unfit;

impl OnStack {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Copies strings and numbers into `words`, as the arguments of a command. Numbers are spelled as Redis 7.2 does, and
    /// not as Lua does, which keeps only fourteen digits.
    pub(crate) fn read(&self, lua: &Lua, words: &mut OwnedArgs) -> Result<(), Unfit> {
        words.clear();
        lua.exec_raw_lua(|raw| {
            let state = raw.state();
            // SAFETY: the state is the one that runs. A place below the bottom of the stack is not looked at, whoever has
            // taken something off it meanwhile; every other one holds a value. Asking for the text of a value that is a
            // string changes nothing, and the text stays where it is while the string is on the stack, which is until
            // after it is copied.
            unsafe {
                let first = ffi::lua_gettop(state) - self.0 + 1;
                for at in first.max(1)..first + self.0 {
                    match ffi::lua_type(state, at) {
                        ffi::LUA_TSTRING => {
                            let mut len = 0;
                            let text = ffi::lua_tolstring(state, at, &raw mut len);
                            words.push(slice::from_raw_parts(text.cast(), len)).map_err(|_| Unfit)?;
                        }
                        ffi::LUA_TNUMBER => push_number(words, ffi::lua_tonumber(state, at))?,
                        _ => return Err(Unfit),
                    }
                }
            }
            Ok(())
        })
    }
}

fn push_number(words: &mut OwnedArgs, number: f64) -> Result<(), Unfit> {
    let whole = number as i64;
    let is_whole = whole != i64::MAX && (whole as f64).to_bits() == number.to_bits();
    let pushed = if is_whole {
        words.push(itoa::Buffer::new().format(whole).as_bytes())
    } else {
        words.push(kvdb_resp::format_double(number).as_bytes())
    };
    pushed.map_err(|_| Unfit)
}

/// A table of strings. No memory limit may be set; whether there is room is the caller's to see.
pub(crate) fn list(lua: &Lua, elements: &[&[u8]]) -> mlua::Result<Table> {
    lua.exec_raw_lua(|raw| {
        // SAFETY: the two places that are used are free between the calls of functions.
        unsafe {
            push_list(raw, elements);
            raw.pop()
        }
    })
}

/// Sets a field of a table to a table of strings, as [`list`] makes it.
pub(crate) fn set_list(lua: &Lua, table: &Table, name: &LuaString, elements: &[&[u8]]) -> mlua::Result<()> {
    lua.exec_raw_lua(|raw| {
        let state = raw.state();
        // SAFETY: the four places that are used are free between the calls of functions. A string is a key that any table
        // takes, and no memory limit is set. In the end the stack is as high as it was.
        unsafe {
            let top = ffi::lua_gettop(state);
            raw.push(table)?;
            raw.push(name)?;
            push_list(raw, elements);
            ffi::lua_rawset(state, -3);
            ffi::lua_settop(state, top);
        }
        Ok(())
    })
}

/// Puts a table of strings onto the stack.
///
/// # Safety
/// There have to be two free places on the stack, and no memory limit may be set: nothing of what is called fails then. A
/// hint that is too large for Lua is not given.
unsafe fn push_list(raw: &RawLua, elements: &[&[u8]]) {
    let state = raw.state();
    // SAFETY: as above.
    unsafe {
        ffi::lua_createtable(state, elements.len().min(MAX_HINT) as c_int, 0);
        for (index, element) in elements.iter().enumerate() {
            ffi::lua_pushlstring(state, element.as_ptr().cast(), element.len());
            ffi::lua_rawseti(state, -2, (index + 1) as _);
        }
    }
}

/// Elements for which room is made at once.
const MAX_HINT: usize = 1 << 20;

/// Calls a function without arguments, under the eyes of an error handler; whether it has come to its end, and what it has
/// returned first or failed with.
pub(crate) fn call(lua: &Lua, function: &Function, handler: &Function) -> mlua::Result<(bool, Value)> {
    lua.exec_raw_lua(|raw| {
        let state = raw.state();
        // SAFETY: the three places that are used are free between the calls of functions. Where it fails, the function
        // jumps to the protected call and no farther, past no frame of Rust's; panics are caught before they get to Lua.
        // In the end the stack is as high as it was.
        unsafe {
            raw.push(handler)?;
            let at = ffi::lua_gettop(state);
            raw.push(function)?;
            let status = ffi::lua_pcall(state, 0, 1, at);
            let value = raw.pop();
            ffi::lua_settop(state, at - 1);
            Ok((status == ffi::LUA_OK, value?))
        }
    })
}
